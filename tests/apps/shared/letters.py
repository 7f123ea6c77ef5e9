"""letters.py FOLDER: a byte-level tokenizer of ASCII's letters alone, which fits in the 120 rows of the tiny families (tests/model/golden/families)."""
import json
import sys

pieces = ["<unk>", "<s>", "</s>"] + [chr(i) for i in range(33, 127)] + ["Ġ", "Ċ"]  # a space and a line's end, as byte-level pieces are written
added = [{"id": i, "content": pieces[i], "single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": True} for i in range(3)]
level = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True}
model = {"type": "BPE", "dropout": None, "unk_token": None, "continuing_subword_prefix": None, "end_of_word_suffix": None,
         "fuse_unk": False, "byte_fallback": False, "vocab": {p: i for i, p in enumerate(pieces)}, "merges": []}
tokenizer = {"version": "1.0", "truncation": None, "padding": None, "added_tokens": added, "normalizer": None, "pre_tokenizer": level,
             "post_processor": None, "decoder": level, "model": model}
json.dump(tokenizer, open(sys.argv[1] + "/tokenizer.json", "w"))
json.dump({"tokenizer_class": "PreTrainedTokenizerFast", "bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>"},
          open(sys.argv[1] + "/tokenizer_config.json", "w"))
