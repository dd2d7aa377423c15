"""Placement: where VMs may be, which must move, in which order; usable alone as a library.

`solve` answers a `Problem` with a plan that the independent `check` accepted, or with reasons. Names are
loaded when first used: who only describes problems or judges rules does not load the solver and its arrays.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lucos.placement.checker import check, check_orders
    from lucos.placement.cluster import Cluster, Node, Vm
    from lucos.placement.constraints import KINDS, SIGNATURES
    from lucos.placement.durations import Durations
    from lucos.placement.problem import (
        Budget,
        Capacity,
        Core,
        Limits,
        Objective,
        Problem,
        Solution,
        Status,
    )
    from lucos.placement.solver import solve

_HOMES = {
    "checker": ("check", "check_orders"),
    "cluster": ("Cluster", "Node", "Vm"),
    "constraints": ("KINDS", "SIGNATURES"),
    "durations": ("Durations",),
    "problem": ("Budget", "Capacity", "Core", "Limits", "Objective", "Problem", "Solution", "Status"),
    "solver": ("solve",),
}
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names}

__all__ = [
    "KINDS",
    "SIGNATURES",
    "Budget",
    "Capacity",
    "Cluster",
    "Core",
    "Durations",
    "Limits",
    "Node",
    "Objective",
    "Problem",
    "Solution",
    "Status",
    "Vm",
    "check",
    "check_orders",
    "solve",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOME_OF[name]}"), name)
