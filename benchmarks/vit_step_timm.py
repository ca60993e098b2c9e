# SPDX-FileCopyrightText: 2026 The Contrapunto Authors
# SPDX-License-Identifier: Apache-2.0
"""Times one training step of a timm model, eager or compiled: the peer of vit_step.cpp, started by run_vit_step.py.

timm has no compact transformer, so cct_2_3x2_32 is written here with the modules of PyTorch.
"""

import argparse
import json
import resource
import time

import timm
import torch


class CompactBlock(torch.nn.Module):
    """A block of a compact transformer (Hassani et al. 2021, https://arxiv.org/abs/2104.05704)."""

    def __init__(self, width, heads):
        super().__init__()
        self.heads = heads
        self.norm1, self.norm2 = torch.nn.LayerNorm(width), torch.nn.LayerNorm(width)
        self.qkv, self.out = torch.nn.Linear(width, 3 * width, bias=False), torch.nn.Linear(width, width)
        self.fc1, self.fc2 = torch.nn.Linear(width, width), torch.nn.Linear(width, width)

    def forward(self, x):
        batch, tokens, width = x.shape
        q, k, v = self.qkv(self.norm1(x)).view(batch, tokens, 3, self.heads, -1).permute(2, 0, 3, 1, 4)
        mixed = torch.nn.functional.scaled_dot_product_attention(q, k, v).transpose(1, 2).reshape(batch, tokens, width)
        x = self.norm2(x + self.out(mixed))
        return x + self.fc2(torch.nn.functional.gelu(self.fc1(x)))


class CompactTransformer(torch.nn.Module):
    """CCT-2/3x2: two convolutions, two blocks and sequence pooling."""

    def __init__(self, size, width=128, classes=1000):
        super().__init__()
        stage = [torch.nn.ReLU(), torch.nn.MaxPool2d(3, 2, 1)]
        self.stem = torch.nn.Sequential(torch.nn.Conv2d(3, 64, 3, 1, 1, bias=False), *stage,
                                        torch.nn.Conv2d(64, width, 3, 1, 1, bias=False), *stage)
        self.positions = torch.nn.Parameter(0.02 * torch.randn(1, (size // 4) ** 2, width))
        self.blocks = torch.nn.Sequential(CompactBlock(width, 2), CompactBlock(width, 2))
        self.norm, self.pool = torch.nn.LayerNorm(width), torch.nn.Linear(width, 1)
        self.head = torch.nn.Linear(width, classes)

    def forward(self, images):
        x = self.stem(images.to(memory_format=torch.channels_last)).flatten(2).transpose(1, 2) + self.positions
        x = self.norm(self.blocks(x))
        return self.head((self.pool(x).softmax(1).transpose(1, 2) @ x).squeeze(1))


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
    if a.model == "cct_2_3x2_32":
        model, side = CompactTransformer(a.image_size or 32), a.image_size or 32
    else:
        model = timm.create_model(a.model, num_classes=1000, drop_path_rate=a.drop_path, **size).train()
        side = model.patch_embed.img_size[0]
    step_model = torch.compile(model) if a.compile else model
    named = list(model.named_parameters())
    optimizer = torch.optim.AdamW(
        [{"params": [p for _, p in named if p.ndim < 2], "weight_decay": 0.0},
         {"params": [p for _, p in named if p.ndim >= 2], "weight_decay": 0.05}], lr=1e-4, fused=True)
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
