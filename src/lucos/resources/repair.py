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


class RepairPolicy(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How far an overload is relieved, and what receiving nodes keep free, as parts of their CPU.

    With both at their strictest (1 and 0) a move may make the next violation. `packing` is what nodes keep
    free when others are emptied onto them.
    """

    relief: float = RELIEF
    headroom: float = 0.1
    packing: float = 0.2


POLICY = RepairPolicy()
# How much longer one waits for a solver than it has to solve.
ANSWER_MARGIN_S = 0.5


def repair_problem(
    snapshots: Mapping[str, Snapshot],
    rules: tuple[Constraint, ...] = (),
    policy: RepairPolicy = POLICY,
    emptied: str = "",
) -> Problem:
    """End the violations of these nodes. Overloaded ones are relieved below what they can take.

    A VM that wants more CPU than any node can give it gets a node to itself. All VMs leave `emptied`.
    """
    headroom = policy.packing if emptied else policy.headroom
    nodes: dict[str, Node] = {}
    instances: dict[str, Instance] = {}
    known = dict.fromkeys(rules)
    resumed: list[str] = []
    for name in sorted(snapshots):
        snapshot = snapshots[name]
        room = snapshot.node.capacity - snapshot.reserved
        if snapshot.violation:
            room = Resources(room.cpu_pct * policy.relief, room.memory_mib)
        draining = snapshot.node.draining or name == emptied
        nodes[name] = msgspec.structs.replace(snapshot.node, capacity=room, draining=draining)
        for view in snapshot.vms:
            instances[view.instance.spec.id] = view.instance
            known.update(dict.fromkeys(view.instance.spec.constraints))
            if view.parked and view.instance.state is VmState.SLEEPING:
                resumed.append(view.instance.spec.id)
    most_pct = max((node.capacity.cpu_pct for node in nodes.values()), default=0.0) * (1 - headroom)
    for vm, instance in instances.items():
        if instance.demand.cpu_pct > most_pct:
            demand = Resources(most_pct, instance.demand.memory_mib)
            instances[vm] = msgspec.structs.replace(instance, demand=demand)
    return problem_of(Configuration(nodes, instances), known, headroom=headroom, resumed=resumed)


def short_of(snapshots: Mapping[str, Snapshot]) -> str:
    """What these nodes together have too little of for what is on them, in words: no solver need be asked."""
    wanted = sum((holding(s.instances) + s.reserved for s in snapshots.values()), Resources())
    room = sum((s.node.capacity for s in snapshots.values() if s.node.online), Resources())
    if any(view.instance.spec.constraints for s in snapshots.values() for view in s.vms):
        # Rules may overbook a node.
        return ""
    if wanted.cpu_pct > room.cpu_pct:
        return f"{len(snapshots)} nodes have {room.cpu_pct:.0f} % CPU for {wanted.cpu_pct:.0f}"
    if wanted.memory_mib > room.memory_mib:
        return f"{len(snapshots)} nodes have {room.memory_mib:.0f} MiB for {wanted.memory_mib:.0f}"
    return ""


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
