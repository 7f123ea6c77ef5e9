#!/usr/bin/env python3
"""Reads made word problems as JSONL and works each out anew from its text alone, sentence by sentence, by a reader of its own
that shares nothing with lib/data/problems. One line a problem that is wrong; needs nothing but Python 3.8 or later.

  build/bin/temper-inspect problems word_problems --count 20000 --set max_steps=8 | python3 scripts/oracles/word_problems.py

Of each problem: every sentence is one that it knows, nouns stand in the number that their count asks for, nothing is taken from
who has not enough, divisions leave no rest, the answer is the one behind ####, the solution has as many equations as the
problem has steps, each of them true, and the last one's result is the answer.
"""
import json
import re
import sys

NAME, N, NOUN = r"([A-Z][a-z]+)", r"(\d+)", r"([a-z]+(?: of [a-z]+)?)"
WHEN = re.compile(r"^(?:Then |Later, |After that, |In the morning, )")


def plural(noun):
    """A key for a noun in either number; the test for its number is `is_plural`."""
    head, *rest = noun.split(" of ")
    if not head.endswith("s"):
        if head.endswith(("x", "ch", "sh")):
            head += "es"
        elif head.endswith("y") and head[-2] not in "aeiou":
            head = head[:-1] + "ies"
        else:
            head += "s"
    return " of ".join([head, *rest])


def is_plural(noun):
    return noun.split(" of ")[0].endswith("s")


class Wrong(Exception):
    pass


class World:
    """Who has how many of what."""

    def __init__(self):
        self.has, self.subject, self.each = {}, None, None

    def counted(self, number, noun):
        if (int(number) == 1) == is_plural(noun):
            raise Wrong(f"{number} {noun}")
        return int(number), plural(noun)

    def of(self, who, noun):
        if (who, plural(noun)) not in self.has:
            raise Wrong(f"nothing is known of the {noun} of {who}")
        return self.has[who, plural(noun)]

    def put(self, who, noun, number):
        if number < 1 or number != int(number):
            raise Wrong(f"{who} has {number} {noun}")
        self.has[who, plural(noun)] = int(number)

    def gain(self, who, number, noun, *_):
        number, noun = self.counted(number, noun)
        self.put(who, noun, self.of(who, noun) + number)

    def lose(self, who, number, noun, *_):
        number, noun = self.counted(number, noun)
        self.put(who, noun, self.of(who, noun) - number)

    def start(self, who, number, noun):
        if self.has:
            raise Wrong("begins twice")
        self.put(who, *reversed(self.counted(number, noun)))

    def than(self, who, number, more, noun, other):
        number, noun = self.counted(number, noun)
        self.put(who, noun, self.of(other, noun) + (number if more == "more" else -number))

    def as_many(self, who, times, noun, other):
        times = 2 if times == "twice" else int(times.split()[0])
        if (who, plural(noun)) in self.has:
            amount = self.of(who, noun)
            if amount % times:
                raise Wrong(f"{amount} is no multiple of {times}")
            self.put(other, noun, amount // times)
        else:
            self.put(who, noun, self.of(other, noun) * times)

    def sell_all(self, who, noun, price, unit):
        price, unit = self.counted(price, unit)
        amount = self.of(who, noun)
        del self.has[who, plural(noun)]
        self.put(who, unit, amount * price)

    def none_before(self, who, noun):
        self.of(who, noun)

    def inside(self, number, noun, place):
        number, noun = self.counted(number, noun)
        owner = list(self.has)[-1][0] if self.subject is None else self.subject
        self.put(owner, noun, self.of(owner, f"{plural(place)} of {noun}") * number)

    def share(self, who, noun, friends):
        amount, friends = self.of(who, noun), int(friends)
        if amount % friends:
            raise Wrong(f"{amount} is no multiple of {friends}")
        self.each = plural(noun), amount // friends

    def friend(self, who, noun):
        if self.each is None or self.each[0] != plural(noun) or (who, plural(noun)) in self.has:
            raise Wrong(f"{who} is no friend with a share")
        self.put(who, *self.each)

    def pack(self, who, noun, places, number, place):
        amount, number = self.of(who, noun), int(number)
        if amount % number or plural(place) != places:
            raise Wrong(f"{amount} into {places} of {number}")
        self.put(who, f"{places} of {plural(noun)}", amount // number)


SENTENCES = [(re.compile("^" + pattern + r"\.$"), act) for pattern, act in [
    (rf"{NAME} (?:has|starts with) {N} {NOUN}", World.start),
    (rf"{NAME} (?:buys|finds|wins|earns) {N} more {NOUN}", World.gain),
    (rf"{NAME} gets {N} more {NOUN} from {NAME}", World.gain),
    (rf"{NAME} (?:sells|loses|spends) {N} {NOUN}", World.lose),
    (rf"{NAME} gives {N} {NOUN} to {NAME}", World.lose),
    (rf"{NAME} has {N} (more|fewer) {NOUN} than {NAME}", World.than),
    (rf"{NAME} has (twice|\d+ times) as many {NOUN} as {NAME}", World.as_many),
    (rf"{NAME} sells all the {NOUN} for {N} (dollars?) each", World.sell_all),
    (rf"{NAME} had no {NOUN} before", World.none_before),
    (rf"There are {N} {NOUN} in each {NOUN}", World.inside),
    (rf"{NAME} shares all the {NOUN} equally among {N} friends", World.share),
    (rf"{NAME} is one of the friends and had no {NOUN} before", World.friend),
    (rf"{NAME} packs all the {NOUN} into {NOUN}, {N} in each {NOUN}", World.pack)]]

QUESTIONS = [(re.compile("^" + pattern + r"\?$"), answer) for pattern, answer in [
    (rf"How many {NOUN} does {NAME} have(?: now| in the end)?", lambda w, noun, who: w.of(who, noun)),
    (rf"What is the number of {NOUN} that {NAME} has(?: now)?", lambda w, noun, who: w.of(who, noun)),
    (rf"How many {NOUN} do {NAME} and {NAME} have together", lambda w, noun, a, b: w.of(a, noun) + w.of(b, noun)),
    (rf"How many more {NOUN} does {NAME} have than {NAME}", lambda w, noun, a, b: w.of(a, noun) - w.of(b, noun))]]


def first(patterns, text):
    for pattern, value in patterns:
        found = pattern.match(text)
        if found:
            return value, found.groups()
    raise Wrong(f"cannot read: {text}")


def worked_out(text):
    *sentences, question = re.findall(r"[^.?]+[.?]", text)
    world = World()
    for sentence in sentences:
        sentence = WHEN.sub("", sentence.strip())
        pronoun = re.match(r"(?:he|she|He|She) ", sentence)
        if pronoun:
            sentence = f"{world.subject} {sentence[pronoun.end():]}"
        act, groups = first(SENTENCES, sentence)
        act(world, *groups)
        # The pronoun's person, and the owner of what is in the boxes: who the last sentence gave a number of.
        world.subject = list(world.has)[-1][0] if act in (World.as_many, World.than, World.friend) else (
            world.subject if act is World.inside else groups[0])
    answer, groups = first(QUESTIONS, question.strip())
    return answer(world, *groups)


def check(record):
    if record["prompt"] != record["question"] + "\n" or record["completion"] != record["answer"]:
        raise Wrong("prompt and completion are not question and answer")
    *steps, last = record["answer"].split("\n")
    if not re.fullmatch(r"#### \d+", last):
        raise Wrong(f"no answer: {last}")
    answer = int(last[5:])
    if worked_out(record["question"]) != answer:
        raise Wrong(f"answer {answer}, worked out {worked_out(record['question'])}")
    if len(steps) != record["difficulty"]:
        raise Wrong(f"{len(steps)} steps of {record['difficulty']}")
    for step in steps:
        a, sign, b, result = re.search(r"(\d+) ([-+*/]) (\d+) = (\d+) ", step).groups()
        a, b, result = int(a), int(b), int(result)
        if {"+": a + b == result, "-": a - b == result, "*": a * b == result, "/": b * result == a}[sign] is False:
            raise Wrong(step)
        noun = re.search(rf"= {result} (?:more )?{NOUN}", step).group(1)
        World().counted(result, noun)
    if result != answer:
        raise Wrong(f"answer {answer}, last step {result}")


def main():
    count = wrong = 0
    for line in sys.stdin:
        record = json.loads(line)
        count += 1
        try:
            check(record)
        except Wrong as why:
            wrong += 1
            print(f"{count}: {why}: {record['question']}")
    if wrong or not count:
        sys.exit(f"{wrong} of {count} are wrong")
    print(f"{count} problems worked out")


if __name__ == "__main__":
    main()
