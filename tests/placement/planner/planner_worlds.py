"""Small clusters for the planner's tests, and what every plan must stand."""

from __future__ import annotations

import numpy as np

from lucos.model import Constraint, Plan, VmState
from lucos.placement.arrays import NOWHERE, RUNNING, Target
from lucos.placement.checker import check
from lucos.placement.cluster import Cluster, Node, Vm
from lucos.placement.durations import Durations
from lucos.placement.lowering import arrays_of
from lucos.placement.orders import check_orders
from lucos.placement.planner import Deadlock, schedule
from lucos.placement.problem import Limits, Objective, Problem

SECOND = Durations(tick_s=1.0)


def vm(
    name: str,
    place: str | None,
    *,
    cpu: float = 1,
    memory: float = 1,
    state: VmState | None = None,
    **more: object,
) -> Vm:
    """A VM that runs on `place`, is ready without one, or is in the given state."""
    state = state or (VmState.READY if place is None else VmState.RUNNING)
    return Vm(name, {"cpu": cpu, "memory": memory}, place, state, **more)  # type: ignore[arg-type]


def world(
    capacities: dict[str, tuple[float, float]],
    vms: list[Vm],
    *rules: Constraint,
    offline: tuple[str, ...] = (),
    objective: Objective = Objective.SUM_OF_ENDS,
    limits: Limits | None = None,
) -> Problem:
    """Nodes with (cpu, memory); every action takes a second unless a VM says otherwise."""
    nodes = [
        Node(name, {"cpu": cpu, "memory": memory}, online=name not in offline)
        for name, (cpu, memory) in capacities.items()
    ]
    return Problem(Cluster.of(nodes, vms), rules, (objective,), SECOND, limits or Limits())


def planned(problem: Problem, off: tuple[str, ...] = (), **places: str) -> Plan | Deadlock:
    """The schedule towards these places (others stay), checked; nodes in `off` end off, all others on."""
    arrays = arrays_of(problem)
    place = np.where(arrays.target == RUNNING, arrays.host, NOWHERE).astype(np.int32)
    for name, node in places.items():
        place[arrays.vm_index[name]] = arrays.node_index[node]
    online = np.asarray([name not in off for name in arrays.nodes])
    plan = schedule(arrays, Target(place, online, {0: "to be moved"}))
    if isinstance(plan, Plan):
        assert_sound(problem, plan)
    return plan


def assert_sound(problem: Problem, plan: Plan) -> None:
    assert [str(fault) for fault in check(problem, plan)] == []
    assert [str(fault) for fault in check_orders(problem, plan)] == []


def kinds(plan: Plan | Deadlock) -> list[str]:
    """`Migrate V1`, `Boot V5`, ... in order."""
    assert isinstance(plan, Plan), plan.text
    return [f"{type(a.action).__name__} {a.action.vm or getattr(a.action, 'node', '')}" for a in plan.actions]
