"""2,000 lines of text that tokenizers stumble over; the same ones every time. As bytes: some are invalid UTF-8."""
import random

WORDS = """Hello world the quick brown fox isn't we're they'LL I'D don't You'Ve naïve café façade coöperate Größe Straße ÜBER
Привет мир съешь ещё этих мягких французских булок Γειά σου Κόσμε ﬁnance ﬀ Ⅷ ½ ²³ ① ㍿ 日本語のテキスト 東京特許許可局 カタカナ ｶﾀｶﾅ
中文分词测试 繁體中文 한국어 토크나이저 안녕하세요 ภาษาไทย สวัสดีชาวโลก नमस्ते दुनिया বাংলা தமிழ் తెలుగు ქართული Հայերեն አማርኛ
مرحبا بالعالم שלום עולם اردو فارسی Tiếng Việt ngôn ngữ Türkçe İstanbul ışık Ægir þorn œuvre ŉ ſ K Å Ω ﷺ 𝔘𝔫𝔦𝔠𝔬𝔡𝔢 𝒜 ℝ ∑∏∫ ≠ ≤
def return lambda self.__init__ std::vector<int> #include </div> <p> &nbsp; {"key": [1, 2.5e-3, null]} SELECT * FROM x WHERE a='b';
for(i=0;i<n;++i){ a[i]+=b; } \\frac{1}{2} $x^2$ https://example.com/a?b=c&d=%20e user@host.org 192.168.0.1 2024-02-30T12:34:56Z""".split()
EMOJI = ["😀", "👍🏽", "👩‍👩‍👧‍👦", "🏳️‍🌈", "🇩🇪🇫🇷", "❤️", "❤", "🧑🏿‍🚀", "1️⃣", "☠️", "👁️‍🗨️", "🫠", "🪿", "\U0001FAE8"]
MARKS = ["\u0301", "\u0308", "\u0327", "\u0323", "\u0300", "\u0345", "\u05b0", "\u064b", "\u093c", "\u20dd", "\u0334", "\u1ab0"]
SPACES = [" ", "  ", "   ", "\t", "\n", "\r\n", "\r", "\n\n\n", "\u00a0", "\u2003", "\u3000", "\u200b", "\ufeff", "\u2028", "\x0b", "\x0c", "\x85", " \n ", "\t\t  "]
SPECIAL = ["<|endoftext|>", "<|im_start|>", "<|im_end|>", "<s>", "</s>", "<unk>", "<|eot_id|>", "<|begin_of_text|>", "[INST]", "[/INST]",
           "<think>", "</think>", "<tool_call>", "<0x0A>", "<0x41>", "<|fim_prefix|>", "<|user|>", "[MASK]", "wort", "<|im_start", "im_end|>",
           "<|IM_END|>", "< s >", "<｜end▁of▁sentence｜>", "▁", "▁▁", "Ġ", "Ċ", "<|", "|>", "<||>", "<pad>", "[CLS]", "<SPECIAL_11>", "<|reserved_special_token_5|>"]
INVALID = [b"\xff", b"\xc3", b"\xe4\xbd", b"\xf0\x9f\x98", b"\xed\xa0\x80", b"\xc0\x80", b"\xf4\x90\x80\x80", b"\x80\x80", b"\xe4\xbdA", b"\xf8\x88"]


def any_char(r):
    while True:
        c = r.choice([r.randrange(0x20, 0x7F), r.randrange(0xA0, 0x800), r.randrange(0x800, 0x10000), r.randrange(0x10000, 0x110000), r.randrange(0x1F000, 0x20000)])
        if not 0xD800 <= c < 0xE000:
            return chr(c)


def line(r, kind):
    words = lambda n: " ".join(r.choice(WORDS) for _ in range(r.randint(1, n)))
    if kind == 0:
        return words(20)
    if kind == 1:  # numbers
        return "".join(r.choice(["", " ", "-", "$", "+", "%", "e", ",", "."]) + str(r.randrange(10 ** r.randint(1, 14))) for _ in range(r.randint(1, 8)))
    if kind == 2:  # white space
        return "".join(r.choice(SPACES) * r.randint(0, 4) + r.choice([r.choice(WORDS), "", "."]) for _ in range(r.randint(1, 10)))
    if kind == 3:
        return "".join(r.choice([r.choice(EMOJI), r.choice(EMOJI), r.choice(WORDS), " ", "\u200d", "\ufe0f"]) for _ in range(r.randint(1, 12)))
    if kind == 4:  # look-alikes of special tokens
        return "".join(r.choice([r.choice(SPECIAL), r.choice(SPECIAL), r.choice(WORDS), " ", "\n", "  "]) for _ in range(r.randint(1, 10)))
    if kind == 5:  # combining marks and unstable normal forms
        return "".join(r.choice("aeiouAEIOUncszyעשकকㄱ가각") + "".join(r.choice(MARKS) for _ in range(r.randint(0, 4))) for _ in range(r.randint(1, 15)))
    if kind == 6:  # long runs
        return r.choice([*"a =-#_.\n\t", "ab", "の", "😀", "--", "é", "0", "\u0301"]) * r.randint(1, 300)
    if kind == 7:  # control characters
        return "".join(r.choice([chr(r.randrange(0x20)), chr(r.randrange(0x7F, 0xA0)), "\u202e", "\u2066", "\u00ad", r.choice(WORDS)]) for _ in range(r.randint(1, 12)))
    if kind == 8:  # any characters at all
        return "".join(any_char(r) for _ in range(r.randint(1, 60)))
    if kind == 9:  # code
        return "\n".join("    " * r.randint(0, 4) + r.choice(["if x == 1:", "return {'a': [1,2]}", "// näh", "}\r", "\tfoo(bar);", "x+=1;;", "#!@$%^&*()", "```python"]) for _ in range(r.randint(1, 6)))
    if kind == 10:  # contractions and case
        return " ".join(r.choice(["I", "you", "IT", "ſ", "we", "'", "x"]) + r.choice(["'s", "'S", "'ll", "'LL", "'Re", "’s", "'", "''t", "'ve'd", "'ſ"]) for _ in range(r.randint(1, 8)))
    return "".join(r.choice(WORDS + SPACES + SPECIAL + EMOJI) for _ in range(r.randint(1, 25)))


def hard_lines(count=2000, seed=7):
    r = random.Random(seed)
    lines = [b"", b" ", b"\n", b"\x00", "▁".encode(), b"  a", b"a  ", "\ufffd".encode()]
    while len(lines) < count:
        kind = len(lines) % 13
        if kind == 12:  # invalid UTF-8
            raw = b"".join(r.choice([r.choice(INVALID), r.choice(WORDS).encode(), b" "]) for _ in range(r.randint(1, 8)))
        else:
            raw = line(r, kind).encode()
        lines.append(raw)
    return lines
