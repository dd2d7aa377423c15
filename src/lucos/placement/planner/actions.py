"""What must be done: the difference between now and a target, as steps that take and give back room.

Room is counted in pools. Pool `node * R + r` is what resource `r` of a node can still take; others count
rules (`rules.py`), limits and links (`network.py`). A step takes from pools when it starts and gives to
pools when it ends, so that taking at the start and holding on until the end are one thing for all of them.
"""

from __future__ import annotations

import msgspec
import numpy as np

from lucos.model import (
    Allocate,
    AnyAction,
    Boot,
    BootNode,
    Kill,
    Migrate,
    Resume,
    Shutdown,
    ShutdownNode,
    Suspend,
)
from lucos.model.actions import Amounts as NamedAmounts
from lucos.placement.arrays import KILLED, NOWHERE, READY, RUNNING, SLEEPING, Arrays, Target
from lucos.placement.constraints.lowered import usage_now
from lucos.placement.primitives import Amounts

Room = list[tuple[int, int]]
"""Pairs of pool and amount, amounts > 0."""

_STOPS: dict[int, type[Suspend] | type[Shutdown] | type[Kill]] = {
    SLEEPING: Suspend,
    READY: Shutdown,
    KILLED: Kill,
}


class Step(msgspec.Struct, eq=False):
    """An action to schedule. `source`: the node it leaves at its end; `node`: the one it enters at its start.

    Both are NOWHERE for what neither leaves nor enters; `image`: the node that no longer keeps the VM's image
    at its end. `after` are steps (by position) that end before it starts; `latest` bounds its start,
    `deadline` its end (ticks). `path` are the pools of the links it crosses: it takes from each the bandwidth
    that is free when it starts. `ongoing` steps are under way since before the plan, with this `number`.
    """

    action: AnyAction
    ticks: int
    vm: int = NOWHERE
    source: int = NOWHERE
    node: int = NOWHERE
    image: int = NOWHERE
    takes: Room = []
    gives: Room = []
    after: list[int] = []
    latest: int | None = None
    deadline: int | None = None
    path: tuple[int, ...] = ()
    ongoing: bool = False
    number: int = NOWHERE


class Work(msgspec.Struct, eq=False):
    """Steps, the room of each pool when the plan begins, and sets of steps that start at one instant.

    Pools in `loose` only bound how much runs at once: whoever carries the plan out by its dependencies
    bounds that himself. With `ordered`, the steps of VMs are in an order in which they could run one by one;
    a VM may then have several, else it has one. `hopeless` says in words why some VMs cannot make their
    step in any order.
    """

    arrays: Arrays
    steps: list[Step]
    free: list[int]
    together: list[list[int]] = []
    loose: set[int] = set()
    hopeless: dict[int, str] = {}
    ordered: bool = False

    def pool(self, room: int, *, loose: bool = False) -> int:
        """A new pool with this much room."""
        self.free.append(room)
        if loose:
            self.loose.add(len(self.free) - 1)
        return len(self.free) - 1


def start_together(work: Work, steps: list[int]) -> None:
    """Let these steps start at one instant; sets that share a step become one."""
    merged = set(steps)
    kept = []
    for other in work.together:
        if merged.isdisjoint(other):
            kept.append(other)
        else:
            merged.update(other)
    if len(merged) > 1:
        kept.append(sorted(merged))
    work.together = kept


def room_now(arrays: Arrays) -> Amounts:
    """[N, R] what each node can still take; 0 on an overloaded node, which may stay so until relieved."""
    return np.asarray(np.maximum(arrays.capacity - usage_now(arrays)[:, :-1], 0))


def work_between(arrays: Arrays, target: Target) -> Work:
    """The steps that lead from now to `target`, with the room of the nodes."""
    return work_of(arrays, target, vm_steps(arrays, target))


def work_of(arrays: Arrays, target: Target, steps: list[Step], *, ordered: bool = False) -> Work:
    """These steps of VMs, with those of nodes and the room of the nodes."""
    work = Work(arrays, steps, room_now(arrays).ravel().tolist(), ordered=ordered)
    _add_ongoing(work)
    _add_node_steps(work, target)
    return work


def vm_steps(arrays: Arrays, target: Target) -> list[Step]:
    """One step for each VM whose state, node or allocation changes; those that come to nodes first."""
    runs, runs_now, place = arrays.runs, arrays.runs_now, target.place
    refit = np.any(arrays.need != arrays.use, axis=1)
    comes = runs & (~runs_now | ((place != arrays.host) & (place != NOWHERE)))
    resized = runs & runs_now & ~comes & refit
    stops = ~runs & (arrays.state != arrays.target)
    vms = np.concatenate([np.flatnonzero(mask) for mask in (comes, resized, stops)])
    goes = np.where(comes, place, arrays.host)
    columns = (vms, arrays.state[vms], arrays.host[vms], arrays.target[vms], goes[vms])
    amounts = (arrays.use[vms], arrays.need[vms], refit[vms])
    steps = []
    for vm, was, here, will, there, had, gets, changed in zip(
        *(column.tolist() for column in (*columns, *amounts)), strict=True
    ):
        named = amounts_of(arrays, vm) if changed and will == RUNNING else ()
        steps.append(step_of(arrays, vm, (was, here), (will, there), had, gets, named))
    return steps


def step_of(
    arrays: Arrays,
    vm: int,
    before: tuple[int, int],
    after: tuple[int, int],
    had: list[int],
    gets: list[int],
    amounts: NamedAmounts,
) -> Step:
    """The step that brings a VM from one (state, node) to another, and its holding from `had` to `gets`.

    `amounts` is what the action says about it.
    """
    (was, here), (will, there), name, nodes = before, after, arrays.vms[vm], arrays.nodes
    if will != RUNNING:
        return _stop(arrays, vm, before, will, had)
    if was == RUNNING and here == there:
        step = Step(Allocate(name, nodes[here], amounts), int(arrays.allocate_ticks[vm]), vm)
        step.takes = room_of(arrays, here, [g - h for g, h in zip(gets, had, strict=True)])
        step.gives = room_of(arrays, here, [h - g for g, h in zip(gets, had, strict=True)])
        return step
    if was == RUNNING:
        migrate = Migrate(name, nodes[here], nodes[there], amounts)
        step = Step(migrate, int(arrays.migrate_ticks[vm]), vm, here, there)
        step.gives = room_of(arrays, here, had)
    elif was == READY:
        step = Step(Boot(name, nodes[there], amounts), int(arrays.change_ticks[vm]), vm, NOWHERE, there)
    else:
        local = here in (there, NOWHERE)
        ticks = arrays.resume_local_ticks if local else arrays.resume_remote_ticks
        resume = Resume(name, nodes[there], "" if local else nodes[here], amounts)
        step = Step(resume, int(ticks[vm]), vm, NOWHERE, there, here)
    step.takes = room_of(arrays, there, gets)
    return step


def _stop(arrays: Arrays, vm: int, before: tuple[int, int], will: int, had: list[int]) -> Step:
    """A suspend, shutdown or kill."""
    was, here = before
    action = _STOPS[will](arrays.vms[vm], arrays.nodes[here] if here != NOWHERE else "")
    ticks = vm_ticks(arrays, "suspend", vm) if will == SLEEPING else int(arrays.change_ticks[vm])
    if was == RUNNING:
        return Step(action, ticks, vm, here, gives=room_of(arrays, here, had))
    return Step(action, ticks, vm, image=here)


def ticks_of(arrays: Arrays, seconds: float) -> int:
    return int(np.ceil(seconds / arrays.problem.durations.tick_s - 1e-6))


def vm_ticks(arrays: Arrays, kind: str, vm: int) -> int:
    """How long an action takes that the VM's target does not ask for: `pause`, `suspend` on a detour."""
    problem = arrays.problem
    return ticks_of(arrays, problem.durations.of_vm(kind, problem.cluster.vms[arrays.vms[vm]]))


def amounts_of(arrays: Arrays, vm: int) -> NamedAmounts:
    """What the VM gets of each resource whose allocation changes, in the problem's units."""
    changed = np.flatnonzero(arrays.need[vm] != arrays.use[vm])
    return tuple((arrays.resources[r], int(arrays.need[vm, r]) / arrays.scale[r]) for r in changed)


def room_of(arrays: Arrays, node: int, amounts: list[int]) -> Room:
    """These amounts (one per resource) of a node, as pools; those not above 0 are left out."""
    first = node * len(arrays.resources)
    return [(first + r, amount) for r, amount in enumerate(amounts) if amount > 0]


def _add_ongoing(work: Work) -> None:
    """What is under way: it still holds the node it leaves, and its VM waits for its end."""
    arrays = work.arrays
    left = {vm: node for node, vm, _ in arrays.leaving}
    for planned in arrays.problem.ongoing:
        vm = arrays.vm_index.get(planned.action.vm, NOWHERE)
        step = Step(planned.action, ticks_of(arrays, planned.end_s), vm, ongoing=True, number=planned.number)
        if vm in left:
            step.source = left[vm]
            step.gives = room_of(arrays, left[vm], arrays.use[vm].tolist())
        for other in work.steps:
            if other.vm == vm != NOWHERE:
                other.after = [*other.after, len(work.steps)]
        work.steps.append(step)


def _add_node_steps(work: Work, target: Target) -> None:
    """Nodes go on before anybody enters them, and off when everybody and every image has left them."""
    arrays = work.arrays
    turned = {
        arrays.node_index[step.action.node]: i
        for i, step in enumerate(work.steps)
        if isinstance(step.action, BootNode | ShutdownNode)
    }
    for node in np.flatnonzero(arrays.online != target.online).tolist():
        if node not in turned:
            kind = BootNode if target.online[node] else ShutdownNode
            turned[node] = len(work.steps)
            work.steps.append(Step(kind(node=arrays.nodes[node]), int(arrays.node_ticks[node])))
    if not turned:
        return
    for i, step in enumerate(work.steps):
        if step.vm == NOWHERE or step.ongoing:
            continue
        if step.node in turned:
            step.after = [*step.after, turned[step.node]]
        for left in {step.source, step.image} & turned.keys():
            off = work.steps[turned[left]]
            off.after = [*off.after, i]
