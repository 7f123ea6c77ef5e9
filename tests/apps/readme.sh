#!/usr/bin/env bash
# Runs every temper-* command of README.md on small runs of the quickstart's configs. The two set-up scripts and the SmolLM2
# download are left out here: what they do needs the network, and the tests are started by one of them.
set -euo pipefail
bin=${TEMPER_BIN:?} source=${TEMPER_SOURCE:?}
work=$(mktemp -d)
export XDG_CACHE_HOME=$work/cache
trap 'rm -rf "$work"' EXIT
cd "$work"
mkdir -p build
ln -s "$bin" build/bin
ln -s "$source/data" data
cp -r "$source/configs" configs

build/bin/temper-train configs/sft/quickstart.json --quiet --run runs/quickstart/sft \
  --set train.steps=3 --set train.batch_size=8 --set eval.every=0 --set threads=2
short=(--set train.steps=2 --set rollout.prompts_per_step=2 --set train.batch_size=2 --set eval.every=0)
build/bin/temper-train configs/rl/quickstart.json --quiet --set model.path=runs/quickstart/sft/final --run runs/quickstart/rl "${short[@]}"

commands=$(awk '/^```bash/ {on = 1; next} /^```/ {on = 0} on' "$source/README.md" | sed 's/ *#.*//' | grep '^build/bin/')
[ "$(wc -l <<<"$commands")" -ge 6 ] || { echo "FAIL: README.md has too few commands"; exit 1; }
while IFS= read -r command; do
  case "$command" in
    *--new*|*runs/*.json) ;;
    *configs/sft/*|*configs/preference/*|*configs/reward_model/*|*configs/distill/*) command="$command --set train.steps=2 --set train.batch_size=4 --set eval.every=0" ;;
    *temper-train*) command="$command ${short[*]}" ;;
    *temper-eval*) command="$command --limit 4" ;;
  esac
  echo "+ $command"
  case "$command" in *skips.json*) head -n 12 data/arithmetic/test.jsonl > few-tests.jsonl; command="${command/data\/arithmetic\/test.jsonl/few-tests.jsonl}" ;; esac
  case "$command" in *--write*) head -n 12 data/arithmetic/train.jsonl > few.jsonl; command="${command/data\/arithmetic\/train.jsonl/few.jsonl}" ;; esac
  case "$command" in
    *temper-serve*)  # until it listens
      eval "exec $command --port 0" >out.txt 2>err.txt </dev/null &
      server=$!
      for _ in $(seq 600); do
        if grep -q listening out.txt || ! kill -0 $server 2>/dev/null; then break; fi
        sleep 0.1
      done
      kill -TERM $server && ! wait $server && grep -q "^temper-serve: listening" out.txt || { echo "FAIL: $command"; cat err.txt; exit 1; }
      continue ;;
  esac
  eval "$command" >out.txt 2>err.txt </dev/null || { echo "FAIL: $command"; cat err.txt; exit 1; }
done <<<"$commands"

# Sequence-level distillation: the run learns what was generated, not the answers that the file had before.
[ "$(wc -l < runs/answers.jsonl)" = 12 ] || { echo "FAIL: not a line an answer: $(wc -l < runs/answers.jsonl)"; exit 1; }
grep -q '"completions"' runs/answers.jsonl && { echo "FAIL: the generated answers stand in a list"; exit 1; }
old=$(head -n 1 few.jsonl | sed 's/.*"completion": *"\([^"]*\)".*/\1/') new=$(head -n 1 runs/answers.jsonl | sed 's/.*"completion": *"\([^"]*\)".*/\1/')
[ "$old" != "$new" ] || { echo "FAIL: the old answer is still there: $old"; exit 1; }

# The configs in README.md are configs.
mkdir -p models/smollm2 && touch train.jsonl test.jsonl  # which they name
for block in json json5; do
  awk -v fence="\`\`\`$block" '$0 == fence {on = 1; next} /^```/ {on = 0} on' "$source/README.md" > "$block.json"
  [ -s "$block.json" ] || { echo "FAIL: no $block block in README.md"; exit 1; }
  build/bin/temper-inspect config "$block.json" > out.txt || { echo "FAIL: the $block block of README.md"; exit 1; }
done
echo "ok"
