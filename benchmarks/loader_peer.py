# SPDX-FileCopyrightText: 2026 The Contrapunto Authors
# SPDX-License-Identifier: Apache-2.0
"""What the peers of the loader's benchmark share: their arguments and the line that they print."""

import argparse
import json
import time


def arguments():
    parser = argparse.ArgumentParser()
    parser.add_argument("--data", required=True)
    parser.add_argument("--interpolation", choices=["bicubic", "bilinear"], default="bicubic")
    parser.add_argument("--crop", type=float, default=0.9)
    parser.add_argument("--size", type=int, default=224)
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--images", type=int, default=500)
    return parser.parse_args()


def report(batches, version):
    """Times `batches`, pairs of pixels and texts, and prints the result."""
    images, start, cpu = 0, time.perf_counter(), time.process_time()
    for _, texts in batches:
        images += len(texts)
    print(json.dumps({"images": images, "wall_seconds": time.perf_counter() - start, "cpu_seconds": time.process_time() - cpu,
                      "version": version}))
