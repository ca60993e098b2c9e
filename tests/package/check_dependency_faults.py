# SPDX-FileCopyrightText: 2026 The Contrapunto Authors
# SPDX-License-Identifier: Apache-2.0
"""Checks that scripts/check_dependencies.py accepts this checkout and names each fault that is put into a copy of it."""
import argparse
import pathlib
import shutil
import subprocess
import sys

# A file, the text to replace, its replacement, and what the check must say.
FAULTS = [
    ("scripts/setup", "packages=(g++", "packages=(libtiff-dev g++", "scripts/setup: 'libtiff-dev' is not in"),
    ("scripts/setup", '"ninja==', '"numpy==2.0.0" "ninja==', "scripts/setup: 'numpy' is not in"),
    ("cmake/ContrapuntoTargets.cmake", "macro(_contrapunto_add_cli)",
     'macro(_contrapunto_add_cli)\n  _contrapunto_need(cli toml.hpp "" libtoml-dev)', "'libtoml-dev' is not in"),
    ("cmake/ContrapuntoTargets.cmake", "find_package(Threads REQUIRED)", "find_package(OpenMP REQUIRED)", "'OpenMP' is not in"),
    ("cmake/ContrapuntoInstall.cmake", ", libprotozero-dev", "", "the Debian package does not name libprotozero-dev"),
    ("packaging/conan/conanfile.py", '"libpng-dev", ', "", "conanfile.py: 'image' needs"),
    ("packaging/vcpkg/ports/contrapunto/vcpkg.json", '"cli11"', '"argparse"', "vcpkg.json: 'argparse' is not in"),
    ("packaging/dependencies.toml", 'name = "zlib"', 'name = "zlib-ng"', "packaging/sbom.cdx.json: differs from"),
    ("packaging/dependencies.toml", 'debian = ["ccache"]', 'debian = ["ccache", "distcc"]', "nothing needs 'distcc'"),
    ("packaging/dependencies.toml", 'license = "Zlib"\n', "", "zlib has no 'license'"),
    ("packaging/sbom.cdx.json", '"MIT"', '"GPL-3.0-only"', "packaging/sbom.cdx.json: differs from"),
    ("THIRD_PARTY.md", "| MIT |", "| GPL-3.0-only |", "THIRD_PARTY.md: differs from"),
    ("include/contrapunto/version.hpp", 'kVersion = "', 'kVersion = "9', "packaging/sbom.cdx.json: differs from"),
]


def check(root):
    done = subprocess.run([sys.executable, root / "scripts" / "check_dependencies.py"], stdout=subprocess.PIPE, text=True)
    return done.returncode, done.stdout


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--source", type=pathlib.Path, required=True)
    parser.add_argument("--work", type=pathlib.Path, required=True)
    arguments = parser.parse_args()
    code, said = check(arguments.source)
    if code:
        sys.exit(said)
    shutil.rmtree(arguments.work, ignore_errors=True)
    for folder in ("scripts", "cmake", "packaging", "tests", "examples", "benchmarks"):
        shutil.copytree(arguments.source / folder, arguments.work / folder,
                        ignore=shutil.ignore_patterns("*.cpp", "*.hpp", "results", "build"))
    for file in ("CMakeLists.txt", "THIRD_PARTY.md", "include/contrapunto/version.hpp"):
        (arguments.work / file).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(arguments.source / file, arguments.work / file)
    unnoticed = 0
    for file, before, after, expected in FAULTS:
        path = arguments.work / file
        text = path.read_text()
        if before not in text:
            sys.exit(f"{file} has no '{before}'; write this fault anew")
        path.write_text(text.replace(before, after, 1))
        code, said = check(arguments.work)
        path.write_text(text)
        if code == 0 or expected not in said:
            unnoticed += 1
            print(f"{file} with '{after}' instead of '{before}': expected '{expected}', but the check said\n{said}")
    print(f"{len(FAULTS)} faults, of which {unnoticed} were not named")
    sys.exit(1 if unnoticed else 0)


if __name__ == "__main__":
    main()
