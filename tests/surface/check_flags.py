# SPDX-FileCopyrightText: 2026 The Contrapunto Authors
# SPDX-License-Identifier: Apache-2.0
"""Checks that the flags in PROGRAM --help equal LISTFILE, with one flag on each line; --write writes the list."""
import argparse
import pathlib
import re
import subprocess
import sys


def flags_of(program):
    done = subprocess.run([program, "--help"], capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"{program} --help ended with {done.returncode}:\n{done.stdout}{done.stderr}")
    # A flag begins its line, perhaps after a short form; flags within a description do not count.
    lines = [re.match(r"\s*((?:-\w,\s*)?--[\w-]+(?:,\s*--[\w-]+)*)", line) for line in done.stdout.splitlines()]
    return sorted({flag for match in lines if match for flag in re.findall(r"--[\w-]+", match[1])})


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("program")
    parser.add_argument("list", type=pathlib.Path)
    parser.add_argument("--write", action="store_true")
    arguments = parser.parse_args()
    now = flags_of(arguments.program)
    if not now:
        sys.exit(f"{arguments.program} --help names no flags")
    if arguments.write:
        arguments.list.write_text("".join(f"{flag}\n" for flag in now))
    before = arguments.list.read_text().split() if arguments.list.exists() else []
    for flag in sorted(set(before) - set(now)):
        print(f"{flag} is gone")
    for flag in sorted(set(now) - set(before)):
        print(f"{flag} is new")
    if before != now:
        sys.exit(f"the flags changed: list it in CHANGELOG.md and run {pathlib.Path(__file__).name} with --write")
    print(f"{len(now)} flags, as listed")


if __name__ == "__main__":
    main()
