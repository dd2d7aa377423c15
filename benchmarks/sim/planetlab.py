"""CloudSim's PlanetLab day under its policies and ours: `python -m benchmarks.sim.planetlab [SEED ...]`.

The trace is read from the folder that LUC_DATA names; without it that day is left out, with a line. Each seed
draws one more day with the trace's statistics. Of the first seed there are two harder ones: loads that drift
far more than PlanetLab's do, and loads that rise and fall together.
"""

from __future__ import annotations

import argparse
import os
import time
from pathlib import Path
from typing import NamedTuple

import numpy as np
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from lucos.simulator.cloudsim.datacenter import Floats
from lucos.simulator.cloudsim.experiment import CloudSimResult, run_day
from lucos.simulator.cloudsim.settings import CloudSimSettings, Strategy
from lucos.simulator.cloudsim.traces import SAMPLES, read_day, synthetic_day

STRATEGIES: tuple[Strategy, ...] = ("dvfs", "thr-mmt", "lr-mmt", "consolidate")
TRACE = "planetlab/20110303.tar.gz"
VMS = 1052
DRIFTING_SHARE = 0.6
TIDE = 0.5


class Published(NamedTuple):
    """What CloudSim 3.0.3 printed for the day of the trace, file names sorted."""

    kwh: float
    migrations: int
    slav_percent: float
    otf_percent: float


CLOUDSIM: dict[Strategy, Published] = {
    "dvfs": Published(802.75, 0, 0.0, 0.0),
    "thr-mmt": Published(192.62, 26_711, 0.00318, 4.91),
    "lr-mmt": Published(163.48, 27_859, 0.00464, 5.86),
}
MIGRATIONS_MAX = 2_800
TOLERANCE = 0.03


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("seeds", nargs="*", type=int, default=[1, 2, 3], help="days to draw")
    seeds = parser.parse_args().seeds
    console = Console(width=100 if not os.isatty(1) else None)
    trace = Path(os.environ.get("LUC_DATA", "")) / TRACE
    if trace.is_file():
        results = show(console, "PlanetLab, 2011-03-03", read_day(trace), CLOUDSIM)
        show_bars(console, results)
    else:
        console.print(f"left out: PlanetLab's day, for LUC_DATA names no folder with {TRACE}")
    for seed in seeds:
        show(console, f"Drawn day, seed {seed}", synthetic_day(VMS, seed))
    drifting = synthetic_day(VMS, seeds[0], DRIFTING_SHARE)
    show(console, f"Drawn day with drifting loads, seed {seeds[0]}", drifting)
    tide = 1 + TIDE * np.sin(np.linspace(0, 2 * np.pi, SAMPLES))
    together = np.round(synthetic_day(VMS, seeds[0]) * tide, 2).clip(0, 1)
    show(console, f"Drawn day with a common tide of {TIDE:.0%}, seed {seeds[0]}", together)


def show(
    console: Console, title: str, load: Floats, beside: dict[Strategy, Published] | None = None
) -> dict[Strategy, CloudSimResult]:
    """Run one day under all strategies, and print it."""
    table = Table(title=title, title_justify="left", box=SIMPLE_HEAD, pad_edge=False)
    table.add_column("strategy")
    for name in ("kWh", "migrations", "SLAV %", "OTF %", "PDM %", "unserved %", "hosts", "CPU s"):
        table.add_column(name, justify="right")
    results = {}
    for strategy in STRATEGIES:
        begun_s = time.process_time()
        result = results[strategy] = run_day(CloudSimSettings(strategy=strategy), load)
        cpu_s = time.process_time() - begun_s
        known = (beside or {}).get(strategy)
        table.add_row(
            strategy,
            f"{result.energy_kwh:.2f}",
            f"{result.migrations:,}",
            f"{result.slav_percent:.5f}",
            f"{result.otf_percent:.2f}",
            f"{result.pdm_percent:.4f}",
            f"{result.unserved_percent:.3f}",
            f"{sum(result.step_hosts) / len(result.step_hosts):.1f}",
            f"{cpu_s:.1f}",
        )
        if known:
            table.add_row(
                "  in CloudSim",
                f"{known.kwh:.2f}",
                f"{known.migrations:,}",
                f"{known.slav_percent:.5f}",
                f"{known.otf_percent:.2f}",
            )
    console.print(table)
    return results


def show_bars(console: Console, results: dict[Strategy, CloudSimResult]) -> None:
    """A line per bar: met or not."""
    ours, lr = results["consolidate"], CLOUDSIM["lr-mmt"]
    bars = {f"{name} within 3 % of CloudSim": _near(results[name], known) for name, known in CLOUDSIM.items()}
    bars[f"less energy than LR-MMT-1.2 ({lr.kwh} kWh)"] = ours.energy_kwh < lr.kwh
    bars[f"less SLAV than LR-MMT-1.2 ({lr.slav_percent} %)"] = ours.slav_percent < lr.slav_percent
    bars[f"at most {MIGRATIONS_MAX:,} migrations"] = ours.migrations <= MIGRATIONS_MAX
    for bar, met in bars.items():
        console.print(f"{'met    ' if met else 'NOT MET'} {bar}", highlight=False)


def _near(result: CloudSimResult, known: Published) -> bool:
    got = (result.energy_kwh, result.migrations, result.slav_percent, result.otf_percent)
    return all(abs(ours - theirs) <= TOLERANCE * theirs for ours, theirs in zip(got, known, strict=True))


if __name__ == "__main__":
    main()
