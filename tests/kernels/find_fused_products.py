# SPDX-FileCopyrightText: 2026 The Contrapunto Authors
# SPDX-License-Identifier: Apache-2.0
"""Compiles FILE to PTX and fails if a product of floating point is fused with a sum.

PTX does not show the parts of divisions, which are correctly rounded. ptxas fuses no operation that has a rounding of
its own, such as mul.rn. A second compilation with -DFUSED must show a fused product, so that the search is known to work.
"""
import argparse
import pathlib
import re
import subprocess
import sys
import tempfile

FUSED = re.compile(r"^\s*(fma|mad)\.\S*f(32|64)\b.*$", re.MULTILINE)


def fused_products(nvcc, include, file, *flags):
    with tempfile.TemporaryDirectory() as folder:
        ptx = pathlib.Path(folder) / "out.ptx"
        subprocess.run([nvcc, "-std=c++17", "-arch=compute_90", "-I", include, *flags, "-ptx", file, "-o", ptx], check=True)
        return [match[0].strip() for match in FUSED.finditer(ptx.read_text())]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("file", type=pathlib.Path)
    parser.add_argument("--nvcc", required=True)
    parser.add_argument("--include", required=True)
    arguments = parser.parse_args()
    if not fused_products(arguments.nvcc, arguments.include, arguments.file, "-DFUSED"):
        sys.exit("the fused product of -DFUSED was not found")
    found = fused_products(arguments.nvcc, arguments.include, arguments.file)
    print(f"{arguments.file.name}: {len(found)} fused products", *found, sep="\n")
    sys.exit(1 if found else 0)


if __name__ == "__main__":
    main()
