"""Reservations against consolidation: `python -m benchmarks.sim.vjobs [--seeds N] [--plots DIR]`.

In simulated time: the same vjobs, hosts and placement engine under each policy, one line for each seed and
policy. Nothing is asserted.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from statistics import fmean
from typing import Any

import msgspec
from rich.console import Console
from rich.table import Table

from lucos.resources.queue import PolicySettings, QueueSettings
from lucos.simulator.vjobs import VjobsResult, VjobsSettings, run_vjobs

POLICIES = ("fcfs", "easy", "consolidation")
SOONER_MIN = 0.40
COLOURS = {"waiting": "#bbbbbb", "running": "#4c8dd6", "sleeping": "#e0872e"}


def settings_of(policy: str, memory_mib: tuple[int, ...]) -> VjobsSettings:
    """The experiment under a policy whose other settings are the defaults."""
    plain = VjobsSettings(memory_mib=memory_mib)
    queue = msgspec.structs.replace(plain.queue, policy=PolicySettings(policy))
    assert isinstance(queue, QueueSettings)
    return msgspec.structs.replace(plain, queue=queue)


def table_of(title: str, results: list[tuple[VjobsResult, float]]) -> Table:
    table = Table(title=title, title_justify="left")
    for name in ("seed", "policy", "minutes", "cores used", "suspends", "resumes", "migrations", "failed"):
        table.add_column(name, justify="right")
    for name in ("late", "spread broken", "waited min", "wall s"):
        table.add_column(name, justify="right")
    for result, wall_s in results:
        waited_s = fmean(job.spent_s("waiting") + job.spent_s("sleeping") for job in result.jobs)
        table.add_row(
            str(result.seed),
            result.policy,
            f"{result.makespan_s / 60:.1f}",
            f"{100 * result.used_share:.0f} %",
            str(result.suspends),
            str(result.resumes),
            str(result.migrations),
            str(result.failed),
            str(result.late),
            str(len(result.spread_broken)),
            f"{waited_s / 60:.0f}",
            f"{wall_s:.1f}",
        )
    return table


def draw(result: VjobsResult, until_s: float, path: Path) -> None:
    """Who runs when, and how many cores are in use; SVG, or what the name of the file says."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib.figure import Figure

    with matplotlib.rc_context({"svg.hashsalt": path.stem, "svg.fonttype": "none", "font.size": 9.0}):
        figure = Figure(figsize=(8.0, 4.4), layout="constrained")
        jobs, cores = figure.subplots(2, 1, sharex=True, height_ratios=(3, 1))
        for row, job in enumerate(result.jobs):
            for state, begin_s, end_s in job.spans:
                width = (end_s - begin_s) / 60
                jobs.barh(row, width, left=begin_s / 60, color=COLOURS[state], height=0.7)
        jobs.set_yticks(range(len(result.jobs)), [f"{job.name} {job.profile}" for job in result.jobs])
        jobs.invert_yaxis()
        jobs.set_title(f"{result.policy}: the last vjob ends after {result.makespan_s / 60:.0f} minutes")
        handles: list[Any] = [matplotlib.patches.Patch(color=c, label=s) for s, c in COLOURS.items()]
        jobs.legend(handles=handles, loc="upper right")
        cores.step([t / 60 for t, _ in result.cpu_used], [used for _, used in result.cpu_used], where="post")
        cores.set(ylabel="cores in use", ylim=(0, 23), xlim=(0, until_s / 60), xlabel="minutes")
        for axes in (jobs, cores):
            axes.spines[["top", "right"]].set_visible(False)
            axes.grid(axis="x", alpha=0.3)
        figure.savefig(path, metadata={"Date": None} if path.suffix == ".svg" else None)


def measure(console: Console, title: str, seeds: range, memory_mib: tuple[int, ...]) -> dict[str, Any]:
    """All policies on all seeds, told as a table; the results by policy."""
    found: dict[str, list[VjobsResult]] = {policy: [] for policy in POLICIES}
    rows = []
    for seed in seeds:
        for policy in POLICIES:
            begin_s = time.perf_counter()
            result = run_vjobs(seed, settings_of(policy, memory_mib))
            found[policy].append(result)
            rows.append((result, time.perf_counter() - begin_s))
    console.print(table_of(title, rows))
    for policy in POLICIES[1:]:
        pairs = list(zip(found[policy], found["fcfs"], strict=True))
        sooner = [1.0 - ours.makespan_s / static.makespan_s for ours, static in pairs]
        console.print(
            f"{policy}: mean {fmean(r.makespan_s for r in found[policy]) / 60:.0f} minutes, fcfs "
            f"{fmean(r.makespan_s for r in found['fcfs']) / 60:.0f}; sooner by {100 * fmean(sooner):.1f} % "
            f"in the mean, {100 * min(sooner):.1f} to {100 * max(sooner):.1f} %"
        )
        if policy == "consolidation":
            kept = not any(r.late or r.spread_broken for r in found[policy])
            met = fmean(sooner) >= SOONER_MIN and kept
            bar = f"at least {100 * SOONER_MIN:.0f} % sooner, no deadline or spread broken"
            console.print(f"{'met' if met else 'NOT MET'}: {bar}")
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=5, help="seeds 1 to N")
    parser.add_argument("--plots", type=Path, help="folder for the plots of seed 1")
    arguments = parser.parse_args()
    console, seeds = Console(width=130), range(1, arguments.seeds + 1)
    found = measure(console, "VMs with the memory of their code", seeds, ())
    if arguments.plots is not None:
        arguments.plots.mkdir(parents=True, exist_ok=True)
        until_s = 1.02 * found["fcfs"][0].makespan_s
        for policy in ("fcfs", "consolidation"):
            draw(found[policy][0], until_s, arguments.plots / f"vjobs-{policy}.svg")
    measure(
        console, "Each vjob with 512, 1024 or 2048 MiB for all its VMs, at random", seeds, (512, 1024, 2048)
    )


if __name__ == "__main__":
    main()
