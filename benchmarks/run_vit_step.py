# SPDX-FileCopyrightText: 2026 The Contrapunto Authors
# SPDX-License-Identifier: Apache-2.0
"""Times our training step of a ViT against timm's, eager and compiled, alternating process by process.

    python benchmarks/run_vit_step.py --program build/benchmarks/benchmarks/bench_vit_step

Appends one row per case to benchmarks/results/vit_step.csv and prints them. Medians over all steps of all rounds; the
share of the matrix products is that of the time that the products of the blocks alone take in our program.
"""

import argparse
import os
import pathlib
import platform
import statistics
import sys

from benchmark_rows import append_row, run

HERE = pathlib.Path(__file__).resolve().parent
FIELDS = ["date", "commit", "hardware", "versions", "load", "threads", "model", "image_size", "batch", "precision",
          "drop_path", "rounds", "ours_ms", "eager_ms", "compiled_ms", "over_eager", "over_compiled",
          "share_of_products", "ours_peak_mb", "eager_peak_mb", "compiled_peak_mb", "memory_ratio"]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--program", required=True, type=pathlib.Path)
    parser.add_argument("--cases", nargs="*", default=[
        "deit3_small_patch16_224,224,16,fp32,0.1", "deit3_small_patch16_224,224,16,bf16,0.1",
        "deit3_base_patch16_224,224,8,fp32,0.1", "deit3_base_patch16_224,224,8,bf16,0.1"],
        help="model,image size,batch,precision,drop path")
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--steps", type=int, default=4)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--no-compile", action="store_true", help="leave out torch.compile, which takes a minute to start")
    parser.add_argument("--results", type=pathlib.Path, default=HERE / "results" / "vit_step.csv")
    a = parser.parse_args()

    for case in a.cases:
        model, size, batch, precision, drop_path = case.split(",")
        options = ["--model", model, "--image-size", size, "--batch", batch, "--precision", precision,
                   "--drop-path", drop_path, "--steps", str(a.steps), "--threads", str(a.threads)]
        peer = [sys.executable, HERE / "vit_step_timm.py", *options]
        programs = {"ours": [a.program, *options], "eager": peer}
        if not a.no_compile:
            programs["compiled"] = [*peer, "--compile"]
        runs = {name: [] for name in programs}
        load = os.getloadavg()[0]
        for _ in range(a.rounds):
            for name, command in programs.items():
                runs[name].append(run(command))
        ms = {n: 1e3 * statistics.median(t for r in rs for t in r["step_seconds"]) for n, rs in runs.items()}
        peak = {n: statistics.median(r["peak_megabytes"] for r in rs) for n, rs in runs.items()}
        products = 1e3 * statistics.median(r["products_seconds"] for r in runs["ours"])
        row = {
            "versions": f"{runs['ours'][0]['version']}; {runs['eager'][0]['version']}; "
                        f"Python {platform.python_version()}",
            "load": f"{load:.1f}", "threads": a.threads, "model": model, "image_size": size, "batch": batch,
            "precision": precision, "drop_path": drop_path, "rounds": a.rounds, "ours_ms": f"{ms['ours']:.0f}",
            "eager_ms": f"{ms['eager']:.0f}", "over_eager": f"{ms['eager'] / ms['ours']:.2f}",
            "share_of_products": f"{products / ms['ours']:.2f}", "ours_peak_mb": f"{peak['ours']:.0f}",
            "eager_peak_mb": f"{peak['eager']:.0f}",
            "memory_ratio": f"{peak['ours'] / min(v for n, v in peak.items() if n != 'ours'):.2f}"}
        if "compiled" in ms:
            row.update(compiled_ms=f"{ms['compiled']:.0f}", over_compiled=f"{ms['compiled'] / ms['ours']:.2f}",
                       compiled_peak_mb=f"{peak['compiled']:.0f}")
        append_row(a.results, FIELDS, row)
        print(f"{model} {size} batch {batch} {precision}: ours {row['ours_ms']} ms, {row['over_eager']}x eager, "
              f"{row.get('over_compiled', '-')}x compiled; products are {row['share_of_products']} of the step; "
              f"memory {row['memory_ratio']}", flush=True)


if __name__ == "__main__":
    main()
