#!/usr/bin/env bash
# A tarball with the programs and every library they need beside Debian 12's own C and C++ libraries: unpacked anywhere on a Debian
# 12 or newer, without a compiler or a package to install, bin/temper-train runs. For processors like the one it is built on.
#   scripts/package.sh [FOLDER]     default dist; TEMPER_BUILD says where the build is (default build)
set -euo pipefail
cd "$(dirname "$0")/.."
fail() { echo "package: $*" >&2; exit 2; }

command -v patchelf > /dev/null || fail "needs patchelf: apt-get install patchelf"
build=${TEMPER_BUILD:-build} to=${1:-dist}
[ -x "$build/bin/temper-train" ] || fail "$build/bin/temper-train is not there; run scripts/setup.sh --programs"
version=$(sed -n 's/^CMAKE_PROJECT_VERSION:STATIC=//p' "$build/CMakeCache.txt")
isa=x86-64
grep -q -- '-march=x86-64-v4' "$build/build.ninja" && isa=x86-64-v4
grep -q -- '-march=x86-64-v3' "$build/build.ninja" && isa=x86-64-v3
name=temper-$version-$isa
mkdir -p "$to"
work=$(mktemp -d "$to/package.XXXXXX")
trap 'rm -rf "$work"' EXIT
mkdir -p "$work/$name/bin" "$work/$name/lib"
cp "$build"/bin/temper-{train,generate,eval,convert,inspect,serve} "$work/$name/bin/"
strip "$work/$name"/bin/*
# The reader of Parquet and Arrow files, which programs load when they meet one.
[ ! -f "$build/lib/libtemper_columns.so" ] || cp "$build/lib/libtemper_columns.so" "$work/$name/lib/"
# What every Debian has is left out, the rest goes along.
ldd "$work/$name"/bin/* "$work/$name"/lib/* | awk '$2 == "=>" {print $3}' | sort -u | while read -r library; do
  case $(basename "$library") in
    libc.so.* | libm.so.* | libdl.so.* | libpthread.so.* | librt.so.* | libutil.so.* | libgcc_s.so.* | libstdc++.so.*) ;;
    *) cp -L "$library" "$work/$name/lib/" ;;
  esac
done
missing=$(ldd "$work/$name"/bin/* "$work/$name"/lib/* | grep 'not found' || true)
[ -z "$missing" ] || fail "a library is missing here: $missing"
# Programs look for their libraries in ../lib, and libraries for theirs beside them.
patchelf --force-rpath --set-rpath '$ORIGIN/../lib' "$work/$name"/bin/*
for library in "$work/$name"/lib/*; do patchelf --force-rpath --set-rpath '$ORIGIN' "$library"; done
cp -r LICENSE README.md configs "$work/$name/"
tar -C "$work" -cf - "$name" | gzip -1 > "$work/$name.tar.gz"
mv "$work/$name.tar.gz" "$to/$name.tar.gz"
echo "package: $to/$name.tar.gz, $(du -h "$to/$name.tar.gz" | cut -f1)" >&2
