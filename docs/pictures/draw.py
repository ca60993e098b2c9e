#!/usr/bin/env python3
# SPDX-FileCopyrightText: 2026 The Contrapunto Authors
# SPDX-License-Identifier: Apache-2.0
"""Draws the pictures of docs/pictures: layers.svg, grad_cache.svg and strategies.svg.

The layers come from the table in docs/reference/architecture.md, the memory and the time of the strategies from the newest rows of
benchmarks/results/grad_cache.csv. The pictures follow the reader's choice of light or dark colors."""
import csv
import pathlib
import re
from xml.sax.saxutils import escape

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parents[1]
STYLE = """<style>
  text { font-family: system-ui, sans-serif; font-size: 14px; fill: #1f2328; }
  .small { font-size: 12px; fill: #59636e; }
  .head { font-weight: 600; }
  .middle { text-anchor: middle; }
  .end { text-anchor: end; }
  .paper { fill: #ffffff; }
  .box { fill: #eef2f7; stroke: #8c959f; }
  .rank { fill: none; stroke: #8c959f; stroke-dasharray: 5 4; }
  .a { fill: #b6d6f5; stroke: #0969da; }
  .b { fill: #fbd9b0; stroke: #bc4c00; }
  .c { fill: #c5e8c9; stroke: #1a7f37; }
  .line { stroke: #59636e; stroke-width: 1.5; fill: none; marker-end: url(#tip); }
  .axis { stroke: #8c959f; }
  .tip { fill: #59636e; }
  @media (prefers-color-scheme: dark) {
    text { fill: #e6edf3; }
    .small { fill: #9198a1; }
    .paper { fill: #0d1117; }
    .box { fill: #1c232d; stroke: #656c76; }
    .rank { stroke: #656c76; }
    .a { fill: #12395f; stroke: #58a6ff; }
    .b { fill: #5a2d0c; stroke: #f0883e; }
    .c { fill: #12401d; stroke: #3fb950; }
    .line { stroke: #9198a1; }
    .axis { stroke: #656c76; }
    .tip { fill: #9198a1; }
  }
</style>"""


class Picture:
    def __init__(self, width, height, title):
        self.width, self.height, self.title, self.parts = width, height, title, []

    def box(self, x, y, w, h, kind="box"):
        self.parts.append(f'<rect class="{kind}" x="{x}" y="{y}" width="{w}" height="{h}" rx="5"/>')

    def text(self, x, y, text, kind=""):
        self.parts.append(f'<text class="{kind}" x="{x}" y="{y}">{escape(text)}</text>')

    def label(self, x, y, w, h, lines, kind="box"):
        """A box with lines of text in its middle; the lines after the first are small."""
        self.box(x, y, w, h, kind)
        top = y + h / 2 + 5 - 8 * (len(lines) - 1)
        for i, line in enumerate(lines):
            self.text(x + w / 2, top + 16 * i, line, "middle" if i == 0 else "small middle")

    def arrow(self, *points):
        path = "M" + " L".join(f"{x},{y}" for x, y in points)
        self.parts.append(f'<path class="line" d="{path}"/>')

    def save(self, name):
        head = (f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {self.width} {self.height}" width="{self.width}" '
                f'height="{self.height}" role="img"><title>{escape(self.title)}</title>')
        tip = ('<defs><marker id="tip" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="8" markerHeight="8" orient="auto">'
               '<path class="tip" d="M0,0 L8,4 L0,8 z"/></marker></defs>')
        paper = f'<rect class="paper" width="{self.width}" height="{self.height}"/>'
        (HERE / name).write_text("\n".join([head, STYLE, tip, paper, *self.parts, "</svg>\n"]))


def layers():
    table = (ROOT / "docs/reference/architecture.md").read_text()
    rows = {}
    for layer, folder in re.findall(r"^\| (\d) \| `(\w+)` \|", table, re.M):
        rows.setdefault(int(layer), []).append(folder)
    about = {0: "shared words", 1: "files, processes, devices", 2: "parts", 3: "pipelines", 4: "models made of models"}
    # The width of a box follows its text, and a row is at most as wide as the picture.
    top, height, gap, left, width = 96, 34, 8, 196, 880
    lines = []
    for layer in sorted(rows, reverse=True):
        x, line = left, []
        for folder in rows[layer]:
            w = 22 + 8 * len(folder)
            if x + w > width - 16:
                lines.append((layer, line))
                x, line = left, []
            line.append((x, w, folder))
            x += w + gap
        lines.append((layer, line))
    picture = Picture(width, top + len(lines) * (height + gap) + (len(rows) - 1) * 14 + 44, "Folders and layers of the library")
    picture.box(16, 24, width - 32, 48, "b")
    picture.text(32, 53, "your program", "head")
    picture.text(left, 53, "a copy of examples/train_clip.cpp, or your own: it uses any folder, and holds the loop")
    y, before = top, None
    for layer, line in lines:
        if before is not None and layer != before:
            y += 14
        if layer != before:
            picture.text(32, y + 15, f"layer {layer}", "head")
            picture.text(32, y + 31, about.get(layer, ""), "small")
        for x, w, folder in line:
            picture.label(x, y, w, height, [folder], "a" if layer >= 3 else "c" if layer == 2 else "box")
        y, before = y + height + gap, layer
    picture.text(32, y + 22, "A folder includes itself and folders of lower layers, never one beside it. LibTorch lies below all of them.", "small")
    picture.save("layers.svg")


def grad_cache():
    picture = Picture(900, 560, "Data flow of a GradCache step over two ranks")
    for rank, x in ((0, 16), (1, 462)):
        picture.box(x, 16, 422, 488, "rank")
        picture.text(x + 14, 38, f"rank {rank}: a part of the batch, in chunks", "head")
        for i in range(4):
            picture.label(x + 14 + 100 * i, 52, 92, 34, [f"chunk {4 * rank + i + 1}"])
        picture.arrow((x + 211, 88), (x + 211, 108))
        picture.label(x + 14, 110, 394, 52, ["1. forward of each chunk, without a graph",
                                             "the random numbers and the features are kept"], "a")
        picture.arrow((x + 211, 164), (x + 211, 190))
        picture.label(x + 14, 282, 394, 40, ["gradients of the own features"])
        picture.arrow((x + 211, 324), (x + 211, 352))
        picture.label(x + 14, 354, 394, 68, ["3. forward with a graph, and backward, of each chunk", "the same random numbers; the graphs of one chunk",
                                            "at a time, or of those that keep_bytes allows"], "a")
        picture.arrow((x + 211, 424), (x + 211, 446))
        picture.arrow((x + 211, 252), (x + 211, 280))
    picture.label(30, 192, 840, 58, ["2. loss over the features of all ranks, in tiles, and its backward",
                                     "features are gathered once or travel in a ring; the matrix of similarities never exists"], "b")
    picture.label(30, 448, 840, 42, ["sum of the gradients over the ranks, once, during the last backward"], "c")
    picture.text(450, 532, "The gradient is that of the whole batch of both ranks in one process, at any size of the chunks.", "small middle")
    picture.save("grad_cache.svg")


def strategies():
    rows = list(csv.DictReader((ROOT / "benchmarks/results/grad_cache.csv").open()))
    rows = [row for row in rows if row["case"] == "pairs"]
    newest = {row["what"]: row for row in rows}
    kept = newest["GradCache, keep_bytes -1"]
    # There is another row of GradCache, which compares it with another library.
    cached = next(row for row in reversed(rows) if row["what"] == "GradCache" and row["against"] == "FullBatch")
    bars = [("whole batch at once", "FullBatch", float(cached["against_tensor_mb"]), float(cached["against_ms"])),
            (f"chunks of {cached['chunk']}", "GradCache", float(cached["tensor_mb"]), float(cached["ms"])),
            ("chunks, all graphs kept", "GradCache, keep_bytes = -1", float(kept["tensor_mb"]), float(kept["ms"]))]
    picture = Picture(860, 330, "Memory and time of the step strategies")
    picture.text(24, 34, f"A step of {cached['pairs']} pairs: memory of tensors, and time", "head")
    left, wide = 250, 330
    most = max(bar[2] for bar in bars)
    picture.text(left, 62, "peak of tensors, MB", "small")
    picture.text(700, 62, "time, s", "small")
    slowest = max(bar[3] for bar in bars)
    for i, (name, code, memory, ms) in enumerate(bars):
        y = 76 + 66 * i
        picture.text(24, y + 20, name)
        picture.text(24, y + 38, code, "small")
        picture.box(left, y, max(2.0, round(wide * memory / most, 1)), 40, "a")
        picture.text(left + round(wide * memory / most, 1) + 8, y + 25, f"{memory:,.0f}")
        picture.box(700, y, round(90 * ms / slowest, 1), 40, "b")
        picture.text(700 + round(90 * ms / slowest, 1) + 8, y + 25, f"{ms / 1000:.2f}")
    picture.text(24, 296, f"Text transformer of width {cached['width']} with {cached['layers']} layers for both sides, float32, "
                          f"{cached['threads']} threads, {cached['date']}.", "small")
    picture.text(24, 314, f"{cached['hardware']}; benchmarks/results/grad_cache.csv", "small")
    picture.save("strategies.svg")


if __name__ == "__main__":
    layers()
    grad_cache()
    strategies()
