#!/usr/bin/env python3
# SPDX-FileCopyrightText: 2026 The Contrapunto Authors
# SPDX-License-Identifier: Apache-2.0
"""Compares our pixels with those of PIL, torchvision, timm and open_clip on the photos of CONTRAPUNTO_DATA.

    data_parity.py --driver PATH_OF_parity_data

With Pillow up to 12 every value is equal. Pillow 13 resizes some shapes rows first where we always take the columns
first; rounding between the two passes then makes a difference. The draws of an automatic augmentation are compared as distributions, because the random numbers differ.
"""
import argparse
import collections
import glob
import io
import json
import math
import os
import random
import subprocess
import sys
import tarfile
import tempfile

import numpy as np
import open_clip
import torch
import torchvision.transforms.functional as F
import PIL
from PIL import Image
from safetensors.numpy import load_file
from timm.data import auto_augment
from timm.data.random_erasing import RandomErasing
from torchvision.transforms import InterpolationMode

SHARE, LEVELS = 0.999, 1  # at least this fraction of the values within this many levels


def samples(path):
    """(key, encoding, PIL image in RGB) of each sample, as open_clip's webdataset path decodes it."""
    images, records = {}, {}
    with tarfile.open(path) as archive:
        for member in archive:
            key, extension = member.name.split(".", 1)
            data = archive.extractfile(member).read()
            if extension in ("jpg", "png", "webp"):
                images[key] = Image.open(io.BytesIO(data)).convert("RGB")
            elif extension == "json":
                records[key] = json.loads(data)
    return [(key, records[key]["encoding"], image) for key, image in images.items()]


def open_clip_pixels(size, mode, interpolation):
    transform = open_clip.image_transform(size, is_train=False, mean=(0, 0, 0), std=(1, 1, 1), resize_mode=mode,
                                          interpolation=interpolation)
    return lambda image: (transform(image) * 255).round().to(torch.uint8).permute(1, 2, 0).numpy()


class Checker:
    def __init__(self, driver):
        self.driver, self.failed = driver, False

    def run(self, what, shard, reference, *args):
        with tempfile.TemporaryDirectory() as folder:
            out = os.path.join(folder, "out.safetensors")
            subprocess.run([self.driver, what, shard, out, *map(str, args)], check=True, stdout=subprocess.DEVNULL)
            ours = load_file(out)
        table = collections.defaultdict(lambda: [0, 0, 0, 0])  # values, equal, within, worst
        for key, encoding, image in samples(shard):
            expected = reference(image)
            if ours[key].shape != expected.shape:
                print(f"FAILED: {key}: shape {ours[key].shape}, expected {expected.shape}")
                self.failed = True
                continue
            difference = np.abs(ours[key].astype(np.int16) - expected.astype(np.int16))
            row = table[encoding]
            row[0] += difference.size
            row[1] += int((difference == 0).sum())
            row[2] += int((difference <= LEVELS).sum())
            row[3] = max(row[3], int(difference.max()))
        return table

    def report(self, title, table):
        print(f"{title}: values, share equal, share within {LEVELS}, largest difference")
        for encoding, (n, equal, within, worst) in sorted(table.items()):
            good = within >= SHARE * n
            self.failed |= not good
            print(f"  {encoding:18} {n:11,} {equal / n:.6f} {within / n:.6f} {worst:4d}{'' if good else '  FAILED'}")
        if not table:
            self.failed = True
            print("  FAILED: nothing was compared")


def merged(tables):
    total = collections.defaultdict(lambda: [0, 0, 0, 0])
    for table in tables:
        for encoding, row in table.items():
            total[encoding] = [a + b for a, b in zip(total[encoding][:3], row)] + [max(total[encoding][3], row[3])]
    return total


# timm's operations on images: the operations of ImageOperation::Kind in their order, and arguments to compare.
OPERATIONS = {
    "AutoContrast": (), "Equalize": (), "Invert": (), "Rotate": (27.3, -12.1), "Posterize": (1, 4),
    "Solarize": (26, 128, 256), "SolarizeAdd": (99,), "Color": (0.0, 0.19, 1.81), "Contrast": (0.19, 1.81),
    "Brightness": (0.19, 1.81), "Sharpness": (0.19, 1.81), "ShearX": (0.27, -0.13), "ShearY": (0.27, -0.13),
    "TranslateXRel": (0.405, -0.123), "TranslateYRel": (0.405, -0.123), "GaussianBlur": (0.1, 0.6, 1.3, 2.0)}
MOVES = ("Rotate", "ShearX", "ShearY", "TranslateXRel", "TranslateYRel")


def compare_operations(check, shard):
    for name, arguments in OPERATIONS.items():
        for argument in arguments or (None,):
            for mode in ("bicubic", "bilinear") if name in MOVES else ("bicubic",):
                options = {"fillcolor": (123, 117, 104),
                           "resample": Image.BICUBIC if mode == "bicubic" else Image.BILINEAR}
                values = () if argument is None else (argument,)
                check.report(f"{name} {argument} {mode}", check.run(
                    "operation", shard,
                    lambda image: np.asarray(auto_augment.NAME_TO_OP[name](image, *values, **options)),
                    name, argument or 0, mode))


def compare_simple_crops(check, shard):
    """DeiT III's Resize and RandomCrop with reflected padding, at given places."""
    size, padding = 96, 4
    for left, top in ((-4, 3), (2, -1)):
        def reference(image):
            padded = F.pad(F.resize(image, size, InterpolationMode.BICUBIC), padding, padding_mode="reflect")
            return np.asarray(F.crop(padded, top + padding, left + padding, size, size))
        check.report(f"simple crop at {left} {top}", check.run("simple", shard, reference, size, left, top))


def compare_erasing(check, shard):
    """timm erases the normalized image. A box that it drew is given to our program, with its color."""
    size = 224
    mean, std = (torch.tensor(v)[:, None, None] for v in (open_clip.OPENAI_DATASET_MEAN, open_clip.OPENAI_DATASET_STD))
    for mode, seed in (("const", 0), ("rand", 1), ("rand", 2)):
        random.seed(seed)
        torch.manual_seed(seed)
        probe = torch.full((3, size, size), 77.0)
        RandomErasing(1.0, mode=mode, device="cpu")(probe)
        rows, columns = (probe[0] != 77).nonzero(as_tuple=True)
        top, left = int(rows.min()), int(columns.min())
        height, width = int(rows.max()) - top + 1, int(columns.max()) - left + 1
        color = probe[:, top:top + 1, left:left + 1]
        pixels = open_clip_pixels(size, "shortest", "bicubic")

        def reference(image):
            normalized = (torch.from_numpy(pixels(image)).permute(2, 0, 1) / 255 - mean) / std
            normalized[:, top:top + height, left:left + width] = color
            return ((normalized * std + mean) * 255).round().clamp(0, 255).to(torch.uint8).permute(1, 2, 0).numpy()
        levels = ((color * std + mean) * 255).flatten().tolist()
        check.report(f"erasing {mode} {width}x{height}+{left}+{top}", check.run(
            "erase", shard, reference, size, left, top, width, height, *levels))


def compare_levels(check):
    """The arguments of every operation for some magnitudes."""
    lines = subprocess.run([check.driver, "levels"], check=True, capture_output=True, text=True).stdout.splitlines()
    for line in lines:
        name, level, sign, ours = line.split()
        function = auto_augment.LEVEL_TO_ARG[name]
        random.random, keep = (lambda: 0.9 if float(sign) < 0 else 0.1), random.random
        expected = function(float(level), {})[0] if function else 0.0
        random.random = keep
        if name == "Desaturate":  # timm turns the argument into a factor when it is applied
            expected = 1.0 - expected
        if not math.isclose(float(ours), expected, rel_tol=1e-12, abs_tol=1e-12):
            print(f"FAILED: {name} at {level}: {ours}, expected {expected}")
            check.failed = True
    print(f"levels: {len(lines)} arguments compared")
    check.failed |= len(lines) < 100


def compare_draws(check, name, count=20_000, size=224):
    """The frequency of each operation, and the mean and variance of the size of its argument."""
    kinds = {operation: kind for kind, operation in enumerate(OPERATIONS)}
    for operation in auto_augment.NAME_TO_OP:
        kinds.setdefault(operation, kinds.get(operation.removesuffix("Increasing")))
    kinds |= {"Desaturate": kinds["Color"], "GaussianBlurRand": kinds["GaussianBlur"]}
    theirs, ours = collections.defaultdict(list), collections.defaultdict(list)
    random.seed(7)
    np.random.seed(7)
    make = auto_augment.rand_augment_transform if name.startswith("rand") else auto_augment.auto_augment_transform
    transform = make(name, {"img_mean": (123, 117, 104)})

    def record(operation):
        def changed(image, *values, **_):
            value = values[0] if values else 0.0
            if operation == "Desaturate":
                value = 1.0 - value
            if operation == "GaussianBlurRand":
                value = random.uniform(0.1, 2.0 * value)
            theirs[kinds[operation]].append(value)
            return image
        return changed
    for operation in transform.ops if name.startswith("rand") else sum(transform.policy, []):
        operation.aug_fn = record(operation.name)
    for _ in range(count):
        transform(None)
    lines = subprocess.run([check.driver, "draws", name, str(count), str(size)], check=True, capture_output=True,
                           text=True).stdout.splitlines()
    for line in lines:
        kind, value = line.split()
        ours[int(kind)].append(float(value) * (size if int(kind) == kinds["GaussianBlur"] else 1))
    worst = 0.0
    for kind in sorted(ours.keys() | theirs.keys()):
        a, b = (np.array(values[kind], dtype=float) for values in (ours, theirs))
        scores = [(len(a) - len(b)) / math.sqrt(len(a) + len(b))]
        if len(a) > 1 and len(b) > 1:
            for x, y in ((a, b), (np.abs(a - a.mean()), np.abs(b - b.mean()))):
                error = math.sqrt(x.var() / len(x) + y.var() / len(y))
                scores.append((x.mean() - y.mean()) / error if error > 1e-9 else (x.mean() - y.mean()) * 1e9)
        worst = max(worst, *map(abs, scores))
    good = worst < 5 and len(lines) > count / 2
    check.failed |= not good
    print(f"draws of {name}: {len(lines)}, largest distance {worst:.2f} standard errors{'' if good else '  FAILED'}")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--driver", required=True)
    check = Checker(parser.parse_args().driver)
    data = os.environ.get("CONTRAPUNTO_DATA", "")
    shards = sorted(glob.glob(os.path.join(data, "photos", "*.tar")))
    if not data or not shards:
        print("WARN: CONTRAPUNTO_DATA is not set or holds no photos; data parity is skipped")
        return
    print(f"Pillow {PIL.__version__}")
    encodings = os.path.join(data, "photos", "encodings-000.tar")
    test = os.path.join(data, "photos", "test-000.tar")

    check.report("decoded", check.run("decode", encodings, np.asarray))
    bicubic = open_clip_pixels(224, "shortest", "bicubic")
    check.report("eval 224 bicubic, all shards",
                 merged(check.run("eval", shard, bicubic, 224, "shortest", "bicubic") for shard in shards))
    for size, mode, interpolation in [(336, "shortest", "bicubic"), (32, "shortest", "bicubic"),
                                      (224, "shortest", "bilinear"), (224, "longest", "bicubic"),
                                      (224, "squash", "bicubic"), (700, "shortest", "bicubic")]:
        reference = open_clip_pixels(size, mode, interpolation)
        for shard in (encodings, test) if mode != "shortest" else (encodings,):
            check.report(f"eval {size} {mode} {interpolation}",
                         check.run("eval", shard, reference, size, mode, interpolation))
    for left, top, width, height in [(0, 0, 256, 256), (13, 7, 201, 244), (100, 50, 31, 200)]:
        check.report(f"crop {width}x{height}+{left}+{top} to 224", check.run(
            "crop", test, lambda image: np.asarray(
                F.resized_crop(image, top, left, height, width, [224, 224], InterpolationMode.BICUBIC)),
            224, left, top, width, height))
    for name, function, factors in [("brightness", F.adjust_brightness, (0.6, 1.4)),
                                    ("contrast", F.adjust_contrast, (0.6, 1.4)),
                                    ("saturation", F.adjust_saturation, (0.6, 1.4)),
                                    ("hue", F.adjust_hue, (-0.3, 0.08))]:
        for factor in factors:
            check.report(f"{name} {factor}", check.run(
                "color", encodings, lambda image: np.asarray(function(image, factor)), name, factor))
    check.report("gray", check.run("color", encodings, lambda image: np.asarray(F.to_grayscale(image, 3)), "gray", 0))
    compare_operations(check, encodings)
    compare_simple_crops(check, encodings)
    compare_erasing(check, encodings)
    compare_levels(check)
    for name in ("3a", "rand-m9-mstd0.5-inc1", "rand-m7-n4-mstd0.5", "rand-m8-mstd101-p0.8", "rand-m9-mmax15-mstd2-inc1",
                 "rand-n3-tweights", "rand-m6-mstd1-n2-t3aw", "rand-m6-mstd1-t3a"):
        compare_draws(check, name)
    if check.failed:
        sys.exit("FAILED")


if __name__ == "__main__":
    main()
