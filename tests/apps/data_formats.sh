#!/usr/bin/env bash
# Files of other tools: each is shown by temper-inspect data and learnt by temper-train for a step; what is wrong with one is a line.
#   TEMPER_BIN=build/bin TEMPER_SOURCE=. tests/apps/data_formats.sh
. "$(dirname "$0")/shared/tiny.sh"
tiny_model > "$work/log" 2>&1 || { cat "$work/log"; fail "the tiny model"; }
go_on

cat > learn.json <<'JSON'
{ "task": "sft", "threads": 2, "model": {"path": "sft/final", "dtype": "f32"}, "data": {"train": ["x"], "max_tokens": 200, "template": "chatml"},
  "train": {"steps": 1, "batch_size": 2}, "run": "run" }
JSON
cat > rl.json <<'JSON'
{ "extends": "learn.json", "task": "rl", "rollout": {"prompts_per_step": 2, "group_size": 2, "max_new_tokens": 4}, "rewards": [{"kind": "math"}],
  "train": {"steps": 1, "batch_size": 2} }
JSON
echo '{ "extends": "learn.json", "task": "preference" }' > preference.json

# learn FILE [--set ...]: the task that its kind of record is for learns a step of it. $told: what temper-inspect data said.
learn() {
  local file=$1 config kind sets=() set
  shift
  for set in "$@"; do [ "$set" = --set ] || sets+=(--set "${set#data.}"); done
  told=$("$bin/temper-inspect" data "$file" --model sft/final --set template=chatml "${sets[@]}" 2> err) || { fail "temper-inspect data $file: $(cat err)"; return; }
  kind=$(python3 -c 'import json, sys; print(json.loads(sys.argv[1])["first"][0]["kind"])' "$told")
  case $kind in
    preference) config=preference.json ;;
    prompt) config=rl.json ;;
    *) config=learn.json ;;
  esac
  "$bin/temper-train" "$config" --set "data.train=[\"$file\"]" "$@" --run run --quiet > out 2> err || fail "temper-train $config on $file: $(cat err)"
  rm -rf run
}

# says WORDS PYTHON: the expression holds of what learn() was told.
says() {
  python3 -c 'import json, sys; told = json.loads(sys.argv[1]); first = told["first"][0]; sys.exit(not ('"$2"'))' "$told" || fail "$1: $2 does not hold of $told"
}

# ---- every format, by its own example
"$bin/temper-inspect" list format > formats.json || fail "temper-inspect list format"
names=$(python3 - <<'PY'
import json
formats = json.load(open("formats.json"))
for f in formats:
    with open(f["name"] + ".jsonl", "w") as out:
        for _ in range(3):
            out.write(json.dumps(f["example"]) + "\n")
print(*[f["name"] for f in formats])
PY
)
[ "$(wc -w <<< "$names")" -ge 11 ] || fail "too few formats: $names"
for name in $names; do
  learn "$name.jsonl"
  says "$name" "told['format'] == '$name' and told['records'] == 3 and first['line'] == 1"
  learn "$name.jsonl" --set "data.format=$name"
  says "$name by name" "told['why'] == 'data.format'"
done
learn alpaca.jsonl
says "alpaca" "first['record']['messages'] == [{'role': 'user', 'content': 'Add one.\n2'}, {'role': 'assistant', 'content': '3'}]"
says "alpaca" "sum(first['tokens']['example']['learnt']) >= 2 and first['tokens']['example']['learnt'][0] == 0"
learn pretokenised.jsonl
says "token ids" "first['tokens']['example']['ids'] == [1, 5, 6, 2] and first['tokens']['example']['learnt'] == [0, 0, 1, 1]"
learn verl.jsonl
says "verl" "first['record']['answer'] == '3'"
echo '{"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b", "weight": 0}, {"role": "user", "content": "c"}, {"role": "assistant", "content": "d"}]}' > weight.jsonl
learn weight.jsonl
says "weight" "''.join(p for p, l in zip(first['tokens']['example']['pieces'], first['tokens']['example']['learnt']) if l).strip('\u2581').startswith('d')"

# ---- what holds them
python3 - <<'PY'
import gzip, json
rows = [{"prompt": f"{a}+1?", "completion": str(a + 1)} for a in range(4)]
json.dump(rows, open("one_line.json", "w"))
json.dump(rows, open("pretty.json", "w"), indent=2)
gzip.open("lines.jsonl.gz", "wt").writelines(json.dumps(r) + "\n" for r in rows)
open("table.csv", "w").write('question,answer\n"2+1, ""please""?",3\n"a\nb",4\n')
open("table.tsv", "w").write("question\tanswer\n2+1?\t3\n3+1?\t4\n")
json.dump([{"talk": [{"who": "customer", "words": "2+1?"}, {"who": "agent", "words": "3"}]}], open("talks.json", "w"))
json.dump([{"q": "2+1?", "a": "3"}], open("mine.json", "w"))
json.dump({"mine": {"file_name": "mine.json", "columns": {"prompt": "q", "response": "a"}}}, open("dataset_info.json", "w"))
PY
cp "$source/tests/data/golden/lines.jsonl.zst" .
for file in one_line.json pretty.json lines.jsonl.gz lines.jsonl.zst; do
  learn "$file"
  says "$file" "first['kind'] == 'prompt and completion'"
done
for file in table.csv table.tsv; do
  learn "$file" --set data.columns.prompt=question --set data.columns.completion=answer
  says "$file" "first['record']['completion'] == '3' and first['line'] == 2"
done
learn talks.json --set data.columns.messages=talk --set data.tags.role=who --set data.tags.content=words --set data.tags.user=customer --set data.tags.assistant=agent
says "tags" "first['record']['messages'][0] == {'role': 'user', 'content': '2+1?'}"
learn mine.json
says "dataset_info.json" "told['format'] == 'alpaca' and 'mine in' in told['why']"
learn mine.json --set data.format=llamafactory

# ---- columns, where the module that reads them was built
columns=$source/tests/data/golden/columns
if [ -f "$bin/../lib/libtemper_columns.so" ]; then
  learn "$columns/zstd.parquet"
  says "Parquet" "told['format'] == 'verl' and first['record']['answer'] == '3' and first['record']['score'] == 0.5"
  learn "$columns/saved"
  says "a saved folder" "told['format'] == 'alpaca' and told['records'] == 4"
else
  expect 'zstd.parquet: Parquet, which this build cannot read' "$bin/temper-inspect" data "$columns/zstd.parquet"
fi

# ---- what is wrong
wrong() {  # WORDS FILE [--set ...]
  local words=$1 file=$2 sets=() set
  shift 2
  for set in "$@"; do [ "$set" = --set ] || sets+=(--set "${set#data.}"); done
  expect "$words" "$bin/temper-train" learn.json --set "data.train=[\"$file\"]" "$@" --run run --quiet
  expect "$words" "$bin/temper-inspect" data "$file" "${sets[@]}"
}
cat alpaca.jsonl sharegpt.jsonl > mixed.jsonl
wrong 'mixed.jsonl:4: this record is sharegpt' mixed.jsonl
wrong 'mixed.jsonl:1 is alpaca' mixed.jsonl
wrong 'has no column "question", which data.columns.prompt names; found the keys prompt, completion' pretty.json --set data.columns.prompt=question
head -c 60 lines.jsonl.gz > cut.jsonl.gz
wrong 'cut.jsonl.gz: gzip that is cut short' cut.jsonl.gz
head -c 40 lines.jsonl.zst > cut.zst
wrong 'cut.zst: zstd that is cut short' cut.zst
head -c 200000000 /dev/zero | tr '\0' ' ' | gzip -9 > bomb.gz
wrong 'unpack to more than 64 MiB' bomb.gz
printf 'prompt,completion\na,b\nc\n' > ragged.csv
wrong 'ragged.csv:3: a row of 1 cells, the first row names 2 columns (prompt, completion)' ragged.csv
printf '[{"prompt": "a", "completion": "b"},\n"c"]' > element.json
wrong 'element.json:2: element 2 of the JSON array is a string, expected an object' element.json
wrong 'did you mean "alpaca"' alpaca.jsonl --set data.format=alpacca
wrong 'sharegpt.jsonl:1: is not alpaca, which data.format says' sharegpt.jsonl --set data.format=alpaca
echo '{"input_ids": [1, 4000], "labels": [-100, 4000]}' > ids.jsonl
expect 'ids.jsonl:1: "input_ids"[1] is 4000, outside of the tokenizer' "$bin/temper-train" learn.json --set 'data.train=["ids.jsonl"]' --run run --quiet
echo '{"input_ids": [1, 4], "labels": [4]}' > ids.jsonl
expect 'ids.jsonl:1: 1 "labels" for 2 "input_ids"' "$bin/temper-train" learn.json --set 'data.train=["ids.jsonl"]' --run run --quiet

[ $failed = 0 ] && echo "ok"
exit $failed
