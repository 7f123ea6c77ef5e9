"""Compares Temper's token ids and texts with the `tokenizers` package and with SentencePiece, line by line.

Usage: HF_HUB_OFFLINE=1 tokenizers_parity.py [--driver build/bin/text_test] [--all-characters] FOLDER...
A folder holds tokenizer.json or tokenizer.model (see tokenizers_real.py). Every line is encoded with special tokens
parsed and not parsed, with begin and end tokens and without, and decoded with special tokens shown and hidden.
"""
import argparse, json, os, pathlib, subprocess, sys, tempfile, time

from tokenizers import Tokenizer
from tokenizers_lines import hard_lines

MODES = [(add, parse) for add in (False, True) for parse in (False, True)]


def temper(driver, folder, lines):
    """ids and decoded texts of each line in each mode, by the `oracle driver` test case."""
    with tempfile.TemporaryDirectory() as tmp:
        source, target = pathlib.Path(tmp) / "in", pathlib.Path(tmp) / "out"
        source.write_text("".join(line.hex() + "\n" for line in lines))
        env = os.environ | {"TEMPER_TOKENIZER": str(folder), "TEMPER_INPUT": str(source), "TEMPER_OUTPUT": str(target)}
        subprocess.run([driver, "-tc=oracle driver", "--no-skip"], env=env, check=True, stdout=subprocess.DEVNULL)
        return [json.loads(line) for line in target.read_text().split("\n")[:-1]]


def expected_json(folder, lines):
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    texts = [line.decode("utf-8", "replace") for line in lines]
    out = [[] for _ in lines]
    for add, parse in MODES:
        tokenizer.encode_special_tokens = not parse
        for slot, text in zip(out, texts):
            ids = tokenizer.encode(text, add_special_tokens=add).ids
            slot.append([ids, tokenizer.decode(ids, skip_special_tokens=False), tokenizer.decode(ids, skip_special_tokens=True)])
    return out


def expected_spm(folder, lines):
    """Text between special tokens, piece by piece; user text never yields one."""
    import sentencepiece
    sp = sentencepiece.SentencePieceProcessor(str(folder / "tokenizer.model"))
    out = []
    for line in lines:
        ids = sp.encode(line.decode("utf-8", "replace"))
        text = sp.decode(ids)
        out.append([[ids, None, text], None, [[sp.bos_id()] + ids, None, text], None])
    return out


def differences(folder, driver, lines):
    spm = not (folder / "tokenizer.json").exists()
    got = temper(driver, folder, lines)
    want = (expected_spm if spm else expected_json)(folder, lines)
    bad = []
    for line, g, w in zip(lines, got, want):
        for mode, (a, b) in enumerate(zip(g, w)):
            if b is not None and any(x != y for x, y in zip(a, b) if y is not None):
                bad.append((line, MODES[mode], a, b))
    return bad


def all_character_lines():
    chars = [chr(c) for c in range(0x110000) if not 0xD800 <= c < 0xE000]
    for i in range(0, len(chars), 400):
        yield "a".join(chars[i : i + 400]).encode()
        yield " ".join(chars[i : i + 400]).encode()
        yield "".join(chars[i : i + 400]).encode()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folders", nargs="*")
    parser.add_argument("--driver", default="build/bin/text_test")
    parser.add_argument("--all-characters", action="store_true", help="every code point instead of the hard lines")
    args = parser.parse_args()
    folders = args.folders or sorted((pathlib.Path.home() / ".cache/temper/oracle-data/tokenizers").glob("*"))
    lines = list(all_character_lines()) if args.all_characters else hard_lines()
    failed = 0
    for folder in map(pathlib.Path, folders):
        start = time.time()
        bad = differences(folder, args.driver, lines)
        failed += len(bad)
        print(f"{folder.name:14} {len(lines)} lines x {len(MODES)} modes: {len(bad)} differ  ({time.time() - start:.1f} s)")
        for line, mode, got, want in bad[:5]:
            print("   ", mode, repr(line.decode("utf-8", "replace"))[:200])
            for a, b in zip(got, want):
                if b is not None and a != b:
                    print("      got ", repr(a)[:300]), print("      want", repr(b)[:300])
    sys.exit(failed > 0)
