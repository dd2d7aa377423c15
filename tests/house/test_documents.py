"""The documentation is true: links lead somewhere, commands exist, files load, generated parts are fresh."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path
from types import ModuleType
from typing import Any

import documents
import pytest
import typer
from typer.main import get_command

from lucos.agent.config import dump_config, load_config
from lucos.cli.main import app
from lucos.environments.vefile import load_ve


@pytest.mark.parametrize("page", documents.PAGES, ids=documents.name_of)
def test_links_resolve(page: Path) -> None:
    for link in documents.links(page):
        if link.startswith("https://"):
            continue
        target, _, anchor = link.partition("#")
        file = (page.parent / target).resolve() if target else page
        assert file.exists(), f"{link} leads nowhere"
        if anchor:
            assert anchor in documents.anchors(file), f"{link}: no such heading"


def test_every_page_is_reached_from_the_readme() -> None:
    seen: set[Path] = set()
    waiting = [documents.ROOT / "README.md"]
    while waiting:
        page = waiting.pop()
        if page in seen or page.suffix != ".md":
            continue
        seen.add(page)
        waiting += [(page.parent / link.partition("#")[0]).resolve() for link in documents.links(page)]
    assert set(documents.PAGES) <= seen


def _resolve(words: list[str]) -> tuple[Any, list[str]]:
    """The command that `luc WORDS` would run, and the words left for it."""
    command: Any = get_command(app)
    while hasattr(command, "list_commands"):
        assert words, "a group of commands, not a command"
        inner = command.get_command(typer.Context(command), words[0])
        assert inner is not None, f"there is no command {words[0]}"
        command, words = inner, words[1:]
    return command, words


COMMANDS = documents.luc_commands()


@pytest.mark.parametrize("shown", COMMANDS)
def test_commands_shown_are_accepted(shown: str) -> None:
    """Parses the line as luc would, options, types and counts of arguments included, without running it."""
    command, words = _resolve(COMMANDS[shown])
    command.make_context("luc", words)


def test_a_command_that_does_not_exist_is_noticed() -> None:
    with pytest.raises(AssertionError, match="no command frobnicate"):
        _resolve(["lab", "frobnicate"])
    command, words = _resolve(["lab", "up", "--frobnicate"])
    with pytest.raises(Exception, match="frobnicate"):
        command.make_context("luc", words)


@pytest.mark.parametrize("block", documents.blocks("toml ve"), ids=lambda block: block.place)
def test_ve_files_shown_load(block: documents.Block, tmp_path: Path) -> None:
    file = tmp_path / "shown.luc"
    file.write_text(block.text)
    assert load_ve(file).vms


@pytest.mark.parametrize("block", documents.blocks("toml agent"), ids=lambda block: block.place)
def test_configurations_shown_load_and_round_trip(block: documents.Block, tmp_path: Path) -> None:
    file = tmp_path / "agent.toml"
    file.write_text(block.text)
    config = load_config(file)
    file.write_text(dump_config(config))
    assert load_config(file) == config


def test_console_blocks_have_known_make_targets() -> None:
    makefile = (documents.ROOT / "Makefile").read_text()
    targets = set(re.findall(r"^([a-z]+):", makefile, re.MULTILINE))
    shown = {
        target
        for block in documents.blocks("console")
        for target in re.findall(r"^[$#] make (\w+)", block.text, re.MULTILINE)
    }
    assert {"demo", "test"} <= shown <= targets


def _generator() -> ModuleType:
    path = documents.ROOT / "scripts" / "generate_docs.py"
    spec = importlib.util.spec_from_file_location("generate_docs", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_generated_parts_are_fresh() -> None:
    generator = _generator()
    assert not generator.stale_pages(), "make docs writes them anew"
    everything = "".join(page.read_text() for page in documents.PAGES)
    for name in generator.blocks():
        assert f"<!-- generated: {name} -->" in everything, f"no page shows {name}"


def test_a_stale_part_is_noticed() -> None:
    page = "before\n<!-- generated: x -->\nold\n<!-- end -->\nafter\n"
    assert _generator().refreshed(page, {"x": "new\n"}) == page.replace("old", "new")
