# SPDX-FileCopyrightText: 2026 The Contrapunto Authors
# SPDX-License-Identifier: Apache-2.0
"""Times our training step against open_clip's, alternating process by process so that both see the same machine.

    python benchmarks/run_training_step.py --program build/benchmarks/benchmarks/bench_training_step

Appends one row per case to benchmarks/results/training_step.csv and prints them. Medians over all steps of all pairs.
"""

import argparse
import pathlib
import platform
import statistics
import sys

from benchmark_rows import append_row, run

HERE = pathlib.Path(__file__).resolve().parent
FIELDS = ["date", "commit", "hardware", "versions", "device", "threads", "model", "batch", "precision", "text_tokens",
          "ours_ms", "open_clip_ms", "speed_ratio", "ours_peak_mb", "open_clip_peak_mb", "memory_ratio",
          "ours_first_step_s", "open_clip_first_step_s"]


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--program", required=True, type=pathlib.Path)
    parser.add_argument("--cases", nargs="*", default=[
        "ViT-B-32,32,fp32,77", "ViT-B-32,32,fp32,24", "ViT-B-32,32,bf16,77", "ViT-B-32,32,bf16,24",
        "RN50,16,fp32,77", "RN50,16,fp32,24", "RN50,16,bf16,77", "RN50,16,bf16,24"],
        help="model,batch,precision,tokens of the longest text in the batch")
    parser.add_argument("--pairs", type=int, default=2)
    parser.add_argument("--steps", type=int, default=4)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--results", type=pathlib.Path, default=HERE / "results" / "training_step.csv")
    a = parser.parse_args()

    for case in a.cases:
        model, batch, precision, tokens = case.split(",")
        options = ["--model", model, "--batch", batch, "--precision", precision, "--text-tokens", tokens,
                   "--steps", str(a.steps), "--threads", str(a.threads), "--device", a.device]
        ours, theirs = [], []
        for _ in range(a.pairs):
            ours.append(run([a.program, *options]))
            theirs.append(run([sys.executable, HERE / "training_step_open_clip.py", *options]))
        median = lambda runs: statistics.median(t for r in runs for t in r["step_seconds"])  # noqa: E731
        peak = lambda runs: statistics.median(r["peak_megabytes"] for r in runs)  # noqa: E731
        first = lambda runs: statistics.median(r["first_step_seconds"] for r in runs)  # noqa: E731
        row = {
            "versions": f"{ours[0]['version']}; {theirs[0]['version']}; Python {platform.python_version()}",
            "device": a.device, "threads": a.threads, "model": model, "batch": batch, "precision": precision,
            "text_tokens": tokens, "ours_ms": f"{1e3 * median(ours):.1f}",
            "open_clip_ms": f"{1e3 * median(theirs):.1f}",
            "speed_ratio": f"{median(theirs) / median(ours):.2f}", "ours_peak_mb": f"{peak(ours):.0f}",
            "open_clip_peak_mb": f"{peak(theirs):.0f}", "memory_ratio": f"{peak(ours) / peak(theirs):.2f}",
            "ours_first_step_s": f"{first(ours):.2f}", "open_clip_first_step_s": f"{first(theirs):.2f}"}
        append_row(a.results, FIELDS, row, a.device)
        print(f"{model} batch {batch} {precision}, texts of {tokens}: ours {row['ours_ms']} ms, open_clip "
              f"{row['open_clip_ms']} ms, {row['speed_ratio']}x; memory {row['ours_peak_mb']} against "
              f"{row['open_clip_peak_mb']} MB; first step {row['ours_first_step_s']} against "
              f"{row['open_clip_first_step_s']} s", flush=True)


if __name__ == "__main__":
    main()
