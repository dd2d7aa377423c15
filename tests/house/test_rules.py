"""The house rules, as facts about the tree."""

from __future__ import annotations

import ast
import configparser
import os
import re
import subprocess
import sys
import tomllib
from fnmatch import fnmatch
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from documents import ROOT

SOURCES = sorted((ROOT / "src").rglob("*.py"))
PYTHON = [*SOURCES, *sorted((ROOT / "tests").rglob("*.py")), *sorted((ROOT / "scripts").glob("*.py"))]

SANS_IO = ("model", "plasma", "placement", "overlay", "resources", "environments")
FORBIDDEN = {"time", "random", "socket", "asyncio", "threading", "subprocess"}
# Time budgets and statistics of the solver; what is decided under a work budget never asks for the time.
CLOCK = "src/lucos/placement/clock.py"
FILE_LINES_MAX = 450

# Written in pieces, so that this file does not find itself.
REGISTRIES = tuple(
    ".".join(parts)
    for parts in (
        ("pypi", "org"),
        ("pythonhosted", "org"),
        ("deb", "debian", "org"),
        ("security", "debian", "org"),
        ("snapshot", "debian", "org"),
        ("docker", "io"),
        ("ghcr", "io"),
        ("quay", "io"),
        ("pkg", "dev"),
    )
)


def _name(path: Path) -> str:
    return str(path.relative_to(ROOT))


def _project_files() -> list[Path]:
    """The files of the tree that git does not ignore, found without git."""
    ignored = [".git", *((ROOT / ".gitignore").read_text().replace("/\n", "\n").split())]

    def kept(names: list[str]) -> list[str]:
        return [name for name in names if not any(fnmatch(name, pattern) for pattern in ignored)]

    files = []
    for folder, folders, names in os.walk(ROOT):
        folders[:] = kept(folders)
        files += [Path(folder) / name for name in kept(names)]
    return files


def _hosts_configured_here() -> set[str]:
    """The package hosts that this machine uses, whatever they are called."""
    texts = [value for name, value in os.environ.items() if name.startswith(("PIP_", "UV_"))]
    files = [Path("/etc/pip.conf"), *Path("/etc/apt").glob("sources.list*"), *Path("/etc/apt").glob("*/*")]
    texts += [
        file.read_text(errors="replace") for file in files if file.is_file() and os.access(file, os.R_OK)
    ]
    hosts = (urlsplit(url).hostname for text in texts for url in re.findall(r"https?://[^\s\"']+", text))
    return {host for host in hosts if host and re.search(r"[a-z].*\.", host)}


def test_no_package_host_is_named() -> None:
    hosts = {*REGISTRIES, *_hosts_configured_here()}
    for path in _project_files():
        text = path.read_bytes().decode(errors="replace")
        named = [host for host in hosts if re.search(rf"(?<![\w-]){re.escape(host)}(?![\w-])", text)]
        assert not named, f"{_name(path)} names {named}"


def test_no_path_of_a_machine_is_named() -> None:
    foreign = re.compile(r"(?<![\w.])/(home|Users|root|work)/\w|/tmp/setup")
    for path in _project_files():
        if path == Path(__file__):
            continue
        text = path.read_bytes().decode(errors="replace")
        found = foreign.search(text)
        assert found is None, f"{_name(path)} names {found and found[0]}"


@pytest.mark.parametrize("path", PYTHON, ids=_name)
def test_python_files_say_what_they_are_and_stay_small(path: Path) -> None:
    text = path.read_text()
    assert text.count("\n") <= FILE_LINES_MAX
    assert ast.get_docstring(ast.parse(text)), "no module docstring"


def _imported(path: Path) -> set[str]:
    """The top-level modules a file imports anywhere in it."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names.add(node.module)
    return {name.partition(".")[0] for name in names}


@pytest.mark.parametrize("folder", SANS_IO)
def test_what_decides_does_no_io(folder: str) -> None:
    files = [path for path in SOURCES if path.is_relative_to(ROOT / "src" / "lucos" / folder)]
    assert files
    for path in files:
        allowed = {"time"} if _name(path) == CLOCK else set()
        assert not (_imported(path) & FORBIDDEN) - allowed, _name(path)


def test_imports_go_one_way() -> None:
    program = Path(sys.executable).with_name("lint-imports")
    run = subprocess.run(
        [program, "--no-cache"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT / "src")},
    )
    assert run.returncode == 0, run.stdout


def test_every_requirement_is_pinned() -> None:
    pins = (ROOT / "constraints.txt").read_text().splitlines()
    assert all(re.fullmatch(r"[\w.-]+==[\w.]+", pin) for pin in pins)
    pinned = {pin.partition("==")[0].lower().replace("_", "-") for pin in pins}
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    wanted = [*project["dependencies"], *(w for ws in project["optional-dependencies"].values() for w in ws)]
    names = {re.split(r"[<>=\[]", want)[0].lower() for want in wanted}
    assert names <= pinned


def test_systemd_unit_starts_the_agent() -> None:
    unit = configparser.ConfigParser(strict=False, interpolation=None)
    unit.optionxform = str
    unit.read(ROOT / "packaging" / "luc-agent.service")
    start = unit["Service"]["ExecStart"].split()
    assert start[1:] == ["agent", "--config", "/etc/luc/agent.toml"]
    assert unit["Service"]["KillMode"] == "process", "stopping the agent must not stop guests"
