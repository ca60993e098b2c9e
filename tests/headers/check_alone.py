# SPDX-FileCopyrightText: 2026 The Contrapunto Authors
# SPDX-License-Identifier: Apache-2.0
"""Proves that each header compiles alone: one compiler call per header, and nothing before the header that it would not
have included itself.

LibTorch's headers take nearly all of the time, so they are precompiled where that proves as much. A header gets a
precompiled group only when every header of the group is among those that it includes, directly or through our other
headers: then the code of the header sees the declarations that it would see without the group. Headers of ours that
it includes, and that include less, are compiled alone themselves.

Clang also instantiates the templates of a group while it precompiles it, which g++ does in every file anew; that makes
Clang several times as fast here, so CMake passes it where it is installed. docs/measurements/compile_time.md has the
figures.

A header that compiled is not compiled again as long as it, what it includes of ours, the compiler and its flags stay.
"""
import argparse
import concurrent.futures
import functools
import hashlib
import os
import pathlib
import re
import resource
import subprocess
import sys
import time

INCLUDE = re.compile(r'\s*#\s*include\s*[<"]([^">]+)[">]')
# The common headers of ATen/ops; each of those adds two small headers of its own.
OPERATOR = "ATen/ops/zeros.h"
OPERATOR_GROUP = ("ATen/Context.h", "ATen/DeviceGuard.h", "ATen/TensorUtils.h", "ATen/TracerMode.h",
                  "ATen/core/Generator.h", "ATen/core/Tensor.h")
FUNCTION, MODULE = "torch/csrc/autograd/function.h", "torch/nn/module.h"
AUTOCAST, AUTOGRAD = "ATen/autocast_mode.h", "torch/csrc/autograd/autograd.h"
# The groups that are precompiled, expensive ones first: a header uses the first one that fits.
GROUPS = {
    "module_autograd": (MODULE, FUNCTION, AUTOCAST, AUTOGRAD),
    "module": (MODULE,),
    "autograd": (FUNCTION,),
    "functions": ("ATen/Functions.h",),
    "operators": OPERATOR_GROUP,
    "tensor": ("ATen/core/Tensor.h",),
}


class Checker:
    def __init__(self, arguments):
        self.root, self.folder, self.jobs = arguments.root, arguments.work, arguments.jobs
        self.flags = [flag for flag in arguments.flags.read_text().split("\n") if flag]
        self.compiler = [arguments.compiler, f"-I{self.root}", *self.flags, "-O0", "-g0"]
        self.folder.mkdir(parents=True, exist_ok=True)
        version = self.run("--version")[1]
        self.is_clang = "clang" in version
        self.settings = "\n".join([*self.compiler, version])

    def run(self, *options, text=""):
        done = subprocess.run([*self.compiler, *options], input=text, capture_output=True, text=True,
                              env={**os.environ, "LC_ALL": "C"})
        return done.returncode, done.stdout + done.stderr

    @functools.cache
    def includes(self, header):
        """The headers that a header of ours includes unconditionally."""
        depth, found = 0, []
        for line in (self.root / header).read_text().splitlines():
            if re.match(r"\s*#\s*if", line):
                depth += 1
            elif re.match(r"\s*#\s*endif", line):
                depth -= 1
            elif depth == 0 and (match := INCLUDE.match(line)):
                found.append(match[1])
        return found

    @functools.cache
    def closure(self, header):
        """The headers that a header includes, directly or through others of ours; the includes of foreign headers are not followed."""
        seen, left = {header}, [header]
        while left:
            for included in self.includes(left.pop()):
                if included not in seen:
                    seen.add(included)
                    if (self.root / included).is_file():
                        left.append(included)
        return seen

    @functools.cache
    def brings(self, header):
        """The headers of LibTorch that one of them includes, as the compiler reports them."""
        code, said = self.run("-M", "-x", "c++", "-", text=f"#include <{header}>\n")
        if code:
            sys.exit(f"<{header}> cannot be included:\n{said}")
        return {name for names in GROUPS.values() for name in names if re.search(rf"/{re.escape(name)}\s", said)}

    def group(self, header):
        """The first group whose headers this header includes in any case."""
        closure = self.closure(header)
        has = set(closure)
        for name in closure:
            if name.startswith("ATen/ops/"):
                has |= self.brings(OPERATOR)
            elif any(name in names for names in GROUPS.values()):
                has |= self.brings(name)
        return next((group for group, names in GROUPS.items() if has.issuperset(names)), None)

    def stamp(self, header):
        digest = hashlib.sha256(self.settings.encode())
        for name in sorted(self.every_file(header)):
            digest.update(f"{name}\n".encode() + (self.root / name).read_bytes())
        return digest.hexdigest()

    @functools.cache
    def every_file(self, header):
        """Our files that a header includes under any condition."""
        seen, left = {header}, [header]
        while left:
            for included in INCLUDE.findall((self.root / left.pop()).read_text()):
                if included not in seen and (self.root / included).is_file():
                    seen.add(included)
                    left.append(included)
        return seen

    def precompile(self, group):
        file = self.folder / f"{group}.hpp"
        file.write_text("".join(f"#include <{name}>\n" for name in GROUPS[group]))
        instantiate = ["-fpch-instantiate-templates"] if self.is_clang else []
        code, said = self.run(*instantiate, "-x", "c++-header", str(file), "-o", f"{file}.gch")
        if code:
            raise SystemExit(f"the group {group} cannot be precompiled:\n{said}")

    def compile(self, header, group):
        file, first = self.folder / f"{group}.hpp", []
        if group:
            first = ["-include-pch", f"{file}.gch"] if self.is_clang else ["-include", str(file), "-Winvalid-pch"]
        return self.run(*first, "-fsyntax-only", "-x", "c++", "-", text=f'#include "{header}"\n')

    def check(self, headers, precompiled=True):
        passed_file = self.folder / "passed.txt"
        passed = set(passed_file.read_text().split()) if passed_file.exists() else set()
        stamps = {header: self.stamp(header) for header in headers}
        left = [header for header in headers if stamps[header] not in passed]
        groups = {header: self.group(header) if precompiled else None for header in left}
        failed = []
        with concurrent.futures.ThreadPoolExecutor(self.jobs) as pool:
            ready = {group: pool.submit(self.precompile, group) for group in GROUPS if group in groups.values()}

            def one(header):
                if groups[header]:
                    ready[groups[header]].result()
                return header, self.compile(header, groups[header])

            # Headers without a group come first, because they need not wait.
            for header, (code, said) in pool.map(one, sorted(left, key=lambda header: groups[header] or "")):
                if code:
                    failed.append(header)
                    print(f"{header} does not compile alone:\n{said}")
        passed = {stamps[header] for header in headers if header not in failed}
        passed_file.write_text("".join(f"{stamp}\n" for stamp in sorted(passed)))
        for file in self.folder.glob("*.gch"):
            file.unlink()  # up to half a gigabyte each
        return left, sorted(failed)


def self_test(arguments):
    """A header that relies on the includes of another is refused, also where a group would have hidden it."""
    arguments.root = arguments.work / "include"
    (arguments.root / "contrapunto").mkdir(parents=True, exist_ok=True)
    leaning = "#pragma once\n#include <{}>\n#include \"contrapunto/tensor.hpp\"\ninline void f() {{ (void)at::{}; }}\n"
    for name, text in {
            "tensor": "#pragma once\n#include <ATen/core/Tensor.h>\ninline at::Tensor g() { return {}; }\n",
            "leans": "#pragma once\ninline at::Tensor h() { return {}; }\n",
            "after": "#pragma once\n#include \"contrapunto/tensor.hpp\"\n#include \"contrapunto/leans.hpp\"\n",
            "operator": leaning.format("vector", "zeros({2})"),
            "good": leaning.format("ATen/ops/zeros.h", "zeros({2})")}.items():
        (arguments.root / "contrapunto" / f"{name}.hpp").write_text(text)
    (arguments.work / "passed.txt").unlink(missing_ok=True)
    headers = [f"contrapunto/{name}.hpp" for name in ("after", "good", "leans", "operator", "tensor")]
    checker = Checker(arguments)
    _, failed = checker.check(headers)
    if failed != ["contrapunto/leans.hpp", "contrapunto/operator.hpp"]:
        sys.exit(f"refused were {failed}")
    compiled, _ = checker.check(headers)
    if compiled != failed:
        sys.exit(f"the second time these were compiled: {compiled}")
    print("self-test of the header check: what leans on another header was refused")


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--root", type=pathlib.Path, help="the folder that holds contrapunto/")
    parser.add_argument("--work", type=pathlib.Path, required=True)
    parser.add_argument("--compiler", required=True)
    parser.add_argument("--flags", type=pathlib.Path, required=True, help="file with a flag in each line")
    parser.add_argument("--jobs", type=int, default=os.cpu_count())
    parser.add_argument("--no-groups", action="store_true", help="precompile nothing")
    parser.add_argument("--exclude", default="$^", help="regular expression of headers that are left out")
    parser.add_argument("--only", default="", help="regular expression of the headers to check")
    parser.add_argument("--self-test", action="store_true", help="check the checker instead of the headers")
    arguments = parser.parse_args()
    if arguments.self_test:
        self_test(arguments)
        return
    headers = sorted(path.relative_to(arguments.root).as_posix() for path in arguments.root.rglob("*.hpp"))
    headers = [header for header in headers
               if not re.search(arguments.exclude, header) and re.search(arguments.only, header)]
    if not headers:
        sys.exit(f"no headers under {arguments.root}")
    begin = time.monotonic()
    compiled, failed = Checker(arguments).check(headers, not arguments.no_groups)
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    print(f"{len(headers)} headers, {len(compiled)} compiled in {time.monotonic() - begin:.0f} s "
          f"({used.ru_utime + used.ru_stime:.0f} s of CPU), {len(failed)} do not compile alone")
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
