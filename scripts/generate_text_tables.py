#!/usr/bin/env python3
"""Writes the tables behind the text cleaning of BpeTokenizer, from Python's standard library.

usage: scripts/generate_text_tables.py [--check]

    unicode_tables.hpp      letters and numbers younger than Unicode 14 (needs the package `regex`)
    html_entity_table.hpp   named character references of HTML5 (html.entities)
    codec_tables.hpp   upper halves of single-byte encodings (codecs)

--check writes nothing and fails when a file differs from what would be written. Run it with CPython 3.11, whose
unicodedata is Unicode 14: a later version would leave out letters that older utf8proc libraries do not know.
"""
import html
import sys
import textwrap
import unicodedata
from html.entities import html5
from pathlib import Path

FOLDER = Path(__file__).resolve().parent.parent / "include" / "contrapunto" / "text" / "detail"
HEAD = """// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

// clang-format off
// Written by scripts/generate_text_tables.py{note}.
// Do not edit. A table, so long lines and more than 500 of them are allowed.

"""
TAIL = "\n}  // namespace contrapunto::detail\n"


def ranges(pattern):
    """Ranges of code points that `regex` matches and unicodedata calls unassigned."""
    import regex

    match = regex.compile(pattern).match
    found = []
    for c in range(0x110000):
        if unicodedata.category(chr(c)) == "Cn" and match(chr(c)):
            if found and found[-1][1] == c - 1:
                found[-1][1] = c
            else:
                found.append([c, c])
    return found


def range_array(name, pattern):
    rows = ", ".join(f"{{0x{a:X},~0x{b:X}}}" for a, b in ranges(pattern))
    body = "\n".join(textwrap.wrap(rows, 112, initial_indent="    ", subsequent_indent="    ")).replace("~", " ")
    return f"inline constexpr UnicodeRange {name}[] = {{\n{body}}};\n"


def unicode_tables():
    import regex

    note = f" with regex {regex.__version__} and Unicode {unicodedata.unidata_version}"
    return (
        HEAD.format(note=note)
        + "namespace contrapunto::detail {\n\nstruct UnicodeRange {\n  char32_t first;\n  char32_t last;\n};\n\n"
        + range_array("kYoungLetters", r"\p{L}")
        + "\n"
        + range_array("kYoungNumbers", r"\p{N}")
        + TAIL
    )


def code_points(text):
    return ",".join(f"{ord(c):x}" for c in text)


def html_entity_table():
    entries = []
    for name in sorted(n[:-1] for n in html5 if n.endswith(";")):
        value = html5[name + ";"]
        entry = name + ("*" if name in html5 else ":") + code_points(value)
        upper = f"&{name.upper()};"
        # An all-capitals spelling that HTML itself does not know; case-mapped values are given where they differ.
        if name == name.lower() and html.unescape(upper) == upper:
            entry += "^" + ("" if value.upper() == value else code_points(value.upper()))
        entries.append(entry)
    assert all(n.endswith(";") or n + ";" in html5 for n in html5)
    lines = textwrap.wrap(" ".join(entries), 112, break_long_words=False, break_on_hyphens=False)
    body = "\n".join(f'    "{line} "' for line in lines)
    return (
        HEAD.format(note="")
        + "#include <string_view>\n\nnamespace contrapunto::detail {\n\n"
        + "/// `name:value` in hexadecimal code points, each entry ended by a space. `*` for `:` when the name also counts\n"
        + "/// without a semicolon; `^value` when the name in capitals is understood too, empty if it means the same.\n"
        + f"inline constexpr std::string_view kHtmlEntities =\n{body};\n"
        + TAIL
    )


CODECS = [
    ("windows-1252", True), ("windows-1251", True), ("windows-1250", True), ("windows-1253", True),
    ("windows-1254", True), ("windows-1257", True), ("iso-8859-2", False), ("macroman", False), ("cp437", False),
]  # fmt: skip


def codec_tables():
    rows = []
    for name, sloppy in CODECS:
        upper = [bytes([b]).decode(name, "replace") for b in range(0x80, 0x100)]
        upper = [chr(b) if c == "\ufffd" else c for b, c in zip(range(0x80, 0x100), upper)]
        body = "".join(f"\\x{ord(c):x}" for c in upper)
        lines = textwrap.wrap(body.replace("\\", " \\"), 112)
        literal = "\n".join('     u"' + line.replace(" ", "") + '"' for line in lines)
        rows.append(f'    {{"{name}", {"true" if sloppy else "false"},\n{literal}}},')
    return (
        HEAD.format(note="")
        + "#include <string_view>\n\nnamespace contrapunto::detail {\n\n"
        + "/// Bytes 0x80 to 0xFF of a single-byte encoding; a byte the encoding leaves open stands for itself, as in Latin-1.\n"
        + "struct CodecTable {\n  std::string_view name;\n  bool windows;\n  std::u16string_view upper;\n};\n\n"
        + f"inline constexpr CodecTable kCodecTables[] = {{\n" + "\n".join(rows) + "\n};\n"
        + TAIL
    )


def main():
    check = sys.argv[1:] == ["--check"]
    if sys.argv[1:] and not check:
        sys.exit(__doc__)
    stale = []
    for make in (unicode_tables, html_entity_table, codec_tables):
        path = FOLDER / f"{make.__name__}.hpp"
        text = make()
        if not check:
            path.write_text(text)
        elif path.read_text() != text:
            stale.append(path.name)
    if stale:
        sys.exit(f"out of date: {', '.join(stale)}; run scripts/generate_text_tables.py")


if __name__ == "__main__":
    main()
