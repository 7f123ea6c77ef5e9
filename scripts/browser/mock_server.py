"""Stands in for temper-serve: its routes with canned answers, and a run that takes a step when it is told to.

  scripts/browser/mock_server.py [--port 8000] [--key KEY] [--models 2] [--no-run]   to look at the pages by hand

The last question chooses the answer, see ANSWERS; any other is told back in words.
"""

import argparse
import json
import math
import random
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

PAGES = Path(__file__).resolve().parents[2] / "lib/serve/pages"
TYPES = {".html": "text/html", ".css": "text/css", ".js": "text/javascript"}
POLICY = ("default-src 'none'; style-src 'self' 'unsafe-inline'; script-src 'self'; connect-src 'self'; img-src data:; "
          "base-uri 'none'; form-action 'none'; frame-ancestors 'none'")

TOKENS = 8192  # of a step

HOSTILE = ('<img src=x onerror="document.title=\'owned\'"><script>document.title="owned"</script>'
           '\n```html\n<img src=x onerror="document.title=\'owned\'">\n```\n[link](javascript:alert(1)) &lt;b&gt; \u202e backwards')
CODE = "Here it is:\n\n```python\ndef add(a, b):\n```x\n    return a + b\n```\n\nand `add(1, 2)` is 3."
ANSWERS = {
    "hostile": HOSTILE,
    "code": CODE,
    "empty": "",
    "smile": "\U0001f600",
    "huge": "".join(f"Line {i} of an answer that is far too long to be read. " + "x" * (400 if i % 500 == 0 else 0) + "\n"
                    for i in range(6000)),
    "wide": "w" * 3000,
}
ERRORS = {
    "busy": (429, "The queue is full: 256 samples wait.", {"Retry-After": "7"}),
    "too long": (400, "messages: 5000 tokens, the model has positions for 2048; shorten the conversation", {}),
    "no model": (404, "model: \"x\" is not served; expected one of base, tuned", {}),
}
CALLS = [{"index": 0, "id": "call_1", "type": "function", "function": {"name": "get_weather", "arguments": '{"city": '}},
         {"index": 0, "function": {"arguments": '"Pa<b>ris"}'}},
         {"index": 1, "id": "call_2", "type": "function", "function": {"name": "get_time", "arguments": '{"zone": "CET"}'}}]


class Run:
    """The rows of a run, as its folder would have them."""

    def __init__(self, steps=40):
        self.steps, self.changed = steps, threading.Condition()
        self.clear()

    def clear(self):
        with self.changed:
            self.epoch = getattr(self, "epoch", 0) + 1
            self.metrics, self.samples, self.step, self.state, self.drops = [], [], 0, "training", 0
            self.changed.notify_all()

    def set(self, **values):
        with self.changed:
            self.__dict__.update(values)
            self.changed.notify_all()

    def take_step(self, sample="The answer is 42."):
        with self.changed:
            rng = random.Random(self.step)
            if self.step % 10 == 0:
                self.metrics.append({"step": self.step, "split": "eval", "accuracy": 0.2 + 0.5 * self.step / self.steps,
                                     "low": 0.1 + 0.5 * self.step / self.steps, "high": 0.3 + 0.5 * self.step / self.steps,
                                     "n": 200, "truncated": 0.1, "time": {"seconds": 3.5}})
            self.step += 1
            share = self.step / self.steps
            self.metrics.append({
                "step": self.step, "split": "train", "loss": rng.gauss(0, 0.02), "reward": share + rng.gauss(0, 0.08),
                "reward/math": share, "reward/format": min(1, 2 * share), "reward_std": 0.3, "grad_norm": 0.1 * 10 ** rng.uniform(0, 3),
                "lr": 1e-5 * math.sin(math.pi * share / 2), "tokens": TOKENS * self.step, "kl": None if self.step == 3 else 0.001 * self.step,
                "entropy": 1.2 - share, "length": 40 + 20 * share, "truncated": max(0, 0.3 - share), "clip_low": 0.01, "clip_high": 0.02,
                "own/number": rng.random(), **({"nonfinite": ["kl"]} if self.step == 3 else {}),
                "time": {"seconds": 2.5, "tokens_per_s": 3300 + rng.gauss(0, 100), "memory_gb": 1.75, "rollout_s": 1.5, "train_s": 0.9}})
            for i, reward in enumerate((1, 0, None)):
                self.samples.append({
                    "step": self.step, "split": "train", "prompt": f"What is {self.step} + {i}? <i>not italic</i>", "completion": sample,
                    "rewards": {"math": reward, "format": 1}, "reward": reward, "advantage": 0.5, "finish": "length" if i == 1 else "end",
                    "tokens": 12, "logp_mean": -0.4, "logp_min": -2.5})
            self.changed.notify_all()

    def json(self):
        return {"name": "smollm2-<b>arithmetic</b>", "state": self.state, "step": self.step, "steps": self.steps, "task": "rl",
                "algorithm": "grpo", "left_s": None, "note": "", "can_stop": True, "report": True}


class Mock(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, port=0, key="", models=2, run=None):
        super().__init__(("127.0.0.1", port), Handler)
        self.key, self.run = key, run
        self.models = [{"id": "base", "object": "model", "owned_by": "temper"},
                       {"id": "tuned", "object": "model", "owned_by": "temper", "parent": "base"}][:models]
        self.asked = []      # bodies of chat requests
        self.cancelled = 0   # answers whose reader went away
        self.resumed = []    # Last-Event-ID of the connections to /run/events
        self.delay = 0.03    # seconds between two pieces
        self.url = f"http://127.0.0.1:{self.server_address[1]}"
        threading.Thread(target=self.serve_forever, daemon=True).start()


class Handler(BaseHTTPRequestHandler):
    def log_message(self, *_):
        pass

    def do_GET(self):
        path = self.path.split("?")[0]
        if path in ("/", "/live") or path.startswith("/pages/"):
            return self._file({"/": "chat.html", "/live": "live.html"}.get(path, path.removeprefix("/pages/")))
        if not self._admitted():
            return None
        if path == "/v1/models":
            return self._json({"object": "list", "data": self.server.models})
        if not path.startswith("/run/") or self.server.run is None:
            return self._error(404, "this server was given no run; start it with --run FOLDER")
        run = self.server.run
        if path == "/run/state":
            return self._json(run.json())
        if path == "/run/samples":
            return self._json({"samples": run.samples[-int(self.path.split("last=")[1]):]})
        if path == "/run/report":
            return self._send(200, "text/html", b"<!DOCTYPE html><title>r</title><style>h1{color:red}</style><h1>The report</h1>")
        if path == "/run/events":
            return self._events(run)
        return self._error(404, f"there is no {path}")

    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers.get("Content-Length", 0))) or "{}")
        if not self._admitted():
            return
        if self.path == "/v1/chat/completions":
            self.server.asked.append(body)
            self._chat(body)
        elif self.path == "/run/stop":
            self.server.run.set(state="stopping")
            self._json(self.server.run.json())

    # ---- answers ----

    def _chat(self, body):
        question = next((m["content"] for m in reversed(body["messages"]) if m["role"] in ("user", "tool")), "")
        if question in ERRORS:
            return self._error(*ERRORS[question])
        self._begin_stream()
        try:
            self._pieces(body, question)
        except OSError:
            self.server.cancelled += 1

    def _pieces(self, body, question):
        text = ANSWERS.get(question, f"You said to {body['model']}: {question}")
        if question == "count":
            text = " ".join(str(i) for i in range(1, 400))
        if question == "tools":
            for call in CALLS:
                self._chunk({"tool_calls": [call]})
            text = ""
        size = 2000 if question == "huge" else max(1, min(6, len(text) // 4))
        pieces = [text[i:i + size] for i in range(0, len(text), size)]
        for i, piece in enumerate(pieces):
            self._chunk({"content": piece}, self._logprobs(piece, i) if body.get("logprobs") else None)
            if question != "huge":
                time.sleep(self.server.delay)
            if question == "broken" and i == 2:
                return
            if question == "diverged" and i == 2:
                return self._data({"error": {"message": "the model diverged: a logit is not a number", "type": "server_error"}})
        self._chunk({}, finish="tool_calls" if question == "tools" else "length" if question == "cut" else "stop")
        self._data({"choices": [], "usage": {"prompt_tokens": 9, "completion_tokens": len(pieces), "total_tokens": 9 + len(pieces)}})
        self.wfile.write(b"data: [DONE]\n\n")

    def _logprobs(self, piece, i):
        logp = [-0.01, -0.7, -2.3, -5.0][i % 4]
        others = [{"token": piece, "logprob": logp}, {"token": "<b>other</b>", "logprob": -1.5}, {"token": "\n", "logprob": -4.0}]
        data = piece.encode()
        parts = [data[:1], data[1:]] if len(data) > len(piece) else [data]  # a character beyond ASCII as two tokens
        return {"content": [{"token": part.decode(errors="replace"), "logprob": logp, "bytes": list(part), "top_logprobs": others}
                            for part in parts]}

    def _chunk(self, delta, logprobs=None, finish=None):
        choice = {"index": 0, "delta": delta, "finish_reason": finish}
        if logprobs:
            choice["logprobs"] = logprobs
        self._data({"object": "chat.completion.chunk", "choices": [choice]})

    def _events(self, run):
        self.server.resumed.append(self.headers.get("Last-Event-ID"))
        self._begin_stream()
        epoch, *at = map(int, (self.headers.get("Last-Event-ID") or f"{run.epoch}.0.0").split("."))
        metrics, samples = at
        state, drops = None, run.drops
        try:
            while run.drops == drops:
                with run.changed:
                    if run.epoch != epoch:
                        epoch, metrics, samples = run.epoch, 0, 0
                        self._event("reset", {}, f"{epoch}.0.0")
                    if state != run.json():
                        state = run.json()
                        self._event("state", state, f"{epoch}.{metrics}.{samples}")
                    new_metrics, new_samples = run.metrics[metrics:], run.samples[samples:]
                for row in new_metrics:
                    metrics += 1
                    self._event("metrics", row, f"{epoch}.{metrics}.{samples}")
                for row in new_samples:
                    samples += 1
                    self._event("samples", row, f"{epoch}.{metrics}.{samples}")
                self.wfile.write(b": still here\n\n")
                with run.changed:
                    run.changed.wait(timeout=0.5)
        except OSError:
            pass  # the reader went away

    # ---- wire ----

    def _admitted(self):
        if not self.server.key or self.headers.get("Authorization") == f"Bearer {self.server.key}":
            return True
        given = self.headers.get("Authorization") is not None
        self._error(401, "the API key is wrong" if given else "an API key is wanted: send Authorization: Bearer KEY")
        return False

    def _file(self, name):
        path = PAGES / name
        if path.parent != PAGES or not path.is_file():
            return self._error(404, f"there is no {name}")
        return self._send(200, TYPES[path.suffix] + "; charset=utf-8", path.read_bytes(),
                          {"Content-Security-Policy": POLICY, "Cache-Control": "no-cache", "X-Content-Type-Options": "nosniff"})

    def _json(self, value):
        self._send(200, "application/json", json.dumps(value).encode())

    def _error(self, status, message, headers=None):
        self._send(status, "application/json", json.dumps({"error": {"message": message, "type": "invalid_request_error"}}).encode(), headers)

    def _send(self, status, kind, data, headers=None):
        self.send_response(status)
        for name, value in {"Content-Type": kind, "Content-Length": str(len(data)), **(headers or {})}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(data)

    def _begin_stream(self):
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.end_headers()

    def _data(self, value):
        self.wfile.write(f"data: {json.dumps(value)}\n\n".encode())

    def _event(self, kind, value, number):
        self.wfile.write(f"event: {kind}\nid: {number}\ndata: {json.dumps(value)}\n\n".encode())


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--port", type=int, default=8000)
    parser.add_argument("--key", default="")
    parser.add_argument("--models", type=int, default=2)
    parser.add_argument("--no-run", action="store_true")
    args = parser.parse_args()
    run = None if args.no_run else Run(400)
    print(Mock(args.port, args.key, args.models, run).url, flush=True)
    while True:
        time.sleep(1)
        if run and run.state == "training":
            run.take_step()


if __name__ == "__main__":
    main()
