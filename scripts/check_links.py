#!/usr/bin/env python3
# SPDX-FileCopyrightText: 2026 The Contrapunto Authors
# SPDX-License-Identifier: Apache-2.0
"""Checks that the documentation has no dead relative links.

Every relative link and image in the Markdown files must name an existing file, and its anchor a heading of that file. Every
`docs/...` path in the code, its comments and its messages must exist as well. Links to other sites are not looked at."""

import pathlib
import re
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
PAGES = ["README.md", "CONTRIBUTING.md", "CHANGELOG.md", "SECURITY.md", ".github/pull_request_template.md"]
FOLDERS = ["include", "examples", "tests", "scripts", "benchmarks", "cmake"]
SUFFIXES = {".hpp", ".cpp", ".cu", ".cuh", ".py", ".sh", ".txt", ".cmake", ".toml", ".in", ""}


def without_code(text):
    """The page without its code blocks and code spans, in which nothing is a link."""
    return re.sub(r"`[^`\n]*`", "", re.sub(r"^```.*?^```", "", text, flags=re.S | re.M))


def anchors(path):
    """The anchors of the headings of a page, as GitHub makes them."""
    found = set()
    for heading in re.findall(r"^#+ +(.+?) *$", re.sub(r"^```.*?^```", "", path.read_text(), flags=re.S | re.M), re.M):
        text = re.sub(r"\[([^]]*)\]\([^)]*\)", r"\1", heading).lower()
        found.add(re.sub(r"[^\w\- ]", "", text).replace(" ", "-"))
    return found


def dead_links(page):
    """What is wrong with the links of one page."""
    for target in re.findall(r"\]\(<?([^)>\s]+)>?(?: \"[^\"]*\")?\)", without_code(page.read_text())):
        if re.match(r"[a-z]+:", target):
            continue
        name, _, anchor = target.partition("#")
        path = (page.parent / name).resolve() if name else page
        if not path.exists():
            yield f"the link '{target}' names no file"
        elif anchor and path.suffix == ".md" and anchor not in anchors(path):
            yield f"the link '{target}' names no heading"


def dead_paths(path):
    """The `docs/...` paths in a file of code that do not exist."""
    # A message that is split over two literals of C++ is one text.
    text = re.sub(r"\"\n\s*\"", "", path.read_text(errors="replace"))
    for name in re.findall(r"(?<![\w/.-])docs/[\w./-]*[\w/]", text):
        if not (ROOT / name).exists():
            yield f"'{name}' does not exist"


def main():
    pages = [ROOT / name for name in PAGES] + sorted((ROOT / "docs").rglob("*.md"))
    files = [ROOT / "CMakeLists.txt"]
    for folder in FOLDERS:
        files += [path for path in sorted((ROOT / folder).rglob("*")) if path.is_file() and path.suffix in SUFFIXES]
    faults = [f"{path.relative_to(ROOT)}: {fault}" for path in pages for fault in dead_links(path)]
    faults += [f"{path.relative_to(ROOT)}: {fault}" for path in files for fault in dead_paths(path)]
    if faults:
        sys.exit("\n".join(faults))


if __name__ == "__main__":
    main()
