# SPDX-FileCopyrightText: 2026 The Contrapunto Authors
# SPDX-License-Identifier: Apache-2.0
"""Compares training with open_clip and torch: the same steps from the same weights, and the schedules."""
import argparse
import json
import math
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import torch
from open_clip.loss import ClipLoss, SigLipLoss
from open_clip.model import CLIP
from open_clip_train.scheduler import const_lr, const_lr_cooldown, cosine_lr
from safetensors.torch import load_file, save_file

TEXT = dict(context_length=16, vocab_size=100, width=64, heads=4, layers=2)
VIT = dict(image_size=32, layers=2, width=64, patch_size=8, head_width=16)
RESNET = dict(image_size=32, layers=[1, 1, 1, 1], width=16, head_width=32)
LOSS = 1e-4      # relative, at every step
EXACT = 1e-9     # the same in float64
DRIFT = 0.3      # the same of a ResNet in float32, after its first two steps
WEIGHTS = 1e-3   # absolute, at the end; and a hundredth of how far weights moved
RATES = 1e-12    # relative
failures = []


def check(ok, line):
    print(("ok    " if ok else "FAIL  ") + line)
    if not ok:
        failures.append(line)


def run(driver, *arguments):
    return subprocess.run([driver, *map(str, arguments)], check=True, stdout=subprocess.PIPE, text=True).stdout


def decayed(name, parameter):
    """open_clip's rule since its main branch of 2026: as modules declare, not by parts of names."""
    return parameter.ndim > 1 and name not in ("positional_embedding", "visual.positional_embedding")


def batches(count, size):
    text = torch.randint(1, 98, (count, size, TEXT["context_length"]))
    for row in text.view(-1, TEXT["context_length"]):
        end = torch.randint(2, TEXT["context_length"], ()).item()
        row[end] = 99
        row[end + 1:] = 0
    return dict(image=torch.randn(count, size, 3, 32, 32), text=text)


def train(model, spec, data):
    sigmoid = "init_logit_bias" in spec
    loss_of = SigLipLoss() if sigmoid else ClipLoss()
    betas, eps = ((0.9, 0.98), 1e-6) if spec["family"] == "ViT" else ((0.9, 0.999), 1e-8)
    named = list(model.named_parameters())
    optimizer = torch.optim.AdamW(
        [dict(params=[p for n, p in named if not decayed(n, p)], weight_decay=0.0),
         dict(params=[p for n, p in named if decayed(n, p)], weight_decay=spec["weight_decay"])],
        lr=spec["lr"], betas=betas, eps=eps)
    schedule = cosine_lr(optimizer, spec["lr"], spec["warmup"], spec["steps"])
    curve = dict(loss=[], lr=[], norm=[])
    model.train()
    for step in range(spec["steps"]):
        curve["lr"].append(schedule(step))
        optimizer.zero_grad()
        batch = step % len(data["image"])
        features = model(data["image"][batch], data["text"][batch])
        loss = loss_of(*features)
        loss.backward()
        curve["loss"].append(loss.item())
        curve["norm"].append(torch.nn.utils.clip_grad_norm_(model.parameters(), spec["clip"]).item())
        optimizer.step()
        with torch.no_grad():
            model.logit_scale.clamp_(0, math.log(100))
    return {k: torch.tensor(v, dtype=torch.float64) for k, v in curve.items()}


def training(driver, folder, name, steps, float64=False, **extra):
    torch.manual_seed(5)
    spec = dict(embed_dim=64, vision_cfg=RESNET if name == "RN" else VIT, text_cfg=TEXT, **extra)
    model = CLIP(**spec)
    spec |= dict(family=name, steps=steps, lr=1e-3, warmup=10, weight_decay=0.2, clip=1.0, float64=float64)
    spec_file, start, given, final, curve = (folder / x for x in ("spec", "start", "data", "final", "curve"))
    spec_file.write_text(json.dumps(spec))
    save_file({k: v.contiguous() for k, v in model.state_dict().items()}, start)
    data = batches(4, 16)
    save_file(data, given)
    title = f"{name}{' sigmoid' if 'init_logit_bias' in spec else ''} float{64 if float64 else 32}, {steps} steps"

    names = set(run(driver, "groups", spec_file, start).split())
    check(names == {n for n, p in model.named_parameters() if decayed(n, p)}, f"{title}: the same {len(names)} are decayed")

    run(driver, "train", spec_file, start, given, final, curve)
    if float64:
        model.double()
        data["image"] = data["image"].double()
    ours, theirs = load_file(curve), train(model, spec, data)
    rate = ((ours["lr"] - theirs["lr"]).abs() / theirs["lr"]).max().item()
    check(rate <= RATES, f"{title}: learning rates off by {rate:.1e}")
    norm = (ours["norm"] / theirs["norm"] - 1).abs().max().item()
    clipped = (theirs["norm"] > spec["clip"]).sum().item()
    check(0 < clipped, f"{title}: gradient norms off by {norm:.1e}, {clipped} of {steps} clipped")

    error = (ours["loss"] / theirs["loss"] - 1).abs()
    loss = f"{title}: losses {theirs['loss'][0]:.4f} to {theirs['loss'][-1]:.4f} off by {error.max():.1e}"
    initial, weights, worst, where, moved = load_file(start), load_file(final), 0.0, "", 0.0
    for key, p in model.named_parameters():
        worst, where = max((worst, where), ((weights[key] - p).abs().max().item(), key))
        moved = max(moved, (initial[key] - p).abs().max().item())
    weight = f"{title}: final weights off by {worst:.1e} ({where}), the farthest moved {moved:.2f}"
    if name == "RN" and not float64:
        check(error[:2].max() <= LOSS and error.max() <= DRIFT, f"{loss}, at first by {error[:2].max():.1e}")
        print(f"      {weight}")
    else:
        check(error.max() <= (EXACT if float64 else LOSS), loss)
        check(worst <= WEIGHTS and worst <= 0.01 * moved, weight)


def schedules(driver):
    group = type("Optimizer", (), dict(param_groups=[{}]))()
    for peak, final, warmup, cooldown, total, power in ((1e-3, 0.0, 10, 20, 100, 1.0), (5e-4, 1e-5, 7, 40, 99, 2.0)):
        for kind, lr in (("cosine", cosine_lr(group, peak, warmup, total)),
                         ("const", const_lr(group, peak, warmup, total)),
                         ("const-cooldown", const_lr_cooldown(group, peak, warmup, total, cooldown, power, final))):
            ours = run(driver, "schedule", kind, peak, final, warmup, cooldown, total, power).split()
            worst = max(abs(float(o) / lr(step) - 1) for step, o in enumerate(ours))
            check(len(ours) == total and worst <= RATES, f"schedule {kind}, {total} steps: off by {worst:.1e}")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--driver", required=True)
    driver = parser.parse_args().driver
    torch.manual_seed(5)
    start = time.monotonic()
    schedules(driver)
    with tempfile.TemporaryDirectory() as path:
        training(driver, Path(path), "ViT", 50)
        # Rounding flips ReLUs, and Adam turns that into whole steps. In float32 torch drifts as far from itself
        # in another memory format (up to 3e-2 here), so the strict comparison is in float64.
        training(driver, Path(path), "RN", 50, float64=True)
        training(driver, Path(path), "RN", 50)
        training(driver, Path(path), "ViT", 20, init_logit_scale=math.log(10), init_logit_bias=-10.0)
    print(f"{time.monotonic() - start:.0f} s")
    if failures:
        sys.exit(f"{len(failures)} checks failed")


if __name__ == "__main__":
    main()
