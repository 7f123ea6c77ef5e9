#!/usr/bin/env bash
# A tarball with the programs and every library they need (scripts/relocatable.sh): unpacked anywhere on a Debian 12 or newer,
# bin/temper-train runs. For processors like the one it is built on.
#   scripts/package.sh [FOLDER]     default dist; TEMPER_BUILD says where the build is (default build)
set -euo pipefail
cd "$(dirname "$0")/.."
fail() { echo "package: $*" >&2; exit 2; }

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
cmake --install "$build" --component runtime --prefix "$work/$name" > /dev/null
cp -r LICENSE README.md configs "$work/$name/"
tar -C "$work" -cf - "$name" | gzip -1 > "$work/$name.tar.gz"
mv "$work/$name.tar.gz" "$to/$name.tar.gz"
echo "package: $to/$name.tar.gz, $(du -h "$to/$name.tar.gz" | cut -f1)" >&2
