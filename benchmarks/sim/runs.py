"""Scenarios run one after another, each in a process of its own, and their summaries as tables."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Iterable
from itertools import pairwise
from math import log
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

Summary = dict[str, Any]


def run(scenario: str, seed: int = 1, **settings: object) -> Summary:
    """The summary of one run on one core."""
    with tempfile.TemporaryDirectory() as folder:
        sets = [f"--set={name}={value}" for name, value in settings.items()]
        command = [sys.executable, "-m", "lucos.cli", "sim", "run", scenario, f"--seed={seed}", *sets]
        subprocess.run([*command, "--jobs=1", "-o", folder], check=True, stdout=subprocess.DEVNULL)
        (found,) = Path(folder).rglob("summary.json")
        summary: Summary = json.loads(found.read_bytes())
        return summary


def table(title: str, rows: Iterable[tuple[str, Summary]]) -> Table:
    """One line per run: what it cost and what came out."""
    shown = Table(title=title, title_justify="left")
    for column in ("run", "wall s", "x real time", "events", "MB", "violations", "mean s", "p95 s"):
        shown.add_column(column, justify="left" if column == "run" else "right")
    for column in ("moves", "in site", "laws"):
        shown.add_column(column, justify="right")
    for name, summary in rows:
        violations, moves = summary["violations"], summary["migrations"]
        share = moves["intra_site"] / moves["count"] if moves["count"] else 0.0
        shown.add_row(
            name,
            f"{summary['wall_s']:.1f}",
            f"{summary['simulated_s'] / summary['wall_s']:.1f}",
            f"{summary['events']:,}",
            f"{summary['peak_rss_mb']:.0f}",
            f"{violations['count']:,}",
            f"{violations['mean_s']:.2f}",
            f"{violations['p95_s']:.2f}",
            f"{moves['count']:,}",
            f"{share:.3f}",
            "broken" if summary["laws_broken"] else "hold",
        )
    return shown


def verdict(console: Console, what: str, met: bool) -> None:
    console.print(f"{'met' if met else 'NOT MET'}: {what}")


def show_seed_10k(console: Console) -> None:
    """The seeds' experiment, how time grows with size, and what both fidelities of the overlay say."""
    sizes = (1000, 3000)
    rows = [(f"{size:,} hosts", run("seed-10k", hosts=size)) for size in sizes]
    rows.append(("10,000 hosts", run("seed-10k")))
    console.print(table("seed-10k: DVMS on a ring, 3600 s, oracle overlay", rows))
    whole, smallest = rows[-1][1], rows[0][1]
    wall_s, memory_mb = whole["wall_s"], whole["peak_rss_mb"]
    verdict(
        console,
        f"10 minutes and 4 GB: {wall_s:.0f} s, {memory_mb:.0f} MB",
        wall_s <= 600 and memory_mb < 4096,
    )
    verdict(console, "no law broken", not any(summary["laws_broken"] for _, summary in rows))
    growth, most = wall_s / smallest["wall_s"], 10 * log(10_000) / log(1000)
    verdict(console, f"time grows at most as n log n ({most:.1f}): {growth:.1f} times", growth <= most)


def show_fidelity(console: Console) -> None:
    """The oracle against the full overlay."""
    # Loaded from the beginning, so that there is enough to compare.
    busy: dict[str, object] = {"hosts": 1000, "duration_s": 600, "vms.cpu_pct": 68}
    oracle, full = run("seed-10k", **busy), run("seed-10k", fidelity="full", **busy)
    console.print(table("1,000 hosts for 600 s", [("oracle", oracle), ("full", full)]))
    for part, field in (("violations", "count"), ("violations", "mean_s"), ("migrations", "count")):
        a, b = oracle[part][field], full[part][field]
        verdict(console, f"{part} {field} within 10 %: {a:.2f} and {b:.2f}", abs(a - b) <= 0.1 * b)


def show_vmplaces(console: Console) -> None:
    """VMPlaceS's comparison."""
    sizes, strategies = (128, 256, 512, 1024), ("dvms", "snooze", "entropy")
    rows, means = [], {}
    for strategy in strategies:
        for size in sizes:
            summary = run("vmplaces", hosts=size, strategy=strategy)
            means[strategy, size] = summary["violations"]["mean_s"]
            rows.append((f"{strategy} {size}", summary))
    console.print(table("vmplaces: 10 VMs per host, 3600 s", rows))
    flat = [means["dvms", size] for size in sizes]
    verdict(console, "DVMS flat within 15 %", max(flat) <= 1.15 * min(flat))
    central = [means["entropy", size] for size in sizes]
    verdict(
        console,
        "the centralised one grows with size",
        all(a < b for a, b in pairwise(central)),
    )
    between = all(means["dvms", s] <= means["snooze", s] <= means["entropy", s] for s in sizes)
    verdict(console, "the hierarchical one is between them", between)


def show_locality(console: Console) -> None:
    """Migrations that stay in their site."""
    rows = [
        (f"{variant} seed {seed}", run("locality", seed, variant=variant))
        for variant in ("locality", "ring")
        for seed in (1, 2, 3)
    ]
    console.print(
        table("locality: 4 sites of 10 hosts, 3600 s, full overlay (published: 0.863, ring 0.496)", rows)
    )
    near = [s["migrations"] for name, s in rows if name.startswith("locality")]
    share = sum(m["intra_site"] for m in near) / sum(m["count"] for m in near)
    verdict(console, f"at least 0.86 of migrations within sites: {share:.3f}", share >= 0.86)
