"""The cases that are explored: those of `QUICK` take seconds each, those of `LONG` minutes."""

from __future__ import annotations

from collections.abc import Callable

from lucos.simulator.explore.case import Bounds, Case
from lucos.simulator.explore.dvms import DvmsCase
from lucos.simulator.explore.swim import SwimCase

Make = Callable[[], Case]


def _dvms(name: str, bounds: Bounds) -> Make:
    rooms, vms, drained = {
        # One host must be emptied and the other has room.
        "two": ((1, 1), (1, 0), ("h1",)),
        # The next host is full: the partition must grow.
        "three": ((1, 1, 1), (1, 1, 0), ("h1",)),
        # Two hosts must be emptied into the third: two partitions in each other's way.
        "rivals": ((1, 1, 2), (1, 1, 0), ("h1", "h2")),
        # The same with a free host for each.
        "four": ((1, 1, 1, 1), (1, 1, 0, 0), ("h1", "h2")),
    }[name.partition("-")[0]]
    return lambda: DvmsCase(name, rooms=rooms, vms=vms, drained=drained, bounds=bounds)


def _swim(name: str, count: int, bounds: Bounds, *, joining: bool = False) -> Make:
    return lambda: SwimCase(name, count, bounds=bounds, joining=joining)


def _named(*cases: Make) -> dict[str, Make]:
    return {make().name: make for make in cases}


QUICK = _named(
    _dvms("two-crash-return", Bounds(crashes=1, returns=1, passes=6)),
    _dvms("three", Bounds()),
    _dvms("three-crash", Bounds(crashes=1, passes=8)),
    _dvms("three-loss", Bounds(losses=1, passes=10)),
    _dvms("three-late", Bounds(overtakes=1, passes=8)),
    _dvms("rivals", Bounds()),
    _dvms("four", Bounds()),
    _swim("swim-loss", 3, Bounds(losses=1, passes=30)),
    _swim("swim-crash", 3, Bounds(crashes=1, passes=12)),
    _swim("swim-join", 3, Bounds(losses=1, passes=12), joining=True),
)
LONG = _named(
    _dvms("three-late-waits", Bounds(overtakes=1, waits=1, passes=10)),
    _dvms("three-crash-return", Bounds(crashes=1, returns=1, waits=1, passes=10)),
    _dvms("three-crash-loss", Bounds(crashes=1, losses=1, passes=10)),
    _dvms("rivals-crash", Bounds(crashes=1, passes=10)),
    _dvms("rivals-loss", Bounds(losses=1, passes=12)),
    _dvms("rivals-late", Bounds(overtakes=1, waits=1, passes=12)),
    _dvms("four-crash", Bounds(crashes=1, passes=10)),
    _swim("swim-losses", 3, Bounds(losses=2, passes=30)),
    _swim("swim-late", 3, Bounds(losses=1, overtakes=1, passes=20)),
    _swim("swim-crash-return", 3, Bounds(crashes=1, returns=1, losses=1, passes=24)),
    _swim("swim-four", 4, Bounds(crashes=1, losses=1, passes=16)),
)
CASES = QUICK | LONG
