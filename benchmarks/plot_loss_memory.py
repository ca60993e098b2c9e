#!/usr/bin/env python3
# SPDX-FileCopyrightText: 2026 The Contrapunto Authors
# SPDX-License-Identifier: Apache-2.0
"""Draws docs/measurements/large_batches.png, the memory of the loss against the batch size.

It reads benchmarks/results/contrastive_loss.csv, uses the newest row of each batch size, and needs gnuplot.
"""
import csv
import pathlib
import subprocess

ROOT = pathlib.Path(__file__).resolve().parent.parent


def number(text):
    try:
        return float(text)
    except ValueError:
        return None


def main():
    newest = {}
    for row in csv.DictReader((ROOT / "benchmarks/results/contrastive_loss.csv").open()):
        if row["loss"] == "info_nce" and row["device"] == "cpu" and row["products"] == "fp32":
            newest[int(row["n"])] = row
    def points(name):
        return "\n".join(f"{n} {value}" for n, row in sorted(newest.items())
                         if (value := number(row[name])) is not None)
    script = f"""set terminal pngcairo size 900,520 font 'sans,11'
set output '{ROOT / "docs/measurements/large_batches.png"}'
set logscale xy 2
set format x '%.0f'
set format y '%.0f'
set xlabel 'pairs in the batch'
set ylabel 'memory of the loss beyond the features, MB'
set key left top
set grid
$ours << EOD
{points("ours_peak_mb")}
EOD
$peer << EOD
{points("open_clip_peak_mb")}
EOD
plot $peer with linespoints pointtype 7 linewidth 2 title 'open\\_clip ClipLoss', \\
     $ours with linespoints pointtype 7 linewidth 2 title 'TiledInfoNce'
"""
    subprocess.run(["gnuplot"], input=script, text=True, check=True)


if __name__ == "__main__":
    main()
