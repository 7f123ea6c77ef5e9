"""Small trained tokenizers of every style, and what the `tokenizers` package and SentencePiece make of hard lines.

Writes tests/text/golden/tokenizers/<style>/: the tokenizer's files and expected.jsonl, an object for each
line of text in lines.hex (bytes, as hexadecimal digits):
  full    ids with begin and end tokens, special tokens parsed
  plain   ids without them, special tokens not parsed (left out when `full` less begin and end is the same)
  text    what `full` decodes to, special tokens hidden (left out when that is the line itself)

Usage: tokenizers_goldens.py   (deterministic; needs tokenizers and sentencepiece)
"""
import json, pathlib, shutil

import sentencepiece
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
from tokenizers_lines import WORDS, hard_lines

TARGET = pathlib.Path(__file__).resolve().parents[2] / "tests/text/golden/tokenizers"
LLAMA3 = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
PROSE = """A tokenizer cuts text into pieces and gives each piece a number. The pieces that come up often are long and the
rare ones are short. When the train left at 12:45 there were 340 people on it; 25 of them got off at the first stop.
She isn't sure whether they'll come, but he's certain that we've been there before. def main(argv): return len(argv) + 1
Where is the library? It is behind the old town hall, next to the bakery that sells bread, rolls and cakes.""".split("\n")
BYTES = [chr(c) for c in sorted({*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100), *range(0x100, 0x144)})]


def corpus():
    return PROSE * 6 + WORDS * 2 + [x.decode("utf-8", "replace") for x in hard_lines(400, seed=11)]


def special(content, **flags):
    return AddedToken(content, special=True, normalized=False, **flags)


def train(tokenizer, size, alphabet=(), first=(), limit=None):
    options = {"limit_alphabet": limit} if limit else {}
    tokenizer.train_from_iterator(corpus(), trainers.BpeTrainer(vocab_size=size, initial_alphabet=list(alphabet), special_tokens=list(first), show_progress=False, **options))
    return tokenizer


def template(tokenizer, before, after=""):
    names = [x for x in (before, after) if x]
    single = " ".join(x for x in (before, "$A", after) if x)
    return processors.TemplateProcessing(single, f"{single} $B", [(x, tokenizer.token_to_id(x)) for x in names])


def gpt2():
    t = Tokenizer(models.BPE())
    t.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True)
    t.decoder = decoders.ByteLevel()
    train(t, 400, BYTES, ["<s>", "</s>", "<|endoftext|>"])
    t.post_processor = processors.RobertaProcessing(("</s>", 1), ("<s>", 0))
    return t, {"bos_token": "<s>", "eos_token": {"content": "</s>"}, "pad_token": "<|endoftext|>"}


def llama3():
    t = Tokenizer(models.BPE(ignore_merges=True))
    split = pre_tokenizers.Split(Regex(LLAMA3), "isolated")
    t.pre_tokenizer = pre_tokenizers.Sequence([split, pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])
    t.decoder = decoders.ByteLevel()
    train(t, 450, BYTES)
    t.add_special_tokens([special(x) for x in ["<|begin_of_text|>", "<|eot_id|>", "<|im_start|>", "<|im_end|>"]])
    t.post_processor = processors.Sequence([processors.ByteLevel(trim_offsets=False), template(t, "<|begin_of_text|>")])
    return t, {"bos_token": "<|begin_of_text|>", "eos_token": "<|eot_id|>"}


def qwen():
    t = Tokenizer(models.BPE())
    t.normalizer = normalizers.NFC()
    split = pre_tokenizers.Split(Regex(LLAMA3.replace("{1,3}", "")), "isolated")
    t.pre_tokenizer = pre_tokenizers.Sequence([split, pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])
    t.decoder = decoders.ByteLevel()
    train(t, 420, BYTES)
    t.add_special_tokens([special("<|endoftext|>"), special("<|im_start|>", lstrip=True), special("<|im_end|>", rstrip=True),
                          special("<|user|>", lstrip=True, rstrip=True), special("[MASK]", single_word=True)])
    t.add_tokens([AddedToken("<think>"), AddedToken("</think>", normalized=False), AddedToken("wort", single_word=True),
                  AddedToken("é"), AddedToken("   ")])
    return t, {"eos_token": "<|im_end|>", "pad_token": "<|endoftext|>"}


def smollm():
    t = Tokenizer(models.BPE())
    t.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.Digits(True), pre_tokenizers.ByteLevel(add_prefix_space=False)])
    t.decoder = decoders.ByteLevel()
    train(t, 400, BYTES, ["<|endoftext|>", "<|im_start|>", "<|im_end|>"])
    return t, {"bos_token": "<|im_start|>", "eos_token": "<|im_end|>"}


def deepseek():
    t = Tokenizer(models.BPE())
    t.pre_tokenizer = pre_tokenizers.Sequence([
        pre_tokenizers.Split(Regex(r"\p{N}{1,3}"), "isolated"), pre_tokenizers.Split(Regex("[一-龥\u3040-ゟ゠-ヿ]+"), "isolated"),
        pre_tokenizers.Split(Regex(r"[!\"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+| ?[\p{P}\p{S}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"), "isolated"),
        pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])
    t.decoder = decoders.ByteLevel()
    train(t, 400, BYTES)
    t.add_special_tokens([special("<｜end▁of▁sentence｜>"), special("<s>")])
    t.add_tokens([AddedToken("<think>", normalized=False)])
    t.post_processor = template(t, "<s>", "<｜end▁of▁sentence｜>")
    return t, {"bos_token": "<s>", "eos_token": "<｜end▁of▁sentence｜>"}


def byte_fallback(t):
    """Byte tokens right after the special ones."""
    data = json.loads(t.to_str())
    old, n = data["model"]["vocab"], len(data["added_tokens"])
    order = sorted(old, key=old.get)
    names = order[:n] + [f"<0x{b:02X}>" for b in range(256)] + order[n:]
    data["model"] |= {"vocab": {x: i for i, x in enumerate(names)}, "byte_fallback": True, "fuse_unk": True, "unk_token": "<unk>"}
    return Tokenizer.from_str(json.dumps(data))


def llama_legacy():
    t = Tokenizer(models.BPE(unk_token="<unk>"))
    t.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    t.pre_tokenizer = pre_tokenizers.Metaspace("▁", prepend_scheme="never")  # for training only
    train(t, 300, first=["<unk>", "<s>", "</s>"], limit=120)
    t.pre_tokenizer = None
    t = byte_fallback(t)
    t.decoder = decoders.Sequence([decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)])
    t.post_processor = template(t, "<s>", "</s>")
    return t, {"bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>"}


def metaspace():
    t = Tokenizer(models.BPE(unk_token="<unk>", fuse_unk=True))
    t.pre_tokenizer = pre_tokenizers.Metaspace("▁", prepend_scheme="first")
    t.decoder = decoders.Metaspace("▁", prepend_scheme="first")
    train(t, 300, first=["<unk>", "<s>", "</s>"], limit=150)
    t.post_processor = processors.BertProcessing(("</s>", 2), ("<s>", 1))
    return t, {"bos_token": "<s>", "eos_token": "</s>"}


def words():
    """What few language models use: the other normalisers, splits and behaviours, suffixes."""
    t = Tokenizer(models.BPE(unk_token="<unk>", end_of_word_suffix="</w>", continuing_subword_prefix="##"))
    t.normalizer = normalizers.Sequence([normalizers.NFKD(), normalizers.Lowercase(), normalizers.Replace(Regex(r"\s+"), " "), normalizers.Strip(True, True)])
    t.pre_tokenizer = pre_tokenizers.Sequence([
        pre_tokenizers.Split(Regex("[xq]"), "merged_with_previous"), pre_tokenizers.Split("-", "merged_with_next"),
        pre_tokenizers.Digits(False), pre_tokenizers.Punctuation("contiguous"), pre_tokenizers.Whitespace(),
        pre_tokenizers.Split(Regex("e"), "contiguous", invert=True)])
    t.decoder = decoders.BPEDecoder("</w>")
    trainer = trainers.BpeTrainer(vocab_size=350, limit_alphabet=100, special_tokens=["<unk>", "<s>"], end_of_word_suffix="</w>", continuing_subword_prefix="##", show_progress=False)
    t.train_from_iterator(corpus(), trainer)
    t.add_tokens([AddedToken("Hello", normalized=True), AddedToken("WORLD", normalized=False)])
    t.post_processor = template(t, "<s>")
    return t, {"bos_token": "<s>"}


def nfkc_bytes():
    """The byte-level alphabet as a normaliser, white space split off, no decoder."""
    t = Tokenizer(models.BPE())
    t.normalizer = normalizers.Sequence([normalizers.NFKC(), normalizers.ByteLevel()])
    t.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.Split("Ġ", "merged_with_next"), pre_tokenizers.WhitespaceSplit()])
    train(t, 360, BYTES)
    t.add_special_tokens([special("<|endoftext|>")])
    t.add_tokens([AddedToken("ﬁ")])
    return t, {"eos_token": "<|endoftext|>"}


def lines():
    out = [x for x in hard_lines() if len(x) <= 100]
    return out[:8] + out[8:400:5]


def repaired(raw):
    return raw.decode("utf-8", "replace")


def write(folder, rows):
    (folder / "expected.jsonl").write_text("".join(json.dumps(r, ensure_ascii=True, separators=(",", ":")) + "\n" for r in rows))
    print(folder.name, sum(f.stat().st_size for f in folder.iterdir()) // 1024, "KB")


def json_style(make):
    tokenizer, config = make()
    folder = TARGET / make.__name__
    folder.mkdir(parents=True)
    data = json.loads(tokenizer.to_str())
    if make in (gpt2, qwen):
        data["model"]["merges"] = [" ".join(m) for m in data["model"]["merges"]]
    (folder / "tokenizer.json").write_text(json.dumps(data, ensure_ascii=False, separators=(",", ":")))
    (folder / "tokenizer_config.json").write_text(json.dumps(config))
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    rows = []
    for raw in lines():
        tokenizer.encode_special_tokens = False
        full, inner = (tokenizer.encode(repaired(raw), add_special_tokens=x).ids for x in (True, False))
        tokenizer.encode_special_tokens = True
        plain = tokenizer.encode(repaired(raw), add_special_tokens=False).ids
        row = {"full": full}
        if plain != inner:
            row["plain"] = plain
        text = tokenizer.decode(full, skip_special_tokens=True)
        if text != repaired(raw):
            row["text"] = text
        rows.append(row)
    write(folder, rows)


def spm_style(name, config, **options):
    folder = TARGET / name
    folder.mkdir(parents=True)
    sentencepiece.SentencePieceTrainer.train(sentence_iterator=iter(PROSE * 20 + WORDS), model_prefix=str(folder / "tokenizer"),
                                             minloglevel=2, num_threads=1, **options)
    (folder / "tokenizer.vocab").unlink()
    (folder / "tokenizer_config.json").write_text(json.dumps(config))
    sp = sentencepiece.SentencePieceProcessor(str(folder / "tokenizer.model"))
    rows = []
    for raw in lines():
        plain = sp.encode(repaired(raw))
        # transformers 5 puts the begin token there only where the config says so.
        row = {"full": [sp.bos_id()] * config.get("add_bos_token", False) + plain, "plain": plain}
        text = sp.decode(plain)
        if text != repaired(raw):
            row["text"] = text
        rows.append(row)
    write(folder, rows)


if __name__ == "__main__":
    shutil.rmtree(TARGET, ignore_errors=True)
    TARGET.mkdir(parents=True)
    (TARGET / "lines.hex").write_text("".join(x.hex() + "\n" for x in lines()))
    for make in (gpt2, llama3, qwen, smollm, deepseek, llama_legacy, metaspace, words, nfkc_bytes):
        json_style(make)
    rules = TARGET / "rules.tsv"
    rules.write_text("".join(f"{a}\t{b}\n" for a, b in [("FB01", "66 69"), ("2167", "56 49 49 49"), ("65 301", "E9"), ("3000", "20"), ("A0", "20"), ("41", "61")]))
    spm_style("spm_bpe", {"add_bos_token": True}, vocab_size=700, model_type="bpe", byte_fallback=True, normalization_rule_name="identity",
              split_digits=True, user_defined_symbols="<think>,▁▁", control_symbols="<|im_end|>", character_coverage=0.98, remove_extra_whitespaces=False)
    spm_style("spm_unigram", {}, vocab_size=500, model_type="unigram", normalization_rule_tsv=str(rules), pad_id=3, character_coverage=0.98, hard_vocab_limit=False)
    rules.unlink()
