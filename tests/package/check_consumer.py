# SPDX-FileCopyrightText: 2026 The Contrapunto Authors
# SPDX-License-Identifier: Apache-2.0
"""Installs the package, and configures, builds and runs a user's project against it, or checks that it is refused."""
import argparse
import pathlib
import shutil
import subprocess
import sys


def run(*command, check=True):
    done = subprocess.run([str(c) for c in command], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    if check and done.returncode:
        sys.exit(f"{' '.join(map(str, command))}\n{done.stdout}\nended with {done.returncode}")
    return done


def install(arguments):
    shutil.rmtree(arguments.work, ignore_errors=True)
    first = arguments.work / "installed-here"
    run(arguments.cmake, "--install", arguments.build, "--prefix", first)
    first.rename(arguments.work / "prefix")
    print("installed", sum(1 for f in (arguments.work / "prefix").rglob("*") if f.is_file()), "files")


def consume(arguments):
    build = arguments.work / arguments.name
    shutil.rmtree(build, ignore_errors=True)
    prefixes = [str(arguments.prefix or arguments.work / "prefix"), *([arguments.torch] if arguments.torch else [])]
    command = [arguments.cmake, "-S", arguments.source, "-B", build, f"-DCMAKE_PREFIX_PATH={';'.join(prefixes)}",
               *(f"-D{setting}" for setting in arguments.set), *arguments.cmake_arguments]
    configured = run(*command, check=False)
    if arguments.refused:
        said = " ".join(configured.stdout.split())  # CMake breaks lines at any place
        if configured.returncode == 0 or arguments.refused not in said:
            sys.exit(f"expected a refusal that says\n  {arguments.refused}\nbut cmake ended with "
                     f"{configured.returncode} and said\n{configured.stdout}")
        print("refused as it should be:", arguments.refused)
        return
    if configured.returncode:
        sys.exit(configured.stdout)
    run(arguments.cmake, "--build", build)
    print(run(build / "consumer").stdout, end="")


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--work", type=pathlib.Path, required=True)
    steps = parser.add_subparsers(required=True)
    installing = steps.add_parser("install")
    installing.add_argument("--cmake", required=True)
    installing.add_argument("--build", required=True)
    installing.set_defaults(step=install)
    consuming = steps.add_parser("consume")
    consuming.add_argument("--cmake", required=True)
    consuming.add_argument("--name", required=True)
    consuming.add_argument("--source", required=True)
    consuming.add_argument("--prefix", type=pathlib.Path, help="where the package is (default: where install has put it)")
    consuming.add_argument("--torch", help="folder of LibTorch")
    consuming.add_argument("--set", action="append", default=[], metavar="NAME=VALUE")
    consuming.add_argument("--refused", help="configuring must fail and say this")
    consuming.add_argument("cmake_arguments", nargs="*")
    consuming.set_defaults(step=consume)
    arguments = parser.parse_args()
    arguments.step(arguments)


if __name__ == "__main__":
    main()
