#!/usr/bin/env python3
# SPDX-FileCopyrightText: 2026 The Contrapunto Authors
# SPDX-License-Identifier: Apache-2.0
"""Checks that the commands in the documentation name programs and settings that exist.

It looks at the blocks and spans of code of README.md and docs/**/*.md, at settings in blocks of TOML, and at the comments at the top of
recipes, job files and examples. The settings of each program are the lists in tests/surface, which a test compares with the programs.
Recipes, models and scripts that a command names must exist."""

import pathlib
import re
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
FLAGS = {path.name.removesuffix("_flags.txt"): set(path.read_text().split()) for path in (ROOT / "tests/surface").glob("*_flags.txt")}
# Of these programs, only the rest of the line after them is looked at.
LAUNCHERS = re.compile(r"scripts/launch|torchrun|mpirun|srun|nice")


def commands(path):
    """The commands of a file, each on one line."""
    text = path.read_text()
    if path.suffix == ".md":
        blocks = re.findall(r"^ *```(?:sh)?\n(.*?)^ *```", text, re.S | re.M) + re.findall(r"(?:^    .+\n)+", text, re.M)
        rest = re.sub(r"^ *```.*?^ *```", "", text, flags=re.S | re.M)
        spans = [span.replace("\n", " ") for span in re.findall(r"`([^`]+)`", rest)]
    else:
        head = re.match(r"(?:(?:#|//).*\n)*", text).group(0)
        blocks, spans = [re.sub(r"^(?:#|//) ?", "", head, flags=re.M)], []
    for block in blocks:
        for line in re.sub(r"\\\n\s*", " ", block).splitlines():
            yield line.strip()
    yield from spans


def faults(path):
    for command in commands(path):
        words = re.sub(r"\s#.*", "", command).split()
        names = [pathlib.PurePath(word).name for word in words]
        first = 0
        if words and LAUNCHERS.match(words[0]):
            first = next((i for i, name in enumerate(names) if name in FLAGS), len(words))
        if first >= len(words) or names[first] not in FLAGS:
            continue
        for word in words[first + 1:]:
            flag = re.match(r"--[a-z][\w-]*", word)
            known = FLAGS[names[first]]
            if flag and flag.group(0) not in known and flag.group(0).replace("--no-", "--", 1) not in known:
                yield f"'{command}': {names[first]} has no {flag.group(0)}"
        for word in words:
            if re.fullmatch(r"(examples|scripts|benchmarks)/[\w./-]+", word) and not (ROOT / word).exists():
                yield f"'{command}': {word} does not exist"


def unknown_settings(path):
    """The settings in blocks of TOML that no program has."""
    known = set().union(*FLAGS.values())
    for block in re.findall(r"^```toml\n(.*?)^```", path.read_text(), re.S | re.M):
        for name in re.findall(r"^([a-z][\w-]*) *=", block, re.M):
            if f"--{name}" not in known:
                yield f"no program has the setting '{name}'"


def main():
    pages = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
    heads = [path for kind in ("recipes/*.toml", "jobs/*", "*.cpp") for path in sorted((ROOT / "examples").glob(kind))]
    wrong = [f"{path.relative_to(ROOT)}: {fault}" for path in pages + heads for fault in faults(path)]
    wrong += [f"{path.relative_to(ROOT)}: {fault}" for path in pages for fault in unknown_settings(path)]
    if wrong:
        sys.exit("\n".join(wrong))


if __name__ == "__main__":
    main()
