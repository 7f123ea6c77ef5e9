#!/usr/bin/env bash
# Sets everything up, builds everything (programs, tests, fuzz targets), and runs all tests under ctest, two at a time.
#   scripts/test.sh [ctest arguments, such as -R tensor; -C long adds the long tests]
set -euo pipefail
cd "$(dirname "$0")/.."
# Debian's python3, which setup installs: a version manager's wrapper takes a third of a second at each of a thousand starts.
export PATH=/usr/bin:/bin:$PATH
scripts/setup.sh
out=${TEMPER_BUILD:-build}
exec ctest --test-dir "$out" --output-on-failure --timeout 1800 -j2 "$@"
