"""Golden tests/data/golden/mastering_rate.json: attention and shares of tasks by the authors' code of Mastering Rate based
Curriculum Learning, on small graphs with random performances of which some are missing.

  git clone https://github.com/lcswillems/automatic-curriculum   (commit 4ad9f9e was used)
  pip install numpy networkx
  python scripts/oracles/mastering_rate.py automatic-curriculum tests/data/golden
"""

import importlib.util
import json
import os
import random
import sys

import networkx
import numpy

numpy.float = float  # an alias that newer numpy lacks and the code uses


def module(clone, name):
    spec = importlib.util.spec_from_file_location(name, os.path.join(clone, "auto_curri", name + ".py"))
    out = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(out)
    return out


GRAPHS = [
    (1, []),
    (3, [(0, 1), (1, 2)]),
    (4, [(0, 1), (0, 2), (1, 3), (2, 3)]),
    (6, [(0, 1), (0, 2), (1, 3), (2, 3), (3, 4)]),  # 5 stands alone
]


def main():
    clone, out = sys.argv[1:]
    att, lp, a2d, history = (module(clone, n) for n in ("att_computer", "lp_estimator", "a2d_converter", "perf_history"))
    rng, cases = random.Random(1), []
    for tasks, edges in GRAPHS:
        for form in ("mastering_rate", "learning_progress"):
            window, explore = rng.choice([3, 4, 10]), rng.choice([0.0, 0.1])
            power, potential = rng.choice([1, 2, 6]), rng.choice([0.0, 0.5, 0.8])
            to_predecessors, to_successors = rng.choice([0.0, 0.2]), rng.choice([0.05, 0.3])
            top = rng.choice([0.5, 1.0])
            histories = [history.PerformanceHistory() for _ in range(tasks)]
            slopes = lp.LinregLpEstimator(histories, window)
            graph = networkx.DiGraph()
            graph.add_nodes_from(range(tasks))
            graph.add_edges_from(edges)
            if form == "mastering_rate":
                attention = att.MrAttentionComputer(histories, slopes, graph, [0.0] * tasks, [top] * tasks, window, power, potential,
                                                    to_predecessors, to_successors)
            else:
                attention = att.LpAttentionComputer(histories, slopes)
            shares = a2d.GreedyPropA2DConverter(explore)
            steps, level = [], [rng.uniform(0, 0.2) for _ in range(tasks)]
            for step in range(15):
                seen = {} if step == 0 else {c: round(min(1.2, level[c] + rng.gauss(0, 0.1)), 3)
                                             for c in range(tasks) if rng.random() < 0.7}
                level = [x + rng.uniform(0, 0.1) for x in level]
                now = attention(seen).copy()
                steps.append({"seen": [[c, p] for c, p in seen.items()], "attention": now.tolist(), "shares": shares(now.copy()).tolist()})
            cases.append({"tasks": tasks, "edges": edges, "form": form, "window": window, "explore": explore, "power": power,
                          "potential": potential, "to_predecessors": to_predecessors, "to_successors": to_successors, "max": top,
                          "steps": steps})
    with open(os.path.join(out, "mastering_rate.json"), "w") as file:
        file.write("[\n" + ",\n".join(json.dumps(c) for c in cases) + "\n]\n")


if __name__ == "__main__":
    main()
