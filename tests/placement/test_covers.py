"""The cheapest set of VMs to leave a node, against trying all sets one by one."""

from __future__ import annotations

from itertools import combinations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from lucos.placement import covers
from lucos.placement.covers import cheapest


def all_sets(count: int) -> list[tuple[int, ...]]:
    return [chosen for size in range(count + 1) for chosen in combinations(range(count), size)]


@st.composite
def nodes(
    draw: st.DrawFn, count_max: int = 6
) -> tuple[np.ndarray, np.ndarray, np.ndarray, list[list[np.ndarray]]]:
    count = draw(st.integers(1, count_max))
    numbers = st.lists(st.integers(0, 9), min_size=count, max_size=count)
    cost = np.asarray(draw(numbers))
    sizes = np.asarray([draw(numbers), draw(numbers)]).T
    excess = np.asarray(draw(st.tuples(st.integers(-3, 20), st.integers(-3, 20))))
    clashes = []
    if count > 1 and draw(st.booleans()):
        cut = draw(st.integers(1, count - 1))
        order = np.asarray(draw(st.permutations(range(count))))
        clashes.append([order[:cut], order[cut:]])
    return cost, sizes, excess, clashes


def fine(
    chosen: tuple[int, ...], sizes: np.ndarray, excess: np.ndarray, clashes: list[list[np.ndarray]]
) -> bool:
    stays = [sum(any(i not in chosen for i in side) for side in sides) for sides in clashes]
    return bool((sizes[list(chosen)].sum(axis=0) >= excess).all()) and all(n <= 1 for n in stays)


@given(nodes())
def test_small_nodes_are_solved_exactly(case: tuple) -> None:
    cost, sizes, excess, clashes = case
    best = [int(cost[list(c)].sum()) for c in all_sets(len(cost)) if fine(c, sizes, excess, clashes)]
    found = cheapest(cost, sizes, excess, clashes)
    if not best:
        assert found.chosen is None
        return
    assert found.chosen is not None
    assert fine(found.chosen, sizes, excess, clashes)
    assert found.cost == found.bound == min(best) == cost[list(found.chosen)].sum()


@settings(max_examples=150)
@given(nodes(9))
def test_on_large_nodes_the_set_is_enough_and_the_bound_holds(case: tuple) -> None:
    cost, sizes, excess, clashes = case
    before = covers.EXACT_MAX
    covers.EXACT_MAX = 0
    try:
        found = cheapest(cost, sizes, excess, clashes)
    finally:
        covers.EXACT_MAX = before
    best = [int(cost[list(c)].sum()) for c in all_sets(len(cost)) if fine(c, sizes, excess, clashes)]
    if found.chosen is None:
        assert not best
        return
    assert fine(found.chosen, sizes, excess, clashes)
    assert found.bound <= min(best) <= found.cost


def test_nothing_wrong_means_nobody_leaves() -> None:
    found = cheapest(np.asarray([1]), np.asarray([[5]]), np.asarray([-1]), [])
    assert found.chosen == ()
    assert found.bound == 0
