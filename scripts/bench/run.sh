#!/usr/bin/env bash
# Every row of the speed table, Temper beside its peers, in one sitting; run.sh --help says how. Builds the programs where there
# are none.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../.." && pwd)
bin=${TEMPER_BIN:-$root/build/bin}
case " $* " in
  *" --help "* | *" -h "* | *" --list "* | *" report "* | *" --bin"*) ;;
  *)
    if [ ! -x "$bin/temper-train" ]; then
      [ -f "$root/build/build.ninja" ] || "$root/scripts/setup.sh" --no-build
      [ -f "$root/build/build.ninja" ] || cmake -S "$root" -B "$root/build" -G Ninja -DCMAKE_BUILD_TYPE=Release
      ninja -C "$root/build" temper-train temper-generate temper-convert temper-inspect tensor_test
    fi ;;
esac
export PYTHONPATH=$here PYTHONDONTWRITEBYTECODE=1
exec python3 -m rows "$@"
