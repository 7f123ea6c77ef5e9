#!/usr/bin/env bash
# Sets everything up, builds everything (programs, tests, fuzz targets), and runs all tests under ctest, two at a time.
#   scripts/test.sh [ctest arguments, such as -R tensor; -C long adds the long tests]
set -euo pipefail
cd "$(dirname "$0")/.."
# Debian's python3, which setup installs: a version manager's wrapper takes a third of a second at each of a thousand starts.
export PATH=/usr/bin:/bin:$PATH
scripts/setup.sh
# Tests write thousands of small files, and the programs wait for the disk at each; where memory has room, the files lie there.
gb() { awk -v kb="${1:-0}" 'BEGIN { print int(kb / 2^20) }'; }
shared=$(df --output=avail /dev/shm 2>/dev/null | tail -1 || true)
free=$(awk '/MemAvailable/ { print $2 }' /proc/meminfo)
if [ -z "${TMPDIR:-}" ] && [ "$(gb "$shared")" -ge 4 ] && [ "$(gb "$free")" -ge 12 ]; then
  TMPDIR=$(mktemp -d /dev/shm/temper.XXXXXX)
  chmod 755 "$TMPDIR"  # programs that are scored run as another user
  export TMPDIR
  trap 'rm -rf "$TMPDIR"' EXIT
fi
out=${TEMPER_BUILD:-build}
ctest --test-dir "$out" --output-on-failure --timeout 1800 -j2 "$@"
