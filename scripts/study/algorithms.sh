#!/usr/bin/env bash
# A side-by-side study: every policy objective on one task from one start, and every preference loss on answers of that start,
# with the same seeds and the same budget. Two runs at a time, one thread each; about 20 minutes on two quiet cores. A run that is
# finished is not run again, so an interrupted study goes on where it stopped.
#   scripts/study/algorithms.sh [--quick] [--out runs/study] [--jobs 2] [--only policy|preference] [--draw]
#   scripts/study/algorithms.sh --objectives topr    runs some alone, from the same start, and leaves the others as they are
#   scripts/study/page.py runs/study/study.json --out lib/objective/study    draws it again, for the repository
# --quick: two steps, one seed, a tiny model from random weights: says that everything runs, and nothing about quality.
set -euo pipefail
cd "$(dirname "$0")/../.."
exec python3 scripts/study/study.py --bin "${TEMPER_BIN:-${TEMPER_BUILD:-build}/bin}" "$@"
