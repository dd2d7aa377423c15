"""Runs the simulator's benchmarks: `python -m benchmarks.sim [PART ...]`. Parts: see `PARTS`.

Traces are read from the folder LUC_DATA names; without it synthetic ones are used, and said so.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
from collections.abc import Callable

from benchmarks.sim import overlay, runs
from rich.console import Console

Part = Callable[[Console], object]


def module(name: str) -> Part:
    """A part with a command of its own."""

    def part(_console: Console) -> None:
        subprocess.run([sys.executable, "-m", f"benchmarks.sim.{name}"], check=True)

    return part


PARTS: dict[str, Part] = {
    "seed-10k": runs.show_seed_10k,
    "fidelity": runs.show_fidelity,
    "vmplaces": runs.show_vmplaces,
    "locality": runs.show_locality,
    "planetlab": module("planetlab"),
    "vjobs": module("vjobs"),
    "detection": overlay.show_detection,
    "false-positives": overlay.show_quiet,
    "vivaldi": overlay.show_vivaldi,
    "migrations": module("migrations"),
}


def main() -> None:
    parser = argparse.ArgumentParser(
        description="Benchmarks of the simulator, its schedulers and the overlay."
    )
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"all, or some of: {', '.join(PARTS)}")
    asked = parser.parse_args().parts or ["all"]
    unknown = [part for part in asked if part not in PARTS and part != "all"]
    if unknown:
        parser.error(f"unknown part {unknown[0]}: parts are {', '.join(PARTS)}")
    console = Console(width=110, highlight=False)
    for name, part in PARTS.items():
        if name in asked or "all" in asked:
            began_s = time.perf_counter()
            part(console)
            console.print(f"{name}: {time.perf_counter() - began_s:.0f} s\n")


if __name__ == "__main__":
    main()
