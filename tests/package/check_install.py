# SPDX-FileCopyrightText: 2026 The Contrapunto Authors
# SPDX-License-Identifier: Apache-2.0
"""Checks which files an installation has, as a whole and by component, and that none of them names a folder of this machine."""
import argparse
import pathlib
import shutil
import subprocess
import sys

PACKAGE = {f"share/cmake/Contrapunto/Contrapunto{name}.cmake" for name in ("Config", "ConfigVersion", "Targets", "Torch")}
NOTICES = {f"share/doc/contrapunto/{name}" for name in ("LICENSE", "THIRD_PARTY.md", "sbom.cdx.json")}


def files_in(folder):
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if not path.is_dir()}


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cmake", required=True)
    parser.add_argument("--build", type=pathlib.Path, required=True)
    parser.add_argument("--source", type=pathlib.Path, required=True)
    parser.add_argument("--prefix", type=pathlib.Path, required=True, help="a whole installation, which was moved here")
    parser.add_argument("--work", type=pathlib.Path, required=True)
    arguments = parser.parse_args()

    headers = {f"include/{name}" for name in files_in(arguments.source / "include")}
    expected = {"headers": headers | PACKAGE | NOTICES, "programs": set()}  # this build has no programs
    faults = []
    shutil.rmtree(arguments.work, ignore_errors=True)
    folders = {"whole": arguments.prefix}
    for component in expected:
        folders[component] = arguments.work / component
        subprocess.run([arguments.cmake, "--install", arguments.build, "--component", component, "--prefix",
                        folders[component]], check=True, stdout=subprocess.DEVNULL)
    for name, folder in folders.items():
        found, wanted = files_in(folder), expected.get(name, expected["headers"])
        faults += [f"{name}: {file} is missing" for file in sorted(wanted - found)]
        faults += [f"{name}: {file} does not belong there" for file in sorted(found - wanted)]
    places = [arguments.source, arguments.build, arguments.prefix.parent]
    for file in files_in(arguments.prefix):
        content = (arguments.prefix / file).read_bytes()
        faults += [f"{file} names the folder {place}" for place in places if str(place).encode() in content]
    print(*faults, f"{len(expected['headers'])} files: {len(faults)} faults", sep="\n")
    sys.exit(1 if faults else 0)


if __name__ == "__main__":
    main()
