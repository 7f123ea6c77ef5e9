#!/usr/bin/env bash
# The two-minute study: every objective that training takes runs and is drawn, and a study that is run again repeats no run.
#   TEMPER_BIN=build/bin TEMPER_SOURCE=. tests/apps/study.sh
set -euo pipefail
bin=${TEMPER_BIN:?} source=${TEMPER_SOURCE:?}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
fail() { echo "FAIL: $*"; tail -n 20 "$work/log"; exit 1; }

TEMPER_BIN=$bin "$source/scripts/study/algorithms.sh" --quick --out "$work/study" > "$work/log" 2>&1 || fail "the quick study"
rm "$work/study/results/policy-grpo-0.001-1.json"
TEMPER_BIN=$bin "$source/scripts/study/algorithms.sh" --quick --out "$work/study" > "$work/again" 2>&1 || fail "the study again"
[ "$(grep -c 'run now' "$work/again")" = 1 ] || fail "a finished study ran more than the one missing run again"
# One objective again, put into the study: the others' figures stay.
TEMPER_BIN=$bin "$source/scripts/study/algorithms.sh" --quick --out "$work/some" --objectives topr \
  --merge "$work/study/page/study.json" > "$work/log" 2>&1 || fail "one objective of the study"
[ "$(grep -c 'run now' "$work/log")" = 1 ] || fail "one objective of the quick study is one run"
python3 - "$work" <<'PY' || fail "what was put into the study"
import json, pathlib, sys
def read(name):
    return json.loads((pathlib.Path(sys.argv[1]) / name / "page/study.json").read_text())
def figures(study):  # what does not depend on the machine's load
    drop = ("cpu_s", "peak_gb")
    return {(f, e["name"]): [{k: v for k, v in r.items() if k not in drop} for r in e["runs"]]
            for f in ("policy", "preference") for e in study[f]["entries"]}
assert figures(read("study")) == figures(read("some"))
PY

python3 - "$work/study" <<'PY' || fail "what the study wrote"
import json, pathlib, sys
import xml.etree.ElementTree as xml
out = pathlib.Path(sys.argv[1])
study = json.loads((out / "page/study.json").read_text())
html = (out / "page/study.html").read_text()
for family, least in (("policy", 26), ("preference", 21)):
    part = study[family]
    assert len(part["entries"]) >= least, (family, len(part["entries"]), part["refused"])
    for e in part["entries"]:
        xml.parse(out / f"page/{family}-{e['name']}.svg")
        assert f"<td>{e['name']}</td>" in html, e["name"]
        for run in e["runs"]:
            assert run["failed"] is None and 0 <= run["final"] <= 1, e["name"]
    for name, why in part["refused"].items():
        assert "needs" in why and name in html, (name, why)
PY
echo "ok"
