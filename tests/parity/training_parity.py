# SPDX-FileCopyrightText: 2026 The Contrapunto Authors
# SPDX-License-Identifier: Apache-2.0
"""Compares training with open_clip, torch and timm: the same steps from the same weights, the optimizers with the same
gradients, layer-wise decay of the learning rate, and the schedules."""
import argparse
import json
import math
import sys
import tempfile
import time
from pathlib import Path

import timm.optim
import torch
from open_clip.loss import ClipLoss, SigLipLoss
from open_clip.model import CLIP
from open_clip_train.scheduler import const_lr, const_lr_cooldown, cosine_lr
from parity_checks import check, failures, run
from safetensors.torch import load_file, save_file
from timm.models.vision_transformer import VisionTransformer
from timm.optim._param_groups import param_groups_layer_decay

TEXT = dict(context_length=16, vocab_size=100, width=64, heads=4, layers=2)
VIT = dict(image_size=32, layers=2, width=64, patch_size=8, head_width=16)
RESNET = dict(image_size=32, layers=[1, 1, 1, 1], width=16, head_width=32)
LOSS = 1e-4      # relative, at every step
EXACT = 1e-9     # the same in float64
DRIFT = 0.3      # the same of a ResNet in float32, after its first two steps
WEIGHTS = 1e-3   # absolute, at the end; and a hundredth of how far weights moved
RATES = 1e-12    # relative
STEPS = 100      # of each optimizer


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


def optimize(driver, folder, start, gradients, **spec):
    spec = dict(steps=STEPS, lr=1e-2, weight_decay=0.1, beta1=0.9, beta2=0.98, eps=1e-6, clip=0.0, original=False,
                exact=False) | spec
    names = [folder / x for x in ("optimizer", "start", "gradients", "final")]
    names[0].write_text(json.dumps(spec))
    save_file(start, names[1])
    save_file(gradients, names[2])
    run(driver, "optimize", *names)
    return load_file(names[3])


def steps_of(make, start, gradients, weight_decay=0.1):
    """The weights after the steps of make(groups), an optimizer of torch or timm."""
    weights = {k: v.clone().requires_grad_() for k, v in start.items()}
    groups = [dict(params=[w for w in weights.values() if w.ndim > 1], weight_decay=weight_decay),
              dict(params=[w for w in weights.values() if w.ndim <= 1], weight_decay=0.0)]
    optimizer = make([group for group in groups if group["params"]])
    for step in range(STEPS):
        for key, weight in weights.items():
            weight.grad = gradients[key][step].clone()
        optimizer.step()
    return {k: v.detach() for k, v in weights.items()}


def exact_muon(start, gradients, scale):
    """Muon in float64, as its authors describe it."""
    weights = {}
    for key, w in start.items():
        w, sum_ = w.clone(), torch.zeros_like(w)
        for g in gradients[key]:
            sum_ = 0.95 * sum_ + g
            x = (g + 0.95 * sum_).flatten(1)
            rows, columns = x.shape
            x = x.mT if rows > columns else x
            x = x / x.norm()
            for _ in range(5):
                a = x @ x.mT
                x = 3.4445 * x + (-4.7750 * a + 2.0315 * a @ a) @ x
            x = x.mT if rows > columns else x
            w = w * (1 - 1e-2 * 0.1) - 1e-2 * scale(rows, columns) * x.reshape(w.shape)
        weights[key] = w
    return weights


def distance(a, b):
    return sum((a[key] - b[key]).norm().item() ** 2 for key in b) ** 0.5


def optimizers(driver, folder):
    torch.manual_seed(6)
    shapes = {"matrix": (24, 16), "wide": (8, 40), "kernel": (12, 3, 3, 3), "bias": (16,), "scale": ()}
    start = {k: torch.randn(s, dtype=torch.float64) for k, s in shapes.items()}
    spikes = torch.where(torch.arange(STEPS) % 10 == 9, 20.0, 1.0)
    gradients = {k: torch.randn(STEPS, *s, dtype=torch.float64) * spikes.view(-1, *[1] * len(s)) for k, s in shapes.items()}

    def compare(title, ours, theirs, tolerance):
        moved, error = distance(start, theirs), distance(ours, theirs)  # theirs may have some of the weights only
        check(error <= tolerance * moved, f"{title}: weights off by {error / moved:.1e} of their way")

    common = dict(lr=1e-2, betas=(0.9, 0.98))
    compare("AdamW, torch", optimize(driver, folder, start, gradients, rule="adamw"),
            steps_of(lambda g: torch.optim.AdamW(g, eps=1e-6, **common), start, gradients), EXACT)
    # timm does not clip the weight decay, and its eps is within the RMS.
    compare("StableAdamW, timm", optimize(driver, folder, start, gradients, rule="stable-adamw", weight_decay=0.0, eps=1e-12),
            steps_of(lambda g: timm.optim.AdamWLegacy(g, eps=1e-12, clipping_threshold=1.0, **common), start, gradients, 0.0),
            EXACT)
    # The clipping of torch and ours adds 1e-6 to the norm, which timm's does not.
    compare("LAMB, timm", optimize(driver, folder, start, gradients, rule="lamb", clip=1.0),
            steps_of(lambda g: timm.optim.Lamb(g, eps=1e-6, **common), start, gradients), 1e-6)
    compare("Lion, timm", optimize(driver, folder, start, gradients, rule="lion", beta2=0.99),
            steps_of(lambda g: timm.optim.Lion(g, lr=1e-2, betas=(0.9, 0.99)), start, gradients), EXACT)

    matrices = {k: v for k, v in start.items() if v.ndim > 1}
    for rule in ("original", "match_rms_adamw"):
        def scale(rows, columns):
            return max(1, rows / columns) ** 0.5 if rule == "original" else 0.2 * max(rows, columns) ** 0.5
        exact = exact_muon(matrices, gradients, scale)
        spec = dict(rule="muon", beta1=0.95, original=rule == "original")
        compare(f"Muon {rule}, float64", optimize(driver, folder, matrices, gradients, exact=True, **spec), exact, EXACT)
        ours = optimize(driver, folder, matrices, gradients, **spec)
        peers = {"timm": (matrices, lambda g: timm.optim.Muon(g, lr=1e-2, momentum=0.95, nesterov=True, adjust_lr_fn=rule,
                                                              ns_coefficients="original")),
                 "torch": ({k: v for k, v in matrices.items() if v.ndim == 2},
                           lambda g: torch.optim.Muon(g, lr=1e-2, momentum=0.95, adjust_lr_fn=rule))}
        for name, (given, make) in peers.items():
            theirs = steps_of(make, given, gradients)
            own, peer = distance(ours, {k: exact[k] for k in given}), distance(theirs, {k: exact[k] for k in given})
            moved = distance(start, exact)
            check(own <= 2 * peer and own < 0.1 * moved,
                  f"Muon {rule}, bf16: off by {own / moved:.1e} of their way, {name} by {peer / moved:.1e}")


def layer_decay(driver, folder):
    """BEiT's rule, as timm has it. Its pre-norm is left out: timm's pattern for the last norm matches it, too."""
    spec = dict(embed_dim=64, vision_cfg=VIT, text_cfg=TEXT)
    spec_file, start = folder / "spec", folder / "start"
    spec_file.write_text(json.dumps(spec | dict(family="ViT")))
    save_file({k: v.contiguous() for k, v in CLIP(**spec).state_dict().items()}, start)
    ours = dict(line.split() for line in run(driver, "layers", spec_file, start, 0.7).splitlines())
    model = VisionTransformer(img_size=32, patch_size=8, embed_dim=64, depth=2, num_heads=4, num_classes=64)
    theirs = {id(p): group["lr_scale"] for group in param_groups_layer_decay(model, layer_decay=0.7) for p in group["params"]}
    pairs = dict(cls_token="class_embedding", pos_embed="positional_embedding", patch_embed="conv1.weight", norm="ln_post.weight",
                 head="proj")
    pairs |= {f"blocks.{i}.": f"transformer.resblocks.{i}.mlp.c_fc.weight" for i in range(2)}
    for begin, name in pairs.items():
        factor = next(theirs[id(p)] for n, p in model.named_parameters() if n.startswith(begin))
        check(abs(float(ours["visual." + name]) / factor - 1) <= RATES, f"layer decay of {name}: {factor:.3f}")


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
        optimizers(driver, Path(path))
        layer_decay(driver, Path(path))
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
