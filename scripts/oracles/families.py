"""Tiny random models of further families and what transformers makes of them, for tests/model.

  python scripts/oracles/families.py [NAME ...]       (all without names)

Writes tests/model/golden/families/<name>/: config.json, generation_config.json, *.safetensors and golden.json:
  parameters   parameters of the text model (buffers, vision and mtp tensors are not counted; a tied head once)
  sequences    [{"ids", "logprobs"}] of lengths 1, 2, 23 and 100: logprobs[t-1] = log p(ids[t] | ids[<t]), each sequence
               alone (longrope and dynamic NTK look at its length), in fp32 of the stored values, eager attention
  gradients    {name on disk: {"norm", "projections"}} of the mean of -log p over all predicted tokens of the four
               sequences, in fp64 throughout; projections p_j = sum_i g_i cos(0.7 (i + 1) (j + 1)), j = 0, 1, 2, over the
               flat index i of the tensor as it lies on disk (MXFP4: of the tensor that its blocks stand for, input first,
               under its name without _blocks). No auxiliary loss in it.
and, with experts:
  router_logits_checksum  [{"sum", "absolute", "chosen"}], a layer with a router each, over all tokens of the four sequences
               (fp32 gate logits before softmax or sigmoid; gemma4's are probabilities); chosen: tokens by expert
  aux_loss     transformers' load_balancing_loss_func over all those layers and tokens together, for the families that
               have it (qwen3_moe, qwen3_5_moe_text, mixtral, gpt_oss)

What a random tiny model would not show is made to matter: windows of 8, original lengths of 16 to 32 under YaRN and
longrope, softcaps near the values, multipliers other than 1, biases and norm weights that are random. That no router's
choice hangs on rounding is asserted. Token 119 is the padding of the families that have one, and no sequence has it:
transformers' embedding has no gradient at its row. config.json is as transformers saves it, but for three older
spellings (gemma3_text, phi3, mistral_yarn) and that of released folders (gemma4); gemma3, gemma4, mistral3, qwen3_5 and
qwen3_5_moe are wrappers with tensors of other parts, which a text model passes over.
"""
import copy
import json
import logging
import os
import re
import shutil
import sys
import tempfile

import torch
import transformers
from safetensors.torch import load_file, save_file
from torch.overrides import TorchFunctionMode
from transformers import CONFIG_MAPPING, AutoModelForCausalLM, AutoModelForImageTextToText, Mxfp4Config
from transformers.models.mixtral.modeling_mixtral import load_balancing_loss_func

OUT = os.environ.get("FAMILIES_OUT") or os.path.join(
    os.path.dirname(os.path.abspath(__file__)), "../../tests/model/golden/families")
VOCAB, PAD = 120, 119
EAGER = dict(attn_implementation="eager", experts_implementation="eager")
SHAPE = dict(vocab_size=VOCAB, hidden_size=32, intermediate_size=24, num_hidden_layers=2, num_attention_heads=4,
             num_key_value_heads=2, max_position_embeddings=256, bos_token_id=1, eos_token_id=2)
YARN = dict(rope_type="yarn", rope_theta=100.0, factor=8.0, original_max_position_embeddings=32)
S, F, L = "sliding_attention", "full_attention", "linear_attention"
VISION = dict(hidden_size=8, intermediate_size=8, num_hidden_layers=1, num_attention_heads=2, image_size=16, patch_size=8)
LONGROPE = dict(rope_type="longrope", rope_theta=10000.0, short_factor=[1.0, 1.1, 1.25], long_factor=[1.0, 2.5, 6.0])


def phi3_spelling(config):
    """As Phi-4-mini's folder: rope_scaling with "type", the rest of its keys beside it."""
    rope = config.pop("rope_parameters")
    config["rope_theta"], config["partial_rotary_factor"] = rope["rope_theta"], rope["partial_rotary_factor"]
    config["rope_scaling"] = {"type": "longrope", "short_factor": rope["short_factor"], "long_factor": rope["long_factor"]}
    return config


def gemma3_spelling(config):
    """As transformers 4 wrote gemma-3-1b: two thetas, one scaling, and the pattern's length for layer_types."""
    rope = config.pop("rope_parameters")
    config["rope_theta"], config["rope_local_base_freq"] = rope[F].pop("rope_theta"), rope[S]["rope_theta"]
    config["rope_scaling"] = rope[F]
    config["sliding_window_pattern"] = config.pop("_sliding_window_pattern")
    del config["layer_types"]
    return config


def old_spelling(config):
    rope = config.pop("rope_parameters")
    config["rope_theta"], config["rope_scaling"] = rope.pop("rope_theta"), rope
    return config


def next_token_module(tensors):
    """Of Qwen3.5's folders: a head for the token after next, which is passed over."""
    return {**tensors, "mtp.fc.weight": torch.ones(32, 64), "mtp.layers.0.input_layernorm.weight": torch.ones(32)}


def gemma4_spelling(config):
    """As the released folders: the sizes of layers without a window beside the others'."""
    text = config["text_config"]
    sizes = next(iter(text.pop("per_layer_config").values()))
    text["global_head_dim"], text["num_global_key_value_heads"] = sizes["head_dim"], sizes["num_key_value_heads"]
    return config


def keys_of_all_layers(tensors):
    """Of released folders: layers that read another's keys and values have some of their own, which nobody reads."""
    out = dict(tensors)
    for name, tensor in tensors.items():
        if ".layers.1.self_attn.k_" in name:
            out[name.replace(".layers.1.", ".layers.2.")] = torch.ones_like(tensor)
    return out


def all_sparse(config):
    """Qwen3.5's mixtures have no width of a dense MLP."""
    config.get("text_config", config).pop("intermediate_size")
    return config


def experts_together(tensors):
    """As Qwen3.5's mixtures are released: a layer's experts in two tensors."""
    out, parts = {}, {}
    for name, tensor in tensors.items():
        apart = re.match(r"(.*\.experts)\.(\d+)\.(gate|up|down)_proj\.weight", name)
        if apart:
            parts.setdefault(apart[1], {})[int(apart[2]), apart[3]] = tensor
        else:
            out[name] = tensor
    for name, of in parts.items():
        experts = range(len(of) // 3)
        out[name + ".gate_up_proj"] = torch.stack([torch.cat([of[e, "gate"], of[e, "up"]]) for e in experts])
        out[name + ".down_proj"] = torch.stack([of[e, "down"] for e in experts])
    return out


def mxfp4(tensors):
    """Every expert's matrix in blocks of 32 FP4 values with one scale each, as OpenAI released gpt-oss."""
    generator = torch.Generator().manual_seed(3)
    out = {}
    for name, tensor in tensors.items():
        if not name.endswith(("gate_up_proj", "down_proj")):
            out[name] = tensor
            continue
        experts, inputs, outputs = tensor.shape
        shape = (experts, outputs, inputs // 32)
        out[name + "_blocks"] = torch.randint(0, 256, (*shape, 16), generator=generator, dtype=torch.uint8)
        out[name + "_scales"] = torch.randint(121, 126, shape, generator=generator, dtype=torch.uint8)
    return out


def quantised(config):
    keep = ["model.layers.*.self_attn", "model.layers.*.mlp.router", "model.embed_tokens", "lm_head"]
    return {**config, "quantization_config": {"modules_to_not_convert": keep, "quant_method": "mxfp4"}}


def family(model_type, dtype=torch.bfloat16, change=None, wrapper=None, seed=7, files=None, **keys):
    """wrapper: (model_type, keys) of the config whose text_config this is. files: what is done to the file's tensors."""
    return dict(model_type=model_type, dtype=dtype, change=change, wrapper=wrapper, seed=seed, files=files,
                keys={**SHAPE, **keys})


GEMMA = dict(head_dim=8, query_pre_attn_scalar=20, sliding_window=8, attention_bias=True, pad_token_id=PAD, hidden_size=32)
EXPERTS = dict(num_experts_per_tok=2, router_aux_loss_coef=0.01)
DEEPSEEK = dict(n_routed_experts=6, n_group=3, topk_group=2, num_experts_per_tok=2, n_shared_experts=1,
                first_k_dense_replace=1, routed_scaling_factor=1.7, moe_intermediate_size=12)
FAMILIES = {
    "gemma2": family("gemma2", **GEMMA, attn_logit_softcapping=1.5, final_logit_softcapping=3.0, num_hidden_layers=3),
    "gemma3_text": family("gemma3_text", change=gemma3_spelling, **GEMMA, final_logit_softcapping=4.0,
                          attn_logit_softcapping=0.5, sliding_window_pattern=2, num_hidden_layers=3, rope_parameters={
                              S: dict(rope_type="default", rope_theta=100.0),
                              F: dict(rope_type="linear", factor=4.0, rope_theta=1000.0)}),
    "gemma3": family("gemma3_text", **{**GEMMA, "attention_bias": False}, layer_types=[S, S, F], num_hidden_layers=3,
                     wrapper=("gemma3", dict(vision_config={**VISION, "model_type": "siglip_vision_model"},
                                             mm_tokens_per_image=4, image_token_index=117, boi_token_index=115,
                                             eoi_token_index=116)),
                     rope_parameters={S: dict(rope_type="default", rope_theta=100.0),
                                      F: dict(rope_type="linear", factor=8.0, rope_theta=1000.0)}),
    "phi3": family("phi3", change=phi3_spelling, sliding_window=24, original_max_position_embeddings=32,
                   pad_token_id=PAD, eos_token_id=[2, 7], tie_word_embeddings=True,
                   rope_parameters={**LONGROPE, "partial_rotary_factor": 0.75}),
    "phi3_plain": family("phi3", num_key_value_heads=4, pad_token_id=PAD),
    "glm4": family("glm4", head_dim=12, attention_bias=True, pad_token_id=PAD, eos_token_id=[2, 7]),
    "granite": family("granite", attention_bias=True, mlp_bias=True, embedding_multiplier=3.0, attention_multiplier=0.21,
                      residual_multiplier=0.6, logits_scaling=0.7, tie_word_embeddings=True),
    "olmo2": family("olmo2", attention_bias=True, pad_token_id=PAD,
                    rope_parameters=dict(rope_type="default", rope_theta=500.0)),
    "olmo3": family("olmo3", sliding_window=8, num_hidden_layers=4, pad_token_id=PAD, rope_parameters={
        S: dict(rope_type="default", rope_theta=10000.0), F: {**YARN, "beta_fast": 1.0, "beta_slow": 0.15}}),
    "smollm3": family("smollm3", num_hidden_layers=4, attention_bias=True, mlp_bias=True, pad_token_id=PAD,
                      no_rope_layers=[1, 0, 1, 0], use_sliding_window=True, sliding_window=8),
    "ministral3": family("ministral3", seed=21, head_dim=12, pad_token_id=PAD, rope_parameters={
        **YARN, "original_max_position_embeddings": 16, "factor": 16.0, "beta_fast": 1.0, "beta_slow": 0.1, "mscale": 1.0,
        "mscale_all_dim": 1.0, "llama_4_scaling_beta": 0.4, "max_position_embeddings": 256}),
    "mistral3": family("ministral3", head_dim=12, pad_token_id=PAD, tie_word_embeddings=True, rope_parameters={
        **YARN, "original_max_position_embeddings": 16, "factor": 16.0, "mscale": 1.0, "mscale_all_dim": 1.0,
        "llama_4_scaling_beta": 0.3, "max_position_embeddings": 256},
        wrapper=("mistral3", dict(vision_config={**VISION, "model_type": "pixtral", "head_dim": 4}, image_token_index=117,
                                  tie_word_embeddings=True))),
    "mistral_yarn": family("mistral", torch.float32, old_spelling, seed=22, sliding_window=None,
                           tie_word_embeddings=True, head_dim=12,
                           rope_parameters={**YARN, "mscale": 0.7, "mscale_all_dim": 0.3, "beta_fast": 2.0,
                                            "beta_slow": 0.2}),
    "llama_dynamic": family("llama", max_position_embeddings=48, tie_word_embeddings=True,
                            rope_parameters=dict(rope_type="dynamic", rope_theta=10000.0, factor=3.0)),
    "qwen3_moe": family("qwen3_moe", seed=30, head_dim=8, attention_bias=True, num_hidden_layers=3, mlp_only_layers=[1],
                        **EXPERTS, num_experts=4, moe_intermediate_size=12, norm_topk_prob=False),
    "mixtral": family("mixtral", seed=29, **EXPERTS, num_local_experts=4, intermediate_size=12, sliding_window=8),
    "gpt_oss": family("gpt_oss", seed=39, **EXPERTS, num_local_experts=4, intermediate_size=12, head_dim=8, sliding_window=8,
                      rope_parameters={**YARN, "truncate": False, "beta_fast": 2.0, "beta_slow": 0.2}, swiglu_limit=1.5),
    "gpt_oss_mxfp4": family("gpt_oss", change=quantised, files=mxfp4, **EXPERTS, num_local_experts=4,
                            hidden_size=64, intermediate_size=32, head_dim=8, sliding_window=8, tie_word_embeddings=True,
                            rope_parameters={**YARN, "truncate": False}),
    "glm4_moe": family("glm4_moe", seed=39, **DEEPSEEK, head_dim=8, attention_bias=True, use_qk_norm=True,
                       num_nextn_predict_layers=0),
    "deepseek_v3": family("deepseek_v3", seed=24, **DEEPSEEK, q_lora_rank=16, kv_lora_rank=16, qk_rope_head_dim=8,
                          qk_nope_head_dim=8, v_head_dim=8, num_key_value_heads=4, attention_bias=True,
                          num_nextn_predict_layers=0,
                          rope_parameters={**YARN, "mscale": 1.0, "mscale_all_dim": 0.5, "beta_fast": 1.0,
                                           "beta_slow": 0.15}),
    "qwen3_5": family("qwen3_5_text", seed=34, files=next_token_module, head_dim=16, layer_types=[L, L, F],
                      num_hidden_layers=3, tie_word_embeddings=True, rms_norm_eps=1e-4, linear_num_key_heads=2,
                      linear_num_value_heads=4, linear_key_head_dim=8, linear_value_head_dim=8, attention_bias=True,
                      rope_parameters=dict(rope_type="default", rope_theta=100.0, partial_rotary_factor=0.5,
                                           mrope_section=[2, 1, 1], mrope_interleaved=True),
                      wrapper=("qwen3_5", dict(tie_word_embeddings=True, vision_config=dict(
                          depth=1, hidden_size=8, intermediate_size=8, num_heads=2, patch_size=4, out_hidden_size=32,
                          num_position_embeddings=4)))),
    "qwen3_5_moe": family("qwen3_5_moe_text", seed=42, change=all_sparse, head_dim=16,
                          files=lambda tensors: next_token_module(experts_together(tensors)),
                          layer_types=[F, L], num_hidden_layers=2, linear_num_key_heads=2, linear_num_value_heads=4,
                          linear_key_head_dim=8, linear_value_head_dim=8, **EXPERTS, num_experts=4,
                          moe_intermediate_size=12, shared_expert_intermediate_size=20,
                          rope_parameters=dict(rope_type="default", rope_theta=100.0, partial_rotary_factor=0.5,
                                               mrope_section=[2, 1, 1], mrope_interleaved=True),
                          wrapper=("qwen3_5_moe", dict(vision_config=dict(
                              depth=1, hidden_size=8, intermediate_size=8, num_heads=2, patch_size=4, out_hidden_size=32,
                              num_position_embeddings=4)))),
    "qwen3_5_moe_text": family("qwen3_5_moe_text", seed=34, change=all_sparse, files=experts_together, head_dim=16, layer_types=[L, F],
                               num_hidden_layers=2, linear_num_key_heads=2, linear_num_value_heads=2, linear_key_head_dim=8,
                               linear_value_head_dim=16, attention_bias=True, **EXPERTS, num_experts=4,
                               moe_intermediate_size=12, shared_expert_intermediate_size=12, tie_word_embeddings=True,
                               rope_parameters=dict(rope_type="default", rope_theta=100.0, partial_rotary_factor=0.25)),
    "lfm2": family("lfm2", layer_types=["conv", "conv", F, "conv"], num_hidden_layers=4, conv_bias=True,
                   norm_eps=1e-4, intermediate_size=40, block_multiple_of=8, block_ffn_dim_multiplier=1.2,
                   rope_parameters=dict(rope_type="default", rope_theta=100.0), pad_token_id=PAD,
                   tie_word_embeddings=False),
    "gemma4": family("gemma4_text", seed=18, hidden_size=32, intermediate_size=16, head_dim=8, global_head_dim=16,
                     num_global_key_value_heads=1, attention_k_eq_v=True, layer_types=[S, F, F],
                     num_hidden_layers=3, num_kv_shared_layers=1, hidden_size_per_layer_input=4,
                     vocab_size_per_layer_input=VOCAB, sliding_window=8, pad_token_id=PAD,
                     change=gemma4_spelling, files=keys_of_all_layers,
                     rope_parameters={S: dict(rope_type="default", rope_theta=100.0),
                                      F: dict(rope_type="proportional", rope_theta=1000.0, partial_rotary_factor=0.25)},
                     wrapper=("gemma4", dict(vision_config=dict(
                         hidden_size=8, intermediate_size=8, num_hidden_layers=1, num_attention_heads=2,
                         num_key_value_heads=2, head_dim=4, patch_size=4, position_embedding_size=16)))),
    "gemma4_text": family("gemma4_text", seed=19, hidden_size=32, intermediate_size=16, head_dim=8, global_head_dim=16,
                          layer_types=[S, F, S, F], num_hidden_layers=4, num_kv_shared_layers=2, use_double_wide_mlp=True,
                          hidden_size_per_layer_input=4, vocab_size_per_layer_input=VOCAB, sliding_window=8,
                          final_logit_softcapping=4.0, attention_bias=True, pad_token_id=PAD, rope_parameters={
                              S: dict(rope_type="default", rope_theta=100.0),
                              F: dict(rope_type="proportional", rope_theta=1000.0, partial_rotary_factor=0.5)}),
    "gemma4_moe": family("gemma4_text", seed=42, hidden_size=32, intermediate_size=16, head_dim=8, global_head_dim=16,
                         num_global_key_value_heads=1, attention_k_eq_v=True, layer_types=[S, F], num_hidden_layers=2,
                         hidden_size_per_layer_input=0, vocab_size_per_layer_input=VOCAB, sliding_window=8,
                         enable_moe_block=True, num_experts=4, top_k_experts=2, moe_intermediate_size=12,
                         pad_token_id=PAD, rope_parameters={
                             S: dict(rope_type="default", rope_theta=100.0),
                             F: dict(rope_type="proportional", rope_theta=1000.0, partial_rotary_factor=0.25)}),
}


class Double(TorchFunctionMode):
    """Casts to fp32 inside a model, as norms and softmax have, become casts to fp64."""

    def __torch_function__(self, func, types, args=(), kwargs=None):
        swap = lambda x: torch.float64 if x is torch.float32 else x
        kwargs = {k: swap(v) for k, v in (kwargs or {}).items()}
        args = tuple(swap(a) for a in args)
        if func is torch.Tensor.float:
            func = torch.Tensor.double
        return func(*args, **kwargs)


WIDTHS = {"sinks": 0.5, "e_score_correction_bias": 0.05, "conv1d": 0.6}  # standard deviations that are not 0.2


def randomise(model, seed):
    generator = torch.Generator().manual_seed(seed)
    for name, p in list(model.named_parameters()) + list(model.named_buffers()):
        noise = torch.randn(p.shape, generator=generator)
        last = name.split(".")[-1]
        if last in ("inv_freq", "original_inv_freq", "embed_scale") or last.endswith("_inv_freq") or p.dtype == torch.int64:
            continue
        if "norm" in name or last in ("scale", "per_expert_scale", "layer_scalar"):
            p.data = p.data.mean().round() + 0.3 * noise  # around 0 where the family adds 1, else around 1
            if last == "weight" and "k_norm" in name and "gemma4" in type(model.config).model_type:
                p.data *= 0.3  # as in released ones: nothing else divides the scores
        elif last in ("A_log", "dt_bias"):
            p.data = 0.5 * noise
        else:
            p.data = noise * next((w for part, w in WIDTHS.items() if part in name), 0.2)


def logp(model, ids):
    logits = model(input_ids=torch.tensor([ids])).logits[0]
    logits = logits if logits.dtype == torch.float64 else logits.float()
    return torch.log_softmax(logits[:-1], -1).gather(1, torch.tensor(ids[1:])[:, None])[:, 0]


def draw_sequences():
    generator = torch.Generator().manual_seed(1)
    return [torch.randint(0, PAD - 4, (length,), generator=generator).tolist() for length in (1, 2, 23, 100)]


def is_text(name):
    return not any(part in name for part in ("vision", "visual", "multi_modal", "mtp.", "audio"))


def routers(model):
    return [m for m in model.modules() if type(m).__name__.endswith("Router")]


def routing(model, sequences):
    """What the routers do on all tokens; asserts that a change of 3e-5 of their input changes no choice."""
    logits, chosen = [[] for _ in routers(model)], [[] for _ in routers(model)]
    busy = []

    def hook(layer):
        def run(module, args, output):
            if busy:
                return
            logits[layer].append(output[0])
            chosen[layer].append(output[2])
            busy.append(True)
            for seed in range(4):
                noise = torch.randn(args[0].shape, generator=torch.Generator().manual_seed(seed))
                again = module(args[0] * (1 + 3e-5 * noise))[2]
                assert torch.equal(again.sort(-1).values, output[2].sort(-1).values), "a router's choice is a close call"
            busy.clear()
        return run

    handles = [m.register_forward_hook(hook(i)) for i, m in enumerate(routers(model))]
    for ids in sequences:
        model(input_ids=torch.tensor([ids]))
    for h in handles:
        h.remove()
    logits, chosen = [torch.cat(x) for x in logits], [torch.cat(x) for x in chosen]
    experts, top = logits[0].shape[1], chosen[0].shape[1]
    out = {"router_logits_checksum": [
        {"sum": digits(x.double().sum()), "absolute": digits(x.double().abs().sum()),
         "chosen": torch.bincount(c.flatten(), minlength=experts).tolist()} for x, c in zip(logits, chosen)]}
    assert all(min(r["chosen"]) > 0 for r in out["router_logits_checksum"]), out
    if hasattr(model.config, "router_aux_loss_coef"):
        out["aux_loss"] = digits(load_balancing_loss_func(tuple(logits), experts, top))
    return out


def digits(x):
    return float(f"{float(x):.10g}")


def gradients(model, sequences):
    """By name on disk: transformers' own save writes the gradients as it writes the weights."""
    with Double():
        total = sum(logp(model, ids).sum() for ids in sequences)
        loss = -total / sum(len(ids) - 1 for ids in sequences)
        loss.backward()
    buffers = {name.split(".", 1)[-1] for name, _ in model.named_buffers()}
    with torch.no_grad():
        for p in model.parameters():
            p.copy_(torch.zeros_like(p) if p.grad is None else p.grad)
    out = {}
    with tempfile.TemporaryDirectory() as folder:
        model.save_pretrained(folder)
        for name, g in sorted(load_file(f"{folder}/model.safetensors").items()):
            if not is_text(name) or any(name.endswith(b) for b in buffers):
                continue
            name = name.removesuffix("_blocks")
            flat = g.double().flatten()
            i = torch.arange(1, flat.numel() + 1, dtype=torch.float64)
            out[name] = {"norm": digits(flat.norm()),
                         "projections": [digits((flat * torch.cos(0.7 * i * j)).sum()) for j in (1, 2, 3)]}
    return out


def open_model(folder, wrapper):
    kind = AutoModelForImageTextToText if wrapper else AutoModelForCausalLM
    quantised = "quantization_config" in json.load(open(f"{folder}/config.json"))
    extra = {"quantization_config": Mxfp4Config(dequantize=True)} if quantised else {}
    return kind.from_pretrained(folder, dtype=torch.float32, **EAGER, **extra).eval()


def write(name, entry, sequences):
    folder = f"{OUT}/{name}"
    shutil.rmtree(folder, ignore_errors=True)
    config = CONFIG_MAPPING[entry["model_type"]](**copy.deepcopy(entry["keys"]))
    if entry["wrapper"]:
        outer, keys = entry["wrapper"]
        config = CONFIG_MAPPING[outer](text_config=config, **copy.deepcopy(keys))
    kind = AutoModelForImageTextToText if entry["wrapper"] else AutoModelForCausalLM
    model = kind.from_config(config, **EAGER)
    randomise(model, entry["seed"])
    model.to(entry["dtype"])
    for m in routers(model):
        if hasattr(m, "e_score_correction_bias"):
            m.e_score_correction_bias = m.e_score_correction_bias.float()  # released so
    model.save_pretrained(folder)
    if entry["files"]:
        path = f"{folder}/model.safetensors"
        save_file(entry["files"](load_file(path)), path, {"format": "pt"})
    if entry["change"]:
        path = f"{folder}/config.json"
        changed = entry["change"](json.load(open(path)))
        json.dump(changed, open(path, "w"), indent=2)
    model = open_model(folder, entry["wrapper"])
    golden = {"parameters": sum(p.numel() for n, p in model.named_parameters() if is_text(n))}
    with torch.no_grad():
        golden["sequences"] = [{"ids": ids, "logprobs": [round(x, 7) for x in logp(model, ids).tolist()]}
                               for ids in sequences]
        golden.update(routing(model, sequences) if routers(model) else {})
    golden["gradients"] = gradients(model.double(), sequences)
    json.dump(golden, open(f"{folder}/golden.json", "w"))
    size = sum(os.path.getsize(f"{folder}/{file}") for file in os.listdir(folder)) // 1024
    print(name, golden["parameters"], size, "KB", golden["sequences"][2]["logprobs"][:3])


def main():
    torch.set_num_threads(1)
    logging.disable(logging.WARNING)
    transformers.utils.logging.disable_progress_bar()
    for name in sys.argv[1:] or FAMILIES:
        write(name, FAMILIES[name], draw_sequences())


if __name__ == "__main__":
    main()
