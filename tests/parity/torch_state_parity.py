# SPDX-FileCopyrightText: 2026 The Contrapunto Authors
# SPDX-License-Identifier: Apache-2.0
"""State dicts that torch.save writes, read by read_torch_state and compared bit by bit; and files that must be refused.

usage: torch_state_parity.py --driver PROGRAM
"""
import argparse
import collections
import os
import pathlib
import subprocess
import sys
import tempfile

import numpy
import open_clip
import torch
from safetensors.torch import load_file
from torch.serialization import set_crc32_options


class Hostile:
    """Unpickling it runs a command."""

    def __init__(self, command):
        self.command = command

    def __reduce__(self):
        return os.system, (self.command,)


def check(condition, what):
    if not condition:
        sys.exit(f"failed: {what}")


def views():
    base = torch.arange(24, dtype=torch.float32)
    grid = base.view(4, 6)
    state = {"whole": base, "transposed": grid.t(), "part": grid[1:3, 2:5], "steps": base[3::5], "scalar": base[7],
             "empty": torch.zeros(0, 3), "empty_part": base[24:], "nan": torch.tensor([float("nan"), -0.0, float("inf")]),
             "parameter": torch.nn.Parameter(torch.randn(3, 2)), "frozen": torch.nn.Parameter(torch.ones(2), False),
             "bool": torch.tensor([True, False, True])[1:], "four": torch.randn(2, 3, 4, 5).to(memory_format=torch.channels_last)}
    for dtype in (torch.float64, torch.float16, torch.bfloat16, torch.int64, torch.int32, torch.int16, torch.int8, torch.uint8):
        state[str(dtype)] = (torch.randn(5, 7) * 50).to(dtype)
    return state


def checkpoint(model):
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, betas=(0.9, 0.98))
    sum(p.sum() for p in model.parameters()).backward()
    optimizer.step()
    return {"epoch": 7, "name": "run", "seconds": 1.5, "big": 2**40, "negative": -3, "flags": [True, None, (1, "x")],
            "state_dict": collections.OrderedDict(("module." + k, v) for k, v in model.state_dict().items()),
            "optimizer": optimizer.state_dict(), "scaler": torch.amp.GradScaler("cpu").state_dict()}


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--driver", required=True)
    driver = parser.parse_args().driver
    torch.manual_seed(0)
    model = open_clip.CLIP(embed_dim=20,
                           vision_cfg=dict(image_size=32, patch_size=8, width=64, layers=2),
                           text_cfg=dict(context_length=16, vocab_size=100, width=64, heads=1, layers=2))
    resnet = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), torch.nn.BatchNorm2d(4))
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        path, out, trace = folder / "in.pt", folder / "out.safetensors", folder / "hacked"

        def read(save, expect=0):
            out.unlink(missing_ok=True)
            save(path)
            done = subprocess.run([driver, path, out], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
            check(done.returncode == expect, f"the driver ended with {done.returncode} and said {done.stdout}")
            return done.stdout

        def compare(what, value, state):
            read(lambda p: torch.save(value, p))
            ours = load_file(out)
            check(set(ours) == set(state), f"{what}: names {set(ours) ^ set(state)}")
            for key, tensor in state.items():
                check(ours[key].dtype == tensor.dtype and ours[key].shape == tensor.shape, f"{what}: {key}, shape or dtype")
                a, b = (t.detach().contiguous().view(-1).view(torch.uint8) for t in (ours[key], tensor))
                check(torch.equal(a, b), f"{what}: {key}, bits")
            print(f"{what}: {len(state)} tensors are equal")

        state = views()
        compare("views and dtypes", state, state)
        compare("a model of OpenCLIP", model.state_dict(), model.state_dict())
        compare("batch norm", resnet.state_dict(), resnet.state_dict())
        saved = checkpoint(resnet)
        compare("a checkpoint", saved, saved["state_dict"])
        compare("a checkpoint under 'model'", {"model": saved["state_dict"], "step": 3}, saved["state_dict"])
        set_crc32_options(False)
        compare("without checksums", state, state)
        set_crc32_options(True)

        def refuse(what, save, *words):
            said = read(save, expect=2)
            for word in ("in.pt", *words):
                check(word in said, f"{what}: '{word}' is not in: {said}")
            check(not trace.exists(), f"{what}: the command ran")
            print(f"{what}: refused: {said.strip()[:160]}")

        command = f"touch {trace}"
        refuse("a hostile entry", lambda p: torch.save({"a": torch.ones(2), "b": Hostile(command)}, p), "posix.system", "byte")
        refuse("a hostile file", lambda p: torch.save(Hostile(command), p), "posix.system", "nothing was executed")
        refuse("a whole model", lambda p: torch.save(resnet, p), "torch.nn.modules.container.Sequential", "state_dict()")
        refuse("a TorchScript program", lambda p: torch.jit.script(resnet).save(str(p)), "TorchScript", "torch.jit.load")
        refuse("the old format", lambda p: torch.save(state, p, _use_new_zipfile_serialization=False), "PyTorch 1.6")
        refuse("another protocol", lambda p: torch.save(state, p, pickle_protocol=4), "protocol 4")
        refuse("a number of NumPy", lambda p: torch.save({"a": torch.ones(1), "n": numpy.float64(1)}, p), "numpy")
        refuse("a complex tensor", lambda p: torch.save({"a": torch.ones(1, dtype=torch.complex64)}, p), "ComplexFloatStorage")
        refuse("an expanded tensor", lambda p: torch.save({"a": torch.ones(1).expand(5)}, p), "contiguous")
        refuse("no tensors", lambda p: torch.save({"epoch": 3}, p), "no tensors")
        torch.save(state, path)
        whole = path.read_bytes()
        for cut in (1, 30, len(whole) // 2, len(whole) - 3):
            refuse(f"the first {cut} bytes", lambda p: p.write_bytes(whole[:cut]))


if __name__ == "__main__":
    main()
