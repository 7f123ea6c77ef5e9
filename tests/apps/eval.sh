#!/usr/bin/env bash
# temper-eval on a model of a few steps: figures as JSON, a line a sample, the same numbers for any batch size, losses of
# stored texts, and the user's mistakes as one line and exit code 2.
#   TEMPER_BIN=build/bin TEMPER_SOURCE=. tests/apps/eval.sh
set -euo pipefail
bin=${TEMPER_BIN:?} source=${TEMPER_SOURCE:?}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
fail() { echo "FAIL: $*"; exit 1; }

cat > "$work/sft.json" <<JSON
{ "task": "sft", "threads": 2,
  "model": {"dtype": "f32", "init": {"vocab": 400, "hidden": 32, "intermediate": 64, "layers": 2, "heads": 2, "kv_heads": 1, "max_positions": 256}},
  "data": {"train": ["$source/data/arithmetic/train.jsonl"], "max_tokens": 200},
  "optimizer": {"name": "adamw", "lr": 3e-3}, "train": {"steps": 5, "batch_size": 16}, "run": "sft" }
JSON
"$bin/temper-train" "$work/sft.json" --run "$work/sft" --quiet
loud=("$bin/temper-eval" --model "$work/sft/final" --data "$source/data/arithmetic/test.jsonl" --dtype f32 --max-new-tokens 24)
eval=("${loud[@]}" --quiet)

"${eval[@]}" --reward math --limit 10 --n 4 --output "$work/a.jsonl" > "$work/a.json"
"${eval[@]}" --reward math --limit 10 --n 4 --batch 3 --output "$work/b.jsonl" > "$work/b.json"
[ "$(wc -l < "$work/a.jsonl")" = 40 ] || fail "expected 40 samples"
cmp "$work/a.json" "$work/b.json" || fail "the figures depend on the batch size"
cmp "$work/a.jsonl" "$work/b.jsonl" || fail "the samples depend on the batch size"
for figure in accuracy pass@2 pass@4 maj@2 maj@4 g_pass@4_0.5 mg_pass@4 reward reward/math length truncated; do
  grep -q "\"$figure\": {" "$work/a.json" || fail "no figure $figure"
done

# Several budgets of thinking, here of what stands before "####".
budget='{"kind": "budget", "end": "####", "time_up": "\n####", "answer_tokens": 4}'
"${eval[@]}" --reward math --limit 10 --n 2 --environment "$budget" --budgets 12 3 6 --output "$work/budgets.jsonl" > "$work/budgets.json"
[ "$(wc -l < "$work/budgets.jsonl")" = 60 ] || fail "expected 60 samples of three budgets"
[ "$(grep -cE '"budget":3[,}]' "$work/budgets.jsonl")" = 20 ] || fail "expected 20 samples with a budget of 3"
for figure in accuracy@3 accuracy@12 length@6 regret@3 regret@6 regret@12; do
  grep -q "\"$figure\": {" "$work/budgets.json" || fail "no figure $figure"
done
"${eval[@]}" --reward math --limit 10 --n 2 --environment "${budget/'{'/'{"tokens": 6, '}" > "$work/six.json"
grep -q '"environment/thinking_tokens": {' "$work/six.json" || fail "no word of how long it thought"
python3 - "$work" <<'PY'
import json, sys
several, six = (json.load(open(f"{sys.argv[1]}/{name}.json"))["figures"] for name in ("budgets", "six"))
assert several["accuracy@6"] == six["accuracy"] and several["length@6"] == six["length"], (several, six)
samples = [json.loads(line) for line in open(f"{sys.argv[1]}/budgets.jsonl")]
thoughts = {b: [s["messages"][0]["content"] for s in samples if s["budget"] == b] for b in (3, 6, 12)}
told = sum("\n####" in t for t in thoughts[3])
assert told > 0, "nobody was told that time is up"
PY

# Held-out losses, alone and beside answers: those that log-probs of the same tokens add up to.
only=("$bin/temper-eval" --model "$work/sft/final" --dtype f32 --quiet)
printf '{"text": "one two three"}\n{"text": "four"}\n{"text": "five six"}\n' > "$work/texts.jsonl"
"${only[@]}" --loss words="$work/texts.jsonl" --loss "$source/data/arithmetic/test.jsonl" --limit 3 > "$work/loss.json"
"${eval[@]}" --reward math --limit 3 --loss words="$work/texts.jsonl" > "$work/both.json"
"${eval[@]}" --reward math --limit 3 > "$work/math.json"
"$bin/temper-inspect" tokenize --model "$work/sft/final" --input "$work/texts.jsonl" --add-special > "$work/ids.jsonl"
python3 - "$work" > "$work/ended.jsonl" <<'PY'
import json, sys
eos = json.load(open(f"{sys.argv[1]}/sft/final/config.json"))["eos_token_id"]
for line in open(f"{sys.argv[1]}/ids.jsonl"):
    print(json.dumps({"ids": json.loads(line)["ids"] + [eos[0] if isinstance(eos, list) else eos]}))
PY
"$bin/temper-inspect" logprob --model "$work/sft/final" --dtype f32 --input "$work/ended.jsonl" > "$work/logprobs.jsonl"
python3 - "$work" <<'PY'
import json, math, sys
loss, both, alone = (json.load(open(f"{sys.argv[1]}/{name}.json")) for name in ("loss", "both", "math"))
assert sorted(loss) == ["figures"] and sorted(loss["figures"]) == ["loss/test", "loss/words", "perplexity/test", "perplexity/words"], loss
words, perplexity = loss["figures"]["loss/words"], loss["figures"]["perplexity/words"]
rows = [[-x for x in json.loads(line)["logprobs"]] for line in open(f"{sys.argv[1]}/logprobs.jsonl")]
tokens, mean = sum(map(len, rows)), sum(map(sum, rows)) / sum(map(len, rows))
assert words["tokens"] == tokens and words["records"] == 3 and abs(words["value"] - mean) < 1e-5, (words, mean, tokens)
half = 4.302652729749 * math.sqrt(3 / 2 * sum((sum(r) - mean * len(r)) ** 2 for r in rows)) / tokens  # Student's t, 2 degrees of freedom
assert abs(words["high"] - mean - half) < 1e-5 and abs(perplexity["low"] - math.exp(mean - half)) < 1e-3, (words, half)
assert abs(perplexity["value"] - math.exp(mean)) < 1e-2, perplexity
for name in ("loss/words", "perplexity/words"):
    assert both["figures"].pop(name) == loss["figures"][name]
assert both == alone
PY

# A run says the same of the adapter that it trains.
"$bin/temper-train" "$work/sft.json" --set model="{\"path\": \"$work/sft/final\", \"dtype\": \"f32\"}" --set adapter.kind=lora --set train.steps=2 \
  --set eval="{\"every\": 2, \"losses\": [{\"name\": \"words\", \"files\": [\"$work/texts.jsonl\"]}]}" --run "$work/lora" --quiet
"${only[@]}" --adapter "$work/lora/final" --loss words="$work/texts.jsonl" > "$work/adapted.json"
python3 - "$work" <<'PY'
import json, sys
before, *_, after = (json.loads(line) for line in open(f"{sys.argv[1]}/lora/metrics.jsonl"))
plain, adapted = (json.load(open(f"{sys.argv[1]}/{name}.json"))["figures"]["loss/words"]["value"] for name in ("loss", "adapted"))
assert abs(before["loss/words"] - plain) < 1e-6 and abs(after["loss/words"] - adapted) < 1e-5 and abs(plain - adapted) > 1e-3, (before, after, plain, adapted)
PY

# Quantised weights: other numbers, said at load.
"${loud[@]}" --reward math --limit 2 --quantise nf4 --output "$work/q.jsonl" > "$work/q.json" 2> "$work/q.log"
grep -q "linears in nf4" "$work/q.log" || fail "no word of the quantised weights"
[ "$(wc -l < "$work/q.jsonl")" = 2 ] || fail "expected 2 samples on quantised weights"

expect() {  # words of the error line, then the arguments
  local words=$1 code=0
  shift
  "${eval[@]}" "$@" > "$work/out" 2> "$work/err" || code=$?
  [ "$code" = 2 ] || fail "$*: exit code $code: $(cat "$work/err")"
  [ ! -s "$work/out" ] || fail "$*: wrote to stdout"
  [ "$(wc -l < "$work/err")" = 1 ] || fail "$*: $(cat "$work/err")"
  grep -qF -- "$words" "$work/err" || fail "$*: $(cat "$work/err")"
}
# Prompts that are too long: left out and counted, or an error.
lines() { head -n 3 "$source/data/arithmetic/test.jsonl"; printf '{"prompt": "%s", "answer": "1"}\n' "$(head -c 3000 /dev/zero | tr '\0' w)"; }
lines > "$work/long.jsonl"
long=("$bin/temper-eval" --model "$work/sft/final" --data "$work/long.jsonl" --dtype f32 --max-new-tokens 4 --quiet --max-prompt-tokens 200)
"${long[@]}" --reward math --overlong drop > "$work/long.json" 2> "$work/err"
grep -q '1 of 4 prompts are longer than 200 tokens and left out' "$work/err" || fail "no word of the prompt left out: $(cat "$work/err")"
grep -q '"left_out": 1' "$work/long.json" && grep -q '"prompts": 3' "$work/long.json" || fail "the prompt left out is not counted"
"${long[@]}" --reward math --overlong truncate > "$work/long.json" && grep -q '"prompts": 4' "$work/long.json" || fail "the long prompt was not cut"
"${long[@]}" --reward math > "$work/out" 2> "$work/err" && fail "a prompt that is too long is no error"
grep -q 'long.jsonl:4: the prompt has' "$work/err" || fail "a prompt that is too long: $(cat "$work/err")"

expect 'did you mean "math"?' --reward maths
expect 'the record has: prompt, completion, answer' --reward '{"kind":"math","column":"reply"}'
expect 'unknown key; did you mean "column"?' --reward '{"kind":"math","colum":"answer"}'
expect 'cannot start the program "temper-none"' --reward '{"kind":"process","command":["temper-none"]}'
expect 'expected 1 to 2' --reward math --n 2 --k 4
expect '--budgets: goes with --environment budget, found attempts' --reward math --budgets 4 8 --environment attempts
expect '--max-new-tokens: 24 leave no room for what the environment asks for; it needs 26' --reward math --budgets 4 24
expect 'there is no such folder' --reward math --output "$work/none/x"
expect 'a file is named "words" already' --reward math --loss words="$work/texts.jsonl" --loss words="$work/texts.jsonl"
expect 'expected a name before the "="' --reward math --loss ="$work/texts.jsonl"
expect 'none.jsonl' --reward math --loss "$work/none.jsonl"
expect 'none.jsonl' --reward math --data "$work/none.jsonl"
eval=("${only[@]}")
expect '--data: expected a file of prompts, or --loss with one of texts'
expect '--reward: goes with --data' --reward math --loss "$work/texts.jsonl"
expect '--output: goes with --data' --output "$work/x.jsonl" --loss "$work/texts.jsonl"
expect 'texts.jsonl: none of the 3 records has a target within 2 tokens' --loss "$work/texts.jsonl" --max-prompt-tokens 2 --overlong drop
expect 'texts.jsonl:1' --loss "$work/texts.jsonl" --max-prompt-tokens 2
expect 'a "text" record has no completion' --loss "$work/texts.jsonl" --targets completion
eval=("$bin/temper-eval" --model "$work/none" --data "$source/data/arithmetic/test.jsonl")
expect 'no such folder' --reward math
echo "eval: figures, samples and mistakes"
