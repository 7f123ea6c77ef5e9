#!/usr/bin/env python3
"""The first rounds of every config in configs/rounds, on a model of a few thousand weights and a few questions: every phase does its work and
leaves what the next one reads; ranks give what one process gives.
  TEMPER_BIN=build/bin TEMPER_SOURCE=. tests/apps/rounds.py"""
import glob, json, os, subprocess, sys, tempfile

source, bin = os.path.abspath(os.environ["TEMPER_SOURCE"]), os.path.abspath(os.environ["TEMPER_BIN"])
failed = False


def fail(what):
    global failed
    failed = True
    print(f"FAIL: {what}", flush=True)


def run(*command, **options):
    done = subprocess.run(command, capture_output=True, text=True, **options)
    if done.returncode != 0:
        fail(f"{' '.join(command)[:300]}: exit code {done.returncode}: {done.stderr[-800:]}")
    return done.stdout


def train(config, folder, *options):
    with open(folder + ".json", "w") as out:
        json.dump(config, out)
    return run(bin + "/temper-train", folder + ".json", "--run", folder, "--quiet", *options)


def small(config, work):
    """The resolved config on little data: the first rounds in which every phase runs."""
    config["rounds"] = max(phase.get("first_round") or 1 for phase in config["phases"])
    config.update({"threads": 1, "max_batch": 16})
    config["model"] = {"path": work + "/model/final", "dtype": "f32"}

    def shorter(files):
        out = []
        for file in files:
            name = "-".join(file.split("/")[-2:])
            out.append(f"{work}/{name}")
        return out
    for split in ("train", "eval"):
        config["data"][split] = shorter(config["data"][split])
    for rewards in [config.get("rewards", [])] + [phase.get("rewards", []) for phase in config["phases"]]:
        for reward in rewards:
            if reward["kind"] == "model":
                reward["path"] = work + ("/steps/final" if "aggregate" in reward and reward["aggregate"] == "min" else "/scores/final")
    for phase in config["phases"]:
        if "sampling" in phase:
            phase["sampling"]["max_new_tokens"] = 12
        if "n" in phase:
            phase["n"] = min(phase["n"], 4)
        if "count" in phase:
            phase["count"] = 8
        if phase["kind"] == "tune":
            phase.update({"temperatures": [0.5, 1.0], "thresholds": [-1, 0.5]})
        for name in ("mix", "files", "real"):
            if phase.get(name):
                phase[name] = shorter(phase[name])
        if phase["kind"] == "train":
            part = phase["config"]
            part.setdefault("train", {}).update({"steps": 2, "batch_size": 4})
            part["checkpoint"] = {"every": 0}
            if "eval" in part:
                part["eval"] = {"every": 2, "max_new_tokens": 8}
    # What a tiny model writes is hardly ever right.
    for phase in config["phases"]:
        if phase["kind"] == "select" and phase["rule"]["kind"] in ("best", "top", "buffer"):
            phase["rule"]["min"] = -1e9
    return config


def main():
    work = tempfile.mkdtemp(prefix="temper-rounds-")
    os.environ["XDG_CACHE_HOME"] = work + "/cache"
    python = sys.executable
    for style in ("word", "refine", "manners", "pairs", "steps"):
        run(python, source + "/scripts/data/arithmetic.py", "--out", f"{work}/{style}", "--style", style, "--train", "24", "--test", "6", "--max-number", "10")
    run(python, source + "/scripts/data/functions.py", "--out", work + "/functions", "--train", "16", "--test", "4")
    for name, style in (("arithmetic", "word"), ("refine", "refine"), ("manners", "manners"), ("functions", "functions")):
        for split in ("train", "test"):
            os.rename(f"{work}/{style}/{split}.jsonl", f"{work}/{name}-{split}.jsonl")
    shape = {"vocab": 340, "hidden": 32, "intermediate": 64, "layers": 2, "heads": 2, "kv_heads": 1, "max_positions": 512}
    train({"task": "sft", "threads": 1, "model": {"dtype": "f32", "init": shape}, "optimizer": {"name": "adamw", "lr": 1e-2},
           "data": {"train": [work + "/arithmetic-train.jsonl", work + "/functions-train.jsonl"], "max_tokens": 256},
           "train": {"steps": 30, "batch_size": 8}}, work + "/model")
    for name, algorithm, data in (("scores", "bt", "pairs"), ("steps", "process", "steps")):
        train({"task": "reward_model", "threads": 1, "model": {"path": work + "/model/final", "dtype": "f32"}, "algorithm": {"name": algorithm},
               "data": {"train": [f"{work}/{data}/train.jsonl"], "max_tokens": 256}, "train": {"steps": 2, "batch_size": 4}}, f"{work}/{name}")
    count = 0
    for file in sorted(glob.glob(source + "/configs/rounds/*.json")):
        name = os.path.splitext(os.path.basename(file))[0]
        told = subprocess.run([bin + "/temper-inspect", "config", file, "--set", f"model.path={work}/model/final"], capture_output=True, text=True)
        if told.returncode != 0 and "there is no such file" in told.stderr:
            # Data that a script makes, models that an earlier run trains: they are put in their places below.
            told = subprocess.run([bin + "/temper-train", file, "--set", f"model.path={work}/model/final", "--plan"], capture_output=True, text=True)
        if told.returncode != 0:
            fail(f"{name}: {told.stderr[-600:]}")
            continue
        resolved = json.loads(told.stdout)
        config = small(resolved.get("config", resolved), work)
        config.pop("run", None)
        folder = f"{work}/{name}"
        train(config, folder)
        phases = json.loads(run(bin + "/temper-inspect", "run", folder) or "{}")
        done = len(phases.get("phases", []))
        wanted = sum(1 for r in range(config["rounds"] + 1) for p in config["phases"] if runs_in(p, r))
        if not phases.get("finished") or done != wanted:
            fail(f"{name}: {done} of {wanted} phases are done")
        count += 1
    if count == 0:
        fail("no configs found")
    # Two processes sample and choose the same.
    with open(work + "/rejection-sampling.json") as file:
        config = json.load(file)
    train(config, work + "/shared", "--ranks", "2")
    for line in ("rounds/01/1-answers/lines.jsonl", "rounds/01/2-right/lines.jsonl"):
        both = []
        for folder in ("rejection-sampling", "shared"):
            with open(f"{work}/{folder}/{line}", "rb") as file:
                both.append(file.read())
        if both[0] != both[1] or not both[0]:
            fail(f"two ranks: {line} differs from one process's")
    if not os.path.exists(work + "/shared/final/model.safetensors"):
        fail("two ranks: no final model")
    if failed:
        sys.exit(f"kept: {work}")
    print(f"{count} configs of rounds: every phase of their first rounds did its work")


def runs_in(phase, round):
    first = phase.get("first_round")
    if first is None:
        first = 0 if phase["kind"] == "evaluate" else 1
    last = phase.get("last_round")
    return round >= first and (last is None or round <= last)


if __name__ == "__main__":
    main()
