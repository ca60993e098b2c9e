# SPDX-FileCopyrightText: 2026 The Contrapunto Authors
# SPDX-License-Identifier: Apache-2.0
"""Compares towers with open_clip: features, gradients, initialization, locking, and weights in both directions."""
import argparse
import logging
import sys
import tempfile
import time
from pathlib import Path

import open_clip
import torch
from open_clip.model import CLIP
from parity_checks import check, failures, run
from safetensors.torch import load_file, save_file

TINY = {
    "TinyCLIP-ViT-39M-16-Text-19M": dict(
        embed_dim=512,
        vision_cfg=dict(image_size=224, layers=12, width=512, patch_size=16),
        text_cfg=dict(context_length=77, vocab_size=49408, width=512, heads=8, layers=6)),
}
FEATURES = 1e-5   # absolute, on unit features
GRADIENTS = 2e-5  # of the tensor's largest gradient; float32 sums in another order


def build(name):
    return CLIP(**TINY[name]) if name in TINY else open_clip.create_model(name)


def perturb(model, image):
    """Random weights without trivial values of 0 or 1, and statistics that fit the activations."""
    norms = [m for m in model.modules() if isinstance(m, torch.nn.BatchNorm2d)]
    with torch.no_grad():
        for name, p in model.named_parameters():
            if p.ndim == 1:
                p.add_(0.1 * torch.randn_like(p))
            if name.endswith("bn3.weight"):
                p.add_(0.5)
        if norms:
            for norm in norms:
                norm.momentum = 1.0
            model.train().encode_image(image)
            for norm in norms:
                norm.momentum = 0.1
                norm.running_mean.add_(0.1 * torch.randn_like(norm.running_mean))
                norm.running_var.mul_(torch.empty_like(norm.running_var).uniform_(0.8, 1.25))


def inputs(model, name, batch=2):
    siglip = "SigLIP" in name
    length = 64 if siglip else 32 if "PE-Core" in name else 77
    text = torch.randint(1, 31000, (batch, length))
    if not siglip:
        for row, end in enumerate([9, length - 1, 30, 5][:batch]):
            text[row, end] = 49407
            text[row, end + 1:] = 0
    size = model.visual.image_size
    size = size[0] if isinstance(size, tuple) else size
    return torch.randn(batch, 3, size, size), text


def encode(model, image, text):
    return model.encode_image(image, normalize=True), model.encode_text(text, normalize=True)


def features_and_gradients(driver, folder, name, model, with_gradients):
    image, text = inputs(model, name)
    perturb(model, image)
    weights, given, out = folder / "weights", folder / "inputs", folder / "out"
    save_file({k: v.contiguous() for k, v in model.state_dict().items()}, weights)
    with torch.no_grad():
        expected = encode(model.eval(), image, text)
    tensors = dict(image=image, text=text)
    if with_gradients:
        # float64 through a ResNet: in float32 rounding moves ReLUs and gradients by some percent.
        dtype = torch.float64 if name.startswith("RN") else torch.float32
        x, y = encode(model.train().to(dtype), image.to(dtype), text)
        tensors.update(dx=torch.randn_like(x), dy=torch.randn_like(y))
        ((x * tensors["dx"]).sum() + (y * tensors["dy"]).sum()).backward()
    save_file(tensors, given)
    run(driver, "run", name, weights, given, out)
    ours = load_file(out)
    for key, e in zip(("features.x", "features.y"), expected):
        error = (ours.pop(key) - e).abs().max().item()
        spread = (e[0] - e[1]).abs().max().item()
        check(error <= FEATURES and spread > 1e-3,
              f"{name} {key}: off by {error:.1e} (rows differ by {spread:.1e})")
    if not with_gradients:
        return
    wanted = {k: p.grad for k, p in model.named_parameters() if p.grad is not None}
    worst, where = 0.0, ""
    for key in wanted.keys() & ours.keys():
        # The bias of a key shifts all scores of a query equally, so its gradient is rounding noise.
        if not key.endswith("k_proj.bias"):
            error = ((ours[key] - wanted[key]).abs().max() / wanted[key].abs().max()).item()
            worst, where = max((worst, where), (error, key))
    check(worst <= GRADIENTS, f"{name} gradients of {len(wanted)} tensors: off by {worst:.1e} ({where})")
    check(not wanted.keys() ^ ours.keys(), f"{name} both have a gradient for {len(wanted)} tensors")


def resnet_near_float64(driver, folder, name, model):
    """Checks that our float32 features are as near to float64 as open_clip's.

    The last feature map is off by 1e-6 in both programs, but perturbed weights give the attention pool scores of some
    hundred, and its softmax turns that into 1e-6 to 1e-5 of the features: for RN101 in float32 one cannot be held to the
    other more closely. How large the factor is depends on the weights, so open_clip's own error measures it, in both
    memory formats (ours is channels last). Its error is one draw of a rounding; four times it allows for that.
    """
    image, text = inputs(model, name)
    perturb(model, image)
    weights, given, out = folder / "weights", folder / "inputs", folder / "out"
    save_file({k: v.contiguous() for k, v in model.state_dict().items()}, weights)
    save_file(dict(image=image, text=text), given)
    run(driver, "run", name, weights, given, out)
    ours = load_file(out)["features.x"]
    with torch.no_grad():
        plain = model.eval().encode_image(image, normalize=True)
        channels_last = model.to(memory_format=torch.channels_last).encode_image(
            image.contiguous(memory_format=torch.channels_last), normalize=True)
        exact = model.double().encode_image(image.double(), normalize=True)
    error, *theirs = ((x - exact).abs().max().item() for x in (ours, plain, channels_last))
    check(error <= 4 * max(theirs) + 1e-6,
          f"{name} features.x: {error:.1e} from float64, open_clip {theirs[0]:.1e} and, channels last, {theirs[1]:.1e}")


def initialization(driver, folder, name, model):
    """Checks that our fresh weights load strictly and have open_clip's distributions."""
    out = folder / "fresh"
    run(driver, "initialize", name, 1, out)
    ours, theirs = load_file(out), dict(model.state_dict())
    if "SigLIP" in name:  # the trainer's --siglip sets this, the model does not
        theirs["logit_scale"] = torch.tensor(10.0).log()
    worst, where = 0.0, ""
    for key, t in theirs.items():
        a, b = ours[key].float(), t.float()
        largest = b.abs().max().item()
        if b.numel() == 1 or b.std() == 0:
            error = 0.0 if torch.allclose(a, b) else 1.0
        else:  # sampling error of a deviation is (2n)^-1/2; compare at five of them, and the ends
            error = abs(a.std().item() / b.std().item() - 1) * b.numel() ** 0.5 / 5
            bounded = largest < 2.05 * b.std().item()
            same = b.numel() < 200 or bounded == (a.abs().max() < 2.05 * a.std()).item()
            error = max(error, 0.0 if same else 2.0)
        worst, where = max((worst, where), (error, key))
    check(worst < 1, f"{name} initialization of {len(theirs)} tensors: worst {worst:.2f} of the bound ({where})")
    try:
        model.load_state_dict(ours, strict=True)
        check(True, f"{name}: open_clip loads our {len(ours)} tensors strictly")
    except RuntimeError as error:
        check(False, f"{name}: {error}")


def locking(driver):
    with torch.device("meta"):
        for name, pairs in {"ViT-B-32": [(0, 0), (1, 1), (2, 2), (5, 3), (13, 13), (14, 14), (99, 99)],
                            "RN50": [(0, 0), (0, 2)]}.items():
            for image, text in pairs:
                model = CLIP(**{k: v for k, v in open_clip.get_model_config(name).items()})
                model.lock_image_tower(image)
                model.lock_text_tower(text)
                expected = {k for k, p in model.named_parameters() if p.requires_grad}
                ours = set(run(driver, "locked", name, image, text).split())
                check(ours == expected, f"{name} locked but {image} and {text}: {len(expected)} trainable")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--driver", required=True)
    driver = parser.parse_args().driver
    logging.disable(logging.WARNING)
    torch.manual_seed(3)
    start = time.monotonic()
    with tempfile.TemporaryDirectory() as path:
        folder = Path(path)
        for name, with_gradients in (("ViT-B-32", False), ("RN50", True), ("ViT-B-16-SigLIP", False),
                                     ("TinyCLIP-ViT-39M-16-Text-19M", True)):
            model = build(name)
            initialization(driver, folder, name, model)
            features_and_gradients(driver, folder, name, model, with_gradients)
        model = build("PE-Core-T-16-384")
        with torch.no_grad():  # timm starts it so small that all features would be the bias
            model.visual.trunk.head.weight.mul_(1000)
        features_and_gradients(driver, folder, "PE-Core-T-16-384", model, with_gradients=True)
        resnet_near_float64(driver, folder, "RN101", build("RN101"))
    locking(driver)
    print(f"{time.monotonic() - start:.0f} s")
    if failures:
        sys.exit(f"{len(failures)} checks failed")


if __name__ == "__main__":
    main()
