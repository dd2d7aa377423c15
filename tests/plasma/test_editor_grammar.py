"""The editor's grammar colours every token as the language reads it."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from hypothesis import given, settings
from plasma_scripts import scripts

from house.documents import Block, blocks
from lucos.plasma.formatting import tokens
from lucos.plasma.syntax import comments

EDITORS = Path(__file__).parents[2] / "editors"
GRAMMAR = json.loads((EDITORS / "plasma.tmLanguage.json").read_text())
PATTERNS = [
    (re.compile(p.get("match") or f"{p['begin']}(?s:.*?){p['end']}", re.MULTILINE), p["name"])
    for p in GRAMMAR["patterns"]
]
SAMPLES = [block for kind in ("plasma", "plasma datacenter", "plasma clients.shop") for block in blocks(kind)]

_KINDS = {
    "string.quoted.double": "STRING",
    "variable.other": "VARIABLE",
    "entity.name.type.node": "NODE_MARK",
    "keyword.control": "NAMESPACE IMPORT EXPORT TO FOR IN IF ELSE",
    "storage.modifier": "DISCRETE SOFT RELOCATABLE",
    "constant.numeric": "NUMBER",
    "support.variable": "SUFFIX",
    "keyword.operator": "BELOW MINUS STAR HASH NOT OPERATOR ASSIGN LESSTHAN MORETHAN EQUAL _RANGE",
    "punctuation": "LBRACE RBRACE LPAR RPAR LSQB RSQB COMMA SEMICOLON COLON",
    "comment.line.double-slash": "LINE",
    "comment.block": "BLOCK",
}
SCOPES = {kind: {scope} for scope, kinds in _KINDS.items() for kind in kinds.split()}
# What a word is depends on where it stands: a kind, a name, a template, a number of a range.
WORDS = {
    "entity.name.function",
    "support.variable",
    "entity.name.type.template",
    "entity.name.type.node",
    "constant.numeric",
}


def coloured(text: str) -> dict[int, str]:
    """The scope of each character, as an editor finds them: the first pattern of those that match soonest."""
    scopes: dict[int, str] = {}
    at = 0
    while at < len(text):
        found = [(match, name) for pattern, name in PATTERNS if (match := pattern.search(text, at))]
        if not found:
            break
        match, name = min(found, key=lambda one: one[0].start())
        assert match.end() > at, f"{name} matches nothing"
        scopes |= dict.fromkeys(range(match.start(), match.end()), name.removesuffix(".plasma"))
        at = match.end()
    return scopes


def check(text: str) -> None:
    scopes = coloured(text)
    read = [(start, "_RANGE" if word == ".." else kind, word) for start, kind, word in tokens(text)]
    read += [(start, "LINE" if c.startswith("//") else "BLOCK", c.rstrip()) for start, c in comments(text)]
    after_kind = {start: kind for start, kind, _ in read}
    for start, kind, word in read:
        seen = {scopes.get(n) for n in range(start, start + len(word))}
        assert len(seen) == 1, f"{word!r} at {start} has several colours: {seen}"
        assert seen <= SCOPES.get(kind, WORDS), f"{word!r} ({kind}) at {start} is {seen}"
        if kind == "WORD" and after_kind.get(start + len(word)) == "LPAR":
            assert seen == {"entity.name.function"}, f"{word!r} at {start} is {seen}"


@pytest.mark.parametrize("block", SAMPLES, ids=lambda block: block.place)
def test_samples(block: Block) -> None:
    check(block.text)


@settings(max_examples=100, deadline=None)
@given(scripts())
def test_any_script(text: str) -> None:
    check(text)


def test_the_extension_is_whole() -> None:
    package = json.loads((EDITORS / "package.json").read_text())
    language, grammar = package["contributes"]["languages"][0], package["contributes"]["grammars"][0]
    assert (EDITORS / language["configuration"]).is_file()
    assert json.loads((EDITORS / grammar["path"]).read_text())["scopeName"] == grammar["scopeName"]
    assert {f".{kind}" for kind in GRAMMAR["fileTypes"]} == set(language["extensions"])
