# What tests of whole programs share: a folder that goes when the test ends, a model of a few steps, and the user's mistakes.
#   . "$(dirname "$0")/shared/tiny.sh"
set -euo pipefail
bin=$(realpath "${TEMPER_BIN:?}") source=$(realpath "${TEMPER_SOURCE:?}")
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
fail() { echo "FAIL: $*"; exit 1; }

# From here on the test stands in $work and goes on behind a failure; $failed is its exit code.
go_on() {
  set +e
  failed=0
  cd "$work" || exit 1
  fail() { echo "FAIL: $*"; failed=1; }
}

# $work/sft/final, which knows arithmetic questions a little; its config is $work/sft.json.
tiny_model() {
  cat > "$work/sft.json" <<JSON
{ "task": "sft", "threads": 2,
  "model": {"dtype": "f32", "init": {"vocab": 400, "hidden": 32, "intermediate": 64, "layers": 2, "heads": 2, "kv_heads": 1, "max_positions": 512}},
  "data": {"train": ["$source/data/arithmetic/train.jsonl"], "max_tokens": 200},
  "optimizer": {"name": "adamw", "lr": 3e-3}, "train": {"steps": 5, "batch_size": 16}, "run": "sft" }
JSON
  "$bin/temper-train" "$work/sft.json" --run "$work/sft" --quiet
}

# WORDS COMMAND...: it ends with exit code 2, and the one line beside warnings has the words.
expect() {
  local words=$1 code=0
  shift
  "$@" > "$work/out" 2> "$work/err" || code=$?
  rm -rf "$work/run"  # where the tests have runs begin that must not
  [ "$code" = 2 ] || fail "$*: exit code $code: $(cat "$work/err")"
  [ "$(grep -vc '^warning' "$work/err")" = 1 ] || fail "$*: $(cat "$work/err")"
  grep -qF -- "$words" "$work/err" || fail "$*: $(cat "$work/err")"
}
