#!/usr/bin/env bash
# A project outside the checkout finds Temper, in its build folder and installed, adds an objective and a reward, and trains
# with them.
#   TEMPER_BIN=build/bin TEMPER_SOURCE=. tests/apps/out_of_tree.sh
set -euo pipefail
bin=$(realpath "${TEMPER_BIN:?}") source=$(realpath "${TEMPER_SOURCE:?}")
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
fail() { echo "FAIL: $*"; tail -n 30 "$work/log"; exit 1; }

build=$(realpath "$bin/..")
cmake -S "$source/tests/out_of_tree" -B "$work/from-build" -G Ninja -DTemper_DIR="$build" > "$work/log" 2>&1 || fail "configure"
cmake --install "$build" --prefix "$work/prefix" > "$work/log" 2>&1 || fail "install"
cmake -S "$source/tests/out_of_tree" -B "$work/build" -G Ninja -DCMAKE_PREFIX_PATH="$work/prefix" > "$work/log" 2>&1 || fail "configure"
grep -q "^Temper_DIR:PATH=$work/prefix" "$work/build/CMakeCache.txt" || fail "another Temper than the installed one was found"
cmake --build "$work/build" > "$work/log" 2>&1 || fail "build"
# The tree can be moved, and has all that the programs load.
mv "$work/prefix" "$work/moved"
"$work/moved/bin/temper-inspect" list reward math > "$work/out" 2> "$work/log" || fail "the installed temper-inspect"
ldd "$work/moved/bin/temper-train" "$work/moved"/lib/*.so* > "$work/log"
if grep -E "=> /" "$work/log" | grep -vE "=> ($work/moved/(bin/[.][.]/)?lib/|/[^ ]*/lib(c|m|dl|pthread|rt|util|gcc_s|stdc\+\+)\.so)"; then fail "a library is taken from elsewhere"; fi

mine=$work/build
"$mine/my-inspect" list objective l1_trust > "$work/out" 2> "$work/log" || fail "list objective l1_trust"
grep -q '"name":"beta"' "$work/out" || fail "its field is not listed: $(cat "$work/out")"
"$mine/my-inspect" list reward short_answer > "$work/out" 2> "$work/log" || fail "list reward short_answer"
"$mine/my-inspect" list objective grpo > "$work/out" 2> "$work/log" || fail "Temper's own objectives are gone"

# Value and gradient: -A logp + beta |d|, mean over two tokens.
cat > "$work/batch.json" <<'JSON'
{"sequences": [{"logp": [-0.5], "logp_old": [-0.7], "advantage": 1}, {"logp": [-2.0], "logp_old": [-1.3], "advantage": -1}]}
JSON
"$mine/my-inspect" objective l1_trust --input "$work/batch.json" --set beta=0.1 > "$work/out" 2> "$work/log" || fail "its value"
python3 - "$work/out" <<'PY' || fail "its value or gradient: $(cat "$work/out")"
import json, sys
out = json.load(open(sys.argv[1]))
assert abs(out["loss"] - (0.5 + 0.02 - 2.0 + 0.07) / 2) < 1e-12, out
assert all(abs(a[0] - b) < 1e-12 for a, b in zip(out["grad"]["logp"], [(-1 + 0.1) / 2, (1 - 0.1) / 2])), out
PY

"$mine/my-train" "$source/tests/out_of_tree/config.json" --run "$work/mine" --quiet 2> "$work/log" || fail "training"
grep -q '"step":2,.*"reward":0.*"penalty":' "$work/mine/metrics.jsonl" || fail "no second step in metrics.jsonl"
[ -e "$work/mine/final/model.safetensors" ] || fail "no final model"

# Temper itself does not know them, and says so.
"$bin/temper-train" "$source/tests/out_of_tree/config.json" --run "$work/other" > "$work/out" 2>&1 && fail "temper-train took them"
grep -q 'l1_trust' "$work/out" || fail "the error does not name the unknown algorithm: $(cat "$work/out")"
echo "ok"
