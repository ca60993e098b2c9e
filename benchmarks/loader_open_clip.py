# SPDX-FileCopyrightText: 2026 The Contrapunto Authors
# SPDX-License-Identifier: Apache-2.0
"""Times open_clip's own data pipeline (webdataset, PIL, torchvision): a peer of loader.cpp, started by run_loader.py."""

import glob
import types

import loader_peer
import open_clip
import torch
import webdataset
from open_clip.transform import AugmentationCfg, image_transform
from open_clip_train.data import get_wds_dataset
from torchvision.transforms import InterpolationMode


def main():
    a = loader_peer.arguments()
    torch.set_num_threads(1)

    transform = image_transform(a.size, is_train=True, aug_cfg=AugmentationCfg(scale=(a.crop, 1.0)))
    if a.interpolation == "bilinear":  # open_clip has no option for it in training
        transform.transforms[0].interpolation = InterpolationMode.BILINEAR
    tokenizer = open_clip.get_tokenizer("ViT-B-32")
    shards = sorted(glob.glob(a.data))
    args = types.SimpleNamespace(
        train_data="::".join(shards), train_num_samples=a.images, train_data_upsampling_factors=None,
        dataset_resampled=True, workers=0, batch_size=a.batch, world_size=1, seed=0)
    loader = get_wds_dataset(args, transform, is_train=True, tokenizer=tokenizer).dataloader
    batches = iter(loader)
    next(batches)  # fills the buffer that shuffles
    loader_peer.report(
        batches, f"open_clip {open_clip.__version__}, webdataset {webdataset.__version__}, torch {torch.__version__}")


if __name__ == "__main__":
    main()
