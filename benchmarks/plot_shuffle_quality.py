#!/usr/bin/env python3
# SPDX-FileCopyrightText: 2026 The Contrapunto Authors
# SPDX-License-Identifier: Apache-2.0
"""Draws docs/guides/shuffle.png, the quality of the shuffle against the samples that are shuffled together.

It reads benchmarks/results/shuffle_quality.csv and needs gnuplot.
"""
import csv
import pathlib
import subprocess

ROOT = pathlib.Path(__file__).resolve().parent.parent


def main():
    rows = list(csv.DictReader((ROOT / "benchmarks/results/shuffle_quality.csv").open()))

    def points(order):
        return "\n".join(f"{row['samples_in_flight']} {row['same_shard_pairs']}" for row in rows if row["order"] == order)

    script = f"""set terminal pngcairo size 900,520 font 'sans,11'
set output '{ROOT / "docs/guides/shuffle.png"}'
set logscale xy 10
set format x '10^{{%L}}'
set xlabel 'samples that are shuffled together'
set ylabel 'pairs from one shard in a batch, relative to a perfect shuffle'
set key right top
set grid
$shards << EOD
{points("shards")}
EOD
$pieces << EOD
{points("pieces")}
EOD
plot $shards with linespoints pointtype 7 linewidth 2 title 'windows of whole shards (--shuffle-window)', \\
     $pieces with linespoints pointtype 7 linewidth 2 title 'pieces of 256 samples from 256 shards (--read-piece)'
"""
    subprocess.run(["gnuplot"], input=script, text=True, check=True)


if __name__ == "__main__":
    main()
