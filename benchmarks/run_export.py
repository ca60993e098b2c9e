# SPDX-FileCopyrightText: 2026 The Contrapunto Authors
# SPDX-License-Identifier: Apache-2.0
"""Exports whole models with export_model, and runs them on photographs beside OpenCLIP: time, memory and size of the export, and how
far the features of ONNX Runtime and TensorFlow are from OpenCLIP's.

    python benchmarks/run_export.py --programs build/examples --photos shared/photos --work /tmp/export
        --tensorflow-python .venv/tensorflow/bin/python [--models ViT-B-32 RN50 ViT-B-16-SigLIP ViT-H-14]

The weights are random.
Appends rows to benchmarks/results/export.csv.
"""

import argparse
import io
import os
import pathlib
import subprocess
import sys
import tarfile
import time

import numpy as np

HERE = pathlib.Path(__file__).resolve().parent
FIELDS = ["date", "commit", "hardware", "model", "format", "million_parameters", "megabytes", "written_megabytes", "seconds",
          "disk_seconds", "peak_megabytes", "peak_own_megabytes", "largest_difference", "smallest_cosine", "batch", "milliseconds", "open_clip_milliseconds"]
CAPTIONS = ["a red door in a white wall", "two parrots on a branch", "a lighthouse by the sea, seen from the beach"]


def serve(folder, file):
    """Runs a SavedModel on the arrays of `file` and adds its outputs to it. This is called with TensorFlow's Python."""
    os.environ["TF_CPP_MIN_LOG_LEVEL"] = "2"
    import tensorflow as tf
    arrays = dict(np.load(file))
    model = tf.saved_model.load(folder)
    image, text = model.signatures["serving_default"], model.signatures["encode_text"]
    images = tf.constant(arrays["images"])
    arrays["x"], arrays["y"] = image(images=images)["image_features"].numpy(), text(texts=tf.constant(arrays["texts"]))["text_features"].numpy()
    arrays["seconds"] = median(lambda: image(images=images))
    np.savez(file, **arrays)


def median(call, times=5):
    """The median of the seconds that `call` takes, after one that is not counted."""
    call()
    seconds = []
    for _ in range(times):
        start = time.perf_counter()
        call()
        seconds.append(time.perf_counter() - start)
    return float(np.median(seconds))


def measured(command):
    """Runs a program; returns its seconds, the megabytes that it wrote to the disk, and the largest memory in megabytes: all, and its
    own, without the pages of mapped files, which the system can drop."""
    start = time.perf_counter()
    child = subprocess.Popen(list(map(str, command)), stdout=subprocess.DEVNULL)
    peak = {"VmHWM": 0, "RssAnon": 0}  # Of the program alone: what wait4 reports begins with the memory of this process.
    while True:
        ended, status, usage = os.wait4(child.pid, os.WNOHANG)
        if ended:
            break
        status_lines = pathlib.Path(f"/proc/{child.pid}/status").read_text().splitlines()
        facts = dict(line.split(":", 1) for line in status_lines if ":" in line)
        if facts["Name"].strip() == "export_model":  # Before that it is a copy of this process.
            for key in peak:
                peak[key] = max(peak[key], int(facts.get(key, "0").split()[0]))
        time.sleep(0.01)
    if status:
        sys.exit(f"{command} failed")
    return time.perf_counter() - start, usage.ru_oublock * 512 / 1e6, peak["VmHWM"] / 1024, peak["RssAnon"] / 1024


def loaded_features(fmt, folder, images, texts):
    """The features of a folder that transformers or OpenCLIP loads."""
    import torch
    with torch.no_grad():
        if fmt == "open-clip":
            import open_clip
            model = open_clip.create_model(f"local-dir:{folder}").eval()
            return model.encode_image(images, normalize=True).numpy(), model.encode_text(texts, normalize=True).numpy()
        import transformers
        model = transformers.AutoModel.from_pretrained(folder).eval()
        result = model(input_ids=texts, pixel_values=images)
        return result.image_embeds.numpy(), result.text_embeds.numpy()


def size_of(path):
    return sum(f.stat().st_size for f in path.rglob("*") if f.is_file()) if path.is_dir() else path.stat().st_size


def disk_seconds(folder, size):
    """The seconds in which the disk takes `size` bytes, written in pieces of 64 MiB and synced."""
    piece = os.urandom(1 << 26)
    path = folder / "disk.tmp"
    start = time.perf_counter()
    with path.open("wb") as file:
        for begin in range(0, size, len(piece)):
            file.write(piece[:size - begin])
        file.flush()
        os.fsync(file.fileno())
    seconds = time.perf_counter() - start
    path.unlink()
    return seconds


def photographs(folder, count):
    from PIL import Image
    with tarfile.open(folder / "test-000.tar") as tar:
        names = [name for name in tar.getnames() if name.endswith(".jpg")][:count]
        return [Image.open(io.BytesIO(tar.extractfile(name).read())).convert("RGB") for name in names]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--programs", type=pathlib.Path)
    parser.add_argument("--photos", type=pathlib.Path)
    parser.add_argument("--work", type=pathlib.Path)
    parser.add_argument("--tensorflow-python", help="Python with TensorFlow, which runs the SavedModels")
    parser.add_argument("--models", nargs="*", default=["ViT-B-32", "RN50", "ViT-B-16-SigLIP", "ViT-H-14"])
    parser.add_argument("--formats", nargs="*", default=["onnx", "saved-model", "hugging-face", "open-clip"])
    parser.add_argument("--serve", nargs=2, help=argparse.SUPPRESS)
    parser.add_argument("--results", type=pathlib.Path, default=HERE / "results" / "export.csv")
    a = parser.parse_args()
    if a.serve:
        serve(*a.serve)
        return
    import onnxruntime
    import open_clip
    import torch
    from safetensors.torch import save_file

    from benchmark_rows import append_row
    a.work.mkdir(parents=True, exist_ok=True)
    for name in a.models:
        torch.manual_seed(0)
        model, _, preprocess = open_clip.create_model_and_transforms(name)
        model.eval()
        weights = a.work / f"{name}.safetensors"
        save_file({k: v.contiguous() for k, v in model.state_dict().items()}, weights)
        parameters = sum(p.numel() for p in model.parameters())
        batch = 3 if parameters < 5e8 else 1
        images = torch.stack([preprocess(photo) for photo in photographs(a.photos, batch)])
        vocabulary = model.vocab_size if hasattr(model, "vocab_size") else model.text.vocab_size
        texts = open_clip.SimpleTokenizer(context_length=model.context_length)(CAPTIONS) % vocabulary
        with torch.no_grad():
            x, y = model.encode_image(images, normalize=True).numpy(), model.encode_text(texts, normalize=True).numpy()
            peer = median(lambda: model.encode_image(images, normalize=True))
        del model
        for fmt in a.formats:
            if fmt == "hugging-face" and name == "RN50":
                continue
            output = a.work / f"{name}-{fmt}"
            seconds, written, peak, own_peak = measured([a.programs / "export_model", "--weights", weights, "--model", name, "--format", fmt,
                                               "--output", output])
            row = {"model": name, "format": fmt, "million_parameters": f"{parameters / 1e6:.1f}", "megabytes": f"{size_of(output) / 1e6:.1f}",
                   "written_megabytes": f"{written:.1f}", "seconds": f"{seconds:.2f}",
                   "disk_seconds": f"{disk_seconds(a.work, size_of(output)):.2f}", "peak_megabytes": f"{peak:.0f}",
                   "peak_own_megabytes": f"{own_peak:.0f}"}
            if fmt == "onnx":
                options = onnxruntime.SessionOptions()
                options.intra_op_num_threads = torch.get_num_threads()
                image = onnxruntime.InferenceSession(output / "image.onnx", options, providers=["CPUExecutionProvider"])
                text = onnxruntime.InferenceSession(output / "text.onnx", options, providers=["CPUExecutionProvider"])
                feeds = {"images": images.numpy()}
                mine = image.run(None, feeds)[0], text.run(None, {"texts": texts.numpy()})[0]
                own = median(lambda: image.run(None, feeds))
                del image, text
            elif fmt == "saved-model":
                file = a.work / "served.npz"
                np.savez(file, images=images.numpy(), texts=texts.numpy())
                subprocess.run([a.tensorflow_python, __file__, "--serve", output / "1", file], check=True)
                arrays = dict(np.load(file))
                mine, own = (arrays["x"], arrays["y"]), float(arrays["seconds"])
            else:
                mine, own = loaded_features(fmt, output, images, texts), None
            pairs = list(zip(mine, (x, y)))
            row |= {"largest_difference": f"{max(np.abs(p - q).max() for p, q in pairs):.2e}",
                    "smallest_cosine": f"{min((p * q).sum(1).min() for p, q in pairs):.7f}", "batch": batch,
                    "milliseconds": f"{1e3 * own:.1f}" if own else "", "open_clip_milliseconds": f"{1e3 * peer:.1f}"}
            append_row(a.results, FIELDS, row)
            print(row, flush=True)
            subprocess.run(["rm", "-r", output], check=True)
        weights.unlink()


if __name__ == "__main__":
    main()
