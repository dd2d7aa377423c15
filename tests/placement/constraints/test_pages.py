"""The pages of docs/constraints are what the modules say, and what they show can be written."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType
from xml.etree import ElementTree

import msgspec
import pytest

from lucos.model import Constraint
from lucos.placement.constraints import KINDS, SIGNATURES
from lucos.plasma import compile_module

SCRIPTS = Path(__file__).resolve().parents[3] / "scripts"


def _generator() -> ModuleType:
    spec = importlib.util.spec_from_file_location(
        "constraint_pages", SCRIPTS / "generate_constraint_pages.py"
    )
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


GENERATOR = _generator()


def test_pages_are_fresh_and_nothing_else_is_there() -> None:
    stale = [path.name for path in GENERATOR.stale_files()]
    assert not stale, "scripts/generate_constraint_pages.py writes them anew"
    assert {path.name for path in GENERATOR.PAGES.iterdir()} == set(GENERATOR.files())


def test_a_page_that_differs_is_noticed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(GENERATOR, "PAGES", tmp_path)
    (tmp_path / "ban.md").write_text(GENERATOR.files()["ban.md"])
    (tmp_path / "fence.md").write_text("old")
    stale = {path.name for path in GENERATOR.stale_files()}
    assert "fence.md" in stale
    assert "spread.svg" in stale
    assert "ban.md" not in stale


@pytest.mark.parametrize("name", KINDS)
def test_pictures_are_images(name: str) -> None:
    root = ElementTree.fromstring(GENERATOR.files()[f"{name}.svg"])
    assert root.tag.endswith("svg")
    words = [element.text for element in root.iter() if element.tag.endswith("text")]
    assert {example.caption for example in KINDS[name].examples} <= set(words)


@pytest.mark.parametrize("name", KINDS)
def test_what_a_page_writes_in_plasma_means_the_rule(name: str) -> None:
    for example in KINDS[name].examples:
        wanted = example.rule
        (made,) = _compiled(f"{GENERATOR.plasma(wanted)};", example.cluster.vms, example.cluster.nodes)
        assert msgspec.structs.replace(made, label="") == wanted


def _compiled(text: str, vms: dict[str, object], nodes: dict[str, object]) -> list[Constraint]:
    return list(compile_module(text, signatures=SIGNATURES, vms=list(vms), nodes=list(nodes)).constraints)
