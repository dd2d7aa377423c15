"""Vectorised repair: a first result in milliseconds. What violates something moves, and what makes room.

What must leave each node is chosen exactly (see `covers`), the largest VMs are placed first, each on the node
that is emptiest after the move (or fullest, for a second try), on one that need not wait for a departure if
there is one. A VM that finds no room takes that of a smaller one that can go elsewhere.
"""

from __future__ import annotations

from enum import StrEnum
from typing import TypeGuard

import numpy as np

from lucos.placement.arrays import NOWHERE, RUNNING
from lucos.placement.bounds import Leavers, leavers
from lucos.placement.holding import holds, total_on
from lucos.placement.primitives import (
    Amounts,
    AnyPrimitive,
    Apart,
    Distinct,
    Ints,
    Mask,
    Near,
    Together,
    Total,
    ints,
)
from lucos.placement.state import State

# Rounds of choosing leavers and placing them; each round may uncover what the last one moved into.
ROUNDS_MAX = 6
# On large clusters this many of the emptiest nodes are looked at first, chosen anew after so many moves.
FEW = 512
FEW_RENEWED = 128
# Nodes and their guests that are looked at to make room for one VM.
NODES_TRIED = 12
SWAPS_TRIED = 40


class Style(StrEnum):
    EMPTIEST = "emptiest"
    FULLEST = "fullest"


def repair(
    state: State, cost: Amounts, style: Style = Style.EMPTIEST, first: Leavers | None = None
) -> list[int]:
    """Change `state` until nothing is violated; the VMs that could not be placed (empty: repaired).

    cost[V] is what moving a VM is worth avoiding; `first` the leavers of the start when they are known.
    """
    _boot_nodes(state)
    tried: set[int] = set()
    for turn in range(ROUNDS_MAX):
        found = first if turn == 0 and first is not None else leavers(state, cost)
        movers = [*found.chosen, *_rule_movers(state)]
        waiting = np.flatnonzero((state.arrays.target == RUNNING) & (state.place == NOWHERE))
        movers = list(dict.fromkeys([*movers, *(int(vm) for vm in waiting)]))
        if not movers:
            return [int(vm) for _, vms, cover in found.covers if cover.chosen is None for vm in vms]
        stuck = _place_all(state, _with_groups(state, movers), style)
        if stuck and tried.issuperset(stuck):
            return stuck
        tried.update(stuck)
    return [int(vm) for vm in leavers(state, cost).chosen] or _rule_movers(state)


def _place_all(state: State, movers: list[int], style: Style) -> list[int]:
    """Take all movers off, then place each, the largest first. Those that fit nowhere stay off."""
    arrays = state.arrays
    origin = {vm: int(state.place[vm]) for vm in movers}
    for vm in movers:
        state.put(vm, NOWHERE)
    size = (arrays.need / np.maximum(arrays.capacity.max(axis=0, initial=1), 1)).max(axis=1, initial=0.0)
    stuck: list[int] = []
    few = np.empty(0, np.int32)
    units = _units(state, movers)
    for turn, unit in enumerate(sorted(units, key=lambda unit: (-size[unit].sum(), unit))):
        if turn % FEW_RENEWED == 0 and len(arrays.nodes) > FEW and style is Style.EMPTIEST:
            few = state.emptiest(FEW)
        if len(unit) > 1 and _place_together(state, unit, style):
            continue
        stuck += [vm for vm in unit if not _place(state, vm, style, origin[vm], few)]
    return stuck


def _units(state: State, movers: list[int]) -> list[list[int]]:
    """The movers, those that must share a node as one."""
    left = dict.fromkeys(movers)
    units = []
    for vm in movers:
        if vm not in left:
            continue
        gathered = [rule for rule in state.rules_of[vm] if _one_node_each(rule)]
        unit = [int(o) for rule in gathered for o in rule.vms if int(o) in left] or [vm]
        unit = list(dict.fromkeys(unit))
        for member in unit:
            del left[member]
        units.append(unit)
    return units


def _one_node_each(rule: AnyPrimitive) -> TypeGuard[Together]:
    """A gather: every node is a group of its own."""
    return isinstance(rule, Together) and int(rule.group_of.max(initial=-1)) + 1 == len(rule.group_of)


def _place_together(state: State, unit: list[int], style: Style) -> bool:
    """Put VMs that must share a node on one that takes them all; False when there is none."""
    allowed = np.logical_and.reduce([state.allowed(vm) for vm in unit])
    need = state.arrays.need[unit].sum(axis=0)
    nodes = np.flatnonzero(allowed & np.all(state.load + need <= state.room, axis=1)).astype(np.int32)
    if not len(nodes):
        return False
    node = _best(state, unit[0], nodes, style)
    for vm in unit:
        state.put(vm, node)
    return True


def _place(state: State, vm: int, style: Style, origin: int, few: Ints) -> bool:
    """Put `vm` on the best node, looking at `few` first; False when none can take it."""
    allowed = state.allowed(vm)
    if origin >= 0 and allowed[origin] and state.fits(vm, ints([origin]))[0]:
        # Where it was is fine again: others left.
        state.put(vm, origin)
        return True
    for turn, nodes in enumerate((few[allowed[few]], np.flatnonzero(allowed).astype(np.int32))):
        options = nodes[state.fits(vm, nodes)]
        at_once = options[state.fits_at_once(vm, options)]
        if len(at_once) or (len(options) and turn):
            state.put(vm, _best(state, vm, at_once if len(at_once) else options, style))
            return True
    return _make_room(state, vm, allowed, style)


def _best(state: State, vm: int, nodes: Ints, style: Style) -> int:
    full = state.fullness(vm, nodes)
    return int(nodes[full.argmin() if style is Style.EMPTIEST else full.argmax()])


def _make_room(state: State, vm: int, allowed: Mask, style: Style) -> bool:
    """Push one guest of an allowed node elsewhere, so that `vm` fits."""
    arrays = state.arrays
    nodes = np.flatnonzero(allowed)
    lack = (state.load + arrays.need[vm] - state.room)[nodes].clip(min=0)
    order = np.argsort((lack / np.maximum(arrays.capacity[nodes], 1)).sum(axis=1), kind="stable")
    swaps = 0
    for i in order[:NODES_TRIED]:
        node = int(nodes[i])
        guests = [g for g in state.guests[node] if np.all(arrays.need[g] >= lack[i])]
        for guest in sorted(guests, key=lambda g: (int(arrays.need[g].sum()), g)):
            swaps += 1
            if swaps > SWAPS_TRIED:
                return False
            others = np.flatnonzero(state.allowed(guest)).astype(np.int32)
            others = others[state.fits(guest, others) & (others != node)]
            if not len(others):
                continue
            state.put(guest, _best(state, guest, others, style))
            if state.allowed(vm)[node] and state.fits(vm, ints([node]))[0]:
                state.put(vm, node)
                return True
            state.put(guest, node)
    return False


def _boot_nodes(state: State) -> None:
    """Nodes that may be online but are not are booted only when the others cannot hold all VMs."""
    arrays = state.arrays
    needed = arrays.need[arrays.target == RUNNING].sum(axis=0)
    sleeping = [int(n) for n in np.flatnonzero(~state.online & (arrays.node_target == -1) & ~arrays.closed)]
    while sleeping and (arrays.capacity[state.online & ~arrays.closed].sum(axis=0) < needed).any():
        state.online[sleeping.pop(0)] = True


def _rule_movers(state: State) -> list[int]:
    """VMs to move for rules that bind several nodes at once (those of one node are `leavers`)."""
    return [vm for rule in state.hard for vm in _culprits(state, rule)]


def _culprits(state: State, rule: AnyPrimitive) -> list[int]:
    place = state.place
    match rule:
        case Apart():
            return []
        case Together():
            return _outside(state, [int(vm) for vm in rule.vms], rule.group_of)
        case Distinct():
            if holds(rule, state.arrays, place, state.online, state.load):
                return []
            return [int(vm) for vms in rule.sets for vm in vms if place[vm] >= 0]
        case Near():
            if holds(rule, state.arrays, place, state.online, state.load):
                return []
            return [int(vm) for vm in rule.vms[1:] if place[vm] >= 0]
        case Total():
            return _surplus(state, rule)
        case _:
            return []


def _outside(state: State, vms: list[int], group_of: np.ndarray) -> list[int]:
    """Those that are not in the group where most are; everyone when none is in a group."""
    groups = {vm: int(group_of[state.place[vm]]) for vm in vms if state.place[vm] >= 0}
    known = sorted(group for group in groups.values() if group >= 0)
    if not known:
        return list(groups)
    home = max(known, key=known.count)
    return [vm for vm, group in groups.items() if group != home]


def _surplus(state: State, rule: Total) -> list[int]:
    """The largest VMs on the limited nodes, until the rest is within the limit."""
    need = np.ones(len(state.place), np.int64) if rule.resource < 0 else state.arrays.need[:, rule.resource]
    over = total_on(rule, state.arrays, state.place) - rule.limit
    chosen: list[int] = []
    if over <= 0:
        return chosen
    there = np.flatnonzero((state.place >= 0) & rule.nodes[state.place])
    enough = there[need[there] >= over]
    if len(enough):
        return [int(enough[need[enough].argmin()])]
    for vm in there[np.argsort(-need[there], kind="stable")]:
        if over <= 0 or need[vm] == 0:
            break
        chosen.append(int(vm))
        over -= int(need[vm])
    return chosen


def _with_groups(state: State, movers: list[int]) -> list[int]:
    """Movers, and those that must stay in one group with them when that group cannot take the mover back."""
    wanted = dict.fromkeys(movers)
    for vm in movers:
        for rule in state.rules_of[vm]:
            if not isinstance(rule, Together) or state.place[vm] < 0:
                continue
            group = rule.group_of[state.place[vm]]
            if group >= 0 and (rule.group_of == group).sum() == 1:
                wanted.update(dict.fromkeys(int(other) for other in rule.vms if state.place[other] >= 0))
    return list(wanted)
