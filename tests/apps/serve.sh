#!/usr/bin/env bash
# temper-serve with a tiny model: what it answers is what temper-generate writes, adapters come and go, it stops in order, and a
# run is shown while it trains.
#   TEMPER_BIN=build/bin TEMPER_SOURCE=. tests/apps/serve.sh
. "$(dirname "$0")/shared/tiny.sh"
tiny_model
go_on

# A model that has learnt to write something, and an adapter of it, of a run of its own.
sed 's|"steps": 5|"steps": 150|' sft.json > base.json
"$bin/temper-train" base.json --run base --quiet || fail "training"
sed "s|\"model\": .*|\"model\": {\"path\": \"base/final\", \"dtype\": \"f32\"}, \"adapter\": {\"kind\": \"lora\", \"rank\": 4},|" sft.json > lora.json
sed -i 's|"lr": 3e-3|"lr": 3e-2|; s|"steps": 5|"steps": 20|' lora.json
"$bin/temper-train" lora.json --run lora --quiet || fail "training the adapter"

cat > questions.jsonl <<'JSON'
{"messages": [{"role": "user", "content": "Mia has 3 pens and buys 4. How many pens does Mia have?"}]}
JSON
generated() {  # ARGUMENTS...: the text that temper-generate writes, as JSON
  "$bin/temper-generate" --input questions.jsonl --temperature 0 --max-new-tokens 24 --dtype f32 "$@" 2> err |
    python3 -c 'import json, sys; print(json.dumps(json.loads(sys.stdin.readline())["completions"][0]["text"]))'
}
generated --model base/final > base.txt
generated --model base/final --adapter lora/final > lora.txt
[ -s base.txt ] && [ -s lora.txt ] || fail "temper-generate: $(cat err)"
cmp -s base.txt lora.txt && fail "the adapter changes nothing"

pids=()
trap 'kill "${pids[@]}" 2> /dev/null; rm -rf "$work"' EXIT
serve() {  # ARGUMENTS...: starts a server; $port, $pid
  : > serve.out
  "$bin/temper-serve" "$@" --port 0 > serve.out 2> serve.err &
  pid=$!
  pids+=("$pid")
  for _ in $(seq 600); do
    grep -q listening serve.out && break
    kill -0 $pid 2> /dev/null || break
    sleep 0.1
  done
  port=$(sed -n 's|.*http://127.0.0.1:\([0-9]*\)/.*|\1|p' serve.out)
  [ -n "$port" ] || { fail "temper-serve $*: $(cat serve.err)"; exit 1; }
}
ends() {  # CODE
  local code=0
  wait $pid || code=$?
  [ $code = "$1" ] || fail "exit code $code, expected $1: $(cat serve.err)"
}
get() { python3 -c 'import sys, urllib.request; print(urllib.request.urlopen(sys.argv[1], timeout=60).read().decode())' "http://127.0.0.1:$port$1" 2> /dev/null; }
check() { PORT=$port python3 - "$@" || failed=1; }

cat > client.py <<'PY'
import http.client, json, os, sys, threading, time

def call(method, path, body=None, headers=None):
    connection = http.client.HTTPConnection("127.0.0.1", int(os.environ["PORT"]), timeout=120)
    connection.request(method, path, None if body is None else json.dumps(body), headers or {})
    answer = connection.getresponse()
    text = answer.read().decode()
    connection.close()
    try:
        return answer.status, json.loads(text)
    except ValueError:
        return answer.status, text

def ask(**more):
    status, answer = call("POST", "/v1/chat/completions", {"messages": MESSAGES, "max_tokens": 24, **more})
    assert status == 200, (status, answer, more)
    return answer

def stream(path="/v1/chat/completions", **body):
    status, text = call("POST", path, {**body, "stream": True})
    assert status == 200 and text.endswith("data: [DONE]\n\n"), (status, text)
    return [json.loads(line[6:]) for line in text.splitlines() if line.startswith("data: {")]

def content(answer, i=0):
    return answer["choices"][i]["message"]["content"]

MESSAGES = json.loads(open("questions.jsonl").readline())["messages"]
TOOL = {"type": "function", "function": {"name": "add", "description": "adds", "parameters": {"type": "object",
        "properties": {"a": {"type": "integer", "minimum": 0, "maximum": 9}, "b": {"enum": ["x", "y"]}}, "required": ["a", "b"]}}}
PY

serve --model base/final --adapter tuned=lora/final --dtype f32 --threads 2
grep -q "(models: final, tuned)" serve.out || fail "the line when ready: $(cat serve.out)"
check <<'PY'
from client import *
base, lora = json.load(open("base.txt")), json.load(open("lora.txt"))
assert content(ask(temperature=0)) == base, (content(ask(temperature=0)), base)
assert content(ask(temperature=0, model="tuned")) == lora
# Both at once, in one batch.
answers = {}
def run(i):
    answers[i] = content(ask(temperature=0, model=["final", "tuned"][i % 2]))
threads = [threading.Thread(target=run, args=(i,)) for i in range(8)]
[t.start() for t in threads], [t.join() for t in threads]
assert all(answers[i] == [base, lora][i % 2] for i in range(8)), answers

# A seed names the draws; pieces make the whole; samples differ.
one, again = ask(seed=7, n=3), ask(seed=7, n=3)
assert one["choices"] == again["choices"] and one["choices"] != ask(seed=8, n=3)["choices"]
assert len({content(one, i) for i in range(3)}) > 1
pieces = stream(messages=MESSAGES, max_tokens=24, seed=7, n=3, stream_options={"include_usage": True})
for i in range(3):
    parts = [c["delta"].get("content", "") for p in pieces for c in p["choices"] if c["index"] == i]
    assert "".join(parts) == content(one, i), (parts, content(one, i))
assert pieces[-1]["usage"]["completion_tokens"] == one["usage"]["completion_tokens"]
assert pieces[-1]["usage"]["prompt_tokens"] == one["usage"]["prompt_tokens"]
plain = {"prompt": ["Mia has", "2 +"], "max_tokens": 8, "seed": 3}
status, whole = call("POST", "/v1/completions", plain)
parts = stream("/v1/completions", **plain)
for i in range(2):
    assert "".join(c["text"] for p in parts for c in p["choices"] if c["index"] == i) == whole["choices"][i]["text"]

# Log-probs: greedy tokens are the likeliest, and spell the text.
answer = ask(temperature=0, logprobs=True, top_logprobs=3)
tokens = answer["choices"][0]["logprobs"]["content"]
assert bytes(b for t in tokens for b in t["bytes"]).decode().strip() == content(answer).strip(), tokens
assert all(len(t["top_logprobs"]) == 3 and t["top_logprobs"][0]["token"] == t["token"] for t in tokens)

# What an answer has to be.
schema = {"type": "object", "properties": {"n": {"type": "integer", "minimum": 0, "maximum": 99}}, "required": ["n"]}
shaped = ask(response_format={"type": "json_schema", "json_schema": {"name": "n", "schema": schema}}, max_tokens=100, seed=1)
assert shaped["choices"][0]["finish_reason"] == "length" or 0 <= json.loads(content(shaped))["n"] <= 99, shaped
assert content(ask(regex="[ab]{3}", seed=1)).strip("ab") == ""
for choice in ("required", {"type": "function", "function": {"name": "add"}}):
    called = ask(tools=[TOOL], tool_choice=choice, max_tokens=120, seed=2)["choices"][0]
    assert called["finish_reason"] == "tool_calls", called
    arguments = json.loads(called["message"]["tool_calls"][0]["function"]["arguments"])
    assert 0 <= arguments["a"] <= 9 and arguments["b"] in ("x", "y"), arguments
assert ask(tools=[TOOL], seed=2)["usage"]["prompt_tokens"] > ask(seed=2)["usage"]["prompt_tokens"]

# Mistakes.
for body, words in (({"model": "other"}, "final, tuned"), ({"temperature": -1}, "temperature"), ({"max_tokens": 100000}, "512"),
                    ({"logit_bias": {"1": 1}}, "logit_bias"), ({"messages": []}, "messages")):
    status, answer = call("POST", "/v1/chat/completions", {"messages": MESSAGES, **body})
    assert status in (400, 404) and words in answer["error"]["message"], (status, answer)

# Adapters come and go.
assert call("POST", "/v1/load_lora_adapter", {"lora_name": "more", "lora_path": "lora/final"})[0] == 200
assert content(ask(temperature=0, model="more")) == lora
assert [m["id"] for m in call("GET", "/v1/models")[1]["data"]] == ["final", "more", "tuned"]
assert call("POST", "/v1/load_lora_adapter", {"lora_name": "bad", "lora_path": "base/final"})[0] == 400
assert call("POST", "/v1/unload_lora_adapter", {"lora_name": "more"})[0] == 200
assert call("POST", "/v1/chat/completions", {"messages": MESSAGES, "model": "more"})[0] == 404
assert "temper_requests_total" in call("GET", "/metrics")[1]
PY
# Stopped with a request under way: it is answered.
check <<'PY' &
from client import *
answer = ask(max_tokens=200, seed=1, regex="[0-9]{150}")
assert len(content(answer)) > 20, answer
PY
client=$!
for _ in $(seq 200); do
  get /metrics | grep -q "temper_samples_active [1-9]" && break
  sleep 0.02
done
kill -TERM $pid
wait $client || fail "the request under way was not answered"
ends 143
get /health > out && fail "it still listens"

# One place and a queue of one: more are refused, and what was given up makes room.
serve --model base/final --dtype f32 --threads 1 --max-batch 1 --queue 1 --name tiny --log-requests
check <<'PY'
from client import *
refused, answered = [], []
def run(i):
    status, answer = call("POST", "/v1/chat/completions", {"messages": MESSAGES, "max_tokens": 200, "regex": "[0-9]{190}"})
    (refused if status == 429 else answered).append((status, answer))
threads = [threading.Thread(target=run, args=(i,)) for i in range(12)]
[t.start() for t in threads], [t.join() for t in threads]
assert refused and answered and all(s in (200, 429) for s, _ in refused + answered), (refused, answered)
assert refused[0][1]["error"]["code"] == "rate_limit_exceeded"
assert call("POST", "/v1/chat/completions", {"messages": MESSAGES, "max_tokens": 2})[0] == 200
PY
grep -q "POST /v1/chat/completions 429" serve.err || fail "--log-requests: $(tail -n 3 serve.err)"
grep -q "Mia" serve.err && fail "the log has what was asked"
kill -INT $pid
ends 130

# A key, from the environment and from a file; none on an address that others reach.
TEMPER_API_KEY=secret serve --model base/final --dtype f32
check <<'PY'
from client import *
assert call("GET", "/v1/models")[0] == 401
assert call("GET", "/v1/models", headers={"Authorization": "Bearer secret"})[0] == 200
assert call("GET", "/")[0] == 200
PY
kill -TERM $pid
ends 143
expect "--api-key-file" "$bin/temper-serve" --model base/final --host 0.0.0.0 --port 0
expect "give --model DIR" "$bin/temper-serve"
expect "expected the folder of a run" "$bin/temper-serve" questions.jsonl
: > empty.key
expect "expected a key" "$bin/temper-serve" --model base/final --api-key-file empty.key

# A run that has ended: its model, or its adapter beside the base.
serve lora --dtype f32
grep -q "(models: final, lora)" serve.out || fail "a run's adapter: $(cat serve.out)"
check <<'PY'
from client import *
assert content(ask(temperature=0, model="lora")) == json.load(open("lora.txt"))
state = call("GET", "/run/state")[1]
assert state["state"] == "done" and state["step"] == 20 == state["steps"] and state["final"], state
PY
kill -TERM $pid
ends 143

# A run while it trains: its lines as they come, and the wish to stop.
sed 's|"steps": 5|"steps": 2000|' sft.json > long.json
"$bin/temper-train" long.json --run long --quiet 2> train.err &
train=$!
pids+=("$train")
for _ in $(seq 300); do
  [ -s long/metrics.jsonl ] && break
  sleep 0.1
done
serve long
grep -q "(models: none)" serve.out || fail "a run without final/: $(cat serve.out)"
check <<'PY'
from client import *
assert call("POST", "/v1/chat/completions", {})[0] == 503
state = call("GET", "/run/state")[1]
assert state["state"] == "training" and state["steps"] == 2000, state
connection = http.client.HTTPConnection("127.0.0.1", int(os.environ["PORT"]), timeout=120)
connection.request("GET", "/run/events")
events = connection.getresponse()
steps, last, asked = [], None, False
for line in events:
    line = line.decode().rstrip("\n")
    if line.startswith("event: "):
        kind = line[7:]
    elif line.startswith("id: "):
        last = line[4:]
    elif line.startswith("data: ") and kind == "metrics":
        steps.append(json.loads(line[6:])["step"])
    elif line.startswith("data: ") and kind == "state" and json.loads(line[6:])["state"] == "stopped":
        break
    if len(steps) > 5 and not asked:
        asked = True
        assert call("POST", "/run/stop", {})[0] == 200
assert steps == list(range(1, len(steps) + 1)), steps
lines = [json.loads(line) for line in open("long/metrics.jsonl")]
assert [row["step"] for row in lines] == steps, (len(lines), len(steps))
assert call("GET", "/run/metrics?from=" + last.split("-")[0])[1] == ""
assert "<html" in call("GET", "/run/report")[1]
PY
code=0
wait $train || code=$?
[ $code = 143 ] || fail "the run that was asked to stop: exit code $code: $(cat train.err)"
kill -TERM $pid
ends 143

[ $failed = 0 ] && echo "ok"
exit $failed
