"""Repairing violations: what nodes tell of themselves as a problem of placement, and why it has no plan."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import msgspec

from lucos.actors.ports import Solved
from lucos.model import Configuration, Constraint, Instance, Node, Resources, VmState
from lucos.placement.live import problem_of
from lucos.placement.problem import Problem
from lucos.resources.demand import RELIEF
from lucos.resources.messages import Snapshot

# A receiving node keeps this part of its CPU free, so that a move does not make the next violation.
HEADROOM = 0.1
# How much longer one waits for a solver than it has to solve.
ANSWER_MARGIN_S = 0.5


def repair_problem(snapshots: Mapping[str, Snapshot], rules: tuple[Constraint, ...] = ()) -> Problem:
    """End the violations of these nodes. Overloaded ones are relieved below what they can take.

    A VM that wants more CPU than any node can give it gets a node to itself.
    """
    nodes: dict[str, Node] = {}
    instances: dict[str, Instance] = {}
    known = dict.fromkeys(rules)
    resumed: list[str] = []
    for name in sorted(snapshots):
        snapshot = snapshots[name]
        room = snapshot.node.capacity - snapshot.reserved
        if snapshot.violation:
            room = Resources(room.cpu_pct * RELIEF, room.memory_mib)
        nodes[name] = msgspec.structs.replace(snapshot.node, capacity=room)
        for view in snapshot.vms:
            instances[view.instance.spec.id] = view.instance
            known.update(dict.fromkeys(view.instance.spec.constraints))
            if view.parked and view.instance.state is VmState.SLEEPING:
                resumed.append(view.instance.spec.id)
    most_pct = max((node.capacity.cpu_pct for node in nodes.values()), default=0.0) * (1 - HEADROOM)
    for vm, instance in instances.items():
        if instance.demand.cpu_pct > most_pct:
            demand = Resources(most_pct, instance.demand.memory_mib)
            instances[vm] = msgspec.structs.replace(instance, demand=demand)
    return problem_of(Configuration(nodes, instances), known, headroom=HEADROOM, resumed=resumed)


def overloaded(snapshot: Snapshot) -> bool:
    """Whether the node's VMs want more CPU than it has."""
    return holding(snapshot.instances).cpu_pct > snapshot.node.capacity.cpu_pct


def holding(instances: Iterable[Instance]) -> Resources:
    """What those of the instances want that hold resources of their node."""
    demands = (i.demand for i in instances if i.state in (VmState.RUNNING, VmState.PAUSED))
    return sum(demands, Resources())


def why_not(answer: Solved | None) -> str:
    """Why there is no plan, in words; empty when there is one."""
    if answer is None or answer.solution is None:
        return f"the solver: {answer.error if answer else 'no answer'}"
    solution = answer.solution
    if solution.solved:
        return ""
    if solution.reasons:
        return "; ".join(solution.reasons)
    return f"the solver says {solution.status}"
