#!/usr/bin/env python3
# SPDX-FileCopyrightText: 2026 The Contrapunto Authors
# SPDX-License-Identifier: Apache-2.0
"""Checks that the public names and macros equal the lists in tests/surface/, so that every change of them is noticed.

exports.txt has a line `FOLDER NAME` for each name that an umbrella header brings into namespace contrapunto, detail/
excluded; macros.txt has the macros that public headers read. --write updates both; the difference belongs in
CHANGELOG.md.
"""
import argparse
import pathlib
import re
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
NOT_NAMES = {"requires", "decltype", "noexcept", "alignas", "sizeof", "explicit", "static_assert"}


def without_comments(text):
    """The text without comments, preprocessor lines and the contents of literals."""
    text = re.sub(r"^\s*#.*?(?<!\\)$", "", text, flags=re.MULTILINE | re.DOTALL)
    pattern = r'//[^\n]*|/\*.*?\*/|R"(\w*)\(.*?\)\1"|"(?:\\.|[^"\\\n])*"|(?<!\w)\'(?:\\.|[^\'\\\n])+\''
    return re.sub(pattern, lambda match: '""' if match[0][0] in "R\"'" else " ", text, flags=re.DOTALL)


def statements(text):
    """The declarations directly in namespace contrapunto, each up to its body or semicolon."""
    text, i = without_comments(text), 0
    while match := re.compile(r"namespace contrapunto\s*\{").search(text, i):
        i, start, parentheses = match.end(), match.end(), 0
        while i < len(text):
            char = text[i]
            parentheses += (char == "(") - (char == ")")
            if parentheses == 0 and char in ";{}":
                yield text[start:i].strip()
                if char == "}":
                    break
                if char == "{":
                    depth = 1
                    while depth and i + 1 < len(text):
                        i += 1
                        depth += (text[i] == "{") - (text[i] == "}")
                start = i + 1
            i += 1


def without_template(statement):
    """The declaration behind `template <...>`."""
    while match := re.match(r"template\s*<", statement):
        depth, i = 1, match.end()
        while depth and i < len(statement):
            depth += (statement[i] == "<") - (statement[i] == ">" and statement[i - 1] != "-")
            i += 1
        statement = statement[i:].strip()
    return statement


def name_of(statement):
    statement = re.sub(r"\[\[.*?\]\]", "", without_template(statement)).strip()
    if not statement or re.match(r"(inline )?namespace\b|static_assert|friend\b|using namespace", statement):
        return None
    if match := re.search(r"\bconcept (\w+)", statement):
        return match[1]
    if match := re.search(r"^(?:requires .*?)?\b(?:enum (?:class |struct )?|class |struct |union )(\w+)", statement, re.DOTALL):
        return match[1]
    if match := re.match(r"using (?:(\w+) =|(?:\w+::)+(\w+)$)", statement):
        return match[1] or match[2]
    if match := re.match(r"TORCH_MODULE(?:_IMPL)?\((\w+)", statement):
        return match[1]
    if re.search(r"\boperator\b", statement):
        return None
    while (shorter := re.sub(r"<[^<>]*>", "", statement)) != statement:  # template arguments hold names and parentheses
        statement = shorter
    # A variable's name stands before `=` or at the end, a function's before the first parenthesis.
    calls = [name for name in re.findall(r"(\w+)\s*\(", statement) if name not in NOT_NAMES]
    head = statement.split("=")[0].rstrip()
    if "(" in head and calls:
        return calls[0]
    match = re.search(r"(\w+)(?:\[\w*\])?$", head)
    return match[1] if match else None


def exports(root):
    found = set()
    for path in sorted((root / "contrapunto").glob("*/*.hpp")) + [root / "contrapunto" / "version.hpp"]:
        folder = path.parent.name if path.parent.name != "contrapunto" else "version"
        for statement in statements(path.read_text()):
            if name := name_of(statement):
                found.add(f"{folder} {name}")
    return sorted(found)


def macros(root):
    return sorted({name for path in (root / "contrapunto").rglob("*.hpp")
                   for name in re.findall(r"\bCONTRAPUNTO_[A-Z_0-9]+\b", path.read_text())})


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--write", action="store_true", help="write the lists")
    arguments = parser.parse_args()
    faults = 0
    for file, now in (("exports.txt", exports(ROOT / "include")), ("macros.txt", macros(ROOT / "include"))):
        path = ROOT / "tests" / "surface" / file
        if arguments.write:
            path.parent.mkdir(exist_ok=True)
            path.write_text("".join(f"{line}\n" for line in now))
        before = set(path.read_text().splitlines()) if path.exists() else set()
        for line in sorted(before - set(now)):
            print(f"{file}: '{line}' is gone")
        for line in sorted(set(now) - before):
            print(f"{file}: '{line}' is new")
        faults += len(before ^ set(now))
        print(f"{file}: {len(now)} names")
    if faults:
        sys.exit("the public surface changed: list it in CHANGELOG.md and run scripts/check_surface.py --write")


if __name__ == "__main__":
    main()
