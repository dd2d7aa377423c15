"""Exploration bites: each known fault, put into the production code, is found and told, and replays."""

from __future__ import annotations

import inspect
import sys
import textwrap
from collections.abc import Callable
from typing import Any

import pytest

from lucos.overlay.identity import Identity
from lucos.resources.dvms import Dvms
from lucos.resources.dvms.leader import Leading
from lucos.simulator.explore import Bounds, Explorer, decode, story, tell
from lucos.simulator.explore.case import Case
from lucos.simulator.explore.dvms import DvmsCase
from lucos.simulator.explore.swim import SwimCase


def mutate(monkeypatch: pytest.MonkeyPatch, owner: type, name: str, old: str, new: str) -> None:
    """Replace `old` in the source of a method."""
    method = getattr(owner, name)
    source = textwrap.dedent(inspect.getsource(method))
    assert old in source, f"{owner.__name__}.{name} no longer says {old!r}: choose the fault anew"
    scope: dict[str, Any] = {}
    code = f"from __future__ import annotations\n{source.replace(old, new)}"
    exec(compile(code, name, "exec"), vars(sys.modules[owner.__module__]), scope)
    monkeypatch.setattr(owner, name, scope[name])


def cross() -> Case:
    """Two hosts that must both be emptied, each into the other: there is no solution, only an end."""
    drained = ("h1", "h2")
    return DvmsCase(
        "cross", rooms=(1, 1), vms=(1, 1), drained=drained, bounds=Bounds(passes=12), solvable=False
    )


def two() -> Case:
    bounds = Bounds(crashes=1, passes=4)
    return DvmsCase("two", rooms=(1, 1), vms=(1, 0), drained=("h1",), bounds=bounds)


def rivals() -> Case:
    return DvmsCase("rivals", rooms=(1, 1, 2), vms=(1, 1, 0), drained=("h1", "h2"))


def late() -> Case:
    bounds = Bounds(overtakes=1, passes=6)
    return DvmsCase("late", rooms=(1, 1, 1), vms=(1, 1, 0), drained=("h1",), bounds=bounds)


def returning() -> Case:
    return SwimCase("returning", 3, bounds=Bounds(crashes=1, passes=6))


# A fault is a case, the law it breaks there, and what is changed: (class, method, old text, new text).
Change = tuple[type, str, str, str]
FAULTS: dict[str, tuple[Callable[[], Case], str, tuple[Change, ...]]] = {
    "grants are stolen": (rivals, "law 1", ((Dvms, "_free", "self.grant is None", "True"),)),
    "both absorb": (
        cross,
        "absorb each other",
        ((Leading, "on_blocked", "self.isp < message.isp", "False"),),
    ),
    "leases end during moves": (two, "law 1", ((Dvms, "_expire", "self._moving(grant.isp)", "False"),)),
    "any version is obeyed": (
        late,
        "law 1",
        (
            (Dvms, "_joined", "message.version > grant.version", "True"),
            (Dvms, "_stale", "version <", "False and version <"),
        ),
    ),
    "incarnations are forgotten": (
        returning,
        "false death",
        ((Identity, "_save", "self._world.save", "len"),),
    ),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_fault_is_found(fault: str, monkeypatch: pytest.MonkeyPatch) -> None:
    make, law, changes = FAULTS[fault]
    for change in changes:
        mutate(monkeypatch, *change)
    explorer = Explorer(make())
    report = explorer.explore(states_max=30_000)
    print(report._replace(finding=None))
    assert report.finding is not None, report
    told = tell(explorer, report.finding)
    print(told)
    assert law in report.finding.law
    again = Explorer(make())
    path = decode(again, told.rpartition("--explore-path ")[2].partition(" ")[0])
    assert story(again, path, len(path)) in told
