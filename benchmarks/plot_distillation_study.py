#!/usr/bin/env python3
# SPDX-FileCopyrightText: 2026 The Contrapunto Authors
# SPDX-License-Identifier: Apache-2.0
"""Draws docs/findings/distillation.png from benchmarks/results/distillation_study.csv, and prints the means over the seeds.

It needs gnuplot.
"""
import collections
import csv
import pathlib
import statistics
import subprocess

ROOT = pathlib.Path(__file__).resolve().parent.parent


def main():
    groups = collections.defaultdict(list)
    for row in csv.DictReader((ROOT / "benchmarks/results/distillation_study.csv").open()):
        key = tuple(row[name] for name in ("study", "student", "method", "alpha", "batch", "lr", "epochs"))
        groups[key].append([100 * float(value) for value in row["top1_per_epoch"].split()])
    curves = {}
    for (study, student, method, *settings), runs in groups.items():
        ends = [run[-1] for run in runs]
        print(f"{study:11} {student:5} {method:20} {' '.join(settings):20} {statistics.mean(ends):6.2f} % "
              f"({', '.join(f'{end:.2f}' for end in sorted(ends))})")
        if study == "methods" and student == "1/4":
            curves[method] = [statistics.mean(values) for values in zip(*runs)]
    blocks = "\n".join(f"$c{i} << EOD\n" + "\n".join(f"{epoch} {top1}" for epoch, top1 in enumerate(curve, 1)) + "\nEOD"
                       for i, curve in enumerate(curves.values()))
    plots = ", ".join(f"$c{i} with linespoints lw 2 pt 7 title '{name.replace('+stored', ' + distilled').replace('stored', 'distilled')}'"
                      for i, name in enumerate(curves))
    script = f"""set terminal pngcairo size 900,520 font 'sans,11'
set output '{ROOT / "docs/findings/distillation.png"}'
set xlabel 'epoch'
set ylabel 'zero-shot top-1 on CIFAR-10, %'
set xtics 1
set key right bottom
set grid
{blocks}
plot {plots}
"""
    subprocess.run(["gnuplot"], input=script, text=True, check=True)


if __name__ == "__main__":
    main()
