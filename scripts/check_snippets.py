#!/usr/bin/env python3
"""Docs hold no code of their own: a C++ block that follows `<!-- snippet: NAME -->` in README.md or docs/*.md must be the
text between `// snippet: NAME` and `// snippet end` in a test. With --write the docs are brought up to date."""

import pathlib
import re
import sys
import textwrap

ROOT = pathlib.Path(__file__).resolve().parent.parent


def snippets():
    found = {}
    for path in sorted((ROOT / "tests").rglob("*.cpp")):
        for name, body in re.findall(r"^ *// snippet: (.+?)\n(.*?)^ *// snippet end$", path.read_text(), re.S | re.M):
            if name in found:
                sys.exit(f"{path}: snippet '{name}' stands in two tests")
            found[name] = textwrap.dedent(body)
    return found


def main():
    known, wrong = snippets(), []
    for path in [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]:
        text = path.read_text()
        for name in re.findall(r"<!-- snippet: (.+?) -->\n(?!```cpp\n)", text):
            sys.exit(f"{path.relative_to(ROOT)}: no ```cpp block follows the mark of snippet '{name}'")

        def replace(match):
            name = match.group(1)
            if name not in known:
                sys.exit(f"{path.relative_to(ROOT)}: no test has a snippet '{name}'")
            return f"<!-- snippet: {name} -->\n```cpp\n{known[name]}```"

        fresh = re.sub(r"<!-- snippet: (.+?) -->\n```cpp\n(.*?)```", replace, text, flags=re.S)
        if fresh != text:
            if "--write" in sys.argv:
                path.write_text(fresh)
            else:
                wrong.append(str(path.relative_to(ROOT)))
    if wrong:
        sys.exit(f"snippets differ from the tests in: {', '.join(wrong)}; run scripts/check_snippets.py --write")


if __name__ == "__main__":
    main()
