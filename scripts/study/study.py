#!/usr/bin/env python3
"""The runs of the study; scripts/study/algorithms.sh starts it, page.py draws what it finds.

One start for all: a small Llama after a little fine-tuning. For each objective two learning rates are tried with a seed of
their own on questions of their own; the best one is run with three seeds, and measured on held-out questions. All else is the
preset. Every run leaves one small file in OUT/results; a run whose file is there, made by the same settings, is not run again.
"""
import argparse
import json
import os
import shutil
import subprocess
import sys
import threading
import traceback
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import page

HERE = Path(__file__).resolve().parent
CONFIGS = HERE.parent.parent / "configs/study"

FULL = {
    "data": {"train": 3000, "dev": 400, "test": 600}, "pair_samples": 4, "pairs_heldout": 200,
    "rates": {"policy": [2e-4, 6e-4], "preference": [1e-4, 4e-4]},
    "sweep_seed": 10, "seeds": [1, 2, 3], "max_new_tokens": 24, "reward": {"kind": "math"},
    "start": [], "policy": [], "preference": [], "checkpoints": [15, 30],
}  # fmt: skip
TINY = {"vocab": 400, "hidden": 16, "intermediate": 32, "layers": 1, "heads": 2, "kv_heads": 1, "max_positions": 256}
QUICK = {
    "data": {"train": 60, "dev": 4, "test": 4}, "pair_samples": 4, "pairs_heldout": 4,
    "rates": {"policy": [1e-3], "preference": [1e-3]}, "sweep_seed": None, "seeds": [1], "max_new_tokens": 8,
    # Something that a model of random weights gets right now and then.
    "reward": {"kind": "contains", "texts": ["1", "2", "e", "a"]},
    "start": [f"model.init={json.dumps(TINY)}", "train.steps=2", "train.batch_size=4", "eval.every=0"],
    "policy": ["train.steps=2", "train.batch_size=2", "rollout.prompts_per_step=4", "rollout.group_size=4", "eval.every=0"],
    "preference": ["train.steps=2", "train.batch_size=4", "checkpoint.every=2"], "checkpoints": [2],
}  # fmt: skip


NOT_RUN = "not run yet"
# What a run on these tasks can give an objective.
KNOWN_INPUTS = {
    "policy": "logp logp_old logp_ref logp_rollout entropy token top_logp top_token token_score value reward group advantage".split(),
    "preference": "logp logp_ref label mismatch".split(),
}


class Failed(Exception):
    pass


def call(command, usage=None):
    """Runs a program of Temper on one thread; returns its output. `usage`: gains CPU seconds and peak memory."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    process = subprocess.Popen([str(c) for c in command], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                               env=environment)  # fmt: skip
    errors = []
    reader = threading.Thread(target=lambda: errors.append(process.stderr.read()))
    reader.start()
    out = process.stdout.read()
    reader.join()
    _, status, resources = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if usage is not None:
        usage["cpu_s"] = round(resources.ru_utime + resources.ru_stime, 2)
        usage["peak_gb"] = round(resources.ru_maxrss / 1e6, 3)
    if process.returncode != 0:
        lines = [line for line in errors[0].splitlines() if line.strip()]
        raise Failed(lines[-1] if lines else f"exit code {process.returncode}")
    return out


def rows(path):
    return [json.loads(line) for line in Path(path).read_text().splitlines()]


def write_rows(path, values):
    part = Path(str(path) + ".part")
    part.write_text("".join(json.dumps(v, ensure_ascii=False) + "\n" for v in values))
    part.rename(path)


def write_json(path, value):
    part = Path(str(path) + ".part")
    part.write_text(json.dumps(value, indent=1) + "\n")
    part.rename(path)


class Study:
    def __init__(self, options):
        self.bin, self.out, self.plan = Path(options.bin).resolve(), Path(options.out).resolve(), QUICK if options.quick else FULL
        self.quick, self.jobs, self.only, self.draw = options.quick, options.jobs, options.only, options.draw
        self.data, self.results, self.start = self.out / "data", self.out / "results", self.out / "start/final"
        self.results.mkdir(parents=True, exist_ok=True)
        self.lock, self.done, self.total = threading.Lock(), 0, 0
        self.objectives = options.objectives.split(",") if options.objectives else []
        # The study that the named objectives are put into; the others stay as they were.
        self.before = json.loads(Path(options.merge).read_text()) if self.objectives else None
        self.presets = {}

    # ---- what all runs share ----

    def make_data(self):
        n = self.plan["data"]
        if not (self.data / "test.jsonl").exists():
            call([sys.executable, HERE.parent / "data/arithmetic.py", "--out", self.data / "all", "--train", n["train"], "--test",
                  n["dev"] + n["test"], "--max-number", "10", "--operations", "add,subtract,compare,share"])  # fmt: skip
            held_out = rows(self.data / "all/test.jsonl")
            write_rows(self.data / "train.jsonl", rows(self.data / "all/train.jsonl"))
            write_rows(self.data / "dev.jsonl", held_out[: n["dev"]])
            write_rows(self.data / "test.jsonl", held_out[n["dev"] :])

    def train(self, config, run, sets, usage=None):
        command = [self.bin / "temper-train", CONFIGS / config, "--run", run, "--quiet"]
        for s in sets:
            command += ["--set", s]
        call(command, usage)
        return rows(Path(run) / "metrics.jsonl")

    def make_start(self):
        if not (self.start / "config.json").exists():
            print("study: training the common start", flush=True)
            self.train("start.json", self.out / "start", self.files("test") + self.rewards() + self.plan["start"])

    def files(self, eval_split):
        return [f'data.train=["{self.data}/train.jsonl"]', f'data.eval=["{self.data}/{eval_split}.jsonl"]']

    def rewards(self):
        return [f"rewards={json.dumps([self.plan['reward']])}"]

    def evaluate(self, model, split, output=None, n=1, seed=1):
        """Share of answers sampled at temperature 1 that the reward calls right."""
        command = [self.bin / "temper-eval", "--model", model, "--data", self.data / f"{split}.jsonl", "--reward",
                   json.dumps(self.plan["reward"]), "--max-new-tokens", self.plan["max_new_tokens"], "--temperature", 1,
                   "--n", n, "--seed", seed, "--dtype", "f32", "--threads", 1, "--quiet"]  # fmt: skip
        if output:
            command += ["--output", output]
        return json.loads(call(command))["figures"]["reward"]["value"]

    def make_pairs(self):
        """A right and a wrong answer of the start to each question that got both; the last ones are held out."""
        if (self.data / "pairs_test.jsonl").exists():
            return
        print("study: sampling answers for the pairs", flush=True)
        sampled = self.data / "answers.jsonl"
        self.evaluate(self.start, "train", sampled, n=self.plan["pair_samples"], seed=7)
        by_prompt = {}
        for r in rows(sampled):
            if r["finish"] == "end" or self.quick:
                by_prompt.setdefault(r["prompt"], ([], []))[0 if r["total"] > 0.5 else 1].append(r["completion"])
        pairs = [{"prompt": p, "chosen": right[0], "rejected": wrong[0]} for p, (right, wrong) in by_prompt.items() if right and wrong]
        held = self.plan["pairs_heldout"]
        train, test = pairs[:-held], pairs[-held:]
        singles = [{"prompt": p["prompt"], "completion": p[k], "label": k == "chosen"} for p in train for k in ("chosen", "rejected")]
        write_rows(self.data / "pairs_train.jsonl", train)
        write_rows(self.data / "singles_train.jsonl", singles)
        # Held-out pairs as ids: each prompt with its answer and the end token, and how many ids the answer has.
        texts = self.data / "texts.jsonl"
        write_rows(texts, [{"text": t} for p in test for t in (p["prompt"], p["prompt"] + p["chosen"], p["prompt"] + p["rejected"])])
        ids = [json.loads(line)["ids"] for line in call([self.bin / "temper-inspect", "tokenize", "--model", self.start, "--input",
                                                          texts]).splitlines()]  # fmt: skip
        end = json.loads((self.start / "generation_config.json").read_text())["eos_token_id"]
        end = end[0] if isinstance(end, list) else end
        held_out = []
        for i in range(0, len(ids), 3):
            held_out += [{"ids": whole + [end], "answer": len(whole) + 1 - len(ids[i])} for whole in ids[i + 1 : i + 3]]
        write_rows(self.data / "pairs_test.jsonl", held_out)

    def answer_logps(self, model):
        lines = call([self.bin / "temper-inspect", "logprob", "--model", model, "--input", self.data / "pairs_test.jsonl"])
        counts = [r["answer"] for r in rows(self.data / "pairs_test.jsonl")]
        return [sum(json.loads(line)["logprobs"][-n:]) for line, n in zip(lines.splitlines(), counts)]

    # ---- one run ----

    def run(self, family, name, rate, seed, split):
        """The result of one run, from its file if it is there."""
        label = f"{family}-{name}-{rate:g}-{seed}"
        file, folder = self.results / f"{label}.json", self.out / "work" / label
        sets = [f"algorithm.name={name}", f"seed={seed}", f"optimizer.lr={rate}", f"model.path={self.start}"]
        if family == "policy":
            sets += self.files(split) + self.rewards() + ([] if split == "test" else ["eval.every=0"])
            sets += [f"rollout.max_new_tokens={self.plan['max_new_tokens']}"]
            if name in self.filtering:  # a preset that draws groups until their rewards differ: the questions are hard at first
                sets += ["algorithm.filter_max_rounds=64"]
        else:
            unpaired = name in self.unpaired
            sets += [f'data.train=["{self.data}/{"singles" if unpaired else "pairs"}_train.jsonl"]']
        sets += self.plan[family]
        if family == "preference" and unpaired:  # as many answers a step as of pairs
            sets += [f"train.batch_size={8 if self.quick else 64}"]
        if file.exists():
            result = json.loads(file.read_text())
            if result["sets"] == sets and result.get("preset") == self.presets[family, name]:
                return result
        if self.draw:
            return {"failed": NOT_RUN}
        result = {"family": family, "name": name, "rate": rate, "seed": seed, "split": split, "sets": sets,
                  "preset": self.presets[family, name], "failed": None}  # fmt: skip
        try:
            metrics = self.train(f"{family}.json", folder, sets, result)
            self.measure(result, metrics, folder, split)
        except Failed as e:
            result["failed"] = str(e).replace(str(self.out), "")
        write_json(file, result)
        shutil.rmtree(folder, ignore_errors=True)
        with self.lock:
            self.done += 1
            shown = result["failed"] or f"{result['final']:.3f}"
            print(f"study: {self.done} run now, of {self.total}: {label}: {shown}", flush=True)
        return result

    def measure(self, result, metrics, folder, split):
        train = [r for r in metrics if r["split"] == "train"]
        result["tokens"] = train[-1]["tokens"]
        seed = 1000 + result["seed"]
        if result["family"] == "policy":
            result["reward"] = [round(r["reward"], 4) for r in train]
            result["held_out"] = [[r["step"], r.get("accuracy", r["reward"])] for r in metrics if r["split"] == "eval"]
            result["final"] = self.evaluate(folder / "final", split, seed=seed)
            return
        result["held_out"], result["implicit"] = [[0, self.start_accuracy[split]]], [[0, 0.5]]
        steps = self.plan["checkpoints"] if split == "test" else self.plan["checkpoints"][-1:]
        for step in steps:
            # A checkpoint of a full run holds the model's tensors by their own names.
            model = folder / f"model-{step}"
            shutil.copytree(self.start, model)
            shutil.copy(folder / f"checkpoints/step-{step}/trainable.safetensors", model / "model.safetensors")
            result["held_out"].append([step, self.evaluate(model, split, seed=seed)])
            reward = [new - old for new, old in zip(self.answer_logps(model), self.start_logps)]
            right = sum(reward[i] > reward[i + 1] for i in range(0, len(reward), 2))
            result["implicit"].append([step, 2 * right / len(reward)])
        result["final"] = result["held_out"][-1][1]

    # ---- all runs ----

    def names(self, family):
        """Every entry, and why it is left out if training does not take it."""
        accepted, refused = [], {}
        for entry in json.loads(call([self.bin / "temper-inspect", "list", "objective"])):
            if entry["family"] != family:
                continue
            self.presets[family, entry["name"]] = {f["name"]: f.get("default", f.get("fields")) for f in entry["fields"]}
            other = [i for i in entry["inputs"] if i.split(",")[0] not in KNOWN_INPUTS[family]]
            if other:
                refused[entry["name"]] = f"it needs data that this task has not: {', '.join(other)}"
                continue
            try:
                sets = [f"algorithm.name={entry['name']}", f"model.path={self.start}"] + self.files("test")
                call([self.bin / "temper-inspect", "config", CONFIGS / f"{family}.json"] + [part for one in sets for part in ("--set", one)])
                accepted.append(entry["name"])
            except Failed as e:
                refused[entry["name"]] = str(e).split(": ", 2)[-1]
            if family == "preference" and "label" in entry["inputs"]:
                self.unpaired.add(entry["name"])
            if any(f["name"] == "filter_zero_variance" and f["default"] for f in entry["fields"]):
                self.filtering.add(entry["name"])
        return accepted, refused

    def family(self, family, pool):
        names, refused = self.names(family)
        if self.objectives:
            names = [n for n in names if n in self.objectives]
        rates, seeds, sweep_seed = self.plan["rates"][family], self.plan["seeds"], self.plan["sweep_seed"]
        self.total += len(names) * (len(seeds) + (len(rates) if sweep_seed else 0))
        swept = {}
        if sweep_seed:
            jobs = {(n, r): pool.submit(self.run, family, n, r, sweep_seed, "dev") for n in names for r in rates}
            for (name, rate), job in jobs.items():
                result = job.result()
                swept.setdefault(name, {})[rate] = None if result["failed"] else result["final"]

        def best(name):
            found = {r: v for r, v in swept.get(name, {}).items() if v is not None}
            return max(found, key=found.get) if found else rates[len(rates) // 2]

        # Seed by seed, so that a study that is drawn before its end (--draw) compares like with like.
        jobs = {(n, s): pool.submit(self.run, family, n, best(n), s, "test") for s in seeds for n in names}
        entries = []
        for name in names:
            runs = [r for r in (jobs[name, s].result() for s in seeds) if r["failed"] != NOT_RUN]
            results = [{k: v for k, v in r.items() if k not in ("sets", "preset", "family", "name", "split", "rate")} for r in runs]
            entries.append({"name": name, "rate": best(name), "sweep": [[r, v] for r, v in swept.get(name, {}).items()], "runs": results})
        if self.objectives:
            before = self.before[family]
            if before["rates"] != rates:
                raise Failed(f"{family}: the study to merge into has the rates {before['rates']}, not {rates}")
            anew = {e["name"]: e for e in entries}
            entries = [anew.pop(e["name"], e) for e in before["entries"]] + list(anew.values())
        return {"entries": entries, "refused": refused, "rates": rates}

    def all(self):
        self.make_data()
        self.make_start()
        self.start_accuracy = {split: self.evaluate(self.start, split, seed=1000) for split in ("dev", "test")}
        self.unpaired, self.filtering = set(), set()
        study = {"quick": self.quick, "start": self.start_accuracy["test"], "questions": self.plan["data"]["test"],
                 "seeds": len(self.plan["seeds"])}  # fmt: skip
        if self.objectives:
            other = [k for k in study if study[k] != self.before[k]]
            if other:
                raise Failed("the study to merge into began otherwise: " + ", ".join(f"{k} {self.before[k]}, not {study[k]}" for k in other)
                             + "; run all of it")  # fmt: skip
            study.update({f: self.before[f] for f in ("policy", "preference") if f in self.before})
            known = {e["name"]: f for f in ("policy", "preference") if f in self.before for e in self.before[f]["entries"]}
            unknown = [n for n in self.objectives if n not in known]
            if unknown:
                raise Failed(f"--objectives: the study has no {', '.join(unknown)}")
            self.only = self.only or ("both" if len({known[n] for n in self.objectives}) > 1 else known[self.objectives[0]])
        with ThreadPoolExecutor(self.jobs) as pool:
            if self.only != "preference":
                study["policy"] = self.family("policy", pool)
                if not self.draw:
                    write_json(self.out / "study.json", study)
            if self.only != "policy" and not (self.draw and not (self.data / "pairs_test.jsonl").exists()):
                self.make_pairs()
                self.start_logps = self.answer_logps(self.start)
                study["preference"] = self.family("preference", pool)
                study["preference"]["pairs"] = [len(rows(self.data / "pairs_train.jsonl")), self.plan["pairs_heldout"]]
        write_json(self.out / "study.json", study)
        page.write(study, self.out / "page")
        failed = [(f, e["name"], r["failed"]) for f in ("policy", "preference") if f in study for e in study[f]["entries"]
                  for r in e["runs"] if r["failed"]]  # fmt: skip
        for family, name, why in failed:
            print(f"study: {family} {name} failed: {why}")
        print(f"study: {self.out}/page/study.html")
        return 1 if failed and self.quick else 0


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bin", required=True, help="folder of the programs")
    parser.add_argument("--out", help="default runs/study, runs/study-quick with --quick")
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--draw", action="store_true", help="run nothing; draw what is finished")
    parser.add_argument("--only", choices=["policy", "preference"])
    parser.add_argument("--objectives", help="run these alone, by name with commas, and put them into the study of --merge")
    parser.add_argument("--merge", default=HERE.parent.parent / "lib/objective/study/study.json", help="a study.json of the same start")
    options = parser.parse_args()
    options.out = options.out or ("runs/study-quick" if options.quick else "runs/study")
    try:
        return Study(options).all()
    except Failed as e:
        return f"study: {e}"
    except OSError:
        traceback.print_exc()
        return 1


if __name__ == "__main__":
    sys.exit(main())
