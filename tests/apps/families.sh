#!/usr/bin/env bash
# Every family end to end: a tiny random model of it (tests/model/golden/families) takes steps of sft, dpo and grpo, and what is
# saved is read again. A mixture's balance loss does not depend on micro-batches or ranks.
#   TEMPER_BIN=build/bin TEMPER_SOURCE=. tests/apps/families.sh
. "$(dirname "$0")/shared/tiny.sh"

python3 "$(dirname "$0")/shared/letters.py" "$work"

common='"threads": 1, "optimizer": {"name": "adamw", "lr": 1e-3}'
sums="$source/data/arithmetic/train.jsonl" pairs="$source/data/pairs/train.jsonl"
cat > "$work/sft.json" <<JSON
{"task": "sft", $common, "model": {"path": "$work/model", "dtype": "f32"}, "data": {"train": ["$sums"], "max_tokens": 200},
 "train": {"steps": 2, "batch_size": 4}, "run": "sft"}
JSON
cat > "$work/dpo.json" <<JSON
{"task": "preference", $common, "model": {"path": "$work/sft/final", "dtype": "f32"}, "data": {"train": ["$pairs"], "max_tokens": 200},
 "train": {"steps": 2, "batch_size": 2}, "run": "dpo"}
JSON
cat > "$work/grpo.json" <<JSON
{"task": "rl", $common, "model": {"path": "$work/dpo/final", "dtype": "f32"}, "adapter": {"kind": "lora", "rank": 2},
 "data": {"train": ["$sums"], "max_tokens": 200}, "rollout": {"prompts_per_step": 2, "group_size": 2, "max_new_tokens": 8},
 "rewards": [{"kind": "contains", "texts": ["1", "2"]}], "algorithm": {"name": "grpo"}, "train": {"steps": 2}, "run": "grpo"}
JSON

figure() {  # RUN NAME: the last value of a metric
  python3 - "$1/metrics.jsonl" "$2" <<'PY'
import json, sys
rows = [json.loads(line) for line in open(sys.argv[1])]
print([r[sys.argv[2]] for r in rows if sys.argv[2] in r][-1])
PY
}

families=0
for folder in "$source"/tests/model/golden/families/*/; do
  name=$(basename "$folder")
  rm -rf "$work/model" "$work/sft" "$work/dpo" "$work/grpo"
  cp -r "$folder" "$work/model"
  cp "$work/tokenizer.json" "$work/tokenizer_config.json" "$work/model/"
  for task in sft dpo grpo; do
    "$bin/temper-train" "$work/$task.json" --run "$work/$task" --quiet 2> "$work/err" || fail "$name: $task: $(cat "$work/err")"
    python3 -c "import math, sys; sys.exit(not math.isfinite(float(sys.argv[1])))" "$(figure "$work/$task" loss)" || fail "$name: $task: no loss"
  done
  [ -f "$work/grpo/final/adapter_config.json" ] || fail "$name: no adapter"
  "$bin/temper-train" "$work/sft.json" --run "$work/plan" --plan > "$work/out" || fail "$name: no plan"
  families=$((families + 1))
done
[ "$families" -ge 27 ] || fail "only $families families"

# The same steps of a mixture, cut otherwise and on two ranks.
rm -rf "$work/model"
cp -r "$source/tests/model/golden/families/qwen3_moe" "$work/model"
cp "$work/tokenizer.json" "$work/tokenizer_config.json" "$work/model/"
strong='model.router_aux_loss_coef=5'
"$bin/temper-train" "$work/sft.json" --run "$work/whole" --quiet --set $strong
"$bin/temper-train" "$work/sft.json" --run "$work/cut" --quiet --set $strong --set train.micro_batch_tokens=150
"$bin/temper-train" "$work/sft.json" --run "$work/ranks" --quiet --set $strong --set train.micro_batch_tokens=150 --ranks 2
"$bin/temper-train" "$work/sft.json" --run "$work/none" --quiet --set model.router_aux_loss_coef=0
python3 - "$work" <<'PY'
import json, sys
def last(run):
    rows = [json.loads(line) for line in open(f"{sys.argv[1]}/{run}/metrics.jsonl")]
    return [r for r in rows if "router_load" in r][-1]
whole, cut, ranks, none = (last(r) for r in ("whole", "cut", "ranks", "none"))
for name in ("loss", "grad_norm", "router_load", "router_entropy", "router_balance"):
    for other in (cut, ranks):
        assert abs(whole[name] - other[name]) < 1e-5 * abs(whole[name]), (name, whole[name], other[name])
assert abs(whole["loss"] - none["loss"]) > 1, (whole["loss"], none["loss"])
assert whole["router_load"] >= 1 and whole["router_balance"] > 0
PY

# What decoding chose is what the update chooses, and can be replayed, on two ranks as on one.
for how in compare replay own; do
  "$bin/temper-train" "$work/grpo.json" --run "$work/$how" --quiet --set "model.path=$work/model" --set rollout.routing=$how
done
"$bin/temper-train" "$work/grpo.json" --run "$work/replay2" --quiet --set "model.path=$work/model" --set rollout.routing=replay --ranks 2
python3 - "$work" <<'PY'
import json, sys
def last(run):
    rows = [json.loads(line) for line in open(f"{sys.argv[1]}/{run}/metrics.jsonl")]
    return [r for r in rows if "router_load" in r][-1]
compare, replay, ranks, own = (last(r) for r in ("compare", "replay", "replay2", "own"))
assert compare["router_agreement"] == replay["router_agreement"] == 1, (compare, replay)
assert "router_agreement" not in own
for name in ("loss", "grad_norm", "router_entropy"):
    for other in (replay, ranks, own):
        assert abs(compare[name] - other[name]) < 1e-5 * max(1, abs(compare[name])), (name, compare[name], other[name])
PY

cp -r "$source/tests/model/golden/families/olmo2" "$work/dense"
"$bin/temper-inspect" model "$work/dense" > "$work/out"
grep -q "norms behind the sub-layers" "$work/out" || fail "temper-inspect model: $(cat "$work/out")"
cp "$work/tokenizer.json" "$work/tokenizer_config.json" "$work/dense/"
expect "router_aux_loss_coef" "$bin/temper-train" "$work/sft.json" --run "$work/run" --set "model.path=$work/dense" --set $strong
expect "rollout.routing" "$bin/temper-train" "$work/grpo.json" --run "$work/run" --set "model.path=$work/dense" --set rollout.routing=replay
sed -i 's/"model_type": "olmo2"/"model_type": "olmo9"/' "$work/dense/config.json"
expect "expected one of the families" "$bin/temper-inspect" model "$work/dense"
echo "ok: $families models, each sft, dpo and grpo"
