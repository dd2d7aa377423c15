"""Runs the benchmarks and prints them: `python -m benchmarks.placement [PART ...]`. Parts: see `PARTS`.

Instances of BtrPlace are read from the folder LUC_DATA names; without it they are left out with a line.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from benchmarks.placement import calls, grow, instances, peer, tables
from benchmarks.placement.measure import measured
from rich.console import Console

PLOTS = Path(__file__).resolve().parents[2] / "docs" / "placement"
# What the plain model may take: (nodes, seconds).
PEER_LIMITS_S = {"100 / 1,000": 60.0, "300 / 3,000": 40.0}


def run_btrplace(console: Console, folder: Path) -> None:
    _run_cases(console, folder, "BtrPlace's instances", instances.btrplace())


def run_generated(console: Console, folder: Path) -> None:
    _run_cases(console, folder, "Generated clusters", instances.generated())


def run_hard(console: Console, folder: Path) -> None:
    _run_cases(console, folder, "Where others fail", instances.hard())


def run_calls(console: Console, _folder: Path) -> None:
    tables.show_calls(console, calls.measured())


def run_peer(console: Console, folder: Path) -> None:
    rows = []
    for case in instances.generated():
        limit_s = PEER_LIMITS_S.get(case.name)
        if limit_s is not None:
            file = instances.file_of(case, None, folder)
            assert file is not None
            rows.append((case.name, measured(file, "migrations"), peer.measured(file, limit_s), limit_s))
    tables.show_peer(console, rows)


def run_grow(console: Console, folder: Path) -> None:
    sizes, shares = grow.by_size(folder), grow.by_share(folder)
    tables.show_growth(console, "Time against size (10 VMs per node, 5 % overloaded)", "nodes", sizes)
    tables.show_growth(console, "Time against rules (1,000 nodes, 10,000 VMs)", "VMs in rules", shares)
    grow.plot(sizes, PLOTS / "time-by-size.svg", "Time against the size of the cluster", "nodes", True)
    percents = [grow.Point(p.at * 100, p.measured) for p in shares]
    title = "Time against the share of VMs in rules (10,000 VMs)"
    grow.plot(percents, PLOTS / "time-by-rules.svg", title, "% of VMs bound by rules", False)
    console.print(f"plots: {PLOTS.relative_to(PLOTS.parents[1])}/time-by-size.svg, time-by-rules.svg")


def _run_cases(console: Console, folder: Path, title: str, cases: list[instances.Case]) -> None:
    data = Path(os.environ["LUC_DATA"]) if os.environ.get("LUC_DATA") else None
    rows = []
    for case in cases:
        file = instances.file_of(case, data, folder)
        if file is None:
            console.print(f"left out: {case.name}: set LUC_DATA to the folder that holds btrplace/")
            continue
        rows.append((case, measured(file, case.objective, case.time_s)))
    if rows:
        tables.show_cases(console, title, rows)


PARTS: dict[str, Callable[[Console, Path], None]] = {
    "btrplace": run_btrplace,
    "generated": run_generated,
    "hard": run_hard,
    "calls": run_calls,
    "peer": run_peer,
    "grow": run_grow,
}
QUICK = ("btrplace", "hard")


def main() -> None:
    parser = argparse.ArgumentParser(description="Benchmarks of the placement engine.")
    choices = [*PARTS, "all", "quick"]
    parser.add_argument("parts", nargs="*", default="all", choices=choices, help="what to run")
    asked = parser.parse_args().parts
    asked = [asked] if isinstance(asked, str) else asked
    wanted = [p for p in PARTS if p in asked or "all" in asked or ("quick" in asked and p in QUICK)]
    console = Console(width=100, highlight=False)
    began_s = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        for part in wanted:
            PARTS[part](console, Path(folder))
    console.print(f"measured in {time.perf_counter() - began_s:.0f} s")


if __name__ == "__main__":
    main()
