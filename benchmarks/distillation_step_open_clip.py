# SPDX-FileCopyrightText: 2026 The Contrapunto Authors
# SPDX-License-Identifier: Apache-2.0
"""Times one distilling step of open_clip: the peer of distillation_step.cpp, started by run_distillation_step.py."""

import argparse
import json
import resource
import time

import open_clip
import torch
from open_clip.loss import DistillClipLoss


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--model", default="ViT-S-32")
    parser.add_argument("--teacher", default="ViT-B-32")
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--precision", choices=["fp32", "bf16"], default="fp32")
    parser.add_argument("--text-tokens", type=int, default=77)
    parser.add_argument("--steps", type=int, default=5)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--device", default="cpu")
    a = parser.parse_args()
    torch.set_num_threads(a.threads)
    torch.manual_seed(0)
    device = torch.device(a.device)

    model = open_clip.create_model(a.model, device=device)
    model.train()
    teacher = open_clip.create_model(a.teacher, device=device)
    for parameter in teacher.parameters():
        parameter.requires_grad = False
    teacher.eval()
    named = list(model.named_parameters())
    exclude = lambda n, p: p.ndim < 2 or "bn" in n or "ln" in n or "bias" in n or "logit_scale" in n  # noqa: E731
    optimizer = torch.optim.AdamW(
        [{"params": [p for n, p in named if exclude(n, p)], "weight_decay": 0.0},
         {"params": [p for n, p in named if not exclude(n, p)], "weight_decay": 0.2}],
        lr=5e-4, betas=(0.9, 0.98), eps=1e-6)
    loss_function = DistillClipLoss()
    size = model.visual.image_size
    size = size if isinstance(size, int) else size[0]
    images = torch.randn(a.batch, 3, size, size, device=device)
    texts = torch.randint(1, 49405, (a.batch, 77), device=device)
    texts[:, 0] = 49406
    texts[:, a.text_tokens - 1] = 49407
    texts[:, a.text_tokens:] = 0  # the padding, which open_clip computes as well

    def synchronize():
        if device.type == "cuda":
            torch.cuda.synchronize()

    times = []
    for _ in range(a.steps + 1):
        synchronize()
        begin = time.perf_counter()
        with torch.autocast(device.type, dtype=torch.bfloat16, enabled=a.precision == "bf16"):
            image_features, text_features, scale = model(images, texts)
            with torch.no_grad():
                teacher_image, teacher_text, teacher_scale = teacher(images, texts)
            contrastive, distilled = loss_function(image_features, text_features, scale, teacher_image, teacher_text,
                                                   teacher_scale)
            loss = contrastive + distilled
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0, norm_type=2.0)
        optimizer.step()
        with torch.no_grad():
            model.logit_scale.clamp_(0, 4.6052)
        synchronize()
        times.append(time.perf_counter() - begin)
    print(json.dumps({
        "step_seconds": times[1:],
        "peak_megabytes": (torch.cuda.max_memory_allocated() / 2**20 if device.type == "cuda"
                           else resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024),
        "version": f"open_clip {open_clip.__version__}, torch {torch.__version__}"}))


if __name__ == "__main__":
    main()
