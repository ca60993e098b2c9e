# SPDX-FileCopyrightText: 2026 The Contrapunto Authors
# SPDX-License-Identifier: Apache-2.0
"""Compares image towers with timm: features, gradients, window attention, and weights in both directions."""
import argparse
import sys
import tempfile
import time
from pathlib import Path

import timm
import torch
from parity_checks import check, failures, run
from safetensors.torch import load_file, save_file
from timm.models.swin_transformer import SwinTransformerBlock

LIMIT = 1e-5      # of the largest feature or gradient of each tensor; float32 sums in another order
LAYERS = 4        # enough for every kind of layer; the others repeat them
# Models of timm, and the image size at which they are compared: small planes, and one that is not that of the positions.
MODELS = {
    "deit3_small_patch16_224": 64,
    "vit_small_patch14_reg4_dinov2": 56,
    "vit_small_patch14_dinov2": 70,
    "beit_base_patch16_224": 64,
    "vit_small_patch16_rope_mixed_224": 80,
    "vit_small_patch16_rope_224": 64,
    "eva02_tiny_patch14_224": 84,
}


def perturb(module):
    """Weights for which every part matters: no factor of 1e-5, no zero bias."""
    with torch.no_grad():
        for name, p in module.named_parameters():
            if p.ndim == 1 or "table" in name:
                p.add_(0.2 * torch.randn_like(p))
            if "gamma" in name:
                p.add_(0.5)


def saved(state, path):
    save_file({k: v.detach().clone().contiguous() for k, v in state.items()}, path)
    return path


def worst_error(ours, wanted):
    """The largest difference of a tensor over its own largest value, and the name of the tensor."""
    return max(((ours[k] - w).abs().max().item() / max(w.abs().max().item(), 1e-12), k) for k, w in wanted.items())


def towers(driver, folder, name, size):
    model = timm.create_model(name, img_size=size, depth=LAYERS, num_classes=0, drop_path_rate=0.0)
    perturb(model)
    image = torch.randn(3, 3, size, size)
    weights = saved(model.state_dict(), folder / "weights")
    model.eval()
    features = model(image.requires_grad_())
    dx = torch.randn_like(features)
    (features * dx).sum().backward()
    inputs = saved(dict(image=image, dx=dx, layers=torch.tensor(LAYERS)), folder / "inputs")
    out = folder / "out"
    run(driver, "run", name, weights, inputs, out)
    ours = load_file(out)
    wanted = {k: p.grad for k, p in model.named_parameters() if p.grad is not None}
    wanted["image.gradient"] = image.grad
    # The bias of the keys has no effect without norms and rotation, so its gradient is rounding noise.
    for key in [k for k in wanted if k.endswith("qkv.bias") and "rope" not in name]:
        third = len(wanted[key]) // 3
        for tensors in (wanted, ours):
            tensors[key] = torch.cat([tensors[key][:third], tensors[key][2 * third:]])
    error, where = worst_error(ours, {"features": features.detach()})
    check(error <= LIMIT, f"{name} features: off by {error:.1e}")
    check(not set(wanted) - set(ours), f"{name} has a gradient for {len(wanted)} tensors")
    error, where = worst_error(ours, wanted)
    check(error <= LIMIT, f"{name} gradients of {len(wanted)} tensors: off by {error:.1e} ({where})")


def round_trip(driver, folder, name):
    state = timm.create_model(name, num_classes=0).state_dict()
    out = folder / "back"
    run(driver, "roundtrip", name, saved(state, folder / "weights"), out)
    back = load_file(out)
    same = back.keys() == state.keys() and all(torch.equal(back[k], state[k]) for k in state)
    check(same, f"{name}: weights come back bit by bit")


def swin_windows(driver, folder):
    for side, shift, rows, columns in ((4, 0, 8, 12), (4, 2, 8, 12), (7, 3, 14, 14)):
        block = SwinTransformerBlock(32, (rows, columns), num_heads=4, window_size=side, shift_size=shift)
        perturb(block.attn)
        x = torch.randn(2, rows, columns, 32).requires_grad_()
        y = block._attn(x)  # windows, shift and bias, without the norm
        dy = torch.randn_like(y)
        (y * dy).sum().backward()
        weights = saved(block.attn.state_dict(), folder / "weights")
        inputs = saved(dict(x=x, dy=dy), folder / "inputs")
        run(driver, "window", side, int(shift > 0), weights, inputs, folder / "out")
        wanted = {"y": y.detach(), "x": x.grad, "qkv.weight": block.attn.qkv.weight.grad,
                  "relative_position_bias_table": block.attn.relative_position_bias_table.grad}
        error, where = worst_error(load_file(folder / "out"), wanted)
        check(error <= LIMIT, f"Swin windows of {side}, shift {shift}, on {rows} x {columns}: off by {error:.1e} ({where})")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--driver", required=True)
    driver = parser.parse_args().driver
    torch.manual_seed(0)
    start = time.time()
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        known = run(driver, "names").split()
        check(not set(MODELS) - set(known), f"{len(known)} image models, among them all that are compared")
        for name, size in MODELS.items():
            towers(driver, folder, name, size)
        for name in ("vit_small_patch14_reg4_dinov2", "vit_small_patch16_rope_mixed_224", "beit_base_patch16_224"):
            round_trip(driver, folder, name)
        swin_windows(driver, folder)
    print(f"{len(failures)} failures in {time.time() - start:.0f} s")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
