"""GGUF files of the further families against the gguf package, which knows llama.cpp's names.

    python scripts/oracles/gguf_families.py            writes tests/model/golden/gguf/gpt_oss_mxfp4.gguf, as llama.cpp's converter would
    python scripts/oracles/gguf_families.py FOLDER     checks FOLDER/NAME.gguf, what `TEMPER_GGUF_OUT=FOLDER build/bin/model_test
                                                       -tc="gguf families*"` wrote, against FOLDER/NAME or, where that is not there,
                                                       tests/model/golden/families/NAME; and transformers' log-probs of FOLDER/NAME.back

Every tensor of the model's folder must stand in the file by the name that the package's map of the architecture gives it, with the
values that llama.cpp's converter writes: q and k permuted for the architectures that turn neighbours, 1 added to Gemma's norms, taps of
convolutions as matrices, experts stacked, gpt-oss's gates and ups apart and transposed, DeepSeek's keys and values of latents apart and the
keys transposed, Qwen3.5's value heads in llama.cpp's order and its decays without their logarithm. No other tensor may stand there, and no key that the package does not name.
"""
import json
import os
import re
import sys

import gguf
import numpy as np
from safetensors.torch import load_file

from gguf_files import MODELS, bpe_tokens, permute

FAMILIES = f"{MODELS}/families"
PERMUTED = {"llama", "granite", "smollm3", "mistral3"}
ONE_UP = {"gemma2", "gemma3", "qwen35", "qwen35moe"}
# llama.cpp reads it, and this version of the package does not name it.
NEWER_KEYS = {"qwen35.attention.recurrent_layers", "qwen35moe.attention.recurrent_layers"}
OTHER_PARTS = re.compile(r"vision|multi_modal|\.visual\.|audio|^mtp\.")


def text_config(folder):
    config = json.load(open(f"{folder}/config.json"))
    return {"tie_word_embeddings": config.get("tie_word_embeddings", True), **config["text_config"]} if "text_config" in config else config


def usual(name):
    """The name in a causal model's own files."""
    for part in ("language_model.model.", "model.language_model.", "language_model."):
        if name.startswith(part):
            return "model." + name[len(part):] if "lm_head" not in name else name[len(part):]
    return name


def value_heads(config, name, value):
    """The second value heads of all key heads behind the first ones, where a folder has those of a key head together."""
    keys, heads = config["linear_num_key_heads"], config["linear_num_value_heads"]

    def turned(t, dim):
        shape = t.shape
        t = t.reshape(*shape[:dim], keys, heads // keys, shape[dim] // heads, *shape[dim + 1:])
        return t.swapaxes(dim, dim + 1).reshape(shape)

    if ".linear_attn." not in name or ".norm." in name:
        return value
    if ".out_proj." in name:
        return turned(value, 1)
    first = 2 * keys * config["linear_key_head_dim"] if "in_proj_qkv" in name or "conv1d" in name else 0
    return np.concatenate([value[:first], turned(value[first:], 0)])


def of_delta_layers(config, name, value):
    value = value_heads(config, name, value)
    if name.endswith("conv1d.weight"):
        value = value.squeeze(1)
    if name.endswith(".A_log"):
        value = -np.exp(value)
    if name.endswith("shared_expert_gate.weight"):
        value = value.squeeze(0)
    return name.replace(".dt_bias", ".dt_proj.bias"), value


def expected(folder, arch, config):
    """[(Hugging Face name for the map, values)], as llama.cpp's converter makes them."""
    heads = config["num_attention_heads"]
    kv = config.get("num_key_value_heads", heads)
    experts = {}
    for name, value in load_file(f"{folder}/model.safetensors").items():
        name = usual(name)
        if OTHER_PARTS.search(name):
            continue
        value = value.float().numpy()
        apart = re.match(r"(.*\.experts)\.(\d+)\.(\w+)\.weight", name)
        if apart:
            experts.setdefault(f"{apart[1]}.{apart[3]}.weight", {})[int(apart[2])] = value
            continue
        borrows = re.match(r"model\.layers\.(\d+)\.self_attn\.(k_proj|v_proj|k_norm)\.", name)
        if arch == "gemma4" and borrows and int(borrows[1]) >= config["num_hidden_layers"] - config["num_kv_shared_layers"]:
            continue  # of a layer that reads another one's keys and values; llama.cpp passes over them, too
        if arch == "deepseek2" and "kv_b_proj" in name:
            apart = value.reshape(heads, -1, value.shape[1])
            keys = config["qk_nope_head_dim"]
            yield name.replace("kv_b_proj", "k_b_proj"), apart[:, :keys].swapaxes(1, 2)
            yield name.replace("kv_b_proj", "v_b_proj"), apart[:, keys:]
            continue
        if arch == "qwen35moe" and "mlp.experts." in name:
            width = value.shape[1] // 2
            if "gate_up_proj" in name:
                yield name.replace("gate_up_proj", "gate_proj.weight"), value[:, :width]
                yield name.replace("gate_up_proj", "up_proj.weight"), value[:, width:]
            else:
                yield name + ".weight", value
            continue
        if arch.startswith("qwen35"):
            name, value = of_delta_layers(config, name, value)
        if arch == "gemma4" and name.endswith(("layer_scalar", "experts.gate_up_proj", "experts.down_proj")):
            name += ".weight"
        if "mlp.experts.gate_up_proj" in name:  # gpt-oss: columns are the outputs
            kind = ".bias" if name.endswith("_bias") else ".weight"
            stem = name[:name.index("gate_up_proj")]
            gate, up = value[..., ::2], value[..., 1::2]
            turned = (lambda t: t) if kind == ".bias" else (lambda t: t.swapaxes(1, 2))
            yield f"{stem}gate_proj{kind}", turned(gate)
            yield f"{stem}up_proj{kind}", turned(up)
            continue
        if "mlp.experts.down_proj" in name:
            yield (name.replace("_bias", ".bias"), value) if name.endswith("_bias") else (name + ".weight", value.swapaxes(1, 2))
            continue
        if name.endswith(".sinks"):
            name += ".weight"
        name = name.replace("e_score_correction_bias", "e_score_correction.bias")
        if ".conv.conv." in name:  # the taps alone
            value = value.squeeze(1)
        if arch in PERMUTED and re.search(r"\.[qk]_proj\.", name):
            value = permute(value, heads if ".q_proj." in name else kv)
        if arch in ONE_UP and name.endswith("norm.weight") and not name.endswith("linear_attn.norm.weight"):
            value = value + np.float32(1)
        yield name, value
    for name, parts in experts.items():
        yield name, np.stack([parts[e] for e in range(len(parts))])


def known_keys(arch):
    out = set()

    def walk(of):
        for name, value in vars(of).items():
            if isinstance(value, str) and not name.startswith("_"):
                out.add(value.replace("{arch}", arch))
            elif isinstance(value, type):
                walk(value)

    walk(gguf.Keys)
    return out


def check(path, folder):
    reader = gguf.GGUFReader(path)
    arch = str(reader.fields["general.architecture"].contents())
    config = text_config(folder)
    number = {name: key for key, name in gguf.MODEL_ARCH_NAMES.items()}[arch]
    names = gguf.get_tensor_name_map(number, config["num_hidden_layers"])
    found = {t.name: t for t in reader.tensors}
    values = 0
    for name, value in expected(folder, arch, config):
        mapped = names.get_name(name, try_suffixes=(".weight", ".bias"))
        for scale, of in ((".router.scale", ".router.proj"), (".router.per_expert_scale", ".experts.down_proj")):
            if name.endswith(scale):  # the converter names these itself
                mapped = names.get_name(name.replace(scale, of)) + ".scale"
        assert mapped is not None, f"{path}: {arch} has no name for {name}"
        if config.get("tie_word_embeddings") and mapped == "output.weight":
            continue
        assert mapped in found, f"{path}: {mapped} ({name}) is missing"
        data = gguf.dequantize(found[mapped].data, found[mapped].tensor_type)
        assert data.shape == value.shape, f"{path}: {mapped}: {data.shape}, expected {value.shape}"
        alike = np.allclose(data, value, 2e-7, 0) if name.endswith(".A_log") else np.array_equal(data, value)
        assert alike, f"{path}: {mapped}: largest difference {np.abs(data - value).max()}"
        values += value.size
        del found[mapped]
    for name in ("rope_factors_long.weight", "rope_factors_short.weight"):
        if name in found:
            key = name.split("_")[2].split(".")[0] + "_factor"
            assert np.array_equal(found.pop(name).data, np.float32(config["rope_scaling"][key])), name
    if arch == "gemma4":
        rope, dims = config["rope_parameters"]["full_attention"], found["rope_freqs.weight"].data.size
        turning = int(2 * dims * rope["partial_rotary_factor"] / 2)
        assert np.array_equal(found.pop("rope_freqs.weight").data, np.float32([1.0] * turning + [1e30] * (dims - turning))), path
    assert not found, f"{path}: unexpected tensors {sorted(found)}"
    unknown = [k for k in reader.fields if not k.startswith("GGUF.") and k not in known_keys(arch) | NEWER_KEYS]
    assert not unknown, f"{path}: keys that the package does not name: {unknown}"
    print(f"{os.path.basename(path)}: {arch}, {len(reader.tensors)} tensors, {values} values equal, {len(reader.fields)} keys known")


def log_probs(folder, sequences):
    import torch
    from transformers import AutoModelForCausalLM
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32, attn_implementation="eager").eval()
    out = []
    for s in sequences:
        ids = torch.tensor([s["ids"]])
        if ids.shape[1] < 2:
            continue
        with torch.no_grad():
            logits = model(ids).logits[0, :-1].double()
        out.append(logits.log_softmax(-1).gather(1, ids[0, 1:, None])[:, 0])
    return torch.cat(out)


def check_back(name, folder, back):
    """transformers' log-probs of what was read back from a file, against those of the model it was made from."""
    import torch
    golden = json.load(open(f"{FAMILIES}/{name}/golden.json"))
    if folder.startswith(FAMILIES):
        before = torch.tensor([x for s in golden["sequences"] for x in s["logprobs"]], dtype=torch.double)
    else:
        before = log_probs(folder, golden["sequences"])
    difference = (before - log_probs(back, golden["sequences"])).abs().max().item()
    print(f"{name}: read back, transformers' log-probs differ by at most {difference:.2g}")
    assert difference < 2e-5, name


def mxfp4_file(folder, path):
    """gpt-oss with its experts' blocks repacked: a byte holds values i and i + 16 here, 2i and 2i + 1 in Hugging Face's files."""
    config = text_config(folder)
    rope = config["rope_parameters"]
    writer = gguf.GGUFWriter(path, "gpt-oss")
    bpe_tokens(writer)
    writer.add_block_count(config["num_hidden_layers"])
    writer.add_context_length(config["max_position_embeddings"])
    writer.add_embedding_length(config["hidden_size"])
    writer.add_feed_forward_length(config["intermediate_size"])
    writer.add_expert_feed_forward_length(config["intermediate_size"])
    writer.add_head_count(config["num_attention_heads"])
    writer.add_head_count_kv(config["num_key_value_heads"])
    writer.add_key_length(config["head_dim"])
    writer.add_value_length(config["head_dim"])
    writer.add_rope_freq_base(rope["rope_theta"])
    writer.add_layer_norm_rms_eps(config["rms_norm_eps"])
    writer.add_expert_count(config["num_local_experts"])
    writer.add_expert_used_count(config["num_experts_per_tok"])
    writer.add_sliding_window(config["sliding_window"])
    writer.add_rope_scaling_type(gguf.RopeScalingType.YARN)
    writer.add_rope_scaling_factor(rope["factor"])
    writer.add_rope_scaling_orig_ctx_len(rope["original_max_position_embeddings"])
    names = gguf.get_tensor_name_map(gguf.MODEL_ARCH.GPT_OSS, config["num_hidden_layers"])
    tensors = load_file(f"{folder}/model.safetensors")
    kind = gguf.GGMLQuantizationType

    def packed(blocks, scales):
        codes = np.stack([blocks & 15, blocks >> 4], -1).reshape(*blocks.shape[:-1], 32)
        bytes_ = codes[..., :16] | codes[..., 16:] << 4
        return np.concatenate([scales[..., None], bytes_], -1).reshape(*blocks.shape[:-2], -1)

    for name, value in tensors.items():
        if name.endswith("_scales"):
            continue
        if name.endswith("_blocks"):
            data = packed(value.numpy(), tensors[name.replace("_blocks", "_scales")].numpy())
            stem = name[:name.index("experts.") + 8]
            parts = [("down_proj", data)] if "down_proj" in name else [("gate_proj", data[:, ::2]), ("up_proj", data[:, 1::2])]
            for part, rows in parts:
                writer.add_tensor(names.get_name(f"{stem}{part}.weight", try_suffixes=(".weight",)), np.ascontiguousarray(rows),
                                  raw_dtype=kind.MXFP4)
            continue
        value = value.float().numpy()
        if name.endswith("gate_up_proj_bias"):
            stem = name[:name.index("experts.") + 8]
            for part, rows in (("gate_proj", value[:, ::2]), ("up_proj", value[:, 1::2])):
                writer.add_tensor(names.get_name(f"{stem}{part}.bias", try_suffixes=(".bias",)), np.ascontiguousarray(rows))
            continue
        name = name.replace("down_proj_bias", "down_proj.bias").replace(".sinks", ".sinks.weight")
        mapped = names.get_name(name, try_suffixes=(".weight", ".bias"))
        if value.ndim > 1 and mapped.endswith(".weight") and "ffn_gate_inp" not in mapped:
            writer.add_tensor(mapped, gguf.quantize(value, kind.BF16), raw_dtype=kind.BF16)
        else:
            writer.add_tensor(mapped, np.ascontiguousarray(value))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    print(path, os.path.getsize(path))


def main():
    if len(sys.argv) == 1:
        return mxfp4_file(f"{FAMILIES}/gpt_oss_mxfp4", f"{MODELS}/gguf/gpt_oss_mxfp4.gguf")
    files = sorted(f for f in os.listdir(sys.argv[1]) if f.endswith(".gguf"))
    assert files, f"{sys.argv[1]}: no .gguf files"
    for file in files:
        name = file[:-5]
        own = f"{sys.argv[1]}/{name}"
        folder = own if os.path.isdir(own) else f"{FAMILIES}/{name}"
        check(f"{sys.argv[1]}/{file}", folder)
        check_back(name, folder, f"{own}.back")


if __name__ == "__main__":
    main()
