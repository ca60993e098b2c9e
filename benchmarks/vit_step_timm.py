# SPDX-FileCopyrightText: 2026 The Contrapunto Authors
# SPDX-License-Identifier: Apache-2.0
"""Times one training step of a timm model, eager or compiled: the peer of vit_step.cpp, started by run_vit_step.py."""

import argparse
import json
import resource
import time

import timm
import torch


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--model", default="deit3_small_patch16_224")
    parser.add_argument("--image-size", type=int, default=0)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--precision", choices=["fp32", "bf16"], default="fp32")
    parser.add_argument("--drop-path", type=float, default=0.0)
    parser.add_argument("--steps", type=int, default=5)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--compile", action="store_true")
    a = parser.parse_args()
    torch.set_num_threads(a.threads)
    torch.manual_seed(0)
    size = dict(img_size=a.image_size) if a.image_size else {}
    model = timm.create_model(a.model, num_classes=1000, drop_path_rate=a.drop_path, **size).train()
    step_model = torch.compile(model) if a.compile else model
    named = list(model.named_parameters())
    optimizer = torch.optim.AdamW(
        [{"params": [p for _, p in named if p.ndim < 2], "weight_decay": 0.0},
         {"params": [p for _, p in named if p.ndim >= 2], "weight_decay": 0.05}], lr=1e-4, fused=True)
    side = model.patch_embed.img_size[0]
    images, labels = torch.randn(a.batch, 3, side, side), torch.randint(1000, (a.batch,))
    times = []
    for _ in range(a.steps + 2):
        begin = time.perf_counter()
        optimizer.zero_grad()
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=a.precision == "bf16"):
            logits = step_model(images)
        loss = torch.nn.functional.cross_entropy(logits.float(), labels)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        times.append(time.perf_counter() - begin)
    print(json.dumps({"step_seconds": times[2:], "loss": float(loss),
                      "peak_megabytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
                      "version": f"timm {timm.__version__}, torch {torch.__version__}"}))


if __name__ == "__main__":
    main()
