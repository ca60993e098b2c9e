# SPDX-FileCopyrightText: 2026 The Contrapunto Authors
# SPDX-License-Identifier: Apache-2.0
"""Runs the SavedModels of export_driver in TensorFlow: as tf.saved_model.load reads them, in a session of version
1, and converted to TensorFlow Lite. Damaged weights must be noticed."""
import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

os.environ["TF_CPP_MIN_LOG_LEVEL"] = "2"
import numpy as np
import tensorflow as tf

COSINE = 0.99999
LIMIT = 1e-4  # largest difference of a number
BATCHES = (1, 3)
failures = []


def check(ok, line):
    print(("ok    " if ok else "FAIL  ") + line, flush=True)
    if not ok:
        failures.append(line)


class Comparison:
    """The largest difference and the smallest cosine of what a runtime returns."""

    def __init__(self, numbers):
        self.numbers, self.error, self.cosine, self.count = numbers, 0.0, 1.0, 0

    def add(self, name, batch, value):
        wanted = self.numbers[f"{name}.{batch}"]
        if value.shape != wanted.shape:
            raise ValueError(f"{name} is {value.shape} instead of {wanted.shape}")
        a, b = value.ravel().astype(np.float64), wanted.ravel().astype(np.float64)
        self.error = max(self.error, np.abs(a - b).max())
        self.cosine = min(self.cosine, a @ b / np.sqrt((a @ a) * (b @ b)))
        self.count += 1

    def report(self, what):
        check(self.count > 0 and self.error <= LIMIT and self.cosine >= COSINE,
              f"{what}: {self.count} results off by {self.error:.1e}, cosine {self.cosine:.8f}")


def differ(name, numbers):
    """Results that are the same for all samples would not show a mistake."""
    features = [v for k, v in numbers.items() if k.endswith("_features.3")]
    spread = min(np.abs(f - f.mean(0)).max() for f in features)
    check(spread > 100 * LIMIT, f"{name}: samples differ by {spread:.2f}")


def inputs_of(signature, numbers, batch):
    names = signature.structured_input_signature[1]
    return {name: numbers[f"{name}.{batch}"] for name in names}


def load(folder, numbers):
    model = tf.saved_model.load(str(folder))
    compared = Comparison(numbers)
    for signature in model.signatures.values():
        for batch in BATCHES:
            inputs = {k: tf.constant(v) for k, v in inputs_of(signature, numbers, batch).items()}
            for name, value in signature(**inputs).items():
                compared.add(name, batch, value.numpy())
    compared.report(f"{folder.name}: {', '.join(sorted(model.signatures))}")
    return model


def session(folder, numbers):
    compared = Comparison(numbers)
    with tf.Graph().as_default(), tf.compat.v1.Session() as running:
        graph = tf.compat.v1.saved_model.load(running, ["serve"], str(folder))
        transposes = sum(node.op == "Transpose" for node in graph.graph_def.node)
        for signature in graph.signature_def.values():
            for batch in BATCHES:
                inputs = {info.name: numbers[f"{name}.{batch}"] for name, info in signature.inputs.items()}
                outputs = {name: info.name for name, info in signature.outputs.items()}
                for name, value in running.run(outputs, inputs).items():
                    compared.add(name, batch, value)
    compared.report(f"{folder.name}: session ({transposes} transposes)")


def lite(folder, numbers, model):
    compared, flex = Comparison(numbers), set()
    for key in model.signatures:
        converter = tf.lite.TFLiteConverter.from_saved_model(str(folder), signature_keys=[key])
        converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS, tf.lite.OpsSet.SELECT_TF_OPS]
        interpreter = tf.lite.Interpreter(model_content=converter.convert())
        flex |= {op["op_name"] for op in interpreter._get_ops_details() if op["op_name"].startswith("Flex")}
        runner = interpreter.get_signature_runner(key)
        for batch in BATCHES:
            for name, value in runner(**inputs_of(model.signatures[key], numbers, batch)).items():
                compared.add(name, batch, value)
    compared.report(f"{folder.name}: TensorFlow Lite ({', '.join(sorted(flex)) or 'built-in operators'})")


def damaged(folder):
    data = folder / "variables" / "variables.data-00000-of-00001"
    content = bytearray(data.read_bytes())
    content[len(content) // 2] ^= 1
    data.write_bytes(content)
    try:
        tf.saved_model.load(str(folder))
        noticed = False
    except tf.errors.DataLossError:
        noticed = True
    check(noticed, f"{folder.name}: a damaged byte is noticed")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--driver", required=True)
    driver = parser.parse_args().driver
    start = time.time()
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run([driver, folder], check=True)
        files = sorted(Path(folder).glob("*.npz"))
        for file in files:
            numbers = dict(np.load(file))
            model_folder = file.with_suffix("")
            differ(model_folder.name, numbers)
            model = load(model_folder, numbers)
            session(model_folder, numbers)
            lite(model_folder, numbers, model)
            if (model_folder / "variables").exists():
                damaged(model_folder)
        check(len(files) >= 10, f"{len(files)} models")
    print(f"{len(failures)} failures in {time.time() - start:.0f} s")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
