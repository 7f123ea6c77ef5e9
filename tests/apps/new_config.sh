#!/usr/bin/env bash
# temper-train --new: a config for somebody's data and model, which runs as it is.
#   TEMPER_BIN=build/bin TEMPER_SOURCE=. tests/apps/new_config.sh
. "$(dirname "$0")/shared/tiny.sh"
tiny_model
mkdir -p "$work/mine"
head -n 40 "$source/data/arithmetic/train.jsonl" > "$work/mine/sums.jsonl"
head -n 40 "$source/data/pairs/train.jsonl" > "$work/mine/pairs.jsonl"
cd "$work"
for task in sft rl preference reward_model; do
  data=mine/sums.jsonl
  case $task in preference | reward_model) data=mine/pairs.jsonl ;; esac
  "$bin/temper-train" "mine/$task.json" --new $task --data $data --model sft/final 2> err || fail "$task: $(cat err)"
  grep -q "mine/$task.json" err || fail "$task: $(cat err)"
  grep -q "// .* of sft/final on 40 records" "mine/$task.json" || fail "$task: $(cat "mine/$task.json")"
  "$bin/temper-inspect" config "mine/$task.json" > out 2> err || fail "$task: $(cat err)"
  "$bin/temper-train" "mine/$task.json" --quiet --run "runs/$task" --set threads=1 2> err || fail "$task: $(cat err) $(cat "mine/$task.json")"
  [ -f "runs/$task/final/README.md" ] || fail "$task: no model card"
  grep -q "task \`$task\`" "runs/$task/final/README.md" || fail "$task: $(cat "runs/$task/final/README.md")"
done
grep -q '"max_tokens":' mine/sft.json || fail "no max_tokens"
expect "is there already" "$bin/temper-train" mine/sft.json --new sft --data mine/sums.jsonl --model sft/final
expect "expected one of sft, preference" "$bin/temper-train" new.json --new sfd --data mine/sums.jsonl --model sft/final
expect "learns from lines of" "$bin/temper-train" new.json --new preference --data mine/sums.jsonl --model sft/final
echo '{"prompt": "Say something nice."}' > mine/open.jsonl
expect "no column says what a right answer is" "$bin/temper-train" new.json --new rl --data mine/open.jsonl --model sft/final
expect "give --data FILE and --model FOLDER" "$bin/temper-train" new.json --new rl --data mine/pairs.jsonl
[ ! -e new.json ] || fail "a config was written though it cannot be"
echo ok
