"""Which VMs should leave a node: the cheapest set whose departure ends what is wrong there, and a bound.

Small nodes are solved exactly by trying all subsets at once; on larger ones one or two VMs are tried exactly,
more by a greedy cover. The bound holds whatever happens elsewhere, so that bounds of nodes add up.
"""

from __future__ import annotations

from functools import cache

import msgspec
import numpy as np

from lucos.placement.primitives import Amounts, Mask

# Nodes with at most this many movable VMs are solved exactly: 2 ** 12 subsets.
EXACT_MAX = 12
PAIRS_MAX = 400


class Cover(msgspec.Struct, frozen=True):
    """VMs (positions in the input) to leave, their cost, and what any set costs; None: no set will do."""

    chosen: tuple[int, ...] | None
    cost: int
    bound: int


@cache
def _subsets(count: int) -> np.ndarray:
    """[2 ** count, count] all subsets as rows of 0 and 1; floats, since their products are far quicker."""
    return (np.arange(2**count)[:, None] >> np.arange(count) & 1).astype(np.float64)


def cheapest(
    cost: Amounts, sizes: Amounts, excess: Amounts, clashes: list[list[np.ndarray]], unit: int = 1
) -> Cover:
    """The cheapest set of VMs whose sizes together reach `excess` and whose departure ends the clashes.

    cost[m] >= 0, sizes[m, R], excess[R]; a clash is a list of sides (positions), of which at most one may
    stay. Among sets of equal cost the fewest VMs, then the smallest, since these find a place easily. `unit`:
    what is below it in costs only decides between equals, and bounds leave it out.
    """
    wanted = excess > 0
    if not wanted.any() and not clashes:
        return Cover((), 0, 0)
    sizes, excess = sizes[:, wanted], excess[wanted]
    weight = (sizes / np.maximum(excess, 1)).sum(axis=1) if wanted.any() else np.zeros(len(cost))
    if len(cost) <= EXACT_MAX:
        return _exact(cost, sizes, excess, clashes, weight)
    return _larger(cost, sizes, excess, clashes, weight, unit)


def _exact(
    cost: Amounts, sizes: Amounts, excess: Amounts, clashes: list[list[np.ndarray]], weight: np.ndarray
) -> Cover:
    sets = _subsets(len(cost))
    fine: Mask = np.all(sets @ sizes >= excess, axis=1)
    for sides in clashes:
        staying = sum((sets[:, side] == 0).any(axis=1).astype(int) for side in sides)
        fine &= staying <= 1
    if not fine.any():
        return Cover(None, 0, 0)
    rows = np.flatnonzero(fine)
    costs = sets[rows] @ cost
    best = rows[np.lexsort((sets[rows] @ weight, sets[rows].sum(axis=1), costs))[0]]
    chosen = tuple(int(i) for i in np.flatnonzero(sets[best]))
    return Cover(chosen, int(costs.min()), int(costs.min()))


def _larger(
    cost: Amounts,
    sizes: Amounts,
    excess: Amounts,
    clashes: list[list[np.ndarray]],
    weight: np.ndarray,
    unit: int,
) -> Cover:
    first = _end_clashes(cost, clashes)
    bound = max(
        _bound(cost // unit, sizes, excess) * unit,
        int(cost[list(first)].sum()) if len(clashes) == 1 else 0,
    )
    left = excess - sizes[list(first)].sum(axis=0)
    if not (left > 0).any():
        return Cover(first, int(cost[list(first)].sum()), bound)
    rest = np.setdiff1d(np.arange(len(cost)), first)
    picked = _pick(cost[rest], sizes[rest], left, weight[rest])
    if picked is None:
        return Cover(None, 0, 0)
    chosen = (*first, *(int(rest[i]) for i in picked))
    return Cover(chosen, int(cost[list(chosen)].sum()), bound)


def _end_clashes(cost: Amounts, clashes: list[list[np.ndarray]]) -> tuple[int, ...]:
    """For each clash all sides but the most expensive leave."""
    gone: dict[int, None] = {}
    for sides in clashes:
        dearest = max(range(len(sides)), key=lambda s: (int(cost[sides[s]].sum()), -s))
        for s, side in enumerate(sides):
            if s != dearest:
                gone.update(dict.fromkeys(int(i) for i in side))
    return tuple(gone)


def _pick(cost: Amounts, sizes: Amounts, excess: Amounts, weight: np.ndarray) -> list[int] | None:
    """One VM, or two, that cover the excess at the least cost; else a greedy cover without what is spare."""
    options: list[tuple[int, float, list[int]]] = []
    single = np.flatnonzero(np.all(sizes >= excess, axis=1))
    if len(single):
        i = single[np.lexsort((weight[single], cost[single]))[0]]
        options.append((int(cost[i]), float(weight[i]), [int(i)]))
    if len(cost) <= PAIRS_MAX:
        pairs = np.all(sizes[:, None] + sizes[None] >= excess, axis=2)
        a, b = np.nonzero(np.triu(pairs, 1))
        if len(a):
            best = np.lexsort((weight[a] + weight[b], cost[a] + cost[b]))[0]
            i, j = int(a[best]), int(b[best])
            options.append((int(cost[i] + cost[j]), float(weight[i] + weight[j]), [i, j]))
    if options:
        return min(options)[2]
    return _greedy(cost, sizes, excess)


def _greedy(cost: Amounts, sizes: Amounts, excess: Amounts) -> list[int] | None:
    left, chosen = excess.copy(), []
    free = np.ones(len(cost), dtype=np.bool_)
    while (left > 0).any():
        gain = np.minimum(sizes, np.maximum(left, 0)) / np.maximum(excess, 1)
        worth = np.where(free, gain.sum(axis=1) / (cost + 1e-6), -1.0)
        best = int(worth.argmax())
        if worth[best] <= 0:
            return None
        free[best] = False
        chosen.append(best)
        left = left - sizes[best]
    for i in sorted(chosen, key=lambda i: (-cost[i], i)):
        if np.all(left + sizes[i] <= 0):
            chosen.remove(i)
            left = left + sizes[i]
    return chosen


def _bound(cost: Amounts, sizes: Amounts, excess: Amounts) -> int:
    """The fractional cover of one resource, the worst of all, rounded up to what costs can add up to."""
    bound, step = 0, max(int(np.gcd.reduce(cost)), 1)
    for r, wanted in enumerate(excess):
        size = sizes[:, r]
        use = size > 0
        if size.sum() < wanted:
            continue
        order = np.argsort(cost[use] / size[use], kind="stable")
        sums = np.cumsum(size[use][order])
        costs = np.cumsum(cost[use][order])
        k = int(np.searchsorted(sums, wanted))
        before = sums[k - 1] if k else 0
        part = (wanted - before) / size[use][order][k]
        value = (costs[k - 1] if k else 0) + part * cost[use][order][k]
        bound = max(bound, int(np.ceil(value / step - 1e-9)) * step)
    return bound
