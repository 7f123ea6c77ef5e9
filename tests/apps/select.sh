#!/usr/bin/env bash
# Selectors: temper-eval --select on drawn and stored samples, temper-generate --select, rounds of thinking again, and the
# user's mistakes as one line and exit code 2.
#   TEMPER_BIN=build/bin TEMPER_SOURCE=. tests/apps/select.sh
. "$(dirname "$0")/shared/tiny.sh"
tiny_model
head -6 "$source/data/arithmetic/test.jsonl" > "$work/data.jsonl"
model=(--model "$work/sft/final" --dtype f32 --max-new-tokens 16)

# One generation serves all: the figures of stored samples are those of drawn ones.
longest='{"kind": "regex", "pattern": ".{12,}", "name": "long"}'
pick=(--select mbr --select '{"kind": "best", "by": "long"}' --select '{"kind": "mbr", "utility": "chrf", "name": "like"}')
"$bin/temper-eval" "${model[@]}" --data "$work/data.jsonl" --n 4 --reward "$longest" "${pick[@]}" --quiet --json --output "$work/s.jsonl" > "$work/drawn.json"
"$bin/temper-eval" --samples "$work/s.jsonl" "${pick[@]}" --json --output "$work/t.jsonl" > "$work/stored.json"
python3 - "$work" <<'PY'
import json, sys
work = sys.argv[1]
drawn, stored = (json.load(open(f"{work}/{name}.json"))["figures"] for name in ("drawn", "stored"))
names = [f"select/{n}{k}" for n in ("mbr", "best", "like") for k in ("@2", "")]
assert all(drawn[n] == stored[n] for n in names), (drawn, stored)
assert drawn["select/best"]["value"] == drawn["pass@4"]["value"]  # the reward that says what is correct chooses
for name in ("s", "t"):
    samples = [json.loads(line) for line in open(f"{work}/{name}.jsonl")]
    for p in range(6):
        group = samples[4 * p:4 * p + 4]
        for selector in ("mbr", "best", "like"):
            assert sum(selector in s.get("selected_by", []) for s in group) == 1, (p, selector)
PY

# Votes and scores of a file that others may have written: 5 5 6 with the better score at the 6, which is right.
cat > "$work/votes.jsonl" <<'JSON'
{"prompt": "p", "sample": 0, "completion": "a", "finish": "end", "tokens": 1, "correct": false, "answer": "5", "total": 0.1, "rewards": {"rm": 0.1}, "columns": {}}
{"prompt": "p", "sample": 1, "completion": "b", "finish": "end", "tokens": 1, "correct": false, "answer": "5", "total": 0.2, "rewards": {"rm": 0.2}, "columns": {}}
{"prompt": "p", "sample": 2, "completion": "c", "finish": "end", "tokens": 1, "correct": true, "answer": "6", "total": 0.9, "rewards": {"rm": 0.9}, "columns": {}}
JSON
"$bin/temper-eval" --samples "$work/votes.jsonl" --json --select majority --select '{"kind": "weighted", "by": "rm"}' \
  --select '{"kind": "best_of_majority", "by": "rm", "share": 0.5}' > "$work/votes.json"
python3 - "$work" <<'PY'
import json, sys
f = json.load(open(sys.argv[1] + "/votes.json"))["figures"]
assert [f["select/" + n]["value"] for n in ("majority", "weighted", "best_of_majority")] == [0, 1, 0], f
PY

# The chosen one of the answers to each prompt.
answers=("$bin/temper-generate" "${model[@]}" --input "$work/data.jsonl" --n 4 --temperature 1)
"${answers[@]}" --output "$work/all.jsonl"
"${answers[@]}" --select mbr --output "$work/one.jsonl"
"${answers[@]}" --select best --score "$longest" --write completions --output "$work/best.jsonl"
"${answers[@]}" --select best --score "$longest" --write groups --output "$work/groups.jsonl"
python3 - "$work" <<'PY'
import json, sys
read = lambda name: [json.loads(line) for line in open(f"{sys.argv[1]}/{name}.jsonl")]
every, one, best, groups = (read(name) for name in ("all", "one", "best", "groups"))
assert len(every) == len(one) == len(best) == len(groups) == 6
for a, b, c, g in zip(every, one, best, groups):
    texts = [x["text"] for x in a["completions"]]
    assert [x["text"] in texts for x in b["completions"]] == [True]
    assert c["completion"] in texts and g["completions"] == [c["completion"]]
    reward = max(len(t.split("\n")[0]) >= 12 or any(len(l) >= 12 for l in t.split("\n")) for t in texts)
    assert g["rewards"] == [float(reward)], (g, texts)
PY

# A reward model as the judge of pairs: the winner is the answer that it scores highest.
cat > "$work/rm.json" <<JSON
{ "task": "reward_model", "threads": 2, "model": {"path": "$work/sft/final", "dtype": "f32"},
  "data": {"train": ["$work/pairs.jsonl"], "max_tokens": 200}, "optimizer": {"name": "adamw", "lr": 1e-3},
  "train": {"steps": 3, "batch_size": 4}, "checkpoint": {"every": 0}, "run": "rm" }
JSON
python3 - "$work" <<'PY'
import json, sys
rows = [json.loads(line) for line in open(sys.argv[1] + "/data.jsonl")]
with open(sys.argv[1] + "/pairs.jsonl", "w") as out:
    for r in rows:
        out.write(json.dumps({"prompt": r["prompt"], "chosen": r["completion"], "rejected": "none"}) + "\n")
PY
"$bin/temper-train" "$work/rm.json" --run "$work/rm" --quiet
rm="{\"kind\": \"model\", \"name\": \"rm\", \"path\": \"$work/rm/final\", \"dtype\": \"f32\"}"
judge="{\"kind\": \"knockout\", \"times\": 3, \"judge\": {\"kind\": \"model\", \"path\": \"$work/rm/final\", \"dtype\": \"f32\"}}"
"$bin/temper-eval" --samples "$work/s.jsonl" --reward "$rm" --select "$judge" --select '{"kind": "best", "by": "rm"}' --json --output "$work/judged.jsonl" > "$work/judged.json"
python3 - "$work" <<'PY'
import json, sys
samples = [json.loads(line) for line in open(sys.argv[1] + "/judged.jsonl")]
for p in range(6):
    group = samples[4 * p:4 * p + 4]
    best, won = ([s for s in group if name in s.get("selected_by", [])] for name in ("best", "knockout"))
    assert len(best) == len(won) == 1 and abs(best[0]["rewards"]["rm"] - won[0]["rewards"]["rm"]) < 1e-5, (best, won)
PY

# Thinking again.
"$bin/temper-eval" "${model[@]}" --data "$work/data.jsonl" --reward "$longest" --n 2 --rethink 2 --quiet --json --output "$work/r.jsonl" > "$work/r.json"
for figure in "round 2/accuracy" "round 3/pass@2" accuracy; do
  grep -q "\"$figure\": {" "$work/r.json" || fail "no figure $figure"
done
[ "$(wc -l < "$work/r.jsonl")" = 36 ] || fail "expected 36 samples of three rounds"
[ "$(grep -c '"round":3' "$work/r.jsonl")" = 12 ] || fail "expected 12 samples of the third round"

# One of the rounds: its figures are those that were told of it.
for round in 1 2 3; do
  "$bin/temper-eval" --samples "$work/r.jsonl" --round $round --json --output "$work/r$round.jsonl" > "$work/r$round.json"
done
"$bin/temper-eval" --compare "$work/r.jsonl" "$work/r.jsonl" --round 2 --json > "$work/same.json"
"$bin/temper-eval" "${model[@]}" --data "$work/data.jsonl" --reward "$longest" --budgets 4 --budgets 8 --quiet --json --output "$work/b.jsonl" > "$work/b.json"
"$bin/temper-eval" --samples "$work/b.jsonl" --budget 8 --json > "$work/b8.json"
python3 - "$work" <<'PY'
import json, sys
read = lambda name: json.load(open(f"{sys.argv[1]}/{name}.json"))
told, of_round = read("r")["figures"], [read(f"r{n}")["figures"] for n in (1, 2, 3)]
for name, figure in of_round[0].items():
    assert told[name]["value"] == figure["value"], name
for n in (2, 3):
    for name, figure in of_round[n - 1].items():
        assert told[f"round {n}/{name}"]["value"] == figure["value"], (n, name)
assert not any("round" in json.loads(line) for line in open(sys.argv[1] + "/r2.jsonl"))
assert all(row["a"] == row["b"] for row in read("same")["compared"].values()), read("same")
assert read("b8")["samples"] == 6
PY

expect "select.0.kind" "$bin/temper-eval" --samples "$work/s.jsonl" --select majorty
expect "no answer can be read" "$bin/temper-eval" --samples "$work/s.jsonl" --select majority
expect "there are: long, total" "$bin/temper-eval" --samples "$work/s.jsonl" --select '{"kind": "best", "by": "rm"}'
expect "selectors are called \"best\"" "$bin/temper-eval" --samples "$work/s.jsonl" --select best --select best
expect "--select: chooses among samples" "$bin/temper-eval" --score "$work/s.jsonl" --reward math --select best
expect "as by temper-eval --budget 4" "$bin/temper-eval" --samples "$work/b.jsonl"
expect "--round 4: " "$bin/temper-eval" --samples "$work/r.jsonl" --round 4
expect "choose among the lines" "$bin/temper-eval" --score "$work/r.jsonl" --reward math --round 2
expect "as by temper-eval --round 1" "$bin/temper-eval" --samples "$work/r.jsonl" --select best
expect "expected \"pairwise\"" "$bin/temper-eval" --samples "$work/s.jsonl" --select '{"kind": "knockout", "judge": {"kind": "judge", "path": "x"}}'
expect "give --score" "${answers[@]}" --select majority
expect "found --n 1" "$bin/temper-generate" "${model[@]}" --input "$work/data.jsonl" --select mbr
expect "--rethink" "$bin/temper-eval" "${model[@]}" --loss "$work/data.jsonl" --rethink 1
echo "selectors: ok"
