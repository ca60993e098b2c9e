# SPDX-FileCopyrightText: 2026 The Contrapunto Authors
# SPDX-License-Identifier: Apache-2.0
"""Times a training step of one ViT with each kind of attention at several image sizes, for docs/findings/vit_efficiency.md.

    python benchmarks/run_attention_kinds.py --program build/benchmarks/benchmarks/bench_vit_step

Appends one row per size and kind to benchmarks/results/attention_kinds.csv and prints them. All kinds of a size run one after the other,
`--rounds` times; times are medians over all steps.
"""

import argparse
import os
import pathlib
import statistics

from benchmark_rows import append_row, run

HERE = pathlib.Path(__file__).resolve().parent
FIELDS = ["date", "commit", "hardware", "load", "threads", "model", "precision", "image_size", "tokens", "batch", "attention",
          "step_ms", "peak_mb", "time_over_global", "memory_over_global"]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--program", required=True, type=pathlib.Path)
    parser.add_argument("--model", default="vit_small_patch16_224")
    parser.add_argument("--sizes", nargs="*", default=["128,32", "256,8", "512,2", "1024,1"], help="image size,batch")
    parser.add_argument("--kinds", nargs="*", default=["global", "window8", "window8, window8, window8, global", "linear", "focused"])
    parser.add_argument("--precision", default="fp32")
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--steps", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--results", type=pathlib.Path, default=HERE / "results" / "attention_kinds.csv")
    a = parser.parse_args()
    for case in a.sizes:
        size, batch = case.split(",")
        runs = {kind: [] for kind in a.kinds}
        load = os.getloadavg()[0]
        for _ in range(a.rounds):
            for kind in a.kinds:
                runs[kind].append(run([a.program, "--model", a.model, "--image-size", size, "--batch", batch, "--attention", kind,
                                       "--precision", a.precision, "--steps", str(a.steps), "--threads", str(a.threads)]))
        ms = {kind: 1e3 * statistics.median(t for r in rs for t in r["step_seconds"]) for kind, rs in runs.items()}
        peak = {kind: statistics.median(r["peak_megabytes"] for r in rs) for kind, rs in runs.items()}
        for kind in a.kinds:
            row = {"load": f"{load:.1f}", "threads": a.threads, "model": a.model, "precision": a.precision, "image_size": size,
                   "tokens": (int(size) // 16) ** 2, "batch": batch, "attention": kind, "step_ms": f"{ms[kind]:.0f}",
                   "peak_mb": f"{peak[kind]:.0f}", "time_over_global": f"{ms[kind] / ms[a.kinds[0]]:.2f}",
                   "memory_over_global": f"{peak[kind] / peak[a.kinds[0]]:.2f}"}
            append_row(a.results, FIELDS, row)
            print(f"{size} pixels, batch {batch}, {kind}: {row['step_ms']} ms ({row['time_over_global']}), {row['peak_mb']} MB "
                  f"({row['memory_over_global']})", flush=True)


if __name__ == "__main__":
    main()
