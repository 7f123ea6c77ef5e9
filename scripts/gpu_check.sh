#!/usr/bin/env bash
# What a machine with a GPU and no network shows of this project in a few minutes.
#   scripts/gpu_check.sh --pack TREE                      here, after a build: the programs and the libraries that such a machine lacks
#   TREE/gpu_check.sh --libtorch FOLDER [--device cuda]   there: FOLDER/lib has libtorch_cpu.so and libtorch_cuda.so of the version
#                                                         that was built against (scripts/setup.sh --torch 2.11.0 for an older one)
# Checks, each a line (gpu_checks.py): training on the device beside the CPU in fp32 and in bf16, the CPU's draws, the same bytes twice,
# resume; then a table of speeds beside TRL where it is installed (bench/gpu.py; options after -- are its own). Python 3 is needed
# there. Ends with 77 where there is no GPU, with 1 where a check fails. --device cpu tries the script itself.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
pack= libtorch= device=cuda
bench=()
while [ $# -gt 0 ]; do
  case "$1" in
    --pack) pack=${2:?--pack needs a folder}; shift 2 ;;
    --libtorch) libtorch=${2:?--libtorch needs a folder}; shift 2 ;;
    --device) device=${2:?--device needs a name}; shift 2 ;;
    --) shift; bench=("$@"); break ;;
    *) echo "gpu_check: unknown option $1 (known: --pack TREE, --libtorch FOLDER, --device NAME, -- OPTIONS OF bench/gpu.py)" >&2; exit 2 ;;
  esac
done

if [ -n "$pack" ]; then
  bin=${TEMPER_BUILD:-$here/../build}/bin
  [ -x "$bin/temper-train" ] || { echo "gpu_check: $bin/temper-train is not there; build first (scripts/setup.sh --programs)" >&2; exit 2; }
  mkdir -p "$pack/bin" "$pack/lib" "$pack/data"
  for program in temper-train temper-generate; do strip -o "$pack/bin/$program" "$bin/$program"; done
  # All that is neither LibTorch's nor the C library's.
  ldd "$bin/temper-train" "$bin/temper-generate" | awk '$3 ~ /^\// {print $3}' | sort -u \
    | grep -Ev '/(libtorch|libc10|libgomp|libcuda|libcupti|libnv)[^/]*$|/(libc|libm|libdl|libpthread|librt)\.so' \
    | while read -r library; do cp -L "$library" "$pack/lib/"; done
  mkdir -p "$pack/bench"
  cp "$here/gpu_check.sh" "$here/gpu_checks.py" "$pack/"
  cp "$here/bench/gpu.py" "$here/bench/gpu_trl.py" "$pack/bench/"
  cp "$here/../data/arithmetic/train.jsonl" "$here/../data/arithmetic/test.jsonl" "$pack/data/"
  du -sh "$pack"
  exit 0
fi

[ -x "$here/bin/temper-train" ] || { echo "gpu_check: run it from a tree that --pack made" >&2; exit 2; }
[ -f "$libtorch/lib/libtorch_cpu.so" ] || { echo "gpu_check: --libtorch: $libtorch/lib/libtorch_cpu.so is not there" >&2; exit 2; }
export LD_LIBRARY_PATH=$libtorch/lib:$here/lib${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}
if [ "$device" = cuda ] && ! { command -v nvidia-smi > /dev/null && nvidia-smi -L | grep -q GPU; }; then
  echo "gpu_check: no GPU on this machine: nothing was checked"
  exit 77
fi
[ "$device" = cuda ] && nvidia-smi --query-gpu=name,driver_version,memory.total --format=csv,noheader
export CUDA_VISIBLE_DEVICES=${CUDA_VISIBLE_DEVICES:-0}  # one GPU, for several processes too
code=0
python3 "$here/gpu_checks.py" "$here" --device "$device" || code=1
tiny=
[ "$device" = cuda ] || tiny=--tiny
python3 "$here/bench/gpu.py" --bin "$here/bin" --device "$device" $tiny "${bench[@]}" || code=1
exit $code
