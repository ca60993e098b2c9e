# SPDX-FileCopyrightText: 2026 The Contrapunto Authors
# SPDX-License-Identifier: Apache-2.0
"""What the parity tests share: checks that are counted, and a run of the driver."""

import subprocess

failures = []


def check(ok, line):
    """Prints `line` with the outcome, and counts a failure."""
    print(("ok    " if ok else "FAIL  ") + line)
    if not ok:
        failures.append(line)


def run(driver, *arguments):
    """Returns what the driver prints. It must succeed; its errors appear in the log of the test."""
    return subprocess.run([driver, *map(str, arguments)], check=True, stdout=subprocess.PIPE, text=True).stdout
