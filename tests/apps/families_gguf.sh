#!/usr/bin/env bash
# Every family that llama.cpp knows through GGUF and back, by temper-convert: all of its tensors come back. What a file cannot say is refused by key.
#   TEMPER_BIN=build/bin TEMPER_SOURCE=. tests/apps/families_gguf.sh
. "$(dirname "$0")/shared/tiny.sh"
python3 "$(dirname "$0")/shared/letters.py" "$work"

# The goldens have every knob on, also those that an architecture of llama.cpp lacks: model_test writes such a family once more without them.
mkdir "$work/plain"
TEMPER_GGUF_OUT="$work/plain" "$bin/model_test" -tc="gguf families: a model is the same*" > "$work/out" || fail "$(tail -20 "$work/out")"

convert() { "$bin/temper-convert" "$@" 2> "$work/err" > "$work/out" || fail "$name: temper-convert $*: $(cat "$work/err")"; }

there=0 refused=""
for golden in "$source"/tests/model/golden/families/*/; do
  name=$(basename "$golden")
  rm -rf "$work"/model*
  [ -d "$work/plain/$name" ] && cp -r "$work/plain/$name" "$work/model" || cp -r "$golden" "$work/model"
  cp "$work/tokenizer.json" "$work/tokenizer_config.json" "$work/model/"
  if [ ! -f "$work/plain/$name.gguf" ]; then
    expect "has no place for it" "$bin/temper-convert" "$work/model" "$work/model.gguf" --to gguf
    refused="$refused $name"
    continue
  fi
  convert "$work/model" "$work/model.gguf" --to gguf --dtype f32
  convert "$work/model.gguf" "$work/model_back"
  convert "$work/model" "$work/model_f32" --dtype f32
  python3 - "$work/model_f32/model.safetensors" "$work/model_back/model.safetensors" <<'PY' || fail "$name"
import array, json, struct, sys
def tensors(path):
    data = open(path, "rb").read()
    size = struct.unpack("<Q", data[:8])[0]
    header = json.loads(data[8:8 + size])
    header.pop("__metadata__", None)
    return {name.replace("language_model.model.", "model.").replace("model.language_model.", "model."):
            (t["dtype"], t["shape"], array.array("f", data[8 + size + t["data_offsets"][0]:8 + size + t["data_offsets"][1]])) for name, t in header.items()}
source, back = tensors(sys.argv[1]), tensors(sys.argv[2])
left = [n for n in source if n not in back and not any(part in n for part in ("vision", "visual", "multi_modal", "mtp."))]
# Gemma 4's layers that share an earlier one's keys have none of their own, whatever their folder says.
assert not [n for n in left if ".self_attn.k_" not in n and ".self_attn.v_" not in n], left
for name, (dtype, shape, numbers) in back.items():
    assert (dtype, shape) == source[name][:2], (name, dtype, shape, source[name][:2])
    # A_log alone is another number in a file: -exp(A_log).
    limit = 1e-6 if name.endswith("A_log") else 0
    assert all(abs(a - b) <= limit * max(1, abs(b)) for a, b in zip(numbers, source[name][2], strict=True)), name
PY
  there=$((there + 1))
done
[ "$there" -ge 24 ] || fail "only $there families"
[ "$refused" = " gpt_oss_mxfp4 llama_dynamic qwen3_5_moe_text" ] || fail "refused:$refused"
echo "ok: $there families, there and back"
