#!/usr/bin/env bash
# A sweep: a run for each combination of values, each as if it had been started by itself, and the page that compares them.
#   TEMPER_BIN=build/bin TEMPER_SOURCE=. tests/apps/sweep.sh
. "$(dirname "$0")/shared/tiny.sh"
cat > "$work/config.json" <<JSON
{ "task": "sft", "threads": 1,
  "model": {"dtype": "f32", "init": {"vocab": 400, "hidden": 32, "intermediate": 64, "layers": 2, "heads": 2, "kv_heads": 1, "max_positions": 512}},
  "data": {"train": ["$source/data/arithmetic/train.jsonl"], "max_tokens": 200, "eval_share": 0.01},
  "optimizer": {"name": "adamw", "lr": 3e-3}, "train": {"steps": 3, "batch_size": 8}, "eval": {"every": 3}, "run": "sft" }
JSON
sweep=("$bin/temper-train" "$work/config.json" --run "$work/runs" --sweep optimizer.lr=1e-3,3e-2 --sweep optimizer.beta2=0.95,0.9)
"${sweep[@]}" > "$work/out" 2>&1 || fail "sweep: $(cat "$work/out")"
grep -q "run 4 of 4: lr=3e-2,beta2=0.9" "$work/out" || fail "names: $(cat "$work/out")"
[ "$(find "$work/runs" -maxdepth 2 -name final | wc -l)" = 4 ] || fail "not four runs: $(ls "$work/runs")"
for part in "<svg" "optimizer.lr" "lr=1e-3,beta2"; do grep -q -- "$part" "$work/runs/runs.html" || fail "the page lacks $part"; done

"$bin/temper-inspect" runs "$work/runs" --page "$work/page.html" > "$work/runs.json"
cmp "$work/page.html" "$work/runs/runs.html" || fail "the page of temper-inspect runs is another one"
python3 - "$work/runs.json" <<'PY'
import json, sys
told = json.load(open(sys.argv[1]))
assert told["figure"] == "held-out loss", told["figure"]
assert told["differing"] == ["optimizer.beta2", "optimizer.lr"], told["differing"]
losses = [r["eval"]["loss"] for r in told["runs"]]
assert len(losses) == 4 and losses == sorted(losses), losses
assert all(r["finished"] and r["step"] == r["of"] == 3 and r["best"]["step"] in (0, 3) for r in told["runs"])
assert {r["config"]["optimizer.lr"] for r in told["runs"]} == {0.001, 0.03}
PY

# One of them by itself is the same run; the same command again finds all done.
"$bin/temper-train" "$work/config.json" --run "$work/alone" --quiet --set optimizer.lr=3e-2 --set optimizer.beta2=0.9
cmp "$work/alone/final/model.safetensors" "$work/runs/lr=3e-2,beta2=0.9/final/model.safetensors" || fail "a run of the sweep is another one"
before=$(stat -c %Y "$work/runs"/*/final/model.safetensors)
"${sweep[@]}" --quiet || fail "the sweep cannot be continued"
[ "$before" = "$(stat -c %Y "$work/runs"/*/final/model.safetensors)" ] || fail "what was done is done again"

expect "field=value,value" "$bin/temper-train" "$work/config.json" --run "$work/bad" --sweep optimizer.lr
expect "a value is empty" "$bin/temper-train" "$work/config.json" --run "$work/bad" --sweep optimizer.lr=1,,2
expect "is there twice" "$bin/temper-train" "$work/config.json" --run "$work/bad" --sweep optimizer.lr=1,1
expect 'the value ["a,b"] is there twice' "$bin/temper-train" "$work/config.json" --run "$work/bad" --sweep 'data.train=["a,b"],["a,b"]'
expect "optimizer.rate" "$bin/temper-train" "$work/config.json" --run "$work/bad" --sweep optimizer.rate=1,2
expect "there is no run in it" "$bin/temper-inspect" runs "$source/data"
[ ! -e "$work/bad" ] || fail "a run began though its config is bad"
echo "ok"
