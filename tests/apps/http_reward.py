#!/usr/bin/env python3
"""temper-train with the rewards http and judge and a server on this machine, which Python alone makes: the run goes on while the
server is killed and started again and ends with the bytes of an undisturbed one, a secret from the environment is in no file and no
message, a server that refuses ends the run in one line, and a signal ends the wait for one that hangs.
  TEMPER_BIN=build/bin TEMPER_SOURCE=. tests/apps/http_reward.py"""
import http.server, json, os, shutil, signal, socket, subprocess, sys, tempfile, time

SECRET = "s3cret-of-the-test"


class Handler(http.server.BaseHTTPRequestHandler):
    """/score: the share of "e" in a completion. /v1/chat/completions: Yes, with a probability of its own. /hang, /refuse."""

    def do_POST(self):
        request = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if self.path == "/hang":
            time.sleep(600)
        if self.path == "/refuse" or self.headers["Authorization"] != "Bearer " + SECRET:
            return self.reply(401, {"error": "bad key " + self.headers["Authorization"]})
        if self.path == "/score":
            score = lambda text: text.count("e") / max(len(text), 1)
            return self.reply(200, {"items": [{"id": i["id"], "score": score(i["completion"])} for i in request["items"]]})
        question = request["messages"][-1]["content"]
        top = [{"token": "Yes", "logprob": -0.1 - question.count("e") / 50}, {"token": "No", "logprob": -2}]
        self.reply(200, {"choices": [{"message": {"content": "Yes"}, "logprobs": {"content": [
            {"token": "Yes", "logprob": top[0]["logprob"], "top_logprobs": top}]}}]})

    def reply(self, status, answer):
        body = json.dumps(answer).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


class Server(http.server.ThreadingHTTPServer):
    request_queue_size = 128
    daemon_threads = True


if sys.argv[1:2] == ["--serve"]:
    Server(("127.0.0.1", int(sys.argv[2])), Handler).serve_forever()

source = os.path.abspath(os.environ["TEMPER_SOURCE"])
program = os.path.abspath(os.environ["TEMPER_BIN"]) + "/temper-train"
work = tempfile.mkdtemp(prefix="temper-http-")
with socket.socket() as s:  # a port that is free now
    s.bind(("127.0.0.1", 0))
    PORT = s.getsockname()[1]
servers = []


def fail(what):
    print("FAIL:", what)
    sys.exit(1)


def serve():
    servers.append(subprocess.Popen([sys.executable, __file__, "--serve", str(PORT)]))
    for _ in range(500):
        with socket.socket() as s:
            if s.connect_ex(("127.0.0.1", PORT)) == 0:
                return
        time.sleep(0.02)
    fail("the test's server does not listen")


def kill():
    servers[-1].kill()
    servers[-1].wait()


def train(name, *options, environment={"WIRE_KEY": SECRET}):
    return subprocess.Popen([program, f"{work}/{name}.json", "--quiet", *options], stderr=subprocess.PIPE, text=True,
                            env={**os.environ, **environment})


def ended(process, code, seconds=300):
    told = process.communicate(timeout=seconds)[1]
    if process.returncode != code:
        fail(f"exit code {process.returncode}, not {code}: {told}")
    return told


def rows(name):
    path = f"{work}/{name}/metrics.jsonl"
    return [json.loads(line) for line in open(path)] if os.path.exists(path) else []


def reward(path, kind="http", **fields):
    return {"kind": kind, "url": f"http://127.0.0.1:{PORT}{path}", "headers": {"Authorization": "Bearer ${WIRE_KEY}"},
            "retries": 20, "backoff_s": 0.1, "max_wait_s": 0.5, **fields}


def config(name, *rewards, steps=12):
    with open(f"{work}/{name}.json", "w") as out:
        json.dump({
            "task": "rl", "threads": 1, "model": {"dtype": "f32", "path": work + "/base/final"},
            "data": {"train": [source + "/data/arithmetic/train.jsonl"], "max_tokens": 200},
            "rollout": {"prompts_per_step": 4, "group_size": 4, "max_new_tokens": 12, "max_batch": 4}, "rewards": rewards,
            "algorithm": {"name": "grpo"}, "optimizer": {"name": "adamw", "lr": 1e-3}, "train": {"steps": steps, "batch_size": 4},
            "checkpoint": {"every": 0}, "run": f"{work}/{name}"}, out)


def main():
    with open(f"{work}/base.json", "w") as out:
        json.dump({"task": "sft", "threads": 1, "model": {"dtype": "f32", "init": {
            "vocab": 400, "hidden": 32, "intermediate": 64, "layers": 2, "heads": 2, "kv_heads": 1, "max_positions": 256}},
            "data": {"train": [source + "/data/arithmetic/train.jsonl"], "max_tokens": 200},
            "train": {"steps": 3, "batch_size": 8}, "checkpoint": {"every": 0}, "run": work + "/base"}, out)
    ended(train("base"), 0)
    both = [reward("/score"), reward("/v1/chat/completions", "judge", weight=0.5, model="m", value="log_odds")]
    for name in "whole", "restarted":
        config(name, *both)
    serve()
    ended(train("whole"), 0)
    if not all(m["null_rewards"] == 0 and 0 < m["reward/http"] < 1 and m["reward/judge"] > 1 for m in rows("whole")):
        fail(f"scores of an undisturbed run: {rows('whole')}")

    # By hand.
    with open(work + "/pairs.jsonl", "w") as out:
        out.write('{"prompt": "Q", "completion": "eeee"}\n')
    inspect = [program.replace("temper-train", "temper-inspect"), "reward", "judge", "--input", work + "/pairs.jsonl",
               "--set", f"url=http://127.0.0.1:{PORT}/v1/chat/completions", "--set", 'headers={"Authorization": "Bearer ${WIRE_KEY}"}',
               "--set", "value=log_odds", "--set", 'prompts=["{prompt} {completion}"]']
    shown = subprocess.run(inspect, capture_output=True, text=True, env={**os.environ, "WIRE_KEY": SECRET})
    if shown.returncode != 0 or not {"questions": ["Q eeee"], "text": "Yes"}.items() <= (line := json.loads(shown.stdout)).items() \
            or abs(line["score"] - (2 - 0.1 - 4 / 50)) > 1e-9:
        fail(f"temper-inspect reward judge: {shown.stdout} {shown.stderr}")

    # Killed and started again while the run goes on.
    process = train("restarted")
    for _ in range(2000):
        if len(rows("restarted")) >= 3 or process.poll() is not None:
            break
        time.sleep(0.01)
    kill()
    time.sleep(1)
    waiting = len(rows("restarted"))
    time.sleep(1)
    if process.poll() is not None or not waiting == len(rows("restarted")) < 12:
        fail("the run did not wait for its server")
    serve()
    ended(process, 0)
    if sum(m["http/retries"] + m["judge/retries"] for m in rows("restarted")) == 0:
        fail("nothing was asked again")
    left = lambda name: [{k: v for k, v in m.items() if k != "time" and not k.endswith("/retries")} for m in rows(name)]
    if left("whole") != left("restarted"):
        fail("metrics after a restart of the server are others")
    weights = [open(f"{work}/{name}/final/model.safetensors", "rb").read() for name in ("whole", "restarted")]
    if weights[0] != weights[1]:
        fail("weights after a restart of the server are others")
    for folder, _, files in os.walk(work + "/whole"):
        for file in files:
            if SECRET.encode() in open(os.path.join(folder, file), "rb").read():
                fail(f"{file} holds the secret")
    if "Bearer ${WIRE_KEY}" not in open(work + "/whole/config.json").read():
        fail("config.json lacks the header as it was written")

    # What ends a run in one line.
    def refused(name, text, environment={"WIRE_KEY": SECRET}):
        told = ended(train(name, environment=environment), 2, 60)
        if text not in told or SECRET in told or len(told.strip().splitlines()) != 1:
            fail(f"{name}: expected one line with {text}, found: {told}")

    config("refused", reward("/refuse"))
    refused("refused", "answered with status 401: {\"error\": \"bad key Bearer ${WIRE_KEY}\"}")
    config("keyless", reward("/score"))
    refused("keyless", "the environment has no WIRE_KEY", {"WIRE_KEY": ""})
    kill()
    config("absent", reward("/score", retries=4))
    refused("absent", "no answer of the right kind in its first")
    serve()

    # A signal while it waits for an answer.
    config("hanging", reward("/hang", timeout_s=600))
    process = train("hanging")
    for _ in range(2000):
        if os.path.exists(work + "/hanging/config.json") or process.poll() is not None:
            break
        time.sleep(0.01)
    time.sleep(2)
    start = time.time()
    process.send_signal(signal.SIGTERM)
    ended(process, 143, 60)
    if time.time() - start > 20:
        fail(f"it took {time.time() - start:.1f} s to leave")
    print("ok")


try:
    main()
finally:
    for server in servers:
        server.kill()
        server.wait()
    shutil.rmtree(work, ignore_errors=True)
