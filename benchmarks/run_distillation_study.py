# SPDX-FileCopyrightText: 2026 The Contrapunto Authors
# SPDX-License-Identifier: Apache-2.0
"""Trains students of a CIFAR-10 teacher in many ways, for docs/findings/distillation.md.

    python benchmarks/run_distillation_study.py --programs build/examples --data shared/cifar10 \
      --vocabulary bpe_simple_vocab_16e6.txt.gz --teacher runs/cifar10 --work /tmp/study

The teacher is a run of examples/recipes/cifar10.toml. Appends one row per run to benchmarks/results/distillation_study.csv.
A run that has a row already is left out, so a study that was stopped goes on when the command is given again.
"""

import argparse
import concurrent.futures
import csv
import dataclasses
import json
import os
import pathlib
import shutil
import statistics
import subprocess
import threading

from benchmark_rows import append_row

HERE = pathlib.Path(__file__).resolve().parent
RECIPE = HERE.parent / "examples" / "recipes" / "cifar10.toml"
TEACHER_MODEL = HERE.parent / "examples" / "models" / "cifar-rn.json"
FIELDS = ["date", "commit", "hardware", "study", "student", "method", "alpha", "batch", "chunk", "lr", "epochs", "seed", "samples",
          "top1", "top1_per_epoch", "samples_per_second"]
WIDTHS = {"1/2": 22, "1/4": 16, "1/10": 10}  # of the image tower, whose parameters grow with the square; the teacher's is 32


@dataclasses.dataclass(frozen=True)
class Run:
    """One training run. `method` is a sequence of words joined by '+'; see Study.do()."""

    study: str
    student: str
    method: str
    seed: int = 0
    alpha: float = 0.75
    batch: int = 256
    chunk: int = 0
    lr: float = 2e-3
    epochs: float = 4

    def key(self):
        return tuple(str(v) for v in (self.study, self.student, self.method, self.seed, self.alpha, self.batch, self.lr, self.epochs))


def studies():
    """The runs of the page, the most telling first."""
    methods = ["scratch", "stored", "inherited", "inherited+stored"]
    for seed in range(3):
        for method in methods:
            yield Run("methods", "1/4", method, seed)
    for seed in range(3):
        yield Run("stages", "1/4", "two-stages+stored", seed)
    for seed in range(2):
        yield Run("units", "1/4", "leading+stored", seed)
    for method in methods:
        yield Run("methods", "1/10", method)
    yield Run("alpha", "1/4", "inherited+stored", alpha=0.5)
    yield Run("alpha", "1/4", "inherited+stored", alpha=1.0)
    yield Run("alpha", "1/4", "stored", alpha=1.0)
    yield Run("features", "1/4", "stored+features", alpha=0.5)
    yield Run("features", "1/4", "inherited+stored+features", alpha=0.5)
    yield Run("batch", "1/4", "inherited+stored", batch=2048, chunk=256, lr=4e-3)
    yield Run("batch", "1/4", "scratch", batch=2048, chunk=256, lr=4e-3)
    yield Run("teacher", "1/4", "inherited+online")
    yield Run("equal time", "1/4", "scratch", epochs=9)
    for method in methods:
        yield Run("methods", "1/2", method)
    for seed in (1, 2):
        for method in methods:
            yield Run("methods", "1/10", method, seed)
    for seed in range(2):
        yield Run("stages", "1/10", "two-stages+stored", seed)
    for seed in (1, 2):
        for method in methods:
            yield Run("methods", "1/2", method, seed)


class Study:
    def __init__(self, a):
        self.a = a
        self.lock = threading.Lock()
        self.teacher = a.teacher / "open_clip_model.safetensors"
        self.models = a.work / "models"
        self.models.mkdir(parents=True, exist_ok=True)
        for width in set(WIDTHS.values()):
            self.model(width)

    def model(self, width):
        """The configuration of a student: the teacher's with another width of the image tower."""
        path = self.models / f"cifar-rn-{width}.json"
        config = json.loads(TEACHER_MODEL.read_text())
        config["vision_cfg"]["width"] = width
        path.write_text(json.dumps(config))
        return path

    def run(self, program, *arguments):
        result = subprocess.run([str(self.a.programs / program), *map(str, arguments)], capture_output=True, text=True,
                                env={**os.environ, "OMP_NUM_THREADS": str(self.a.threads)})
        if result.returncode:
            raise SystemExit(f"{program} {' '.join(map(str, arguments))}\n{result.stdout}{result.stderr}")

    def common(self):
        return ["--train-data", self.a.data / "train-{000..019}.tar", "--vocabulary", self.a.vocabulary, "--threads", 1]

    def inherited(self, width, units, weights, source):
        """Weights of a student of this width, taken from a larger model."""
        path = self.a.work / f"{pathlib.Path(source).stem}-to-{width}-{units}.safetensors"
        if not path.exists():
            self.run("inherit_weights", "--weights", weights, "--weights-model", source, "--model", self.model(width),
                     "--units", units, "--vocabulary", self.a.vocabulary, "--output", path)
        return path

    def store(self):
        folder = self.a.work / "store"
        self.run("store_teacher", *self.common(), "--teacher", self.teacher, "--teacher-model", TEACHER_MODEL, "--shift", 4, "--flip",
                 "--views", 4, "--precision", "bf16", "--output", folder)
        return folder

    def train(self, run, width, methods, epochs, output, weights=None):
        """Trains one model; the result is its folder."""
        arguments = ["--config", RECIPE, *self.common(), "--eval-data", self.a.data / "test-{000..003}.tar",
                     "--class-names", self.a.data / "classes.txt", "--model", self.model(width), "--epochs", epochs,
                     "--batch-size", run.batch, "--lr", run.lr, "--ema", 0, "--eval-every", 1, "--seed", run.seed, "--output", output]
        if run.chunk:
            arguments += ["--chunk-size", run.chunk]
        if "stored" in methods:
            arguments += ["--teacher-store", self.a.work / "store", "--distillation", run.alpha]
        if "online" in methods:
            arguments += ["--teacher", self.teacher, "--teacher-model", TEACHER_MODEL, "--distillation", run.alpha]
        if "features" in methods:  # The proportions of CLIP-KD.
            arguments += ["--feature-distillation", 1000, "--interactive-distillation", 0.5]
        if weights:
            arguments += ["--weights", weights]
        shutil.rmtree(output, ignore_errors=True)
        self.run("train_clip", *arguments)
        return output

    def do(self, run):
        width = WIDTHS[run.student]
        methods = run.method.split("+")
        output = self.a.work / "runs" / "-".join(run.key()).replace("/", "_").replace(" ", "_")
        if "two-stages" in methods:
            # Half of the epochs at an intermediate width, then half at the last one, which inherits what was trained.
            middle = {"1/4": 22, "1/10": 18}[run.student]
            first = self.train(run, middle, methods, run.epochs / 2, output.with_name(output.name + "-first"),
                               self.inherited(middle, "magnitude", self.teacher, TEACHER_MODEL))
            weights = first / f"to-{width}.safetensors"
            self.run("inherit_weights", "--weights", first / "open_clip_model.safetensors", "--weights-model", self.model(middle),
                     "--model", self.model(width), "--units", "magnitude", "--vocabulary", self.a.vocabulary, "--output", weights)
            self.train(run, width, methods, run.epochs / 2, output, weights)
        else:
            units = "magnitude" if "inherited" in methods else "leading" if "leading" in methods else ""
            self.train(run, width, methods, run.epochs, output,
                       self.inherited(width, units, self.teacher, TEACHER_MODEL) if units else None)
        with (output / "evaluations.csv").open() as file:
            evaluations = list(csv.DictReader(file))
        log = [json.loads(line) for line in (output / "log.jsonl").read_text().splitlines()]
        speed = statistics.median(line["samples_per_second"] for line in log if "samples_per_second" in line)
        row = {"study": run.study, "student": run.student, "method": run.method, "alpha": run.alpha, "batch": run.batch,
               "chunk": run.chunk, "lr": run.lr, "epochs": run.epochs, "seed": run.seed, "samples": evaluations[-1]["samples"],
               "top1": f"{float(evaluations[-1]['zero_shot_top1']):.4f}",
               "top1_per_epoch": " ".join(f"{float(e['zero_shot_top1']):.4f}" for e in evaluations),
               "samples_per_second": "" if self.a.busy else f"{speed:.0f}"}
        with self.lock:
            append_row(self.a.results, FIELDS, row)
        print(f"{run.study}: {run.student} {run.method} seed {run.seed}, alpha {run.alpha}, batch {run.batch}, lr {run.lr}, "
              f"{run.epochs} epochs: {row['top1_per_epoch']}, {row['samples_per_second']} samples/s", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--programs", required=True, type=pathlib.Path)
    parser.add_argument("--data", required=True, type=pathlib.Path)
    parser.add_argument("--vocabulary", required=True, type=pathlib.Path)
    parser.add_argument("--teacher", required=True, type=pathlib.Path, help="output folder of the teacher's run")
    parser.add_argument("--work", required=True, type=pathlib.Path)
    parser.add_argument("--at-once", type=int, default=2, help="runs at the same time")
    parser.add_argument("--threads", type=int, default=1, help="threads of each run")
    parser.add_argument("--busy", action="store_true", help="the machine does other work: record no speed")
    parser.add_argument("--results", type=pathlib.Path, default=HERE / "results" / "distillation_study.csv")
    a = parser.parse_args()
    study = Study(a)
    done = set()
    if a.results.exists():
        with a.results.open(newline="") as file:
            done = {tuple(row[name] for name in ("study", "student", "method", "seed", "alpha", "batch", "lr", "epochs"))
                    for row in csv.DictReader(file)}
    study.store()
    with concurrent.futures.ThreadPoolExecutor(a.at_once) as pool:
        for result in [pool.submit(study.do, run) for run in studies() if run.key() not in done]:
            result.result()


if __name__ == "__main__":
    main()
