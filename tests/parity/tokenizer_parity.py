"""Tokens of BpeTokenizer against open_clip's SimpleTokenizer, line by line, on a corpus made to be difficult.

usage: tokenizer_parity.py --driver PROGRAM [--lines N] [--seed N] [--show N]

The vocabulary is CONTRAPUNTO_BPE_VOCAB, or open_clip's own copy. Takes real captions and queries from
CONTRAPUNTO_DATA when it is set.
"""
import argparse
import collections
import gzip
import json
import os
import random
import struct
import subprocess
import sys
import tarfile
import tempfile
import time
import unicodedata
from html.entities import html5
from pathlib import Path

import ftfy
from open_clip.tokenizer import SimpleTokenizer, default_bpe

WORDS = """a photo of the small red dog cat on street in New York City's 2nd avenue, don't it's they're we've I'm she'll
he'd naïve café Ångström über straße façade mañana Łódź Škoda čeština élève œuvre Þórr İstanbul ısı ĳs ǆ ŉ ﬁne ﬂow ﬃ ﬅop
Привет мир Москва фотография собаки ёлка їжак ґанок щука ΟΔΥΣΣΕΥΣ Σίσυφος ΛΟΓΟΣ, σοφός Ελλάδα Άνθρωπος ΑΣ' Σ
صورة كلب العربية مرحبا ٣٤٥ שלום תמונה कुत्ते की तस्वीर नमस्ते สวัสดี ภาพสุนัข 一只猫的照片 日本語の写真 東京タワー カタカナ
ｶﾀｶﾅ ﾊﾟﾝ ＦＵＬＬ　ｗｉｄｔｈ １２３ ￦ 한국어 사진 고양이 Tiếng Việt ảnh chó Türkçe ağaç Română ţară Polski żółć ქართული հայերեն
😀 👨‍👩‍👧‍👦 🏳️‍🌈 🇩🇪 👍🏽 ❤️ ☕ ✈️ 🧑🏿‍🚀 🏴󠁧󠁢󠁷󠁬󠁳󠁿 “curly” ‘quotes’ l’été „unten“ «guillemets» — – … • ™ © ® ° ± × ÷ § ¶ £ € ¥ ½ ² ³ µ № ∞ ≈ ≠ √ ◊ ƒ
1234567890 3.14159 1e-5 $9.99 50% #tag @user foo_bar snake_case CamelCase don´t `code` C++ x² H₂O Ⅷ ⅳ ① Ⓐ ⓩ 𝔘𝔫𝔦 𝟘𝟙 ªº ſtreet 'ſ
<start_of_text> <end_of_text> <START_OF_TEXT> <ſtart_of_text> !!<start_of_text> https://example.com/?a=1&b=2 e-mail@example.org
ñ é Å ᄒ ́ ̈ ͅ ᾳ ɐ ʼ ‼ ﷺ ﬀ ﬆ ꜳ ᏸ ꭰ 𐐀 𞤀 ა Ა K Å Ω ẞ ϴ""".split()
ENTITIES = """&amp; &lt;b&gt; &quot;hi&quot; &#39; &#x27; &#8217; &#150; &#x80; &#0; &#x110000; &#99999999999; &#xD800; &eacute;
&EACUTE; &NBSP; &nbsp; &nbsp &copy &copy2024 &notit; &notin; &amp;amp; &amp;lt;i&amp;gt; &amp;amp;eacute; &;&#;&#x; &#x ; &bogus; &Jscr;
&hellip; &mdash; &rsquo; &ldquo;x&rdquo; &CounterClockwiseContourIntegral; &SZLIG; &FFLIG; &fjlig; &NewLine; &Tab; &#13; &#10; &#9; &#11; &#59;
&aMp; &AMP &LT;p&GT; &amp &ampx &uuml &uumlx; &frac12 &#65a; &thinsp; &zwj; &shy; &acE; &bne; <b>&amp;</b> AT&T R&D &#128512; &#x1F600""".split()
CODECS = "cp1252 latin-1 mac_roman cp437 cp1251 cp1250 cp1253 cp1254 cp1257 iso8859_2 sloppy-windows-1252 sloppy-windows-1251".split()
ESCAPES = ["\x1b[31m", "\x1b[0m", "\x1b[1;32;40mx\x1b[K", "\x1b[", "\x1b[٣m", "\x1b]0;t\x07", "\x9b31m"]
CONTROLS = ["\0", "\x07", "\x08", "\x0b", "\x0c", "\x1a", "\x1c", "\x1f", "\x7f", "\x80", "\x85", "\x92", "\x9f", "\xa0", "\xad",
            "\u200b", "\u200d", "\u200e", "\u2028", "\u2029", "\u206a", "\ufeff", "\ufff9", "\ufffc", "\ufffd", "\r", "\r\n", "\n", "\t"]  # fmt: skip
ASSIGNED = [c for c in map(chr, range(0x20000)) if unicodedata.category(c) not in ("Cn", "Cs", "Co")]
MOJIBAKE = [c for c in ASSIGNED if ord(c) < 0x2600 and any(c.encode(k, "ignore") for k in CODECS)]


def real_texts():
    """Captions and queries, if the data is there."""
    root = os.environ.get("CONTRAPUNTO_DATA")
    texts = []
    if not root:
        print("WARN: CONTRAPUNTO_DATA is not set; the corpus has no real captions and queries")
    else:
        with gzip.open(Path(root) / "code_pairs" / "test.jsonl.gz", "rt", encoding="utf-8") as lines:
            for line in lines:
                texts += [v for v in json.loads(line).values() if isinstance(v, str)]
        for path in sorted((Path(root) / "photos").glob("*.tar")):
            with tarfile.open(path) as tar:
                for member in tar:
                    if member.name.endswith(".txt"):
                        texts.append(tar.extractfile(member).read().decode("utf-8", "replace"))
    return texts or ["a photo of a cat"]


class Corpus:
    def __init__(self, seed):
        self.random = random.Random(seed)
        self.real = real_texts()

    def words(self, most=8):
        parts = self.random.choices(WORDS, k=self.random.randint(1, most))
        return self.random.choice([" ", " ", " ", "", "  ", "\t", "\n"]).join(parts)

    def mojibake(self, text):
        """UTF-8 read as something else, up to three times, perhaps with losses on the way."""
        for _ in range(self.random.choice([1, 1, 1, 2, 2, 3])):
            errors = self.random.choice(["replace", "ignore"])
            text = text.encode("utf-8", "replace").decode(self.random.choice(CODECS), errors)
        change = self.random.random()
        if change < 0.1:
            text = text.replace("\xa0", " ")
        elif change < 0.2:
            text = text.replace("\ufffd", "?")
        elif change < 0.25:
            text = text.upper() if change < 0.22 else text.lower()
        return text

    def make_words(self):
        return self.words()

    def make_normal_forms(self):
        return unicodedata.normalize(self.random.choice(["NFD", "NFKD", "NFC"]), self.words())

    def make_capitals(self):
        return self.random.choice([str.upper, str.title, str.swapcase])(self.words())

    def make_entities(self):
        return "".join(self.random.choices(ENTITIES + WORDS[:60] + [" "] * 20, k=self.random.randint(1, 8)))

    def make_named_entities(self):
        name = self.random.choice(sorted(html5))
        name = self.random.choice([str, str, str.upper, str.lower, str.swapcase])(name)
        name = name[: self.random.choice([99, 99, 99, -1, -2])]
        return f"{self.words(2)}&{self.random.choice(['', '', 'amp;'])}{name}{self.random.choice(['', ' ', ';', 'x', '='])}{self.words(2)}"

    def make_mojibake(self):
        return self.mojibake(self.words(5))

    def make_embedded_mojibake(self):
        parts = [self.random.choice([self.words, lambda n: self.mojibake(self.words(n))])(2) for _ in range(3)]
        return self.random.choice([" ", "", " - "]).join(parts)

    def make_mojibake_of_any_character(self):
        return self.mojibake("".join(self.random.choices(ASSIGNED[:3000], k=self.random.randint(1, 6))))

    def make_bad_sequences(self):
        alphabet = MOJIBAKE if self.random.random() < 0.5 else MOJIBAKE[:600]
        return "".join(self.random.choices(alphabet, k=self.random.randint(2, 12)))

    def make_mojibake_bytes(self):
        """Bytes that are nearly UTF-8, read as Latin-1 or Windows-1252."""
        pool = [0x0A, 0x1A, 0x20, 0x3F, 0x61, 0x80, 0x85, 0xA0, 0xA9, 0xB0, 0xBF, 0xC0, 0xC2, 0xC3, 0xD0, 0xE2, 0xE3, 0xED, 0xF0]
        raw = bytes(self.random.choices(pool, k=self.random.randint(2, 10)))
        ends = self.random.choice([b"", b"", b"\xc0\n", b"\xc3\xa9\xc0\n", b"\xed\xa0\x80\xed\xb0\n", b"\xed\xa0\xbd\xed\xb8\x80"])
        return (raw * self.random.choice([1, 1, 0]) + ends).decode(self.random.choice(["latin-1", "sloppy-windows-1252", "mac_roman"]))

    def make_any_characters(self):
        return "".join(self.random.choices(ASSIGNED, k=self.random.randint(1, 12)))

    def make_combining_marks(self):
        marks = [c for c in ASSIGNED[:8000] if unicodedata.combining(c)]
        return "".join(self.random.choice("aeiouAOlσш가") + "".join(self.random.choices(marks, k=self.random.randint(0, 4))) for _ in range(5))

    def make_sigmas(self):
        return "".join(self.random.choices("ΣΣΣΑσς .'\u00ad\u0301·ⓐⅧªʰ1-😀", k=self.random.randint(1, 12)))

    def make_controls(self):
        return "".join(self.random.choices(CONTROLS + ESCAPES + WORDS, k=self.random.randint(1, 10)))

    def make_lines(self):
        makers = [self.make_entities, self.make_mojibake, self.make_words, lambda: "<br>"]
        return self.random.choice(["\n", "\r\n", "\u2028"]).join(self.random.choice(makers)() for _ in range(4))

    def make_long_words(self):
        alphabet = self.random.choice(["ab", "aaah", "etaoinshrdlu", "猫犬", "αβγ", "!?", "😀👍"])
        return "".join(self.random.choices(alphabet, k=self.random.choice([40, 60, 300, 2000])))

    def make_invalid_bytes(self):
        raw = bytearray(self.words().encode("utf-8"))
        for _ in range(self.random.randint(1, 6)):
            at = self.random.randrange(len(raw) + 1)
            change = self.random.randrange(3)
            if change == 0:
                raw[at:at] = bytes(self.random.choices(range(0x80, 0x100), k=self.random.randint(1, 4)))
            elif change == 1:
                del raw[at : at + self.random.randint(1, 3)]
            elif at < len(raw):
                raw[at] = self.random.randrange(256)
        return bytes(raw)

    def make_random_bytes(self):
        return self.random.randbytes(self.random.randint(0, 20))

    def make_real(self):
        return self.random.choice(self.real)[:600]

    def make_damaged_real(self):
        text = self.random.choice(self.real)[:200] + self.random.choice(["", " “naïve” – café…"])
        return self.random.choice([self.mojibake, str.upper, lambda t: t.replace("'", "&#39;"), lambda t: t[::-1]])(text)

    def make_nothing(self):
        return self.random.choice(["", " ", "\n", "\0", "&#32;", "\u3000", "ͅ", "\ufeff", "'", "<", "&"])

    def texts(self, count):
        makers = [getattr(self, name) for name in sorted(dir(self)) if name.startswith("make_")]
        for i in range(count):
            maker = makers[i % len(makers)]
            text = maker()
            raw = text if isinstance(text, bytes) else text.encode("utf-8", "replace")
            yield maker.__name__[5:], raw


def records(path):
    data = Path(path).read_bytes()
    at = 0
    while at < len(data):
        (length,) = struct.unpack_from("<I", data, at)
        yield data[at + 4 : at + 4 + length]
        at += 4 + length


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--driver", required=True)
    parser.add_argument("--lines", type=int, default=12000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--show", type=int, default=10)
    args = parser.parse_args()
    vocabulary = os.environ.get("CONTRAPUNTO_BPE_VOCAB") or default_bpe()

    corpus = list(Corpus(args.seed).texts(args.lines))
    with tempfile.TemporaryDirectory() as folder:
        texts, ids, repaired = (os.path.join(folder, name) for name in ("texts", "ids", "repaired"))
        with open(texts, "wb") as file:
            for _, raw in corpus:
                file.write(struct.pack("<I", len(raw)) + raw)
        output = subprocess.run([args.driver, vocabulary, texts, ids, repaired], check=True, stdout=subprocess.PIPE, text=True).stdout
        our_ids = [list(struct.unpack(f"<{len(r) // 4}i", r)) for r in records(ids)]
        our_repaired = [r.decode("utf-8") for r in records(repaired)]
    assert len(our_ids) == len(our_repaired) == len(corpus)

    tokenizer = SimpleTokenizer(vocabulary)
    start = time.perf_counter()
    their_ids = [tokenizer.encode(raw.decode("utf-8", "replace")) for _, raw in corpus]
    python_rate = len(corpus) / (time.perf_counter() - start)
    counts, wrong_ids, wrong_repairs, shown = collections.Counter(), collections.Counter(), collections.Counter(), 0
    for (kind, raw), ours, theirs, repair in zip(corpus, our_ids, their_ids, our_repaired):
        counts[kind] += 1
        expected = ftfy.fix_text(raw.decode("utf-8", "replace"))
        wrong_ids[kind] += ours != theirs
        wrong_repairs[kind] += repair != expected
        if (ours != theirs or repair != expected) and shown < args.show:
            shown += 1
            print(f"{kind}: {raw!r}\n  ids    {ours[:40]}\n  expect {theirs[:40]}\n  repair {repair!a}\n  expect {expected!a}")
    for kind in sorted(counts):
        print(f"{kind:34} {counts[kind]:6} texts, {wrong_ids[kind]:4} with other ids, {wrong_repairs[kind]:4} repaired otherwise")
    rates = dict(line.split() for line in output.splitlines())
    print(f"texts per second: ours {float(rates['cold']):.0f} cold, {float(rates['warm']):.0f} warm; open_clip {python_rate:.0f}")
    print(f"{len(corpus)} texts, {sum(map(len, their_ids))} tokens: {sum(wrong_ids.values())} texts differ")
    return 1 if sum(wrong_ids.values()) + sum(wrong_repairs.values()) else 0


if __name__ == "__main__":
    sys.exit(main())
