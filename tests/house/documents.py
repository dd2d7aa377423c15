"""The documentation as data: its pages, their links, headings and fenced blocks."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")])

_FENCE = re.compile(r"^```([^\n]*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_LINK = re.compile(r"\[[^\]]+\]\(([^)\s]+)\)")
_HEADING = re.compile(r"^#+ (.+)$", re.MULTILINE)


class Block(NamedTuple):
    """A fenced block: where it is, the words after its fence, its text."""

    place: str
    kind: str
    text: str


def name_of(page: Path) -> str:
    return str(page.relative_to(ROOT))


def blocks(kind: str) -> list[Block]:
    """All fenced blocks of this kind in all pages."""
    found = []
    for page in PAGES:
        text = page.read_text()
        for match in _FENCE.finditer(text):
            line = text.count("\n", 0, match.start()) + 1
            found.append(Block(f"{name_of(page)}:{line}", match[1], match[2]))
    return [block for block in found if block.kind == kind]


def links(page: Path) -> list[str]:
    """The targets of all links of a page, fenced blocks left out."""
    return _LINK.findall(_FENCE.sub("", page.read_text()))


def anchors(page: Path) -> set[str]:
    """The anchors of a page's headings, as forges make them."""
    headings = _HEADING.findall(_FENCE.sub("", page.read_text()))
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def luc_commands() -> dict[str, list[str]]:
    """Every `luc` command line in console blocks: `place: line` -> its words after luc."""
    shown = {}
    for block in blocks("console"):
        for line in block.text.splitlines():
            if line.startswith(("$ luc ", "# luc ")):
                shown[f"{block.place}: {line}"] = shlex.split(line[2:], comments=True)[1:]
    return shown
