"""What is measured, and what each must reach: BtrPlace's published instances, generated and hard clusters."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from benchmarks.placement.generate import Shares, exchange, full, overloaded, swaps
from benchmarks.placement.measure import Measured

from lucos.placement.problem import Problem

MOVES = "migrations,sum_of_ends"
ENDS = "sum_of_ends"


class Bar(NamedTuple):
    """Something that must hold of a measurement: what, whether it does, and what was measured."""

    text: str
    met: Callable[[Measured], bool]
    seen: Callable[[Measured], str]


class Peer(NamedTuple):
    """What BtrPlace 1.12 (2 cores, cold JVM, repair mode) takes for the same instance."""

    load_s: float
    solve_s: float
    relocations: int | None = None
    makespan_s: float | None = None


class Case(NamedTuple):
    """`source` is a file of BtrPlace's data or makes a problem; `time_s` is the budget (None: by work)."""

    name: str
    source: str | Callable[[], Problem]
    bars: tuple[Bar, ...]
    objective: str = ""
    time_s: float | None = None
    peer: Peer | None = None


def seconds(limit_s: float) -> Bar:
    return Bar(
        f"load, solve, plan, check in {limit_s:g} s",
        lambda m: m.total_s <= limit_s,
        lambda m: f"{m.total_s:.2f} s",
    )


def memory(limit_mb: float) -> Bar:
    return Bar(f"less than {limit_mb:g} MB", lambda m: m.peak_mb < limit_mb, lambda m: f"{m.peak_mb:.0f} MB")


def first(limit_s: float) -> Bar:
    return Bar(
        f"first plan {limit_s:g} s after loading",
        lambda m: 0 < m.first_plan_s <= limit_s,
        lambda m: f"{m.first_plan_s:.2f} s",
    )


def gap(limit: float) -> Bar:
    return Bar(
        f"within {limit:.0%} of the bound" if limit else "proved minimal",
        lambda m: m.gap <= limit + 1e-9,
        lambda m: f"{m.values[:1]} against {m.bounds[:1]}",
    )


def fewer(count: int) -> Bar:
    return Bar(
        f"fewer than {count} relocations", lambda m: m.relocations < count, lambda m: str(m.relocations)
    )


def migrations(count: int) -> Bar:
    return Bar(f"{count} migration", lambda m: m.relocations == count, lambda m: str(m.relocations))


def makespan(limit_s: float) -> Bar:
    return Bar(f"makespan {limit_s:g} s", lambda m: m.makespan_s <= limit_s, lambda m: f"{m.makespan_s:g} s")


def status(*wanted: str) -> Bar:
    return Bar(" or ".join(wanted), lambda m: m.status in wanted, lambda m: m.status)


def told() -> Bar:
    return Bar("gap printed", lambda m: bool(m.bounds), lambda m: f"{m.gap:.1%} above the bound")


SOLVED = Bar(
    "solved, the checker finds no fault",
    lambda m: m.status in ("optimal", "feasible") and not m.faults,
    lambda m: f"{m.status}, {m.faults} faults",
)
NO_WAIT = Bar(
    "migrations start at 0 unless they must wait",
    lambda m: m.status in ("optimal", "feasible") and not m.needless,
    lambda m: f"{m.late} wait, {m.needless} of them needlessly",
)


def btrplace() -> list[Case]:
    """Its published instances. Those of kind li are solved for few relocations first, nr as they ask."""
    large = (SOLVED, seconds(4))
    small = (SOLVED, seconds(2))
    return [
        Case(
            "li-r6-c0",
            "li-r6-c0.json.gz",
            (SOLVED, seconds(5), first(2), memory(1000), fewer(773), gap(0.03), NO_WAIT),
            MOVES,
            peer=Peer(0.8, 25.3, 773, 3),
        ),
        Case("li-r3-c100", "li-r3-c100.json.gz", large, MOVES, peer=Peer(2.7, 2.7, 4, 2)),
        Case("li-r4-c33", "li-r4-c33.json.gz", large, MOVES, peer=Peer(1.3, 2.1, 13, 2)),
        Case("nr-r3-c0", "nr-r3-c0.json.gz", large, peer=Peer(0.75, 7.8, 0, 9)),
        Case("nr-r4-c66", "nr-r4-c66.json.gz", large, peer=Peer(1.8, 13.2, 0, 9)),
        Case("issue-100", "issue-100.json.gz", small, peer=Peer(0.4, 2.0, 71, 279), time_s=1.0),
        Case("issue-131-0", "issue-131-0.json.gz", small, peer=Peer(0.1, 0.2, 3, 27), time_s=1.0),
        Case("issue-131-2", "issue-131-2.json.gz", small, peer=Peer(0.1, 0.2, 7, 29), time_s=1.0),
        Case("issue-131-4", "issue-131-4.json.gz", small, peer=Peer(0.1, 0.2, 20, 26), time_s=1.0),
        Case(
            "min-migrations",
            "min-migrations.json",
            (*small, migrations(1), makespan(3)),
            "migrations",
            peer=Peer(0.1, 0.2, 7, 8),
        ),
    ]


def generated() -> list[Case]:
    """Overloaded clusters with anti-affinity pairs, as large as a cluster gets."""
    pairs = Shares(apart=0.1)
    return [
        Case("100 / 1,000", lambda: overloaded(100, share=0.1, rules=pairs), (SOLVED, seconds(0.5), told())),
        Case("300 / 3,000", lambda: overloaded(300, share=0.08, rules=pairs), (SOLVED, seconds(1.5), told())),
        Case(
            "20,000 / 200,000",
            lambda: overloaded(20_000, share=0.05, rules=pairs),
            (SOLVED, seconds(30), memory(4000), told()),
        ),
    ]


def hard() -> list[Case]:
    """What makes others fail: exchanges on full nodes, and requests for which there is no room."""
    return [
        Case("exchange", exchange, (SOLVED, seconds(1))),
        Case("no room left", full, (status("infeasible"), seconds(1))),
        Case("20 swaps, full", lambda: swaps(20), (SOLVED, seconds(4)), time_s=3.0),
    ]


def file_of(case: Case, data: Path | None, folder: Path) -> Path | None:
    """Where the instance is: among the data, or written into `folder`; None when the data is not here."""
    if isinstance(case.source, str):
        found = data / "btrplace" / case.source if data else None
        return found if found and found.is_file() else None
    from lucos.placement.interchange.ours import write_problem

    file = folder / f"{case.name.replace(' ', '').replace('/', '-')}.json"
    file.write_bytes(write_problem(case.source()))
    return file
