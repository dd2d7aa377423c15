"""One lab of three hosts with one VE for all tests here: it takes longer to start than most tests do."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator

import pytest
from live_luc import LiveLuc, figure, figures

from lucos.environments.vefile import parse_ve
from lucos.images.mini import build_mini
from lucos.lab import lab_down, lab_heal, lab_revive, lab_together, lab_up
from lucos.lab.demo import MINI

VE = """
[ve]
name = "live"
image = "mini"

[[vm]]
name = "a"
count = 2
workload = "tick"

[[vm]]
name = "b"
count = 2
workload = "tick"

[[vm]]
name = "c"
workload = "tick"

[constraints]
plasma = "spread(a[1..2]); spread(b[1..2]);"
"""


@pytest.fixture(scope="session")
def luc_of_three(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveLuc]:
    """h1 and h2 on site s1, h3 on s2, 20 ms away; five guests that count aloud."""
    name = f"t{os.getpid()}"
    if not (MINI / "image.toml").exists():
        build_mini(MINI, progress=print)
    began_s = time.monotonic()
    luc = None
    try:
        lab_together(lab_up(name, nodes=3, sites=2, rtt_ms=20.0, cpus=0.6))
        lab_s = time.monotonic() - began_s
        luc = LiveLuc(name, parse_ve(VE))
        file = tmp_path_factory.mktemp("ve") / "live.luc"
        file.write_text(VE)
        ran = luc.luc("run", str(file))
        assert ran.returncode == 0, ran.stderr
        luc.wait_ticks(timeout_s=120.0)
        for vm in luc.vms:  # their boot is over when they answer
            luc.load(vm, "tick")
        figure(
            f"lab up in {lab_s:.1f} s, {len(luc.vms)} guests {time.monotonic() - began_s - lab_s:.1f} s later"
        )
        yield luc
    finally:
        lab_down(name)
        if luc is not None:
            luc.news.close()


@pytest.fixture
def luc(luc_of_three: LiveLuc) -> Iterator[LiveLuc]:
    """The LUC at rest, which the test leaves with all hosts up."""
    luc_of_three.wait_calm()
    yield luc_of_three
    lab_heal(luc_of_three.name)
    for host in luc_of_three.hosts:
        lab_revive(luc_of_three.name, host)
    for vm, row in luc_of_three.ps().items():
        if row.state == "running" and row.workload != "tick":
            luc_of_three.load(vm, "tick")


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if figures:
        terminalreporter.section("measured in the lab")
        for line in figures:
            terminalreporter.line(line)
