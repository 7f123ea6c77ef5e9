#!/usr/bin/env python3
"""scripts/guess_the_number.py, spoken to as a run does: games side by side, answers by bisection, and texts that are no guess.

  TEMPER_SOURCE=. tests/apps/guess_the_number.py
"""
import json
import os
import subprocess
import sys

program = [sys.executable, os.path.join(os.environ["TEMPER_SOURCE"], "scripts", "guess_the_number.py")]
child = subprocess.Popen(program, stdin=subprocess.PIPE, stdout=subprocess.PIPE)


def tell(line):
    child.stdin.write(line if isinstance(line, bytes) else json.dumps(line).encode() + b"\n")
    child.stdin.flush()


def ask(line):
    tell(line)
    return json.loads(child.stdout.readline())


def play(game, low, high, text="{}"):
    """By bisection; (reward, guesses)."""
    for guesses in range(1, 100):
        guess = (low + high) // 2
        out = ask({"id": game, "step": {"text": text.format(guess)}})
        assert out["id"] == game and out["messages"][0]["role"] == "user", out
        if out["over"]:
            return out["reward"], guesses, guess
        assert out["reward"] is None, out
        if out["messages"][0]["content"].startswith("Higher"):
            low = guess + 1
        else:
            high = guess - 1
        assert out["state"] == f"{low}..{high}", out
    raise AssertionError("no end")


opened = [ask({"id": i, "reset": {"seed": i, "columns": {"max": 100}}}) for i in range(50)]
assert "from 1 to 100. You have 7 guesses." in opened[0]["messages"][0]["content"], opened[0]
numbers = set()
for i in reversed(range(50)):
    reward, guesses, number = play(i, 1, 100, "I said 1000 before. My guess is {}.\n")
    assert guesses <= 7 and reward == max(0.5, round(1 - 0.05 * (guesses - 1), 2)), (reward, guesses)
    numbers.add(number)
assert len(numbers) > 25 and min(numbers) >= 1 and max(numbers) <= 100, numbers

# The seed names the number; ids may be texts.
for game in ("a", "b"):
    ask({"id": game, "reset": {"seed": 5, "columns": {"max": 1000, "guesses": 10}}})
assert play("a", 1, 1000) == play("b", 1, 1000)

# What is no guess costs one, and is told so; at the end nothing is earned.
assert "You have 3 guesses." in ask({"id": 1, "reset": {"seed": 1, "columns": {"max": 10, "guesses": 3}}})["messages"][0]["content"]
said = [ask({"id": 1, "step": {"text": text}}) for text in ("no idea \u2028 \ud800", "0 or -5", "99999999999999999999")]
assert [s["messages"][0]["content"].split(".")[0] for s in said] == ["That is no number", "That is not from 1 to 10", "That is no number"], said
assert [s["over"] for s in said] == [False, False, True] and said[2]["reward"] == 0.0, said
assert "no game" in ask({"id": 1, "step": {"text": "5"}})["error"]

# Lines that are none leave the others alone.
ask({"id": 2, "reset": {"seed": 2, "columns": {"max": 10**30, "guesses": "many"}}})
for line in (b"\xff\xfe\n", b"[]\n", b"{}\n", b'{"id": 3}\n', b"[" * 100000 + b"\n", b'{"id": 3, "step": null}\n'):
    assert "error" in ask(line), line
assert ask({"id": 2, "step": 7})["messages"][0]["content"] == "That is no number. 6 guesses left."
tell(b"\n")
tell({"id": 2, "close": True})
tell({"id": 2, "close": True})
assert "no game" in ask({"id": 2, "step": {"text": "5"}})["error"]
child.stdin.close()
assert child.wait(10) == 0 and child.stdout.read() == b""
print("ok")
