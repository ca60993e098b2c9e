#!/usr/bin/env python3
# SPDX-FileCopyrightText: 2026 The Contrapunto Authors
# SPDX-License-Identifier: Apache-2.0
"""Checks that the C++ code in the documentation is code that is compiled and run.

A C++ block after `<!-- snippet: NAME -->` in README.md or docs/**/*.md must equal the text between `// snippet: NAME` and
`// snippet end` in a file of tests/ or examples/. With --write the blocks are updated from those files."""

import pathlib
import re
import sys
import textwrap

ROOT = pathlib.Path(__file__).resolve().parent.parent


def snippets():
    """The text of every snippet by its name."""
    found, places = {}, {}
    for path in sorted([*(ROOT / "tests").rglob("*.cpp"), *(ROOT / "examples").rglob("*.cpp")]):
        place, name, lines = path.relative_to(ROOT), None, []
        for line in path.read_text().splitlines(keepends=True):
            mark = re.fullmatch(r" *// snippet(?:: (.+)| (end))\n", line)
            if not mark:
                lines.append(line)
            elif mark.group(2):
                if name is None:
                    sys.exit(f"{place}: a snippet ends that did not begin")
                found[name], name = textwrap.dedent("".join(lines)), None
            else:
                if name is not None:
                    sys.exit(f"{place}: snippet '{name}' has no '// snippet end' before the next one begins")
                name, lines = mark.group(1), []
                if name in places:
                    sys.exit(f"{place}: {places[name]} has a snippet '{name}' too")
                places[name] = place
        if name is not None:
            sys.exit(f"{place}: snippet '{name}' has no '// snippet end'")
    return found


def main():
    known, wrong = snippets(), []
    for path in [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]:
        place, text = path.relative_to(ROOT), path.read_text()
        for name in re.findall(r"<!-- snippet: (.+?) -->\n(?!```cpp\n)", text):
            sys.exit(f"{place}: no ```cpp block follows the mark of snippet '{name}'")

        def replace(match):
            name = match.group(1)
            if name not in known:
                sys.exit(f"{place}: no file of tests/ or examples/ has a snippet '{name}'")
            return f"<!-- snippet: {name} -->\n```cpp\n{known[name]}```"

        fresh = re.sub(r"<!-- snippet: (.+?) -->\n```cpp\n(.*?)```", replace, text, flags=re.S)
        if fresh != text:
            if "--write" in sys.argv:
                path.write_text(fresh)
            else:
                wrong.append(str(place))
    if wrong:
        sys.exit(f"snippets differ from their sources in: {', '.join(wrong)}; run scripts/check_snippets.py --write")


if __name__ == "__main__":
    main()
