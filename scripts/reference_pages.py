#!/usr/bin/env python3
# SPDX-FileCopyrightText: 2026 The Contrapunto Authors
# SPDX-License-Identifier: Apache-2.0
"""Writes the pages of docs/ in the form that Doxygen reads, and checks the links of the HTML that it makes.

  scripts/reference_pages.py write FOLDER [TAGS]   pages, their order and the descriptions of the folders into FOLDER
  scripts/reference_pages.py check HTML            every link within the HTML must name a file and an anchor of it

Links between pages become references. Links to other files of the repository name copies of them. With a tag file of
Doxygen, code such as `GradCache` becomes a link to what it names."""
import html
import html.parser
import pathlib
import re
import shutil
import sys
import urllib.parse
import xml.etree.ElementTree

ROOT = pathlib.Path(__file__).resolve().parent.parent
# The tree of the pages: a title and its pages, in the order in which a reader needs them; the rest follows by name.
TREE = {
    "Guides": ["guides/paths.md", "guides/large_batches.md", "guides/data.md", "guides/phases.md", "guides/optimizers.md",
               "guides/models.md", "guides/vit.md", "guides/distillation.md", "guides/export.md", "guides/search.md",
               "guides/cluster.md", "guides/cifar10.md", "guides/extending.md", "guides/troubleshooting.md", "guides/*.md"],
    "Reference": ["reference/architecture.md", "reference/settings.md", "reference/*.md"],
    "Comparison and measurements": ["comparison.md", "benchmarks.md", "measurements/*.md", "findings/*.md"],
    "Decisions": ["decisions/*.md"],
    "Project": ["../CHANGELOG.md", "../CONTRIBUTING.md", "../SECURITY.md", "*.md"],
}
PICTURES = {".png", ".svg"}


def label(path, anchor=""):
    """The name of a page, or of a heading of it, in Doxygen's references."""
    name = "page_" + re.sub(r"\W", "_", path.relative_to(ROOT).with_suffix("").as_posix())
    return f"{name}_{re.sub(r'[^0-9A-Za-z]', '_', anchor)}" if anchor else name


def anchor_of(heading):
    """The anchor of a heading, as GitHub makes it."""
    text = re.sub(r"\[([^]]*)\]\([^)]*\)", r"\1", heading).lower()
    return re.sub(r"[^\w\- ]", "", text).replace(" ", "-")


def plain_code(text):
    """A span of code in which Doxygen finds neither a quotation nor a command nor a link."""
    if not re.search(r"['#@\\<>&\"%]", text):
        return f"`{text}`"
    return f"<code>{re.sub(r'[#@%' + chr(92) * 2 + r']', lambda m: chr(92) + m.group(0), html.escape(text, quote=False))}</code>"


def tree():
    """The pages of each part of TREE, each page once."""
    seen, parts = set(), {}
    for title, patterns in TREE.items():
        parts[title] = []
        for pattern in patterns:
            for path in sorted((ROOT / "docs").glob(pattern)) if "*" in pattern else [(ROOT / "docs" / pattern).resolve()]:
                if path.exists() and path not in seen:
                    seen.add(path)
                    parts[title].append(path)
    return parts


def symbols(tags):
    """The documented classes, concepts and functions whose name is the name of one thing only, and the kinds of the classes."""
    found, kinds = {}, {}
    for compound in xml.etree.ElementTree.parse(tags).getroot().iter("compound"):
        name = compound.findtext("name")
        if compound.get("kind") in ("class", "struct", "concept") and name.startswith("contrapunto::"):
            found.setdefault(name.split("::", 1)[1], set()).add(name)
            kinds[name] = compound.get("kind")
        if compound.get("kind") == "namespace" and name == "contrapunto":
            for member in compound.iter("member"):
                if member.get("kind") in ("function", "enumeration", "typedef", "variable"):
                    found.setdefault(member.findtext("name"), set()).add(f"contrapunto::{member.findtext('name')}")
    unique = {short: names.pop() for short, names in found.items() if len(names) == 1 and "::" not in short and "<" not in short}
    return unique, kinds


class Pages:
    def __init__(self, folder, known):
        self.folder, self.known, self.pages = folder, known, {p for part in tree().values() for p in part} | {ROOT / "README.md"}
        self.mentions = {}  # the pages of each name

    def link(self, page, text, target):
        if re.match(r"[a-z]+:", target):
            return f"[{text}]({target})"
        name, _, anchor = target.partition("#")
        path = (page.parent / name).resolve() if name else page
        bare = text.replace("`", "")
        if path == ROOT / "README.md" and not anchor:
            return f"[{bare}](@ref index)"
        if path in self.pages:
            return f"[{bare}](@ref {label(path, anchor)})"
        shown = path.relative_to(ROOT).as_posix()
        copy = self.folder / "files" / (shown + (".txt" if path.is_file() else "/index.html"))
        copy.parent.mkdir(parents=True, exist_ok=True)
        if path.is_file():
            shutil.copy(path, copy)
        else:
            entries = sorted(entry for entry in path.iterdir() if entry.is_file())
            for entry in entries:
                shutil.copy(entry, copy.parent / f"{entry.name}.txt")
            items = "".join(f'<li><a href="{e.name}.txt">{e.name}</a></li>' for e in entries)
            copy.write_text(f'<!DOCTYPE html><meta charset="utf-8"><title>{shown}</title><h1>{shown}</h1><ul>{items}</ul>\n')
        return f"[{text}](files/{copy.relative_to(self.folder / 'files').as_posix()})"

    def picture(self, page, text, target):
        path = (page.parent / target).resolve()
        name = label(path) + path.suffix
        shutil.copy(path, self.folder / "pictures" / name)
        return f'<img src="{name}" alt="{text}" style="max-width: 100%"/>'

    def prose(self, page, text):
        """Text without blocks of code."""
        spans = []  # each as it is written, and as it is linked

        def keep(match):
            name = match.group(1).removeprefix("cp::").removesuffix("()")
            linked = f'@ref {self.known[name]} "{match.group(1)}"' if name in self.known else plain_code(match.group(1))
            if name in self.known:
                self.mentions.setdefault(self.known[name], {})[page] = True
            spans.append((match.group(0), linked))
            return f"\0{len(spans) - 1}\0"

        def written(text):
            return re.sub(r"\0(\d+)\0", lambda m: spans[int(m.group(1))][0], text)

        def heading(match):
            title = written(match.group(2))
            return f"{match.group(1)} {title.replace('`', '')} {{#{label(page, anchor_of(title))}}}"

        text = re.sub(r"`([^`\n]+)`", keep, text)
        text = re.sub(r"!\[([^]]*)\]\(([^)\s]+)\)", lambda m: self.picture(page, m.group(1), m.group(2)), text)
        text = re.sub(r"(?<!!)\[([^][]*)\]\(<?([^)>\s]+)>?\)", lambda m: self.link(page, written(m.group(1)), m.group(2)), text)
        # Outside of code, Doxygen would read @ and \\ as commands and # as a link.
        text = re.sub(r"(?<![\w#])#(?=[^# \n{])|@(?!ref )|\\(?=\w)", r"\\\g<0>", text)
        text = re.sub(r"^(#+) +(.+?) *$", heading, text, flags=re.M)
        return re.sub(r"\0(\d+)\0", lambda m: spans[int(m.group(1))][1], text)

    def write(self, page, title=None):
        parts = re.split(r"^( *```.*?^ *```$)", page.read_text(), flags=re.S | re.M)
        text = "".join(part if i % 2 else self.prose(page, re.sub(r"<!--.*?-->\n?", "", part)) for i, part in enumerate(parts))
        name = "index" if page == ROOT / "README.md" else label(page)
        text = re.sub(r"\A# (.+?) \{#\w+\}", lambda m: f"# {title}" if title else f"# {m.group(1)} {{#{name}}}", text)
        (self.folder / f"{name}.md").write_text(text)


def mentioned(pages, kinds):
    """For each class, the guides and reference pages that mention it."""
    for name, found in sorted(pages.mentions.items()):
        guides = [page for page in found if page.parent.name in ("guides", "reference")]
        if guides and name in kinds:
            links = ", ".join(f"@ref {label(page)}" for page in guides)
            yield f"/** @{kinds[name]} {name}\n *\n * @par Guides\n * {links} */\n"


def folders():
    """The content of each folder of headers, from the table in the page on the architecture."""
    text = (ROOT / "docs/reference/architecture.md").read_text()
    for layer, folder, content in re.findall(r"^\| (\d) \| `(\w+)` \| (.+?) \|$", text, re.M):
        content = re.sub(r"`([^`]+)`", r"<code>\1</code>", content)
        yield (f"/** @dir include/contrapunto/{folder}\n * @brief Layer {layer}: {content}\n *\n"
               f" * See @ref {label(ROOT / 'docs/reference/architecture.md')}. */\n")


def write(folder, tags=None):
    shutil.rmtree(folder, ignore_errors=True)
    (folder / "pictures").mkdir(parents=True)
    (folder / "files").mkdir()
    known, kinds = symbols(tags) if tags else ({}, {})
    pages = Pages(folder, known)
    pages.write(ROOT / "README.md", "Contrapunto")
    for number, (title, paths) in enumerate(tree().items()):
        part = f"part_{number}"
        lines = [f"/** @page {part} {title}"] + [f" * - @subpage {label(path)}" for path in paths]
        (folder / f"{part}.dox").write_text("\n".join(lines) + "\n */\n")
        for path in paths:
            pages.write(path)
    (folder / "folders.dox").write_text("\n".join([*folders(), *mentioned(pages, kinds)]))


class Links(html.parser.HTMLParser):
    def __init__(self):
        super().__init__()
        self.targets, self.anchors = [], set()

    def handle_starttag(self, tag, attributes):
        values = dict(attributes)
        self.anchors |= {values[name] for name in ("id", "name") if values.get(name)}
        self.targets += [values[name] for name in ("href", "src") if values.get(name)]


def check(folder):
    read = {}
    for path in sorted(folder.rglob("*.html")):
        read[path.resolve()] = links = Links()
        links.feed(path.read_text(errors="replace"))
    dead, count = [], 0
    for path, links in read.items():
        for target in links.targets:
            if re.match(r"[a-z]+:|//", target):
                continue
            count += 1
            name, _, anchor = target.partition("#")
            other = (path.parent / urllib.parse.unquote(name)).resolve() if name else path
            if not other.exists():
                dead.append(f"{path.name}: '{target}' names no file")
            elif anchor and other in read and urllib.parse.unquote(anchor) not in read[other].anchors:
                dead.append(f"{path.name}: '{target}' names no anchor")
    if dead:
        sys.exit("\n".join(dead[:50]) + f"\nreference: {len(dead)} dead links")
    print(f"reference: {count:,} links in {len(read):,} pages lead somewhere")


if __name__ == "__main__":
    {"write": lambda: write(pathlib.Path(sys.argv[2]), *sys.argv[3:]), "check": lambda: check(pathlib.Path(sys.argv[2]))}[sys.argv[1]]()
