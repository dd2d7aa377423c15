"""Measurements as tables of at most 100 columns, and a line per bar: met or not."""

from __future__ import annotations

from typing import Any

from benchmarks.placement.grow import Point
from benchmarks.placement.instances import Case
from benchmarks.placement.measure import Measured
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

MEDIAN_MS = 10.0
P99_MS = 50.0
TIMES = ("load", "solve", "check", "total", "first plan")


def show_cases(console: Console, title: str, rows: list[tuple[Case, Measured]]) -> None:
    """Where the time went, what came out, and the bars."""
    beside = ("BtrPlace", "ratio") if any(case.peer for case, _ in rows) else ()
    times = _table(f"{title}: seconds", "instance", *TIMES, "CPU", "MB", *beside)
    for case, m in rows:
        peer_s = case.peer.load_s + case.peer.solve_s if case.peer else 0.0
        against = (f"{peer_s:.1f}", f"{peer_s / m.total_s:.1f}x") if case.peer and m.total_s else ()
        times.add_row(case.name, *_times(m), f"{m.cpu_s:.2f}", f"{m.peak_mb:.0f}", *against)
    console.print(times)
    quality = _table(
        f"{title}: plans", "instance", "status", "values", "bounds", "gap", "relocations", "makespan s"
    )
    for case, m in rows:
        moves, spans = str(m.relocations), f"{m.makespan_s:g}"
        if case.peer:
            moves, spans = f"{moves} ({case.peer.relocations})", f"{spans} ({case.peer.makespan_s:g})"
        quality.add_row(case.name, m.status, _numbers(m.values), _numbers(m.bounds), _gap(m), moves, spans)
    console.print(quality)
    if beside:
        console.print("in brackets: BtrPlace; its seconds are load and solve, ours everything")
    for case, m in rows:
        if m.status == "failed":
            console.print(f"{case.name}: failed: {m.reason}", style="red", markup=False)
        for bar in case.bars:
            _bar(console, f"{case.name}: {bar.text}", bar.met(m), bar.seen(m))


def _times(m: Measured) -> tuple[str, ...]:
    return tuple(f"{s:.2f}" for s in (m.load_s, m.solve_s, m.check_s, m.total_s, m.first_plan_s))


def _numbers(values: tuple[float, ...]) -> str:
    return ", ".join(f"{value:,.10g}" for value in values) or "-"


def _gap(m: Measured) -> str:
    return f"{m.gap:.1%}" if m.values else "-"


def show_calls(console: Console, found: dict[str, Any]) -> None:
    """`found` as `calls.measured` gives it."""
    words = ", ".join(f"{count} {status}" for status, count in sorted(found["statuses"].items()))
    table = _table("DVMS calls: 8 nodes, 80 VMs", "calls", "median ms", "p99 ms", "max ms")
    table.add_row(str(found["calls"]), *(f"{found[key]:.1f}" for key in ("median_ms", "p99_ms", "max_ms")))
    console.print(table)
    console.print(f"statuses: {words}; CP-SAT itself proves nothing about {found['unproved']} in its budget")
    median, p99 = found["median_ms"], found["p99_ms"]
    _bar(console, f"median at most {MEDIAN_MS:g} ms", median <= MEDIAN_MS, f"{median:.1f} ms")
    _bar(console, f"p99 at most {P99_MS:g} ms", p99 <= P99_MS, f"{p99:.1f} ms")
    decided = found["calls"] - found["unproved"]
    agree = decided - len(found["differ"])
    _bar(
        console,
        "solved or infeasible as CP-SAT run to optimality says",
        not found["differ"],
        f"{agree} of {decided} agree{_listed(found['differ'])}",
    )
    _bar(
        console,
        "as many migrations as CP-SAT proves are needed",
        not found["worse"],
        f"{len(found['worse'])} differ{_listed(found['worse'])}",
    )


def _listed(pairs: list[Any]) -> str:
    return f" (seed, what: {', '.join(f'{seed} {what}' for seed, what in pairs[:5])})" if pairs else ""


def show_peer(console: Console, rows: list[tuple[str, Measured, dict[str, Any], float]]) -> None:
    title = "Beside a plain CP-SAT model of everything"
    columns = ("ours s", "moves", "MB", "plain s", "moves", "MB", "status", "ratio")
    table = _table(title, "instance", *columns)
    for name, m, plain, limit_s in rows:
        least = ">" if plain["status"] != "optimal" else ""
        table.add_row(
            name,
            f"{m.total_s:.2f}",
            str(m.relocations),
            f"{m.peak_mb:.0f}",
            f"{plain['total_s']:.1f}",
            "none" if plain["moves"] is None else str(plain["moves"]),
            f"{plain['peak_mb']:.0f}",
            f"{plain['status']} (limit {limit_s:g} s)",
            f"{least}{plain['total_s'] / m.total_s:.0f}x" if m.total_s else "-",
        )
    console.print(table)


def show_growth(console: Console, title: str, label: str, points: list[Point]) -> None:
    table = _table(title, label, *TIMES, "CPU", "MB", "relocations", "gap")
    for at, m in points:
        shown = f"{at:.0%}" if at <= 1 else f"{at:,.0f}"
        table.add_row(
            shown, *_times(m), f"{m.cpu_s:.2f}", f"{m.peak_mb:.0f}", str(m.relocations), m.reason or _gap(m)
        )
    console.print(table)


def _table(title: str, first: str, *columns: str) -> Table:
    table = Table(
        title=title, title_justify="left", title_style="bold", box=SIMPLE_HEAD, padding=(0, 1, 0, 0)
    )
    table.add_column(first, no_wrap=True)
    for column in columns:
        table.add_column(column, justify="left" if column == "status" else "right", no_wrap=True)
    return table


def _bar(console: Console, text: str, met: bool, seen: str) -> None:
    console.print(
        f"{'met    ' if met else 'NOT MET'}  {text}: {seen}", style=None if met else "red", markup=False
    )
