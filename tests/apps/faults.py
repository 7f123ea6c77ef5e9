#!/usr/bin/env python3
"""What a run must survive, on a tiny model of each task and of a run in rounds: kill -9 at random moments and while something is being written, flipped
bits in a checkpoint, a second start in the same folder, a full disk. Each time the end must be the undisturbed run's: final/,
samples, metrics (without their times) and the weights of the checkpoints, byte for byte.
  TEMPER_BIN=build/bin TEMPER_SOURCE=. tests/apps/faults.py [--kills N] [--flips N] [--starts N] [--disks N] [--tasks sft,rl] [--seed N]
N is for each task, and 0 leaves a part out; without options a short form of all. A full disk needs the right to mount one."""
import argparse, json, os, random, shutil, subprocess, sys, tempfile, time

source = os.path.abspath(os.environ["TEMPER_SOURCE"])
program = os.path.abspath(os.environ["TEMPER_BIN"]) + "/temper-train"
TINY = {"vocab": 400, "hidden": 32, "intermediate": 64, "layers": 2, "heads": 2, "kv_heads": 1, "max_positions": 256}
QUESTIONS = {"train": [source + "/data/arithmetic/train.jsonl"], "eval": [source + "/data/arithmetic/test.jsonl"], "max_tokens": 200}
PAIRS = {"train": [source + "/data/pairs/train.jsonl"], "eval": [source + "/data/pairs/test.jsonl"], "max_tokens": 200}


TALKER = """
import json, sys, time
turns = {}
for line in sys.stdin:
    m = json.loads(line)
    number, out = m.get("conversation"), {"id": m.get("id")}
    if "close" in m: continue
    if "reset" in m:
        turns[number] = 0
        out["messages"] = [{"role": "user", "content": "go %d" % (m["reset"]["seed"] % 10)}]
    elif "cut" in m: out["reward"] = -1
    else:
        time.sleep(0.004)
        turns[number] += 1
        long = len(m["step"]["text"])
        out.update(over=turns[number] > (long + turns[number]) % 5 or m["step"]["last"], reward=long % 5 / 4)
        if not out["over"]: out["messages"] = [{"role": "user", "content": "%d" % long}]
    print(json.dumps(out), flush=True)
"""


def configs(work):
    base = {"path": work + "/base/final", "dtype": "f32"}
    tasks = {
        "sft": {"model": {"dtype": "f32", "init": TINY}, "data": QUESTIONS, "train": {"steps": 60, "batch_size": 16}},
        "preference": {"model": base, "data": PAIRS, "train": {"steps": 30, "batch_size": 4}},
        "rl": {"model": base, "data": QUESTIONS, "adapter": {"kind": "lora", "rank": 4, "dropout": 0.1},
               "rollout": {"prompts_per_step": 4, "group_size": 4, "max_new_tokens": 8},
               "rewards": [{"kind": "contains", "texts": ["1", "2"]}], "algorithm": {"name": "dapo"},
               "train": {"steps": 16, "batch_size": 2, "updates_per_rollout": 2}},
        "reward_model": {"model": base, "data": PAIRS, "adapter": {"kind": "lora", "rank": 4}, "train": {"steps": 30, "batch_size": 4}},
        "distill": {"model": {"dtype": "f32", "init": {**TINY, "vocab": 0, "hidden": 24, "tokenizer": work + "/base/final"}},
                    "teachers": [{"path": work + "/base/final"}], "data": QUESTIONS, "on_policy_share": 0.5,
                    "rollout": {"max_new_tokens": 8}, "train": {"steps": 24, "batch_size": 8}},
        # Most of the time somebody waits for an answer.
        "talk": {"task": "rl", "model": base, "data": QUESTIONS, "rollout": {"prompts_per_step": 2, "group_size": 4, "max_new_tokens": 40},
                 "environment": {"kind": "process", "turn_tokens": 6, "command": ["python3", "-c", TALKER]},
                 "train": {"steps": 10, "batch_size": 2}},
    }
    training = {"task": "sft", "optimizer": {"name": "adamw", "lr": 1e-3}, "train": {"steps": 12, "batch_size": 8}, "checkpoint": {"every": 3}}
    rounds = {"task": "rounds", "threads": 1, "rounds": 3, "model": base, "data": QUESTIONS, "rewards": [{"kind": "contains", "texts": ["1", "2"]}],
              "phases": [{"kind": "tune", "count": 8, "n": 4, "temperatures": [0.5, 1], "sampling": {"max_new_tokens": 8}},
                         {"kind": "generate", "name": "answers", "count": 200, "n": 2, "sampling_from": "tune", "sampling": {"max_new_tokens": 8}},
                         {"kind": "select", "rule": "top"},
                         {"kind": "train", "data_policy": "accumulate", "moments": "keep", "config": training},
                         {"kind": "train", "name": "second", "config": {**training, "adapter": {"kind": "lora", "rank": 4}}},
                         {"kind": "evaluate", "count": 8, "sampling": {"max_new_tokens": 8}}]}
    with open(f"{work}/rounds.json", "w") as out:
        json.dump(rounds, out)
    for name, task in tasks.items():
        steps = task["train"]["steps"]
        task.setdefault("task", name)
        task.update({"threads": 1, "optimizer": {"name": "adamw", "lr": 1e-3}, "checkpoint": {"every": 2, "keep": 2},
                     "eval": {"every": steps // 2, "limit": 4}})
        task["train"]["micro_batch_tokens"] = 600
        if name in ("sft", "rl", "distill"):
            task["eval"]["max_new_tokens"] = 8
        with open(f"{work}/{name}.json", "w") as out:
            json.dump(task, out)
    return [*tasks, "rounds"]


def start(config, folder, *options):
    return subprocess.Popen([program, config, "--run", folder, "--quiet", *options], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)


def told(process):
    return process.communicate()[1].decode(errors="replace")


def outcome(folder):
    """What must not depend on what happened on the way."""
    out = {}
    for root, _, files in os.walk(folder):
        for name in files:
            path = os.path.join(root, name)
            key = os.path.relpath(path, folder)
            weights = key.startswith("checkpoints/") and key.endswith(".safetensors")
            if key == "metrics.jsonl":
                with open(path) as lines:
                    out[key] = [{k: v for k, v in json.loads(line).items() if k != "time"} for line in lines]
            elif key.startswith("rounds/") and "/run/" in key and not key.endswith(("/samples.jsonl", ".safetensors")):
                continue  # times, and places of this run folder
            elif key.startswith(("final/", "rounds/")) or key == "samples.jsonl" or weights or ".tmp" in key:
                with open(path, "rb") as file:
                    out[key] = file.read()
    return out


def unfinished(folder):
    """What is being written, or was when its process was killed."""
    places = [folder, folder + "/checkpoints", *(f"{folder}/rounds/{p}" for p in phases(folder))]
    out = []
    for place in places:
        try:
            out += [n for n in os.listdir(place) if n.endswith(".tmp")]
        except (FileNotFoundError, NotADirectoryError):
            pass
    return sorted(out)


def phases(folder):
    try:
        return [f"{r}/{p}{run}" for r in os.listdir(folder + "/rounds") for p in os.listdir(f"{folder}/rounds/{r}") for run in ("", "/run", "/run/checkpoints")]
    except FileNotFoundError:
        return []


class Faults:
    def __init__(self, work, name, seed):
        self.work, self.name, self.config, self.failed = work, name, f"{work}/{name}.json", False
        self.random = random.Random(f"{name} {seed}")
        self.whole = f"{work}/{name}-whole"
        began = time.time()
        self.expect(start(self.config, self.whole), "the undisturbed run")
        self.outcome, middle = outcome(self.whole), time.time()
        self.expect(start(self.config, self.whole), "the finished run, started again")
        self.startup = time.time() - middle
        self.seconds = max(middle - began - self.startup, 0.05)
        checkpoints = self.whole + "/checkpoints"
        self.last = max(int(s.split("-")[1]) for s in os.listdir(checkpoints)) if os.path.isdir(checkpoints) else None

    def fail(self, what):
        self.failed = True
        print(f"FAIL: {self.name}: {what}", flush=True)

    def expect(self, process, what, code=0):
        text = told(process)
        if process.returncode != code:
            self.fail(f"{what}: exit code {process.returncode}, expected {code}: {text[-600:]}")
        return text

    def compare(self, folder, what):
        found = outcome(folder)
        differs = sorted(k for k in set(found) | set(self.outcome) if found.get(k) != self.outcome.get(k))
        if not differs:
            return shutil.rmtree(folder)
        kept = tempfile.mkdtemp(prefix=f"{self.name}-differs-", dir=self.work)
        shutil.move(folder, kept)
        self.fail(f"{what}: differs in {differs[:6]} ({kept})")

    def wait_for_moment(self, process, folder):
        """Until a moment to kill at: any, or shortly after something has begun to be written under another name."""
        if self.random.random() < 0.5:
            end = time.time() + self.random.uniform(0.8 * self.startup, self.startup + 0.6 * self.seconds)
            while process.poll() is None and time.time() < end:
                time.sleep(0.002)
            return
        passed, seen = self.random.randrange(4), []
        while process.poll() is None and passed >= 0:
            writing = unfinished(folder)
            if writing and writing != seen:
                passed -= 1
            seen = writing
            time.sleep(0.0002)
        time.sleep(self.random.choice([0, 0, 0.001, 0.005]))

    def kills(self, count):
        done = runs = writing = 0
        while done < count:
            folder, here = f"{self.work}/{self.name}-killed", 0
            while done < count:
                process = start(self.config, folder)
                self.wait_for_moment(process, folder)
                if process.poll() is not None:
                    break
                process.kill()
                process.communicate()
                done, here = done + 1, here + 1
                writing += unfinished(folder) != []
            else:
                process = start(self.config, folder)
            self.expect(process, f"after {here} kills")
            self.compare(folder, f"after {here} kills")
            runs += 1
        print(f"{self.name}: {done} kills ({writing} while something was being written) of {runs} run{'s' * (runs > 1)}, each with the undisturbed end", flush=True)

    def flips(self, count):
        if self.last is None:
            return  # a run in rounds: its trainings have checkpoints
        noticed = unchanged = 0
        files = sorted(os.listdir(f"{self.whole}/checkpoints/step-{self.last}"))
        for i in range(count):
            folder = f"{self.work}/{self.name}-flipped"
            shutil.copytree(self.whole, folder)
            shutil.rmtree(folder + "/final")
            name = files[i % len(files)]
            path = f"{folder}/checkpoints/step-{self.last}/{name}"
            with open(path, "rb") as file:
                content = bytearray(file.read())
            bit = self.random.randrange(8 * len(content))
            content[bit // 8] ^= 1 << bit % 8
            with open(path, "wb") as file:
                file.write(content)
            text = self.expect(start(self.config, folder), f"bit {bit} of {name} flipped")
            if f"step-{self.last}: passed over" in text:
                noticed += 1
            elif name == "DONE":  # white space between its parts
                unchanged += 1
            else:
                self.fail(f"bit {bit} of {name} flipped: not noticed")
            self.compare(folder, f"bit {bit} of {name} flipped")
        print(f"{self.name}: {count} flipped bits over {', '.join(files)}: {noticed} noticed and the checkpoint before used, "
              f"{unchanged} in DONE's white space", flush=True)

    def starts(self, count):
        refused = after = 0
        for i in range(count):
            folder = f"{self.work}/{self.name}-twice"
            first = start(self.config, folder)
            time.sleep([0, self.random.uniform(0, self.startup), self.random.uniform(self.startup, self.startup + 0.6 * self.seconds)][i % 3])
            both = [first, start(self.config, folder)]
            texts = [told(p) for p in both]
            codes = sorted(p.returncode for p in both)
            lost = [t for p, t in zip(both, texts) if p.returncode == 2]
            if codes == [0, 2] and "in use by " in lost[0] and len(lost[0].splitlines()) == 1:
                refused += 1
            elif codes == [0, 0]:
                after += 1
            else:
                self.fail(f"two starts: exit codes {codes}: {texts}")
            self.compare(folder, "two starts")
        print(f"{self.name}: {count} times two starts: {refused} times one refused, {after} times one after the other", flush=True)

    def disks(self, count):
        disk, full = f"{self.work}/disk", 0
        os.makedirs(disk, exist_ok=True)
        size = sum(os.path.getsize(os.path.join(r, n)) for r, _, names in os.walk(self.whole) for n in names) // 1024
        for i in range(count):
            small = int(size * (0.03 + 1.3 * (i + self.random.random()) / count)) + 8
            if subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={small}k", "tmpfs", disk], stderr=subprocess.DEVNULL).returncode != 0:
                return print(f"{self.name}: not allowed to mount a small disk: full disks are not tried", flush=True)
            try:
                process = start(self.config, disk + "/run")
                text = told(process)
                lines = [t for t in text.splitlines() if not t.startswith("warning: ")]
                if process.returncode == 2 and len(lines) == 1 and "No space left" in lines[0]:
                    full += 1
                elif process.returncode != 0:
                    self.fail(f"a disk of {small} kB: exit code {process.returncode}: {text[-600:]}")
                subprocess.run(["mount", "-o", f"remount,size={10 * size}k", disk], check=True)
                self.expect(start(self.config, disk + "/run"), f"after a disk of {small} kB")
                shutil.copytree(disk + "/run", f"{self.work}/{self.name}-full")
            finally:
                subprocess.run(["umount", disk])
            self.compare(f"{self.work}/{self.name}-full", f"after a disk of {small} kB")
        print(f"{self.name}: {count} disks, {full} of them full before the end: one line each, then the same end", flush=True)


def main():
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for part, short in (("kills", 2), ("flips", 2), ("starts", 1), ("disks", 1)):
        options.add_argument(f"--{part}", type=int, default=short)
    options.add_argument("--tasks", default="")
    options.add_argument("--seed", type=int, default=1)
    given = options.parse_args()
    work = tempfile.mkdtemp(prefix="temper-faults-")
    os.environ["XDG_CACHE_HOME"] = work + "/cache"
    known = configs(work)
    base = start(work + "/sft.json", work + "/base", "--set", "train.steps=30")
    if told(base) and base.returncode != 0:
        sys.exit("FAIL: the model that this test needs could not be made")
    failed = False
    for name in given.tasks.split(",") if given.tasks else known:
        faults = Faults(work, name, given.seed)
        for part in ("kills", "flips", "starts", "disks"):
            if getattr(given, part) > 0:
                getattr(faults, part)(getattr(given, part))
        failed |= faults.failed
    if failed:
        sys.exit(f"kept: {work}")
    shutil.rmtree(work)


if __name__ == "__main__":
    main()
