# SPDX-FileCopyrightText: 2026 The Contrapunto Authors
# SPDX-License-Identifier: Apache-2.0
"""Prints the architectures for which a program contains GPU machine code, as cuobjdump --list-elf would."""
import argparse
import pathlib
import struct
import sys

FATBIN = struct.pack("<I", 0xBA55ED50)
MACHINE_CODE = 2  # 1 is PTX
SPECIFIC = 1 << 20  # the "a" of 90a


def architectures(binary):
    found = set()
    start = binary.find(FATBIN)
    while start >= 0:
        version, header, size = struct.unpack_from("<HHQ", binary, start + 4)
        at = start + header
        while version == 1 and at + 48 <= min(start + header + size, len(binary)):
            kind, _, entry_header, entry_size = struct.unpack_from("<HHIQ", binary, at)
            if not entry_header:
                break
            (architecture,) = struct.unpack_from("<I", binary, at + 28)
            (flags,) = struct.unpack_from("<Q", binary, at + 40)
            if kind == MACHINE_CODE:
                found.add(f"{architecture}{'a' if flags & SPECIFIC else ''}")
            at += entry_header + entry_size
        start = binary.find(FATBIN, start + 4)
    return found


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("program", type=pathlib.Path)
    parser.add_argument("--expect", nargs="+", default=[])
    arguments = parser.parse_args()
    found = architectures(arguments.program.read_bytes())
    print(f"{arguments.program.name}: machine code for {', '.join(sorted(found)) or 'no GPU'}")
    missing = set(arguments.expect) - found
    if missing:
        sys.exit(f"no machine code for {', '.join(sorted(missing))}")


if __name__ == "__main__":
    main()
