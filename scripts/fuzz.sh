#!/usr/bin/env bash
# Builds the fuzz targets (tests/fuzz) under AddressSanitizer and UBSan and runs them, each for so many seconds:
#   scripts/fuzz.sh [SECONDS] [ctest arguments, such as -R jinja or -j 2]
# Needs clang with its libFuzzer (Debian: clang, libclang-rt-14-dev); ends with 77 where there is none. A finding is
# printed, and the input that makes it lies in build-fuzz/found/TARGET/crash-*.
set -euo pipefail
cd "$(dirname "$0")/.."
seconds=${1:-60}
shift || true
command -v clang++ > /dev/null || { echo "fuzz.sh: no clang++" >&2; exit 77; }
cmake --preset fuzz > /dev/null
cmake --build --preset fuzz -- --quiet
[ -w /dev/shm ] && export TMPDIR=/dev/shm  # what can only be read from files is written there
FUZZ_SECONDS=$seconds ctest --preset fuzz --verbose "$@" | awk '
  /^ +Start +[0-9]+: / { name[$2 + 0] = $3 }
  /stat::number_of_executed_units/ { printf "%-24s %12d executions\n", name[$1 + 0], $3; fflush() }
  /SUMMARY|FINDING|runtime error|Test unit written to|Failed|% tests passed/ { print; fflush() }'
