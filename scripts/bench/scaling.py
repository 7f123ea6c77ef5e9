#!/usr/bin/env python3
"""What a step costs with W ranks, on paper: passes shared out, one sum of gradients, rollouts as uneven as they are.

Pieces are measured ones, given as options: tokens a second of one rank, the bandwidth of a sum. The rollouts of a step
are simulated: groups of completions with lognormal lengths, dealt out by turns as the trainer does, decoded in lockstep;
a rank is done when its longest sequence is.

  scripts/bench/scaling.py                     the tables of scripts/bench/README.md
  scripts/bench/scaling.py --bandwidth 0.8     GB/s of a sum over Gloo on one machine
"""
import argparse
import random

p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
p.add_argument("--tokens", type=float, default=2 ** 20, help="of a step, over all ranks")
p.add_argument("--rate", type=float, default=157000, help="tokens a second of one rank at --parameters")
p.add_argument("--parameters", type=float, default=135e6, help="the model whose rate was measured")
p.add_argument("--bandwidth", type=float, nargs="+", default=[0.8, 50, 300], help="of a sum, GB/s that each rank sends")
p.add_argument("--groups", type=int, default=64)
p.add_argument("--samples", type=int, default=8)
p.add_argument("--spread", type=float, default=0.6, help="standard deviation of the log of a length")
args = p.parse_args()
RANKS = [1, 2, 4, 8, 16, 32, 64]


def training(parameters, ranks, bandwidth):
    """Seconds of passes and of the sum of fp32 gradients by rings. The rate falls as the parameters grow."""
    passes = args.tokens / ranks / (args.rate * args.parameters / parameters)
    return passes, 2 * (ranks - 1) / ranks * 4 * parameters / (bandwidth * 1e9)


def state_gb(parameters, ranks):
    """Of a bf16 run with adamw: weights 2, gradients 4, and masters 4 with moments 8, shared out or not."""
    return 18 * parameters / 1e9, (6 + 12 / ranks) * parameters / 1e9


def uneven(ranks, draws=200):
    """How much longer the slowest rank decodes than a step whose work is spread evenly: by rank-steps of decoding."""
    rows, total = random.Random(0), 0.0
    for _ in range(draws):
        groups = [[rows.lognormvariate(0, args.spread) for _ in range(args.samples)] for _ in range(args.groups)]
        # Alone, all decode together until the longest ends: what one rank takes.
        ends = [max(max(g) for g in groups[r::ranks]) for r in range(min(ranks, args.groups))]
        mean = sum(sum(g) for g in groups) / (args.groups * args.samples)
        total += max(ends) / mean
    return total / draws


for parameters in (135e6, 7e9, 70e9):
    print(f"\n{parameters / 1e9:g} B parameters, {args.tokens:.0f} tokens a step: seconds (efficiency)")
    print(f"{'ranks':>6}" + "".join(f"{b:>14g} GB/s" for b in args.bandwidth) + f"{'GB a rank':>12}{'shared out':>12}")
    for ranks in RANKS:
        row = f"{ranks:6}"
        for bandwidth in args.bandwidth:
            passes, summing = training(parameters, ranks, bandwidth)
            row += f"{passes + summing:10.2f} ({training(parameters, 1, bandwidth)[0] / ranks / (passes + summing):5.0%})"
        plain, shared = state_gb(parameters, ranks)
        print(row + f"{plain:12.1f}{shared:12.1f}")
print(f"\nrollouts of {args.groups} groups x {args.samples}: decoding steps until the slowest rank is done, in mean lengths")
print("  ".join(f"{ranks} ranks: {uneven(ranks):.2f}" for ranks in (1, 8, 64)) + " (the tail does not shrink with ranks)")
