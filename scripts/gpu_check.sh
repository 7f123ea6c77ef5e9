#!/usr/bin/env bash
# What a machine with a GPU and no network shows of this project in a few minutes.
#   scripts/gpu_check.sh --pack TREE                      here, after a build: the programs and the libraries that such a machine lacks
#   TREE/gpu_check.sh --libtorch FOLDER [--device cuda]   there: FOLDER/lib has libtorch_cpu.so and libtorch_cuda.so of the version
#                                                         that was built against (scripts/setup.sh --torch 2.11.0 for an older one)
# Checks, each a line: training on the device beside the CPU in fp32 and in bf16, the same bytes twice, resume; then a table of speeds.
# Ends with 77 where there is no GPU, with 1 where a check fails. --device cpu tries the script itself.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
pack= libtorch= device=cuda
while [ $# -gt 0 ]; do
  case "$1" in
    --pack) pack=${2:?--pack needs a folder}; shift 2 ;;
    --libtorch) libtorch=${2:?--libtorch needs a folder}; shift 2 ;;
    --device) device=${2:?--device needs a name}; shift 2 ;;
    *) echo "gpu_check: unknown option $1 (known: --pack TREE, --libtorch FOLDER, --device NAME)" >&2; exit 2 ;;
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
  cp "$here/gpu_check.sh" "$pack/"
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
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
shape='"hidden": 64, "intermediate": 128, "layers": 2, "heads": 4, "kv_heads": 2, "max_positions": 256'
large='"hidden": 576, "intermediate": 1536, "layers": 30, "heads": 9, "kv_heads": 3, "max_positions": 512'

config() { # name task shape dtype rest
  cat > "$work/$1.json" <<JSON
{ "task": "$2", "threads": 0, "model": {"dtype": "$4", "init": {"vocab": 400, $3}},
  "data": {"train": ["$here/data/train.jsonl"], "max_tokens": 200}, "optimizer": {"name": "adamw", "lr": 1e-3},
  "checkpoint": {"every": 2}, $5 }
JSON
}
sft='"train": {"steps": 6, "batch_size": 16, "micro_batch_tokens": 512}'
rl='"train": {"steps": 4, "batch_size": 4}, "rollout": {"prompts_per_step": 4, "group_size": 8, "max_new_tokens": 24},
    "rewards": [{"kind": "contains", "texts": ["1", "2"]}], "algorithm": {"name": "grpo"}'
train() { # name device run [options]
  local name=$1 on=$2 run=$3
  shift 3
  "$here/bin/temper-train" "$work/$name.json" --quiet --set device="$on" --run "$work/$run" "$@"
}
failed=0
verdict() { if [ "$2" = 0 ]; then echo "ok    $1"; else echo "FAIL  $1"; failed=1; fi; }
# Whether two runs' losses and gradient norms agree.
near() { # run run tolerance
  python3 - "$work/$1/metrics.jsonl" "$work/$2/metrics.jsonl" "$3" <<'PY'
import json, sys
a, b = ([json.loads(line) for line in open(f)] for f in sys.argv[1:3])
worst = max(abs(x[k] - y[k]) / max(1e-3, abs(x[k])) for x, y in zip(a, b) for k in ("loss", "grad_norm") if k in x)
print(f"      worst relative difference {worst:.2g} over {len(a)} steps")
sys.exit(len(a) != len(b) or worst > float(sys.argv[3]))
PY
}

for dtype in f32 bf16; do
  config sft-$dtype sft "$shape" $dtype "$sft"
  train sft-$dtype cpu cpu-$dtype && train sft-$dtype "$device" device-$dtype && near cpu-$dtype device-$dtype "$([ $dtype = f32 ] && echo 1e-3 || echo 5e-2)" \
    && code=0 || code=1
  verdict "supervised training beside the CPU, $dtype" $code
  train sft-$dtype "$device" again-$dtype && cmp -s "$work/device-$dtype/final/model.safetensors" "$work/again-$dtype/final/model.safetensors" && code=0 || code=1
  verdict "the same bytes twice, $dtype" $code
done
# Stopped when its second checkpoint is there.
"$here/bin/temper-train" "$work/sft-f32.json" --quiet --set device="$device" --run "$work/resumed" &
child=$!
while kill -0 $child 2> /dev/null && [ ! -e "$work/resumed/checkpoints/step-4/DONE" ]; do sleep 0.02; done
kill -TERM $child 2> /dev/null || true
wait $child || true
train sft-f32 "$device" resumed && cmp -s "$work/device-f32/final/model.safetensors" "$work/resumed/final/model.safetensors" && code=0 || code=1
verdict "resumed after a stop, the same bytes" $code
config rl-f32 rl "$shape" f32 "$rl"
train rl-f32 "$device" rl && code=0 || code=1
verdict "GRPO takes its steps" $code

echo "speeds, a model of 135M's shape in bf16 (tokens a second of the last step):"
for what in sft rl; do
  [ $what = sft ] && rest=$sft || rest=$rl
  config $what-large $what "$large" bf16 "$rest"
  for on in cpu "$device"; do
    [ "$on" = cpu ] && [ "$device" = cpu ] && continue
    train $what-large "$on" $what-$on --set train.steps=3 --set checkpoint.every=0 || { verdict "$what on $on" 1; continue; }
    python3 -c 'import json, sys; row = [json.loads(line) for line in open(sys.argv[1])][-1]; print("  %-6s%-6s%10.0f" % (sys.argv[2], sys.argv[3], row["time"]["tokens_per_s"]))' \
      "$work/$what-$on/metrics.jsonl" $what "$on"
  done
done
exit $failed
