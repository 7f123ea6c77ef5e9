#!/usr/bin/env bash
# SIGINT and SIGTERM during a run save a checkpoint and exit with 130 and 143; the run then goes on and ends as one that was
# never stopped. For sft, and for rl, where the signal may come during generation.
#   TEMPER_BIN=build/bin TEMPER_SOURCE=. tests/apps/signals.sh
set -uo pipefail
bin=$(realpath "${TEMPER_BIN:?}") source=$(realpath "${TEMPER_SOURCE:?}")
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
failed=0
fail() { echo "FAIL: $*"; failed=1; }

cat > "$work/sft.json" <<JSON
{ "task": "sft", "threads": 1,
  "model": {"dtype": "f32", "init": {"vocab": 400, "hidden": 32, "intermediate": 64, "layers": 2, "heads": 2, "kv_heads": 1, "max_positions": 256}},
  "data": {"train": ["$source/data/arithmetic/train.jsonl"], "max_tokens": 200},
  "optimizer": {"name": "adamw", "lr": 3e-3}, "train": {"steps": 120, "batch_size": 8}, "checkpoint": {"every": 0}, "run": "sft" }
JSON
cat > "$work/rl.json" <<JSON
{ "task": "rl", "threads": 1,
  "model": {"path": "sft-whole/final", "dtype": "f32"},
  "data": {"train": ["$source/data/arithmetic/train.jsonl"], "max_tokens": 200},
  "rollout": {"prompts_per_step": 4, "group_size": 4, "max_new_tokens": 24},
  "rewards": [{"kind": "contains", "texts": ["1", "2"]}],
  "algorithm": {"name": "grpo"}, "optimizer": {"name": "adamw", "lr": 1e-3},
  "train": {"steps": 24, "batch_size": 4}, "checkpoint": {"every": 0}, "run": "rl" }
JSON

steps() { if [ -e "$1/metrics.jsonl" ]; then wc -l < "$1/metrics.jsonl"; else echo 0; fi; }

for task in sft rl; do
  "$bin/temper-train" "$work/$task.json" --run "$work/$task-whole" --quiet || fail "$task: the undisturbed run exits with $?"
  run=$work/$task-stopped
  for signal in INT TERM; do
    # A process that a script starts in the background ignores SIGINT unless it is told otherwise.
    (trap - INT; exec env --default-signal=INT "$bin/temper-train" "$work/$task.json" --run "$run" --quiet) 2> "$work/err" &
    pid=$! before=$(steps "$run")
    for _ in $(seq 400); do
      [ "$(steps "$run")" -gt $((before + 3)) ] && break
      sleep 0.02
    done
    kill -$signal $pid 2> /dev/null || fail "$task: ended before SIG$signal could be sent"
    wait $pid
    code=$?
    expected=130
    [ $signal = TERM ] && expected=143
    [ $code = $expected ] || fail "$task: exit code $code after SIG$signal, expected $expected: $(cat "$work/err")"
    [ -e "$run/final/config.json" ] && fail "$task: it ended before SIG$signal came; the test needs more steps"
    newest=$(find "$run/checkpoints" -name DONE 2> /dev/null | sed 's/.*step-\([0-9]*\).*/\1/' | sort -n | tail -n 1)
    [ "$newest" = "$(steps "$run")" ] || fail "$task: the checkpoint is of step ${newest:-none}, the metrics of $(steps "$run")"
    find "$run/checkpoints" -name '*.tmp' 2> /dev/null | grep . && fail "$task: something half-written was left"
    grep -q stopped "$run/report.html" || fail "$task: the report does not say that the run was stopped"
  done
  "$bin/temper-train" "$work/$task.json" --run "$run" --resume must --quiet || fail "$task: the continued run exits with $?"
  cmp "$work/$task-whole/final/model.safetensors" "$run/final/model.safetensors" || fail "$task: other weights after being stopped twice"
done
# A reward program that has fallen silent, in a rollout and in an evaluation: the signal is heeded at once. An evaluation that
# was interrupted is made after the restart, so that the run ends as one that was never stopped.
cd "$work" || exit 1
cat > judge <<'SH'
#!/usr/bin/env bash
while read -r line; do
  [ -e go ] || [ $((++n)) -le 4 ] || exec sleep 1000
  id=${line#*\"id\":}
  echo "{\"id\": ${id%%,*}, \"score\": 1}"
done
SH
chmod +x judge
judge='{"kind": "process", "command": ["./judge"], "timeout_s": 600}'
heeds() {  # WHAT RUN, which is waiting for the program once its folder has this file of so many lines
  local what=$1 run=$2 file=$3 lines=$4 code start
  "$bin/temper-train" "$what.json" --run "$run" --quiet 2> err &
  local pid=$!
  for _ in $(seq 400); do
    [ -e "$run/$file" ] && [ "$(wc -l < "$run/$file")" -ge "$lines" ] && break
    sleep 0.05
  done
  sleep 1
  start=$(date +%s)
  kill -TERM $pid 2> /dev/null || fail "$what: ended before SIGTERM could be sent: $(cat err)"
  wait $pid
  code=$?
  [ $code = 143 ] || fail "$what: exit code $code beside a silent program, expected 143: $(cat err)"
  [ $(($(date +%s) - start)) -lt 10 ] || fail "$what: SIGTERM was heeded after $(($(date +%s) - start)) s"
}
sed "s|\"rewards\": .*|\"rewards\": [$judge],|" rl.json > waits.json
heeds waits waits config.json 1
sed "s|\"run\": \"sft\"|\"rewards\": [$judge], \"run\": \"sft\"|; s|\"steps\": 120|\"steps\": 4|" sft.json > judged.json
sed -i "s|\"max_tokens\": 200|\"max_tokens\": 200, \"eval\": [\"$source/data/arithmetic/test.jsonl\"]|" judged.json
sed -i 's|"checkpoint"|"eval": {"every": 2, "limit": 4, "max_new_tokens": 4}, "checkpoint"|' judged.json
touch go
"$bin/temper-train" judged.json --run judged-whole --quiet || fail "judged: the undisturbed run exits with $?"
rm go
heeds judged judged-stopped metrics.jsonl 3  # the evaluation before training, and two steps
touch go
"$bin/temper-train" judged.json --run judged-stopped --resume must --quiet || fail "judged: the continued run exits with $?"
for run in judged-whole judged-stopped; do sed 's/,"time":.*//' $run/metrics.jsonl > $run.txt; done
diff judged-whole.txt judged-stopped.txt || fail "judged: other metrics after an evaluation was interrupted"
cmp judged-whole/final/model.safetensors judged-stopped/final/model.safetensors || fail "judged: other weights"

[ $failed = 0 ] && echo "stopped by SIGINT and SIGTERM, continued, the same weights"
exit $failed
