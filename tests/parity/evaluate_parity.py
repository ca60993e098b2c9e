# SPDX-FileCopyrightText: 2026 The Contrapunto Authors
# SPDX-License-Identifier: Apache-2.0
"""Compares zero-shot and retrieval numbers with open_clip and its trainer, and safetensors with the Python library."""
import argparse
import json
import subprocess
import sys
import tempfile
import warnings
from types import SimpleNamespace

import torch
import torch.nn.functional as F
from safetensors import safe_open
from safetensors.torch import load_file, save_file

warnings.filterwarnings("ignore")
import open_clip_train.zero_shot as trainer
from open_clip import build_zero_shot_classifier
from open_clip_train.train import get_clip_metrics

parser = argparse.ArgumentParser()
parser.add_argument("--driver", required=True)
driver = parser.parse_args().driver

torch.manual_seed(0)
CLASSES, PROMPTS, DIM, IMAGES, PAIRS = 23, 7, 32, 500, 701
# A text is the number of its row of features: class c under prompt p reads "<c><p>" and is row 10 c + p.
names = [str(c) for c in range(CLASSES)]
prompts = [f"{{}}{p}" for p in range(PROMPTS)]
rows = 10 * CLASSES
class_center = torch.randn(CLASSES, DIM, dtype=torch.float64)
text_features = class_center.repeat_interleave(10, 0) + 0.7 * torch.randn(rows, DIM, dtype=torch.float64)
text_features *= 1 + torch.rand(rows, 1, dtype=torch.float64)  # not yet unit rows
labels = torch.randint(0, CLASSES, (IMAGES,))
zero_shot_images = F.normalize(class_center[labels] + 2.0 * torch.randn(IMAGES, DIM, dtype=torch.float64), dim=-1)
images = F.normalize(torch.randn(PAIRS, DIM, dtype=torch.float64), dim=-1)
texts = F.normalize(images + 0.35 * torch.randn(PAIRS, DIM, dtype=torch.float64), dim=-1)

inputs = dict(text_features=text_features, labels=labels, zero_shot_images=zero_shot_images, images=images, texts=texts)
every_type = {str(t): (100 * torch.rand(3, 4)).to(t) for t in (
    torch.float64, torch.float32, torch.float16, torch.bfloat16, torch.int64, torch.int32, torch.int16, torch.int8,
    torch.uint8, torch.bool)}
every_type |= {"scalar": torch.tensor(1.5), "empty": torch.empty(0, 3), "naïve \"name\"": torch.ones(1)}
metadata = {"names": json.dumps(names), "prompts": json.dumps(prompts)}

class Model:
    """Returns fixed features, with the interface that open_clip needs of a model."""

    def encode_text(self, tokens, normalize=False):
        features = text_features[tokens]
        return F.normalize(features, dim=-1) if normalize else features

    def __call__(self, image):
        return {"image_features": image}

def tokenize(batch):
    return torch.tensor([int(text) for text in batch])

failed = False

def check(name, ours, theirs, tolerance=0.0):
    global failed
    good = abs(ours - theirs) <= tolerance
    failed |= not good
    print(f"{name:32s} ours {ours:.9g}  open_clip {theirs:.9g}  {'ok' if good else 'DIFFERENT'}")

with tempfile.TemporaryDirectory() as folder:
    source, target, result = (f"{folder}/{name}" for name in ("in.safetensors", "out.safetensors", "result.json"))
    save_file(inputs | every_type, source, metadata)
    subprocess.run([driver, source, target, result], check=True)
    ours = json.load(open(result))
    returned = load_file(target)
    with safe_open(target, "pt") as file:
        same_metadata = file.metadata() == metadata

model = Model()
classifier = build_zero_shot_classifier(model, tokenize, names, prompts, num_classes_per_batch=10)
check("classifier, largest difference", (returned.pop("classifier") - classifier.T).abs().max().item(), 0.0, 1e-12)


def accuracy(output, target, topk):
    """The function of the trainer, without its float() of a one-element array, which NumPy 2.4 refuses."""
    correct = output.topk(max(topk), 1, True, True)[1].t().eq(target.view(1, -1))
    return [correct[:k].sum().item() for k in topk]


# The trainer's loop casts images to the run's precision; doubles keep near-ties apart on both sides.
trainer.get_input_dtype = lambda precision: torch.float64
trainer.accuracy = accuracy
trainer.tqdm = lambda loader, **_: loader
args = SimpleNamespace(device="cpu", precision="fp64", batch_size=100)
top1, top5 = trainer.run(model, classifier, list(zip(zero_shot_images.split(100), labels.split(100))), args)
check("zero-shot top-1", ours["top1"], top1)
check("zero-shot top-5", ours["top5"], top5)
theirs = get_clip_metrics(images, texts, torch.tensor(100.0, dtype=torch.float64))
for direction in ("image_to_text", "text_to_image"):
    for key, value in ours[direction].items():
        check(f"{direction}_{key}", value, float(theirs[f"{direction}_{key}"]), 1e-9)

expected = inputs | every_type
assert 0.3 < top1 < 0.95 and 0.3 < ours["image_to_text"]["R@1"] < 0.95, "the planted signal is too easy or too hard"
same = same_metadata and returned.keys() == expected.keys() and all(
    returned[k].dtype == v.dtype and returned[k].shape == v.shape and torch.equal(returned[k], v)
    for k, v in expected.items())
print(f"safetensors there and back, {len(expected)} tensors and metadata: {'equal' if same else 'DIFFERENT'}")
sys.exit(failed or not same)
