#!/usr/bin/env python3
# SPDX-FileCopyrightText: 2026 The Contrapunto Authors
# SPDX-License-Identifier: Apache-2.0
"""Checks that each folder's umbrella header includes all headers of the folder except those in detail/, and that
contrapunto.hpp includes all umbrellas.

A header that needs a CMake component is included by its umbrella inside `#ifdef CONTRAPUNTO_HAS_<COMPONENT>`. Where
the folder has detail/without_<component>.hpp, that is included otherwise; it says which component to link. With
--write the umbrellas are rewritten.
"""
import argparse
import pathlib
import re
import sys
import tempfile

HEAD = """// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once
"""
NEEDS = re.compile(r"^#\s*ifndef (CONTRAPUNTO_HAS_\w+)\s*\n#\s*error", re.MULTILINE)
INCLUDE = re.compile(r'^#\s*include "(contrapunto/[^"]+)"', re.MULTILINE)


def needs(root, header, seen=frozenset()):
    """The components that `header` needs, including those of the headers that it includes."""
    if header in seen:
        return set()
    text = (root / header).read_text()
    found = set(NEEDS.findall(text))
    unconditional = re.sub(r"^#\s*if(?!ndef CONTRAPUNTO_HAS_\w+\s*\n#\s*error).*?^#\s*endif", "", text,
                           flags=re.MULTILINE | re.DOTALL)
    for included in INCLUDE.findall(unconditional):
        if (root / included).is_file():
            found |= needs(root, included, seen | {header})
    return found


def without(root, folder, component):
    """Lines that include what a folder offers in place of a component that is not linked."""
    name = component.removeprefix("CONTRAPUNTO_HAS_").lower()
    header = f"contrapunto/{folder}/detail/without_{name}.hpp"
    return f'#else\n#include "{header}"\n' if (root / header).is_file() else ""


def include_lines(root, folder, headers):
    """Include lines in alphabetical order, those with needs at the end, grouped."""
    groups = {}
    for header in sorted(headers):
        groups.setdefault(tuple(sorted(needs(root, header))), []).append(f'#include "{header}"')
    text = ""
    for components, lines in sorted(groups.items()):
        block = "\n".join(lines) + "\n"
        if components:
            condition = f"#ifdef {components[0]}" if len(components) == 1 else "#if " + " && ".join(
                f"defined({c})" for c in components)
            block += without(root, folder, components[0]) if len(components) == 1 else ""
            block = f"{condition}\n{block}#endif\n"
        text += "\n" + block
    return text


def expected_umbrellas(root):
    """Path to text of every umbrella that the tree should have."""
    base = root / "contrapunto"
    umbrellas = {}
    for folder in sorted(p for p in base.iterdir() if p.is_dir()):
        # CUDA sources are not for C++ files, and detail/ is not for users.
        headers = [f"contrapunto/{folder.name}/{p.name}" for p in folder.glob("*.hpp")]
        if headers:
            umbrellas[f"contrapunto/{folder.name}.hpp"] = HEAD + include_lines(root, folder.name, headers)
    top = "".join(f'#include "{name}"\n' for name in sorted([*umbrellas, "contrapunto/version.hpp"]))
    umbrellas["contrapunto/contrapunto.hpp"] = HEAD + "\n" + top
    return umbrellas


def check_tree(root):
    expected = expected_umbrellas(root)
    faults = []
    for name, text in expected.items():
        file = root / name
        if not file.is_file():
            faults.append(f"{name} is missing")
        elif file.read_text() != text:
            have, want = set(file.read_text().splitlines()), set(text.splitlines())
            detail = "; ".join([*(f"lacks {x}" for x in sorted(want - have)), *(f"has {x}" for x in sorted(have - want))])
            faults.append(f"{name}: {detail or 'another order than alphabetical'}")
    for file in (root / "contrapunto").glob("*.hpp"):
        name = f"contrapunto/{file.name}"
        if name not in expected and name != "contrapunto/version.hpp":
            faults.append(f"{name}: an umbrella of no folder")
    return faults


def write(root):
    for name, text in expected_umbrellas(root).items():
        (root / name).write_text(text)


def self_test():
    failures = []

    def expect(what, faults, fragment):
        found = any(fragment in f for f in faults) if fragment else not faults
        if not found:
            failures.append(f"{what}: faults were {faults}")

    with tempfile.TemporaryDirectory() as folder:
        root = pathlib.Path(folder)
        base = root / "contrapunto"
        (base / "io").mkdir(parents=True)
        (base / "version.hpp").write_text(HEAD)
        (base / "io" / "a.hpp").write_text(HEAD)
        (base / "io" / "b.hpp").write_text(HEAD + '\n#ifndef CONTRAPUNTO_HAS_X\n#error "link x"\n#endif\n')
        (base / "io" / "c.hpp").write_text(HEAD + '\n#include "contrapunto/io/b.hpp"\n')
        expect("no umbrella", check_tree(root), "io.hpp is missing")
        write(root)
        expect("written umbrellas", check_tree(root), "")
        if '#ifdef CONTRAPUNTO_HAS_X\n#include "contrapunto/io/b.hpp"\n#include "contrapunto/io/c.hpp"\n#endif' not in (
                base / "io.hpp").read_text():
            failures.append("headers that need a component are not guarded: " + (base / "io.hpp").read_text())
        (base / "io" / "detail").mkdir()
        (base / "io" / "detail" / "without_x.hpp").write_text(HEAD)
        expect("a stand-in for a component", check_tree(root), "lacks #else")
        write(root)
        expect("the stand-in included", check_tree(root), "")
        (base / "io" / "d.hpp").write_text(HEAD)
        expect("a new header", check_tree(root), 'lacks #include "contrapunto/io/d.hpp"')
        (base / "io" / "d.hpp").unlink()
        (base / "io.hpp").write_text((base / "io.hpp").read_text() + '#include "contrapunto/io/d.hpp"\n')
        expect("a header that is gone", check_tree(root), 'has #include "contrapunto/io/d.hpp"')
        write(root)
        (base / "nn.hpp").write_text(HEAD)
        expect("an umbrella of no folder", check_tree(root), "nn.hpp: an umbrella of no folder")
    return failures


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--root", type=pathlib.Path, default=pathlib.Path(__file__).resolve().parent.parent / "include")
    parser.add_argument("--write", action="store_true", help="write the umbrellas")
    parser.add_argument("--self-test", action="store_true", help="check the checker instead of the tree")
    arguments = parser.parse_args()
    if arguments.write:
        write(arguments.root)
    faults = self_test() if arguments.self_test else check_tree(arguments.root)
    what = "self-test of the umbrella check" if arguments.self_test else "umbrella headers"
    print(f"{what}: {len(faults)} faults" + ("; scripts/check_umbrella.py --write mends them" if faults and
                                             not arguments.self_test else ""))
    print(*faults, sep="\n", end="\n" if faults else "")
    sys.exit(1 if faults else 0)


if __name__ == "__main__":
    main()
