#!/usr/bin/env bash
# Kill at random moments, resume each time: the end must be the same bytes as that of an undisturbed run. Once for sft, once
# for rl with a group filter (leftovers), several optimizer updates a rollout batch, and dropout in a LoRA; for dpo with cached
# reference log-probs, whose cache is removed at every kill, on online pairs with a reference that moves, on rated answers in
# stages, and with a fast and a slow adapter; for sft with random inputs, under LISA that keeps and that offloads, and under IST;
# for a reward model; for a distillation half on the student's own samples.
#   TEMPER_BIN=build/bin TEMPER_SOURCE=. tests/apps/resume.sh [kills, default 4]
set -euo pipefail
bin=${TEMPER_BIN:?} source=${TEMPER_SOURCE:?} kills=${1:-4}
longer=$(( (kills + 3) / 4 ))  # so that the last kill still meets a running program
work=$(mktemp -d)
export XDG_CACHE_HOME=$work/cache
trap 'rm -rf "$work"' EXIT

cat > "$work/sft.json" <<JSON
{ "task": "sft", "threads": 2,
  "model": {"dtype": "f32", "init": {"vocab": 400, "hidden": 32, "intermediate": 64, "layers": 2, "heads": 2, "kv_heads": 1, "max_positions": 256}},
  "data": {"train": ["$source/data/arithmetic/train.jsonl"], "eval": ["$source/data/arithmetic/test.jsonl"], "max_tokens": 200},
  "optimizer": {"name": "adamw", "lr": 3e-3}, "train": {"steps": $((200 * longer)), "batch_size": 16},
  "eval": {"every": 20, "limit": 8}, "checkpoint": {"every": 7}, "run": "sft" }
JSON
cat > "$work/rl.json" <<JSON
{ "task": "rl", "threads": 2,
  "model": {"path": "base/final", "dtype": "f32"},
  "adapter": {"kind": "lora", "rank": 4, "dropout": 0.1, "targets": ["embed_tokens", "q_proj", "v_proj", "up_proj", "lm_head"]},
  "data": {"train": ["$source/data/arithmetic/train.jsonl"], "eval": ["$source/data/arithmetic/test.jsonl"], "max_tokens": 200},
  "rollout": {"prompts_per_step": 4, "group_size": 4, "max_new_tokens": 12},
  "rewards": [{"kind": "contains", "texts": ["1", "2"]}],
  "algorithm": {"name": "dapo", "kl_coef": 0.01}, "optimizer": {"name": "adamw", "lr": 1e-3},
  "train": {"steps": $((24 * longer)), "batch_size": 2, "updates_per_rollout": 2, "micro_batch_tokens": 300},
  "eval": {"every": 6, "limit": 8, "max_new_tokens": 12}, "checkpoint": {"every": 2}, "run": "rl" }
JSON

python3 "$source/scripts/data/arithmetic.py" --out "$work/pairs" --style pairs --train 200 --test 8 > "$work/log"
cat > "$work/preference.json" <<JSON
{ "task": "preference", "threads": 2,
  "model": {"path": "base/final", "dtype": "f32"},
  "data": {"train": ["pairs/train.jsonl"], "eval": ["pairs/test.jsonl"], "max_tokens": 200},
  "algorithm": {"name": "dpo"}, "optimizer": {"name": "adamw", "lr": 1e-4},
  "train": {"steps": $((60 * longer)), "batch_size": 4, "micro_batch_tokens": 300},
  "eval": {"every": 30}, "checkpoint": {"every": 7}, "run": "preference" }
JSON
cat > "$work/distill.json" <<JSON
{ "task": "distill", "threads": 2,
  "model": {"dtype": "f32", "init": {"tokenizer": "base/final", "hidden": 24, "intermediate": 48, "layers": 2, "heads": 2, "kv_heads": 1, "max_positions": 256}},
  "teachers": [{"path": "base/final"}],
  "data": {"train": ["$source/data/arithmetic/train.jsonl"], "eval": ["$source/data/arithmetic/test.jsonl"], "max_tokens": 200},
  "on_policy_share": 0.5, "rollout": {"max_new_tokens": 12},
  "algorithm": {"name": "gjsd"}, "optimizer": {"name": "adamw", "lr": 1e-3},
  "train": {"steps": $((80 * longer)), "batch_size": 8, "micro_batch_tokens": 300},
  "eval": {"every": 20, "limit": 8}, "checkpoint": {"every": 7}, "run": "distill" }
JSON

python3 -c '
import json, sys
for i, line in enumerate(open(sys.argv[1])): print(json.dumps({**json.loads(line), "reward": i % 3 - 1}))' \
  "$source/data/arithmetic/train.jsonl" > "$work/scored.jsonl"
sed '1,100d' "$work/scored.jsonl" > "$work/pairs/answers.jsonl"
cat > "$work/inputs.json" <<JSON
{ "task": "sft", "threads": 2,
  "model": {"path": "base/final", "dtype": "f32"},
  "data": {"train": ["scored.jsonl", "pairs/answers.jsonl"], "weights": [3, 1], "end_weights": [1, 3], "max_tokens": 200},
  "inputs": [{"kind": "conditional", "drop": 0.3}, {"kind": "masked_thought"}, {"kind": "bash"},
             {"kind": "rac", "max_new_tokens": 8}, {"kind": "neftune"}],
  "optimizer": {"name": "adamw", "lr": 1e-4}, "train": {"steps": $((60 * longer)), "batch_size": 8, "micro_batch_tokens": 300},
  "checkpoint": {"every": 7}, "run": "inputs" }
JSON

cat > "$work/reward_model.json" <<JSON
{ "task": "reward_model", "threads": 2,
  "model": {"path": "base/final", "dtype": "f32"}, "adapter": {"kind": "lora", "rank": 4, "dropout": 0.1},
  "data": {"train": ["pairs/train.jsonl"], "eval": ["pairs/test.jsonl"], "max_tokens": 200},
  "algorithm": {"name": "bt"}, "optimizer": {"name": "adamw", "lr": 1e-3},
  "train": {"steps": $((80 * longer)), "batch_size": 4, "micro_batch_tokens": 300},
  "eval": {"every": 30}, "checkpoint": {"every": 7}, "run": "reward_model" }
JSON

cat > "$work/online.json" <<JSON
{ "task": "preference", "threads": 2,
  "model": {"path": "base/final", "dtype": "f32"}, "adapter": {"kind": "lora", "rank": 4, "dropout": 0.1},
  "data": {"train": ["$source/data/arithmetic/train.jsonl"], "eval": ["$source/data/arithmetic/test.jsonl"], "max_tokens": 200},
  "pairs": {"from": "online"}, "reference": {"sync_every": 3, "sync_share": 0.6},
  "rollout": {"group_size": 4, "max_new_tokens": 12}, "rewards": [{"kind": "contains", "texts": ["1", "2"]}],
  "algorithm": {"name": "dpo"}, "optimizer": {"name": "adamw", "lr": 1e-3},
  "train": {"steps": $((24 * longer)), "batch_size": 3, "micro_batch_tokens": 300},
  "eval": {"every": 6, "limit": 8, "max_new_tokens": 12}, "checkpoint": {"every": 2}, "run": "online" }
JSON
python3 - "$work/pairs" <<'PY'
import json, sys
for name in ("train", "test"):
    with open(f"{sys.argv[1]}/rated-{name}.jsonl", "w") as out:
        for line in open(f"{sys.argv[1]}/{name}.jsonl"):
            pair = json.loads(line)
            answers = [pair["rejected"] + " no", pair["chosen"], pair["rejected"], pair["chosen"] + " or so"]
            out.write(json.dumps({"prompt": pair["prompt"], "completions": answers, "ratings": [1, 4, 2, 3]}) + "\n")
PY
cat > "$work/stages.json" <<JSON
{ "extends": "preference.json", "data": {"train": ["pairs/rated-train.jsonl"], "eval": ["pairs/rated-test.jsonl"]},
  "pairs": {"from": "ratings"}, "train": {"steps": $((30 * longer))}, "eval": {"every": 15}, "run": "stages" }
JSON
cat > "$work/fast_slow.json" <<JSON
{ "extends": "preference.json", "adapter": {"kind": "lora_pair", "rank": 4}, "algorithm": {"name": "ofs_dpo", "swap_every": 5},
  "optimizer": {"name": "adamw", "lr": 1e-4, "lr_rules": [{"match": "second.", "factor": 3}]},
  "train": {"steps": $((40 * longer))}, "eval": {"every": 20}, "run": "fast_slow" }
JSON

for state in keep offload; do
  cat > "$work/lisa_$state.json" <<JSON
{ "extends": "sft.json", "model": {"dtype": "bf16", "init": {"layers": 4}}, "adapter": {"kind": "lisa", "every": 3, "state": "$state"},
  "train": {"steps": $((80 * longer))}, "eval": {"every": 40}, "checkpoint": {"every": 4}, "run": "lisa_$state" }
JSON
done
cat > "$work/ist.json" <<JSON
{ "extends": "sft.json", "model": {"init": {"layers": 4}}, "adapter": {"kind": "ist", "rank": 4, "dropout": 0.1, "measure_every": 3},
  "train": {"steps": $((80 * longer))}, "eval": {"every": 40}, "checkpoint": {"every": 4}, "run": "ist" }
JSON

# metrics without their times
timeless() { python3 -c '
import json, sys
for line in open(sys.argv[1]):
    row = json.loads(line); row.pop("time", None); print(json.dumps(row))' "$1"; }

compare() {  # whole killed
  local file
  for file in final/*.safetensors checkpoints/step-*/trainable.safetensors checkpoints/step-*/optimizer.safetensors checkpoints/step-*/reference.safetensors checkpoints/step-*/adapter.safetensors samples.jsonl; do
    for a in "$1"/$file; do
      case $file in *reference*|*/adapter.*|samples.jsonl) [ -e "$a" ] || continue ;; esac  # of some runs only
      cmp "$a" "$2/${a#"$1"/}" || { echo "FAIL: $a differs after a resume"; exit 1; }
    done
  done
  cmp <(timeless "$1/metrics.jsonl") <(timeless "$2/metrics.jsonl") || { echo "FAIL: metrics differ after a resume"; exit 1; }
}

"$bin/temper-train" "$work/sft.json" --run "$work/base" --set train.steps=60 --quiet
milliseconds() { echo $(($(date +%s%N) / 1000000)); }

for task in sft rl preference online stages fast_slow inputs lisa_keep lisa_offload ist reward_model distill; do
  run() { "$bin/temper-train" "$work/$task.json" --run "$work/$task-$1" --quiet 2>> "$work/log"; }
  start=$(milliseconds)
  run whole || { cat "$work/log"; exit 1; }
  middle=$(milliseconds)
  run whole  # finished: only starts up
  startup=$(($(milliseconds) - middle)) took=$((middle - start))
  killed=0
  for i in $(seq "$kills"); do
    "$bin/temper-train" "$work/$task.json" --run "$work/$task-killed" --quiet 2>> "$work/log" &
    pid=$!
    wait_ms=$((startup * 8 / 10 + RANDOM * 12 * took / (10 * kills * 32768)))
    sleep $((wait_ms / 1000)).$(printf %03d $((wait_ms % 1000)))
    if kill -KILL $pid 2>/dev/null; then killed=$((killed + 1)); fi
    wait $pid 2>/dev/null || true
    rm -rf "$XDG_CACHE_HOME"
    [ -e "$work/$task-killed/final/config.json" ] || [ -e "$work/$task-killed/final/adapter_config.json" ] && break
  done
  run killed || { cat "$work/log"; exit 1; }
  compare "$work/$task-whole" "$work/$task-killed"
  echo "$task: the same bytes after $killed kills at random moments of $((took - startup)) ms"
done
