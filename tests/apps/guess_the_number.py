#!/usr/bin/env python3
"""scripts/guess_the_number.py, spoken to as a run does: games side by side, answers by bisection, texts that are no guess; and a
run that plays.

  TEMPER_BIN=build/bin TEMPER_SOURCE=. tests/apps/guess_the_number.py
"""
import json
import os
import shutil
import subprocess
import sys
import tempfile

program = [sys.executable, os.path.join(os.environ["TEMPER_SOURCE"], "scripts", "guess_the_number.py")]
child = subprocess.Popen(program, stdin=subprocess.PIPE, stdout=subprocess.PIPE)


def tell(line):
    child.stdin.write(line if isinstance(line, bytes) else json.dumps(line).encode() + b"\n")
    child.stdin.flush()


def ask(line):
    tell(line)
    return json.loads(child.stdout.readline())


def play(game, low, high, text="{}"):
    """By bisection; (reward, guesses, the number)."""
    for guesses in range(1, 100):
        guess = (low + high) // 2
        out = ask({"id": f"{game} {guesses}", "conversation": game, "step": {"text": text.format(guess)}})
        assert out["id"] == f"{game} {guesses}" and out["messages"][0]["role"] == "user", out
        if out["over"]:
            return out["reward"], guesses, guess
        assert out["reward"] is None, out
        if out["messages"][0]["content"].startswith("Higher"):
            low = guess + 1
        else:
            high = guess - 1
        assert out["state"] == f"{low}..{high}", out
    raise AssertionError("no end")


opened = [ask({"id": i, "conversation": i, "reset": {"seed": i, "columns": {"max": 100}}}) for i in range(50)]
assert "from 1 to 100. You have 7 guesses." in opened[0]["messages"][0]["content"], opened[0]
numbers = set()
for i in reversed(range(50)):
    reward, guesses, number = play(i, 1, 100, "I said 1000 before. My guess is {}.\n")
    assert guesses <= 7 and reward == max(0.5, round(1 - 0.05 * (guesses - 1), 2)), (reward, guesses)
    numbers.add(number)
assert len(numbers) > 25 and min(numbers) >= 1 and max(numbers) <= 100, numbers

# A reset without a conversation asks for the opening alone.
opening = ask({"id": 99, "reset": {"seed": 0, "columns": {"max": 100}}})
assert opening == {**opened[0], "id": 99}, opening
assert "no such conversation" in ask({"id": 99, "step": {"text": "5"}})["error"]

# The seed names the number; names may be texts.
for game in ("a", "b"):
    ask({"id": 0, "conversation": game, "reset": {"seed": 5, "columns": {"max": 1000, "guesses": 10}}})
assert play("a", 1, 1000) == play("b", 1, 1000)

# What is no guess costs one, and is told so; at the end nothing is earned.
assert "You have 3 guesses." in ask({"id": 1, "conversation": 1, "reset": {"seed": 1, "columns": {"max": 10, "guesses": 3}}})["messages"][0]["content"]
said = [ask({"id": 1, "conversation": 1, "step": {"text": text}}) for text in ("no idea \u2028 \ud800", "0 or -5", "99999999999999999999")]
assert [s["messages"][0]["content"].split(".")[0] for s in said] == ["That is no number", "That is not from 1 to 10", "That is no number"], said
assert [s["over"] for s in said] == [False, False, True] and said[2]["reward"] == 0.0, said
assert "no such conversation" in ask({"id": 1, "conversation": 1, "step": {"text": "5"}})["error"]

# The last step that fits ends the game.
ask({"id": 1, "conversation": 1, "reset": {"seed": 1}})
out = ask({"id": 1, "conversation": 1, "step": {"text": "101", "last": True}})
assert out["over"] and out["reward"] == 0.0, out

# Lines that are none leave the others alone.
ask({"id": 2, "conversation": 2, "reset": {"seed": 2, "columns": {"max": 10**30, "guesses": "many"}}})
for line in (b"\xff\xfe\n", b"[]\n", b"{}\n", b'{"id": 3}\n', b"[" * 100000 + b"\n", b'{"id": 3, "step": null}\n'):
    assert "error" in ask(line), line
assert ask({"id": 2, "conversation": 2, "step": 7})["messages"][0]["content"] == "That is no number. 6 guesses left."
tell(b"\n")
tell({"conversation": 2, "close": True})
tell({"conversation": 2, "close": True})
assert "no such conversation" in ask({"id": 2, "conversation": 2, "step": {"text": "5"}})["error"]
child.stdin.close()
assert child.wait(10) == 0 and child.stdout.read() == b""

# A run that plays: every conversation has its reward.
work = tempfile.mkdtemp()
try:
    init = {"vocab": 320, "hidden": 32, "intermediate": 64, "layers": 1, "heads": 2, "kv_heads": 1, "max_positions": 512}
    config = {"task": "rl", "threads": 1, "model": {"dtype": "f32", "init": init},
              "data": {"train": ["train.jsonl"], "template": "chatml", "chat_prompts": True, "max_tokens": 300},
              "environment": {"kind": "process", "command": program, "max_turns": 3, "turn_tokens": 4},
              "rollout": {"prompts_per_step": 2, "group_size": 2, "max_new_tokens": 200}, "algorithm": {"name": "grpo"},
              "train": {"steps": 2}, "checkpoint": {"every": 0}, "run": "run"}
    with open(f"{work}/train.jsonl", "w") as out:
        for i in range(400):  # enough text for the tokenizer
            out.write(json.dumps({"prompt": f"Let us play game {i} of guessing a number from 1 to 9 in so few steps!", "max": 9, "guesses": 3}) + "\n")
    with open(f"{work}/c.json", "w") as out:
        json.dump(config, out)
    subprocess.run([os.path.join(os.environ["TEMPER_BIN"], "temper-train"), f"{work}/c.json", "--quiet"], check=True)
    with open(f"{work}/run/samples.jsonl") as rows:
        samples = [json.loads(row) for row in rows]
    assert len(samples) == 8, len(samples)
    for sample in samples:
        assert "I think of a number from 1 to 9. You have 3 guesses." in sample["prompt"], sample
        assert sample["reward"] == 0 or 0.5 <= sample["reward"] <= 1, sample
        assert sample["reward"] > 0 or "2 guesses left" in sample["messages"][1]["content"], sample
finally:
    shutil.rmtree(work)
print("ok")
