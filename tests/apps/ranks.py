#!/usr/bin/env python3
"""One run in several processes, on a tiny model of each task: the numbers of one process but for rounding, the same bytes each time
and after a rank was killed, another number of ranks on resume, the same with state that is shared out, and one line for what cannot
work.
  TEMPER_BIN=build/bin TEMPER_SOURCE=. tests/apps/ranks.py [--kills N] [--tasks sft,rl] [--stops] [--each]
--kills: a task's ranks killed. --stops: also a rank that hangs, half a minute. --each: a rank killed after each step in turn and while
each checkpoint is written, and four ranks; some minutes."""
import argparse, contextlib, glob, json, os, random, re, shutil, signal, socket, subprocess, sys, tempfile, time

from faults import QUESTIONS, TINY, configs, outcome, program

STEPS = {"sft": 6, "preference": 4, "rl": 4, "reward_model": 4, "distill": 4}
SLOW = """
import json, sys, time
for line in sys.stdin:
    item = json.loads(line)
    time.sleep(0.003)
    print(json.dumps({"id": item["id"], "score": len(item["completion"]) % 5 / 4, "text": item["completion"][:9]}), flush=True)
"""
# What trains changes on the way, and a second model learns.
VARIANTS = {"lisa": ("sft", {"adapter": {"kind": "lisa", "blocks": 1, "every": 2, "state": "offload"}}),
            "increlora": ("sft", {"adapter": {"kind": "increlora", "warmup": 2, "interval": 2, "target": 4}}),
            "embedding": ("sft", {"adapter": {"kind": "dora", "rank": 4, "targets": ["embed_tokens", "lm_head", "q_proj"]}}),
            "ist": ("sft", {"adapter": {"kind": "ist", "rank": 4, "measure_every": 2}}),
            "filtered": ("sft", {"filter": {"kind": "multistage", "warmup": 0.3, "window": 40, "predictor_window": 8, "predictor_loss": 1},
                                 "eval": {"every": 2, "losses": [{"name": "old", "files": ["few.jsonl"]}]}}),
            "critic": ("rl", {"algorithm": {"name": "ppo"}, "adapter": {"kind": "full"}}),
            "minillm": ("distill", {"algorithm": {"name": "minillm"}, "on_policy_share": None}),
            "talking": ("rl", {"environment": {"kind": "attempts", "attempts": 3, "turn_tokens": 5, "feedback": "no, {left}",
                                               "verifier": {"kind": "contains", "texts": ["7"]}},
                               "rollout": {"prompts_per_step": 4, "group_size": 4, "max_new_tokens": 30, "max_batch": 5}, "rewards": []}),
            "thinking": ("rl", {"environment": {"kind": "budget", "tokens": 5, "end": "1", "time_up": " so:", "waits": 1}}),
            "mrt": ("rl", {"rollout": {"prompts_per_step": 4, "group_size": 4, "max_new_tokens": 8, "prefix": {"tokens": 5, "time_up": " so:"}},
                           "algorithm": {"name": "mrt"}}),
            "hinted": ("rl", {"hint": {"column": "answer", "text": " ({hint})", "at_most": 0.5}, "rewards": [{"kind": "math"}],
                              "algorithm": {"name": "grpo"}}),
            "replayed": ("rl", {"replay": {"share": 0.5, "capacity": 8, "kind": "btp"}}),
            # More than is decoded at once, of records that come again, scored by a program meanwhile.
            "crowded": ("rl", {"data": {"train": ["few.jsonl"], "eval": ["few.jsonl"], "max_tokens": 200},
                               "rollout": {"prompts_per_step": 4, "group_size": 4, "max_new_tokens": 8, "max_batch": 3},
                               "rewards": [{"kind": "process", "command": ["python3", "-c", SLOW]}, {"kind": "contains", "texts": ["1", "2"]}]}),
            # What is drawn depends on what all ranks saw.
            "rehearsed": ("sft", {"data": {"train": [*QUESTIONS["train"], "few.jsonl"], "eval": QUESTIONS["eval"], "max_tokens": 200,
                                           "order": {"kind": "mix_cd", "files": ["few.jsonl"], "share": 0.25, "bins": 2}}}),
            "passed": ("rl", {"data": {**QUESTIONS, "order": {"kind": "pass_rate", "low": 0.3, "high": 0.9, "explore": 0.3}}}),
            # Compared with the initial model's answers, and placed among all of the step.
            "compared": ("rl", {"rewards": [{"kind": "process", "command": ["python3", "-c", SLOW],
                                             "transforms": [{"kind": "calibrate", "samples": 3}, {"kind": "z_score"}]}]})}
# With state shared out.
SHARED = {"full-bf16": ("sft", {"model": {"dtype": "bf16", "init": TINY}, "optimizer": {"name": "adamw", "lr": 1e-3, "lookahead": {"k": 2}}}),
          "full-f32": ("sft", {"optimizer": {"name": "muon", "lr": 1e-3}}),
          "lora": ("sft", {"adapter": {"kind": "lora", "rank": 4, "dropout": 0.1, "modules_to_save": ["norm"]}}),
          "dora-bf16": ("sft", {"model": {"dtype": "bf16", "init": TINY}, "adapter": {"kind": "dora", "rank": 4, "targets": ["lm_head", "q_proj"]},
                                "optimizer": {"name": "lion", "lr": 1e-3, "weight_decay": 0.1}}),
          "ist-shared": ("sft", {"adapter": {"kind": "ist", "rank": 4, "measure_every": 2}}),
          "critic-8bit": ("rl", {"algorithm": {"name": "ppo"}, "adapter": {"kind": "full"}, "optimizer": {"name": "adamw8bit", "lr": 1e-3}})}
STATE = ["--set", "dist.shard=state"]


def command(config, folder, *options):
    return [program, config, "--run", folder, "--quiet", *options]


def children(process):
    with contextlib.suppress(OSError), open(f"/proc/{process.pid}/task/{process.pid}/children") as file:
        return file.read().split()
    return []


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def place(rank, world, port):
    """As torchrun sets it."""
    return {**os.environ, "RANK": str(rank), "WORLD_SIZE": str(world), "LOCAL_RANK": str(rank), "LOCAL_WORLD_SIZE": str(world),
            "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}


def together(commands, port, seconds=300):
    """Each command a rank; their exit codes and what they said."""
    ranks = [subprocess.Popen(c, env=place(r, len(commands), port), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE) for r, c in enumerate(commands)]
    said = [p.communicate(timeout=seconds)[1].decode() for p in ranks]
    return [p.returncode for p in ranks], said


class Ranks:
    def __init__(self, work):
        self.work, self.failed, self.done = work, 0, 0

    def check(self, right, what):
        self.done += 1
        if not right:
            self.failed += 1
            print(f"FAIL: {what}", flush=True)

    def run(self, task, name, *options, code=0):
        process = subprocess.run(command(f"{self.work}/{task}.json", f"{self.work}/{name}", *options), capture_output=True, text=True, timeout=600)
        self.check(process.returncode == code, f"{name}: exit code {process.returncode}, not {code}: {process.stderr}")
        return process.stderr

    def rows(self, name):
        with open(f"{self.work}/{name}/metrics.jsonl") as lines:
            return [json.loads(line) for line in lines]

    def near(self, a, b, rounding=2e-4):
        """Metrics but for rounding, which a few steps at a high rate enlarge."""
        one, other = self.rows(a), self.rows(b)
        self.check(len(one) == len(other), f"{b}: {len(other)} rows, {a} has {len(one)}")
        for x, y in zip(one, other):
            for key in x.keys() | y.keys():
                u, v = x.get(key), y.get(key)
                if key == "time" or u == v:
                    continue
                numbers = all(isinstance(n, (int, float)) for n in (u, v))
                self.check(numbers and abs(u - v) <= rounding * (1 + abs(u)), f"{b}: step {x['step']} {x['split']} {key}: {v}, {a} has {u}")

    def same_bytes(self, a, b, but=()):
        one, other = outcome(f"{self.work}/{a}"), outcome(f"{self.work}/{b}")
        for key in sorted((one.keys() | other.keys()) - set(but)):
            self.check(one.get(key) == other.get(key), f"{b}: {key} is not as in {a}")

    def three(self, task, name, *options, ranks=3):
        config, folder = f"{self.work}/{task}.json", f"{self.work}/{name}"
        codes, said = together([command(config, folder, *options)] * ranks, free_port())
        self.check(codes == [0] * ranks, f"{name}: {ranks} ranks by torchrun's variables: {codes} {said}")

    def kills(self, task, count, rng):
        for k in range(count):
            name = f"{task}-killed-{k}"
            launcher = subprocess.Popen(command(f"{self.work}/{task}.json", f"{self.work}/{name}", "--ranks", "2", "--restarts", "3"),
                                        stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
            # Once it has begun to train, at some moment of a second.
            while launcher.poll() is None and not os.path.exists(f"{self.work}/{name}/metrics.jsonl"):
                time.sleep(0.01)
            time.sleep(rng.random())
            ranks = children(launcher)
            with contextlib.suppress(ProcessLookupError):  # it may just have ended
                if len(ranks) == 2:
                    os.kill(int(rng.choice(ranks)), signal.SIGKILL)
            said = launcher.communicate(timeout=600)[1].decode()
            self.check(launcher.returncode == 0, f"{name}: exit code {launcher.returncode}: {said}")
            self.same_bytes(f"{task}-2", name)

    def killed_at(self, task, name, moment, victim):
        """A rank killed as soon as moment(run folder) holds."""
        folder = f"{self.work}/{name}"
        launcher = subprocess.Popen(command(f"{self.work}/{task}.json", folder, "--ranks", "2", "--restarts", "3"),
                                    stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        while launcher.poll() is None and not moment(folder):
            time.sleep(0.001)
        ranks = children(launcher)
        hit = len(ranks) == 2
        if hit:
            os.kill(int(ranks[victim]), signal.SIGKILL)
        said = launcher.communicate(timeout=600)[1].decode()
        self.check(launcher.returncode == 0, f"{name}: exit code {launcher.returncode}: {said}")
        self.same_bytes(f"{task}-2", name)
        return hit

    def each(self, task, steps):
        """After each step in turn (the last one: in the evaluation), and while each checkpoint is being written."""
        def rows(folder):
            with contextlib.suppress(OSError, ValueError), open(f"{folder}/metrics.jsonl") as lines:
                return sum('"split":"train"' in line.replace(" ", "") for line in lines)
            return 0

        def writes(folder, count):
            """The count-th checkpoint has begun and is not whole."""
            begun, whole = glob.glob(f"{folder}/checkpoints/*"), glob.glob(f"{folder}/checkpoints/*/DONE")
            return len(whole) == count - 1 and len(begun) >= count

        hits = sum(self.killed_at(task, f"{task}-step-{k}-{victim}", lambda folder, k=k: rows(folder) >= k, victim)
                   for k in range(1, steps + 1) for victim in (0, 1))
        writing = sum(self.killed_at(task, f"{task}-writing-{k}-{victim}", lambda folder, k=k: writes(folder, k), victim)
                      for k in (1, 2) for victim in (0, 1))
        self.three(task, f"{task}-4", ranks=4)
        self.near(f"{task}-1", f"{task}-4")
        print(f"{task}: {hits} of {2 * steps} ranks killed after a step, {writing} of 4 while a checkpoint was written", flush=True)

    def wait_for_checkpoint(self, process, name):
        while process.poll() is None and not glob.glob(f"{self.work}/{name}/checkpoints/*/DONE"):
            time.sleep(0.01)

    def other_number(self):
        """Stopped with two ranks, resumed with one, and the other way round."""
        for first, then in ((["--ranks", "2"], []), ([], ["--ranks", "2"])):
            name = f"sft-from-{len(first)}"
            process = subprocess.Popen(command(f"{self.work}/sft-long.json", f"{self.work}/{name}", *first), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
            self.wait_for_checkpoint(process, name)
            process.send_signal(signal.SIGTERM)
            process.communicate(timeout=300)
            self.check(process.returncode == 143, f"{name}: stopped with {process.returncode}, not 143")
            said = subprocess.run([c for c in command(f"{self.work}/sft-long.json", f"{self.work}/{name}", *then) if c != "--quiet"],
                                  capture_output=True, text=True, timeout=300)
            self.check(said.returncode == 0 and "until now" in said.stderr + said.stdout, f"{name}: {said.returncode} {said.stderr}")

    def stopped(self, count, rng):
        """A signal at any moment, also while ranks sample: all save and leave, and the end is the undisturbed one."""
        self.run("rl-long", "rl-whole", "--ranks", "2")
        for k in range(count):
            name = f"rl-stopped-{k}"
            process = subprocess.Popen(command(f"{self.work}/rl-long.json", f"{self.work}/{name}", "--ranks", "2"), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
            while process.poll() is None and not os.path.exists(f"{self.work}/{name}/metrics.jsonl"):
                time.sleep(0.01)
            time.sleep(rng.random())
            process.send_signal(signal.SIGTERM)
            said = process.communicate(timeout=300)[1].decode()
            self.check(process.returncode in (0, 143), f"{name}: stopped with {process.returncode}: {said}")
            self.run("rl-long", name, "--ranks", "2")
            self.same_bytes("rl-whole", name)

    def shares(self, name):
        """The same weights, in the same files, whether the state is shared out or not; of metrics, the gradient norm adds up in another
        order. One rank alone shares nothing."""
        self.run(name, f"{name}-1")
        self.run(name, f"{name}-1-state", *STATE)
        self.same_bytes(f"{name}-1", f"{name}-1-state")
        self.run(name, f"{name}-2", "--ranks", "2")
        self.run(name, f"{name}-2-state", "--ranks", "2", *STATE)
        self.same_bytes(f"{name}-2", f"{name}-2-state", but=["metrics.jsonl"])
        self.near(f"{name}-2", f"{name}-2-state", 1e-12)
        self.three(name, f"{name}-3")
        self.three(name, f"{name}-3-state", *STATE)
        self.near(f"{name}-3", f"{name}-3-state", 1e-3 if "bf16" in name else 2e-4)

    def back_to(self, name, step):
        """The run as it was after a step."""
        shutil.rmtree(f"{self.work}/{name}/final")
        for folder in glob.glob(f"{self.work}/{name}/checkpoints/step-*"):
            if int(folder.split("-")[-1]) > step:
                shutil.rmtree(folder)

    def shares_on(self, name):
        """Two ranks, then three, then one; shared out, then not, and the other way round."""
        self.run(name, "other", "--ranks", "2", *STATE)
        self.back_to("other", 2)
        self.three(name, "other", *STATE)
        self.back_to("other", 4)
        self.run(name, "other", *STATE)
        self.near(f"{name}-1", "other", 1e-3 if "bf16" in name else 2e-4)
        for first, then in (STATE, []), ([], STATE):
            self.run(name, "turned", "--ranks", "2", *first)
            self.back_to("turned", 2)
            self.run(name, "turned", "--ranks", "2", *then)
            self.same_bytes(f"{name}-2", "turned", but=["metrics.jsonl"])
            self.near(f"{name}-2", "turned", 1e-12)
            shutil.rmtree(f"{self.work}/turned")
        shutil.rmtree(f"{self.work}/other")

    def plans(self, name):
        said = subprocess.run([program, f"{self.work}/{name}.json", "--plan", "--ranks", "2", *STATE], capture_output=True, text=True, timeout=60)
        plan = json.loads(said.stdout)
        none, state = plan["ranks"]["none"], plan["ranks"]["state"]
        self.check(plan["ranks"]["count"] == 2 and none["optimizer_bytes"] > 1.5 * state["optimizer_bytes"] > 0, f"{name}: the plan: {plan['ranks']}")
        self.check(plan["memory"]["optimizer_bytes"] == state["optimizer_bytes"], f"{name}: the plan: {plan['memory']}")

    def refusals(self):
        config = f"{self.work}/sft.json"

        def refused(what, pattern, *options):
            said = self.run("sft", "refused", *options, code=2)
            self.check(len(said.splitlines()) == 1 and re.search(pattern, said), f"{what}: {said}")
        refused("no ranks", "--ranks: expected at least 1", "--ranks", "0")
        refused("more ranks than processors", "ranks on [0-9]+ processors", "--ranks", "9999")
        refused("state of a changing set", 'dist.shard: "state" is for .*, not for "lisa": set dist.shard to "none"', "--set", "adapter.kind=lisa", *STATE)
        refused("NCCL without GPUs", "dist.backend: \"nccl\" carries tensors from GPU to GPU, but device is \"cpu\"", "--set", "dist.backend=nccl")
        with contextlib.suppress(FileNotFoundError):
            shutil.rmtree(f"{self.work}/refused")
        said = self.run("preference", "refused", "--set", "reference.sync_every=2", *STATE, code=2)
        self.check(len(said.splitlines()) == 1 and 'dist.shard: "state" leaves no rank with all masters' in said, f"state and a moving reference: {said}")
        codes, said = together([command(config, f"{self.work}/apart"), command(config, f"{self.work}/apart", "--set", "seed=7")], free_port())
        self.check(codes == [2, 2] and all(len(s.splitlines()) == 1 and "was started with another config" in s for s in said), f"another config: {codes} {said}")
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))
            taken.listen()
            process = subprocess.run(command(config, f"{self.work}/taken"), env=place(0, 2, taken.getsockname()[1]), capture_output=True, text=True, timeout=300)
        self.check(process.returncode == 2 and len(process.stderr.splitlines()) == 1, f"a taken port: {process.returncode} {process.stderr}")
        for variables, pattern in (({"RANK": "2", "WORLD_SIZE": "2"}, "rank 2 of 2"), ({"RANK": "x", "WORLD_SIZE": "2"}, "RANK: expected a number"), ({"RANK": "0"}, "WORLD_SIZE is missing")):
            process = subprocess.run(command(config, f"{self.work}/odd"), env={**os.environ, **variables}, capture_output=True, text=True, timeout=60)
            self.check(process.returncode == 2 and re.search(pattern, process.stderr), f"{variables}: {process.returncode} {process.stderr}")

    def hangs(self):
        launcher = subprocess.Popen(command(f"{self.work}/sft-long.json", f"{self.work}/hangs", "--ranks", "2"), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        self.wait_for_checkpoint(launcher, "hangs")
        os.kill(int(children(launcher)[1]), signal.SIGSTOP)
        said = launcher.communicate(timeout=120)[1].decode()
        self.check(launcher.returncode == 75 and re.search("has not been heard of|was lost during", said), f"a rank that hangs: {launcher.returncode} {said}")


def main():
    p = argparse.ArgumentParser()
    p.add_argument("--kills", type=int, default=1)
    p.add_argument("--tasks", default=",".join(STEPS))
    p.add_argument("--stops", action="store_true")
    p.add_argument("--each", action="store_true")
    args = p.parse_args()
    with tempfile.TemporaryDirectory() as work:
        configs(work)
        ranks, rng = Ranks(work), random.Random(1)
        for task, steps in STEPS.items():
            with open(f"{work}/{task}.json") as file:
                config = json.load(file)
            with open(f"{work}/{task}-long.json", "w") as file:
                json.dump(config, file)
            config["train"]["steps"], config["eval"]["every"] = steps, steps
            with open(f"{work}/{task}.json", "w") as file:
                json.dump(config, file)
        with open(QUESTIONS["train"][0]) as lines, open(f"{work}/few.jsonl", "w") as few:
            few.writelines(next(lines) for _ in range(6))
        ranks.run("sft-long", "base")
        for task in args.tasks.split(","):
            for name, options in ((f"{task}-1", []), (f"{task}-2", ["--ranks", "2"]), (f"{task}-2-again", ["--ranks", "2"])):
                ranks.run(task, name, *options)
            ranks.three(task, f"{task}-3")
            ranks.near(f"{task}-1", f"{task}-2")
            ranks.near(f"{task}-1", f"{task}-3")
            ranks.same_bytes(f"{task}-2", f"{task}-2-again")
            ranks.kills(task, args.kills, rng)
            if args.each:
                ranks.each(task, STEPS[task])
        for name, (task, change) in {**VARIANTS, **SHARED}.items():
            with open(f"{work}/{task}.json") as file:
                config = {key: value for key, value in {**json.load(file), **change}.items() if value is not None}
            config["checkpoint"]["keep"] = 3
            with open(f"{work}/{name}.json", "w") as file:
                json.dump(config, file)
        for name in VARIANTS:
            ranks.run(name, f"{name}-1")
            ranks.run(name, f"{name}-2", "--ranks", "2")
            ranks.run(name, f"{name}-2-again", "--ranks", "2")
            ranks.near(f"{name}-1", f"{name}-2")
            ranks.same_bytes(f"{name}-2", f"{name}-2-again")
        for name in SHARED:
            ranks.shares(name)
        for name in ("full-bf16", "lora"):
            ranks.shares_on(name)
            ranks.plans(name)
        with open(f"{work}/full-bf16.json") as file:
            config = {**json.load(file), "dist": {"shard": "state"}}
        with open(f"{work}/killed.json", "w") as file:
            json.dump(config, file)
        ranks.run("killed", "killed-2", "--ranks", "2")
        ranks.kills("killed", args.kills, rng)
        ranks.other_number()
        ranks.stopped(2, rng)
        ranks.refusals()
        if args.stops:
            ranks.hangs()
        print(f"{ranks.done} checks, {ranks.failed} failed")
        sys.exit(1 if ranks.failed else 0)


if __name__ == "__main__":
    main()
