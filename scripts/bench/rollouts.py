#!/usr/bin/env python3
"""What scoring beside decoding and the order of decoding save of an RL step, Temper alone.

A model of the quick-start's shape learns to count ("Count to 7:", " 1 2 3 4 5 6 7 ."), most of the records to 2 to 9 and
every eighth to 60 to 99, so that few completions are far longer than the others. It then samples 32 prompts x 4 completions
a step, 16 at a time, with a learning rate of next to nothing: all runs have the same completions but for rounding. The
reward is a program that takes --reward-ms for each, or with --reward http a server that takes as long for each and scores
32 at a time. Runs take turns; times are medians over runs of the mean over the steps whose records have all been drawn
before.

  scripts/bench/rollouts.py                                     rollout.longest_first off and on
  scripts/bench/rollouts.py --reward-ms 5 --before PROGRAM      beside an earlier temper-train, in the order of draws
  scripts/bench/rollouts.py --reward http --reward-ms 500       beside PROGRAM too, such as one built with
      --before PROGRAM                                          RunOptions::scores_while_decoding = false
"""
import argparse
import datetime
import json
import os
import random
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

from measuring import ROOT, measure

RECORDS, PROMPTS, GROUP, EPOCHS = 128, 32, 4, 3
SHAPE = {"family": "llama", "vocab": 280, "hidden": 192, "intermediate": 512, "layers": 6, "heads": 6, "kv_heads": 3,
         "max_positions": 512}
REWARD = """import json, sys, time
for line in sys.stdin:
    item = json.loads(line)
    time.sleep({})
    print(json.dumps({{"id": item["id"], "score": len(item["completion"]) % 7 / 7}}), flush=True)
"""

SERVER = """import http.server, json, time
class Handler(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        items = json.loads(self.rfile.read(int(self.headers["Content-Length"])))["items"]
        time.sleep({})
        body = json.dumps({{"items": [{{"id": i["id"], "score": len(i["completion"]) % 7 / 7}} for i in items]}}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
    def log_message(self, *_):
        pass
class Server(http.server.ThreadingHTTPServer):
    request_queue_size = 128
server = Server(("127.0.0.1", 0), Handler)
print(server.server_address[1], flush=True)
server.serve_forever()
"""


def parse_args():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--temper", type=Path, default=ROOT / "build/bin/temper-train")
    p.add_argument("--before", type=Path, help="another temper-train, run beside it")
    p.add_argument("--pairs", type=int, default=3, help="runs of each")
    p.add_argument("--reward", default="process", choices=["process", "http"])
    p.add_argument("--reward-ms", type=float, default=0)
    p.add_argument("--dtype", default="bf16", choices=["bf16", "f32"])
    p.add_argument("--keep", type=Path, help="folder for the runs, whose model is taken again; default: a temporary one")
    return p.parse_args()


def train(program, folder, name, config, *sets):
    path = folder / f"{name}.json"
    path.write_text(json.dumps({**config, "run": str(folder / name)}))
    measure([program, path, "--quiet", "--resume", "never", *(w for s in sets for w in ("--set", s))], None)
    return [json.loads(line) for line in (folder / name / "metrics.jsonl").read_text().splitlines()]


def prepare(args, folder):
    rng = random.Random(1)
    most = [rng.randrange(2, 10) if i % 8 else rng.randrange(60, 100) for i in range(RECORDS)]
    rng.shuffle(most)
    (folder / "count.jsonl").write_text("".join(
        json.dumps({"prompt": f"Count to {n}:", "completion": " " + " ".join(map(str, range(1, n + 1))) + " ."}) + "\n"
        for n in most))
    (folder / "reward.py").write_text((SERVER if args.reward == "http" else REWARD).format(args.reward_ms / 1000))
    if not (folder / "model/final/DONE").exists():
        train(args.temper, folder, "model", {
            "task": "sft", "model": {"init": SHAPE}, "data": {"train": [str(folder / "count.jsonl")], "max_tokens": 400},
            "optimizer": {"name": "adamw", "lr": 1e-3}, "train": {"steps": 150, "batch_size": 32}, "checkpoint": {"every": 0}})


def main():
    args = parse_args()
    with tempfile.TemporaryDirectory(prefix="temper-bench-") as temporary:
        folder = (args.keep or Path(temporary)).resolve()
        folder.mkdir(parents=True, exist_ok=True)
        prepare(args, folder)
        command = [sys.executable, str(folder / "reward.py")]
        if args.reward == "process":
            return compare(args, folder, {"kind": "process", "command": command})
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
            try:
                url = f"http://127.0.0.1:{int(server.stdout.readline())}/"
                compare(args, folder, {"kind": "http", "url": url, "batch_size": 1, "in_flight": 32})
            finally:
                server.kill()


def compare(args, folder, reward):
    config = {
        "task": "rl", "model": {"path": str(folder / "model/final"), "dtype": args.dtype},
        "data": {"train": [str(folder / "count.jsonl")], "max_tokens": 400},
        "rollout": {"prompts_per_step": PROMPTS, "group_size": GROUP, "max_new_tokens": 320, "max_batch": 16},
        "rewards": [reward],
        "algorithm": {"name": "grpo"}, "optimizer": {"name": "adamw", "lr": 1e-9}, "schedule": {"name": "constant"},
        "train": {"steps": EPOCHS * RECORDS // PROMPTS, "batch_size": PROMPTS}, "checkpoint": {"every": 0},
    }
    rows = [("drawn", args.temper, ["rollout.longest_first=false"]), ("longest first", args.temper, [])]
    if args.before:
        rows.insert(0, ("before", args.before, []))
    seconds = {name: [] for name, _, _ in rows}
    for pair in range(args.pairs):
        for name, program, sets in rows:
            run = f"{name.replace(' ', '-')}-{pair}-{os.getpid()}"
            metrics = train(program, folder, run, config, *sets)[RECORDS // PROMPTS:]
            mean = {key: statistics.mean(m["time"].get(key, 0) for m in metrics) for key in ("rollout_s", "scoring_s")}
            mean["length"] = statistics.mean(m["length"] for m in metrics)
            seconds[name].append(mean)
            print(f"{name}: {mean}", file=sys.stderr, flush=True)
    print(f"{datetime.date.today()}, {os.cpu_count()} cores, {args.dtype}, reward {args.reward}, {args.reward_ms:g} ms\n")
    print("| | rollout s/step | of it waiting for scores | mean length | faster |\n|---|---|---|---|---|")
    first = statistics.median(m["rollout_s"] for m in seconds[rows[0][0]])
    for name, _, _ in rows:
        middle = {key: statistics.median(m[key] for m in seconds[name]) for key in ("rollout_s", "scoring_s", "length")}
        waits = f"{middle['scoring_s']:.2f}" if middle["scoring_s"] else "-"  # early programs did not say
        print(f"| {name} | {middle['rollout_s']:.2f} | {waits} | {middle['length']:.0f} | {first / middle['rollout_s']:.2f} x |")


if __name__ == "__main__":
    main()
