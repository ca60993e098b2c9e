# SPDX-FileCopyrightText: 2026 The Contrapunto Authors
# SPDX-License-Identifier: Apache-2.0
"""Runs the built examples for a few steps, as a user would, and checks their files and messages."""
import argparse
import io
import itertools
import json
import os
import pathlib
import re
import shutil
import signal
import socket
import struct
import subprocess
import sys
import tarfile
import time

from PIL import Image, ImageChops, ImageStat

TINY = {"embed_dim": 32, "vision_cfg": {"image_size": 32, "layers": 2, "width": 64, "patch_size": 8},
        "text_cfg": {"context_length": 32, "width": 64, "heads": 2, "layers": 2}}

PUBLISHED = pathlib.Path(__file__).parents[2] / "examples/references/tinyclip_vit_39m_16_yfcc15m.csv"


def run(program, *arguments, expect=0):
    done = subprocess.run([str(program), *map(str, arguments)], stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                          text=True)
    if (done.returncode == 0) != (expect == 0):
        sys.exit(f"{program.name} {' '.join(map(str, arguments))}\nended with {done.returncode} and said\n{done.stdout}")
    return done.stdout


def check(condition, what):
    if not condition:
        sys.exit(f"failed: {what}")


def tiny_model(folder, **changes):
    path = folder / "tiny.json"
    path.write_text(json.dumps({**TINY, **changes}))
    return path


def lines(folder):
    return [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]


def jpeg(color, size=32):
    data = io.BytesIO()
    Image.new("RGB", (size, size), color).save(data, "JPEG")
    return data.getvalue()


def write_shard(path, samples):
    with tarfile.open(path, "w") as tar:
        for key, members in samples.items():
            for suffix, data in members.items():
                info = tarfile.TarInfo(f"{key}.{suffix}")
                info.size = len(data)
                tar.addfile(info, io.BytesIO(data))


def shard_samples(count, first=0):
    colors = ["red", "green", "blue"]
    return {f"{i:05}": {"jpg": jpeg(colors[i % 3]), "txt": f"a {colors[i % 3]} square".encode(),
                        "cls": str(i % 3).encode()} for i in range(first, first + count)}


def quickstart(build, work):
    said = run(build / "quickstart", "--steps", 30, "--batch-size", 64, "--samples", 640, "--output", work)
    check("zero_shot_top1" in said, "the quick start prints its accuracy")
    losses = [line["loss"] for line in lines(work) if "loss" in line]
    check(losses[-1] < losses[0] - 0.3, f"the loss falls: {losses}")
    for name in ("open_clip_model.safetensors", "curves.png", "step-000000030/state.safetensors"):
        check((work / name).stat().st_size > 0, f"{name} is written")


def resume(build, work):
    """A run that is stopped in the middle of an epoch and resumed writes the bytes of an uninterrupted one, with EMA."""
    common = ["--model", tiny_model(work), "--batch-size", 512, "--epochs", 2, "--lr", 1e-3, "--ema", 0.9, "--log-every",
              1, "--threads", 2]
    whole, halves = work / "whole", work / "halves"
    run(build / "train_clip", *common, "--output", whole)
    run(build / "train_clip", *common, "--output", halves, "--stop-after", 7)
    said = run(build / "train_clip", *common, "--output", halves, "--resume", "latest", "--compare", whole, PUBLISHED)
    check("step-000000007" in said, "resume names the checkpoint that it continues from")
    weights = [(folder / "open_clip_model.safetensors").read_bytes() for folder in (whole, halves)]
    check(weights[0] == weights[1], "weights after resume are bit-equal")
    timeless = [[(l["step"], l["loss"]) for l in lines(folder) if "loss" in l] for folder in (whole, halves)]
    check(timeless[0] == timeless[1], f"losses after resume are bit-equal: {timeless}")
    tables = [[row for row in (folder / "evaluations.csv").read_text().splitlines() if row.split(",")[2] != "7"]
              for folder in (whole, halves)]
    check(tables[0] == tables[1] and len(tables[0]) == 3,
          f"apart from the evaluation where it stopped, the table of a resumed run is that of a whole one: {tables}")
    for other in ("this run", "whole", PUBLISHED.stem):
        check(f"zero_shot_top1 in % by epoch, {other}: " in said, f"the series of {other} is printed:\n{said}")


def interchange(build, work):
    """OpenCLIP loads the weights of train_clip strictly, and train_clip starts from weights of OpenCLIP."""
    import torch
    import open_clip
    from safetensors.torch import load_file, save_file
    config = {**TINY, "text_cfg": {**TINY["text_cfg"], "vocab_size": 258}}
    model = open_clip.CLIP(embed_dim=32, vision_cfg=config["vision_cfg"], text_cfg=config["text_cfg"])
    save_file({k: v.contiguous() for k, v in model.state_dict().items()}, work / "start.safetensors")
    run(build / "train_clip", "--model", tiny_model(work), "--weights", work / "start.safetensors", "--batch-size", 500,
        "--epochs", 1, "--lr", 0, "--force", "--output", work / "run")
    written = load_file(work / "run" / "open_clip_model.safetensors")
    model.load_state_dict(written, strict=True)
    for name, tensor in load_file(work / "start.safetensors").items():
        check(torch.equal(tensor, written[name]), f"with a learning rate of 0 {name} stays as it was")


def export(build, work):
    """A model of train_clip gives the same features in transformers and in OpenCLIP, comes back bit by bit, and can be averaged."""
    import numpy as np
    import open_clip
    import torch
    import transformers
    from PIL import Image
    from safetensors.torch import load_file
    vocabulary = os.environ["CONTRAPUNTO_BPE_VOCAB"]
    write, model = build / "export_model", tiny_model(work)
    trained = ["--model", model, "--vocabulary", vocabulary, "--batch-size", 250, "--epochs", 1, "--stop-after", 3]
    for seed in (0, 1):
        run(build / "train_clip", *trained, "--seed", seed, "--output", work / f"run{seed}")
    weights = work / "run0" / "open_clip_model.safetensors"
    source = ["--weights", weights, "--model", model, "--vocabulary", vocabulary]
    run(write, *source, "--output", work / "hf")
    run(write, *source, "--format", "open-clip", "--output", work / "open_clip")

    # The output folder of a run is a folder of OpenCLIP by itself.
    run(write, "--weights", work / "run0", "--vocabulary", vocabulary, "--output", work / "hf_again")
    for name in ("config.json", "model.safetensors", "vocab.json"):
        check((work / "hf" / name).read_bytes() == (work / "hf_again" / name).read_bytes(), f"{name} of a run's folder is the same")

    texts = ["a photo of a red circle.", "Two   triangles, it's 3 o'clock & raining — café <|x|>"]
    theirs = transformers.CLIPModel.from_pretrained(work / "hf").eval()
    tokens = transformers.AutoTokenizer.from_pretrained(work / "hf")(texts, padding="max_length", truncation=True,
                                                                    max_length=TINY["text_cfg"]["context_length"], return_tensors="pt")
    ours, _, preprocess = open_clip.create_model_and_transforms(f"local-dir:{work / 'open_clip'}")
    ours.eval()
    ids = open_clip.SimpleTokenizer(context_length=TINY["text_cfg"]["context_length"])(texts)
    for row, (a, b) in enumerate(zip(tokens["input_ids"], ids)):
        length = int(b.argmax()) + 1
        check(bool((a[:length] == b[:length]).all()), f"text {row} has the tokens {a} in transformers and {b} in OpenCLIP")
    image = Image.fromarray(np.random.default_rng(0).integers(0, 256, (40, 56, 3), dtype=np.uint8))
    pixels = transformers.CLIPImageProcessorPil.from_pretrained(work / "hf")(image, return_tensors="pt")["pixel_values"]
    with torch.no_grad():
        difference = float((pixels[0] - preprocess(image)).abs().max())
        check(difference < 1e-5, f"both prepare the same image, with a largest difference of {difference}")
        result = theirs(input_ids=tokens["input_ids"], attention_mask=tokens["attention_mask"], pixel_values=pixels)
        for name, a, b in [("image", result.image_embeds, ours.encode_image(pixels, normalize=True)),
                           ("text", result.text_embeds, ours.encode_text(ids, normalize=True))]:
            check(float((a - b).abs().max()) < 1e-5, f"{name} features of transformers and of OpenCLIP differ: {a} and {b}")
    # Back again, and from what transformers itself writes.
    theirs.save_pretrained(work / "saved")
    for folder in ("hf", "saved"):
        run(write, "--weights", work / folder, "--model", work / "hf", "--format", "open-clip", "--output", work / f"back_{folder}")
        before, after = load_file(weights), load_file(work / f"back_{folder}" / "open_clip_model.safetensors")
        check(before.keys() == after.keys() and all(torch.equal(before[n], after[n]) for n in before), f"{folder} is read bit by bit")
    run(build / "train_clip", *trained[2:], "--model", work / "hf", "--weights", work / "hf", "--output", work / "from_hf")

    # Graphs: each tower alone, and both with their similarities from bytes, against OpenCLIP.
    import onnxruntime
    run(write, *source, "--format", "onnx", "--output", work / "onnx")
    run(write, *source, "--format", "onnx", "--joint", "--raw-images", "--opset", 20, "--external-data", "--output", work / "joint")
    session = lambda path: onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    size = TINY["vision_cfg"]["image_size"]
    pictures = np.random.default_rng(1).integers(0, 256, (3, size, size, 3), dtype=np.uint8)
    prepared = torch.stack([preprocess(Image.fromarray(picture)) for picture in pictures])
    with torch.no_grad():
        x, y = ours.encode_image(prepared, normalize=True), ours.encode_text(ids, normalize=True)
        logits = ours.logit_scale.exp() * x @ y.t()
    x_alone, = session(work / "onnx" / "image.onnx").run(None, {"images": prepared.numpy()})
    y_alone, = session(work / "onnx" / "text.onnx").run(None, {"texts": ids.numpy()})
    x_both, y_both, similarity = session(work / "joint" / "model.onnx").run(None, {"images": pictures, "texts": ids.numpy()})
    for name, a, b in [("image", x_alone, x), ("text", y_alone, y), ("joint image", x_both, x), ("joint text", y_both, y)]:
        check(float(np.abs(a - b.numpy()).max()) < 1e-5, f"{name} features of ONNX Runtime and of OpenCLIP differ: {a} and {b}")
    check(float(np.abs(similarity - logits.numpy()).max()) < 1e-4, f"similarities of ONNX Runtime and of OpenCLIP differ: {similarity} and {logits}")
    check((work / "joint" / "model.onnx.data").exists(), "weights stand beside the model")
    run(write, *source, "--format", "saved-model", "--output", work / "served")
    check((work / "served" / "1" / "saved_model.pb").exists(), "a SavedModel is the version 1 of its folder")

    # A SigLIP model of transformers comes in, runs in ONNX Runtime, and goes back bit by bit.
    torch.manual_seed(5)
    layers = {"hidden_size": 24, "intermediate_size": 60, "num_hidden_layers": 2, "num_attention_heads": 2, "hidden_act": "gelu"}
    siglip = transformers.SiglipModel(transformers.SiglipConfig(
        text_config={**layers, "vocab_size": 300, "max_position_embeddings": 12, "projection_size": 24},
        vision_config={**layers, "image_size": 24, "patch_size": 6})).eval()
    with torch.no_grad():
        for parameter in siglip.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    siglip.save_pretrained(work / "siglip")
    run(write, "--weights", work / "siglip", "--output", work / "siglip_back")
    back = transformers.SiglipModel.from_pretrained(work / "siglip_back").eval()
    for name, tensor in siglip.state_dict().items():
        check(torch.equal(tensor, back.state_dict()[name]), f"{name} of SigLIP comes back bit by bit")
    run(write, "--weights", work / "siglip", "--format", "onnx", "--joint", "--output", work / "siglip_onnx")
    pixels, ids = torch.rand(3, 3, 24, 24), torch.randint(300, (2, 12))
    with torch.no_grad():
        wanted = siglip(input_ids=ids, pixel_values=pixels).logits_per_image.numpy()
    similarity = session(work / "siglip_onnx" / "model.onnx").run(["similarity"], {"images": pixels.numpy(), "texts": ids.numpy()})[0]
    check(float(np.abs(similarity - wanted).max()) < 1e-4, f"SigLIP's similarities differ: {similarity} and {wanted}")
    config = json.loads((work / "siglip" / "config.json").read_text())
    config["vision_config"]["hidden_act"] = "gelu_pytorch_tanh"
    (work / "siglip" / "config.json").write_text(json.dumps(config))
    said = run(write, "--weights", work / "siglip", "--output", work / "mistake", expect=1)
    check("gelu_pytorch_tanh" in said and "5e-4" in said, f"the other GELU is refused, but it said\n{said}")

    # A soup in half precision, formats of the image tower, and what cannot be written.
    other = work / "run1" / "open_clip_model.safetensors"
    run(write, "--weights", weights, other, *source[2:], "--dtype", "float16", "--output", work / "soup")
    soup, a, b = load_file(work / "soup" / "model.safetensors"), load_file(weights), load_file(other)
    mean = ((a["text_projection"] + b["text_projection"]) / 2).half()
    check(torch.equal(soup["text_projection.weight"], mean.t()), "the weights are the mean of two runs")
    plain = work / "plain.json"
    plain.write_text(json.dumps({"vision_cfg": {**TINY["vision_cfg"], "patch_bias": True, "no_ln_pre": True, "timm_names": True}}))
    run(build / "train_vit", "--model", plain, "--batch-size", 250, "--epochs", 1, "--stop-after", 1, "--output", work / "vit")
    tower = ["--weights", work / "vit" / "classifier.safetensors", "--model", plain]
    run(write, *tower, "--format", "npz", "--output", work / "tower.npz")
    run(write, *tower, "--format", "timm", "--output", work / "tower.safetensors")
    run(write, *tower, "--format", "onnx", "--output", work / "tower")
    check(sorted(os.listdir(work / "tower")) == ["image.onnx"], "an image tower is one graph")
    kernel, weight = np.load(work / "tower.npz")["embedding/kernel"], load_file(work / "tower.safetensors")["patch_embed.proj.weight"]
    check(bool((torch.from_numpy(kernel).permute(3, 2, 0, 1) == weight).all()), "both files have the patches of the tower")
    for arguments, words in [(["--model", model], ["--weights is needed"]), ([*source[:4], "--format", "timm"], ["timm_names"]),
                             ([*source[:4], "--format", "npz"], ["patches without a bias"]),
                             ([*tower, "--format", "hugging-face"], ["images alone"]), ([*tower, "--format", "onnx", "--joint"], ["text tower"]),
                             ([*source[:4], "--format", "onnx", "--opset", 16], ["opset 16", "17"]),
                             (["--weights", weights, "--model", "RN50"], ["RN50"]), (["--weights", work], ["neither config.json"]),
                             (["--weights", work, "--model", model], ["neither model.safetensors"])]:
        said = run(write, *arguments, "--output", work / "mistake", expect=1)
        for word in words:
            check(word in said and not (work / "mistake").exists(), f"{arguments} should say '{word}', but said\n{said}")


def search(build, work):
    """Answers and probabilities are those of open_clip; an index is reused, grows, and is refused for another model."""
    import open_clip
    import torch
    from PIL import Image
    from safetensors.torch import load_file, save_file
    photos, clip, program = work / "photos", work / "clip", build / "search_images"
    for name in ("test-000", "encodings-000"):
        with tarfile.open(pathlib.Path(os.environ["CONTRAPUNTO_DATA"]) / "photos" / f"{name}.tar") as tar:
            for member in tar:
                if not member.name.endswith((".txt", ".json")):
                    path = photos / name / member.name
                    path.parent.mkdir(parents=True, exist_ok=True)
                    path.write_bytes(tar.extractfile(member).read())
    for path in photos.rglob("*.*"):  # From Pillow 13 on, it resizes tall images in another order; see data_parity.py.
        with Image.open(path) as image:
            if image.height > 2 * image.width:
                path.unlink()
    files = sorted(str(path.relative_to(photos)) for path in photos.rglob("*.*"))
    (photos / files[0]).rename((photos / files[0]).with_suffix(".JPG"))
    files[0] = str(pathlib.Path(files[0]).with_suffix(".JPG"))
    (photos / "damaged.jpg").write_bytes((photos / files[1]).read_bytes()[:500])
    (photos / "notes.txt").write_text("no image")

    # A random model, whose weights are so large that texts and images have different features.
    torch.manual_seed(7)
    config = {**TINY, "text_cfg": {**TINY["text_cfg"], "vocab_size": 49408}}
    model = open_clip.CLIP(**config)
    state = {name: 3 * value if value.dim() == 2 else value for name, value in model.state_dict().items()}
    clip.mkdir()
    save_file({name: value.contiguous() for name, value in state.items()}, clip / "open_clip_model.safetensors")
    (clip / "open_clip_config.json").write_text(json.dumps(
        {"model_cfg": config, "preprocess_cfg": {"mean": [0.5, 0.4, 0.3], "std": [0.2, 0.3, 0.4]}}))
    model, _, preprocess = open_clip.create_model_and_transforms(f"local-dir:{clip}")
    model.eval()
    tokenize = open_clip.SimpleTokenizer(context_length=TINY["text_cfg"]["context_length"])
    with torch.no_grad():
        # OpenCLIP resizes images with a palette or alpha before it converts them to RGB; we convert first.
        pixels = torch.stack([preprocess(Image.open(photos / name).convert("RGB")) for name in files])
        images = model.encode_image(pixels, normalize=True)

        def texts(lines):
            return model.encode_text(tokenize(lines), normalize=True)

        queries = ["a photo of a red door", "Two sailing boats, it's 3 o'clock & raining"]
        cosines = images @ texts(queries).T

    def lines_below(said, title):
        """The scores and names below a line of the output."""
        after = said.splitlines()[said.splitlines().index(title) + 1:]
        taken = list(itertools.takewhile(lambda line: line.startswith("  "), after))
        return [(float(line.split()[0]), line.split(maxsplit=1)[1]) for line in taken]

    def compare(said, count):
        for query, theirs in zip(queries, cosines.T):
            ours, best = lines_below(said, query), theirs.sort(descending=True)
            check(len(ours) == count, f"{count} answers to '{query}' in\n{said}")
            for (score, name), expected in zip(ours, best.values):
                check(abs(score - expected) < 1e-4 and abs(score - theirs[files.index(name)]) < 1e-4,
                      f"'{query}' finds {ours}, but open_clip {[(float(theirs[i]), files[i]) for i in best.indices[:count]]}")

    spread = cosines.T.sort(descending=True).values[:, :5]
    check(float((spread[:, :-1] - spread[:, 1:]).min()) > 2e-4, f"the best cosines are apart: {spread}")
    common = ["--weights", clip, "--vocabulary", os.environ["CONTRAPUNTO_BPE_VOCAB"]]
    find = [*common, "--images", photos]
    said = run(program, *find, "--query", *queries, "--batch-size", 16, "--top", 5)
    compare(said, 5)
    check(f"{len(files) + 1} images, {len(files) + 1} new images" in said and f"embedded {len(files)}, skipped 1" in said, said)
    check("damaged.jpg: " in said, f"a damaged image is named:\n{said}")
    # Later runs embed nothing again, and try only the damaged image. Queries may come from the standard input.
    said = run(program, *find, "--query", *queries)
    compare(said, 5)
    check(", 1 new images" in said and "embedded 0, skipped 1" in said, f"only the damaged image is tried again:\n{said}")
    (photos / "damaged.jpg").unlink()
    written = (photos / "search_index.safetensors").stat().st_mtime_ns
    said = subprocess.run([str(program), *map(str, find), "--top", "1000"], input="\n".join(queries), check=True,
                          stdout=subprocess.PIPE, text=True).stdout
    compare(said, len(files))
    check(", 0 new images" in said and (photos / "search_index.safetensors").stat().st_mtime_ns == written,
          f"the index is reused:\n{said}")
    # A new, a changed and a removed file.
    shutil.copy(photos / files[3], photos / "copy.png")
    shutil.copy(photos / files[5], photos / files[4])
    (photos / files[6]).unlink()
    said = run(program, *find, "--query", queries[0], "--top", 1000)
    scores = {name: score for score, name in lines_below(said, queries[0])}
    check(f"{len(files)} images, 2 new images" in said and scores.keys() == {*files, "copy.png"} - {files[6]}, said)
    check(scores["copy.png"] == scores[files[3]] and scores[files[4]] == scores[files[5]], f"files are read again:\n{said}")

    labels = ["red door", "sailing boat", "parrot"]
    (work / "labels.txt").write_text("\n".join(labels))
    templates = ["a photo of a {}.", "the {}, {} and all"]
    with torch.no_grad():
        rows = [texts([t.replace("{}", name) for t in templates]).mean(0) for name in labels]
        classes = torch.nn.functional.normalize(torch.stack(rows))
        expected = (model.logit_scale.exp() * images[7] @ classes.T).softmax(0)
    for names in (",".join(labels), ", ".join(labels), work / "labels.txt"):
        said = run(program, *common, "--classify", photos / files[7], "--labels", names, "--templates", *templates)
        ours = {name: score for score, name in lines_below(said, str(photos / files[7]))}
        check(all(abs(ours[name] - p) < 1e-4 for name, p in zip(labels, expected)), f"{ours}, but open_clip {expected}")

    # Another model has another index, and mistakes are named.
    other = work / "other.safetensors"
    save_file({n: v + 0.01 * torch.randn_like(v) for n, v in load_file(clip / "open_clip_model.safetensors").items()}, other)
    (work / "empty").mkdir()
    shutil.copytree(clip, work / "unknown_words")
    for arguments, words in [
        (["--weights", other, "--model", clip, *find[2:]], ["search_index.safetensors", "another model", "--index"]),
        ([*common, "--images", work / "none"], ["none", "not a directory"]),
        ([*common, "--images", work / "empty"], ["empty", "no image"]),
        (["--weights", work / "nothing", *find[2:]], ["nothing", "there are no weights"]),
        (["--images", photos], ["--weights"]), (common, ["--images", "--classify"]),
        (["--weights", clip, "--images", photos], ["49408 tokens", "258", "vocabulary"]),
        ([*common, "--classify", photos / files[7]], ["--labels"]),
        ([*common, "--classify", photos / "notes.txt", "--labels", "a,b"], ["notes.txt"]),
    ]:
        said = run(program, *arguments, expect=1)
        check(all(word in said for word in words), f"{arguments} should say {words}, but said\n{said}")
    said = run(program, "--weights", other, "--model", clip, *find[2:], "--query", "a", "--index", work / "other_index.safetensors")
    check(f", {len(files)} new images" in said, f"another index is built:\n{said}")


def sources(build, work):
    """Shards, one of them truncated, with a corrupt image, and a CSV table train; skipped samples are named and counted."""
    write_shard(work / "a-000.tar", shard_samples(48))
    samples = shard_samples(48, first=48)
    samples["00050"]["jpg"] = b"not a jpeg"
    write_shard(work / "a-001.tar", samples)
    write_shard(work / "a-002.tar", shard_samples(48, first=96))
    broken = (work / "a-002.tar").read_bytes()
    (work / "a-002.tar").write_bytes(broken[:len(broken) // 2 + 100])
    (work / "classes.txt").write_text("red\ngreen\nblue\n")
    common = ["--model", tiny_model(work), "--batch-size", 16, "--epochs", 2, "--log-every", 1, "--templates",
              "a {} square"]
    said = run(build / "train_clip", *common, "--train-data", work / "a-{000..002}.tar", "--eval-data",
               work / "a-000.tar", "--class-names", work / "classes.txt", "--output", work / "shards")
    check("zero_shot_top1" in said, "shards with labels are evaluated")
    check("00050" in said and "samples were skipped" in said, "a corrupt image is named and counted")
    check("a-002.tar" in said, "a truncated shard is named")
    check("00050: not a JPEG" in (work / "shards" / "skipped.txt").read_text(), "it is listed in a file")
    (work / "img").mkdir()
    rows = ["filepath,title"]
    for key, members in shard_samples(32).items():
        (work / "img" / f"{key}.jpg").write_bytes(members["jpg"])
        rows.append(f'img/{key}.jpg,"{members["txt"].decode()}, plain"')
    (work / "list.csv").write_text("\n".join(rows) + "\n")
    run(build / "train_clip", *common, "--train-data", work / "list.csv", "--output", work / "csv", "--loss", "sigmoid",
        "--precision", "bf16")
    check(len(lines(work / "csv")) == 4, "a CSV list trains two steps an epoch")


def losses(folder):
    return [line["loss"] for line in lines(folder) if "loss" in line]


def close(a, b, tolerance):
    return len(a) == len(b) and all(abs(x - y) <= tolerance * abs(y) for x, y in zip(a, b))


def large_batches(build, work):
    """Chunks and ranks have the loss curve of the whole batch in one process."""
    train = build / "train_clip"
    common = ["--model", tiny_model(work), "--batch-size", 256, "--epochs", 1, "--lr", 1e-3, "--log-every", 1,
              "--threads", 1, "--device", "cpu"]
    six = ["--stop-after", 6]
    run(train, *common, *six, "--output", work / "whole")
    whole = losses(work / "whole")
    check(len(whole) == 6 and whole[-1] < whole[0], f"the loss falls: {whole}")
    run(train, *common, *six, "--chunk-size", 48, "--output", work / "cached")
    check(close(losses(work / "cached"), whole, 1e-4), f"GradCache {losses(work / 'cached')} is the whole batch {whole}")
    run(train, *common, *six, "--chunk-size", "auto", "--checkpoint-activations", "--output", work / "measured")
    check(close(losses(work / "measured"), whole, 1e-4), "a measured chunk size does not change the losses")

    launch = pathlib.Path(__file__).resolve().parents[2] / "scripts" / "launch"
    if run(launch, "-n", 2, "--", train, "--help").count("Usage") == 0:
        sys.exit("scripts/launch did not run train_clip")
    said = run(launch, "-n", 2, "--", train, *common, *six, "--output", work / "ranks")
    check(close(losses(work / "ranks"), whole, 1e-4), f"two ranks {losses(work / 'ranks')} are one process {whole}")
    check(said.count("Run plan") == 1, "one rank speaks for all")
    single = next(line for line in lines(work / "whole") if "zero_shot_top1" in line)
    both = next(line for line in lines(work / "ranks") if "zero_shot_top1" in line)
    check(abs(single["zero_shot_top1"] - both["zero_shot_top1"]) < 0.01, f"{single} and {both} agree")

    # Ranks, chunks, ring, sharded state, averages and bf16 together; the run then continues on one rank.
    together = [*common, "--chunk-size", 48, "--ring", "--shard-optimizer", "--ema", 0.9, "--precision", "bf16"]
    run(launch, "-n", 2, "--", train, *together, "--stop-after", 3, "--output", work / "together")
    run(train, *together, "--stop-after", 6, "--output", work / "together", "--resume", "auto")
    check(close(losses(work / "together"), whole, 2e-2), f"{losses(work / 'together')} follows {whole}")

    # Ranks that were given different settings do not start.
    script = work / "differ.sh"
    script.write_text('#!/bin/sh\nexec "$@" --lr 1e-$((3 + RANK))\n')
    script.chmod(0o755)
    arguments = [x for x in common if x not in ("--lr", 1e-3)]
    said = run(launch, "-n", 2, "--", script, train, *arguments, "--output", work / "differ", expect=1)
    check("the settings" in said and "lr" in said, said)
    # The same settings, but fewer samples on the disk of one rank.
    for rank, count in ((0, 512), (1, 256)):
        folder = work / f"disk{rank}"
        folder.mkdir()
        write_shard(folder / "a.tar", shard_samples(count))
    script.write_text('#!/bin/sh\ncd "disk$RANK" && exec "$@"\n')
    arguments = [64 if x == 256 else x for x in common]
    said = run(launch, "-n", 2, "--", script, train, *arguments, "--train-data", "a.tar", "--output", work / "fewer",
               expect=1)
    check("batches in an epoch" in said and "rank 1 has 4" in said, said)


def optimizers(build, work):
    """Every optimizer learns and resumes with the same losses, also on another number of ranks."""
    train, launch = build / "train_clip", pathlib.Path(__file__).resolve().parents[2] / "scripts" / "launch"
    model = tiny_model(work)
    common = ["--model", model, "--batch-size", 256, "--epochs", 1, "--log-every", 1, "--threads", 1, "--device", "cpu",
              "--layer-decay", 0.9, "--warmup", "0 steps"]
    for name, lr in (("stable-adamw", 1e-3), ("lamb", 1e-2), ("lion", 2e-4), ("muon", 1e-3)):
        arguments = [*common, "--optimizer", name, "--lr", lr]
        run(train, *arguments, "--stop-after", 6, "--output", work / name)
        whole = losses(work / name)
        check(len(whole) == 6 and whole[-1] < whole[0], f"the loss of {name} falls: {whole}")
        run(train, *arguments, "--stop-after", 3, "--output", work / f"{name}-halves")
        run(train, *arguments, "--stop-after", 6, "--output", work / f"{name}-halves", "--resume", "latest")
        check(losses(work / f"{name}-halves") == whole, f"the losses of {name} after resume are bit-equal")
    sharded = [*common, "--optimizer", "muon", "--lr", 1e-3, "--shard-optimizer"]
    run(launch, "-n", 2, "--", train, *sharded, "--stop-after", 3, "--output", work / "ranks")
    run(train, *sharded, "--stop-after", 6, "--output", work / "ranks", "--resume", "latest")
    check(close(losses(work / "ranks"), losses(work / "muon"), 1e-3), f"{losses(work / 'ranks')} follows one process")
    said = run(train, *common, "--optimizer", "lion", "--resume", "latest", "--output", work / "muon", expect=1)
    check("another setting: optimizer" in said, f"a run goes on with its optimizer only:\n{said}")

    # Stages take units out of the state of another optimizer, too.
    stage = ["--model", model, "--weights", work / "muon" / "open_clip_model.safetensors", "--batch-size", 256, "--threads", 1,
             "--log-every", 1, "--stage-sparsity", 0.3, "--mask-steps", 6, "--sparsity-ramp", 3, "--mask-lr", 1.5, "--stage-epochs",
             0.4, "--optimizer", "muon"]
    said = run(build / "train_tinyclip", *stage, "--output", work / "stage")
    check("kept image: width" in said and "Muon, beta2 0.98" in said, f"units are taken out:\n{said}")
    run(build / "train_tinyclip", *stage, "--output", work / "stage-halves", "--stop-after", 7)
    run(build / "train_tinyclip", *stage, "--output", work / "stage-halves", "--resume", "auto")
    check(losses(work / "stage-halves" / "stage-1") == losses(work / "stage" / "stage-1"), "resume in a stage is bit-equal")

    large = ["--model", model, "--batch-size", 16384, "--pretend-samples", 400_000_000, "--epochs", 1, "--plan"]
    said = run(train, *large)
    check("AdamW, beta2 0.95, as for all batches from 16,384 samples on" in said, f"the plan says beta2:\n{said}")
    said = run(train, *large, "--optimizer", "lamb", "--beta2", 0.98)
    check("LAMB's beta2 of 0.98" in said and "set beta2 to 0.95" in said, f"the plan advises:\n{said}")


def distillation(build, work):
    """A student learns from a teacher with other images and tokens, with GradCache and ranks as in one process with the
    whole batch."""
    train, launch = build / "train_clip", pathlib.Path(__file__).resolve().parents[2] / "scripts" / "launch"
    (work / "t").mkdir()
    (work / "s").mkdir()
    common = ["--batch-size", 128, "--log-every", 1, "--threads", 1, "--flip"]
    vocabulary = os.environ["CONTRAPUNTO_BPE_VOCAB"]
    teacher_model = tiny_model(work / "t", vision_cfg={**TINY["vision_cfg"], "image_size": 48},
                               text_cfg={**TINY["text_cfg"], "context_length": 20})
    run(train, "--model", teacher_model, "--vocabulary", vocabulary, *common, "--epochs", 0.3, "--output",
        work / "teacher")
    source_model = tiny_model(work / "s")
    run(train, "--model", source_model, *common, "--epochs", 0.3, "--output", work / "source")
    source = work / "source" / "open_clip_model.safetensors"
    student = tiny_model(work, embed_dim=16)
    common += ["--model", student, "--epochs", 0.2, "--lr", 1e-3, "--distillation", 0.75]
    said = run(train, *common, "--teacher", source, "--teacher-model", source_model, "--plan")
    check("75 % of the loss" in said and "images of" not in said, f"a teacher may read the student's tensors:\n{said}")
    common += ["--teacher", work / "teacher" / "open_clip_model.safetensors", "--teacher-model", teacher_model]
    said = run(train, *common, "--output", work / "wrong", expect=1)
    check("tokens" in said and "teacher-vocabulary" in said, f"a teacher with another vocabulary is refused:\n{said}")
    common += ["--teacher-vocabulary", vocabulary, "--feature-distillation", 20,
               "--interactive-distillation", 0.5]  # through maps, as the widths differ
    said = run(train, *common, "--output", work / "whole")
    for words in ("75 % of the loss", "images of 48 pixels", "texts of 20 tokens"):
        check(words in said, f"the plan names '{words}' of the teacher:\n{said}")
    values = [line for line in lines(work / "whole") if "loss/affinity" in line]
    check(len(values) > 5 and values[-1]["loss/affinity"] < values[0]["loss/affinity"], "the affinity loss falls")
    for line in values:
        total = (0.25 * line["loss/contrastive"] + 0.75 * line["loss/affinity"] + 20 * line["loss/features"]
                 + 0.5 * line["loss/interactive"])
        check(abs(line["loss"] - total) < 1e-4, f"the loss is the weighted sum of its terms: {line}")
        check(line["loss/affinity/cross_entropy"] >= line["loss/affinity/target_entropy"] - 1e-4, "a cross-entropy")
    run(launch, "-n", 2, "--", train, *common, "--chunk-size", 24, "--ring", "--output", work / "ranks")
    whole, ranks = losses(work / "whole"), losses(work / "ranks")
    check(close(ranks, whole, 1e-4), f"two ranks with GradCache {ranks} are one process with the whole batch {whole}")
    halves = [*common, "--chunk-size", 24, "--output", work / "halves"]
    run(train, *halves, "--stop-after", 4)
    run(train, *halves, "--resume", "auto")
    run(train, *common, "--chunk-size", 24, "--output", work / "uninterrupted")
    check(losses(work / "halves") == losses(work / "uninterrupted"), "resume is bit-equal with a teacher")
    said = run(train, *common, "--weights", source, "--weights-model", source_model, "--output", work / "inherited")
    check("inherited image:" in said and "inherited text: layers" in said, f"it says what was inherited:\n{said}")
    check(losses(work / "inherited")[0] < losses(work / "whole")[0], "a student that inherits begins ahead")
    said = run(train, *common, "--teacher-precision", "bf16", "--stop-after", 2, "--output", work / "bf16")
    check(", bf16, images" in said, f"the plan names the precision of the teacher:\n{said}")
    check(close(losses(work / "bf16"), losses(work / "whole")[:2], 1e-2), "a teacher in bf16 is nearly the same")
    start = work / "start.safetensors"
    for units in ("leading", "magnitude", "activation"):
        said = run(build / "inherit_weights", "--weights", source, "--weights-model", source_model, "--model", student, "--units", units, "--samples", 64, "--output", start)
        check("inherited image: layers 0, 1 of 2" in said and "inherited text:" in said, f"it says what was inherited:\n{said}")
    said = run(train, *common, "--weights", start, "--output", work / "started")
    check(losses(work / "started")[0] < losses(work / "whole")[0], "a student that starts from the file begins ahead")
    said = run(build / "inherit_weights", "--weights", start, "--model", student, expect=1)
    check("heads" in said and "32 numbers" in said and "source 64" in said, f"shapes do not show narrower heads:\n{said}")


def tinyclip(build, work):
    """A model is compressed in stages: automatically, resumed in every phase, with ranks, and into models that are named."""
    compress, launch = build / "train_tinyclip", pathlib.Path(__file__).resolve().parents[2] / "scripts" / "launch"
    model = tiny_model(work)
    run(build / "train_clip", "--model", model, "--batch-size", 128, "--threads", 1, "--epochs", 0.5, "--output", work / "source")
    common = ["--model", model, "--weights", work / "source" / "open_clip_model.safetensors", "--batch-size", 256,
              "--threads", 1, "--log-every", 1, "--stage-lr", 1e-3, "--ema", 0.5]
    automatic = [*common, "--stage-sparsity", 0.3, 0.5, "--mask-steps", 6, 5, "--sparsity-ramp", 3, "--mask-lr", 1.5,
                 "--stage-epochs", 0.5, "--distillation", 0.5]
    said = run(compress, *automatic, "--output", work / "whole")
    for words in ("stage-1", "stage-2", "kept image: width", "kept text: width", "top-1", "GMACs"):
        check(words in said, f"'{words}' in\n{said}")
    sizes = [(work / "whole" / f"stage-{n}" / "open_clip_model.safetensors").stat().st_size for n in (1, 2)]
    check((work / "source" / "open_clip_model.safetensors").stat().st_size > sizes[0] > sizes[1], f"sizes {sizes}")
    check("sparsity" in lines(work / "whole" / "stage-1")[0], "the sparsity is in the log")
    again = run(compress, *automatic, "--output", work / "whole", "--resume", "auto")
    check(said.split("ms/text")[-1].split("\n")[1].split()[-2:] == again.split("ms/text")[-1].split("\n")[1].split()[-2:],
          f"finished stages are measured again:\n{again}")

    parts = [*automatic, "--chunk-size", 96, "--output", work / "parts"]
    for stop in (3, 6, 9):  # In the mask phase, before the extraction, and after it.
        run(compress, *parts, "--stop-after", stop, "--resume", "auto")
    run(compress, *parts, "--resume", "auto")
    run(compress, *automatic, "--chunk-size", 96, "--output", work / "uninterrupted")
    for stage in ("stage-1", "stage-2"):
        check(losses(work / "parts" / stage) == losses(work / "uninterrupted" / stage), f"resume in {stage} is bit-equal")
    run(launch, "-n", 2, "--", compress, *automatic, "--chunk-size", 48, "--shard-optimizer", "--ring", "--output", work / "ranks")
    check(close(losses(work / "ranks" / "stage-1"), losses(work / "whole" / "stage-1"), 1e-3), "ranks see the same masks")

    names = {}
    for name, width, layers in (("half", 64, 1), ("small", 32, 1)):
        names[name] = work / f"{name}.json"
        names[name].write_text(json.dumps({**TINY, "vision_cfg": {**TINY["vision_cfg"], "layers": layers, "head_width": 32},
                                           "text_cfg": {**TINY["text_cfg"], "width": width, "heads": width // 32,
                                                        "layers": layers}}))
    wide = json.loads(model.read_text())
    wide["vision_cfg"]["head_width"] = 32
    model.write_text(json.dumps(wide))
    said = run(compress, *common, "--stage-models", names["half"], names["small"], "--stage-epochs", 0.2, "--distillation", 0.5,
               "--output", work / "manual")
    check("inherited image: layers 0 of 2" in said and "inherited text: layers 0 of 1, width 32 of 64" in said, said)

    def changed(**changes):
        """The settings of the automatic run, with some values replaced."""
        values = {"model": [model], "weights": [work / "source" / "open_clip_model.safetensors"], "batch-size": [256],
                  "stage-sparsity": [0.3, 0.5], "mask-steps": [6, 5], "mask-lr": [1.5], "stage-epochs": [0.5],
                  **{name.replace("_", "-"): value for name, value in changes.items()}}
        return [part for name, value in values.items() for part in (f"--{name}", *value)]

    for changes, words in (({"weights": [""]}, "nothing to compress"), ({"stage_sparsity": [0.5, 0.3]}, "stay gone"),
                           ({"mask_steps": [5000]}, "must be trained too"), ({"stage_epochs": [1, 2, 3]}, "3 entries"),
                           ({"mask_lr": [0.02]}, "a mask then cannot close")):
        said = run(compress, *changed(**changes), "--output", work / "wrong", expect=1)
        check(words in said, f"'{words}' in\n{said}")


def stored_teachers(build, work):
    """A store is built by two processes, survives a kill, and trains as the teacher does on the same views."""
    train, store = build / "train_clip", build / "store_teacher"
    for shard in range(4):
        write_shard(work / f"a-{shard:03}.tar", shard_samples(64, first=64 * shard))
    data = ["--train-data", work / "a-{000..003}.tar", "--threads", 1]
    model, weights = tiny_model(work), work / "t" / "open_clip_model.safetensors"
    common = [*data, "--model", model, "--batch-size", 64, "--epochs", 3, "--log-every", 1]
    run(train, *common, "--stop-after", 2, "--output", work / "t")
    teacher = ["--teacher", weights, "--teacher-model", model]
    views = [*data, *teacher, "--views", 2]
    building = [*views, "--view-seed", 3]
    whole, killed, shared = work / "whole", work / "killed", work / "shared"
    said = run(store, *building, "--output", whole, "--plan")
    check("2 views per image and all captions" in said and not whole.exists(), f"a plan writes nothing:\n{said}")
    said = run(store, *building, "--output", whole)
    check("built 4 shards, 256 samples, 0 of them unusable" in said, said)

    slow = subprocess.Popen([str(store), *map(str, building), "--batch-size", "1", "--output", str(killed)],
                            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    while slow.poll() is None and not list(killed.glob("*.safetensors")):
        time.sleep(0.001)
    slow.kill()
    slow.wait()
    kept = {path: path.stat().st_mtime_ns for path in killed.glob("*.safetensors")}
    said = run(store, *building, "--output", killed)
    check(f"built {4 - len(kept)} shards" in said and kept, f"a killed build continues with {len(kept)} shards:\n{said}")
    check(all(path.stat().st_mtime_ns == time_ns for path, time_ns in kept.items()), "finished shards are kept")

    both = [subprocess.Popen([str(store), *map(str, building), "--output", str(shared)], stdout=subprocess.PIPE,
                             stderr=subprocess.STDOUT, text=True) for _ in range(2)]
    texts = [process.communicate()[0] for process in both]
    built = [int(text.split("built ")[1].split()[0]) for text in texts if "built " in text]
    check(len(built) == 2 and sum(built) == 4, f"two processes share the shards: {texts}")
    for path in whole.glob("*.safetensors"):
        check(path.read_bytes() == (shared / path.name).read_bytes(), "two processes write the bytes of one")

    common += ["--lr", 1e-3, "--distillation", 0.75, "--teacher-store"]
    said = run(train, *common, whole, "--output", work / "stored")
    check("stored texts, 2 stored views per image, 75 % of the loss" in said, f"the plan shows the store:\n{said}")
    values = [line for line in lines(work / "stored") if "loss/affinity" in line]
    check(len(values) == 12 and values[-1]["loss"] < values[0]["loss"], f"the loss falls: {losses(work / 'stored')}")
    halves = [*common, whole, "--chunk-size", 24, "--output", work / "halves"]
    run(train, *halves, "--stop-after", 5)
    run(train, *halves, "--resume", "auto")
    check(close(losses(work / "halves"), losses(work / "stored"), 1e-4), "chunks and resume with a store")
    run(store, *data, *teacher, "--contents", "texts", "--output", work / "texts")
    said = run(train, *common, work / "texts", *teacher, "--output", work / "mixed")
    check("stored texts" in said and "parameters" in said, f"stored texts beside an online teacher:\n{said}")

    said = run(train, *common, work / "texts", "--output", work / "wrong", expect=1)
    check("has no images" in said, said)
    said = run(train, *common, whole, "--flip", "--output", work / "wrong", expect=1)
    check("horizontal_flip" in said, said)
    said = run(store, *views, "--view-seed", 4, "--output", whole, expect=1)
    check("seed = 3, but here it is 4" in said, said)
    (work / "a-000.tar").unlink()
    write_shard(work / "a-000.tar", shard_samples(63))
    said = run(train, *common, whole, "--output", work / "wrong", expect=1)
    check("lacks 1 of the 4 shards" in said and "a-000.tar" in said, said)


def picture(number):
    """A picture of 96 to 159 x 110 pixels with smooth colors."""
    parts = [Image.linear_gradient("L").rotate(7 * number), Image.radial_gradient("L"),
             Image.new("L", (256, 256), number)]
    return Image.merge("RGB", parts).resize((96 + number % 64, 110))


def cached_images(path):
    """The encoded images in a file of an image cache."""
    data = path.read_bytes()
    magic, _, samples, records_at = struct.unpack_from("<8sQQQ", data, len(data) - 56)
    check(magic == b"CPIMAGE1" and records_at + 32 * samples + 56 == len(data), f"{path} is whole")
    records = [struct.unpack_from("<QQIIQ", data, records_at + 32 * i) for i in range(samples)]
    return [data[offset:offset + size] for offset, _, size, _, _ in records]


def image_cache(build, work):
    """A cache is built by two processes, survives a kill, and trains as one that the first epoch makes."""
    cache, train, store = build / "cache_images", build / "train_clip", build / "store_teacher"
    names = ["red", "green", "blue"]
    for shard in range(6):
        samples = {}
        for i in range(32 * shard, 32 * shard + 32):
            image = io.BytesIO()
            picture(i).save(image, "JPEG", quality=95)
            samples[f"{i:05}"] = {"jpg": image.getvalue(), "txt": f"a {names[i % 3]} square".encode(),
                                  "cls": str(i % 3).encode()}
        write_shard(work / f"a-{shard:03}.tar", samples)
    data = ["--train-data", work / "a-{000..005}.tar", "--threads", 1]
    small = ["--cache-side", 64, "--cache-quality", 85]
    folders = whole, killed, shared, begun = [work / name for name in ("whole", "killed", "shared", "begun")]
    said = run(cache, *data, *small, "--cache-folder", whole)
    check("6 of 6 shards with short side 64, JPEG of quality 85, 192 images made now, 0 of them" in said, said)
    said = run(cache, *data, *small, "--cache-folder", whole)
    check(" 0 images made now" in said, f"a second run finds everything:\n{said}")
    first = next(whole.glob("a-000.tar-*.images"))
    for i, kept in enumerate(cached_images(first)):
        image = io.BytesIO()
        picture(i).save(image, "JPEG", quality=95)
        width, height = (original := Image.open(image)).size
        scale = 64 / min(width, height)
        again = io.BytesIO()
        original.resize((round(width * scale), round(height * scale)), Image.BICUBIC).save(again, "JPEG", quality=85)
        ours, pillow = Image.open(io.BytesIO(kept)), Image.open(again)
        difference = ImageStat.Stat(ImageChops.difference(ours, pillow)).mean
        check(ours.size == pillow.size and max(difference) < 0.5, f"image {i} differs from Pillow's by {difference}")

    command = [str(cache), *map(str, [*data, *small, "--cache-folder"])]
    slow = subprocess.Popen([*command, str(killed)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    while slow.poll() is None and not list(killed.glob("*.images")):
        time.sleep(0.001)
    slow.kill()
    slow.wait()
    kept = {path: path.stat().st_mtime_ns for path in killed.glob("*.images")}
    said = run(cache, *data, *small, "--cache-folder", killed)
    check(f"{192 - 32 * len(kept)} images made now" in said and kept, f"a killed build keeps {len(kept)} files:\n{said}")
    check(all(path.stat().st_mtime_ns == time_ns for path, time_ns in kept.items()), "finished files are kept")
    check(len(list(killed.glob("*"))) == 7, f"6 files and the locks are left: {sorted(killed.glob('*'))}")

    both = [subprocess.Popen([*command, str(shared)], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
            for _ in range(2)]
    texts = [process.communicate()[0] for process in both]
    made = [int(text.split(" images made now")[0].split()[-1]) for text in texts if " images made now" in text]
    check(len(made) == 2 and sum(made) == 192, f"two processes share the shards: {texts}")

    common = [*data, *small, "--model", tiny_model(work), "--batch-size", 64, "--epochs", 3, "--log-every", 1, "--cache-folder"]
    runs = {}
    for folder in folders[::3]:
        said = run(train, *common, folder, "--output", work / f"run-{folder.name}")
        check(f"image cache {folder}: short side 64, JPEG of quality 85, {6 if folder == whole else 0} of 6" in said, said)
        runs[folder] = losses(work / f"run-{folder.name}")
    check(runs[whole] == runs[begun], "the same losses with a whole cache and with one that is made meanwhile")
    halves = [*common, work / "resumed", "--output", work / "halves"]
    run(train, *halves, "--stop-after", 4)
    run(train, *halves, "--resume", "auto")
    check(losses(work / "halves") == runs[whole], "the same losses after a resume")
    other = [32 if x == 64 and halves[i - 1] == "--cache-side" else x for i, x in enumerate(halves)]
    said = run(train, *other, "--resume", "auto", expect=1)
    check("cache-side was 64, is 32" in said, said)

    (work / "locked").mkdir()
    (work / "locked" / "locks").write_text("in the way")
    said = run(train, *common, work / "locked", "--output", work / "run-locked")
    check("no more files are written" in said and losses(work / "run-locked") == runs[whole], said)

    teacher = ["--teacher", work / "run-whole" / "open_clip_model.safetensors", "--teacher-model", tiny_model(work)]
    run(store, *data, *teacher, *small, "--cache-folder", whole, "--output", work / "store")
    stored = ["--teacher-store", work / "store", "--stop-after", 2]
    run(train, *common, killed, *stored, "--output", work / "with")
    said = run(train, *common[:-1], *stored, "--output", work / "without", expect=1)
    check("not the one whose embedding is stored" in said and "the image cache" in said, said)


def mixtures(build, work):
    """Shards, commands and a class folder with shares, read in pieces, are resumed at any step."""
    train, index = build / "train_clip", build / "index_shards"
    for shard in range(4):
        write_shard(work / f"a-{shard}.tar", shard_samples(40, 40 * shard))
        write_shard(work / f"b-{shard}.tar", shard_samples(20, 1000 + 20 * shard))
    for name in ("red", "green"):
        (work / "classes" / name).mkdir(parents=True)
        for i in range(10):
            (work / "classes" / name / f"{i}.jpg").write_bytes(jpeg(name))
    stage, command = work / "stage", f"pipe:echo >> {work}/runs; cat {work}/b-{{0..3}}.tar"
    said = run(index, "--data", command, "--stage-folder", stage)
    check("4 shards, 4 of them indexed now, 80 samples" in said, said)
    common = ["--model", tiny_model(work), "--batch-size", 16, "--train-data", f"{work}/a-{{0..3}}.tar::{command}::{work}/classes",
              "--data-shares", 0.5, 0.3, 0.2, "--epoch-samples", 160, "--epochs", 2, "--stage-folder", stage, "--read-piece", 8,
              "--read-pieces", 2, "--read-lanes", 4, "--shuffle-window", 2, "--save-every", 4, "--log-every", 1,
              "--caption-templates", "a picture of a {}"]
    said = run(train, *common, "--output", work / "whole")
    for line in ("50 % of an epoch, which visits each of 160 samples 0.5 times",
                 "20 % of an epoch, which visits each of 20 samples 1.6 times"):
        check(line in said, f"'{line}' is not in\n{said}")
    check("160 samples in 10 steps of 16 per epoch" in said, said)
    run(train, *common, "--output", work / "cut", "--stop-after", 8)
    run(train, *common, "--output", work / "cut", "--resume", "latest")
    check(losses(work / "cut") == losses(work / "whole"), "a run that was interrupted goes on with the same samples")
    check(len((work / "runs").read_text().splitlines()) == 4, "each command runs once")
    ranks = run(train, *common, "--output", work / "threads", "--threads", 4)
    check("wrote" in ranks and losses(work / "threads") == losses(work / "whole"), "the order does not depend on threads")


def folders(build, work):
    """A folder has one run: another run, a second process, other settings and faulty evaluation data are refused."""
    train = build / "train_clip"
    common = ["--model", tiny_model(work), "--batch-size", 512, "--epochs", 1, "--threads", 1, "--log-every", 1]
    run(train, *common, "--stop-after", 2, "--output", work / "a")
    said = run(train, *common, "--seed", 5, "--output", work / "a", expect=1)
    check("checkpoint of an earlier run" in said and "latest" in said, said)
    said = run(train, *common, "--lr", 1e-4, "--output", work / "a", "--resume", "latest", expect=1)
    check("refused" in said and "lr was 0.0005, is 0.0001" in said, said)
    run(train, *common, "--lr", 1e-4, "--output", work / "a", "--resume", "latest", "--force")

    endless = [100 if x == 1 and common[i - 1] == "--epochs" else x for i, x in enumerate(common)]
    slow = subprocess.Popen([str(train), *map(str, endless), "--output", str(work / "b")],
                            stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    try:
        deadline = time.monotonic() + 60
        while not (work / "b" / ".lock").exists() and time.monotonic() < deadline:
            time.sleep(0.05)
        said = run(train, *common, "--output", work / "b", expect=1)
        check("still going on" in said and f"process {slow.pid}" in said, said)
    finally:
        slow.kill()
        slow.wait()

    write_shard(work / "good.tar", shard_samples(64))
    samples = shard_samples(8)
    del samples["00003"]["cls"]
    write_shard(work / "unlabeled.tar", samples)
    (work / "two.txt").write_text("red\ngreen\n")
    (work / "three.txt").write_text("red\ngreen\nblue\n")
    small = ["--model", tiny_model(work), "--train-data", work / "good.tar", "--batch-size", 16, "--epochs", 1]
    for data, names, words in [("unlabeled.tar", "three.txt", ["00003", "unlabeled.tar"]),
                               ("good.tar", "two.txt", ["is 2", "0 to 1"])]:
        said = run(train, *small, "--eval-data", work / data, "--class-names", work / names, "--output", work / "c",
                   expect=1)
        for word in words:
            check(word in said, f"'{word}' in {said}")
        check(not (work / "c" / "log.jsonl").exists(), "nothing was trained")


def recipes(build, work):
    """The plan of each recipe, for the full data set that its comments name, has the expected steps."""
    folder = pathlib.Path(__file__).resolve().parents[2] / "examples" / "recipes"
    vocabulary = os.environ["CONTRAPUNTO_BPE_VOCAB"]
    # The samples of the data set and the steps of the run.
    expected = {"rn50_cc3m": (2_905_954, 85_110), "vit_b_32_cc12m": (10_968_539, 42_816),
                "vit_b_32_laion400m_a100": (407_332_084, 1_018_328), "vit_b_32_laion400m_h100": (407_332_084, 370_296),
                "clipa_b16_laion400m": (407_332_084, 45_292), "cifar10": (50_000, 4_290)}
    stages = {"tinyclip_auto_b32": (407_332_084, [74_580]), "tinyclip_manual_b32": (407_332_084, [74_580, 74_580]),
              "tinyclip_vit_39m_yfcc15m": (15_388_848, [93_925]), "tinyclip_vit_8m_yfcc15m": (15_388_848, [93_925] * 2),
              "tinyclip_rn_30m_laion400m": (407_332_084, [74_580]), "tinyclip_cifar10": (50_000, [780])}
    found = {path.stem for path in folder.glob("*.toml")}
    # Rows of an epoch, classes and steps of supervised runs.
    supervised = {"vit_s16_imagenet": (1_281_167, 112_590), "deit3_b16_imagenet": (1_281_167, 502_400),
                  "deit3_b16_finetune_imagenet": (1_281_167, 50_040), "cct2_cifar10": (50_000, 5_070)}
    check(found == {*expected, *stages, *supervised, "text_pairs", "supcon_cifar10"}, f"the recipes are {found}")
    tiny = tiny_model(work)
    run(build / "train_clip", "--model", tiny, "--batch-size", 128, "--epochs", 0.1, "--threads", 1, "--output", work / "tiny")
    for name, (samples, steps) in stages.items():
        models = ["--stage-models", *[tiny] * len(steps)] if "auto" not in name else []
        said = run(build / "train_tinyclip", "--config", folder / f"{name}.toml", "--model", tiny, "--weights",
                   work / "tiny" / "open_clip_model.safetensors", "--teacher", "", "--vocabulary", "", *models,
                   "--train-data", "synthetic", "--eval-data", "", "--class-names", "", "--pretend-samples", samples, "--plan")
        # The plan of an automatic run ends with its first stage, because the others depend on what it removes.
        check(said.count("stage-") == len(steps), f"{name} has {len(steps)} plans:\n{said}")
        for count in steps:
            check(f"{count:,} steps" in said and "refused" not in said, f"{name} has {count:,} steps:\n{said}")
    said = run(build / "train_images", "--config", folder / "supcon_cifar10.toml", "--model",
               folder.parent / "models" / "cifar-rn.json", "--train-data", "synthetic", "--eval-data", "", "--plan")
    check("55 steps" in said and "refused" not in said, f"supcon_cifar10 may start:\n{said}")
    for name, (samples, steps) in supervised.items():
        said = run(build / "train_vit", "--config", folder / f"{name}.toml", "--train-data", "synthetic", "--eval-data", "",
                   "--weights", "", "--plan", "--pretend-samples", samples)
        check(f"{steps:,} steps" in said and "refused" not in said, f"{name} may start:\n{said}")
    write_shard(work / "few.tar", shard_samples(8))
    for name, (samples, steps) in expected.items():
        arguments = ["--config", folder / f"{name}.toml", "--train-data", "synthetic", "--vocabulary", vocabulary,
                     "--eval-data", "", "--class-names", "", "--plan", "--pretend-samples", samples]
        if name in ("cifar10", "clipa_b16_laion400m"):
            arguments += ["--model", folder.parent / "models" / ("cifar-rn.json" if name == "cifar10" else "vit-b-16-clipa.json")]
        said = run(build / "train_clip", *arguments)
        check(f"{steps:,} steps" in said, f"{name} has {steps:,} steps:\n{said}")
        check("refused" not in said and "warm-up" in said, f"{name} may start:\n{said}")


def text_pairs(build, work):
    """Queries find their functions after a short run, a resumed run continues, and a bad line is named."""
    words = "add cut join sort read write open close find list map set copy move sum mean".split()
    pairs = [{"query": f"{a} the {b} of {c}", "code": f"def {a}_{b}({c}): return {c}.{a}({b})", "file": f"{c}.py"}
             for a in words for b in words[:6] for c in words[:6]]
    (work / "train.jsonl").write_text("".join(json.dumps(pair) + "\n" for pair in pairs) + "no json\n")
    (work / "test.jsonl").write_text("".join(json.dumps(pair) + "\n" for pair in pairs[::9]))
    common = ["--train-data", work / "train.jsonl", "--eval-data", work / "test.jsonl", "--group-field", "file",
              "--hard-negatives", 1, "--batch-size", 128, "--chunk-size", 32, "--width", 64, "--layers", 1, "--epochs", 12,
              "--lr", 1e-2, "--log-every", 4, "--x-context", 24, "--y-context", 40]
    said = run(build / "train_text_pairs", *common, "--output", work / "run")
    mrr = [line["mean_reciprocal_rank"] for line in lines(work / "run") if "mean_reciprocal_rank" in line]
    check(mrr and mrr[-1] > 0.5, f"queries find their texts: MRR {mrr}")
    check("train.jsonl:577: no JSON object" in said, "a broken line is named")
    run(build / "train_text_pairs", *common, "--output", work / "halves", "--stop-after", 20)
    run(build / "train_text_pairs", *common, "--output", work / "halves", "--resume", "latest")
    check(losses(work / "halves") == losses(work / "run"), "losses after resume are bit-equal")
    said = run(build / "train_text_pairs", *common, "--y-field", "text", "--output", work / "none", expect=1)
    check("no text pair with fields 'query' and 'text'" in said, said)


def images(build, work):
    """Both losses train, ranks and chunks give the losses of one process, a run resumes, and missing labels are named."""
    train = build / "train_images"
    common = ["--model", tiny_model(work), "--batch-size", 240, "--epochs", 2, "--lr", 2e-3, "--log-every", 1, "--threads",
              1, "--projection-dim", 32, "--device", "cpu"]
    run(train, *common, "--loss", "supcon", "--output", work / "supcon")
    knn = [line["knn_top1"] for line in lines(work / "supcon") if "knn_top1" in line]
    check(len(knn) == 2 and knn[-1] > 0.1, f"nearest neighbors classify the 30 classes of shapes better than chance: {knn}")
    check((work / "supcon" / "image_tower.safetensors").stat().st_size > 0, "the weights of the tower are written")
    six = ["--stop-after", 6]
    run(train, *common, *six, "--output", work / "whole")
    whole = losses(work / "whole")
    check(len(whole) == 6 and whole[-1] < whole[0], f"the loss falls: {whole}")
    launch = pathlib.Path(__file__).resolve().parents[2] / "scripts" / "launch"
    run(launch, "-n", 2, "--", train, *common, *six, "--chunk-size", 50, "--shard-optimizer", "--output", work / "ranks")
    check(close(losses(work / "ranks"), whole, 1e-4), f"{losses(work / 'ranks')} is the whole batch {whole}")
    run(train, *common, "--stop-after", 3, "--output", work / "halves")
    run(train, *common, *six, "--output", work / "halves", "--resume", "auto")
    check(losses(work / "halves") == whole, "losses after resume are bit-equal")
    samples = shard_samples(64)
    del samples["00003"]["cls"]
    write_shard(work / "unlabeled.tar", samples)
    said = run(train, *common[:2], "--batch-size", 16, "--train-data", work / "unlabeled.tar", "--loss", "supcon",
               "--output", work / "none", expect=1)
    check("00003" in said and "no label" in said, said)


def vit(build, work):
    """A classifier trains with mixed images and repeats, micro-batches give the losses of the whole batch, and it resumes;
    its weights start a fine-tuning, a linear probe and a run at another image size, and mistakes are named."""
    train, launch = build / "train_vit", pathlib.Path(__file__).resolve().parents[2] / "scripts" / "launch"
    basic = ["--model", tiny_model(work), "--batch-size", 240, "--log-every", 1, "--threads", 1, "--crop-area", 0.5, "--device",
             "cpu"]
    common = [*basic, "--lr", 2e-3]
    said = run(train, *common, "--epochs", 4, "--output", work / "plain")
    scores = [line for line in lines(work / "plain") if "top1" in line]
    check(len(scores) == 4 and scores[-1]["top1"] > 0.12 and scores[-1]["top5"] > 0.5, f"30 classes are learned: {scores}")
    check("lowest accuracy: " in said and "of 50" in said, f"the worst classes are named:\n{said}")
    rows = (work / "plain" / "classes.csv").read_text().splitlines()
    right = sum(int(row.split(",")[3]) for row in rows[1:])
    check(len(rows) == 31 and abs(right / 1500 - scores[-1]["top1"]) < 1e-9, "the table of classes adds up to the accuracy")

    # Micro-batches change nothing, with mixed images, soft targets, repeats and averages.
    mixed = [*common, "--epochs", 2, "--mixup", 0.8, "--cutmix", 1, "--mixup-mode", "element", "--mixup-epochs", 0.2, "--repeats",
             3, "--ema", 0.9, "--augment", "3a"]
    run(train, *mixed, "--loss", "bce", "--bce-sum", "--head-bias", -3, "--stop-after", 8, "--output", work / "whole")
    whole = losses(work / "whole")
    check(len(whole) == 8 and whole[-1] < whole[0], f"the loss falls: {whole}")
    run(train, *mixed, "--loss", "bce", "--bce-sum", "--head-bias", -3, "--stop-after", 8, "--micro-batch", 50,
        "--checkpoint-activations", "--output", work / "parts")
    check(close(losses(work / "parts"), whole, 1e-4), f"{losses(work / 'parts')} is the whole batch {whole}")
    six = [*common, "--epochs", 1, "--label-smoothing", 0.1, "--stop-after", 6]
    run(train, *six, "--output", work / "one")
    run(launch, "-n", 2, "--", train, *six, "--micro-batch", 50, "--shard-optimizer", "--output", work / "ranks")
    check(close(losses(work / "ranks"), losses(work / "one"), 1e-4), f"two ranks {losses(work / 'ranks')} are one process")
    # A run that is killed and resumed has the losses of an uninterrupted one.
    soft = [*mixed, "--label-smoothing", 0.1, "--save-every", 2]
    run(train, *soft, "--stop-after", 8, "--output", work / "uninterrupted")
    killed = subprocess.Popen([str(train), *map(str, soft), "--output", str(work / "killed")], stdout=subprocess.DEVNULL,
                              stderr=subprocess.STDOUT)
    deadline = time.monotonic() + 120
    while not list((work / "killed").glob("step-000000004")) and time.monotonic() < deadline:
        time.sleep(0.02)
    killed.kill()
    killed.wait()
    said = run(train, *soft, "--stop-after", 8, "--output", work / "killed", "--resume", "latest")
    check("step-00000000" in said, f"resume names the checkpoint:\n{said}")
    check(losses(work / "killed") == losses(work / "uninterrupted"), "losses after a kill and resume are bit-equal")

    # Weights.
    trained = work / "plain" / "classifier.safetensors"
    tune = [*basic, "--epochs", 1, "--lr", 1e-4, "--stop-after", 2, "--weights", trained]
    run(train, *tune, "--weights-head", "--output", work / "tuned")
    top1 = [line["top1"] for line in lines(work / "tuned") if "top1" in line][-1]
    check(abs(top1 - scores[-1]["top1"]) < 0.1, f"fine-tuning begins where the weights are: {top1}")
    (work / "large").mkdir()
    larger = tiny_model(work / "large", vision_cfg={**TINY["vision_cfg"], "image_size": 48})
    run(train, "--model", larger, *tune[2:], "--weights-head", "--output", work / "larger")
    said = run(train, *tune, "--layer-decay", 0.75, "--optimizer", "lamb", "--output", work / "lamb")
    check("optimizer      LAMB" in said, f"the optimizer is a setting:\n{said}")
    run(train, *tune, "--freeze", "--output", work / "probe")
    from safetensors.torch import load_file
    before, after = load_file(trained), load_file(work / "probe" / "classifier.safetensors")
    check(all(bool((before[name] == after[name]).all()) == name.startswith("tower.") for name in before),
          "a linear probe changes the head and nothing else")
    run(build / "train_clip", "--model", tiny_model(work), "--batch-size", 240, "--epochs", 1, "--stop-after", 1, "--output",
        work / "clip")
    run(train, *tune[:-2], "--weights", work / "clip" / "open_clip_model.safetensors", "--output", work / "from_clip")

    # Data with labels and mistakes.
    write_shard(work / "good.tar", shard_samples(64))
    samples = shard_samples(64)
    del samples["00003"]["cls"]
    write_shard(work / "unlabeled.tar", samples)
    write_shard(work / "one.tar", {key: members for key, members in shard_samples(96).items() if members["cls"] == b"0"})
    (work / "two.txt").write_text("red\ngreen\n")
    for color in ("red", "green"):
        (work / "folders" / color).mkdir(parents=True)
        for i in range(16):
            (work / "folders" / color / f"{i}.jpg").write_bytes(jpeg(color))
    (work / "others" / "blue").mkdir(parents=True)
    (work / "others" / "blue" / "0.jpg").write_bytes(jpeg("blue"))
    small = ["--model", tiny_model(work), "--batch-size", 16, "--epochs", 2, "--device", "cpu"]
    said = run(train, *small, "--train-data", work / "folders", "--eval-data", work / "folders", "--eval-crop", 0.875, "--output",
               work / "f")
    check("green" in said and "lowest accuracy" in said, f"folders are classes:\n{said}")
    said = run(train, *small, "--train-data", work / "good.tar", "--eval-data", work / "good.tar", "--output", work / "s")
    check("class 0" in said, f"labels in shards need no names:\n{said}")
    for arguments, words in [
        (["--train-data", work / "unlabeled.tar"], ["00003", "no label", "cls member"]),
        (["--train-data", work / "one.tar"], ["at least two"]),
        (["--train-data", work / "good.tar", "--class-names", work / "two.txt"], ["is 2", "0 to 1"]),
        (["--train-data", work / "folders", "--eval-data", work / "others"], ["'blue' there and 'green' here"]),
        (["--train-data", work / "folders", "--eval-data", work / "good.tar"], ["is 2", "0 to 1"]),
        (["--repeats", 3], ["16 rows", "repeats (3)"]),
        (["--mixup", 0.2, "--cutmix", 1, "--mixup-mode", "rolled"], ["kRolled", "cutmix"]),
        (["--bce-threshold", 0.2], ["threshold (0.2)", "bce"]),
        (["--weights", trained, "--weights-head", "--train-data", work / "folders"], ["head.weight", "[2, 32]"]),
        (["--weights", work / "none.safetensors"], ["none.safetensors"]),
    ]:
        said = run(train, *small, *arguments, "--output", work / "mistake", expect=1)
        for word in words:
            check(word in said, f"'{' '.join(map(str, arguments))}' should say '{word}', but said\n{said}")
        check(not (work / "mistake" / "log.jsonl").exists(), "nothing was trained")
    said = run(train, *small, "--freeze", "--plan")
    check("random features" in said, f"a linear probe without weights is a warning:\n{said}")


def phases(build, work):
    """A run changes its sizes at given samples, in one process and over ranks, and resumes in any phase with the same losses."""
    launch = pathlib.Path(__file__).resolve().parents[2] / "scripts" / "launch"
    model = tiny_model(work)
    common = ["--model", model, "--epochs", 1, "--log-every", 1, "--threads", 1, "--device", "cpu", "--batch-size", 120, "--lr",
              1e-3, "--warmup", "120 samples"]
    eight = ["--stop-after", 8]
    first = "image-size 16 batch-size 240 lr 2e-3"
    for name, chunks in (("train_clip", "--chunk-size"), ("train_vit", "--micro-batch"), ("train_images", "--chunk-size")):
        texts = " text-length 12" if name == "train_clip" else ""
        arguments = [build / name, *common, "--phases", f"until 720 samples: {first}{texts}", "until 1000 samples: image-size 24"]
        said = run(*arguments, *eight, "--output", work / name)
        check("3 steps of 240 from step 0, images of 16 pixels" in said and "learning rate x 2" in said, f"the plan:\n{said}")
        check("phase 2        3 steps of 120 from step 3, images of 24 pixels" in said, f"the plan:\n{said}")
        rows = [line for line in lines(work / name) if "loss" in line]
        check([row["samples"] for row in rows] == [240, 480, 720, 840, 960, 1080, 1200, 1320], f"samples of the steps: {rows}")
        check(rows[2]["lr"] > 1.9 * rows[3]["lr"], f"the learning rate of the phases: {rows}")
        whole = losses(work / name)
        for stop in (2, 4, 6):
            run(*arguments, "--stop-after", stop, "--output", work / f"{name}-{stop}")
            run(*arguments, *eight, "--output", work / f"{name}-{stop}", "--resume", "auto")
            check(losses(work / f"{name}-{stop}") == whole, f"{name} resumes after {stop} steps with the same losses")
        run(launch, "-n", 2, "--", *arguments, *eight, chunks, 50, "--output", work / f"{name}-ranks")
        check(close(losses(work / f"{name}-ranks"), whole, 1e-4), f"two ranks {losses(work / f'{name}-ranks')} are {whole}")
        for phase, words in (("until 50%: image-size 4", ["image_size (4)"]), ("until 1e6 samples: lr 1", ["end"]),
                             ("until 50%: text-length 99" if texts else "until 50%: text-length 9", ["text-length"]),
                             ("until 50 %", ["parse_phase", "text-length 16"])):
            said = run(build / name, *common, "--phases", phase, "--output", work / "mistake", expect=1)
            for word in words:
                check(word in said, f"'{phase}' should say '{word}', but said\n{said}")

    # A teacher reads images and texts of its own size in every phase.
    weights = work / "train_clip" / "open_clip_model.safetensors"
    said = run(build / "train_clip", *common, *eight, "--phases", f"until 720 samples: {first} text-length 12", "--teacher", weights,
               "--teacher-model", model, "--distillation", 0.5, "--output", work / "student")
    check("images of 32 pixels, texts of" in said, f"the plan shows what the teacher reads:\n{said}")


def mistakes(build, work):
    """Each mistake ends with a message that names it and the remedy, before the first step."""
    train = build / "train_clip"
    model = tiny_model(work)
    for arguments, words in [
        (["--batchsize", 3], ["--batchsize", "--help"]),
        (["--train-data", "/no/such.tar"], ["/no/such.tar", "does not exist"]),
        (["--model", "ViT-B32"], ["ViT-B32", "ViT-B-32"]),
        (["--model", work / "none.json"], ["none.json"]),
        (["--precision", "fp8"], ["fp8", "bf16"]),
        (["--save-every", 0], ["save-every", "at least 1"]),
        (["--batch-size", 0], ["batch"]),
        (["--threads", 0], ["threads"]),
        (["--epochs", 0, "--model", model], ["total_steps", "0"]),
        (["--lr", "nan", "--model", model], ["lr"]),
        (["--templates", "a photo", "--model", model], ["'a photo'", "{}"]),
        (["--warmup", "5 hours"], ["5 hours", "epochs"]),
        (["--model", model, "--warmup", "10000 steps"], ["refused", "10,000", "--force"]),
        (["--model", model, "--batch-size", 7000], ["7000", "6000"]),
        (["--model", model, "--weights", work / "none.safetensors"], ["none.safetensors"]),
        (["--model", model, "--resume", "latest", "--output", work / "empty"], ["empty", "resume"]),
        (["--model", model, "--vocabulary", work / "none.txt"], ["none.txt"]),
        (["--model", model, "--device", "cpu", "--augment-on-device"], ["augment-on-device", "GPU", "leave"]),
    ]:
        said = run(train, *arguments, expect=1)
        for word in words:
            check(word in said, f"'{' '.join(map(str, arguments))}' should say '{word}', but said\n{said}")
        check("Exception raised from" not in said, "no backtrace for users")
    forced = run(train, "--model", model, "--warmup", "10000 steps", "--force", "--epochs", 1, "--batch-size", 3000,
                 "--output", work / "forced")
    check("warning" in forced and "wrote" in forced, "--force trains all the same")
    plan = run(train, "--model", model, "--plan", "--output", work / "planned")
    check("warm-up" in plan and not (work / "planned").exists(), "--plan writes nothing")
    check("--train-data" in run(train, "--help"), "--help lists the flags")


def paths(build, work):
    """The first command of each reader in docs/guides/paths.md, each for a few steps."""
    root = pathlib.Path(__file__).resolve().parents[2]
    for name in ("examples", "scripts"):
        (work / name).symlink_to(root / name)
    text = re.sub(r"\\\n *", "", (root / "docs/guides/paths.md").read_text())
    commands = [line.split() for block in re.findall(r"^## I .*?^```sh\n(.*?)^```", text, re.S | re.M) for line in block.splitlines()]
    check(len(commands) == 6, f"each path has one command: {commands}")
    for words in commands:
        short = ["--stop-after", 2] if any(word.startswith("train_") for word in words) else []
        words = [str(build / word) if (build / word).is_file() else word for word in words]
        run(pathlib.Path(words[0]), *words[1:], *short)


def jobs(build, work):
    """The job files start ranks with the losses of one process, and start them again when one of them is killed."""
    train, folder = build / "train_clip", pathlib.Path(__file__).resolve().parents[2] / "examples" / "jobs"
    settings = work / "tiny.toml"
    settings.write_text(f'model = "{tiny_model(work)}"\nbatch-size = 256\nepochs = 1\nlr = 1e-3\nlog-every = 1\nthreads = 1\n')
    run(train, "--config", settings, "--device", "cpu", "--stop-after", 8, "--output", work / "whole")
    whole = losses(work / "whole")
    common = {"PROGRAM": train, "CONFIG": settings, "DEVICE": "cpu", "RANKS": 2, "SAVE_EVERY": 3, "OMPI_ALLOW_RUN_AS_ROOT": 1,
              "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": 1, "PATH": f"{pathlib.Path(sys.executable).parent}:{os.environ['PATH']}"}

    def ranks_of(output):
        found = []
        for entry in pathlib.Path("/proc").iterdir():
            try:
                words = (entry / "cmdline").read_bytes().split(b"\0")
            except OSError:
                continue
            if words[0] == bytes(train) and bytes(output) in words:
                found.append(int(entry.name))
        return sorted(found)

    for job, needs in (("torchrun.sh", "torchrun"), ("mpirun.sh", "mpirun")):
        if not shutil.which(needs, path=common["PATH"]):
            print(f"{job} is not run, because {needs} is missing")
            continue
        output = work / job
        with socket.socket() as listener:
            listener.bind(("127.0.0.1", 0))
            port = listener.getsockname()[1]
        variables = {**common, "OUTPUT": output, "NAME": job, "PORT": port}
        with open(work / f"{job}.txt", "w+") as said:
            started = subprocess.Popen([folder / job, "--stop-after", "8"], stdout=said, stderr=subprocess.STDOUT,
                                       env={**os.environ, **{name: str(value) for name, value in variables.items()}})
            while started.poll() is None and not list(output.glob("step-*")):
                time.sleep(0.05)
            for rank in ranks_of(output)[-1:]:
                os.kill(rank, signal.SIGKILL)
            code = started.wait()
            said.seek(0)
            text = said.read()
        check(code == 0 and "resumed from" in text, f"{job} starts the ranks again; it ended with {code} and said\n{text}")
        check(close(losses(output), whole, 1e-4), f"{job}: {losses(output)} is one process {whole}")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--build", type=pathlib.Path, required=True)
    parser.add_argument("--work", type=pathlib.Path, required=True)
    parser.add_argument("case", choices=["quickstart", "resume", "interchange", "export", "search", "sources", "large_batches", "optimizers", "text_pairs",
                                         "distillation", "stored_teachers", "image_cache", "mixtures", "tinyclip", "images", "vit", "phases",
                                         "paths", "jobs", "mistakes", "folders", "recipes"])
    a = parser.parse_args()
    shutil.rmtree(a.work, ignore_errors=True)
    a.work.mkdir(parents=True)
    os.chdir(a.work)
    globals()[a.case](a.build.resolve(), a.work.resolve())
    print(f"{a.case}: as expected")


if __name__ == "__main__":
    main()
