"""Tiny GGUF files made with the gguf package, for tests/tensor/gguf_test.cc and tests/model/gguf_test.cc.

types.gguf (one tensor of every weight type that Temper reads, and metadata of every value type) and types.safetensors (the
same tensors dequantised by the package) in tests/tensor/golden; in tests/model/golden/gguf the tiny models llama_linear and qwen3
as llama.cpp's converter would write them (its row order of q and k, its names), with a byte-level and a SentencePiece
tokenizer, and the merges that transformers derives from the latter's scores.
"""
import json
import os
import tempfile

import gguf
import numpy as np
import torch
from safetensors.torch import save_file

HERE = os.path.dirname(os.path.abspath(__file__))
OUT = os.path.join(HERE, "../../tests/tensor/golden")
MODELS = os.path.join(HERE, "../../tests/model/golden")
Q = gguf.GGMLQuantizationType


def names(hf):
    whole = {"model.embed_tokens.weight": "token_embd.weight", "model.norm.weight": "output_norm.weight", "lm_head.weight": "output.weight"}
    if hf in whole:
        return whole[hf]
    table = {"self_attn.q_proj": "attn_q", "self_attn.k_proj": "attn_k", "self_attn.v_proj": "attn_v", "self_attn.o_proj": "attn_output",
             "self_attn.q_norm": "attn_q_norm", "self_attn.k_norm": "attn_k_norm", "mlp.gate_proj": "ffn_gate", "mlp.up_proj": "ffn_up",
             "mlp.down_proj": "ffn_down", "input_layernorm": "attn_norm", "post_attention_layernorm": "ffn_norm"}
    _, _, layer, *middle, last = hf.split(".")
    return f"blk.{layer}.{table['.'.join(middle)]}.{last}"


def permute(weight, heads):
    """The row order of llama.cpp's converter (conversion of LlamaForCausalLM)."""
    return weight.reshape(heads, 2, weight.shape[0] // heads // 2, *weight.shape[1:]).swapaxes(1, 2).reshape(weight.shape)


def bpe_tokens(writer):
    """119 tokens: three special ones, 8 bytes, merges of them, fillers, one unused and one added at the end."""
    special = ["<|end|>", "<|start|>", "<|eot|>"]
    letters = ["a", "b", "c", "Ġ", "Ċ", "1", "2", "é".encode().decode("latin-1")[:1]]
    merges = ["Ġ a", "b c", "Ġa bc", "a a"]
    tokens = special + letters + [m.replace(" ", "") for m in merges]
    tokens += [f"filler{i}" for i in range(117 - len(tokens))] + ["[unused]", "<tool>"]
    types = [3] * 3 + [1] * 114 + [5, 4]
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("llama-bpe")
    writer.add_token_list(tokens)
    writer.add_token_types(types)
    writer.add_token_merges(merges)
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(0)
    writer.add_eot_token_id(2)
    writer.add_chat_template("{{ messages[0]['content'] }}")


def spm_tokens(writer, folder):
    import sentencepiece as spm
    from transformers.convert_slow_tokenizer import generate_merges
    words = "the cat sat on the mat and then the other cats sat there with that hat on this thin path near the tenth hut".split()
    text = [" ".join(words[i % len(words):] + words[:i % len(words)]) for i in range(40)]
    with tempfile.TemporaryDirectory() as temp:
        spm.SentencePieceTrainer.train(sentence_iterator=iter(text), model_prefix=f"{temp}/m", vocab_size=60, model_type="bpe",
                                       character_coverage=1.0, hard_vocab_limit=False, num_threads=1)
        model = spm.SentencePieceProcessor(model_file=f"{temp}/m.model")
    tokens = [model.id_to_piece(i) for i in range(model.vocab_size())]
    scores = [model.get_score(i) for i in range(model.vocab_size())]
    types = [2 if model.is_unknown(i) else 3 if model.is_control(i) else 1 for i in range(model.vocab_size())]
    for byte in (0, 10, 255):
        tokens.append(f"<0x{byte:02X}>")
        scores.append(0.0)
        types.append(6)
    writer.add_tokenizer_model("llama")
    writer.add_tokenizer_pre("default")
    writer.add_token_list(tokens)
    writer.add_token_scores(scores)
    writer.add_token_types(types)
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)
    writer.add_unk_token_id(0)
    vocab = {t: i for i, t in enumerate(tokens) if types[i] in (1, 6)}
    merges = generate_merges(vocab, {t: scores[i] for t, i in vocab.items() if types[i] == 1})
    json.dump({"merges": merges}, open(f"{folder}/merges.json", "w"))


def model_file(name, arch, tokens):
    folder = f"{MODELS}/gguf"
    os.makedirs(folder, exist_ok=True)
    config = json.load(open(f"{MODELS}/{name}/config.json"))
    heads, kv, dim = config["num_attention_heads"], config["num_key_value_heads"], config["head_dim"]
    rope = config.get("rope_parameters") or {"rope_theta": config["rope_theta"], **(config["rope_scaling"] or {})}
    writer = gguf.GGUFWriter(f"{folder}/{name}.gguf", arch)
    writer.add_block_count(config["num_hidden_layers"])
    writer.add_context_length(config["max_position_embeddings"])
    writer.add_embedding_length(config["hidden_size"])
    writer.add_feed_forward_length(config["intermediate_size"])
    writer.add_head_count(heads)
    writer.add_head_count_kv(kv)
    writer.add_key_length(dim)
    writer.add_value_length(dim)
    writer.add_rope_dimension_count(dim)
    writer.add_rope_freq_base(rope["rope_theta"])
    writer.add_layer_norm_rms_eps(config["rms_norm_eps"])
    if rope["rope_type"] == "linear":
        writer.add_rope_scaling_type(gguf.RopeScalingType.LINEAR)
        writer.add_rope_scaling_factor(rope["factor"])
    tokens(writer)
    from safetensors.torch import load_file
    for hf, value in load_file(f"{MODELS}/{name}/model.safetensors").items():
        value = value.float().numpy()
        if arch == "llama" and (".q_proj." in hf or ".k_proj." in hf):
            value = permute(value, heads if ".q_proj." in hf else kv)
        bf16 = value.ndim > 1
        if bf16:
            writer.add_tensor(names(hf), gguf.quantize(value, Q.BF16), raw_dtype=Q.BF16)
        else:
            writer.add_tensor(names(hf), np.ascontiguousarray(value))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    print(name, os.path.getsize(f"{folder}/{name}.gguf"))


def main():
    model_file("llama_linear", "llama", bpe_tokens)
    model_file("qwen3", "qwen3", lambda writer: spm_tokens(writer, f"{MODELS}/gguf"))
    rng = np.random.default_rng(5)
    writer = gguf.GGUFWriter(f"{OUT}/types.gguf", "llama")
    writer.add_uint8("v.u8", 200)
    writer.add_int8("v.i8", -100)
    writer.add_uint16("v.u16", 60000)
    writer.add_int16("v.i16", -30000)
    writer.add_uint32("v.u32", 4000000000)
    writer.add_int32("v.i32", -2000000000)
    writer.add_float32("v.f32", 1e-5)
    writer.add_bool("v.bool", True)
    writer.add_string("v.string", "naïve ▁")
    writer.add_uint64("v.u64", 1 << 40)
    writer.add_int64("v.i64", -(1 << 40))
    writer.add_float64("v.f64", 0.1)
    writer.add_array("v.strings", ["a", "", "▁b"])
    writer.add_array("v.i32s", [3, -4, 5])
    writer.add_array("v.f32s", [0.5, -1.5])
    golden = {}
    for kind in (Q.F32, Q.F16, Q.BF16, Q.Q8_0, Q.Q4_0, Q.Q4_1, Q.Q5_0, Q.Q5_1, Q.Q4_K, Q.Q5_K, Q.Q6_K, Q.MXFP4):
        rows, columns = 3, 512 if kind.name.endswith("K") else 64
        try:
            data = gguf.quantize(rng.standard_normal((rows, columns)).astype(np.float32), kind)
        except NotImplementedError:  # no quantiser in Python: any bytes will do, with sane scales
            block, size = gguf.GGML_QUANT_SIZES[kind]
            blocks = rng.integers(0, 256, (rows * columns // block, size), dtype=np.uint8)
            scales = rng.uniform(0.001, 0.1, (len(blocks), 2)).astype(np.float16).view(np.uint8)
            if kind == Q.Q6_K:
                blocks[:, 208:210] = scales[:, :2]
            else:
                blocks[:, :4] = scales
            data = blocks.reshape(rows, -1)
        if data.dtype != np.uint8:
            writer.add_tensor(f"t.{kind.name}", data)
        else:
            writer.add_tensor(f"t.{kind.name}", data, raw_dtype=kind)
        golden[f"t.{kind.name}"] = torch.from_numpy(np.ascontiguousarray(gguf.dequantize(data, kind)).astype(np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    save_file(golden, f"{OUT}/types.safetensors")
    print({k: tuple(v.shape) for k, v in golden.items()}, os.path.getsize(f"{OUT}/types.gguf"))


if __name__ == "__main__":
    main()
