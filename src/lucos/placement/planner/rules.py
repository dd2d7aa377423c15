"""What rules ask of the order of steps towards a fixed target: precedences, pools, common starts.

Once the target is fixed, two VMs that may not be where they are together can only meet where one still is
and the other already comes: the one must have left before the other starts. Rules that bind at every
instant are those that are continuous, hard, and hold when the plan begins.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import NamedTuple

import numpy as np

from lucos.model import BootNode, Migrate, ShutdownNode
from lucos.placement.arrays import NOWHERE, Arrays
from lucos.placement.constraints.lowered import usage_now
from lucos.placement.planner.actions import Room, Step, Work, start_together
from lucos.placement.planner.vjobs import bind_vjobs
from lucos.placement.primitives import (
    Allow,
    AnyPrimitive,
    Apart,
    Distinct,
    Ints,
    Near,
    Online,
    Timing,
    Together,
    Total,
    When,
)
from lucos.placement.problem import Limits

Place = tuple[int, int]
"""A VM and a node that it holds."""


def standing(arrays: Arrays) -> list[AnyPrimitive]:
    """The primitives that bind every instant: lowering marks as continuous what holds at first."""
    return [
        p for p in arrays.primitives if p.continuous and not p.weight and not isinstance(p, Timing | Allow)
    ]


class Stay(NamedTuple):
    """A VM on a node, from the start of one step (None: at first) to the end of another (None: for good)."""

    vm: int
    node: int
    since: int | None
    until: int | None


def stays_of(work: Work) -> dict[int, list[Stay]]:
    """For each VM that enters or leaves a node, its stays in order. Resources in place do not matter here."""
    chains: dict[int, list[Stay]] = {}
    for i, step in enumerate(work.steps):
        if step.vm == NOWHERE:
            continue
        chain = chains.setdefault(step.vm, [])
        if step.source != NOWHERE:
            if chain and chain[-1].until is None and chain[-1].node == step.source:
                chain[-1] = chain[-1]._replace(until=i)
            else:
                chain.append(Stay(step.vm, step.source, None, i))
        if step.node != NOWHERE:
            chain.append(Stay(step.vm, step.node, i, None))
    return chains


def bind_rules(work: Work) -> None:
    """Add to the steps what rules, timings and limits ask of their order."""
    arrays = work.arrays
    chains = stays_of(work)
    moving = np.zeros(len(arrays.vms), dtype=np.bool_)
    moving[list(chains)] = True
    for primitive in standing(arrays):
        match primitive:
            case Total():
                _bind_total(work, primitive)
            case Online():
                _bind_online(work, primitive)
            case Together(relocate=True) if _relocates(work, primitive, chains):
                continue
            case Apart() | Together() | Distinct() | Near():
                vms = _members(primitive, moving)
                if vms:
                    _bind_conflicts(work, primitive, [stay for vm in vms for stay in chains[vm]])
    for timing in arrays.primitives:
        if isinstance(timing, Timing):
            _bind_timing(work, timing)
    _bind_limits(work)
    bind_vjobs(work)


def _bind_conflicts(work: Work, rule: AnyPrimitive, stays: list[Stay]) -> None:
    """Who may not come before another has left waits for him."""
    gone: dict[int, list[Stay]] = {}
    for stay in stays:
        if stay.until is not None:
            gone.setdefault(stay.node, []).append(stay)
    if not gone:
        return
    clash = conflict(rule)
    for stay in stays:
        if stay.since is None:
            continue
        for node in [stay.node] if isinstance(rule, Apart) else gone:
            for other in gone.get(node, ()):
                if other.until is None or not clash(stay[:2], other[:2]):
                    continue
                if other.until == stay.since:
                    work.hopeless[stay.vm] = _no_way_out(work.arrays, rule, other)
                elif not work.ordered or other.until < stay.since or work.steps[other.until].ongoing:
                    step = work.steps[stay.since]
                    step.after = [*step.after, other.until]


def _no_way_out(arrays: Arrays, rule: AnyPrimitive, stay: Stay) -> str:
    text = f"rule {arrays.problem.constraints[rule.rule]}" if rule.rule >= 0 else "a rule"
    return (
        f"{arrays.vms[stay.vm]} cannot migrate from {arrays.nodes[stay.node]}: {text} holds at every instant"
    )


def sets_of(rule: AnyPrimitive) -> tuple[Ints, ...]:
    """The sets of VMs that a primitive speaks of, in its order; none for those that count nodes or VMs."""
    match rule:
        case Apart(sides=sets) | Distinct(sets=sets):
            return sets
        case Allow(vms=vms) | Together(vms=vms) | Near(vms=vms) | Timing(vms=vms):
            return (vms,)
    return ()


def _members(rule: AnyPrimitive, moving: np.ndarray) -> list[int]:
    groups = sets_of(rule)
    vms = np.concatenate(groups) if len(groups) != 1 else groups[0]
    return list(dict.fromkeys(vms[moving[vms]].tolist()))


def conflict(rule: AnyPrimitive) -> Callable[[Place, Place], bool]:
    """Whether two places may not be held at one instant (the same VM on two nodes included)."""
    if isinstance(rule, Together):
        group_of = rule.group_of
        return lambda a, b: bool(group_of[a[1]] != group_of[b[1]] or group_of[a[1]] < 0)
    if isinstance(rule, Near):
        near = rule.near
        return lambda a, b: a[0] != b[0] and not (near(a[1])[b[1]] and near(b[1])[a[1]])
    if isinstance(rule, Apart):
        sides: dict[int, set[int]] = {}
        for number, part in enumerate(rule.sides):
            for vm in part.tolist():
                sides.setdefault(vm, set()).add(number)
        return lambda a, b: a[0] != b[0] and a[1] == b[1] and bool(sides[a[0]] ^ sides[b[0]])
    assert isinstance(rule, Distinct)
    set_of = {vm: number for number, part in enumerate(rule.sets) for vm in part.tolist()}
    groups = rule.group_of
    return lambda a, b: bool((set_of[a[0]] == set_of[b[0]]) != (groups[a[1]] == groups[b[1]]))


def _relocates(work: Work, rule: Together, chains: dict[int, list[Stay]]) -> bool:
    """Whether the group moves to another; then all who migrate start at one instant, newcomers with them.

    Who stops in the old group stops before: this is a little stricter than the rule.
    """
    group_of = rule.group_of
    moved, joined, stopped = list[int](), list[int](), list[int]()
    for vm in rule.vms.tolist():
        chain = chains.get(vm, [])
        for before, then in pairwise(chain):
            if then.since is not None and before.until == then.since:
                moved += [then.since] * bool(group_of[before.node] != group_of[then.node])
        if chain and chain[0].since is not None:
            joined.append(chain[0].since)
        if chain and chain[-1].until is not None:
            stopped.append(chain[-1].until)
    if not moved:
        return False
    for i in moved:
        work.steps[i].after = [*work.steps[i].after, *stopped]
    start_together(work, [*moved, *joined])
    return True


def _bind_total(work: Work, rule: Total) -> None:
    arrays = work.arrays
    pool = work.pool(rule.limit - int(usage_now(arrays)[rule.nodes, rule.resource].sum()))
    first = len(arrays.resources)
    size = len(arrays.nodes) * first
    counted = set(np.flatnonzero(rule.nodes).tolist())

    def of_rule(room: Room) -> Room:
        total = sum(
            amount for p, amount in room if p < size and p // first in counted and p % first == rule.resource
        )
        return [(pool, total)] if total else []

    for step in work.steps:
        if rule.resource >= 0:
            takes, gives = of_rule(step.takes), of_rule(step.gives)
        else:
            takes = [(pool, 1)] if step.node in counted and step.vm != NOWHERE else []
            gives = [(pool, 1)] if step.source in counted else []
        step.takes, step.gives = [*step.takes, *takes], [*step.gives, *gives]


def _bind_online(work: Work, rule: Online) -> None:
    arrays = work.arrays
    pool = work.pool(rule.limit - int((arrays.online & rule.nodes).sum()))
    for step in work.steps:
        if (
            isinstance(step.action, BootNode | ShutdownNode)
            and rule.nodes[arrays.node_index[step.action.node]]
        ):
            if isinstance(step.action, BootNode):
                step.takes = [*step.takes, (pool, 1)]
            else:
                step.gives = [*step.gives, (pool, 1)]


def _bind_timing(work: Work, rule: Timing) -> None:
    """Timings bind the actions that change where a VM is or its state; `no_delay` allocations too."""
    by_vm = {
        step.vm: i
        for i, step in enumerate(work.steps)
        if step.vm != NOWHERE and not step.ongoing and (is_change(step) or rule.when is When.NO_DELAY)
    }
    chosen = [by_vm[vm] for vm in rule.vms.tolist() if vm in by_vm]
    match rule.when:
        case When.SEQUENCE:
            for before, i in pairwise(chosen):
                work.steps[i].after = [*work.steps[i].after, before]
        case When.SERIALIZE:
            pool = work.pool(1)
            for i in chosen:
                step = work.steps[i]
                step.takes, step.gives = [*step.takes, (pool, 1)], [*step.gives, (pool, 1)]
        case When.SYNC:
            start_together(work, chosen)
        case When.NO_DELAY:
            for i in chosen:
                work.steps[i].latest = 0
        case When.DEADLINE:
            for i in chosen:
                step = work.steps[i]
                step.deadline = rule.at if step.deadline is None else min(rule.at, step.deadline)


def is_change(step: Step) -> bool:
    """Whether timings see the step: all but allocations in place."""
    return step.node != NOWHERE or step.source != NOWHERE or not (step.takes or step.gives)


def _bind_limits(work: Work) -> None:
    limits = work.arrays.problem.limits
    if limits == Limits():
        return
    everywhere = None if limits.migrations is None else work.pool(limits.migrations, loose=True)
    doors: dict[tuple[bool, int], int] = {}

    def door(out: bool, node: int, limit: int | None) -> Room:
        if limit is None:
            return []
        if (out, node) not in doors:
            doors[out, node] = work.pool(limit, loose=True)
        return [(doors[out, node], 1)]

    for step in work.steps:
        if not isinstance(step.action, Migrate):
            continue
        room = [] if everywhere is None else [(everywhere, 1)]
        index, action = work.arrays.node_index, step.action
        room += door(True, index[action.source], limits.out_per_node)
        room += door(False, index[action.destination], limits.in_per_node)
        step.takes, step.gives = [*step.takes, *room], [*step.gives, *room]
