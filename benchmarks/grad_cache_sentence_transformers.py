# SPDX-FileCopyrightText: 2026 The Contrapunto Authors
# SPDX-License-Identifier: Apache-2.0
"""Times sentence-transformers' loss, whole or cached: the peer of grad_cache.cpp, started by run_grad_cache.py."""

import argparse
import json
import pathlib
import re
import time

import open_clip
import sentence_transformers
import torch
from open_clip.transformer import TextTransformer
from safetensors.torch import load_file
from sentence_transformers.sentence_transformer.losses import (
    CachedMultipleNegativesRankingLoss,
    MultipleNegativesRankingLoss,
)


class Encoder(torch.nn.Module):
    def __init__(self, inputs, heads):
        super().__init__()
        weights = {k.removeprefix("model."): v for k, v in inputs.items() if k.startswith("model.")}
        length, width = weights["positional_embedding"].shape
        self.tower = TextTransformer(
            context_length=length, vocab_size=len(weights["token_embedding.weight"]), width=width, heads=heads,
            layers=sum(k.endswith(".ln_1.weight") for k in weights), output_dim=weights["text_projection"].shape[1])
        self.tower.load_state_dict(weights)

    def forward(self, features):
        features["sentence_embedding"] = self.tower(features["input_ids"])
        return features


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--inputs", required=True)
    parser.add_argument("--strategy", choices=["direct", "cached"], default="cached")
    parser.add_argument("--heads", type=int, default=4)
    parser.add_argument("--chunk", type=int, default=64)
    parser.add_argument("--steps", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2)
    a = parser.parse_args()
    torch.set_num_threads(a.threads)
    inputs = load_file(a.inputs)
    model = sentence_transformers.SentenceTransformer(modules=[Encoder(inputs, a.heads)], device="cpu")
    model.train()
    if a.strategy == "direct":
        loss_of = MultipleNegativesRankingLoss(model, scale=20.0)
    else:
        loss_of = CachedMultipleNegativesRankingLoss(model, scale=20.0, mini_batch_size=a.chunk)
    columns = [inputs["anchor"], inputs["positive"]]

    times = []
    for _ in range(a.steps + 1):
        begin = time.perf_counter()
        model.zero_grad()
        loss = loss_of([dict(input_ids=c, attention_mask=torch.ones_like(c)) for c in columns], None)
        loss.backward()
        times.append(time.perf_counter() - begin)
    norm = sum(p.grad.double().square().sum() for p in model.parameters()).sqrt()
    # getrusage is not used: its maximum includes the memory of the runner before exec.
    peak = re.search(r"VmHWM:\s+(\d+)", pathlib.Path("/proc/self/status").read_text())[1]
    print(json.dumps({
        "step_seconds": times[1:], "loss": loss.item(), "gradient_norm": norm.item(),
        "peak_megabytes": int(peak) / 1024,
        "version": f"sentence-transformers {sentence_transformers.__version__}, open_clip {open_clip.__version__}"}))


if __name__ == "__main__":
    main()
