"""What must leave each node, and how much any plan costs at least because of it."""

from __future__ import annotations

import msgspec
import numpy as np

from lucos.placement.arrays import NOWHERE, RUNNING, SLEEPING, Arrays
from lucos.placement.covers import Cover, cheapest
from lucos.placement.objectives import memory_of, milliwatts, objectives_of
from lucos.placement.primitives import Allow, Amounts, Apart, Ints, Mask, ints
from lucos.placement.problem import Objective
from lucos.placement.state import State, usable_amounts

# In one cost for all objectives a move counts one, the second objective this much, the first so much more.
SECOND = 1 << 12
FIRST = 1 << 40
# Costs above which the first objective stands alone, so that sums stay within 63 bits.
ALONE = 1 << 12


class Leavers(msgspec.Struct, frozen=True):
    """VMs that must leave (`forced`), and the cheapest set that ends what is wrong on each other node."""

    forced: Ints
    covers: tuple[tuple[int, Ints, Cover], ...]
    """(node, its movable VMs, which of them by position)"""

    @property
    def chosen(self) -> list[int]:
        """All VMs to move, those of covers that exist."""
        picked = [int(vms[i]) for _, vms, cover in self.covers for i in cover.chosen or ()]
        return [*(int(vm) for vm in self.forced), *picked]


def stay_ticks(arrays: Arrays) -> Amounts:
    """[V] of re-allocating a VM in place, 0 when nothing changes."""
    grows = (arrays.need != arrays.use).any(axis=1)
    return np.where(grows, arrays.allocate_ticks, 0)


def move_cost(objective: Objective, arrays: Arrays) -> Amounts:
    """[V] what moving a running VM costs more than leaving it, at least, in units of the objective."""
    match objective:
        case Objective.MIGRATIONS:
            return np.ones(len(arrays.vms), np.int64)
        case Objective.MIGRATED_MEMORY:
            return np.asarray(memory_of(arrays))
        case Objective.SUM_OF_ENDS:
            return np.asarray(np.maximum(arrays.migrate_ticks - stay_ticks(arrays), 0))
        case _:
            return np.zeros(len(arrays.vms), np.int64)


class Costs(msgspec.Struct, frozen=True, eq=False):
    """[V] what moves cost by all objectives in one number, and the first that moves cost with its unit in it.

    A set that is cheapest by this number is also cheapest by that objective alone.
    """

    amounts: Amounts
    objective: Objective | None = None
    unit: int = 1


def costs_of(arrays: Arrays) -> Costs:
    named = [o for o in objectives_of(arrays.problem) if move_cost(o, arrays).any()]
    if not named:
        return Costs(np.ones(len(arrays.vms), np.int64))
    cost = move_cost(named[0], arrays)
    if len(named) == 1 or cost.max() > ALONE:
        return Costs(cost * SECOND + 1, named[0], SECOND)
    less = np.minimum(move_cost(named[1], arrays), FIRST // SECOND**2 - 1)
    return Costs(cost * FIRST + less * SECOND + 1, named[0], FIRST)


def static_mask(arrays: Arrays, rules: list[Allow], online: Mask) -> Mask:
    """[N] nodes that its Allow rules leave a VM."""
    mask = online & ~arrays.closed
    for rule in rules:
        mask &= rule.nodes
    return np.asarray(mask)


def leavers(state: State, cost: Amounts, unit: int = 1) -> Leavers:
    """What must leave where it is, given where all is now."""
    arrays, place = state.arrays, state.place
    forced = np.zeros(len(arrays.vms), dtype=np.bool_)
    there = np.flatnonzero(place >= 0)
    forced[there] = arrays.closed[place[there]] | ~state.online[place[there]]
    for rule in state.hard:
        if isinstance(rule, Allow):
            vms = rule.vms[place[rule.vms] >= 0]
            forced[vms] |= ~rule.nodes[place[vms]]
    load = state.load.copy()
    np.subtract.at(load, place[forced], arrays.need[forced])
    clashing: dict[int, list[Apart]] = {}
    for apart, node in state.clashes(np.where(forced, NOWHERE, place)):
        clashing.setdefault(node, []).append(apart)
    over = np.flatnonzero((load > state.capacity).any(axis=1))
    troubled = sorted({*(int(node) for node in over), *clashing})
    covers = tuple(_cover(state, n, load[n], (cost, unit), forced, clashing.get(n, [])) for n in troubled)
    return Leavers(np.flatnonzero(forced).astype(np.int32), covers)


def _cover(
    state: State, node: int, load: Amounts, costs: tuple[Amounts, int], forced: Mask, rules: list[Apart]
) -> tuple[int, Ints, Cover]:
    """The cheapest set to leave one node, what must leave because another cannot included."""
    arrays = state.arrays
    cost, unit = costs
    here = [vm for vm in state.guests[node] if not forced[vm]]
    movable = ints([vm for vm in here if _can_leave(state, vm, node)])
    at = {int(vm): i for i, vm in enumerate(movable)}
    clashes, must = [], np.zeros(len(movable), dtype=np.bool_)
    for rule in rules:
        guests = [[vm for vm in here if vm in side] for side in state.sides(rule)]
        present = [side for side in guests if side]
        stuck = [any(vm not in at for vm in side) for side in present]
        sides = [ints([at[vm] for vm in side if vm in at]) for side in present]
        if sum(stuck) > 1:
            return node, movable, Cover(None, 0, 0)
        if any(stuck):
            for side, stays in zip(sides, stuck, strict=True):
                must[side] |= not stays
        else:
            clashes.append(sides)
    excess = load - state.capacity[node]
    if not must.any():
        return node, movable, cheapest(cost[movable], arrays.need[movable], excess, clashes, unit)
    first, rest = np.flatnonzero(must), np.flatnonzero(~must)
    excess = excess - arrays.need[movable[first]].sum(axis=0)
    kept = {int(position): i for i, position in enumerate(rest)}
    left = [[ints([kept[int(p)] for p in side if int(p) in kept]) for side in sides] for sides in clashes]
    open_ = [[side for side in sides if len(side)] for sides in left]
    open_ = [sides for sides in open_ if len(sides) > 1]
    more = cheapest(cost[movable[rest]], arrays.need[movable[rest]], excess, open_, unit)
    spent = int(cost[movable[first]].sum())
    if more.chosen is None:
        return node, movable, Cover(None, 0, 0)
    chosen = (*(int(i) for i in first), *(int(rest[i]) for i in more.chosen))
    return node, movable, Cover(chosen, spent + more.cost, spent + more.bound)


def _can_leave(state: State, vm: int, node: int) -> bool:
    rules = [rule for rule in state.rules_of[vm] if isinstance(rule, Allow)]
    if not rules:
        return True
    mask = static_mask(state.arrays, rules, state.online)
    return bool(mask.sum() > mask[node])


def lower_bound(objective: Objective, start: State, costs: Costs, found: Leavers) -> int:
    """No result costs less than this. `found` are the leavers of the start by `costs`."""
    arrays = start.arrays
    if objective is Objective.NODES_USED:
        return _nodes_needed(arrays)
    if objective is Objective.MAKESPAN:
        return _longest(start)
    if objective is Objective.ENERGY:
        return _idle_power(arrays)
    cost = move_cost(objective, arrays)
    if not cost.any():
        return 0
    same = objective is costs.objective
    known, unit = (found, costs.unit) if same else (leavers(start, cost), 1)
    bound = int(cost[known.forced].sum()) + sum(cover.bound // unit for _, _, cover in known.covers)
    return bound + _unavoidable(arrays) if objective is Objective.SUM_OF_ENDS else bound


def _resumes(arrays: Arrays) -> Mask:
    """[V] asleep now and running in the result."""
    return np.asarray(arrays.runs & (arrays.state == SLEEPING))


def _changes(arrays: Arrays) -> Mask:
    """[V] of another state in the result, resumes aside."""
    return np.asarray((arrays.target != arrays.state) & ~_resumes(arrays))


def _least_ticks(arrays: Arrays) -> list[Amounts]:
    """Ticks of actions that no placement avoids: changes of state, the cheaper of staying and moving."""
    turned = (arrays.node_target >= 0) & ((arrays.node_target == 1) != arrays.online)
    return [
        arrays.change_ticks[_changes(arrays)],
        np.minimum(arrays.resume_local_ticks, arrays.resume_remote_ticks)[_resumes(arrays)],
        np.minimum(stay_ticks(arrays), arrays.migrate_ticks)[arrays.runs & arrays.runs_now],
        arrays.node_ticks[turned],
    ]


def _unavoidable(arrays: Arrays) -> int:
    return sum(int(ticks.sum()) for ticks in _least_ticks(arrays))


def _longest(state: State) -> int:
    arrays = state.arrays
    ticks = _least_ticks(arrays)
    found = leavers(state, np.ones(len(arrays.vms), np.int64))
    ticks.append(arrays.migrate_ticks[found.forced])
    ticks += [
        arrays.migrate_ticks[vms].min(keepdims=True)
        for _, vms, cover in found.covers
        if cover.bound and len(vms)
    ]
    return max((int(t.max()) for t in ticks if len(t)), default=0)


def _nodes_needed(arrays: Arrays) -> int:
    """The largest nodes that together offer what is needed, the worst resource deciding."""
    needed = arrays.need[arrays.target == RUNNING].sum(axis=0)
    offered = -np.sort(-usable_amounts(arrays), axis=0)
    counts = [
        int(np.searchsorted(np.cumsum(offered[:, r]), needed[r])) + 1 for r in range(len(needed)) if needed[r]
    ]
    return max(counts, default=0) if (arrays.target == RUNNING).any() else 0


def _idle_power(arrays: Arrays) -> int:
    """Milliwatts of as many idle nodes as are needed, the thriftiest."""
    idle = sorted(0 if table is None else int(table.min()) for table in milliwatts(arrays))
    return sum(idle[: _nodes_needed(arrays)])


def busy_ticks(arrays: Arrays, where: Ints) -> int:
    """What the actions of a result take together, node boots and shutdowns aside."""
    stays = arrays.runs & arrays.runs_now
    moved = stays & (where != arrays.host)
    resumes = _resumes(arrays)
    local = resumes & (where == arrays.host)
    return int(
        arrays.migrate_ticks[moved].sum()
        + stay_ticks(arrays)[stays & ~moved].sum()
        + arrays.change_ticks[_changes(arrays)].sum()
        + arrays.resume_local_ticks[local].sum()
        + arrays.resume_remote_ticks[resumes & ~local].sum()
    )
