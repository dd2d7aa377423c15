"""From times to a plan: numbers, what each action depends on, and why it waits, in words.

An action that enters a pool which cannot hold everything at once depends on the shortest series of
departures, in the order of their ends, that makes room for it and for all that entered before it. Then
whatever has started, in whatever order and however long it takes, fits: the latest of it saw it all coming.
"""

from __future__ import annotations

from lucos.model import (
    Allocate,
    AnyAction,
    BootNode,
    Kill,
    Migrate,
    Plan,
    PlannedAction,
    Shutdown,
    ShutdownNode,
    Suspend,
)
from lucos.placement.arrays import NOWHERE
from lucos.placement.planner.actions import Step, Work
from lucos.placement.planner.listing import Times
from lucos.placement.planner.network import mibps

SHOWN_MAX = 3


def plan_of(work: Work, times: Times, why: dict[int, str]) -> Plan:
    """The plan; all steps have times. `why` are reasons by VM."""
    steps = work.steps
    planned = [i for i, step in enumerate(steps) if not step.ongoing]
    planned.sort(key=lambda i: (times.start[i], times.end[i], i))
    taken = [step.number for step in steps if step.ongoing]
    first = max(taken, default=-1) + 1
    number = {i: position for position, i in enumerate(planned, start=first)}
    number |= {i: step.number for i, step in enumerate(steps) if step.ongoing}
    waits = dependencies(work, times, planned)
    tick_s = work.arrays.problem.durations.tick_s
    actions = []
    for i in planned:
        step = steps[i]
        before = sorted(number[b] for b in waits[i])
        actions.append(
            PlannedAction(
                number[i],
                _with_rate(step.action, times.rate[i]),
                tuple(before),
                _reason(work, times, i, waits[i], why),
                round(times.start[i] * tick_s, 9),
                round(times.end[i] * tick_s, 9),
            )
        )
    return Plan(tuple(actions))


def _with_rate(action: AnyAction, rate_bps: int) -> AnyAction:
    if not rate_bps or not isinstance(action, Migrate):
        return action
    return Migrate(action.vm, action.source, action.destination, action.amounts, round(mibps(rate_bps), 6))


def dependencies(work: Work, times: Times, order: list[int]) -> dict[int, list[int]]:
    """For each step (in `order` of their starts) the steps that must end before it starts."""
    # What a relocation asked for more strictly than its rule may have been given up.
    waits = {i: [b for b in work.steps[i].after if times.end[b] <= times.start[i]] for i in order}
    enters: dict[int, list[tuple[int, int]]] = {}
    for i in order:
        for pool, amount in work.steps[i].takes:
            if pool not in work.loose:
                enters.setdefault(pool, []).append((i, amount))
    leaves: dict[int, list[tuple[int, int]]] = {pool: [] for pool in enters}
    for i, step in enumerate(work.steps):
        for pool, amount in step.gives:
            if pool in leaves:
                leaves[pool].append((i, amount))
    for pool, entering in enters.items():
        leaving = sorted(leaves[pool], key=lambda entry: (times.end[entry[0]], entry[0]))
        room, passed = work.free[pool], 0
        for i, amount in entering:
            room -= amount
            while room < 0 and passed < len(leaving):
                room += leaving[passed][1]
                passed += 1
            waits[i] += [b for b, _ in leaving[:passed] if b != i]
    for members in work.together:
        for at in {times.start[i]: None for i in members}:
            same = [i for i in members if times.start[i] == at]
            shared = [b for i in same for b in waits[i]]
            waits.update(dict.fromkeys(same, shared))
    return {i: list(dict.fromkeys(before)) for i, before in waits.items()}


def _reason(work: Work, times: Times, i: int, waits: list[int], why: dict[int, str]) -> str:
    step = work.steps[i]
    given = why.get(step.vm, "") if step.vm >= 0 else ""
    start = times.start[i]
    if not start:
        return given
    last = [b for b in waits if times.end[b] == start]
    if last:
        shown = ", ".join(_event(work.steps[b], step.vm) for b in last[:SHOWN_MAX])
        more = f" and {len(last) - SHOWN_MAX} more" if len(last) > SHOWN_MAX else ""
        text = f"waits until {shown}{more}"
    elif step.path:
        text = "waits for bandwidth"
    else:
        text = "waits for its turn"
    return f"{given}; {text}" if given else text


def _event(step: Step, for_vm: int) -> str:
    """What the end of a step means to the VM (or node) that waits for it."""
    if step.vm == for_vm != NOWHERE:
        return "its action before has ended"
    match step.action:
        case Migrate(vm=vm, source=source):
            return f"{vm} has left {source}"
        case Allocate(vm=vm, node=node):
            return f"{vm} takes less of {node}"
        case Suspend(vm=vm, node=node) | Shutdown(vm=vm, node=node) | Kill(vm=vm, node=node) if node:
            return f"{vm} has left {node}"
        case BootNode(node=node):
            return f"{node} is on"
        case ShutdownNode(node=node):
            return f"{node} is off"
        case other:
            return f"{other.vm} is done"
