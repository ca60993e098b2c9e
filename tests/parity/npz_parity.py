# SPDX-FileCopyrightText: 2026 The Contrapunto Authors
# SPDX-License-Identifier: Apache-2.0
"""Compares archives of weights with numpy's, and towers that start from such files with timm's."""
import argparse
import sys
import tempfile
import time
import zipfile
from pathlib import Path

import numpy as np
import timm
import torch
from parity_checks import check, failures, run
from safetensors.torch import load_file, save_file

LIMIT = 1e-5      # of the largest feature; float32 sums in another order
SIZE, LAYERS, CLASSES = 64, 3, 7


def arrays_of(model, big_vision, prefix, stacked):
    """The weights of a timm model as Flax names and shapes them."""
    state = {k: v.detach().numpy() for k, v in model.state_dict().items()}
    arrays = {}

    def norm(theirs, ours):
        arrays[ours + "/scale"], arrays[ours + "/bias"] = state[theirs + ".weight"], state[theirs + ".bias"]

    def dense(theirs, ours):
        arrays[ours + "/kernel"], arrays[ours + "/bias"] = state[theirs + ".weight"].T, state[theirs + ".bias"]

    def into_heads(weight, bias, ours, heads):
        out_features, in_features = weight.shape
        arrays[ours + "/kernel"] = weight.T.reshape(in_features, heads, out_features // heads)
        arrays[ours + "/bias"] = bias.reshape(heads, out_features // heads)

    def out_of_heads(theirs, ours, heads):
        weight = state[theirs + ".weight"]
        arrays[ours + "/kernel"] = weight.T.reshape(heads, weight.shape[1] // heads, weight.shape[0])
        arrays[ours + "/bias"] = state[theirs + ".bias"]

    arrays["embedding/kernel"] = state["patch_embed.proj.weight"].transpose(2, 3, 1, 0)
    arrays["embedding/bias"] = state["patch_embed.proj.bias"]
    arrays["pos_embedding" if big_vision else "Transformer/posembed_input/pos_embedding"] = state["pos_embed"]
    if "cls_token" in state:
        arrays["cls"] = state["cls_token"]
    names = ("LayerNorm_1", "MultiHeadDotProductAttention_0", "MlpBlock_0") if big_vision else \
        ("LayerNorm_2", "MultiHeadDotProductAttention_1", "MlpBlock_3")
    for i, block in enumerate(model.blocks):
        theirs, ours = f"blocks.{i}.", f"Transformer/encoderblock_{i}/"
        heads = block.attn.num_heads
        norm(theirs + "norm1", ours + "LayerNorm_0")
        norm(theirs + "norm2", ours + names[0])
        thirds = zip(np.split(state[theirs + "attn.qkv.weight"], 3), np.split(state[theirs + "attn.qkv.bias"], 3))
        for part, (weight, bias) in zip(("query", "key", "value"), thirds):
            into_heads(weight, bias, ours + names[1] + "/" + part, heads)
        out_of_heads(theirs + "attn.proj", ours + names[1] + "/out", heads)
        dense(theirs + "mlp.fc1", ours + names[2] + "/Dense_0")
        dense(theirs + "mlp.fc2", ours + names[2] + "/Dense_1")
    norm("norm", "Transformer/encoder_norm")
    if model.attn_pool is not None:
        pool, attention = "MAPHead_0/", "MAPHead_0/MultiHeadDotProductAttention_0/"
        heads = model.attn_pool.num_heads
        arrays[pool + "probe"] = state["attn_pool.latent"]
        into_heads(state["attn_pool.q.weight"], state["attn_pool.q.bias"], attention + "query", heads)
        halves = zip(np.split(state["attn_pool.kv.weight"], 2), np.split(state["attn_pool.kv.bias"], 2))
        for part, (weight, bias) in zip(("key", "value"), halves):
            into_heads(weight, bias, attention + part, heads)
        out_of_heads("attn_pool.proj", attention + "out", heads)
        norm("attn_pool.norm", pool + "LayerNorm_0")
        dense("attn_pool.mlp.fc1", pool + "MlpBlock_0/Dense_0")
        dense("attn_pool.mlp.fc2", pool + "MlpBlock_0/Dense_1")
    if stacked:
        first = "Transformer/encoderblock_0/"
        for name in [n for n in arrays if n.startswith(first)]:
            layers = [arrays.pop(name.replace("_0/", f"_{i}/", 1)) for i in range(len(model.blocks))]
            arrays["Transformer/encoderblock/" + name[len(first):]] = np.stack(layers)
    dense("head", "head")
    return {prefix + name: array for name, array in arrays.items()}


def towers(driver, folder, label, timm_name, our_name, prefix="", big_vision=False, stacked=False, saver=np.savez, **options):
    def create():
        return timm.create_model(timm_name, img_size=SIZE, depth=LAYERS, num_classes=CLASSES, **options).eval()

    torch.manual_seed(1)
    source = create()
    with torch.no_grad():
        for p in source.parameters():
            p.add_(0.05 * torch.randn_like(p))
    arrays = arrays_of(source, big_vision, prefix, stacked)
    weights = folder / "weights.npz"
    saver(weights, **arrays, **({prefix[:-4] + "t": np.ones(1, np.float32)} if "img" in prefix else {}))
    model = create()
    model.load_pretrained(str(weights))
    image = torch.randn(3, 3, SIZE, SIZE)
    inputs = dict(image=image, layers=torch.tensor(LAYERS), classes=torch.tensor(CLASSES),
                  prefix_positions=torch.tensor(int(not options.get("no_embed_class", False))))
    save_file(inputs, folder / "inputs")
    out = folder / "out"
    run(driver, "run", our_name, weights, folder / "inputs", out)
    ours = load_file(out)

    def compare(model, name, wanted):
        error = ((ours[name] - wanted).abs().max() / wanted.abs().max()).item()
        check(error <= LIMIT, f"{label}: {name} are off by {error:.1e}")

    with torch.no_grad():
        features = model.forward_head(model.forward_features(image), pre_logits=True)
        compare(model, "features", features)
        compare(model, "logits", model(image))
    back = np.load(str(out) + ".npz")
    flat = arrays_of(source, big_vision, "params/" if big_vision else "", False)
    flat = {k: v for k, v in flat.items() if "head/" not in k or "MAPHead" in k}
    same = set(back.files) == set(flat) and all(np.array_equal(back[k], flat[k]) for k in flat)
    check(same, f"{label}: our file has the {len(flat)} arrays, bit by bit")
    again = create()
    again.load_pretrained(str(out) + ".npz")
    with torch.no_grad():
        check(torch.equal(again.forward_head(again.forward_features(image), pre_logits=True), features),
              f"{label}: timm reads our file")


def archives(driver, folder):
    random = np.random.default_rng(1)
    arrays = {"scalar": np.float32(2.5), "none": np.zeros((0, 3), np.float32), "one": np.arange(5, dtype=np.int32)}
    for kind in ("f2", "f4", "f8", "i4", "i8", "u1"):
        arrays["c/" + kind] = (100 * random.random((3, 4, 5))).astype(kind)
        arrays["f/" + kind] = np.asfortranarray(arrays["c/" + kind])
    arrays["bfloat16"] = random.integers(0, 1 << 16, (6, 7), dtype=np.uint16).view("V2")
    arrays["large"] = np.round(random.standard_normal((300, 400)), 1).astype(np.float32)
    for saver in (np.savez, np.savez_compressed):
        saver(folder / "in.npz", **arrays)
        run(driver, "copy", folder / "in.npz", folder / "out.npz")
        copy = np.load(folder / "out.npz")
        same = set(copy.files) == set(arrays) and all(
            copy[k].dtype == v.dtype and copy[k].shape == v.shape and copy[k].tobytes() == v.tobytes() for k, v in arrays.items())
        check(same, f"{saver.__name__}: {len(arrays)} arrays come back, and numpy reads them")
    for limit in (1 << 32, 300, 100, 0):
        run(driver, "zip", limit, folder / "a.zip")
        with zipfile.ZipFile(folder / "a.zip") as archive:
            good = archive.testzip() is None and archive.read("small") == b"small" and archive.read("last") == b"end"
            check(good and archive.read("large") == b"l" * 100 + b"a" * 100, f"Python reads an archive with zip64 from {limit} bytes on")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--driver", required=True)
    driver = parser.parse_args().driver
    start = time.time()
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        archives(driver, folder)
        plain, siglip = "vit_tiny_patch16_224", "vit_base_patch16_siglip_224"
        towers(driver, folder, "vision_transformer", plain, plain)
        towers(driver, folder, "vision_transformer, compressed", plain, plain, "opt/target/", saver=np.savez_compressed)
        apart = dict(big_vision=True, no_embed_class=True)
        towers(driver, folder, "big_vision with a class token", plain, plain, "params/", **apart)
        towers(driver, folder, "big_vision with stacked layers", plain, plain, "params/", stacked=True, **apart)
        towers(driver, folder, "SigLIP", siglip, "ViT-B-16-SigLIP", "params/img/", big_vision=True)
    print(f"{len(failures)} failures in {time.time() - start:.0f} s")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
