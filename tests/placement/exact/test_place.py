"""The placement model against exhaustive search, and what neighbourhoods rely on."""

from __future__ import annotations

from random import Random

import numpy as np
import pytest
from exhaustive import judge
from random_problems import random_problem

from lucos.model import Constraint
from lucos.placement.arrays import Arrays, Target
from lucos.placement.cluster import Cluster, Node, Vm
from lucos.placement.exact import Effort, PlaceResult, Scope, place
from lucos.placement.exact.cpsat import Model, negated
from lucos.placement.lowering import arrays_of
from lucos.placement.objectives import objectives_of, unit_of
from lucos.placement.primitives import ints
from lucos.placement.problem import Objective, Problem, Status

BLOCK = 25
ENOUGH = Effort(work=10.0)


def shown(result: PlaceResult, arrays: Arrays, objectives: tuple[Objective, ...]) -> tuple[float, ...] | None:
    if result.target is None:
        return None
    return tuple(v * unit_of(o, arrays) for v, o in zip(result.values, objectives, strict=True))


@pytest.mark.parametrize("block", range(24), ids=lambda block: f"seeds-from-{block * BLOCK}")
def test_it_finds_the_best_result(block: int) -> None:
    """`random_problem(seed)` replays a seed that is told."""
    for seed in range(block * BLOCK, (block + 1) * BLOCK):
        problem = random_problem(seed)
        arrays, objectives = arrays_of(problem), objectives_of(problem)
        expected = judge(problem, objectives, timed=False)
        if arrays.clashes:
            assert not expected.allowed, seed
            continue
        result = place(arrays, objective=objectives, effort=ENOUGH)
        assert result.status is (Status.OPTIMAL if expected.allowed else Status.INFEASIBLE), seed
        found = shown(result, arrays, objectives)
        assert found == (pytest.approx(expected.values, abs=1e-6) if expected.allowed else None), seed
        assert result.bounds == result.values, seed


@pytest.mark.parametrize("block", range(12), ids=lambda block: f"seeds-from-{block * BLOCK}")
def test_a_neighbourhood_is_solved_as_if_the_rest_were_fixed(block: int) -> None:
    looked_at = 0
    for seed in range(block * BLOCK, (block + 1) * BLOCK):
        problem = random_problem(seed)
        arrays, objectives = arrays_of(problem), objectives_of(problem)
        start = None if arrays.clashes else place(arrays, objective=(), effort=ENOUGH).target
        if start is None:
            continue
        rng = Random(seed)
        running = np.flatnonzero(arrays.runs).tolist()
        free = ints(sorted(rng.sample(running, min(len(running), 2))))
        others = {v: int(start.place[v]) for v in running if v not in free}
        expected = judge(problem, objectives, timed=False, fixed=others)
        scope = Scope(arrays)
        result = place(arrays, objective=objectives, start=start, free=free, scope=scope, effort=ENOUGH)
        assert result.target is not None, seed
        assert shown(result, arrays, objectives) == pytest.approx(expected.values, abs=1e-6), seed
        assert all(result.target.place[v] == node for v, node in others.items()), seed
        looked_at += len(others) > 0
    assert looked_at


def pair_cluster() -> Problem:
    """A and B of 2 on N1 of 3, N2 and N3 of 3 empty: one of them has to move."""
    nodes = [Node(f"N{i}", {"memory": 3}) for i in (1, 2, 3)]
    return Problem(Cluster.of(nodes, [Vm("A", {"memory": 2}, "N1"), Vm("B", {"memory": 2}, "N1")]))


def test_candidates_are_the_only_nodes() -> None:
    arrays = arrays_of(pair_cluster())
    result = place(
        arrays, objective=(Objective.MIGRATIONS,), free=ints([0, 1]), candidates=[ints([0, 2]), ints([0])]
    )
    assert result.target is not None
    assert result.target.place.tolist() == [2, 0]
    nowhere = place(
        arrays, objective=(Objective.MIGRATIONS,), free=ints([0, 1]), candidates=[ints([0]), ints([0])]
    )
    assert nowhere.status is Status.INFEASIBLE


def test_forbidden_results_are_not_found_again() -> None:
    arrays = arrays_of(pair_cluster())
    seen: list[dict[int, int]] = []
    while True:
        result = place(arrays, objective=(Objective.MIGRATIONS,), forbidden=seen)
        if result.target is None:
            break
        seen.append(dict(enumerate(result.target.place.tolist())))
    assert result.status is Status.INFEASIBLE
    assert len({tuple(found.items()) for found in seen}) == len(seen) == 6
    assert [sum(node != 0 for node in found.values()) for found in seen] == [1, 1, 1, 1, 2, 2]


def test_an_objective_can_be_limited() -> None:
    arrays = arrays_of(pair_cluster())
    limits = {Objective.MIGRATIONS: 0}
    assert place(arrays, objective=(), at_most=limits).status is Status.INFEASIBLE
    limits = {Objective.MIGRATIONS: 1}
    assert place(arrays, objective=(Objective.BALANCE,), at_most=limits).target is not None


def test_what_no_objective_asks_for_is_not_done() -> None:
    """Penalties alone would leave every other VM and node anywhere."""
    nodes = [Node(f"N{i}", {"memory": 9}) for i in range(4)]
    vms = [Vm(f"V{i}", {"memory": 1}, f"N{i % 4}") for i in range(8)]
    rules = (
        Constraint("fence", ("V0",), ("N1",), weight=5),
        Constraint("maxOnline", nodes=("N2",), amount=1),
    )
    arrays = arrays_of(Problem(Cluster.of(nodes, vms), rules))
    result = place(arrays, objective=(Objective.PENALTY,))
    assert result.target is not None
    assert result.target.place.tolist() == [1, 1, 2, 3, 0, 1, 2, 3]
    assert result.target.online.all()


def test_equal_seeds_give_equal_results_with_any_number_of_workers() -> None:
    rng = Random(7)
    nodes = [Node(f"N{i}", {"cpu": 20, "memory": 20}) for i in range(6)]
    vms = [
        Vm(
            f"V{i}",
            {"cpu": rng.randint(1, 5), "memory": rng.randint(1, 5)},
            f"N{rng.choice((0, 0, 1, 2, 3, 4, 5))}",
        )
        for i in range(24)
    ]
    arrays = arrays_of(Problem(Cluster.of(nodes, vms)))
    for workers in (1, 4):
        effort = Effort(work=5.0, seed=3, workers=workers)
        found = [place(arrays, objective=(Objective.SUM_OF_ENDS,), effort=effort) for _ in range(2)]
        places = [r.target.place.tolist() for r in found if r.target is not None]
        assert places[0] == places[1]


def test_without_work_the_hint_is_all_that_can_come_back() -> None:
    arrays = arrays_of(pair_cluster())
    hint = Target(ints([1, 0]), arrays.online)
    result = place(arrays, objective=(Objective.MIGRATIONS,), hint=hint, effort=Effort(work=0.0))
    assert result.status in (Status.UNKNOWN, Status.FEASIBLE, Status.OPTIMAL)
    assert result.target is None or result.values == (1,)


def test_a_bound_is_valid_even_when_there_was_no_time_to_find_one() -> None:
    model = Model()
    variables = model.booleans(40)
    for first in range(38):
        model.at_least_one((variables[first], negated(variables[first + 1]), negated(variables[first + 2])))
    model.minimize(variables, [-5] * 20 + [3] * 20)
    stopped, finished = model.solve(Effort(work=0.0)), model.solve(Effort())
    assert stopped.status is Status.UNKNOWN
    assert stopped.bound <= finished.objective == finished.bound
