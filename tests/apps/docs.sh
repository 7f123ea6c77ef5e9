#!/usr/bin/env bash
# lib/objective/README.md is what the registry says.
#   TEMPER_BIN=build/bin TEMPER_SOURCE=. tests/apps/docs.sh
set -euo pipefail
bin=${TEMPER_BIN:?} source=${TEMPER_SOURCE:?}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 "$source/scripts/docs/objectives.py" "$bin/temper-inspect" > "$work/README.md"
if ! diff -u "$source/lib/objective/README.md" "$work/README.md" > "$work/diff"; then
  head -n 40 "$work/diff"
  echo "FAIL: run scripts/docs/objectives.py build/bin/temper-inspect > lib/objective/README.md"
  exit 1
fi
[ "$(grep -c '^### ' "$work/README.md")" -ge 60 ] || { echo "FAIL: it has too few objectives"; exit 1; }
echo "ok"
