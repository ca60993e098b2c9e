# SPDX-FileCopyrightText: 2026 The Contrapunto Authors
# SPDX-License-Identifier: Apache-2.0
"""Trains one small ViT on CIFAR-10 with each technique alone and with several together, for docs/findings/vit_efficiency.md.

    python benchmarks/run_vit_study.py --programs build/examples --data shared/cifar10 --work /tmp/vit_study

Appends one row per run to benchmarks/results/vit_study.csv. A run that has a row already is left out, so a study that was stopped goes
on when the command is given again. It records no speed, because several runs share the machine; run_vit_step.py does.
"""

import argparse
import concurrent.futures
import csv
import json
import os
import pathlib
import shutil
import subprocess
import threading

from benchmark_rows import append_row

HERE = pathlib.Path(__file__).resolve().parent
FIELDS = ["date", "commit", "hardware", "technique", "seed", "samples", "top1", "top1_per_epoch"]
BASE = {"image_size": 32, "patch_size": 4, "width": 96, "layers": 4, "head_width": 32, "no_ln_pre": True, "patch_bias": True,
        "initialization": "timm", "qkv_bias": "all"}
MIXED_PLAN = "window4, shifted4, window4, global"
# Changes of the model, and settings of train_vit.
TECHNIQUES = {
    "base": ({}, []),
    "bf16": ({}, ["--precision", "bf16"]),
    "windows of 4": ({"attention": "window4"}, []),
    "windows of 4, shifted": ({"attention": "window4, shifted4"}, []),
    "windows, last layer global": ({"attention": MIXED_PLAN}, []),
    "linear": ({"attention": "linear"}, []),
    "focused linear": ({"attention": "focused"}, []),
    "LayerScale 0.1": ({"ls_init_value": 0.1}, []),
    "relative bias": ({"relative_bias": "table"}, []),
    "rotary": ({"rotary": {"kind": "axial", "temperature": 100.0}}, []),
    "Muon": ({}, ["--optimizer", "muon"]),
    "half at 16 pixels": ({}, ["--phases", "until 50%: image-size 16"]),
    "together": ({"attention": MIXED_PLAN, "ls_init_value": 0.1, "relative_bias": "table"},
                 ["--optimizer", "muon", "--phases", "until 50%: image-size 16", "--precision", "bf16"]),
}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--programs", required=True, type=pathlib.Path)
    parser.add_argument("--data", required=True, type=pathlib.Path)
    parser.add_argument("--work", required=True, type=pathlib.Path)
    parser.add_argument("--at-once", type=int, default=2, help="runs at the same time, each on one thread")
    parser.add_argument("--results", type=pathlib.Path, default=HERE / "results" / "vit_study.csv")
    a = parser.parse_args()
    a.work.mkdir(parents=True, exist_ok=True)
    lock = threading.Lock()

    def do(technique, seed):
        changes, settings = TECHNIQUES[technique]
        name = f"{technique}-{seed}".replace(" ", "_").replace(",", "")
        model, output = a.work / f"{name}.json", a.work / name
        model.write_text(json.dumps({"vision_cfg": {**BASE, **changes}}))
        shutil.rmtree(output, ignore_errors=True)
        command = [a.programs / "train_vit", "--model", model, "--train-data", a.data / "train-{000..007}.tar", "--eval-data",
                   a.data / "test-{000..003}.tar", "--index-folder", a.work, "--batch-size", 128, "--epochs", 3, "--lr", 2e-3,
                   "--crop-area", 1, "--shift", 4, "--flip", "--weight-decay", 0.05, "--label-smoothing", 0.1, "--cache-decoded", "--threads",
                   1, "--seed", seed, "--output", output, *settings]
        result = subprocess.run(list(map(str, command)), capture_output=True, text=True, env={**os.environ, "OMP_NUM_THREADS": "1"})
        if result.returncode:
            raise SystemExit(f"{technique}\n{result.stdout}{result.stderr}")
        with (output / "evaluations.csv").open() as file:
            evaluations = list(csv.DictReader(file))
        row = {"technique": technique, "seed": seed, "samples": evaluations[-1]["samples"], "top1": f"{float(evaluations[-1]['top1']):.4f}",
               "top1_per_epoch": " ".join(f"{float(e['top1']):.4f}" for e in evaluations)}
        with lock:
            append_row(a.results, FIELDS, row)
            print(f"{technique}, seed {seed}: {row['top1_per_epoch']}", flush=True)

    done = set()
    if a.results.exists():
        with a.results.open(newline="") as file:
            done = {(row["technique"], row["seed"]) for row in csv.DictReader(file)}
    with concurrent.futures.ThreadPoolExecutor(a.at_once) as pool:
        runs = [pool.submit(do, technique, seed) for seed in range(3) for technique in TECHNIQUES
                if (technique, str(seed)) not in done]
        for run in runs:
            run.result()


if __name__ == "__main__":
    main()
