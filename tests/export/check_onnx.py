# SPDX-FileCopyrightText: 2026 The Contrapunto Authors
# SPDX-License-Identifier: Apache-2.0
"""Runs the ONNX files of export_driver in ONNX Runtime, for each opset, after onnx.checker has accepted them."""
import argparse
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import onnx
import onnxruntime

COSINE = 0.99999
LIMIT = 1e-4  # largest difference of a number
BATCHES = (1, 3)
OPSETS = (17, 18, 20, 23)
failures = []


def check(ok, line):
    print(("ok    " if ok else "FAIL  ") + line, flush=True)
    if not ok:
        failures.append(line)


def reference(session):
    """The inputs that contrapunto.reference_inputs describes. The texts of all models have 100 tokens."""
    inputs = {}
    for value in session.get_inputs():
        shape = [1 if isinstance(size, str) else size for size in value.shape]
        steps = np.arange(np.prod(shape), dtype=np.int64) * 7919
        numbers = {"tensor(float)": (steps % 1024 / 512 - 1).astype(np.float32), "tensor(uint8)": (steps % 256).astype(np.uint8),
                   "tensor(int64)": steps % 100}[value.type]
        inputs[value.name] = numbers.reshape(shape)
    return inputs


def compare(name, file, numbers, opset):
    onnx.checker.check_model(str(file), full_check=True)
    model = onnx.load(file, load_external_data=False)
    session = onnxruntime.InferenceSession(file, providers=["CPUExecutionProvider"])
    outputs = [value.name for value in session.get_outputs()]
    error, cosine, count = 0.0, 1.0, 0
    pairs = [(f"{output}.{batch}", numbers[f"{output}.{batch}"], value) for batch in BATCHES
             for output, value in zip(outputs, session.run(None, {value.name: numbers[f"{value.name}.{batch}"]
                                                                  for value in session.get_inputs()}))]
    written = {entry.key: entry.value for entry in model.metadata_props}
    for output, value in zip(outputs, session.run(None, reference(session))):
        pairs.append((f"reference of {output}", np.array(written[f"contrapunto.reference.{output}"].split(), np.float64), value[0]))
    for what, wanted, value in pairs:
        if value.shape != wanted.shape:
            raise ValueError(f"{what} of {file.name} is {value.shape} instead of {wanted.shape}")
        a, b = value.ravel().astype(np.float64), wanted.ravel().astype(np.float64)
        error, cosine, count = max(error, np.abs(a - b).max()), min(cosine, a @ b / np.sqrt((a @ a) * (b @ b))), count + 1
    operators = {node.op_type for node in model.graph.node}
    check(error <= LIMIT and cosine >= COSINE, f"{name}, opset {opset}: {count} results off by {error:.1e}, cosine {cosine:.8f}")
    check(model.opset_import[0].version == opset and ("Gelu" not in operators or opset >= 20)
          and ("Attention" not in operators or opset >= 23), f"{name}, opset {opset}: {len(model.graph.node)} nodes")
    return operators


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--driver", required=True)
    driver = parser.parse_args().driver
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run([driver, folder], check=True)
        names = sorted(file.stem for file in Path(folder).glob("*.npz"))
        for name in names:
            numbers = dict(np.load(Path(folder) / f"{name}.npz"))
            used = {opset: compare(name, Path(folder) / f"{name}.{opset}.onnx", numbers, opset) for opset in OPSETS}
            check("Attention" in used[23] or name in ("linear_vit", "swin_vit"), f"{name}: opset 23 has attention as one operator")
        check(len(names) >= 10, f"{len(names)} models")
        # Weights in a file of their own: without it the model must not run.
        (Path(folder) / "clip.18.onnx.data").unlink()
        try:
            onnxruntime.InferenceSession(Path(folder) / "clip.18.onnx", providers=["CPUExecutionProvider"])
            check(False, "a missing file of weights is noticed")
        except Exception as error:
            check("clip.18.onnx.data" in str(error), "a missing file of weights is noticed")
    print(f"{len(failures)} failures")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
