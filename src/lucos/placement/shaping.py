"""Quick steps towards few nodes or even loads, from a result in which nothing is violated.

Consolidation empties the emptiest nodes into others that are in use, one node all or nothing. Balancing moves
a VM from a node above its fair share to one below, as long as that brings loads nearer to the shares.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from lucos.placement.arrays import SLEEPING
from lucos.placement.objectives import balanced_nodes, fair_shares
from lucos.placement.primitives import Ints
from lucos.placement.problem import Objective
from lucos.placement.state import State

# Single moves of one balancing, per node.
MOVES_PER_NODE = 4
# Guests of a node that are looked at for one move.
GUESTS_TRIED = 16


def shape(state: State, objectives: Sequence[Objective]) -> bool:
    """Bring `state` nearer to the objectives; whether anything changed. Rules and capacities keep holding."""
    changed = False
    if Objective.NODES_USED in objectives or Objective.ENERGY in objectives:
        changed = _consolidate(state)
    if Objective.ENERGY in objectives:
        changed |= _turn_off(state)
    if Objective.BALANCE in objectives:
        changed |= _balance(state)
    return changed


def _turn_off(state: State) -> bool:
    """Switch off the nodes that hold nothing, keep no image and need not be on."""
    arrays = state.arrays
    busy = np.asarray([bool(there) for there in state.guests])
    images = arrays.host[(arrays.target == SLEEPING) & (arrays.host >= 0)]
    busy[images] = True
    idle = state.online & ~busy & (arrays.node_target == -1)
    state.online[idle] = False
    return bool(idle.any())


def _consolidate(state: State) -> bool:
    changed = False
    for node in state.emptiest(len(state.arrays.nodes)):
        guests = list(state.guests[node])
        if guests and _empty(state, int(node), guests):
            changed = True
    return changed


def _empty(state: State, node: int, guests: list[int]) -> bool:
    """Move all guests to other used nodes, each to the fullest that takes it; all or none."""
    size = state.arrays.need.sum(axis=1)
    moved: list[int] = []
    for vm in sorted(guests, key=lambda vm: (-size[vm], vm)):
        used = np.asarray([bool(there) for there in state.guests])
        used[node] = False
        options = np.flatnonzero(state.allowed(vm) & used).astype(np.int32)
        options = options[state.fits(vm, options)]
        if not len(options):
            for back in moved:
                state.put(back, node)
            return False
        state.put(vm, int(options[state.fullness(vm, options).argmax()]))
        moved.append(vm)
    return True


def _balance(state: State) -> bool:
    shares, weight = fair_shares(state.arrays)
    nodes = np.flatnonzero(balanced_nodes(state.arrays)).astype(np.int32)
    stuck = np.zeros(len(state.arrays.nodes), dtype=np.bool_)
    changed = False
    for _ in range(MOVES_PER_NODE * len(nodes)):
        above = ((state.load - shares).clip(min=0) * weight).sum(axis=1)[nodes]
        above[stuck[nodes]] = 0
        if not len(above) or not above.max():
            break
        node = int(nodes[above.argmax()])
        if _lighten(state, node, nodes, shares, weight):
            stuck[:] = False
            changed = True
        else:
            stuck[node] = True
    return changed


def _lighten(state: State, node: int, nodes: Ints, shares: np.ndarray, weight: np.ndarray) -> bool:
    """The best single move away from a node, if one brings loads nearer to the shares."""
    need = state.arrays.need
    best: tuple[int, int, int] | None = None
    off = (np.abs(state.load - shares) * weight).sum(axis=1)
    for vm in sorted(state.guests[node], key=lambda vm: (-int((need[vm] * weight).sum()), vm))[:GUESTS_TRIED]:
        options = nodes[state.allowed(vm)[nodes] & (nodes != node)]
        options = options[state.fits(vm, options)]
        if not len(options):
            continue
        there = (np.abs(state.load[options] + need[vm] - shares[options]) * weight).sum(axis=1) - off[options]
        here = int((np.abs(state.load[node] - need[vm] - shares[node]) * weight).sum() - off[node])
        at = int(there.argmin())
        gain = here + int(there[at])
        if gain < 0 and (best is None or gain < best[0]):
            best = (gain, vm, int(options[at]))
    if best is not None:
        state.put(best[1], best[2])
    return best is not None
