#!/usr/bin/env python3
# SPDX-FileCopyrightText: 2026 The Contrapunto Authors
# SPDX-License-Identifier: Apache-2.0
"""Checks that the trainers have the same sections in the same order, and examples at most as many lines as agreed."""
import pathlib
import re
import sys

EXAMPLES = pathlib.Path(__file__).resolve().parents[1] / "examples"
SECTIONS = ["Settings", "Ranks, device, precision", "Data", "Model", "Loss", "Optimizer, schedule, averages",
            "Step: batch in, gradients out", "Plan", "Resume", "Sinks of the step record", "Evaluation", "The loop",
            "Results"]
TRAINER_LINES, COMPONENT_LINES = 350, 80
# A compression is a trainer within a loop over stages.
LONGER = {"train_tinyclip.cpp": 440}


def main():
    wrong = []
    for path in sorted(EXAMPLES.glob("train_*.cpp")):
        text = path.read_text()
        found = re.findall(r"// ==== (.*?) =+$", text, re.MULTILINE)
        if found != SECTIONS:
            wrong.append(f"{path.name}: its sections are {found}, expected {SECTIONS}")
        limit = LONGER.get(path.name, TRAINER_LINES)
        if text.count("\n") > limit:
            wrong.append(f"{path.name} has {text.count(chr(10))} lines, at most {limit} are agreed")
    for path in sorted((EXAMPLES / "components").glob("*.cpp")):
        if (count := path.read_text().count("\n")) > COMPONENT_LINES:
            wrong.append(f"components/{path.name} has {count} lines, at most {COMPONENT_LINES} are agreed")
    if wrong:
        sys.exit("\n".join(wrong))


if __name__ == "__main__":
    main()
