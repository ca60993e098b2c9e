# SPDX-FileCopyrightText: 2026 The Contrapunto Authors
# SPDX-License-Identifier: Apache-2.0
"""Packs contrapunto-dev without any dependency, checks its fields and files, and unpacks it for a consumer."""
import argparse
import pathlib
import re
import shutil
import subprocess
import sys


def run(*command, **options):
    done = subprocess.run([str(c) for c in command], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, **options)
    if done.returncode:
        sys.exit(f"{' '.join(map(str, command))}\n{done.stdout}\nended with {done.returncode}")
    return done.stdout


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cmake", required=True)
    parser.add_argument("--cpack", required=True)
    parser.add_argument("--source", type=pathlib.Path, required=True)
    parser.add_argument("--version", required=True)
    parser.add_argument("--work", type=pathlib.Path, required=True)
    parser.add_argument("cmake_arguments", nargs="*")
    arguments = parser.parse_args()

    build, root = arguments.work / "build", arguments.work / "root"
    shutil.rmtree(arguments.work, ignore_errors=True)
    run(arguments.cmake, "-S", arguments.source, "-B", build, "-DCONTRAPUNTO_PACKAGE_ONLY=ON", *arguments.cmake_arguments)
    run(arguments.cpack, "-G", "DEB", cwd=build)
    packages = [path.name for path in build.glob("*.deb")]
    if packages != [f"contrapunto-dev_{arguments.version}_all.deb"]:
        sys.exit(f"expected contrapunto-dev_{arguments.version}_all.deb and no other package, but there are: {packages}")
    package = build / packages[0]

    faults = []
    for field, pattern in {"Package": "contrapunto-dev", "Version": re.escape(arguments.version), "Architecture": "all",
                           "Depends": "nlohmann-json3-dev", "Suggests": "libjpeg62-turbo-dev, .*",
                           "Description": "(?s).*LibTorch 2.9 or later is needed too.*"}.items():
        value = run("dpkg-deb", "-f", package, field).strip()
        if not re.fullmatch(pattern, value):
            faults.append(f"{field} is '{value}'; expected {pattern}")
    run("dpkg-deb", "-x", package, root)
    found = {str(path.relative_to(root)) for path in root.rglob("*") if not path.is_dir()}
    wanted = {f"usr/include/{path.relative_to(arguments.source / 'include')}"
              for path in (arguments.source / "include").rglob("*") if path.is_file()}
    wanted |= {f"usr/share/cmake/Contrapunto/Contrapunto{name}.cmake" for name in ("Config", "ConfigVersion", "Targets", "Torch")}
    wanted |= {f"usr/share/doc/contrapunto/{name}" for name in ("LICENSE", "THIRD_PARTY.md", "sbom.cdx.json")}
    wanted.add("usr/share/doc/contrapunto-dev/copyright")
    faults += [f"{file} is missing" for file in sorted(wanted - found)]
    faults += [f"{file} does not belong there" for file in sorted(found - wanted)]
    faults += [f"{file} names the folder {arguments.source}" for file in found
               if str(arguments.source).encode() in (root / file).read_bytes()]
    (root / "usr").rename(arguments.work / "prefix")
    print(*faults, f"{package.name}: {len(found)} files, {len(faults)} faults", sep="\n")
    sys.exit(1 if faults else 0)


if __name__ == "__main__":
    main()
