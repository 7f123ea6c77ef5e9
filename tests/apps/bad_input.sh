#!/usr/bin/env bash
# What people get wrong, and what broken files do: exit code 2, one clear line, nothing overwritten.
#   TEMPER_BIN=build/bin TEMPER_SOURCE=. tests/apps/bad_input.sh
set -uo pipefail
bin=$(realpath "${TEMPER_BIN:?}") source=$(realpath "${TEMPER_SOURCE:?}")
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work" || exit 1
failed=0 cases=0
fail() { echo "FAIL: $*"; failed=1; }

# Sizes that a file only claims must not be allocated, nor counted through. A sanitizer needs more addresses than any such limit
# leaves: there a single allocation is limited.
memory=8000000
if ! (ulimit -v $memory; exec "$bin/temper-inspect" list reward math) > /dev/null 2>&1; then
  memory=unlimited
  export ASAN_OPTIONS=${ASAN_OPTIONS:-}:max_allocation_size_mb=8000 TSAN_OPTIONS=${TSAN_OPTIONS:-}:max_allocation_size_mb=8000
fi

# refuses WHAT PATTERN COMMAND...: exit code 2 and one line (indented details and warnings apart) that matches the pattern.
refuses() {
  local what=$1 pattern=$2 code lines
  shift 2
  cases=$((cases + 1))
  (ulimit -v $memory -t 20; exec timeout 120 "$@") > out 2> err < /dev/null
  code=$?
  lines=$(grep -vcE '^  |^warning: |^Run with --help' err)
  [ $code = 2 ] || fail "$what: exit code $code, expected 2: $(head -c 400 err)"
  [ "$lines" = 1 ] || fail "$what: $lines lines, expected one: $(head -c 600 err)"
  grep -qE -- "$pattern" err || fail "$what: \"$(head -c 400 err)\" does not match \"$pattern\""
  grep -qE 'internal error|terminate called|what\(\)|std::|0x[0-9a-f]{8}' err && fail "$what: not for people: $(head -c 400 err)"
  iconv -f UTF-8 -t UTF-8 err > out 2>&1 || fail "$what: bytes that are not text: $(head -c 400 err)"
  grep -qP '[\x00-\x08\x0b-\x1f]' err && fail "$what: control characters: $(cat -v err | head -c 400)"
}

base() {  # FILE DATA [further sections]
  cat > "$1" <<JSON
{ "task": "sft", "threads": 1,
  "model": {"dtype": "f32", "init": {"vocab": 400, "hidden": 32, "intermediate": 64, "layers": 2, "heads": 2, "kv_heads": 1, "max_positions": 256}},
  "data": {"train": ["$2"], "max_tokens": 200},
  "train": {"steps": 6, "batch_size": 4}, "checkpoint": {"every": 2, "keep": 3}, "run": "unused"${3:+, $3} }
JSON
}
train() { "$bin/temper-train" "$@" --quiet; }

good=$source/data/arithmetic/train.jsonl
base sft.json "$good"
train sft.json --run sft || { echo "FAIL: the model that this test needs could not be made"; exit 1; }
base lora.json "$good" '"adapter": {"kind": "lora", "rank": 2}'
train lora.json --set 'model={"path": "sft/final", "dtype": "f32"}' --run lora || { echo "FAIL: the adapter that this test needs could not be made"; exit 1; }
find sft lora -type f -exec cksum {} + | sort > before

# ---------------------------------------------------------------------------------------------------------- configs
t=$bin/temper-train
refuses "no such config" 'nowhere.json' "$t" nowhere.json
refuses "an unknown key" 'did you mean "?batch_size' "$t" sft.json --set train.batchsize=4 --run new
refuses "a wrong type" 'train.steps.*"?many' "$t" sft.json --set train.steps=many --run new
refuses "out of range" 'train.steps' "$t" sft.json --set train.steps=0 --run new
refuses "an unknown choice" 'adamv.*adamw|adamw.*adamv' "$t" sft.json --set optimizer.name=adamv --run new
refuses "a shape that cannot be" 'heads' "$t" sft.json --set model.init.heads=3 --run new
refuses "a quantised base that trains" 'model.quantise.*"nf4".*"full".*lora' "$t" sft.json --set model.quantise=nf4 --run new
refuses "an unknown format of weights" 'model.quantise.*int8' "$t" lora.json --set model.quantise=int4 --run new
refuses "no rewards for rl" 'rewards' "$t" sft.json --set task=rl --run new
"$t" sft.json --set train.stepz=1 --set optimizer.lrr=1 --run new 2> err
[ $? = 2 ] && grep -q stepz err && grep -q lrr err || fail "several problems at once: not all are told: $(cat err)"
echo '{ "task": "sft", ' > torn.json
refuses "a config cut short" 'torn.json' "$t" torn.json
echo '[1, 2]' > list.json
refuses "a config that is no object" 'list.json' "$t" list.json
printf '{"task": "sft", "run": "\xff\xfe"}' > bytes.json
refuses "a config that is not UTF-8" 'bytes.json' "$t" bytes.json
printf '{"extends": "self.json", "task": "sft"}' > self.json
refuses "a config that extends itself" 'self.json' "$t" self.json
head -c 200000 /dev/zero | tr '\0' '[' > deep.json
refuses "a config nested without end" 'deep.json' "$t" deep.json
refuses "a missing option" '--model' "$bin/temper-inspect" logprob --input ids.jsonl

# ------------------------------------------------------------------------------------------------------------- data
data() { base data.json "$1"; refuses "$2" "$3" "$t" data.json --set 'model={"path": "sft/final", "dtype": "f32"}' --run "new-$1"; }
data missing.jsonl "a missing data file" 'missing.jsonl'
: > empty.jsonl
data empty.jsonl "an empty data file" 'empty.jsonl'
mkdir -p folder.jsonl
data folder.jsonl "a folder as data" 'folder.jsonl'
{ head -n 2 "$good"; echo '{"prompt": "a", "completion": '; } > line.jsonl
data line.jsonl "a bad line" 'line.jsonl:3'
{ head -n 1 "$good"; echo '"just a text"'; } > text.jsonl
data text.jsonl "a line that is no object" 'text.jsonl:2'
{ head -n 1 "$good"; printf '{"prompt": "a\xff\xfe", "completion": "b"}\n'; } > utf8.jsonl
data utf8.jsonl "invalid UTF-8" 'utf8.jsonl:2'
{ head -n 1 "$good"; echo '{"question": "a", "reply": "b"}'; } > keys.jsonl
data keys.jsonl "a record of unknown columns" 'keys.jsonl:2'
{ head -n 1 "$good"; echo '{"prompt": "a", "completion": 7}'; } > number.jsonl
data number.jsonl "a column of another type" 'number.jsonl:2'
echo '{"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]}' > chat.jsonl
base chat.json chat.jsonl
cp -r sft/final plain && rm -f plain/tokenizer_config.json plain/chat_template.jinja
refuses "a chat without a template" 'template' "$t" chat.json --set 'model={"path": "plain", "dtype": "f32"}' --run chat
base over.json "$good"
refuses "nothing short enough" 'max_tokens' "$t" over.json --set data.max_tokens=2 --run over
head -n 3 "$good" > three.jsonl
"$bin/temper-generate" --model sft/final --dtype f32 --input three.jsonl --max-new-tokens 2 --output generated.jsonl > out 2> err || fail "answers could not be generated: $(cat err)"
data generated.jsonl "generated answers in a list" 'generated.jsonl:1: the generated answers.*--write completions'
refuses "completions of no input" '--write completions goes with --input' "$bin/temper-generate" --model sft/final --prompt a --write completions
printf '{"prompt": "%s"}\n' "$(head -c 3000 /dev/zero | tr '\0' w)" > long.jsonl
refuses "a prompt longer than the model reads" 'long.jsonl:1: the prompt has' "$bin/temper-generate" --model sft/final --input long.jsonl
refuses "no prompt short enough" 'none of the 1 prompts' "$bin/temper-generate" --model sft/final --input long.jsonl --overlong drop
refuses "an example too long" 'train.jsonl:[0-9]+' "$t" over.json --set data.max_tokens=20 --set data.overlong=error --run over2

# ------------------------------------------------------------------------------------------------------- templates
template() {  # WHAT PATTERN TEXT
  printf '%s' "$3" > hostile.jinja
  refuses "$1" "$2" "$bin/temper-inspect" template --model sft/final --template hostile.jinja --input messages.json
}
echo '[{"role": "user", "content": "a"}]' > messages.json
template "a template without end" 'template|jinja' '{% for m in messages %}{{ m.content }}'
template "a template that counts for ever" 'template|jinja' '{% for i in range(1000000000) %}{% for j in range(1000000000) %}xxxxxxxxxx{% endfor %}{% endfor %}'
template "a template that grows" 'template|jinja' '{% set ns = namespace(x="xxxxxxxxxxxxxxxx") %}{% for i in range(100) %}{% set ns.x = ns.x ~ ns.x %}{% endfor %}{{ ns.x }}'
template "a template nested without end" 'template|jinja' "{{ $(head -c 100000 /dev/zero | tr '\0' '(') }}"
template "a template with a name that nobody knows" 'template|jinja' '{{ messages | explode }}'

# ---------------------------------------------------------------------------------------------------------- models
broken() { rm -rf broken; cp -r sft/final broken; }
model() { refuses "$1" "$2" "$bin/temper-inspect" logprob --model broken --input ids.jsonl; }
echo '{"ids": [5, 6, 7]}' > ids.jsonl
refuses "no such model" 'nowhere' "$bin/temper-inspect" model nowhere
refuses "no such model to train" 'nowhere' "$t" sft.json --set 'model={"path": "nowhere"}' --run new
mkdir -p bare
refuses "a model folder without a model" 'config.json' "$bin/temper-inspect" model bare
for size in 0 4 1000 20000; do
  broken; truncate -s $size broken/model.safetensors
  model "weights cut to $size bytes" 'model.safetensors'
done
broken; printf '\xff\xff\xff\xff\xff\xff\xff\x7f' | dd of=broken/model.safetensors conv=notrunc status=none
model "a header longer than the file" 'model.safetensors'
broken; printf '\xff\xff\xff\xff' | dd of=broken/model.safetensors bs=1 seek=9 conv=notrunc status=none
model "a header that is no JSON" 'model.safetensors'
broken; sed -i '1s/"F32"/"Q99"/' broken/model.safetensors
model "weights of an unknown type" 'model.safetensors.*Q99|Q99.*model.safetensors'
broken; sed -i '1s/"data_offsets":\[[0-9]*,/"data_offsets":[9,/' broken/model.safetensors
model "weights that overlap" 'model.safetensors'
broken; rm broken/model.safetensors
model "no weights" 'safetensors'
for change in 's/"hidden_size": *[0-9]*/"hidden_size": 1000000000000/' 's/"hidden_size": *[0-9]*/"hidden_size": -32/' \
  's/"hidden_size": *[0-9]*/"hidden_size": "wide"/' 's/"num_attention_heads": *[0-9]*/"num_attention_heads": 0/' \
  's/"num_hidden_layers": *[0-9]*/"num_hidden_layers": 2000000000/' 's/"vocab_size": *[0-9]*/"vocab_size": 9000000000000000000/' \
  's/"vocab_size": *[0-9]*/"vocab_size": 99999999999999999999999/' 's/"model_type": *"[a-z]*"/"model_type": "frog"/' \
  's/"num_key_value_heads": *[0-9]*/"num_key_value_heads": 7/' 's/"intermediate_size": *[0-9]*/"intermediate_size": 65/' \
  's/"rms_norm_eps": *[0-9.e+-]*/"rms_norm_eps": "small"/'; do
  broken; sed -i "$change" broken/config.json
  cmp -s broken/config.json sft/final/config.json && fail "$change changes nothing"
  model "config.json after $change" 'broken'
done
broken; truncate -s 100 broken/config.json
model "config.json cut short" 'config.json'
tokenizer() { refuses "$1" 'tokenizer' "$bin/temper-inspect" tokenize --model broken --text hello; }
for size in 0 50 2000; do
  broken; rm -f broken/tokenizer.model; truncate -s $size broken/tokenizer.json
  tokenizer "tokenizer.json cut to $size bytes"
done
broken; rm -f broken/tokenizer.model broken/tokenizer.json
tokenizer "no tokenizer"
broken; rm -f broken/tokenizer.model; echo '{"model": {"type": "BPE", "vocab": {"a": 99999999999}, "merges": [["a", "zz"]]}}' > broken/tokenizer.json
tokenizer "a tokenizer of nonsense"
echo '{"ids": [1, 400000000]}' > large.jsonl
refuses "an id outside the vocabulary" 'large.jsonl:1' "$bin/temper-inspect" logprob --model sft/final --input large.jsonl
echo '{"ids": ["a"]}' > letters.jsonl
refuses "ids that are no numbers" 'letters.jsonl:1' "$bin/temper-inspect" logprob --model sft/final --input letters.jsonl

# -------------------------------------------------------------------------------------------------------- adapters
adapter() { refuses "$1" 'nowhere|broken|adapter' "$bin/temper-inspect" logprob --model sft/final --adapter "$2" --input ids.jsonl; }
adapter "no such adapter" nowhere
adapter "an empty adapter folder" bare
lora() { rm -rf broken; cp -r lora/final broken; }
lora; truncate -s 200 broken/adapter_model.safetensors; adapter "an adapter cut short" broken
lora; sed -i 's/"r": *2/"r": 3/' broken/adapter_config.json; adapter "an adapter of another rank" broken
lora; sed -i 's/"r": *2/"r": -1/' broken/adapter_config.json; adapter "an adapter of a negative rank" broken
lora; sed -i 's/"r": *2/"r": 4000000000000/' broken/adapter_config.json; adapter "an adapter of a huge rank" broken
kinds() { refuses "$1" "$2" "$bin/temper-train" sft.json --run refused --set 'model={"path": "sft/final", "dtype": "f32"}' --set "adapter=$3"; }
kinds "a kind that is none" 'dora' '{"kind": "dorra"}'
kinds "singular vectors that a weight has not" 'rank: 500 of .* takes at most' '{"kind": "pissa", "rank": 500}'
kinds "a prompt's text without its init" 'adapter.text' '{"kind": "prompt", "text": "Answer:"}'
kinds "an input that its neighbours read too" 'o_proj or down_proj' '{"kind": "ia3", "targets": ["up_proj"], "feedforward": ["up_proj"]}'
kinds "iterations of a decomposition that is not made" 'svd_iterations' '{"kind": "lora", "svd_iterations": 3}'
refuses "a weight that is no number" 'expected a number' "$bin/temper-generate" --model sft/final --adapter lora/final@much --prompt 1
refuses "two adapters of one name" 'already' "$bin/temper-generate" --model sft/final --adapter lora/final --adapter lora/final --prompt 1
echo '{"prompt": "1", "adapter": "other"}' > named.jsonl
refuses "an adapter that was not loaded" 'there is no adapter "other"' "$bin/temper-generate" --model sft/final --adapter one=lora/final --input named.jsonl
refuses "an adapter to make without one given" '--adapter' "$bin/temper-convert" sft/final refused --unmerge
lora; truncate -s 30 broken/adapter_config.json; adapter "adapter_config.json cut short" broken

# ------------------------------------------------------------------------------------------------------------ GGUF
if [ -x "$bin/temper-convert" ]; then
  gguf() { refuses "$1" 'broken.gguf' "$bin/temper-convert" broken.gguf converted; [ -e converted ] && { fail "$1: left a folder"; rm -rf converted; }; }
  : > broken.gguf; gguf "an empty GGUF"
  echo 'no GGUF at all' > broken.gguf; gguf "a text as GGUF"
  printf 'GGUF\x03\x00\x00\x00' > broken.gguf; gguf "a GGUF cut after its version"
  printf 'GGUF\x03\x00\x00\x00\xff\xff\xff\xff\xff\xff\xff\x7f\xff\xff\xff\xff\xff\xff\xff\x7f' > broken.gguf; gguf "a GGUF of countless tensors"
  if "$bin/temper-convert" sft/final whole.gguf --to gguf > out 2> err; then
    for size in 30 500 5000 50000; do head -c $size whole.gguf > broken.gguf; gguf "a GGUF cut to $size bytes"; done
  else
    fail "a small model could not be written as GGUF: $(cat err)"
  fi
fi

# -------------------------------------------------------------------------------------------------- preferences
cat > pairs.json <<JSON
{ "task": "preference", "threads": 1, "model": {"path": "sft/final", "dtype": "f32"}, "data": {"train": ["pairs.jsonl"], "max_tokens": 200},
  "train": {"steps": 2, "batch_size": 2}, "checkpoint": {"every": 0}, "run": "unused" }
JSON
pairs() { refuses "$1" "$2" "$t" pairs.json --run new "${@:3}"; }
cp "$good" pairs.jsonl; pairs "no pairs" 'pairs.jsonl:1.*chosen'
echo '{"prompt": "p", "chosen": "c"}' > pairs.jsonl; pairs "a pair without a rejected answer" 'pairs.jsonl:1'
echo '{"chosen": "same", "rejected": "same"}' > pairs.jsonl; pairs "equal answers" 'pairs.jsonl:1'
echo '{"prompt": "p", "chosen": "c", "rejected": 3}' > pairs.jsonl; pairs "a number as an answer" 'pairs.jsonl:1.*rejected'
echo '{"prompt": "p", "completion": "c", "label": "yes"}' > pairs.jsonl; pairs "a label of text" 'pairs.jsonl:1.*label' --set algorithm.name=kto
echo '{"prompt": "p", "chosen": "c", "rejected": "d"}' > pairs.jsonl; pairs "a loss that is not there" 'did you mean "?dpo' --set algorithm.name=dop
pairs "pairs for a loss of single answers" 'pairs.jsonl:1.*label' --set algorithm.name=kto
pairs "every pair too long" 'max_tokens' --set data.max_tokens=2
pairs "no rewards for online pairs" 'rewards' --set pairs.from=online
pairs "ratings that are not there" 'pairs.jsonl:1.*completions' --set pairs.from=ratings --set pairs.stages=1
pairs "two adapters for a loss of one" 'lora_pair' --set 'adapter={"kind": "lora_pair"}'
pairs "a cache of a reference that moves" 'reference.cache' --set reference.cache=on --set reference.sync_every=4

# ------------------------------------------------------------------------------------------- supervised inputs
cat > inputs.json <<JSON
{ "task": "sft", "threads": 1, "model": {"path": "sft/final", "dtype": "f32"}, "data": {"train": ["scored.jsonl"], "max_tokens": 200},
  "train": {"steps": 2, "batch_size": 2}, "checkpoint": {"every": 0}, "run": "unused" }
JSON
inputs() { refuses "$1" "$2" "$t" inputs.json --run "new-inputs" "${@:3}"; }
{ echo '{"prompt": "p", "completion": "c", "reward": 1}'; echo '{"prompt": "p", "completion": "c"}'; } > scored.jsonl
inputs "a loss without rewards" 'scored.jsonl:2: has no column "reward".*rwr' --set loss.name=rwr
inputs "another reward column" 'scored.jsonl:1: has no column "score"' --set loss.name=unlikelihood --set data.reward_column=score
inputs "a filter without rewards" 'scored.jsonl:2: has no column "reward"' --set 'inputs=[{"kind": "filter"}]'
echo '{"prompt": "p", "completion": "c", "reward": "good"}' > scored.jsonl
inputs "a reward of text" 'scored.jsonl:1.*finite number.*good' --set 'inputs=[{"kind": "conditional"}]'
echo '{"prompt": "p", "completion": "c", "reward": 0}' > scored.jsonl
inputs "a filter that leaves nothing" 'no record of data.train' --set 'inputs=[{"kind": "filter", "min": 1}]'
inputs "control tokens that are equal" 'good and bad' --set 'inputs=[{"kind": "conditional", "good": "x", "bad": "x"}]'
inputs "a mask that the tokenizer lacks" 'no token "\[mask\]"' --set 'inputs=[{"kind": "masked_thought", "token": "[mask]"}]'
inputs "feedback that is missing" 'scored.jsonl:1: has no column "feedback"' --set 'inputs=[{"kind": "leti"}]'
inputs "refinements that are missing" 'scored.jsonl:1: has no column "refinements"' --set 'inputs=[{"kind": "ilf"}]'
inputs "own answers that are missing" 'scored.jsonl:1: has no column "own"' --set 'inputs=[{"kind": "rac", "column": "own"}]'
inputs "own answers longer than the model" 'scored.jsonl:1.*positions' --set 'inputs=[{"kind": "rac", "max_new_tokens": 1000}]'
inputs "weights of other files" '2 numbers for 1 files' --set 'data.weights=[1, 2]'
inputs "an input that is not there" 'did you mean "?neftune|neftune' --set 'inputs=[{"kind": "neftun"}]'

# -------------------------------------------------------------------------------------------------- distillation
cat > distill.json <<JSON
{ "task": "distill", "threads": 1, "model": {"path": "sft/final", "dtype": "f32"}, "teachers": [{"path": "sft/final"}],
  "data": {"train": ["$good"], "max_tokens": 200}, "train": {"steps": 2, "batch_size": 2}, "checkpoint": {"every": 0}, "run": "unused" }
JSON
distil() { refuses "$1" "$2" "$t" distill.json --run new "${@:3}"; }
distil "no teachers" 'teachers' --set 'teachers=[]'
distil "no such teacher" 'nowhere' --set teachers.0.path=nowhere
base other.json "$good"
train other.json --set model.init.vocab=390 --set train.steps=1 --run other || fail "the teacher of another vocabulary could not be made"
distil "a teacher of another vocabulary" 'teachers.0.path.*tokenizer' --set teachers.0.path=other/final
echo '{"prompt": "Wo 1 + 1?", "completion": "2"}' > own.jsonl
tr 'bdfghjkuvy' 'dfghjkuvyb' < "$good" > letters2.jsonl  # other words, the same columns
echo '{"text": "no prompt at all"}' > prompts.jsonl
base words.json letters2.jsonl
train words.json --set train.steps=1 --run words || fail "the teacher of other words could not be made"
distil "a teacher of as many other tokens" 'teachers.0.path.*token [0-9]+ is' --set teachers.0.path=words/final
distil "a text as a prompt" 'prompts.jsonl:1' --set on_policy_share=0.5 --set 'data.train=["prompts.jsonl"]'
distil "samples that are too long" 'positions' --set on_policy_share=0.5 --set rollout.max_new_tokens=250
distil "minillm at another temperature" 'temperature 1' --set algorithm.name=minillm --set rollout.temperature=0.5
distil "sampled_kd without a cache" 'teacher_cache' --set algorithm.name=sampled_kd --set 'teachers=[]'
distil "a cache for another loss" 'teacher_cache.*sampled_kd' --set teacher_cache=own.jsonl
cached() { distil "$@" --set algorithm.name=sampled_kd --set 'teachers=[]'; }
cached "no such cache" 'nowhere' --set teacher_cache=nowhere
cached "a cache that is none" 'own.jsonl.*no teacher cache' --set teacher_cache=own.jsonl
g=$bin/temper-generate
head -n 20 "$good" > some.jsonl
"$g" --model sft/final --dtype f32 --teacher-cache cache --input some.jsonl --draws 5 > out 2> err || fail "a teacher cache could not be written: $(cat err)"
cached "a cache of other data" 'cache.*some.jsonl.*data.train' --set teacher_cache=cache --set data.max_tokens=1024
cached "a cache made with other settings" 'cache: made with .*targets auto.*targets all' --set teacher_cache=cache --set 'data.train=["some.jsonl"]' --set data.targets=all --set data.max_tokens=1024
cached "a cache for another tokenizer" 'cache.*tokenizer' --set teacher_cache=cache --set model.path=other/final
head -c 3000 cache > cut; cached "a cache cut short" 'cut: the file is cut short' --set teacher_cache=cut --set 'data.train=["some.jsonl"]'
refuses "a cache of no input" '--teacher-cache' "$g" --model sft/final --teacher-cache new-cache --prompt hello
refuses "a cache in no folder" '--teacher-cache nowhere' "$g" --model sft/final --teacher-cache nowhere/cache --input some.jsonl
echo '{"question": "a"}' > keys2.jsonl
refuses "a cache of unknown columns" 'keys2.jsonl:1' "$g" --model sft/final --teacher-cache new-cache --input keys2.jsonl
[ -e new-cache ] && fail "a refused command wrote a cache"
constrained() { refuses "$1" "$2" "$g" --model sft/final --dtype f32 --prompt 1 --max-new-tokens 8 "${@:3}"; }
constrained "an expression that is none" '--regex: the regular expression "a\(", at byte 2: the group is never closed' --regex 'a('
constrained "an expression that matches nothing" '--regex: the regular expression matches no text' --regex '[^\s\S]'
constrained "an expression that is too large" '--regex: its automaton is too large' --regex '(a|b)*a(a|b){40}'
constrained "two constraints" '--regex: goes without json_schema' --regex a --json-schema '{}'
constrained "no such schema" '--json-schema: nowhere.json: cannot open' --json-schema nowhere.json
constrained "a schema of unknown keywords" '--json-schema: /: "not" is not offered' --json-schema '{"not": {}}'
constrained "a schema that nothing fits" '--json-schema: no value fits' --json-schema '{"enum": []}'
constrained "a schema that is none" 'expected a schema' --json-schema "$source/data/arithmetic/../../tests/grammar/golden/regex.json"
constrained "a constraint of what never ends" 'a constraint needs an end token' --regex a --ignore-end
constrained "a constraint on a search" 'search: ' --regex a --search beam

# ---------------------------------------------------------------------------------------------------- run folders
refuses "nothing to resume" 'new' "$t" sft.json --run new --resume must
refuses "a run that must not be there" 'sft' "$t" sft.json --run sft --resume never
refuses "a changed config" 'another config' "$t" sft.json --run sft --set optimizer.lr=0.5
grep -q 'optimizer.lr.*0.5' err || fail "a changed config: the difference is not shown: $(cat err)"
refuses "a model folder as run folder" 'config' "$t" sft.json --run sft/final
refuses "a run folder that is a file" 'sft.json' "$t" sft.json --run sft.json
refuses "a folder without a run" 'bare' "$bin/temper-inspect" run bare
name=$(printf 'a%.0s' {1..300}) && ln -s loop loop && mkdir -m 700 closed
refuses "a run folder of too long a name" 'aaa.*File name too long' "$t" sft.json --run "$name"
refuses "a model folder of too long a name" 'aaa.*File name too long' "$bin/temper-convert" "$name" out
refuses "a run folder in a circle of links" 'loop.*symbolic links' "$bin/temper-inspect" run loop
refuses "a run folder in a circle of links, to train in" 'loop.*symbolic links' "$t" sft.json --run loop
refuses "a model folder in a circle of links" 'loop.*symbolic links' "$bin/temper-inspect" model loop
if [ "$(id -u)" = 0 ] && setpriv --reuid=65534 --clear-groups true 2> err; then
  # What another user may not do. The programs and this folder must be open to it.
  chmod 711 . && nobody() { refuses "$1" "$2" setpriv --reuid=65534 --clear-groups "${@:3}"; }
  setpriv --reuid=65534 --clear-groups "$t" --help > out 2>&1 && setpriv --reuid=65534 --clear-groups test -r "$good" && {
    nobody "a run folder without permission" 'closed/r.*Permission denied' "$t" sft.json --run closed/r
    nobody "a config without permission" 'closed/x.json.*Permission denied' "$bin/temper-inspect" config closed/x.json
    nobody "a run folder that cannot be made" 'unwritable.*Permission denied' "$t" sft.json --run unwritable
    nobody "another user's run" 'sft/lock.*Permission denied' "$t" sft.json --run sft
    nobody "a model folder without permission" 'closed/m.*Permission denied' "$bin/temper-inspect" model closed/m
  }
fi
schedule() { refuses "$1" "$2" "$bin/temper-inspect" schedule "${@:3}"; }
schedule "a schedule of nothing" 'give a config file'
schedule "a refined schedule without a place for it" '--output' --from sft
schedule "a refined schedule of a folder without a run" 'bare' --from bare --output refined.json
schedule "a drawing in a folder that is not there" 'nowhere' sft.json --output nowhere/schedule.svg
refuses "another format of weights" 'int4.*nf4|nf4.*int4' "$bin/temper-eval" --model sft/final --data "$good" --reward math --quantise int4
find sft lora -type f -exec cksum {} + | sort > after
cmp before after || fail "a refused command changed a run folder"
[ -e new ] && [ -e new/checkpoints ] && fail "a refused command began a run"

# The files that a run reads are part of it.
cp "$good" changing.jsonl && base changing.json changing.jsonl
train changing.json --run changing || fail "the run that this test needs could not be made"
echo '{"prompt": "a", "completion": "b"}' >> changing.jsonl
refuses "changed data" 'changing: files .*--accept-changed-data' "$t" changing.json --run changing
grep -q '^  data.train: .*changing.jsonl: [0-9]* bytes then, [0-9]* now' err || fail "changed data: not named: $(cat err)"
train changing.json --run changing --accept-changed-data 2> err || fail "changed data that was accepted: $(cat err)"

# What was refused before its first step can be put right in the same folder.
refuses "no such model, once more" 'nowhere' "$t" sft.json --set 'model={"path": "nowhere"}' --run fixed
train sft.json --run fixed 2> err || fail "a run that never began keeps its mistaken config: $(cat err)"

# A torn checkpoint is passed over, with a warning, and the end is the same.
cp -r sft torn && rm -r torn/final
truncate -s 100 torn/checkpoints/step-6/optimizer.safetensors
train sft.json --run torn 2> err || fail "a torn checkpoint: $(cat err)"
grep -q 'step-6.*passed over' err || fail "a torn checkpoint: no warning: $(cat err)"
cmp sft/final/model.safetensors torn/final/model.safetensors || fail "a torn checkpoint: other weights"
rm -f torn/checkpoints/*/DONE
(ulimit -v $memory; train sft.json --run torn --resume must) 2> err
[ $? = 2 ] && grep -q 'no whole checkpoint' err || fail "only torn checkpoints: $(cat err)"

# --------------------------------------------------------------------------------------------- external rewards
cat > rl.json <<JSON
{ "task": "rl", "threads": 1, "model": {"path": "sft/final", "dtype": "f32"}, "data": {"train": ["$good"], "max_tokens": 200},
  "rollout": {"prompts_per_step": 2, "group_size": 4, "max_new_tokens": 4},
  "rewards": [{"kind": "process", "command": ["./judge"], "timeout_s": 2}],
  "train": {"steps": 6, "batch_size": 2}, "checkpoint": {"every": 1}, "run": "unused" }
JSON
refuses "a reward program that is not there" 'judge' "$t" rl.json --run rl --quiet
cat > judge <<'SH'
#!/usr/bin/env bash
while read -r line && [ $((++n)) -le 18 ]; do id=${line#*\"id\":}; echo "{\"id\": ${id%%,*}, \"score\": $((n % 3))}"; done
rm -f "$0"
SH
chmod +x judge
refuses "a reward program that vanishes" 'judge' "$t" rl.json --run rl --quiet
"$bin/temper-inspect" run rl > out 2> err || fail "a reward program that vanishes: the run is broken: $(cat err)"
grep -q '"whole":true' out || fail "a reward program that vanishes: no whole checkpoint is left: $(cat out)"

# ---------------------------------------------------------------------------------------------------- reward models
cat > scored.json <<JSON
{ "task": "reward_model", "threads": 1, "model": {"path": "sft/final", "dtype": "f32"}, "data": {"train": ["$source/data/pairs/train.jsonl"], "max_tokens": 200},
  "train": {"steps": 2, "batch_size": 2}, "checkpoint": {"every": 0}, "run": "scored" }
JSON
train scored.json --run scored || fail "the reward model that this test needs could not be made"
refuses "a record that no loss learns from" 'train.jsonl:1.*chosen' "$t" scored.json --set "data.train=[\"$good\"]" --run new
echo '{"prompt": "a", "completion": "b", "ratings": {"x": "good"}}' > ratings.jsonl
refuses "ratings that are words" 'ratings.jsonl:1.*ratings.x' "$t" scored.json --set algorithm.name=regression --set 'data.train=["ratings.jsonl"]' --run new
refuses "an output that the model lacks" 'algorithm.head' "$t" scored.json --set algorithm.head=4 --run new
refuses "a verbaliser's word of several tokens" 'score.yes.*one token' "$t" scored.json --set 'score={"mode": "verbaliser", "yes": "certainly so"}' --run new
refuses "a policy without a language-model head" 'no language-model head' "$t" sft.json --set 'model={"path": "scored/final", "dtype": "f32"}' --run new
refuses "log-probs of a reward model" 'no language-model head' "$bin/temper-inspect" logprob --model scored/final --input ids.jsonl
refuses "a reward model as GGUF" 'sequence classification' "$bin/temper-convert" scored/final out.gguf --to gguf
refuses "weights beyond those of another shape" 'not of one shape' "$bin/temper-convert" sft/final beyond --merge expo --with scored/final
reward() { refuses "$1" "$2" "$t" rl.json --set "rewards=[$3]" --run rl-model; }
printf '{"prompt": "a", "answer": "$ $"}\n{"prompt": "b", "answer": ""}\n' > odd.jsonl
refuses "a GPU where LibTorch has none" 'device: "cuda": .*(without CUDA|cannot be loaded|no NVIDIA driver)' "$t" sft.json --set device=cuda --run new
refuses "a GPU, for generating" 'device: "cuda"' "$bin/temper-generate" --model sft/final --device cuda --prompt 1
refuses "references that are no answers" 'data.train: reward math can score none of the 2 records.*odd.jsonl:1' "$t" rl.json --set 'rewards=[{"kind": "math"}]' --set 'data.train=["odd.jsonl"]' --run new
refuses "references that no evaluation can read" '--data: reward math can score none.*odd.jsonl:1' "$bin/temper-eval" --model sft/final --data odd.jsonl --reward math
reward "a reward model that is not there" 'nowhere' '{"kind": "model", "path": "nowhere"}'
reward "a reward model without scores" 'score head' '{"kind": "model", "path": "sft/final"}'
reward "a reward model's score of another name" 'head.*helpfulness' '{"kind": "model", "path": "scored/final", "head": "helpfulness"}'
reward "a verbaliser without a head" 'no language-model head' '{"kind": "model", "path": "scored/final", "mode": "verbaliser", "yes": "1", "no": "2"}'
cp -r scored/final small && sed -i 's/"vocab_size": *[0-9]*/"vocab_size": 7/' small/config.json
reward "a reward model of fewer tokens" 'small' '{"kind": "model", "path": "small"}'

[ $failed = 0 ] && echo "$cases mistakes, each one line"
exit $failed
