#!/usr/bin/env python3
"""Made satisfiability problems, read anew from their texts and decided by whole truth tables; and formulas that another solver
decided, for the tests of ours.

  build/bin/temper-inspect problems ksat --count 2000 | python3 scripts/oracles/ksat.py
      One line a problem that is wrong: its text gives other clauses than its column "formula", the table another verdict than
      "satisfiable", or the completion values that do not satisfy all clauses. Up to 20 variables; needs nothing but Python 3.8.

  pip install python-sat==1.9.dev24; python3 scripts/oracles/ksat.py --golden tests/data/golden/cnf.json
      Random 3-SAT of 20 to 60 variables near the ratio of 4.26, with CaDiCaL's verdicts.
"""
import json
import random
import re
import sys

EITHER = {"comes": True, "stays away": False, "is served": True, "is left out": False, "is packed": True, "stays at home": False}
SAID = re.compile(r"^(?:[Tt]he )?(\w+) (" + "|".join(EITHER) + r")$")


class Wrong(Exception):
    pass


def names_of(text):
    first = text.split("\n")[0]
    for pattern in (r"^Each of (.+) is true or false\.", r"^(.+) are asked to a party\.", r"^A cook thinks of these for a meal: (.+?)\.",
                    r"^These may go on a trip: (.+?)\."):
        found = re.search(pattern, first)
        if found:
            return re.split(r", | and ", found[1])
    raise Wrong(f"no names: {first}")


def clauses_of(text, names):
    """The clauses of the lines between the first and the last."""
    out = []
    for number, line in enumerate(text.split("\n")[1:-1], 1):
        clause = []
        if " ∨ " in line or line[0] in "x¬":
            for literal in line.split(" ∨ "):
                variable = names.index(literal.lstrip("¬")) + 1
                clause.append(-variable if literal.startswith("¬") else variable)
        else:
            begin = f"{number}. "
            if not line.startswith(begin) or not line.endswith("."):
                raise Wrong(f"line {number}: {line}")
            for part in line[len(begin):-1].split(", or "):
                found = SAID.match(part)
                if not found:
                    raise Wrong(f"cannot read: {part}")
                variable = names.index(found[1]) + 1
                clause.append(variable if EITHER[found[2]] else -variable)
        out.append(clause)
    return out


def table(variable, count):
    """The rows of a truth table of `count` variables in which this one, from 0, is true, as bits of a number."""
    block = (1 << (1 << variable)) - 1 << (1 << variable)
    width = 2 << variable
    while width < 1 << count:
        block |= block << width
        width *= 2
    return block


def satisfiable(clauses, count):
    everything = (1 << (1 << count)) - 1
    tables = [table(v, count) for v in range(count)]
    rows = everything
    for clause in clauses:
        some = 0
        for literal in clause:
            some |= tables[literal - 1] if literal > 0 else everything & ~tables[-literal - 1]
        rows &= some
    return rows != 0


def check(record):
    names = names_of(record["question"])
    if names != record["variables"] or len(names) != record["difficulty"] or len(set(names)) != len(names):
        raise Wrong(f"names {names}")
    clauses = clauses_of(record["question"], names)
    if clauses != record["formula"]:
        raise Wrong(f"the text says {clauses}")
    if abs(record["ratio"] - len(clauses) / len(names)) > 1e-12 or len({tuple(sorted(c)) for c in clauses}) != len(clauses):
        raise Wrong("another ratio, or a clause twice")
    verdict = satisfiable(clauses, len(names))
    if verdict != record["satisfiable"]:
        raise Wrong(f"satisfiable is {verdict}")
    if not verdict:
        if record["completion"] != "unsatisfiable":
            raise Wrong("values for what has none")
        return
    values = {}
    for part in record["completion"].split(", "):
        name, value = part.split(": ")
        values[names.index(name) + 1] = {"yes": True, "no": False, "true": True, "false": False}[value]
    if len(values) != len(names) or not all(any(values[abs(x)] == (x > 0) for x in clause) for clause in clauses):
        raise Wrong("the completion does not satisfy all clauses")


def golden(path):
    from pysat.solvers import Cadical153

    rng, cases = random.Random(7), []
    for variables in (20, 30, 40, 50, 60):
        for ratio in (4.0, 4.26, 4.5, 5.0):
            clauses = [[v if rng.random() < 0.5 else -v for v in rng.sample(range(1, variables + 1), 3)]
                       for _ in range(round(ratio * variables))]
            with Cadical153(bootstrap_with=clauses) as solver:
                cases.append({"variables": variables, "satisfiable": solver.solve(), "clauses": clauses})
    with open(path, "w") as out:
        out.write("[\n" + ",\n".join(json.dumps(c, separators=(",", ":")) for c in cases) + "\n]\n")
    print(f"{path}: {sum(c['satisfiable'] for c in cases)} of {len(cases)} formulas are satisfiable")


def main():
    if sys.argv[1:2] == ["--golden"]:
        return golden(sys.argv[2])
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
    print(f"{count} problems decided")


if __name__ == "__main__":
    main()
