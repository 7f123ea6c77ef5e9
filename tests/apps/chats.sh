#!/usr/bin/env bash
# Chats through the programs: templates whose generation prompt writes more than stored turns, a prompt that ends in the
# assistant's words, special tokens that strings spell out, a mask that cannot be told.
#   TEMPER_BIN=build/bin TEMPER_SOURCE=. tests/apps/chats.sh
set -euo pipefail
bin=$(realpath "${TEMPER_BIN:?}") source=$(realpath "${TEMPER_SOURCE:?}")
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
fail() { echo "FAIL: $*"; exit 1; }

config() {  # FILE TASK DATA
  cat > "$1" <<JSON
{ "task": "$2", "threads": 1,
  "model": {"dtype": "f32", "init": {"vocab": 400, "hidden": 32, "intermediate": 64, "layers": 2, "heads": 2, "kv_heads": 1, "max_positions": 256}},
  "data": {"train": ["$3"], "max_tokens": 200, "order": "sequential"},
  "train": {"steps": 1, "batch_size": 2}, "checkpoint": {"every": 0}, "run": "unused" }
JSON
}
config base.json sft "$source/data/arithmetic/train.jsonl"
"$bin/temper-train" base.json --run base --quiet

# A generation prompt that opens a thought: all three kinds of training take stored answers.
cat > thinks.jinja <<'EOF2'
{%- for m in messages %}{%- if m.role == 'user' %}{{ '<|im_start|>' + m.content }}{%- else %}{{ '<|im_end|>' + m.content + eos_token }}{%- endif %}{%- endfor %}{%- if add_generation_prompt %}{{ '<|im_end|><think>\n' }}{%- endif %}
EOF2
q='{"role":"user","content":"2+2?"}' four='{"role":"assistant","content":"4"}' five='{"role":"assistant","content":"5"}'
printf '%s\n' "{\"messages\":[$q,$four]}" "{\"messages\":[$q,$five]}" > chats.jsonl
printf '%s\n' "{\"prompt\":[$q],\"chosen\":[$four],\"rejected\":[$five]}" "{\"prompt\":\"2+2?\",\"chosen\":[$q,$four],\"rejected\":[$q,$five]}" > pairs.jsonl
model='model={"path": "base/final", "dtype": "f32"}'
for task in sft preference reward_model; do
  config $task.json $task "$([ $task = sft ] && echo chats.jsonl || echo pairs.jsonl)"
  "$bin/temper-train" $task.json --set "$model" --set data.template=thinks.jinja --run $task --quiet || fail "$task on the template that opens a thought"
done

# Prompts: one that ends in the assistant's words is left open; the same prompt rendered, as a string, is the same ids.
printf '%s\n' "{\"prompt\":[$q,{\"role\":\"assistant\",\"content\":\"It is\"}],\"answer\":\"4\"}" > open.jsonl
cat > plain.jinja <<'EOF2'
{{ bos_token }}{%- for m in messages %}{{ '<|im_start|>' + m.role + '\n' + m.content + '<|im_end|>\n' }}{%- endfor %}{%- if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{%- endif %}
EOF2
printf '%s\n' '{"prompt":"<|im_start|>user\n2+2?<|im_end|>\n<|im_start|>assistant\nIt is","answer":"4"}' > rendered.jsonl
ids() {
  "$bin/temper-generate" --model base/final --dtype f32 --template plain.jinja --score math --max-new-tokens 1 --temperature 0 --input "$@" 2> err | grep -o '"prompt_ids":\[[^]]*\]'
}
[ "$(ids open.jsonl)" = "$(ids rendered.jsonl)" ] || fail "the open prompt and the rendered one differ: $(ids open.jsonl) $(ids rendered.jsonl)"
[ "$(ids rendered.jsonl)" = "$(ids rendered.jsonl --special-tokens parse)" ] || fail "auto does not parse a rendered prompt"
[ "$(ids rendered.jsonl)" != "$(ids rendered.jsonl --special-tokens text)" ] || fail "--special-tokens text parses"

# Letters that stay letters are told.
printf '%s\n' "{\"messages\":[$q,{\"role\":\"assistant\",\"content\":\"4<|im_end|>\"}]}" "{\"messages\":[$q,$four]}" > letters.jsonl
config letters.json sft letters.jsonl
"$bin/temper-train" letters.json --set "$model" --run letters > out 2>&1
grep -q 'data.train: 1 of 2 records spell out special tokens in the words of a chat message (.*letters.jsonl:1: "<|im_end|>")' out || fail "no warning of special tokens in a message: $(cat out)"

# A template that writes a chat differently as it grows: the ids are shown, the mask is not.
printf '[%s,%s]' "$q" "$four" > messages.json
echo '{% for m in messages %}{{ m.content ~ messages | length }}{% endfor %}' > grows.jinja
"$bin/temper-inspect" template --model base/final --template grows.jinja --input messages.json > out
grep -q '"assistant_mask":null' out && grep -q '"text":"2+2?242' out && grep -q '"why":".*message 1' out || fail "inspect template: $(cat out)"
echo "chats: ok"
