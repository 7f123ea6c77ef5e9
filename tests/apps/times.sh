#!/usr/bin/env bash
# Where a run's time goes: temper-train says it at the end and report.html draws it, of the phases that the task has; a run that was
# stopped and goes on says it of all of it; final/ has no times.
#   TEMPER_BIN=build/bin TEMPER_SOURCE=. tests/apps/times.sh
set -euo pipefail
bin=${TEMPER_BIN:?} source=${TEMPER_SOURCE:?}
work=$(mktemp -d)
export XDG_CACHE_HOME=$work/cache
trap 'rm -rf "$work"' EXIT
fail() { echo "FAIL: $*"; exit 1; }

cat > "$work/sft.json" <<JSON
{ "task": "sft", "threads": 1,
  "model": {"dtype": "f32", "init": {"vocab": 400, "hidden": 32, "intermediate": 64, "layers": 2, "heads": 2, "kv_heads": 1, "max_positions": 256}},
  "data": {"train": ["$source/data/arithmetic/train.jsonl"], "eval": ["$source/data/arithmetic/test.jsonl"], "max_tokens": 200},
  "optimizer": {"name": "adamw", "lr": 3e-3}, "train": {"steps": 6, "batch_size": 8},
  "eval": {"every": 3, "limit": 8}, "checkpoint": {"every": 3}, "run": "sft" }
JSON
cat > "$work/rl.json" <<JSON
{ "task": "rl", "threads": 1,
  "model": {"path": "sft/final", "dtype": "f32"},
  "data": {"train": ["$source/data/arithmetic/train.jsonl"], "max_tokens": 200},
  "rollout": {"prompts_per_step": 2, "group_size": 4, "max_new_tokens": 8}, "rewards": [{"kind": "contains", "texts": ["1", "2"]}],
  "algorithm": {"name": "grpo", "kl_coef": 0.01}, "optimizer": {"name": "adamw", "lr": 1e-3},
  "train": {"steps": 3, "batch_size": 2}, "eval": {"every": 0}, "checkpoint": {"every": 2}, "run": "rl" }
JSON

# run PHASES ABSENT...: the last line about time, the page and the rows say the phases, and none that the task has not.
check() {
  local run=$1 there=$2 absent=$3 phase line
  line=$(grep -o "time: .*" "$work/$run.log" | tail -n 1)
  [ -n "$line" ] || { cat "$work/$run.log"; fail "$run says no times"; }
  [ "$(grep -c "time: " "$work/$run.log")" = 1 ] || fail "$run says its times more than once"
  grep -q "Where the time went" "$work/$run/report.html" || fail "$run/report.html draws no times"
  for phase in $there; do
    case $line in *" $phase "*%*) ;; *) fail "$run: no $phase in \"$line\"" ;; esac
    grep -q "\"phase/$phase\":" "$work/$run/metrics.jsonl" || fail "$run: no $phase in its metrics"
    grep -q "<title>$phase [0-9.]*%</title>" "$work/$run/report.html" || fail "$run: no $phase on its page"
  done
  for phase in $absent; do
    case $line in *" $phase "*) fail "$run: $phase in \"$line\"" ;; esac
    ! grep -q "\"phase/$phase\":" "$work/$run/metrics.jsonl" || fail "$run: $phase in its metrics"
  done
  ! grep -rqa "phase/" "$work/$run/final" || fail "$run/final has times"
  echo "$run: $line"
}

"$bin/temper-train" "$work/sft.json" 2> "$work/sft.log"
check sft "start data forward head backward optimizer evaluation checkpoint other" "generate reward"
"$bin/temper-train" "$work/rl.json" 2> "$work/rl.log"
check rl "start data generate reward forward head backward optimizer checkpoint other" "evaluation"

# The phases of each row are together the time since the row before: no less than the step's own, and in all about the run's.
python3 - "$work/sft/metrics.jsonl" "$work/rl/metrics.jsonl" <<'PY'
import json, sys
for path in sys.argv[1:]:
    for row in map(json.loads, open(path)):
        phases = sum(v for k, v in row["time"].items() if k.startswith("phase/"))
        assert phases >= row["time"].get("seconds", 0) - 1e-3, (path, row)
        if row["split"] == "train" and row["step"] not in (1, 4):  # which come after the start, and after an evaluation
            assert phases <= row["time"]["seconds"] + row["time"].get("phase/checkpoint", 0) + 1, (path, row)
PY

# A run that goes on from its checkpoint keeps the seconds of the steps before, and its last line counts them.
python3 - "$bin" "$work" <<'PY'
import json, pathlib, re, shutil, subprocess, sys
bin_, work = sys.argv[1], pathlib.Path(sys.argv[2])
rows = lambda: [json.loads(line) for line in (work / "sft" / "metrics.jsonl").read_text().splitlines()]
before = rows()
shutil.rmtree(work / "sft/checkpoints/step-6")
shutil.rmtree(work / "sft/final")
slow = (work / "sft/metrics.jsonl").read_text().splitlines()
for i, row in enumerate(before):  # the same length, so that the checkpoint's place in the file holds
    if row["split"] == "train" and row["step"] <= 3:
        slow[i] = re.sub(r'("phase/backward":)\d', r"\g<1>9", slow[i])
(work / "sft/metrics.jsonl").write_text("\n".join(slow) + "\n")
again = subprocess.run([f"{bin_}/temper-train", str(work / "sft.json")], capture_output=True, text=True)
assert again.returncode == 0, again
line = re.search(r"time: .*", again.stderr).group(0)
share = int(re.search(r"backward (\d+) %", line).group(1))
after = rows()
assert [r["step"] for r in after] == [r["step"] for r in before], (before, after)
early = lambda all: [r for r in all if r["split"] == "train" and r["step"] <= 3]
assert all(r["time"]["phase/backward"] >= 9 for r in early(after)), early(after)
assert share >= 30, line  # 27 s and more of what is otherwise a run of seconds
print("goes on:", line)
PY
echo "times: said, drawn and kept out of final/"
