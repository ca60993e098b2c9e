#!/usr/bin/env python3
# SPDX-FileCopyrightText: 2026 The Contrapunto Authors
# SPDX-License-Identifier: Apache-2.0
"""Compares the losses over classes, mixup and CutMix with timm: values and gradients, mixed pixels, and distributions of draws."""
import argparse
import json
import subprocess
import sys
import tempfile

import numpy as np
import torch
import timm.data.mixup as timm_mixup
from safetensors.torch import load_file, save_file
from timm.data.mixup import FastCollateMixup, Mixup, mixup_target
from timm.loss import BinaryCrossEntropy, LabelSmoothingCrossEntropy, SoftTargetCrossEntropy

parser = argparse.ArgumentParser()
parser.add_argument("--driver", required=True)
driver = parser.parse_args().driver

torch.manual_seed(0)
np.random.seed(0)
SAMPLES, CLASSES, IMAGES, DRAWS = 32, 41, 8, 40_000
logits = 4 * torch.randn(SAMPLES, CLASSES)
label = torch.randint(0, CLASSES, (SAMPLES,))
weight = torch.rand(SAMPLES)
images = torch.randint(0, 256, (IMAGES, 3, 24, 36), dtype=torch.uint8)
image_labels = torch.randint(0, CLASSES, (IMAGES,))

losses = [{"name": f"{kind}-{mixed}-{smoothing}-{threshold}-{sums}", "kind": kind, "mixed": mixed, "smoothing": smoothing,
           "threshold": threshold, "sum_classes": sums}
          for kind in ("softmax", "bce") for mixed in (False, True) for smoothing in (0.0, 0.1)
          for threshold in (0.0, 0.2) for sums in (False, True) if kind == "bce" or not (threshold or sums)]
mixing = [{"name": f"{mode}-{mixup}-{cutmix}-{probability}-{size}", "mode": mode, "mixup": mixup, "cutmix": cutmix,
           "probability": probability, "cutmix_share": 0.3, "draws": DRAWS, "size": size}
          for mode, mixup, cutmix, probability, size in (
              ("batch", 0.8, 0.0, 1.0, 32), ("batch", 0.0, 1.0, 1.0, 32), ("batch", 0.2, 0.5, 0.8, 224),
              ("pair", 0.8, 1.0, 0.8, 224), ("elem", 0.8, 1.0, 1.0, 32))]

failed = False


def check(name, difference, most):
    global failed
    good = difference <= most
    failed |= not good
    print(f"{name:44s} {difference:.3g}, at most {most:.3g}  {'ok' if good else 'DIFFERENT'}")


with tempfile.TemporaryDirectory() as folder:
    source, target = f"{folder}/in.safetensors", f"{folder}/out.safetensors"
    save_file({"logits": logits, "label": label, "mixed_label": label.flip(0).contiguous(), "label_weight": weight,
               "images": images, "image_labels": image_labels}, source,
              {"losses": json.dumps(losses), "mixing": json.dumps(mixing)})
    subprocess.run([driver, source, target], check=True)
    ours = load_file(target)

for loss in losses:
    x = logits.clone().requires_grad_(True)
    smoothing = loss["smoothing"]
    dense = mixup_target(label, CLASSES, weight.unsqueeze(1) if loss["mixed"] else 1.0, smoothing)
    if loss["kind"] == "bce":
        module = BinaryCrossEntropy(smoothing=smoothing, target_threshold=loss["threshold"] or None,
                                    sum_classes=loss["sum_classes"])
        value = module(x, dense if loss["mixed"] else label)
    elif loss["mixed"]:
        value = SoftTargetCrossEntropy()(x, dense)
    else:
        value = LabelSmoothingCrossEntropy(smoothing)(x, label)
    value.backward()
    check(f"{loss['name']} value", abs(ours[loss["name"] + ".value"].item() / value.item() - 1), 2e-6)
    gradient = ours[loss["name"] + ".gradient"]
    check(f"{loss['name']} gradient", ((gradient - x.grad).abs().max() / x.grad.abs().max()).item(), 2e-6)


class Given(FastCollateMixup):
    """timm's mixing of a batch with our draws in place of its own."""

    def __init__(self, mode, rows):
        super().__init__(mixup_alpha=1.0, cutmix_alpha=1.0, mode=mode, label_smoothing=0.0, num_classes=CLASSES)
        self.rows = rows

    def _params_per_batch(self):
        return self._params_per_elem(1)[0][0].item(), self.rows[0, 1] == 0

    def _params_per_elem(self, count):
        # A share of exactly 1 leaves an image alone; CutMix finds the corrected share in its box.
        return np.where(self.rows[:count, 1] == 1, 1, np.where(self.rows[:count, 1] == 0, 0.5, self.rows[:count, 1])).astype(
            np.float32), self.rows[:count, 1] == 0


timms_box = timm_mixup.rand_bbox
for mix in mixing:
    rows = ours[mix["name"] + ".rows"].numpy()
    boxes = iter([tuple(int(edge) for edge in row[2:]) for row in rows if row[1] == 0])
    timm_mixup.rand_bbox = lambda shape, lam, margin=0.0, count=None: next(boxes)
    pixels, targets = Given(mix["mode"], rows)([(image.numpy().copy(), int(l)) for image, l in zip(images, image_labels)])
    difference = (pixels.int() - ours[mix["name"] + ".images"].int()).abs()
    check(f"{mix['name']} pixels, largest difference", difference.max().item(), 1)  # sums next to a half
    check(f"{mix['name']} pixels, share of differences", (difference > 0).double().mean().item(), 1e-4)
    ours_dense = mixup_target(image_labels, CLASSES, torch.tensor(rows[:, :1]).float(), 0.0)
    check(f"{mix['name']} targets", (targets - ours_dense).abs().max().item(), 1e-6)
    timm_mixup.rand_bbox = timms_box

    # Distribution functions of what is drawn, by the test of Kolmogorov and Smirnov: share of the label, side of the box.
    draws = ours[mix["name"] + ".draws"].numpy()
    theirs = []
    timm = Mixup(mixup_alpha=mix["mixup"], cutmix_alpha=mix["cutmix"], prob=mix["probability"], switch_prob=mix["cutmix_share"],
                 mode="batch", num_classes=CLASSES)
    for _ in range(DRAWS):
        share, cuts = timm._params_per_batch()
        box = (0, mix["size"], 0, mix["size"]) if share != 1 else (0, 0, 0, 0)
        if cuts:
            box, share = timm_mixup.cutmix_bbox_and_lam((3, mix["size"], mix["size"]), share)
        theirs.append((share, 0 if cuts else share, *box))
    theirs = np.array(theirs)
    columns = {"share": lambda t: t[:, 0], "cut": lambda t: t[:, 1] == 0, "top": lambda t: t[:, 2], "height": lambda t: t[:, 3] - t[:, 2],
               "left": lambda t: t[:, 4], "width": lambda t: t[:, 5] - t[:, 4]}
    for what, column in columns.items():
        a, b = np.sort(column(draws)), np.sort(column(theirs))
        points = np.union1d(a, b)
        distance = np.abs(np.searchsorted(a, points, "right") - np.searchsorted(b, points, "right")).max() / DRAWS
        check(f"{mix['name']} {what}, distributions", distance, 2.23 * (2 / DRAWS) ** 0.5)  # p = 1e-4

sys.exit(failed)
