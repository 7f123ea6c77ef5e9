#!/usr/bin/env bash
# Files that one command writes and another reads: groups of answers, with and without scores, scored lines, and scores of segments,
# each learnt by every task that can; and the user's mistakes as one line and exit code 2.
#   TEMPER_BIN=build/bin TEMPER_SOURCE=. tests/apps/files.sh
. "$(dirname "$0")/shared/tiny.sh"
tiny_model
head -n 12 "$source/data/arithmetic/test.jsonl" > "$work/data.jsonl"
rewards=(--score '{"kind": "contains", "name": "one", "texts": ["1"]}' --score '{"kind": "contains", "name": "e", "texts": ["e"], "weight": 0.25}')
generate=("$bin/temper-generate" --model "$work/sft/final" --dtype f32 --threads 1 --max-new-tokens 16 --n 4)
"${generate[@]}" --input "$work/data.jsonl" --write groups "${rewards[@]}" --output "$work/groups.jsonl" 2> /dev/null
"${generate[@]}" --input "$work/data.jsonl" "${rewards[@]}" --output "$work/lines.jsonl" 2> /dev/null
"${generate[@]}" --input "$work/data.jsonl" --write groups --output "$work/bare.jsonl" 2> /dev/null

# The same answers by three ways: scored in one go, a line each, and afterwards.
"$bin/temper-eval" --score "$work/bare.jsonl" "${rewards[@]/--score/--reward}" --quiet --output "$work/later.jsonl"
"$bin/temper-eval" --score "$work/lines.jsonl" "${rewards[@]/--score/--reward}" --quiet > "$work/again.jsonl"
python3 - "$work" <<'PY' || fail "groups, lines and later scores differ"
import json, sys
groups, lines, later, again = ([json.loads(line) for line in open(f"{sys.argv[1]}/{name}.jsonl")] for name in ("groups", "lines", "later", "again"))
assert len(groups) == 12 and len(lines) == 48 and groups == later and lines == again, (len(groups), len(lines))
names = {"completions": "completion", "rewards": "reward", "logprobs": "logprobs", "completion_ids": "completion_ids", "finish": "finish"}
for i, line in enumerate(lines):
    group, k = groups[i // 4], i % 4
    for of_group, of_line in names.items():
        assert group[of_group][k] == line[of_line], (i, of_group)
    assert {name: values[k] for name, values in group["reward_parts"].items()} == line["rewards"]
    assert group["prompt"] == line["prompt"] and group["answer"] == line["answer"] and group["prompt_ids"] == line["prompt_ids"]
    assert (group["finish"][k] == "length") == ("unfinished" in line)
assert len({r for g in groups for r in g["rewards"]}) > 2, "all rewards are alike: the test shows nothing"
assert all("completion" not in g and "reward" not in g for g in groups)
PY

train() {  # name, --set ..., of a run of two steps from the model
  local name=$1
  shift
  "$bin/temper-train" "$work/$name.json" --run "$work/run" --quiet "$@" > "$work/out" 2>&1 || fail "$name $*: $(cat "$work/out")"
  [ -f "$work/run/final/model.safetensors" ] || fail "$name $*: no model"
  cp "$work/run/metrics.jsonl" "$work/metrics.jsonl"
  rm -rf "$work/run"
}
config() {  # name, task, further sections
  printf '{ "task": "%s", "threads": 1, "model": {"path": "sft/final", "dtype": "f32"}, "optimizer": {"name": "sgd", "lr": 1e-4}, %s,\n  "data": {"train": ["groups.jsonl"], "max_tokens": 250%s}, "train": {"steps": 2, "batch_size": 4}, "checkpoint": {"every": 0}, "run": "run" }\n' "$2" "$3" "${4:-}" > "$work/$1.json"
}

# Reinforcement learning: log-probs as they were drawn, whether a line holds an answer or a group.
cat > "$work/rl.json" <<JSON
{ "task": "rl", "threads": 1, "model": {"path": "sft/final", "dtype": "f32"}, "offline": {"files": ["groups.jsonl"]},
  "rollout": {"prompts_per_step": 4, "group_size": 4, "max_new_tokens": 16}, "data": {"max_tokens": 250},
  "optimizer": {"name": "sgd", "lr": 1e-6}, "algorithm": {"name": "grpo"}, "train": {"steps": 2, "batch_size": 4}, "run": "run" }
JSON
train rl
cp "$work/metrics.jsonl" "$work/of_groups.jsonl"
train rl --set "offline.files=[\"$work/lines.jsonl\"]"
python3 - "$work" <<'PY' || fail "offline: a group is not what its lines are"
import json, sys
a, b = ([json.loads(line) for line in open(f"{sys.argv[1]}/{name}.jsonl")] for name in ("of_groups", "metrics"))
assert a and all(x["loss"] == y["loss"] and x["reward"] == y["reward"] and x["approx_kl"] < 1e-7 for x, y in zip(a, b)), (a, b)
PY

# Supervised: a prompt's best answer, all, those above a reward, several at once.
config learn sft '"loss": {"name": "nll"}'
for select in '{"name": "best"}' '{"name": "best", "min": 0.2}' '{"name": "top", "k": 2, "same": "folded"}' '{"name": "all_above", "min": 0.2}' '{"name": "all"}' '{"name": "dedup"}'; do
  train learn --set "data.select=$select"
  train learn --set "data.select=$select" --set "data.train=[\"$work/lines.jsonl\"]"
done
train learn --set 'data.select={"name": "all"}' --set "data.train=[\"$work/bare.jsonl\"]" --set "data.eval=[\"$work/groups.jsonl\"]" --set eval.every=1
train learn --set loss.name=mml --set 'data.select={"name": "all_above", "min": 0.2}'
train learn --set loss.name=mml --set "data.train=[\"$work/bare.jsonl\"]"
train learn --set loss.name=rwr --set 'data.select={"name": "all"}'

# Preference: pairs by each rule, labels, ratings in stages, lists.
config prefer preference '"algorithm": {"name": "dpo"}, "pairs": {"from": "groups"}'
for rule in best_worst max_margin random all least_surprise likely_negatives threshold; do
  train prefer --set "pairs.rule=$rule" --set "data.eval=[\"$work/groups.jsonl\"]" --set eval.every=2
done
train prefer --set pairs.rule=max_margin --set pairs.per_prompt=3 --set pairs.min_margin=0.1 --set "data.train=[\"$work/lines.jsonl\"]"
train prefer --set pairs.rule=threshold --set pairs.threshold=0.2 --set algorithm.name=kto
train prefer --set pairs.from=ratings --set pairs.stages=2
train prefer --set pairs.from=stored --set algorithm.name=brio

# Reward models: groups as pairs, right and wrong, steps, ratings by each reward.
config judge reward_model '"algorithm": {"name": "listwise"}'
train judge --set algorithm.name=bt
train judge --set algorithm.name=bt --set pairs.rule=random --set pairs.per_prompt=2
train judge --set data.label_threshold=0.2
train judge --set algorithm.name=process --set data.label_threshold=0.2
train judge --set algorithm.name=regression --set "data.eval=[\"$work/groups.jsonl\"]" --set eval.every=2

# Sentences and lines with rewards of their own: control tokens between them, and a loss for each.
printf '%s\n' '{"text": "One is 1. Two is 2! No more."}' '{"text": "Three is 3.\nFour: 1 and 3"}' '{"text": "None here. But 1."}' > "$work/texts.jsonl"
for how in sentence line; do
  "$bin/temper-eval" --score "$work/texts.jsonl" --segments $how --reward '{"kind": "contains", "texts": ["1"]}' --quiet --output "$work/segments.jsonl"
  train learn --set "data.train=[\"$work/segments.jsonl\"]" --set 'inputs=[{"kind": "conditional", "column": "segments"}]'
  for loss in unlikelihood rwr phf_awr; do
    train learn --set "data.train=[\"$work/segments.jsonl\"]" --set data.reward_column=segments --set loss.name=$loss
  done
done
"$bin/temper-eval" --score "$work/groups.jsonl" --segments line --reward '{"kind": "contains", "texts": ["1"]}' --quiet --output "$work/segmented.jsonl"
train learn --set "data.train=[\"$work/segmented.jsonl\"]" --set 'data.select={"name": "all"}' --set data.reward_column=segments --set loss.name=unlikelihood

learn=("$bin/temper-train" "$work/learn.json" --run "$work/run" --quiet) prefer=("$bin/temper-train" "$work/prefer.json" --run "$work/run" --quiet)
judge=("$bin/temper-train" "$work/judge.json" --run "$work/run" --quiet) rl=("$bin/temper-train" "$work/rl.json" --run "$work/run" --quiet)
of() { echo "data.train=[\"$work/$1.jsonl\"]"; }
printf '%s\n' '{"prompt": "a", "completions": ["b", "c"], "rewards": [null, null]}' > "$work/null.jsonl"
printf '%s\n' '{"prompt": "a", "completions": ["b", "c"], "rewards": [1]}' > "$work/short.jsonl"
printf '%s\n' '{"prompt": "a", "completions": ["b"], "rewards": [1]}' > "$work/one.jsonl"
printf '%s\n' '{"text": "One", "segments": [{"text": "One"}]}' > "$work/broken.jsonl"
printf '%s\n' '{"prompt": "a", "chosen": "b", "rejected": "c"}' > "$work/pairs.jsonl"
expect 'groups.jsonl:1: a prompt with several "completions": say which of them are learnt' "${learn[@]}"
expect 'bare.jsonl:1: select.best needs rewards, and none of the 48 answers has one' "${learn[@]}" --set 'data.select={"name": "best"}' --set "$(of bare)"
expect 'null.jsonl:1: select.best: the rewards of all 2 answers are null' "${learn[@]}" --set 'data.select={"name": "best"}' --set "$(of null)"
expect 'short.jsonl:1: "rewards" must be a list with an item for each of the 2 completions, found 1 items' "${learn[@]}" --set 'data.select={"name": "best"}' --set "$(of short)"
expect 'best takes none of the answers' "${learn[@]}" --set 'data.select={"name": "best", "min": 9}'
expect 'data.select: "pairs" gives pairs' "${learn[@]}" --set 'data.select={"name": "pairs"}'
expect 'data.select: no record has' "${learn[@]}" --set 'data.select={"name": "best"}' --set "$(of texts)"
expect 'did you mean "best"' "${learn[@]}" --set 'data.select={"name": "bets"}'
expect 'null.jsonl:1: select.pairs: the rewards of all 2 answers are null' "${prefer[@]}" --set "$(of null)"
expect 'bare.jsonl:1: select.pairs needs rewards' "${prefer[@]}" --set "$(of bare)"
expect 'short.jsonl:1: "rewards" must be a list' "${prefer[@]}" --set "$(of short)"
expect 'data.train: no record gives a pair' "${prefer[@]}" --set "$(of one)"
expect 'pairs.rule: "kto" takes labelled answers' "${prefer[@]}" --set algorithm.name=kto
expect 'at least two answers' "${prefer[@]}" --set pairs.from=stored --set algorithm.name=brio --set "$(of one)"
expect 'bare.jsonl:1: the completions have no "rewards"' "${prefer[@]}" --set pairs.from=ratings --set pairs.stages=2 --set "$(of bare)"
expect 'bare.jsonl:1: the completions have no "rewards"' "${judge[@]}" --set "$(of bare)"
expect 'no record is left' "${judge[@]}" --set "$(of null)"
expect 'no record is left' "${judge[@]}" --set "$(of one)" --set algorithm.name=bt
expect 'bare.jsonl:1: a scored response needs "reward"' "${rl[@]}" --set "offline.files=[\"$work/bare.jsonl\"]"
expect 'broken.jsonl:1: "segments": loss.name unlikelihood needs segments like' "${learn[@]}" --set "$(of broken)" --set data.reward_column=segments --set loss.name=unlikelihood
score=("$bin/temper-eval" --quiet --score)
expect '--reward: expected one' "${score[@]}" "$work/bare.jsonl"
expect 'pairs.jsonl:1: expected answers' "${score[@]}" "$work/pairs.jsonl" --reward '{"kind": "contains", "texts": ["1"]}'
expect 'goes with none of --data' "${score[@]}" "$work/bare.jsonl" --reward math --data "$work/data.jsonl"
expect '--segments: goes with --score' "$bin/temper-eval" --model "$work/sft/final" --data "$work/data.jsonl" --reward math --segments line
expect '--model: expected a Hugging Face folder' "$bin/temper-eval" --data "$work/data.jsonl" --reward math
expect '--data: expected' "$bin/temper-eval" --model "$work/sft/final" --reward math
expect 'a reward counts tokens' "${score[@]}" "$work/texts.jsonl" --reward '{"kind": "overlong", "max_tokens": 8, "cache": 4}'
"${score[@]}" "$work/texts.jsonl" --model "$work/sft/final" --reward '{"kind": "overlong", "max_tokens": 8, "cache": 4}' > "$work/out"
grep -q '"reward":-1' "$work/out" || fail "tokens were not counted: $(cat "$work/out")"
expect '--write completions goes without --score' "${generate[@]}" --input "$work/data.jsonl" --write completions --score math
expect '--write groups goes with --input' "${generate[@]}" --prompt a --write groups
echo "files: written, read and refused"
