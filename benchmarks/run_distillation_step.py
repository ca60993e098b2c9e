# SPDX-FileCopyrightText: 2026 The Contrapunto Authors
# SPDX-License-Identifier: Apache-2.0
"""Times a distilling step against its parts and against open_clip's, alternating process by process.

    python benchmarks/run_distillation_step.py --program build/benchmarks/benchmarks/bench_distillation_step

Appends one row per case to benchmarks/results/distillation_step.csv and prints them. Medians over all steps of all pairs.
"""

import argparse
import pathlib
import platform
import statistics
import sys

from benchmark_rows import append_row, run

HERE = pathlib.Path(__file__).resolve().parent
FIELDS = ["date", "commit", "hardware", "versions", "device", "threads", "student", "teacher", "batch", "precision", "text_tokens",
          "student_ms", "teacher_forward_ms", "distilling_ms", "of_student_and_teacher", "stored_ms", "of_student",
          "open_clip_ms", "speed_ratio", "ours_peak_mb", "open_clip_peak_mb"]


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--program", required=True, type=pathlib.Path)
    parser.add_argument("--cases", nargs="*", default=["ViT-S-32,ViT-B-32,32,fp32,77", "ViT-S-32,ViT-B-32,32,fp32,24",
                                                       "ViT-S-32,ViT-B-32,32,bf16,77", "ViT-S-32,ViT-B-32,32,bf16,24"],
                        help="student,teacher,batch,precision,tokens of the longest text in the batch")
    parser.add_argument("--pairs", type=int, default=2)
    parser.add_argument("--steps", type=int, default=5)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--results", type=pathlib.Path, default=HERE / "results" / "distillation_step.csv")
    a = parser.parse_args()

    for case in a.cases:
        student, teacher, batch, precision, tokens = case.split(",")
        options = ["--model", student, "--teacher", teacher, "--batch", batch, "--precision", precision,
                   "--text-tokens", tokens, "--steps", str(a.steps), "--threads", str(a.threads), "--device", a.device]
        parts, ours, theirs = [], [], []
        for _ in range(a.pairs):
            parts.append(run([a.program, *options]))
            ours.append(run([a.program, *options, "--with-teacher-only"]))
            theirs.append(run([sys.executable, HERE / "distillation_step_open_clip.py", *options]))
        median = lambda runs, name: statistics.median(t for r in runs for t in r[name])  # noqa: E731
        peak = lambda runs: statistics.median(r["peak_megabytes"] for r in runs)  # noqa: E731
        # The parts of a round run one after another, so their ratio is taken in each round.
        both = statistics.median(d / (s + t) for r in parts for d, s, t in
                                 zip(r["step_seconds"], r["student_seconds"], r["teacher_seconds"]))
        stored = statistics.median(d / s for r in parts for d, s in zip(r["stored_seconds"], r["student_seconds"]))
        row = {
            "versions": f"{ours[0]['version']}; {theirs[0]['version']}; Python {platform.python_version()}",
            "device": a.device, "threads": a.threads, "student": student, "teacher": teacher, "batch": batch,
            "precision": precision, "text_tokens": tokens,
            "student_ms": f"{1e3 * median(parts, 'student_seconds'):.1f}",
            "teacher_forward_ms": f"{1e3 * median(parts, 'teacher_seconds'):.1f}",
            "distilling_ms": f"{1e3 * median(ours, 'step_seconds'):.1f}", "of_student_and_teacher": f"{both:.3f}",
            "stored_ms": f"{1e3 * median(parts, 'stored_seconds'):.1f}", "of_student": f"{stored:.3f}",
            "open_clip_ms": f"{1e3 * median(theirs, 'step_seconds'):.1f}",
            "speed_ratio": f"{median(theirs, 'step_seconds') / median(ours, 'step_seconds'):.2f}",
            "ours_peak_mb": f"{peak(ours):.0f}", "open_clip_peak_mb": f"{peak(theirs):.0f}"}
        append_row(a.results, FIELDS, row, a.device)
        print(f"{student} from {teacher}, batch {batch} {precision}, texts of {tokens}: {row['distilling_ms']} ms, "
              f"{row['of_student_and_teacher']} of student and teacher, with a store {row['of_student']} of the student; "
              f"open_clip {row['open_clip_ms']} ms, {row['speed_ratio']}x; memory {row['ours_peak_mb']} against "
              f"{row['open_clip_peak_mb']} MB", flush=True)


if __name__ == "__main__":
    main()
