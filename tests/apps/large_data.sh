#!/usr/bin/env bash
# Data that is read where it stands (data.cache_from_mb 0): every task ends with the bytes of a run that has it in memory, on the
# first start, the next one, without a cache, with a damaged one, in two processes, and killed; a file that changes is refused.
#   TEMPER_BIN=build/bin TEMPER_SOURCE=. tests/apps/large_data.sh
. "$(dirname "$0")/shared/tiny.sh"
export XDG_CACHE_HOME=$work/user
tiny_model > "$work/log" 2>&1 || { cat "$work/log"; fail "the tiny model"; }
go_on

python3 - "$source/data/arithmetic" <<'PY'
import csv, gzip, json, random, sys
rows = [json.loads(line) for line in open(sys.argv[1] + "/train.jsonl")][:300]
random.seed(1)
def write(name, lines): open(name, "w").write("".join(json.dumps(line) + "\n" for line in lines))
chat = lambda r: {"messages": [{"role": "user", "content": r["prompt"]}, {"role": "assistant", "content": r["completion"]}]}
write("texts.jsonl", [{**r, "reward": i % 3, "level": i % 5} for i, r in enumerate(rows)])
write("chats.jsonl", [chat(r) for r in rows[:150]] + [chat({**rows[0], "completion": "long " * 300})])
write("alpaca.jsonl", [{"instruction": r["prompt"], "input": "", "output": r["completion"]} for r in rows])
write("pairs.jsonl", [{"prompt": r["prompt"], "chosen": r["completion"], "rejected": r["completion"][::-1] + "?"} for r in rows])
write("labels.jsonl", [{"prompt": r["prompt"], "completion": r["completion"], "label": i % 2 == 0} for i, r in enumerate(rows)])
json.dump(rows, open("array.json", "w"), indent=1)
gzip.open("packed.jsonl.gz", "wt").write(open("texts.jsonl").read())
with open("table.csv", "w", newline="") as out:
    table = csv.writer(out)
    table.writerow(["prompt", "completion"])
    table.writerows([r["prompt"], r["completion"]] for r in rows)
PY
cat > base.json <<'JSON'
{ "task": "sft", "threads": 2, "model": {"path": "sft/final", "dtype": "f32"}, "data": {"train": ["texts.jsonl"], "max_tokens": 200},
  "optimizer": {"name": "adamw", "lr": 1e-3}, "train": {"steps": 6, "batch_size": 4}, "checkpoint": {"every": 2}, "run": "run" }
JSON
cat > init.json <<'JSON'
{ "extends": "base.json",
  "model": {"path": "", "init": {"vocab": 400, "hidden": 32, "intermediate": 64, "layers": 2, "heads": 2, "kv_heads": 1}},
  "data": {"train": ["texts.jsonl", "chats.jsonl"], "eval_share": 0.05, "weights": [1, 2], "end_weights": [2, 1]}, "eval": {"every": 3} }
JSON
echo '{ "extends": "base.json", "data": {"train": ["alpaca.jsonl", "table.csv", "array.json", "packed.jsonl.gz"], "eval": ["texts.jsonl"]},
  "eval": {"every": 3, "limit": 20, "losses": [{"name": "chats", "files": ["chats.jsonl"]}]} }' > formats.json
echo '{ "extends": "base.json", "data": {"chat_prompts": true, "template": "chatml", "order": {"kind": "pacing", "column": "level"}},
  "inputs": [{"kind": "masked_thought"}, {"kind": "conditional"}] }' > inputs.json
echo '{ "extends": "base.json", "data": {"order": {"kind": "pass_rate", "column": ""}} }' > observed.json
echo '{ "extends": "base.json", "train": {"steps": 4}, "loss": {"name": "rwr"} }' > rewards.json
echo '{ "extends": "base.json", "task": "preference", "data": {"train": ["pairs.jsonl"], "eval_share": 0.1}, "algorithm": {"name": "dpo"},
  "eval": {"every": 3} }' > pairs.json
echo '{ "extends": "base.json", "task": "preference", "data": {"train": ["labels.jsonl"]}, "algorithm": {"name": "kto"} }' > labels.json
echo '{ "extends": "base.json", "task": "reward_model", "data": {"train": ["pairs.jsonl"]}, "algorithm": {"name": "bt"} }' > scores.json
echo '{ "extends": "base.json", "task": "rl", "data": {"eval": ["texts.jsonl"]}, "rollout": {"prompts_per_step": 4, "group_size": 4, "max_new_tokens": 8},
  "rewards": [{"kind": "math"}, {"kind": "contains", "texts": ["1"]}], "train": {"steps": 2, "batch_size": 4},
  "eval": {"every": 2, "limit": 4, "max_new_tokens": 8} }' > rl.json
echo '{ "extends": "base.json", "task": "distill", "teachers": [{"path": "sft/final"}], "on_policy_share": 0.5, "rollout": {"max_new_tokens": 8},
  "algorithm": {"name": "gjsd"}, "train": {"steps": 4} }' > distill.json

large=(--set data.cache_from_mb=0 --set "data.cache=$work/cache")
train() {  # CONFIG RUN ...: quiet, its complaints in err
  local config=$1 run=$2
  shift 2
  "$bin/temper-train" "$config.json" --run "$run" "$@" --quiet > out 2> err || fail "$config $*: $(cat err)"
}
timeless() { python3 -c '
import json, sys
for line in open(sys.argv[1]):
    row = json.loads(line); row.pop("time", None); print(json.dumps(row))' "$1"; }
same() {  # A B WORDS
  local file
  (cd "$1/final" && find . -type f | sort) > files
  cmp -s files <(cd "$2/final" && find . -type f | sort) || fail "$3: other files in final/"
  while read -r file; do cmp "$1/final/$file" "$2/final/$file" || fail "$3: final/$file differs"; done < files
  cmp <(timeless "$1/metrics.jsonl") <(timeless "$2/metrics.jsonl") || fail "$3: metrics differ"
  [ ! -e "$1/samples.jsonl" ] || cmp "$1/samples.jsonl" "$2/samples.jsonl" || fail "$3: samples differ"
}

# ---- every task, first and second start
for config in init formats inputs rewards pairs labels scores rl distill; do
  train "$config" "$config-held"
  train "$config" "$config-first" "${large[@]}"
  train "$config" "$config-second" "${large[@]}"
  same "$config-held" "$config-first" "$config, first start"
  same "$config-held" "$config-second" "$config, second start"
done
for kind in index rows looks examples pairs labelled prompts; do
  compgen -G "cache/$kind-*" > found || fail "nothing of kind $kind in the cache"
done

# ---- no cache, one that cannot be written, one that is full, one that is damaged
"$bin/temper-train" init.json --run bare --set data.cache_from_mb=0 --set data.cache= --quiet > out 2> err || fail "no cache: $(cat err)"
[ ! -e user/temper/data ] || fail "no cache: something is in the user's"
same init-held bare "no cache"
touch file
"$bin/temper-train" init.json --run blocked --set data.cache_from_mb=0 --set data.cache=file/cache --quiet > out 2> err || fail "blocked: $(cat err)"
[ "$(grep -c 'data.cache: nothing is kept' err)" = 1 ] || fail "blocked: $(cat err)"
same init-held blocked "a folder that cannot be written"
python3 -c '
import json
for i in range(20000): print(json.dumps({"prompt": f"{i} and {i * 7919}", "completion": "words that are many " * 5}))' > long.jsonl
echo '{ "extends": "base.json", "data": {"train": ["long.jsonl"]}, "train": {"steps": 2} }' > long.json
train long long-held
(trap '' XFSZ; ulimit -f 1000; exec "$bin/temper-train" long.json --run full --set data.cache_from_mb=0 --set data.cache=full-cache --quiet > out 2> err) ||
  fail "full: $(cat err)"
grep -q 'data.cache: nothing is kept.*File too large' err || fail "full: $(cat err)"
compgen -G 'full-cache/examples-*' && fail "full: half a file was left"
same long-held full "a full disk"
for file in cache/*-*; do truncate -s -7 "$file"; done
"$bin/temper-train" init.json --run torn "${large[@]}" > out 2> err || fail "torn: $(cat err)"
grep -q 'it is made anew' err || fail "torn: $(cat err)"
same init-held torn "a torn cache"
grep -q 'data cache: .* written to .*, .* MB' err || fail "it is not said what was written: $(cat err)"

# ---- several processes share one cache
for way in held large; do
  more=() && [ $way = large ] && more=(--set data.cache_from_mb=0 --set data.cache=ranks-cache)
  "$bin/temper-train" pairs.json --run "ranks-$way" --ranks 2 "${more[@]}" --quiet > out 2> err || fail "ranks: $(cat err)"
done
same ranks-held ranks-large "two ranks"

# ---- killed, the cache gone, and on
sed 's/"steps": 6/"steps": 400/' base.json > slow.json
train slow slow-held
"$bin/temper-train" slow.json --run slow-killed "${large[@]}" --quiet > out 2> err &
pid=$!
for _ in $(seq 3000); do compgen -G 'slow-killed/checkpoints/step-*/DONE' > /dev/null && break; sleep 0.02; done
kill -KILL $pid 2> /dev/null || fail "it ended before it could be killed"
wait $pid 2> /dev/null
rm -rf cache
train slow slow-killed "${large[@]}" --resume must
same slow-held slow-killed "killed"

# ---- a plan, and epochs
"$bin/temper-train" base.json --plan "${large[@]}" --set train.steps=null --set train.epochs=2 > plan 2> err || fail "plan: $(cat err)"
python3 -c 'import json; assert json.load(open("plan"))["steps"]["steps"] == 150' || fail "plan: other steps"

# ---- a file that changes: before a resume, and under the run
cp texts.jsonl mine.jsonl
sed 's/texts/mine/; s/"steps": 6/"steps": 100000/' base.json > mine.json
"$bin/temper-train" mine.json --run changed "${large[@]}" --quiet > out 2> err &
pid=$!
for _ in $(seq 600); do [ -e changed/checkpoints/step-4/DONE ] && break; sleep 0.02; done
kill -TERM $pid
wait $pid
sed -i '3s/reward/REWARD/' mine.jsonl
"$bin/temper-train" mine.json --run changed "${large[@]}" --quiet > out 2> err
[ $? = 2 ] && grep -q 'data.train: mine.jsonl: other content of the same size' err || fail "a changed file: $(cat err)"
sed -i '3s/REWARD/reward/' mine.jsonl
echo '{ "extends": "mine.json", "inputs": [{"kind": "rac", "column": "prompt"}] }' > read.json
for way in longer shorter; do
  cp texts.jsonl mine.jsonl
  "$bin/temper-train" read.json --run "under-$way" "${large[@]}" --quiet > out 2> err &
  pid=$!
  for _ in $(seq 600); do [ -e "under-$way/checkpoints/step-4/DONE" ] && break; sleep 0.02; done
  if [ $way = longer ]; then echo >> mine.jsonl; else truncate -s 100 mine.jsonl; fi
  wait $pid
  code=$?
  [ $code = 2 ] || fail "$way: exit code $code: $(cat err)"
  grep -q 'mine.jsonl: the file changed while it was in use (.* bytes then, .* now)' err || fail "$way: $(cat err)"
done

# ---- what is wrong is found on the first start, and said as of data in memory
{ cat long.jsonl; echo '{"prompt": 1'; cat long.jsonl; } > wrong.jsonl
expect "wrong.jsonl:20001: not valid JSON at column 13" "$bin/temper-train" base.json "${large[@]}" --set 'data.train=["wrong.jsonl"]' --quiet
expect "wrong.jsonl:20001: not valid JSON at column 13" "$bin/temper-train" base.json --set 'data.train=["wrong.jsonl"]' --quiet
{ cat texts.jsonl; echo '{"messages": [{"role": "user", "content": "a"}, {"role": "nobody"}]}'; } > wrong.jsonl
expect "wrong.jsonl:301:" "$bin/temper-train" base.json "${large[@]}" --set 'data.train=["wrong.jsonl"]' --quiet
{ cat texts.jsonl; head -n 1 alpaca.jsonl; } > wrong.jsonl
expect "a file has one format" "$bin/temper-train" base.json "${large[@]}" --set 'data.train=["wrong.jsonl"]' --quiet

[ $failed = 0 ] && echo "large data: ok"
exit $failed
