# SPDX-FileCopyrightText: 2026 The Contrapunto Authors
# SPDX-License-Identifier: Apache-2.0
"""Times open_clip's loss, forward and backward: the peer of contrastive_loss.cpp."""

import argparse
import json
import pathlib
import statistics
import time

import open_clip
import torch
from open_clip.loss import ClipLoss, DistillClipLoss, SigLipLoss


def process_bytes(key):
    for line in pathlib.Path("/proc/self/status").read_text().splitlines():
        if line.startswith(key + ":"):
            return 1024 * int(line.split()[1])
    return 0


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--loss", choices=["info_nce", "sigmoid", "distill"], default="info_nce")
    parser.add_argument("--n", type=int, default=8192)
    parser.add_argument("--d", type=int, default=512)
    parser.add_argument("--products", choices=["fp32", "tf32", "bf16", "fp16"], default="fp32")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--steps", type=int, default=5)
    parser.add_argument("--threads", type=int, default=2)
    a = parser.parse_args()
    torch.set_num_threads(a.threads)
    torch.manual_seed(0)
    device = torch.device(a.device)
    torch.backends.cuda.matmul.allow_tf32 = a.products == "tf32"
    rounded = {"bf16": torch.bfloat16, "fp16": torch.float16}.get(a.products)

    def features():
        x = torch.randn(a.n, a.d, device=device)
        return (x / x.norm(dim=1, keepdim=True)).requires_grad_()

    x, y = features(), features()
    teacher = features().detach(), features().detach(), torch.tensor(50.0, device=device)
    scale = torch.tensor(14.3, device=device, requires_grad=True)
    bias = torch.tensor(-10.0, device=device, requires_grad=True)
    losses = {"info_nce": (ClipLoss(), ()), "sigmoid": (SigLipLoss(), (bias,)), "distill": (DistillClipLoss(), teacher)}
    loss_function, more = losses[a.loss]

    def step():
        for leaf in (x, y, scale, bias):
            leaf.grad = None
        # The loss runs under autocast, as in open_clip's trainer. On the CPU both multiply in float32.
        with torch.autocast(device.type, dtype=rounded, enabled=rounded is not None and device.type == "cuda"):
            loss = loss_function(x, y, scale, *more)
        if a.loss == "distill":  # the contrastive and the distillation loss
            loss = sum(loss)
        loss.backward()
        return loss.item()

    result = {"loss": a.loss, "n": a.n, "d": a.d, "products": a.products, "device": a.device,
              "version": f"open_clip {open_clip.__version__}, torch {torch.__version__}"}
    try:
        value = step()
        for leaf in (x, y, scale, bias):
            leaf.grad = None
        if device.type == "cuda":
            torch.cuda.synchronize()
            torch.cuda.reset_peak_memory_stats()
            before = torch.cuda.memory_allocated()
            step()
            peak = torch.cuda.max_memory_allocated() - before
        else:
            pathlib.Path("/proc/self/clear_refs").write_text("5")  # resets the high-water mark
            before = process_bytes("VmRSS")
            step()
            peak = process_bytes("VmHWM") - before
        times = []
        for _ in range(a.steps + 2):
            begin = time.perf_counter()
            step()
            if device.type == "cuda":
                torch.cuda.synchronize()
            times.append(time.perf_counter() - begin)
        result |= {"seconds": statistics.median(times[2:]), "peak_bytes": peak, "value": value}
    except torch.OutOfMemoryError:
        result |= {"out_of_memory": True}
    print(json.dumps(result))


if __name__ == "__main__":
    main()
