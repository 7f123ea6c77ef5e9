#!/usr/bin/env bash
# Makes a folder of programs one that runs anywhere on a Debian 12 or newer, without a compiler or a package to install: every
# library that they need beside Debian's own C and C++ libraries goes into its lib/, where the programs then look for it.
# `cmake --install BUILD --prefix FOLDER` calls it behind the programs.
#   scripts/relocatable.sh BUILD FOLDER
set -euo pipefail
fail() { echo "relocatable: $*" >&2; exit 2; }

build=${1:?BUILD FOLDER} to=${2:?BUILD FOLDER}
command -v patchelf > /dev/null || fail "needs patchelf: apt-get install patchelf"
mkdir -p "$to/bin" "$to/lib"
programs=()
for program in "$build"/bin/temper-*; do
  programs+=("$to/bin/$(basename "$program")")
  install -m 755 "$program" "${programs[-1]}"
done
strip "${programs[@]}"
# The reader of Parquet and Arrow files, which programs load when they meet one.
modules=()
if [ -f "$build/lib/libtemper_columns.so" ]; then
  modules=("$to/lib/libtemper_columns.so")
  install -m 644 "$build/lib/libtemper_columns.so" "${modules[0]}"
fi
# What every Debian has is left out, the rest goes along.
libraries=()
while read -r library; do
  case $(basename "$library") in
    libc.so.* | libm.so.* | libdl.so.* | libpthread.so.* | librt.so.* | libutil.so.* | libgcc_s.so.* | libstdc++.so.*) ;;
    *)
      libraries+=("$to/lib/$(basename "$library")")
      install -m 644 "$library" "${libraries[-1]}"
      ;;
  esac
done < <(ldd "$build"/bin/temper-* ${modules[0]:+"$build/lib/libtemper_columns.so"} | awk '$2 == "=>" && $3 != "not" {print $3}' | sort -u)
# Programs look for their libraries in ../lib, and libraries for theirs beside them.
patchelf --force-rpath --set-rpath '$ORIGIN/../lib' "${programs[@]}"
for library in "${libraries[@]}" "${modules[@]}"; do patchelf --force-rpath --set-rpath '$ORIGIN' "$library"; done
missing=$(ldd "${programs[@]}" "${libraries[@]}" "${modules[@]}" | grep 'not found' || true)
[ -z "$missing" ] || fail "a library is missing here: $missing"
