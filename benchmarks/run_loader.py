# SPDX-FileCopyrightText: 2026 The Contrapunto Authors
# SPDX-License-Identifier: Apache-2.0
"""Times our loader against decoding alone and against the loaders of open_clip and torchvision, one after another in each round.

    pip install 'webdataset<=0.2.86' pandas  # for open_clip's pipeline
    python benchmarks/run_loader.py --program build/benchmarks/benchmarks/bench_loader --photos 'photos/train-*.tar' \\
        --cifar10 'cifar10/train-00[0-1].tar' --vocabulary .cache/bpe_simple_vocab_16e6.txt.gz

Every program runs on one core, and the ratios are of its user and system time per image, which other processes of the machine disturb
less than the time of the clock. Appends one row per case to benchmarks/results/loader.csv and prints them. Medians over the rounds.
The photographs are also written with a shorter side of 256 pixels to the folder --work.
"""

import argparse
import glob
import io
import os
import pathlib
import platform
import statistics
import sys
import tarfile

from PIL import Image
from benchmark_rows import append_row, run

HERE = pathlib.Path(__file__).resolve().parent
FIELDS = ["date", "commit", "hardware", "versions", "load", "data", "crop", "interpolation", "size", "rounds",
          "decode_cpu_ms", "ours_cpu_ms", "rate_of_decode_alone_cpu", "open_clip_cpu_ms", "over_open_clip_cpu",
          "torchvision_cpu_ms", "over_torchvision_cpu", "ours_wall_ms", "two_threads_wall_ms", "two_threads_wall_speedup",
          "two_threads_cpu_ms", "decode_share", "transform_share", "read_share", "tokenize_share"]


def write_smaller(shards, folder, quality, side=256):
    """Writes the photographs with a shorter side of `side` pixels as one shard, and returns its path."""
    path = folder / f"photos-{side}-q{quality}.tar"
    if path.exists():
        return path
    with tarfile.open(path.with_suffix(".part"), "w") as out:
        for shard in sorted(glob.glob(shards)):
            with tarfile.open(shard) as source:
                for member in source:
                    data = source.extractfile(member).read()
                    if member.name.endswith(".jpg"):
                        image = Image.open(io.BytesIO(data)).convert("RGB")
                        scale = side / min(image.size)
                        image = image.resize([round(n * scale) for n in image.size], Image.Resampling.BICUBIC)
                        encoded = io.BytesIO()
                        image.save(encoded, "JPEG", quality=quality)
                        data = encoded.getvalue()
                    elif not member.name.endswith(".txt"):
                        continue
                    info = tarfile.TarInfo(member.name)
                    info.size = len(data)
                    out.addfile(info, io.BytesIO(data))
    path.with_suffix(".part").rename(path)
    return path


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--program", required=True, type=pathlib.Path)
    parser.add_argument("--photos", required=True, help="pattern of shards")
    parser.add_argument("--cifar10", required=True, help="pattern of shards")
    parser.add_argument("--vocabulary", required=True, type=pathlib.Path)
    parser.add_argument("--work", type=pathlib.Path, default=pathlib.Path("build/loader-data"))
    parser.add_argument("--cases", nargs="*", default=[
        f"{data},{crop},{size}" for data, size in (("photos", 224), ("photos-256-q80", 224), ("photos-256-q95", 224),
                                                   ("cifar10", 32)) for crop in ("0.9,bicubic", "0.08,bilinear")],
        help="data,smallest fraction of the area,interpolation,side of the square in pixels")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--images", type=int, default=1000, help="of our programs; the Python programs load fewer")
    parser.add_argument("--core", type=int, default=max(os.sched_getaffinity(0)))
    parser.add_argument("--results", type=pathlib.Path, default=HERE / "results" / "loader.csv")
    a = parser.parse_args()

    a.work.mkdir(parents=True, exist_ok=True)
    data = {"photos": a.photos, "cifar10": a.cifar10}
    for quality in (80, 95):
        data[f"photos-256-q{quality}"] = str(write_smaller(a.photos, a.work, quality))
    os.environ["OMP_NUM_THREADS"] = "1"
    every_core = os.sched_getaffinity(0)
    for case in a.cases:
        name, crop, interpolation, size = case.split(",")
        options = ["--data", data[name], "--crop", crop, "--interpolation", interpolation, "--size", size]
        ours = [a.program, *options, "--images", str(a.images), "--vocabulary", a.vocabulary]
        few = str(a.images // 2)
        programs = {
            "decode": [a.program, *options, "--images", str(a.images), "--decode-only"], "ours": ours,
            "open_clip": [sys.executable, HERE / "loader_open_clip.py", *options, "--images", few],
            "torchvision": [sys.executable, HERE / "loader_torchvision.py", *options, "--images", few]}
        runs = {program: [] for program in [*programs, "two_threads"]}
        loads = []
        for _ in range(a.rounds):
            loads.append(os.getloadavg()[0])
            os.sched_setaffinity(0, {a.core})
            for program, command in programs.items():
                runs[program].append(run(command))
            os.sched_setaffinity(0, every_core)
            runs["two_threads"].append(run([*ours, "--threads", "2"]))
        per_image = lambda r, kind: 1e3 * r[f"{kind}_seconds"] / r["images"]  # noqa: E731
        median = lambda program, kind: statistics.median(per_image(r, kind) for r in runs[program])  # noqa: E731
        # The parts of a round run one after another, so their ratio is taken in each round.
        ratio = lambda one, other, kind="cpu": statistics.median(  # noqa: E731
            per_image(r, kind) / per_image(s, kind) for r, s in zip(runs[one], runs[other]))
        stages = [r["stage_seconds"] for r in runs["ours"]]
        share = lambda stage: statistics.median(s[stage] / sum(s.values()) for s in stages)  # noqa: E731
        row = {
            "versions": "; ".join([runs[p][0]["version"] for p in ("ours", "open_clip", "torchvision")]
                                  + [f"Python {platform.python_version()}"]),
            "load": f"{statistics.median(loads):.1f}", "data": name, "crop": crop, "interpolation": interpolation,
            "size": size, "rounds": a.rounds,
            "decode_cpu_ms": f"{median('decode', 'cpu'):.3f}", "ours_cpu_ms": f"{median('ours', 'cpu'):.3f}",
            "rate_of_decode_alone_cpu": f"{ratio('decode', 'ours'):.3f}",
            "open_clip_cpu_ms": f"{median('open_clip', 'cpu'):.3f}",
            "over_open_clip_cpu": f"{ratio('open_clip', 'ours'):.2f}",
            "torchvision_cpu_ms": f"{median('torchvision', 'cpu'):.3f}",
            "over_torchvision_cpu": f"{ratio('torchvision', 'ours'):.2f}",
            "ours_wall_ms": f"{median('ours', 'wall'):.3f}",
            "two_threads_wall_ms": f"{median('two_threads', 'wall'):.3f}",
            "two_threads_wall_speedup": f"{ratio('ours', 'two_threads', 'wall'):.2f}",
            "two_threads_cpu_ms": f"{median('two_threads', 'cpu'):.3f}",
            **{f"{stage}_share": f"{share(stage):.3f}" for stage in ("decode", "transform", "read", "tokenize")}}
        append_row(a.results, FIELDS, row)
        print(f"{name}, crops from {crop}, {interpolation}: {row['ours_cpu_ms']} ms an image, "
              f"{row['rate_of_decode_alone_cpu']} of the rate of decoding alone, {row['over_open_clip_cpu']}x open_clip, "
              f"{row['over_torchvision_cpu']}x torchvision; two threads {row['two_threads_wall_speedup']}x; "
              f"load {row['load']}", flush=True)


if __name__ == "__main__":
    main()
