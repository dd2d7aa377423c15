"""`luc sim run`: what it prints, what it writes, how it ends."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from lucos.simulator.laws import Laws

Luc = Callable[..., Any]
QUICK = ("--set", "hosts=4", "--set", "duration_s=60")


def test_a_run_ends_with_its_figures_and_its_summary(luc: Luc, tmp_path: Path) -> None:
    ran = luc("sim", "run", "demo", *QUICK, "--seed", 3, "-o", tmp_path / "out")
    assert ran.code == 0
    assert ran.err == ""
    first, *lines = ran.out.splitlines()
    assert first == "demo: dvms, 4 hosts, 40 VMs, seed 3"
    assert max(len(line) for line in lines[:-1]) <= 100
    assert {"WHAT", "time", "violations", "migrations", "messages", "energy"} <= {
        line.split()[0] for line in lines if line
    }
    assert lines[-1] == f"results are in {tmp_path / 'out'}"
    summary = json.loads((tmp_path / "out" / "summary.json").read_bytes())
    assert (summary["hosts"], summary["seed"], summary["simulated_s"]) == (4, 3, 60.0)


@pytest.mark.parametrize("form", ["json", "yaml"])
def test_for_programs(luc: Luc, form: str) -> None:
    import yaml

    ran = luc("sim", "run", "demo", *QUICK, "--format", form)
    assert ran.code == 0
    assert yaml.safe_load(ran.out)["scenario"] == "demo"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["dmo"], "there is no scenario dmo; did you mean demo?"),
        (["demo", "--set", "host=3"], "did you mean hosts?"),
        (["demo", "--set", "duration_s=1h"], "write duration_s = 3600"),
        (["vmplaces"], "add -o results"),
        (["demo", "--seed", "-1"], "luc sim run --help"),
        (["demo", "--format", "xml"], "luc sim run --help"),
    ],
)
def test_what_is_typed_wrong_exits_2(luc: Luc, arguments: list[str], said: str) -> None:
    ran = luc("sim", "run", *arguments)
    assert ran.code == 2
    assert said in ran.err
    assert ran.out == ""


def test_a_broken_law_exits_6_after_the_figures(luc: Luc, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(self: Laws) -> None:
        self.broken.append("law 4 broken at 60.000 s: sim.vm1 is lost")

    monkeypatch.setattr(Laws, "check_vms", broken)
    ran = luc("sim", "run", "demo", *QUICK)
    assert ran.code == 6
    assert "sim.vm1 is lost" in ran.out
    assert "error: laws were broken: demo seed 1: law 4" in ran.err


def test_a_sweep_prints_a_row_for_each_configuration(luc: Luc, tmp_path: Path) -> None:
    scenario = tmp_path / "mine.toml"
    scenario.write_text(
        'name = "mine"\nduration_s = 20\n[platform]\n[sweep]\nhosts = [2, 3]\n"load.mean_pct" = [50]\n'
    )
    ran = luc("sim", "run", scenario, "-o", tmp_path / "out", "--jobs", 2)
    assert ran.code == 0
    assert "2 done" in ran.err.splitlines()[-1]
    title, *rows = ran.out.splitlines()[:3]
    assert title.split()[:2] == ["STRATEGY", "HOSTS"]
    assert [row.split()[:2] for row in rows] == [["dvms", "2"], ["dvms", "3"]]
    assert (tmp_path / "out" / "hosts=2,load.mean_pct=50" / "seed-1" / "summary.json").exists()


def test_ctrl_c_exits_130_without_a_summary(tmp_path: Path) -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "lucos.cli", "sim", "run", "demo", "--set", "duration_s=1e6", "-o", tmp_path],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )
    try:
        deadline_s = time.monotonic() + 90.0
        while not (tmp_path / "scenario.toml").exists() and time.monotonic() < deadline_s:
            time.sleep(0.05)
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=90)
    finally:
        process.kill()
        process.wait()
    assert process.returncode == 130
    assert said == ""
    assert [path.name for path in tmp_path.iterdir()] == ["scenario.toml"]
