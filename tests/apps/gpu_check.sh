#!/usr/bin/env bash
# scripts/gpu_check.sh: packed, it runs elsewhere; without a GPU it says so; the checks themselves, with the CPU as the device.
#   TEMPER_BIN=build/bin TEMPER_SOURCE=. tests/apps/gpu_check.sh
set -euo pipefail
bin=${TEMPER_BIN:?} source=${TEMPER_SOURCE:?}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
fail() { echo "FAIL: $*"; exit 1; }

TEMPER_BUILD=$(dirname "$bin") "$source/scripts/gpu_check.sh" --pack "$work/tree" > /dev/null
[ "$(du -sm "$work/tree" | cut -f1)" -lt 60 ] || fail "the tree has $(du -sh "$work/tree")"
libtorch=$(ldd "$bin/temper-train" | awk '/libtorch_cpu/ {print $3}')
libtorch=$(dirname "$(dirname "$libtorch")")
if ! command -v nvidia-smi > /dev/null; then
  "$work/tree/gpu_check.sh" --libtorch "$libtorch" > "$work/out" && fail "no GPU, and no word of it" || [ $? = 77 ] || fail "exit code $?"
  grep -q "no GPU on this machine" "$work/out" || fail "$(cat "$work/out")"
fi
"$work/tree/gpu_check.sh" --libtorch "$libtorch" --device cpu -- --no-peer > "$work/out" 2> "$work/err" || fail "$(cat "$work/out" "$work/err")"
[ "$(grep -c '^ok' "$work/out")" = 22 ] && grep -q '^decode  tokens' "$work/out" || fail "$(cat "$work/out")"
"$source/scripts/gpu_check.sh" --nonsense 2> "$work/err" && fail "an unknown option passed"
grep -q "unknown option" "$work/err" || fail "$(cat "$work/err")"
echo "ok"
