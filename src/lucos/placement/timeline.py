"""The checker's own reading of a plan: how each VM stands before, during and after each of its actions."""

from __future__ import annotations

import math
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from typing import get_args

import msgspec

from lucos.model import (
    VM_LIFE,
    Allocate,
    AnyAction,
    Boot,
    BootNode,
    Constraint,
    Kill,
    Migrate,
    Plan,
    PlannedAction,
    Resume,
    ShutdownNode,
    Suspend,
    VmState,
)
from lucos.placement.cluster import Quantities, Vm
from lucos.placement.problem import Problem

ON_NODES = (BootNode, ShutdownNode)
PLACES = {
    kind: tuple(field for field in kind.__struct_fields__ if field in ("node", "source", "destination"))
    for kind in get_args(AnyAction)
}
"""The fields of each kind of action that name nodes."""

HOLDING = (VmState.RUNNING, VmState.PAUSED)
"""The states in which a VM holds its node."""


class Fault(msgspec.Struct, frozen=True):
    """What a plan breaks: from when on, the rule (None: the cluster itself), nodes and VMs at fault."""

    at_s: float
    text: str
    constraint: Constraint | None = None
    nodes: tuple[str, ...] = ()
    vms: tuple[str, ...] = ()

    def __str__(self) -> str:
        rule = f"{self.constraint}: " if self.constraint is not None else ""
        return f"at {self.at_s:.10g} s: {rule}{self.text}"


class Stand(msgspec.Struct, frozen=True, gc=False):
    """How a VM stands: its state, its allocation, the nodes it holds with the amounts, its image's node."""

    state: VmState
    amounts: Quantities
    held: tuple[tuple[str, Quantities], ...] = ()
    image: str = ""

    @classmethod
    def of(cls, vm: Vm) -> Stand:
        """How a VM of a cluster stands."""
        place = vm.node or ""
        if vm.state in HOLDING:
            return cls(vm.state, vm.demand, ((place, vm.demand),))
        return cls(vm.state, vm.demand, image=place if vm.state is VmState.SLEEPING else "")

    @property
    def place(self) -> str:
        """The node it holds between actions, or its image's; empty when there is none."""
        return self.held[0][0] if self.held else self.image


class Step(msgspec.Struct, frozen=True, gc=False):
    """An action that can be carried out: how its VM stands before, during and after it.

    An action on a node has `node` and no stands. Times are rounded to microseconds, so that what ends when
    something else starts is not taken to overlap with it. `ongoing`: it had started before the plan began.
    """

    planned: PlannedAction
    start_s: float
    end_s: float
    ongoing: bool
    node: str = ""
    before: Stand | None = None
    during: Stand | None = None
    after: Stand | None = None

    @property
    def vm(self) -> str:
        return self.planned.action.vm

    @property
    def boots(self) -> bool:
        """Of an action on a node: whether it boots it."""
        return isinstance(self.planned.action, BootNode)


def kind_of(action: AnyAction) -> str:
    """`migrate`, `boot_node`, ..."""
    return str(type(action).__struct_config__.tag)


def outcome(action: AnyAction, now: Stand) -> tuple[Stand, Stand] | str:
    """How the VM of `action` stands during it and after it; in words why it cannot be done."""
    kind, vm = kind_of(action), action.vm
    if isinstance(action, Allocate):
        state = now.state if now.state in HOLDING else None
    else:
        state = VM_LIFE.get((now.state, kind))
    if state is None:
        return f"{vm} is {now.state}, it cannot be the subject of {kind}"
    place, said = now.place, _place_said(action, now)
    if said != place:
        return f"{vm} is on {place or 'no node'}, not on {said or 'none'}"
    amounts = now.amounts
    if isinstance(action, (Boot, Resume, Migrate, Allocate)) and action.amounts:
        amounts = amounts | dict(action.amounts)
    match action:
        case Migrate(destination=there):
            if there == place:
                return f"{vm} is already on {there}"
            here = (there, amounts)
            return msgspec.structs.replace(now, held=(*now.held, here)), Stand(state, amounts, (here,))
        case Allocate():
            most = {name: max(amounts.get(name, 0.0), now.amounts.get(name, 0.0)) for name in amounts}
            return Stand(state, most, ((place, most),)), Stand(state, amounts, ((place, amounts),))
        case Boot(node=there) | Resume(node=there):
            after = Stand(state, amounts, ((there, amounts),))
            return msgspec.structs.replace(after, image=now.image), after
        case Suspend():
            return now, Stand(state, amounts, image=place)
        case _:
            return now, Stand(state, amounts, now.held if state in HOLDING else ())


def _place_said(action: AnyAction, now: Stand) -> str:
    """Where the action takes its VM to be."""
    match action:
        case Boot():
            return ""
        case Migrate(source=source):
            return source
        case Resume(source=source, node=node):
            return source or node
        case Kill(node="") if not now.held:
            return now.place
        case _:
            return action.node


def read(problem: Problem, plan: Plan) -> tuple[list[Step], list[Fault]]:
    """The steps of a plan at its times, and what is wrong with it whatever loads and rules are.

    There are no steps when it makes no sense; one that is impossible when it is due is a fault and left out.
    """
    faults = nonsense(problem, plan)
    return ([], faults) if faults else carried_out(problem, plan)


def nonsense(problem: Problem, plan: Plan, *, by_time: bool = True) -> list[Fault]:
    """Names, numbers, amounts, dependencies and (when they matter) times that make no sense."""
    faults = [fault for step in (*problem.ongoing, *plan.actions) for fault in _nonsense(problem, step)]
    return faults or _tangles(problem, plan, by_time)


def carried_out(problem: Problem, plan: Plan, *, by_time: bool = True) -> tuple[list[Step], list[Fault]]:
    """The steps of a plan that makes sense, what was ongoing first, and its actions that are impossible.

    They come in the order of their times, or in one that their dependencies allow. An action is impossible
    when its VM or node is not in the place or state for it, or another is still under way; it is left out.
    """
    ongoing = [_Due(0.0, round(step.end_s, 6), True, step) for step in problem.ongoing]
    planned = [_Due(round(step.start_s, 6), round(step.end_s, 6), False, step) for step in plan.actions]
    if by_time:
        planned.sort(key=lambda due: (due.start_s, due.end_s))
    else:
        numbered = {due.planned.number: due for due in planned}
        planned = [numbered[number] for number in TopologicalSorter(needs_of(plan)).static_order()]
    return _replay(problem, [*ongoing, *planned], by_time)


def needs_of(plan: Plan) -> dict[int, list[int]]:
    """For each action of the plan, the actions of the plan that it waits for."""
    numbers = {step.number for step in plan.actions}
    return {step.number: [n for n in step.depends_on if n in numbers] for step in plan.actions}


class _Due(msgspec.Struct, frozen=True):
    start_s: float
    end_s: float
    ongoing: bool
    planned: PlannedAction


def _nonsense(problem: Problem, step: PlannedAction) -> Iterator[Fault]:
    """What is wrong with an action by itself."""
    action, cluster, wrong = step.action, problem.cluster, []
    if action.vm not in cluster.vms and not isinstance(action, ON_NODES):
        wrong.append(f"there is no VM {action.vm!r}")
    for field in PLACES[type(action)]:
        name = getattr(action, field)
        if name not in cluster.nodes and (name or not isinstance(action, (Kill, Resume))):
            wrong.append(f"there is no node {name!r}")
    for what, amount in getattr(action, "amounts", ()):
        if not 0 <= amount < math.inf:
            wrong.append(f"{amount} is no amount of {what}")
    if isinstance(action, Migrate) and not 0 <= action.bandwidth_mibps < math.inf:
        wrong.append(f"{action.bandwidth_mibps} is no bandwidth")
    if not (math.isfinite(step.start_s) and math.isfinite(step.end_s)):
        wrong.append("its times are no times")
    elif step.end_s < step.start_s:
        wrong.append(f"it ends at {step.end_s:g} s, before it starts")
    elif step.start_s < 0 and step not in problem.ongoing:
        wrong.append("it starts before the plan does")
    at_s = step.start_s if math.isfinite(step.start_s) else 0.0
    who = f"action {step.number} ({kind_of(action)})"
    for text in wrong:
        yield Fault(at_s, f"{who}: {text}", vms=(action.vm,) * bool(action.vm))


def _tangles(problem: Problem, plan: Plan, by_time: bool) -> list[Fault]:
    """What is wrong with numbers, dependencies and the times they are to have."""
    faults = []
    ends_s = {step.number: step.end_s for step in problem.ongoing}
    seen: set[int] = set()
    for step in plan.actions:
        if step.number in seen:
            faults.append(Fault(step.start_s, f"two actions have the number {step.number}"))
        seen.add(step.number)
        ends_s[step.number] = step.end_s
    for step in plan.actions:
        for number in step.depends_on:
            if number not in ends_s:
                text = f"action {step.number} depends on {number}, which is not in the plan"
                faults.append(Fault(step.start_s, text))
            elif by_time and round(step.start_s - ends_s[number], 6) < 0:
                text = f"action {step.number} starts before action {number}, on which it depends, has ended"
                faults.append(Fault(step.start_s, text, vms=(step.action.vm,)))
        if by_time and round(step.end_s - problem.horizon_s, 6) > 0:
            text = (
                f"action {step.number} ends at {step.end_s:g} s, after the horizon ({problem.horizon_s:g} s)"
            )
            faults.append(Fault(step.end_s, text, vms=(step.action.vm,)))
    order = {step.number: place for place, step in enumerate(plan.actions)}
    if any(order.get(n, -1) >= order[step.number] for step in plan.actions for n in step.depends_on):
        try:
            TopologicalSorter(needs_of(plan)).prepare()
        except CycleError as error:
            circle = " -> ".join(str(number) for number in reversed(error.args[1]))
            faults.append(Fault(0.0, f"actions wait for each other: {circle}"))
    return faults


def _replay(problem: Problem, due: list[_Due], by_time: bool) -> tuple[list[Step], list[Fault]]:
    """Each action in turn, from how what came before left its VM or node."""
    steps: list[Step] = []
    faults: list[Fault] = []
    stands: dict[str, Stand] = {}
    online: dict[str, bool] = {}
    busy_until_s: dict[tuple[str, str], float] = {}
    for one in due:
        action = one.planned.action
        node = action.node if isinstance(action, ON_NODES) else ""
        why, now, during = "", None, None
        if by_time and busy_until_s.get((action.vm, node), 0.0) > one.start_s:
            why = f"another action on {node or action.vm} is still under way"
        elif node:
            boots = isinstance(action, BootNode)
            if online.get(node, problem.cluster.nodes[node].online) == boots:
                why = f"{node} is already {'online' if boots else 'offline'}"
            online[node] = boots
        else:
            now = stands.get(action.vm) or Stand.of(problem.cluster.vms[action.vm])
            then = outcome(action, now)
            if isinstance(then, str):
                why = then
            else:
                during, stands[action.vm] = then
        if why:
            text = f"action {one.planned.number}: {why}"
            fault = Fault(one.start_s, text, nodes=(node,) * bool(node), vms=(action.vm,) * bool(action.vm))
            faults.append(fault)
            continue
        busy_until_s[action.vm, node] = one.end_s
        after = stands.get(action.vm)
        steps.append(Step(one.planned, one.start_s, one.end_s, one.ongoing, node, now, during, after))
    return steps, faults
