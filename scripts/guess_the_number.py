#!/usr/bin/env python3
"""An environment of the kind "process" (lib/env/process_environment.h) to copy from: guess the number. One JSON object a line on
stdin and stdout, several games at once in any order; needs nothing but Python 3.8 or later. In a config of rl:

  "environment": {"kind": "process", "command": ["python3", "scripts/guess_the_number.py"], "max_turns": 7}

  {"id": 1, "reset": {"seed": 3, "columns": {"max": 20, "guesses": 5}}}
      -> {"id": 1, "messages": [{"role": "user", "content": "I think of a number from 1 to 20 ..."}]}
  {"id": 2, "conversation": 7, "reset": {...the same...}}
      -> {"id": 2, "messages": [...the same...]}
  {"id": 3, "conversation": 7, "step": {"text": "10"}}
      -> {"id": 3, "messages": [{"role": "user", "content": "Higher. 4 guesses left."}], "over": false, "reward": null, "state": "11..20"}
  {"id": 4, "conversation": 7, "cut": true}
      -> {"id": 4, "reward": 0.0}
  {"conversation": 7, "close": true}
      -> nothing

The seed names the number. Columns of the record: "max", the largest number (100), and "guesses" (7). A text's last number is its
guess; a text without one, or with one out of the range, costs a guess. At the end the reward is 1 for the number, less 0.05 for
each guess beyond the first, but at least 0.5; else 0, also where a step is the "last" that fits into the completion. "state" is the range that is left. What cannot be read is answered with
{"id": ..., "error": ...} and is no step.
"""
import json
import random
import re
import sys


def whole(value, low, high, default):
    """A column as a whole number within its bounds; what is none counts as left out."""
    if isinstance(value, bool) or not isinstance(value, (int, float)) or value != value or not low <= value <= high:
        return default
    return int(value)


def asks(text):
    return [{"role": "user", "content": text}]


class Game:
    def __init__(self, seed, columns):
        self.low, self.high = 1, whole(columns.get("max"), 2, 10**9, 100)
        self.left = whole(columns.get("guesses"), 1, 1000, 7)
        self.top, self.used, self.over = self.high, 0, False
        self.number = 1 + int(random.Random(seed).random() * self.high)  # random() alone is promised to stay as it is

    def opening(self):
        return asks(f"I think of a number from 1 to {self.top}. You have {self.plural()}. Answer with a number alone; I say "
                    "whether mine is higher or lower.")

    def plural(self):
        return f"{self.left} guess{'' if self.left == 1 else 'es'}"

    def state(self):
        return f"{self.low}..{self.high}"

    def answer(self, text, reward=None):
        self.over = reward is not None
        return {"messages": asks(text), "over": self.over, "reward": reward, "state": self.state()}

    def step(self, text, last):
        self.left -= 1
        self.used += 1
        found = re.findall(r"(?<![\d.])-?[0-9]{1,12}(?!\d)", text)
        guess = int(found[-1]) if found else None
        if guess == self.number:
            self.low = self.high = guess
            return self.answer(f"Yes, it is {guess}.", max(0.5, round(1 - 0.05 * (self.used - 1), 2)))
        if guess is None:
            said = "That is no number."
        elif not 1 <= guess <= self.top:
            said = f"That is not from 1 to {self.top}."
        elif guess < self.number:
            said, self.low = "Higher.", max(self.low, guess + 1)
        else:
            said, self.high = "Lower.", min(self.high, guess - 1)
        if self.left == 0 or last:
            return self.answer(f"{said} No more guesses; it was {self.number}.", 0.0)
        return self.answer(f"{said} {self.plural()} left.")


def reply(games, request):
    """The answer to a line, or None; ValueError says what is wrong with it."""
    if not isinstance(request, dict):
        raise ValueError("expected an object")
    name = json.dumps(request.get("conversation"))
    if "reset" in request:
        reset = request["reset"] if isinstance(request["reset"], dict) else {}
        columns = reset.get("columns")
        seed = reset.get("seed", 0)
        game = Game(seed if isinstance(seed, int) else str(seed), columns if isinstance(columns, dict) else {})
        if "conversation" in request:  # else its opening alone is asked for
            games[name] = game
        return {"messages": game.opening()}
    if "close" in request:
        games.pop(name, None)
        return None
    if "cut" in request:
        return {"reward": 0.0}
    if "step" in request:
        game = games.get(name)
        if game is None or game.over:
            raise ValueError("no such conversation is open; send a \"reset\" for it first")
        step = request["step"] if isinstance(request["step"], dict) else {}
        text = step.get("text")
        return game.step(text if isinstance(text, str) else "", step.get("last") is True)
    raise ValueError("expected \"reset\", \"step\" or \"close\"")


def main():
    games = {}
    for line in sys.stdin.buffer:
        if not line.strip():
            continue
        request = None
        try:
            request = json.loads(line.decode("utf-8", "replace"))
            out = reply(games, request)
        except (ValueError, RecursionError) as why:
            out = {"error": str(why)[:200]}
        if out is None:
            continue
        out = {"id": request.get("id") if isinstance(request, dict) else None, **out}
        sys.stdout.write(json.dumps(out) + "\n")  # ASCII, so that no text of a policy can break a line
        sys.stdout.flush()


if __name__ == "__main__":
    try:
        main()
    except (BrokenPipeError, KeyboardInterrupt):
        sys.exit(0)
