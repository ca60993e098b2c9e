#!/usr/bin/env python3
# SPDX-FileCopyrightText: 2026 The Contrapunto Authors
# SPDX-License-Identifier: Apache-2.0
"""Checks that version.hpp, CMakeLists.txt, the vcpkg port and CHANGELOG.md name the same version.

The CHANGELOG begins with "Unreleased" or with the version. With --release it must begin with the version and its date.
"""
import argparse
import pathlib
import re
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent


def find(file, pattern):
    match = re.search(pattern, (ROOT / file).read_text(), re.MULTILINE)
    if not match:
        sys.exit(f"{file}: nothing matches {pattern}")
    return match[1]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--release", action="store_true", help="refuse a first section 'Unreleased'")
    arguments = parser.parse_args()
    header = "include/contrapunto/version.hpp"
    version = find(header, r'kVersion = "([^"]+)"')
    parts = ".".join(find(header, rf"kVersion{part} = (\d+);") for part in ("Major", "Minor", "Patch"))
    project = find("CMakeLists.txt", r"^project\(Contrapunto VERSION (\S+)")
    port_file = "packaging/vcpkg/ports/contrapunto/vcpkg.json"
    port = find(port_file, r'^  "version": "([^"]+)"')
    heading = find("CHANGELOG.md", r"^## (.+)$")
    released = re.fullmatch(r"\[?([\d.]+)\]?,? .*\d{4}-\d\d-\d\d.*", heading)
    faults = []
    if parts != version:
        faults.append(f"{header}: kVersion is {version}, and the three numbers make {parts}")
    if project != version:
        faults.append(f"CMakeLists.txt: project(VERSION {project}), and version.hpp has {version}")
    if port != version:
        faults.append(f"{port_file}: the version is {port}, and version.hpp has {version}")
    if released and released[1] != version:
        faults.append(f"CHANGELOG.md: the first section is '{heading}', and version.hpp has {version}")
    if not released and (arguments.release or heading != "Unreleased"):
        faults.append(f"CHANGELOG.md: the first section is '{heading}'; expected '{version}, YYYY-MM-DD'" +
                      ("" if arguments.release else " or 'Unreleased'"))
    print(*faults, f"version {version}: {len(faults)} faults", sep="\n")
    sys.exit(1 if faults else 0)


if __name__ == "__main__":
    main()
