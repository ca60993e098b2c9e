# SPDX-FileCopyrightText: 2026 The Contrapunto Authors
# SPDX-License-Identifier: Apache-2.0
"""Compares losses over ranks with open_clip's, and GradCache with sentence-transformers' cached loss."""
import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import torch
import torch.distributed
from open_clip.loss import ClipLoss, SigLipLoss
from parity_checks import check, failures
from safetensors.torch import load_file, save_file
from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer.losses import CachedMultipleNegativesRankingLoss

LAUNCH = Path(__file__).resolve().parents[2] / "scripts" / "launch"
FLOAT = {torch.float32: 1e-6, torch.float64: 1e-13}  # relative to the largest entry of a tensor
PAIRS, NEGATIVES = 24, 2


def off(ours, theirs):
    """Returns NaN, which passes no bound, when there is nothing to compare."""
    largest = theirs.abs().max()
    if ours.shape != theirs.shape or ours.dtype != theirs.dtype or largest == 0:
        return float("nan")
    return ((ours.double() - theirs.double()).abs().max() / largest).item()


def name_of(dtype):
    return str(dtype).removeprefix("torch.")


# Losses over ranks.

CLIP = {"global loss": dict(gather_with_grad=True), "local loss": dict(local_loss=True, gather_with_grad=True),
        "global loss without gradients of gathered features": dict()}
SIGMOID = {"bidir": dict(), "shift": dict(dist_impl="shift"), "gather": dict(dist_impl="gather")}


def open_clip_rank(rank, world, store, given, folder):
    """The result of one rank of open_clip's trainer, before DDP."""
    os.environ["GLOO_SOCKET_IFNAME"] = "lo"
    torch.distributed.init_process_group("gloo", init_method=f"file://{store}", rank=rank, world_size=world)
    data = load_file(given)
    cases = {f"InfoNce.{k}": ClipLoss(rank=rank, world_size=world, **v) for k, v in CLIP.items()}
    cases |= {f"Sigmoid.{k}": SigLipLoss(rank=rank, world_size=world, **v) for k, v in SIGMOID.items()}
    for name, loss_of in cases.items():
        leaf = lambda t: t.clone().requires_grad_()  # noqa: E731
        inputs = dict(x=leaf(data["x"].chunk(world)[rank]), y=leaf(data["y"].chunk(world)[rank]),
                      scale=leaf(data["scale"]))
        if name.startswith("Sigmoid"):
            inputs["bias"] = leaf(data["bias"])
        loss = loss_of(*inputs.values())
        loss.backward()
        save_file(dict(loss=loss.detach(), **{k: v.grad for k, v in inputs.items()}), folder / f"{name}.{rank}")
    torch.distributed.destroy_process_group()


def over_ranks(driver, folder, world, dtype):
    folder = folder / f"{world} {name_of(dtype)}"
    folder.mkdir()
    rows = lambda: torch.nn.functional.normalize(torch.randn(PAIRS, 16, dtype=torch.float64)).to(dtype)  # noqa: E731
    given = folder / "data"
    scale, bias = torch.tensor([14.0, -3.0], dtype=dtype).unbind()
    save_file(dict(x=rows(), y=rows(), scale=scale.clone(), bias=bias.clone()), given)
    torch.multiprocessing.start_processes(open_clip_rank, (world, folder / "store", given, folder), nprocs=world,
                                          start_method="fork")
    subprocess.run([sys.executable, LAUNCH, "-n", str(world), "--grace", "5", "--", driver, "ranks", given, folder],
                   check=True)
    for case in [f"InfoNce.{k}" for k in CLIP] + [f"Sigmoid.{k}" for k in SIGMOID]:
        theirs = [load_file(folder / f"{case}.{rank}") for rank in range(world)]
        mean = lambda runs, key: sum(run[key] for run in runs) / world  # noqa: E731
        # open_clip leaves the gradient of a feature `world` times too large, for DDP then averages the
        # gradients of parameters; ours are each rank's share, to be summed. Scale and bias are
        # parameters: their mean is our sum. Without gradients of gathered features there is no factor
        # `world`, so that DDP makes gradients of the towers `world` times too small; open_clip's default.
        factor = world if "without" not in case else 1
        for way in ("gather", "ring"):
            ours = [load_file(folder / f"{case.split('.')[0]}_{way}.{rank}") for rank in range(world)]
            # Each of our ranks returns the global loss; open_clip's ranks return that of their own rows, or the global loss.
            errors = dict(loss=max(off(run["loss"], mean(theirs, "loss")) for run in ours))
            for key in ("x", "y"):
                errors[key] = max(off(o[key] * factor, t[key]) for o, t in zip(ours, theirs))
            for key in theirs[0].keys() & {"scale", "bias"}:
                errors[key] = off(sum(run[key] for run in ours), mean(theirs, key))
            check(all(error <= FLOAT[dtype] for error in errors.values()),
                  f"{case}, {way}, {world} ranks, {name_of(dtype)}: off by "
                  + ", ".join(f"{k} {v:.1e}" for k, v in errors.items()))


# GradCache.

class Bag(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.bag = torch.nn.EmbeddingBag(60, 24, mode="mean", padding_idx=0)
        self.hidden = torch.nn.Linear(24, 32)
        self.out = torch.nn.Linear(32, 16)

    def forward(self, features):
        features["sentence_embedding"] = self.out(torch.tanh(self.hidden(self.bag(features["input_ids"]))))
        return features


def sentences(count):
    tokens = torch.randint(1, 60, (count, 9))
    return tokens * (torch.arange(9) < torch.randint(2, 10, (count, 1)))


def cached(driver, folder, dtype):
    bag = Bag().to(dtype)
    model = SentenceTransformer(modules=[bag], device="cpu")
    columns = [sentences(PAIRS) for _ in range(2 + NEGATIVES)]
    given, out = folder / "given", folder / "out"
    save_file({f"model.{k}": v for k, v in bag.state_dict().items()}
              | dict(anchor=columns[0], positive=columns[1], negatives=torch.cat(columns[2:])), given)
    for mini_batch, scale in ((7, 1.0), (16, 1.0), (7, 1000.0)):
        subprocess.run([driver, "cached", given, out, str(mini_batch), str(scale)], check=True)
        ours = load_file(out)
        model.zero_grad()
        loss_of = CachedMultipleNegativesRankingLoss(model, scale=20.0, mini_batch_size=mini_batch)
        loss = loss_of([dict(input_ids=c, attention_mask=(c > 0).long()) for c in columns], None)
        (loss * scale).backward()
        errors = dict(loss=off(ours["loss"], loss.detach()))
        errors |= {k: off(ours[k], p.grad) for k, p in bag.named_parameters()}
        check(all(error <= FLOAT[dtype] for error in errors.values()),
              f"GradCache, chunks of {mini_batch}, loss {loss.item():.3f} times {scale:.0f}, {name_of(dtype)}: off by "
              + ", ".join(f"{k} {v:.1e}" for k, v in errors.items()))


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--driver", required=True)
    driver = parser.parse_args().driver
    torch.manual_seed(5)
    start = time.monotonic()
    with tempfile.TemporaryDirectory() as path:
        # The forks come first, because a process with autograd's threads cannot fork. SigLipLoss exchanges both ways from
        # 3 ranks on.
        for world in (2, 3):
            for dtype in FLOAT:
                over_ranks(driver, Path(path), world, dtype)
        for dtype in FLOAT:
            cached(driver, Path(path), dtype)
    print(f"{time.monotonic() - start:.0f} s")
    if failures:
        sys.exit(f"{len(failures)} checks failed")


if __name__ == "__main__":
    main()
