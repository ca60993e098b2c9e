#!/usr/bin/env python3
# SPDX-FileCopyrightText: 2026 The Contrapunto Authors
# SPDX-License-Identifier: Apache-2.0
"""Checks that packaging/dependencies.toml lists every dependency, and that what is made from it is up to date.

scripts/setup, scripts/check_packages, the CMake files, the Debian packages, the Conan recipe and the vcpkg port may need only
what the table lists, and the recipes must offer every component. packaging/sbom.cdx.json and the tables of THIRD_PARTY.md are
made from the table; --write updates them."""
import argparse
import json
import pathlib
import re
import sys
import tomllib

PARTS = {"library": "Needed by every program that uses the library", "image": None, "text": None, "distributed": None,
         "cli": None, "export": None, "cuda": None, "programs": "Used by the programs of `examples/`",
         "build": "Needed to build", "test": "Used by the tests and by the checks of packages"}
COMPONENTS = [part for part, title in PARTS.items() if title is None]
FIELDS = {"name", "part", "how", "license", "homepage", "debian", "wheels", "cmake", "vcpkg"}
SCOPES = {"library": "required", "build": "excluded", "test": "excluded"}  # CycloneDX's words; "optional" for the others


def read(root, file):
    return (root / file).read_text()


def unlisted(root, table):
    """What a file needs and the table does not have."""
    known = {kind: {name for entry in table for name in entry.get(kind, [])} for kind in ("debian", "wheels", "cmake")}
    known["vcpkg"] = {entry["vcpkg"] for entry in table if "vcpkg" in entry}
    needed = []
    for file in ("scripts/setup", "scripts/check_packages"):
        text = read(root, file)
        for names in re.findall(r"\bpackages\+?=\(([^)]*)\)", text):
            needed += [(file, "debian", name) for name in names.split()]
        needed += [(file, "wheels", name) for name in re.findall(r"([\w.-]+)==[\w.$]", text)]
    for path in sorted([root / "CMakeLists.txt", *(root / "cmake").iterdir(),
                        *(path for folder in ("tests", "examples", "benchmarks", "packaging")
                          for path in (root / folder).rglob("CMakeLists.txt"))]):
        file, text = str(path.relative_to(root)), re.sub(r"(?m)#.*$", "", path.read_text())
        needed += [(file, "cmake", name) for name in re.findall(r"\b(?:find_package|find_dependency)\((\w+)", text)
                   if name != "Contrapunto"]
        needed += [(file, "debian", name) for name in re.findall(r"\b_contrapunto_need\(\w+ \S+ \S+ ([\w+.-]+)\)", text)]
        for fields in re.findall(r"PACKAGE_(?:DEPENDS|RECOMMENDS|SUGGESTS) \"([^\"]*)\"", text):
            needed += [(file, "debian", name) for name in re.findall(r"([\w+.-]+)(?: \([^)]*\))?(?:,|$)",
                                                                     fields.replace("\\\n", ""))]
    recipe = "packaging/conan/conanfile.py"
    needed += [(recipe, "debian", name) for names in re.findall(r"\"\w+\": \[([^]]*)\]", read(root, recipe))
               for name in re.findall(r"\"([^\"]+)\"", names)]
    port = "packaging/vcpkg/ports/contrapunto/vcpkg.json"
    needed += [(port, "vcpkg", name) for names in vcpkg_dependencies(root, port).values() for name in names]
    faults = [f"{file}: '{name}' is not in packaging/dependencies.toml ({kind})" for file, kind, name in needed
              if name not in known[kind]]
    used = {(kind, name) for _, kind, name in needed}
    faults += [f"packaging/dependencies.toml: nothing needs '{name}' ({kind})" for kind, names in known.items()
               for name in sorted(names) if (kind, name) not in used]
    return faults


def vcpkg_dependencies(root, port):
    """The ports that the vcpkg port needs, by feature; those of the library are under 'library'."""
    manifest = json.loads(read(root, port))
    named = {"library": manifest["dependencies"],
             **{name: feature["dependencies"] for name, feature in manifest["features"].items()}}
    return {part: [name for name in names if isinstance(name, str)] for part, names in named.items()}


def different_recipes(root, table):
    """Where the recipes give a component other dependencies than the table."""
    faults = []
    port = "packaging/vcpkg/ports/contrapunto/vcpkg.json"
    offered = vcpkg_dependencies(root, port)
    recipe = "packaging/conan/conanfile.py"
    apt = {part: re.findall(r"\"([^\"]+)\"", names)
           for part, names in re.findall(r"\"(\w+)\": \[([^]]*)\]", read(root, recipe))}
    debian = read(root, "cmake/ContrapuntoInstall.cmake")
    for part in ["library", *COMPONENTS]:
        entries = [entry for entry in table if entry["part"] == part]
        ports = [entry["vcpkg"] for entry in entries if "vcpkg" in entry]
        packages = [name for entry in entries for name in entry.get("debian", [])]
        if sorted(offered.get(part, [])) != sorted(ports):
            faults.append(f"{port}: '{part}' needs {offered.get(part, [])}, and the table has {ports}")
        if sorted(apt.get(part, [])) != sorted(packages):
            faults.append(f"{recipe}: '{part}' needs {apt.get(part, [])}, and the table has {packages}")
        faults += [f"cmake/ContrapuntoInstall.cmake: the Debian package does not name {name}" for name in packages
                   if name not in debian]
    return faults


def table_faults(table):
    faults = []
    for entry in table:
        name = entry.get("name", "an entry without a name")
        faults += [f"packaging/dependencies.toml: {name} has no '{field}'"
                   for field in ("name", "part", "how", "license", "homepage") if not entry.get(field)]
        faults += [f"packaging/dependencies.toml: {name} has an unknown field '{field}'" for field in entry.keys() - FIELDS]
        if entry.get("part") not in PARTS:
            faults.append(f"packaging/dependencies.toml: the part '{entry.get('part')}' of {name} is not one of {list(PARTS)}")
    return faults


def bill_of_materials(root, table):
    """The table as a CycloneDX document. It has no time and no random number, so equal tables make equal files."""
    version = re.search(r'kVersion = "([^"]+)"', read(root, "include/contrapunto/version.hpp"))[1]
    setup = read(root, "scripts/setup") + read(root, "scripts/check_packages")
    pins = dict(re.findall(r"([\w.-]+)==([\w.]+)", setup))
    pins["torch"] = re.search(r"^torch_version=(\S+)$", setup, re.MULTILINE)[1]
    components = []
    for entry in table:
        component = {"type": "library", "bom-ref": entry["name"], "name": entry["name"],
                     "scope": SCOPES.get(entry["part"], "optional"), "licenses": [license_of(entry["license"])],
                     "externalReferences": [{"type": "website", "url": entry["homepage"]}],
                     "properties": [{"name": "contrapunto:part", "value": entry["part"]},
                                    {"name": "contrapunto:how", "value": entry["how"]}]}
        for wheel in entry.get("wheels", []):
            component |= {"version": pins[wheel], "purl": f"pkg:pypi/{wheel.replace('_', '-')}@{pins[wheel]}"}
        component["properties"] += [{"name": "contrapunto:debian", "value": name} for name in entry.get("debian", [])]
        components.append(component)
    return {"bomFormat": "CycloneDX", "specVersion": "1.5", "version": 1,
            "metadata": {"component": {"type": "library", "bom-ref": "contrapunto", "name": "contrapunto", "version": version,
                                       "licenses": [license_of("Apache-2.0")]}},
            "components": components,
            "dependencies": [{"ref": "contrapunto", "dependsOn": [entry["name"] for entry in table
                                                                  if SCOPES.get(entry["part"]) != "excluded"]}]}


def license_of(text):
    if text.startswith("LicenseRef-"):
        return {"license": {"name": text.removeprefix("LicenseRef-")}}
    return {"expression": text} if " " in text else {"license": {"id": text}}


def notice_tables(table):
    """The table in Markdown, with a section for each part."""
    text = ""
    for part, title in PARTS.items():
        entries = [entry for entry in table if entry["part"] == part]
        text += f"\n### {title or f'Needed by the component `{part}`'}\n\n| name | license | how it is used |\n| --- | --- | --- |\n"
        for entry in entries:
            text += f"| [{entry['name']}]({entry['homepage']}) | {entry['license'].removeprefix('LicenseRef-')} | {entry['how']} |\n"
    return text


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--write", action="store_true", help="write packaging/sbom.cdx.json and the tables of THIRD_PARTY.md")
    parser.add_argument("--root", type=pathlib.Path, default=pathlib.Path(__file__).resolve().parent.parent,
                        help="the checkout to look at")
    arguments = parser.parse_args()
    root = arguments.root
    table = tomllib.loads(read(root, "packaging/dependencies.toml"))["dependency"]
    faults = table_faults(table)
    if not faults:
        faults = unlisted(root, table) + different_recipes(root, table)
    if not faults:
        page = read(root, "THIRD_PARTY.md")
        made = {"packaging/sbom.cdx.json": json.dumps(bill_of_materials(root, table), indent=2) + "\n",
                "THIRD_PARTY.md": re.sub(r"(<!-- dependencies -->\n).*?(?=\n<!-- end -->)",
                                         lambda match: match[1] + notice_tables(table), page, flags=re.DOTALL)}
        for file, text in made.items():
            if arguments.write:
                (root / file).write_text(text)
            if not (root / file).exists() or read(root, file) != text:
                faults.append(f"{file}: differs from packaging/dependencies.toml; run scripts/check_dependencies.py --write")
    print(*faults, f"{len(table)} dependencies: {len(faults)} faults", sep="\n")
    sys.exit(1 if faults else 0)


if __name__ == "__main__":
    main()
