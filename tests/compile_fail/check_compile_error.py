# SPDX-FileCopyrightText: 2026 The Contrapunto Authors
# SPDX-License-Identifier: Apache-2.0
"""Checks that X_fails.cpp fails to compile, first with the error of its `// expect:` line, and that X_good.cpp compiles."""
import argparse
import os
import pathlib
import re
import subprocess
import sys


def compile_errors(compiler, folders, file):
    """The error lines of the compiler in order; empty when the file compiles."""
    command = [compiler, "-std=c++20", "-fsyntax-only", "-w"]
    for folder in folders:
        # If it were named again, the compiler's own folder would come before the C++ library's, which must find it later.
        if os.path.realpath(folder) != "/usr/include":
            command += ["-isystem", folder]
    run = subprocess.run([*command, str(file)], capture_output=True, text=True, env={**os.environ, "LC_ALL": "C"})
    lines = [line for line in run.stderr.splitlines() if re.search(r"\berror:", line)]
    if (run.returncode == 0) != (not lines):
        sys.exit(f"{file.name}: the compiler ended with {run.returncode} and said\n{run.stderr}")
    return lines


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("failing", type=pathlib.Path)
    parser.add_argument("--compiler", required=True)
    parser.add_argument("--include-folders", type=pathlib.Path, required=True)
    arguments = parser.parse_args()
    folders = arguments.include_folders.read_text().split()
    expectation = re.match(r"// expect: (.+)", arguments.failing.read_text())
    if not expectation:
        sys.exit(f"{arguments.failing.name}: the first line must be `// expect: <sentence of the error>`")
    good = arguments.failing.with_name(arguments.failing.name.replace("_fails.cpp", "_good.cpp"))
    if errors := compile_errors(arguments.compiler, folders, good):
        sys.exit(f"{good.name} must compile, but: {errors[0]}")
    errors = compile_errors(arguments.compiler, folders, arguments.failing)
    if not errors:
        sys.exit(f"{arguments.failing.name} compiles; it must not")
    if expectation[1] not in errors[0]:
        sys.exit(f"{arguments.failing.name}: the first error is\n  {errors[0]}\nexpected to hold\n  {expectation[1]}")
    print(f"{arguments.failing.name}: {errors[0].split('error: ', 1)[1]}")


if __name__ == "__main__":
    main()
