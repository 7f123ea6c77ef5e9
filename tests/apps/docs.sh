#!/usr/bin/env bash
# The pages that are printed from the registries are what these say.
#   TEMPER_BIN=build/bin TEMPER_SOURCE=. tests/apps/docs.sh
set -euo pipefail
bin=${TEMPER_BIN:?} source=${TEMPER_SOURCE:?}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

same() {  # SCRIPT PAGE: what the script prints is the page
  python3 "$source/scripts/docs/$1" "$bin/temper-inspect" > "$work/page.md"
  if ! diff -u "$source/$2" "$work/page.md" > "$work/diff"; then
    head -n 40 "$work/diff"
    echo "FAIL: run scripts/docs/$1 build/bin/temper-inspect > $2"
    exit 1
  fi
}

same families.py lib/model/README.md
[ "$(grep -c '^| `' "$work/page.md")" -ge 15 ] || { echo "FAIL: it has too few families"; exit 1; }
same formats.py lib/data/README.md
[ "$(grep -c '^| `' "$work/page.md")" -ge 11 ] || { echo "FAIL: it has too few formats"; exit 1; }
same objectives.py lib/objective/README.md
[ "$(grep -c '^### ' "$work/page.md")" -ge 60 ] || { echo "FAIL: it has too few objectives"; exit 1; }
echo "ok"
