#!/usr/bin/env bash
# Conversations of several turns in all three programs: evaluated, written down, learnt from offline and as chats, and the user's
# mistakes as one line and exit code 2.
#   TEMPER_BIN=build/bin TEMPER_SOURCE=. tests/apps/conversations.sh
. "$(dirname "$0")/shared/tiny.sh"
tiny_model
head -n 8 "$source/data/arithmetic/test.jsonl" > "$work/data.jsonl"
attempts='{"kind": "attempts", "attempts": 3, "turn_tokens": 8, "verifier": {"kind": "contains", "texts": ["1"]}}'
model=(--model "$work/sft/final" --dtype f32 --max-new-tokens 80)

# The environment judges where no reward is named; figures for each number of attempts.
"$bin/temper-eval" "${model[@]}" --data "$work/data.jsonl" --environment "$attempts" --n 2 --quiet --output "$work/eval.jsonl" > "$work/eval.json"
for figure in accuracy reward/environment environment/solved_in_1 environment/solved_in_3 environment/turns; do
  grep -q "\"$figure\": {" "$work/eval.json" || fail "no figure $figure"
done
grep -q '"messages":\[{"role":"assistant","content":' "$work/eval.jsonl" || fail "no conversation in the samples"
"$bin/temper-eval" "${model[@]}" --data "$work/data.jsonl" --environment "$attempts" --n 2 --batch 3 --quiet > "$work/narrow.json"
cmp "$work/eval.json" "$work/narrow.json" || fail "the figures depend on the batch size"

# Scored conversations are learnt from offline: the log-probs are of the policy's tokens, and training sees the same.
"$bin/temper-generate" "${model[@]}" --input "$work/data.jsonl" --environment "$attempts" --n 4 --score environment --output "$work/scored.jsonl" 2> /dev/null
python3 - "$work/scored.jsonl" <<'PY' || fail "scored conversations"
import json, sys
lines = [json.loads(line) for line in open(sys.argv[1])]
assert len(lines) == 32 and all(line["reward"] in (1, -0.5) for line in lines), [line["reward"] for line in lines]
several = [line for line in lines if "turns" in line]
assert len(several) > 4, "all conversations have one turn"
for line in several:
    drawn = sum(end - begin for begin, end in line["turns"])
    assert len(line["logprobs"]) == drawn < len(line["completion_ids"])
    assert [m["role"] for m in line["conversation"]] == ["assistant", "user"] * (len(line["turns"]) - 1) + ["assistant"]
PY
cat > "$work/offline.json" <<JSON
{ "task": "rl", "threads": 2, "model": {"path": "sft/final", "dtype": "f32"}, "offline": {"files": ["scored.jsonl"]},
  "rollout": {"prompts_per_step": 4, "group_size": 4, "max_new_tokens": 80}, "data": {"max_tokens": 250},
  "optimizer": {"name": "sgd", "lr": 1e-6}, "algorithm": {"name": "grpo"}, "train": {"steps": 2, "batch_size": 4}, "run": "offline" }
JSON
"$bin/temper-train" "$work/offline.json" --run "$work/offline" --quiet
python3 - "$work/offline/metrics.jsonl" <<'PY' || fail "the trainer's log-probs of a stored conversation are not the engine's"
import json, sys
rows = [json.loads(line) for line in open(sys.argv[1])]
assert rows and all(row["approx_kl"] < 1e-7 for row in rows), rows
PY

# Chats are written down with all that was said.
sed 's/"completion":"[^"]*",//; s/"prompt":\("[^"]*"\)/"prompt":[{"role":"user","content":\1}]/' "$work/data.jsonl" > "$work/chats.jsonl"
"$bin/temper-generate" "${model[@]}" --template chatml --input "$work/chats.jsonl" --environment "$attempts" --write completions --output "$work/said.jsonl" 2> /dev/null
grep -q '"messages":\[{"role":"user",.*"role":"user","content":"Your answer is wrong' "$work/said.jsonl" || fail "chats: $(head -c 600 "$work/said.jsonl")"
"$bin/temper-train" "$work/sft.json" --set "data.train=[\"$work/said.jsonl\"]" --set data.template=chatml --set data.targets=assistant --set data.overlong=truncate \
  --set train.steps=2 --set model.init.tokenizer="$work/sft/final" --set model.init.vocab=0 --run "$work/again" --quiet

# In rounds: conversations are sampled, chosen and learnt as they were held.
cat > "$work/rounds.json" <<JSON
{ "task": "rounds", "threads": 2, "rounds": 1, "model": {"path": "$work/sft/final", "dtype": "f32"},
  "data": {"train": ["$work/chats.jsonl"], "eval": ["$work/chats.jsonl"], "max_tokens": 400, "template": "chatml"},
  "environment": $attempts, "rewards": [{"kind": "environment"}],
  "phases": [
    {"kind": "generate", "name": "answers", "n": 3, "sampling": {"max_new_tokens": 80}},
    {"kind": "select", "name": "all", "rule": "all"},
    {"kind": "train", "config": {"task": "sft", "train": {"steps": 2, "batch_size": 4}}},
    {"kind": "evaluate", "n": 2, "sampling": {"temperature": 1, "max_new_tokens": 80}}] }
JSON
"$bin/temper-train" "$work/rounds.json" --run "$work/rounds" --quiet
python3 - "$work" <<'PY' || fail "rounds with an environment"
import json, sys
lines = [json.loads(line) for line in open(sys.argv[1] + "/rounds/rounds/01/1-answers/lines.jsonl")]
learnt = [json.loads(line) for line in open(sys.argv[1] + "/rounds/rounds/01/3-train/data.jsonl")]
assert len(lines) == 8 and len(learnt) == 24
assert any(len(talk) > 1 for line in lines for talk in line["conversations"]), "no conversation of several turns"
for line in lines:
    assert all(r in (1.0, -0.5, -1.0) for r in line["rewards"]), line["rewards"]
    for talk in line["conversations"]:
        assert [m["role"] for m in talk] == ["assistant", "user"] * (len(talk) // 2) + ["assistant"] * (len(talk) % 2), talk
PY

eval=("$bin/temper-eval" "${model[@]}" --data "$work/data.jsonl" --quiet)
expect 'did you mean "attempts"?' "${eval[@]}" --environment attemps
expect 'unknown key; did you mean "attempts"?' "${eval[@]}" --environment '{"kind":"attempts","attempt":3}'
expect 'max_turns: 2 are fewer than the 3 attempts' "${eval[@]}" --environment '{"kind":"attempts","attempts":3,"max_turns":2}'
expect 'cannot start' "${eval[@]}" --environment '{"kind":"process","command":["temper-none"]}'
expect '--reward: expected one' "${eval[@]}" --environment '{"kind":"process","command":["cat"],"judges":false}'
expect 'a conversation behind a prompt that is a text' "$bin/temper-generate" "${model[@]}" --input "$work/data.jsonl" --environment "$attempts" --write completions
sed 's/"turns":\[\[[0-9]*,/"turns":[[-1,/' "$work/scored.jsonl" > "$work/broken.jsonl"
expect 'turns: expected [[begin, end], ...] within' "$bin/temper-train" "$work/offline.json" --set "offline.files=[\"$work/broken.jsonl\"]" --run "$work/broken" --quiet
