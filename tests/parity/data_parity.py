#!/usr/bin/env python3
# SPDX-FileCopyrightText: 2026 The Contrapunto Authors
# SPDX-License-Identifier: Apache-2.0
"""Compares our pixels with those of PIL, torchvision and open_clip on the photos of CONTRAPUNTO_DATA.

    data_parity.py --driver PATH_OF_parity_data

With Pillow up to 12 every value is equal. Pillow 13 resizes some shapes rows first where we always take the columns
first; rounding between the two passes then makes a difference.
"""
import argparse
import collections
import glob
import io
import json
import os
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
    if check.failed:
        sys.exit("FAILED")


if __name__ == "__main__":
    main()
