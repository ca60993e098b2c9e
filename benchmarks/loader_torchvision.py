# SPDX-FileCopyrightText: 2026 The Contrapunto Authors
# SPDX-License-Identifier: Apache-2.0
"""Times torch's DataLoader on torchvision's decode_jpeg and transforms v2: a peer of loader.cpp, started by run_loader.py.

Like ours, it returns uint8 images and token ids. The encoded samples lie in memory, so nothing is read.
"""

import glob
import tarfile

import loader_peer
import open_clip
import torch
import torchvision
from torchvision.io import ImageReadMode, decode_jpeg
from torchvision.transforms import InterpolationMode, v2


class Pairs(torch.utils.data.Dataset):
    def __init__(self, pattern, transform, tokenizer, most):
        self.samples, self.transform, self.tokenizer = [], transform, tokenizer
        for path in sorted(glob.glob(pattern)):
            parts = {}
            with tarfile.open(path) as shard:
                for member in shard:
                    key, _, extension = member.name.partition(".")
                    parts.setdefault(key, {})[extension] = shard.extractfile(member).read()
            self.samples += [(torch.frombuffer(bytearray(p["jpg"]), dtype=torch.uint8), p["txt"].decode())
                             for p in parts.values()]
            if len(self.samples) >= most:
                break

    def __len__(self):
        return len(self.samples)

    def __getitem__(self, index):
        image, text = self.samples[index]
        return self.transform(decode_jpeg(image, mode=ImageReadMode.RGB)), self.tokenizer(text)[0]


def main():
    a = loader_peer.arguments()
    torch.set_num_threads(1)
    torch.manual_seed(0)

    transform = v2.RandomResizedCrop(a.size, scale=(a.crop, 1.0), interpolation=InterpolationMode[a.interpolation.upper()])
    pairs = Pairs(a.data, transform, open_clip.get_tokenizer("ViT-B-32"), a.images)
    loader = torch.utils.data.DataLoader(pairs, batch_size=a.batch, shuffle=True, drop_last=True)
    next(iter(loader))
    # Whole passes, until there are enough images.
    passes = -(-a.images // (len(loader) * a.batch))
    loader_peer.report((batch for _ in range(passes) for batch in loader),
                       f"torchvision {torchvision.__version__}, torch {torch.__version__}")


if __name__ == "__main__":
    main()
