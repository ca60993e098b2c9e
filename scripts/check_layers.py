#!/usr/bin/env python3
# SPDX-FileCopyrightText: 2026 The Contrapunto Authors
# SPDX-License-Identifier: Apache-2.0
"""Checks that a header includes only its own folder and strictly lower layers.

It also checks that each header begins with the license lines and `#pragma once`, names our headers by their full path,
has at most 500 lines, does not include torch/torch.h, defines no macro but the one that is listed here, uses only the
macros that are listed here, and stops the compiler with a message when the component whose libraries it includes is missing.
"""
import argparse
import pathlib
import re
import sys
import tempfile

LAYERS = {
    "core": 0, "autograd": 0,
    "io": 1, "distributed": 1, "kernels": 1,
    "image": 2, "text": 2, "nn": 2, "loss": 2, "schedule": 2, "optim": 2, "precision": 2, "log": 2,
    "settings": 2,
    "data": 3, "towers": 3, "step": 3, "monitor": 3, "plan": 3, "evaluate": 3, "checkpoint": 3,
    "compress": 4, "export": 4,
}
HEAD = ["// SPDX-FileCopyrightText: 2026 The Contrapunto Authors", "// SPDX-License-Identifier: Apache-2.0"]
INCLUDE = re.compile(r'^\s*#\s*include\s*([<"])([^>"]+)[>"]')
DEFINE = re.compile(r"^\s*#\s*define\s+(\w+)")
LINE_LIMIT = 500
COMPONENT_LIBRARIES = {
    "IMAGE": ("jpeglib.h", "jerror.h", "turbojpeg.h", "png.h", "webp/"),
    "TEXT": ("utf8proc.h", "zlib.h"),
    "DISTRIBUTED": ("torch/csrc/distributed/", "gloo/"),
    "CLI": ("CLI/",),
    "EXPORT": ("protozero/",),
}
DEFINED = {"contrapunto/core/detail/host_device.hpp": "CONTRAPUNTO_HOST_DEVICE"}  # no other way to mark such functions
MACROS = {f"CONTRAPUNTO_HAS_{name}" for name in ("CUDA", "NCCL", *COMPONENT_LIBRARIES)} | set(DEFINED.values())


def check_file(root, file):
    """Yields one message per fault in `file`; `root` is the folder that contains contrapunto/."""
    name = file.relative_to(root).as_posix()
    lines = file.read_text().splitlines()
    if lines[:2] != HEAD:
        yield f"{name}:1: the first two lines must be the SPDX lines"
    if file.suffix != ".cu" and lines[2:3] != ["#pragma once"]:
        yield f"{name}:3: the third line must be #pragma once"
    if len(lines) > LINE_LIMIT:
        yield f"{name}: {len(lines)} lines, the limit is {LINE_LIMIT}; split it"
    parts = file.relative_to(root / "contrapunto").parts
    folder = parts[0] if len(parts) > 1 else None
    if len(parts) > 3 or len(parts) == 3 and parts[1] != "detail":
        yield f"{name}: a folder has headers and detail/, and no other folder"
    if folder is not None and folder not in LAYERS:
        yield f"{name}: folder '{folder}' has no layer; there are {', '.join(LAYERS)}"
        return
    text = "\n".join(lines)
    for number, line in enumerate(lines, 1):
        if (defined := DEFINE.match(line)) and DEFINED.get(name) != defined[1]:
            yield f"{name}:{number}: defines the macro {defined[1]}; headers of ours define none"
        for macro in sorted(set(re.findall(r"\bCONTRAPUNTO_[A-Z_]+\b", line)) - MACROS):
            yield f"{name}:{number}: {macro} is none of our macros, which are {', '.join(sorted(MACROS))}"
        match = INCLUDE.match(line)
        if not match:
            continue
        bracket, included = match.groups()
        where = f"{name}:{number}"
        if included in ("torch/torch.h", "torch/all.h"):
            yield f"{where}: {included} costs 16 s a file; include the narrowest header that works"
        for component, libraries in COMPONENT_LIBRARIES.items():
            if included.startswith(libraries) and f"#ifndef CONTRAPUNTO_HAS_{component}\n#error" not in text:
                yield (f"{where}: {included} needs the component {component.lower()}; put `#ifndef "
                       f"CONTRAPUNTO_HAS_{component}`, `#error` with the component's name and `#endif` on top")
        if included.startswith("contrapunto/"):
            if bracket != '"':
                yield f"{where}: write \"{included}\", not <{included}>"
            if not (root / included).is_file():
                yield f"{where}: there is no {included}"
            target = included.split("/")[1] if included.count("/") > 1 else None
            if folder is None:
                continue
            if target is None and included != "contrapunto/version.hpp":
                yield f"{where}: {included} is an umbrella; include the header that is meant"
            elif target is not None and target not in LAYERS:
                yield f"{where}: folder '{target}' has no layer"
            elif target is not None and target != folder and LAYERS[target] >= LAYERS[folder]:
                yield (f"{where}: {folder} (layer {LAYERS[folder]}) includes {target} (layer {LAYERS[target]}); only "
                       f"its own folder and lower layers are allowed")
        elif bracket == '"':
            yield f"{where}: name our headers by their full path, \"contrapunto/...\"; others in <>"


def check_tree(root):
    files = sorted(p for p in (root / "contrapunto").rglob("*") if p.suffix in (".hpp", ".cuh", ".cu", ".h"))
    return len(files), [fault for file in files for fault in check_file(root, file)]


def self_test():
    """Every rule must refuse a tree that breaks it and nothing else."""
    good = "\n".join([*HEAD, "#pragma once", ""])
    broken = {
        "upward include": ("io/a.hpp", good + '#include "contrapunto/nn/b.hpp"\n', "io (layer 1) includes nn (layer 2)"),
        "sibling include": ("loss/a.hpp", good + '#include "contrapunto/nn/b.hpp"\n', "loss (layer 2) includes nn"),
        "unknown folder": ("extra/a.hpp", good, "folder 'extra' has no layer"),
        "folder in a folder": ("io/tar/a.hpp", good, "headers and detail/, and no other folder"),
        "torch/torch.h": ("io/a.hpp", good + "#include <torch/torch.h>\n", "torch/torch.h costs"),
        "umbrella": ("step/a.hpp", good + '#include "contrapunto/nn.hpp"\n', "is an umbrella"),
        "missing header": ("step/a.hpp", good + '#include "contrapunto/nn/c.hpp"\n', "there is no contrapunto/nn/c.hpp"),
        "relative include": ("nn/a.hpp", good + '#include "b.hpp"\n', "by their full path"),
        "angle brackets": ("step/a.hpp", good + "#include <contrapunto/nn/b.hpp>\n", "not <contrapunto/nn/b.hpp>"),
        "no license": ("io/a.hpp", "#pragma once\n", "SPDX"),
        "no pragma": ("io/a.hpp", "\n".join([*HEAD, "", ""]), "#pragma once"),
        "a macro": ("io/a.hpp", good + "#define CONTRAPUNTO_HAS_TEXT 1\n", "defines the macro CONTRAPUNTO_HAS_TEXT"),
        "a macro elsewhere": ("io/a.hpp", good + "#define CONTRAPUNTO_HOST_DEVICE\n", "defines the macro CONTRAPUNTO_HOST"),
        "unknown macro": ("io/a.hpp", good + "#ifdef CONTRAPUNTO_FAST\n#endif\n", "CONTRAPUNTO_FAST is none of our"),
        "no component": ("io/a.hpp", good + "#include <zlib.h>\n", "needs the component text"),
        "too long": ("io/a.hpp", good + "\n" * LINE_LIMIT, "the limit is 500"),
    }
    failures = []
    for rule, (path, text, expected) in broken.items():
        with tempfile.TemporaryDirectory() as folder:
            root = pathlib.Path(folder)
            for name, content in {"nn/b.hpp": good, "nn.hpp": good + '#include "contrapunto/nn/b.hpp"\n',
                                  "step/ok.hpp": good + '#include "contrapunto/nn/b.hpp"\n'}.items():
                (root / "contrapunto" / name).parent.mkdir(parents=True, exist_ok=True)
                (root / "contrapunto" / name).write_text(content)
            if check_tree(root)[1]:
                failures.append(f"{rule}: a good tree was refused: {check_tree(root)[1]}")
            (root / "contrapunto" / path).parent.mkdir(parents=True, exist_ok=True)
            (root / "contrapunto" / path).write_text(text)
            faults = check_tree(root)[1]
            if not any(expected in fault for fault in faults):
                failures.append(f"{rule}: not found; faults were {faults}")
    return failures


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--root", type=pathlib.Path, default=pathlib.Path(__file__).resolve().parent.parent / "include")
    parser.add_argument("--self-test", action="store_true", help="check the checker instead of the tree")
    arguments = parser.parse_args()
    if arguments.self_test:
        faults = self_test()
        print("self-test of the layer check:", "failed" if faults else "every broken tree was refused")
    else:
        count, faults = check_tree(arguments.root)
        print(f"{count} headers, {len(faults)} faults")
        if not count:
            faults = [f"no headers under {arguments.root}"]
    print(*faults, sep="\n", end="\n" if faults else "")
    sys.exit(1 if faults else 0)


if __name__ == "__main__":
    main()
