#!/usr/bin/env bash
# temper-convert --merge and --statistics, from trained folders to merged ones that run, and what they refuse.
#   TEMPER_BIN=build/bin TEMPER_SOURCE=. tests/apps/merge.sh
set -uo pipefail
bin=$(realpath "${TEMPER_BIN:?}") source=$(realpath "${TEMPER_SOURCE:?}")
golden=$source/tests/model/golden data=$source/data/arithmetic/test.jsonl
work=$(mktemp -d)
export XDG_CACHE_HOME=$work/cache
trap 'rm -rf "$work"' EXIT
cd "$work" || exit 1
failed=0
fail() { echo "FAIL: $*"; failed=1; }
convert() { "$bin/temper-convert" "$@" > out 2> err || fail "temper-convert $*: $(cat err)"; }
json() { python3 -c "import json, os, sys; j = json.load(open(sys.argv[1])); print(json.dumps($2))" "$1"; }
refuses() {  # PATTERN ARGUMENTS...: exit code 2, one line that matches, nothing left behind
  local pattern=$1 code
  shift
  "$bin/temper-convert" "$@" > out 2> err
  code=$?
  [ $code = 2 ] || fail "$*: exit code $code, expected 2: $(cat err)"
  [ "$(wc -l < err)" = 1 ] || fail "$*: expected one line: $(cat err)"
  grep -qE -- "$pattern" err || fail "$*: \"$(cat err)\" does not match \"$pattern\""
  [ ! -e no ] && ! find . -name '*.tmp' | grep -q . || { fail "$*: left files behind: $(ls)"; rm -rf no; }
}

# A base, two models trained from it, and an adapter for it.
cat > sft.json <<JSON
{ "task": "sft", "threads": 1, "model": {"init": {"vocab": 400, "hidden": 32, "intermediate": 48, "layers": 2, "heads": 2, "kv_heads": 1, "max_positions": 512}, "dtype": "f32"},
  "data": {"train": ["$source/data/arithmetic/train.jsonl"], "max_tokens": 128}, "optimizer": {"name": "adamw", "lr": 3e-3},
  "train": {"steps": 2, "batch_size": 2}, "checkpoint": {"every": 0}, "run": "first" }
JSON
train() { "$bin/temper-train" sft.json --quiet "$@" 2> err || fail "temper-train $*: $(cat err)"; }
train
ln -s first/final base
for run in a b lora; do
  more=(); [ $run = lora ] && more=(--set 'adapter={"kind": "lora", "rank": 4}')
  train --set 'model={"path": "base", "dtype": "f32"}' --set train.steps=4 --set seed=$((${#run} + ${#more[@]} + $(printf %d "'$run"))) --run $run "${more[@]}"
done

# Every method, by a recipe or by flags, gives a folder that runs.
cat > recipe.json <<JSON
{ // relative paths are relative to this file
  "method": "ties", "base": "base", "models": [{"path": "a/final"}, {"path": "b/final", "weight": 0.5}], "density": 0.3 }
JSON
convert --merge recipe.json by-recipe --data "$data" --data "$source/data/sums/test.jsonl" --limit 8
grep -q 'merged 2 models by ties: the weights moved by' err || fail "the merge is not told: $(cat err)"
grep -q 'loss of .*arithmetic/test.jsonl under merged: ' err || fail "the held-out loss is not told: $(cat err)"
[ "$(json by-recipe/merge.json '[len(j["loss"]), sorted(os.path.basename(k) for k in next(iter(j["loss"].values())))]')" = '[2, ["base", "final", "final", "merged"]]' ] || fail "merge.json: $(json by-recipe/merge.json 'j["loss"]')"
[ "$(json by-recipe/merge.json 'all(0 < t["kept"] <= 0.61 and t["agreeing"] <= 1 for n, t in j["tensors"].items() if "proj" in n)')" = true ] || fail "merge.json lacks figures by tensor"
convert base by-flags --merge ties --with a/final --with b/final@0.5 --set density=0.3
cmp by-recipe/model.safetensors by-flags/model.safetensors || fail "a recipe and the same flags give two merges"
for kind in gram kfac fisher; do
  for run in a b; do convert $run/final $run.$kind --statistics $kind --data "$data" --limit 6; done
done
models='"models": [{"path": "a/final", "statistics": "a.KIND"}, {"path": "b/final", "statistics": "b.KIND"}]'
merge() {  # NAME RECIPE
  printf '{%s}\n' "$2" > "$1.json"
  convert --merge "$1.json" "$1"
  "$bin/temper-generate" --model "$1" --prompt '1 + 1 =' --max-new-tokens 2 --threads 1 > out 2> err || fail "$1 does not generate: $(cat err)"
  [ -f "$1/merge.json" ] && [ -f "$1/tokenizer_config.json" ] || fail "$1: $(ls "$1")"
}
convert a/final average --merge linear --with b/final
convert a/final between --merge slerp --with b/final --set t=0.25
merge fisher "\"method\": \"fisher\", ${models//KIND/fisher}"
merge regmean "\"method\": \"regmean\", ${models//KIND/gram}"
merge mats "\"method\": \"mats\", \"objective\": \"kfac\", ${models//KIND/kfac}"
merge mats-base "\"method\": \"mats\", \"init\": \"base\", \"base\": \"base\", ${models//KIND/kfac}"
[ "$(json mats/merge.json 'all(t["residual"] <= t["residual_before"] for n, t in j["tensors"].items() if "proj" in n)')" = true ] || fail "mats: residuals grew"
merge dare '"method": "dare", "base": "base", "models": [{"path": "a/final"}, {"path": "b/final"}], "density": 0.7'
convert base stock --merge model_stock --with a/final --with b/final
convert base timber --merge timber --with a/final
convert base atlas --merge atlas --with a/final --with b/final --set "data=[\"$data\"]" --set steps=2
# Adapters are models: task arithmetic of LoRAs; and on to GGUF.
convert base moved --merge task_arithmetic --with lora/final@0.5 --with a/final
convert base moved.gguf --merge expo --with lora/final --set alpha=0.3 --to gguf
convert base moved16 --merge expo --with a/final --dtype bf16
[ "$(json moved16/config.json 'j["torch_dtype"]')" = '"bfloat16"' ] || fail "--dtype bf16: $(cat moved16/config.json)"
# An average with itself is itself; half of an adapter is what the adapter's own half weight gives.
convert a/final same --merge linear --with a/final
cmp a/final/model.safetensors same/model.safetensors || fail "the average of a model with itself is another"
convert base half --merge task_arithmetic --with lora/final@0.5
convert base half2 --adapter lora/final@0.5
python3 - half half2 <<'PY' || fail "half of an adapter differs by the way it is merged"
import json, struct, sys
def load(folder):
    raw = open(folder + "/model.safetensors", "rb").read()
    n = struct.unpack("<Q", raw[:8])[0]
    header = json.loads(raw[8 : 8 + n])
    return {k: struct.unpack(f"<{(v['data_offsets'][1] - v['data_offsets'][0]) // 4}f", raw[8 + n + v["data_offsets"][0] : 8 + n + v["data_offsets"][1]])
            for k, v in header.items() if k != "__metadata__"}
a, b = load(sys.argv[1]), load(sys.argv[2])
sys.exit(max(abs(x - y) for k in a for x, y in zip(a[k], b[k])) > 1e-6)
PY

# Model Stock every few steps: two trainings side by side, merged at the end of each round, from which the next goes on.
cat > rounds.json <<JSON
{ "task": "rounds", "threads": 1, "rounds": 2, "model": {"path": "base", "dtype": "f32"}, "data": {"train": ["$source/data/arithmetic/train.jsonl"], "max_tokens": 128},
  "phases": [
    {"kind": "train", "name": "a", "from": "round", "mix": ["$source/data/arithmetic/train.jsonl"], "config": TRAIN},
    {"kind": "train", "name": "b", "from": "round", "mix": ["$source/data/arithmetic/train.jsonl"], "config": TRAIN},
    {"kind": "merge", "of": ["a", "b"]}], "run": "stocked" }
JSON
sed -i 's|TRAIN|{"task": "sft", "optimizer": {"name": "adamw", "lr": 1e-3}, "train": {"steps": 2, "batch_size": 2}, "checkpoint": {"every": 1}}|' rounds.json
"$bin/temper-train" rounds.json --quiet 2> err || fail "rounds with a merge: $(cat err)"
cmp stocked/final/model.safetensors stocked/rounds/02/3-merge/model/model.safetensors || fail "the run does not end with the merged model"
cmp -s stocked/rounds/01/1-a/run/final/model.safetensors stocked/rounds/01/2-b/run/final/model.safetensors && fail "the trainings side by side are one"
for run in 1-a 2-b; do
  [[ $(json stocked/rounds/02/$run/run/config.json 'j["model"]["path"]') == *stocked/rounds/01/3-merge/model\" ]] || fail "$run: $(json stocked/rounds/02/$run/run/config.json 'j["model"]["path"]')"
done
[[ $(json stocked/rounds/02/3-merge/model/merge.json 'j["recipe"]["base"]') == *base\" ]] || fail "the base is another"
"$bin/temper-train" rounds.json --set phases.2.of='["a", "c"]' --set phases.2.by=fisher --run wrong > out 2> err
[ $? = 2 ] && grep -q 'phases.2.of: expected trainings before this phase, found "c"' err && grep -q 'fisher reads statistics' err || fail "a merge of nothing: $(cat err)"

# Mistakes.
refuses '--merge teis: .*did you mean "ties"' base no --merge teis --with a/final
refuses 'densty: unknown key; did you mean "density"' base no --merge ties --with a/final --with b/final --set densty=1
refuses 'density' base no --merge ties --with a/final --with b/final --set density=2
refuses 'models: ties merges at least 2 models, found 1' base no --merge ties --with a/final
refuses 'models: linear merges at least 2 models, found 1' a/final no --merge linear
refuses 'models: slerp merges 2 models, found 3' a/final no --merge slerp --with a/final --with b/final
refuses 'models: expo merges 1 model, found 2' base no --merge expo --with a/final --with b/final
refuses 'add up to 0' a/final no --merge linear --with b/final@-1
refuses 'takes positive weights, found -1' base no --merge ties --with a/final --with b/final@-1
refuses 'slerp takes no weights' a/final no --merge slerp --with b/final@2
refuses '--statistics gram' a/final no --merge regmean --with b/final
refuses 'kind fisher, found gram' --merge fisher.json no --set 'models=[{"path": "a/final", "statistics": "a.gram"}, {"path": "b/final", "statistics": "b.gram"}]'
refuses 'not of one shape: one has' "$golden/llama3" no --merge linear --with a/final
refuses 'two families: llama and qwen3' "$golden/llama3" no --merge linear --with "$golden/qwen3"
cp -r b/final other
python3 - <<'PY'
import json
tokenizer = json.load(open("other/tokenizer.json"))
tokenizer["added_tokens"].append({"id": 400, "content": "<other>", "special": True, "single_word": False, "lstrip": False, "rstrip": False, "normalized": False})
json.dump(tokenizer, open("other/tokenizer.json", "w"))
PY
refuses 'the tokenizers differ' a/final no --merge linear --with other
refuses 'expected a model folder, found nothing' a/final no --merge linear --with nowhere
refuses 'expected a model folder, found a file' a/final no --merge linear --with moved.gguf
refuses 'an adapter, which needs the base' a/final no --merge linear --with lora/final
refuses 'is there already' base a --merge expo --with a/final
refuses 'takes DST alone' base no --merge recipe.json
refuses '--with: goes with --merge METHOD' --merge recipe.json no --with a/final
refuses '--adapter: --merge takes adapters as models' base no --merge expo --with a/final --adapter lora/final
refuses 'DST: missing' base
refuses '--data: goes with --merge or --statistics' base no --data "$data"
refuses '--with: goes with --merge' base no --with a/final
refuses 'none.jsonl' base no --merge expo --with a/final --data none.jsonl
refuses 'nowhere.json' --merge nowhere.json no
refuses 'not finite' base no --merge task_arithmetic --with a/final@1e39
refuses '--statistics: needs --data' base no --statistics gram
refuses 'none.jsonl' a/final no --statistics gram --data none.jsonl
[ $failed = 0 ] && echo "merge: all as it should be"
exit $failed
