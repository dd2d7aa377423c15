"""A small scenario as text, and its runs."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from lucos.simulator.experiment import load_scenario
from lucos.simulator.scenario import Scenario

SMALL = """\
name = "small"
duration_s = 120

[platform]
hosts = 6
sites = 2
cores = 8
memory_mib = 8192
watts = [90, 130]

[vms]
per_host = 10
memory_mib = 512
cpu_pct = 60

[load]
kind = "gaussian"
mean_pct = 65
sigma_pct = 30
interval_s = 40
"""

Write = Callable[..., Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Write the small scenario, with some lines replaced by others and more at its end."""

    def written(*changes: tuple[str, str], more: str = "", name: str = "small.toml") -> Path:
        text = SMALL + more
        for old, new in changes:
            assert old in text
            text = text.replace(old, new)
        path = tmp_path / name
        path.write_text(text)
        return path

    return written


@pytest.fixture
def small(write: Write) -> Callable[..., Scenario]:
    """The small scenario, changed as `--set` would."""

    def scenario(*sets: str, more: str = "") -> Scenario:
        return load_scenario(write(more=more), sets)

    return scenario
