# SPDX-FileCopyrightText: 2026 The Contrapunto Authors
# SPDX-License-Identifier: Apache-2.0
"""Times GradCache against the whole batch at once, against sentence-transformers' cached loss, and trimmed texts
against full ones, alternating process by process so that all see the same machine. What sentence-transformers' cache
costs over its own whole batch tells how much of the second comparison is the encoder's part.

    python benchmarks/run_grad_cache.py --program build/benchmarks/benchmarks/bench_grad_cache

All compute the gradients of one batch of pairs with one text transformer, whose weights and texts this script makes;
that they come to the same loss and gradient is checked. Appends one row per comparison to
benchmarks/results/grad_cache.csv and prints them. Medians over all steps of all pairs of runs. Peaks are those of the
process, with LibTorch itself; tensor peaks, of the tensors of one step (not counted in Python).
"""

import argparse
import math
import pathlib
import platform
import statistics
import sys
import tempfile

import torch
from benchmark_rows import append_row, run
from open_clip.transformer import TextTransformer
from safetensors.torch import save_file

HERE = pathlib.Path(__file__).resolve().parent
FIELDS = ["date", "commit", "hardware", "versions", "device", "threads", "case", "width", "layers", "pairs", "chunk",
          "mean_tokens", "what", "against", "ms", "against_ms", "time_ratio", "peak_mb", "against_peak_mb",
          "tensor_mb", "against_tensor_mb"]
# Tokens of a caption without start and end, log-normal. The parameters imitate CC12M's captions under CLIP's BPE; they
# were not measured on them.
CAPTION_MEAN, CAPTION_DEVIATION = 22.0, 17.0


def texts(lengths, width, vocabulary):
    """Ids 1 to vocabulary - 3, with the start token first, the end token last and zeros after it."""
    tokens = torch.randint(1, vocabulary - 2, (len(lengths), width))
    tokens[:, 0] = vocabulary - 2
    tokens[torch.arange(len(lengths)), lengths - 1] = vocabulary - 1
    return tokens * (torch.arange(width) < lengths[:, None])


def caption_lengths(count, longest):
    variance = math.log(1 + (CAPTION_DEVIATION / CAPTION_MEAN) ** 2)
    drawn = torch.distributions.LogNormal(math.log(CAPTION_MEAN) - variance / 2, variance**0.5).sample((count,))
    return (drawn.round().clamp(min=1) + 2).clamp(max=longest).long()


def write_inputs(path, tower, anchor, positive):
    weights = {f"model.{k}": v.contiguous() for k, v in tower.state_dict().items()}
    save_file(weights | dict(anchor=anchor, positive=positive), path)


def median(runs, key):
    values = [v for r in runs for v in (r[key] if isinstance(r[key], list) else [r[key]])]
    return statistics.median(values)


def check_same(runs):
    for other in runs:
        for key in ("loss", "gradient_norm"):
            if not abs(other[key] / runs[0][key] - 1) < 1e-4:
                sys.exit(f"the runs compute different things: {key} {runs[0][key]} and {other[key]}")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--program", required=True, type=pathlib.Path)
    parser.add_argument("--cases", nargs="*", default=["pairs", "captions"], choices=["pairs", "captions"])
    parser.add_argument("--batch", type=int, default=512, help="text pairs of the case 'pairs'")
    parser.add_argument("--captions", type=int, default=256, help="pairs of the case 'captions'")
    parser.add_argument("--chunk", type=int, default=64)
    parser.add_argument("--width", type=int, default=256, help="of the text tower of the case 'pairs'")
    parser.add_argument("--layers", type=int, default=4, help="of the same")
    parser.add_argument("--caption-width", type=int, default=512, help="of the case 'captions': as ViT-B-32's")
    parser.add_argument("--caption-layers", type=int, default=12)
    parser.add_argument("--pairs", type=int, default=3, help="runs of each program")
    parser.add_argument("--steps", type=int, default=3, help="timed steps per run")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--results", type=pathlib.Path, default=HERE / "results" / "grad_cache.csv")
    a = parser.parse_args()
    folder = tempfile.TemporaryDirectory()
    path = lambda name: pathlib.Path(folder.name) / name  # noqa: E731
    torch.manual_seed(0)

    def measure(programs):
        """Runs {name: command} in turn and returns the results of each."""
        runs = {name: [] for name in programs}
        for _ in range(a.pairs):
            for name, command in programs.items():
                runs[name].append(run([*map(str, command), "--steps", str(a.steps), "--threads", str(a.threads)]))
        return runs

    def report(runs, comparisons, **columns):
        for what, against in comparisons:
            ours, theirs = runs[what], runs[against]
            versions = dict.fromkeys((ours[0]["version"], theirs[0]["version"]))
            tensors = lambda r: f"{median(r, 'tensor_megabytes'):.1f}" if "tensor_megabytes" in r[0] else ""  # noqa
            row = columns | {
                "versions": f"{'; '.join(versions)}; torch {torch.__version__}; Python {platform.python_version()}",
                "device": "cpu", "threads": a.threads, "chunk": a.chunk, "what": what, "against": against,
                "ms": f"{1e3 * median(ours, 'step_seconds'):.1f}",
                "against_ms": f"{1e3 * median(theirs, 'step_seconds'):.1f}",
                "time_ratio": f"{median(ours, 'step_seconds') / median(theirs, 'step_seconds'):.3f}",
                "peak_mb": f"{median(ours, 'peak_megabytes'):.0f}",
                "against_peak_mb": f"{median(theirs, 'peak_megabytes'):.0f}",
                "tensor_mb": tensors(ours), "against_tensor_mb": tensors(theirs)}
            append_row(a.results, FIELDS, row)
            print(f"{row['case']}: {what} {row['ms']} ms, {against} {row['against_ms']} ms, {row['time_ratio']} of "
                  f"the time; peak {row['peak_mb']} against {row['against_peak_mb']} MB, tensors "
                  f"{row['tensor_mb'] or '?'} against {row['against_tensor_mb'] or '?'} MB", flush=True)

    if "pairs" in a.cases:
        vocabulary, length, heads = 8192, 32, a.width // 64
        tower = TextTransformer(context_length=length, vocab_size=vocabulary, width=a.width, heads=heads,
                                layers=a.layers, output_dim=a.width)
        full = torch.full((a.batch,), length)
        write_inputs(path("pairs"), tower, texts(full, length, vocabulary), texts(full, length, vocabulary))
        peer = HERE / "grad_cache_sentence_transformers.py"
        common = ["--inputs", path("pairs"), "--heads", heads, "--chunk", a.chunk]
        runs = measure({
            "FullBatch": [a.program, *common, "--strategy", "direct"],
            "GradCache": [a.program, *common],
            "GradCache, keep_bytes -1": [a.program, *common, "--keep-bytes", "-1"],
            "sentence-transformers cached": [sys.executable, peer, *common],
            "sentence-transformers direct": [sys.executable, peer, *common, "--strategy", "direct"]})
        check_same([r for several in runs.values() for r in several])
        report(runs, [("GradCache", "FullBatch"), ("GradCache, keep_bytes -1", "FullBatch"),
                      ("GradCache", "sentence-transformers cached"),
                      ("sentence-transformers cached", "sentence-transformers direct")],
               case="pairs", width=a.width, layers=a.layers, pairs=a.batch, mean_tokens=length)

    if "captions" in a.cases:
        # Only the text tower trains: the other side has fixed features.
        vocabulary, length, heads = 49408, 77, a.caption_width // 64
        tower = TextTransformer(context_length=length, vocab_size=vocabulary, width=a.caption_width, heads=heads,
                                layers=a.caption_layers, output_dim=a.caption_width)
        features = torch.randn(a.captions, a.caption_width)
        lengths = caption_lengths(a.captions, length)
        # The cost of 77 tokens for any caption: the end token is the last one.
        for name, chosen in (("trimmed", lengths), ("77 tokens", torch.full_like(lengths, length))):
            write_inputs(path(name), tower, features, texts(chosen, length, vocabulary))
        runs = measure({name: [a.program, "--inputs", path(name), "--heads", heads, "--chunk", a.chunk]
                        for name in ("trimmed", "77 tokens")})
        report(runs, [("trimmed", "77 tokens")], case="captions", width=a.caption_width, layers=a.caption_layers,
               pairs=a.captions, mean_tokens=f"{lengths.double().mean():.1f}")


if __name__ == "__main__":
    main()
