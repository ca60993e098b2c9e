# SPDX-FileCopyrightText: 2026 The Contrapunto Authors
# SPDX-License-Identifier: Apache-2.0
"""Times our tiled losses against open_clip's, alternating process by process so that both see the same machine.

    python benchmarks/run_contrastive_loss.py --program build/benchmarks/benchmarks/bench_contrastive_loss

Appends one row per case to benchmarks/results/contrastive_loss.csv and prints them. Medians over the pairs; where
open_clip runs out of memory its columns say so.
"""

import argparse
import pathlib
import platform
import statistics
import sys

from benchmark_rows import append_row, run

HERE = pathlib.Path(__file__).resolve().parent
FIELDS = ["date", "commit", "hardware", "versions", "device", "threads", "loss", "n", "d", "products", "keep_bytes",
          "ours_ms", "open_clip_ms", "speed_ratio", "ours_peak_mb", "open_clip_peak_mb", "memory_ratio",
          "multiplications", "ours_tflops", "product_tflops", "fraction_of_product"]


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--program", required=True, type=pathlib.Path)
    parser.add_argument("--cases", nargs="*", default=[
        "info_nce,2048,512,fp32,0", "info_nce,8192,512,fp32,0", "sigmoid,2048,512,fp32,0", "sigmoid,8192,512,fp32,0",
        "distill,2048,512,fp32,0", "distill,8192,512,fp32,0"],
        help="loss,pairs,features,products,bytes of exponentials to keep")
    parser.add_argument("--pairs", type=int, default=2)
    parser.add_argument("--steps", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--results", type=pathlib.Path, default=HERE / "results" / "contrastive_loss.csv")
    a = parser.parse_args()

    for case in a.cases:
        loss, n, d, products, keep = case.split(",")
        options = ["--loss", loss, "--n", n, "--d", d, "--products", products, "--device", a.device,
                   "--steps", str(a.steps), "--threads", str(a.threads)]
        ours, theirs = [], []
        for _ in range(a.pairs):
            ours.append(run([a.program, *options, "--keep-bytes", keep]))
            theirs.append(run([sys.executable, HERE / "contrastive_loss_open_clip.py", *options]))
        median = lambda runs, key: statistics.median(r[key] for r in runs)  # noqa: E731
        seconds, peak = median(ours, "seconds"), median(ours, "peak_bytes")
        row = {
            "versions": f"{ours[0]['version']}; {theirs[0]['version']}; Python {platform.python_version()}",
            "device": a.device, "threads": a.threads, "loss": loss, "n": n, "d": d, "products": products,
            "keep_bytes": keep, "ours_ms": f"{1e3 * seconds:.2f}", "ours_peak_mb": f"{peak / 2**20:.0f}",
            "multiplications": f"{median(ours, 'multiplications'):.2f}",
            "ours_tflops": f"{median(ours, 'teraflops'):.3g}",
            "product_tflops": f"{median(ours, 'product_teraflops'):.3g}",
            "fraction_of_product": f"{median(ours, 'fraction'):.2f}"}
        if any("out_of_memory" in r for r in theirs):
            row |= dict.fromkeys(["open_clip_ms", "speed_ratio", "open_clip_peak_mb", "memory_ratio"],
                                 "out of memory")
        else:
            if any(abs(r["value"] - ours[0]["value"]) > 5e-3 * abs(ours[0]["value"]) for r in theirs):
                # One seed gives both the same features; under autocast open_clip's loss rounds the logits.
                sys.exit(f"{case}: the losses differ, ours {ours[0]['value']}, theirs {theirs[0]['value']}")
            their_seconds, their_peak = median(theirs, "seconds"), median(theirs, "peak_bytes")
            row |= {"open_clip_ms": f"{1e3 * their_seconds:.2f}", "speed_ratio": f"{their_seconds / seconds:.2f}",
                    "open_clip_peak_mb": f"{their_peak / 2**20:.0f}",
                    "memory_ratio": f"{peak / max(1, their_peak):.3f}"}
        append_row(a.results, FIELDS, row, a.device)
        print(f"{loss} N {n} D {d} {products}, kept {keep}: ours {row['ours_ms']} ms, open_clip "
              f"{row['open_clip_ms']} ms ({row['speed_ratio']}); memory {row['ours_peak_mb']} against "
              f"{row['open_clip_peak_mb']} MB; {row['ours_tflops']} TFLOP/s, {row['fraction_of_product']} of a "
              f"plain product", flush=True)


if __name__ == "__main__":
    main()
