#!/usr/bin/env python3
# SPDX-FileCopyrightText: 2026 The Contrapunto Authors
# SPDX-License-Identifier: Apache-2.0
"""Checks that examples/features/*.cpp are examples/train_clip.cpp but for what they mark with `// NEW:`.

The comment at the head of each file is its own. Of what follows, every run of lines that differs must hold a mark, and
nothing may be left out without something marked in its place.
"""
import difflib
import pathlib
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
BASE = ROOT / "examples" / "train_clip.cpp"
MARK = "NEW:"


def body(path):
    """The numbered lines behind the comment at the head of a file."""
    lines = path.read_text().splitlines()
    first = next(i for i, line in enumerate(lines) if not line.startswith("//"))
    return first, lines[first:]


def faults(path):
    _, base = body(BASE)
    skipped, lines = body(path)
    for kind, a, b, c, d in difflib.SequenceMatcher(None, base, lines, autojunk=False).get_opcodes():
        if kind == "equal":
            continue
        if kind == "delete":
            yield f"{path.name}:{skipped + c + 1}: leaves out '{base[a].strip()}' of {BASE.name} without a mark"
        elif not any(MARK in line for line in lines[c:d]):
            yield f"{path.name}:{skipped + c + 1}: differs from {BASE.name} without '// {MARK}': '{lines[c].strip()}'"


def main():
    files = sorted((ROOT / "examples" / "features").glob("*.cpp"))
    found = [fault for file in files for fault in faults(file)]
    for fault in found:
        print(fault)
    print(f"{len(files)} feature examples, {len(found)} faults")
    return 1 if found or not files else 0


if __name__ == "__main__":
    sys.exit(main())
