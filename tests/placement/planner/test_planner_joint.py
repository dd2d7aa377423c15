"""Placement and schedule in one model, and schedules of drawn targets, against the exhaustive reference."""

from __future__ import annotations

from random import Random

import numpy as np
import pytest
from exhaustive import judge
from planner_worlds import assert_sound, planned, vm, world
from random_problems import random_problem

from lucos.model import Constraint, Plan
from lucos.placement.arrays import Target
from lucos.placement.lowering import arrays_of
from lucos.placement.objectives import objectives_of, unit_of
from lucos.placement.planner import Deadlock
from lucos.placement.planner.timed import solve_timed
from lucos.placement.primitives import ints
from lucos.placement.problem import Objective, Problem, Status

SEEDS = range(50_000, 50_080)


@pytest.mark.parametrize("seed", SEEDS)
def test_the_optimum_is_that_of_the_reference(seed: int) -> None:
    problem = random_problem(seed)
    objectives = objectives_of(problem)
    arrays = arrays_of(problem)
    if arrays.clashes:
        return
    found, reference = solve_timed(arrays, objectives), judge(problem, objectives)
    assert (found.plan is None) == (reference.values is None), seed
    if found.plan is None or reference.values is None:
        assert found.status is Status.INFEASIBLE
        return
    assert found.status is Status.OPTIMAL
    assert found.bounds == found.values
    worth = [value * unit_of(name, arrays) for value, name in zip(found.values, objectives, strict=True)]
    assert worth == pytest.approx(list(reference.values), abs=1e-4), seed
    assert_sound(problem, found.plan)


def drawn_exchange(seed: int) -> tuple[Problem, dict[str, str]]:
    """Nodes that are about full before and after their VMs change places, under a rule or two."""
    rng = Random(seed)
    names = [f"N{i}" for i in range(rng.randint(2, 4))]
    vms = [
        vm(
            f"V{i}",
            rng.choice(names),
            cpu=rng.randint(1, 3),
            memory=rng.randint(1, 2),
            durations_s={kind: float(rng.randint(1, 4)) for kind in ("migrate", "suspend", "resume")},
        )
        for i in range(rng.randint(2, 6))
    ]
    then = [v.node or "" for v in vms]
    rng.shuffle(then)
    places = {v.name: node for v, node in zip(vms, then, strict=True)}

    def most(resource: str, node: str) -> float:
        before = sum(v.demand[resource] for v in vms if v.node == node)
        after = sum(v.demand[resource] for v in vms if places[v.name] == node)
        return max(before, after, 1)

    rules = [Constraint("fence", (name,), (node,), continuous=False) for name, node in places.items()]
    some = tuple(sorted(rng.sample(list(places), 2)))
    rules += rng.choice(
        (
            [],
            [],
            [Constraint("spread", some)],
            [Constraint("split", sets=(some[:1], some[1:]))],
            [Constraint("ban", some[:1], (rng.choice(names),))],
            [Constraint("resourceCapacity", nodes=(names[0],), resource="cpu", amount=rng.randint(3, 6))],
        )
    )
    slack = rng.choice((0, 0, 1))
    capacities = {
        node: (most("cpu", node) + slack, most("memory", node) + rng.randint(0, 1)) for node in names
    }
    return world(capacities, vms, *rules), places


@pytest.mark.parametrize("seed", range(80))
def test_exchanges_end_where_they_are_to_in_the_least_time(seed: int) -> None:
    problem, places = drawn_exchange(seed)
    reference = judge(problem, (Objective.SUM_OF_ENDS,))
    if not reference.allowed:
        return
    plan = planned(problem, **places)
    if isinstance(plan, Deadlock):
        assert not plan.proved or not (reference.values or reference.anyhow)
        assert reference.values is None
        return
    twice = len(plan.actions) - len({a.action.vm for a in plan.actions})
    assert bool(twice) == (reference.values is None)
    if reference.values is not None:
        assert sum(a.end_s for a in plan.actions) == reference.values[0]


def test_candidates_and_fixed_targets() -> None:
    vms = [vm(f"V{i}", "N0", cpu=2) for i in range(3)]
    arrays = arrays_of(world({"N0": (4, 9), "N1": (4, 9), "N2": (4, 9)}, vms))
    objective = [Objective.MIGRATIONS, Objective.BALANCE]
    only = [ints([0]), ints([0]), ints([2])]
    found = solve_timed(arrays, objective, candidates=only)
    assert found.target is not None
    assert found.target.place.tolist() == [0, 0, 2]
    given = Target(ints([1, 0, 2]), arrays.online.copy())
    fixed = solve_timed(arrays, [Objective.MAKESPAN], fixed=given)
    assert fixed.target is not None
    assert (fixed.target.place.tolist(), fixed.values) == ([1, 0, 2], (1,))
    impossible = Target(ints([0, 0, 0]), arrays.online.copy())
    assert solve_timed(arrays, objective, fixed=impossible).status is Status.INFEASIBLE


def test_a_node_that_keeps_an_image_stays_on() -> None:
    sleep = Constraint("sleeping", ("A",), continuous=False)
    off = Constraint("offline", nodes=("N1",), continuous=False)
    arrays = arrays_of(world({"N1": (4, 9), "N2": (4, 9)}, [vm("A", "N1")], sleep, off))
    assert arrays.clashes or solve_timed(arrays, [Objective.SUM_OF_ENDS]).status is Status.INFEASIBLE


def test_many_moves_towards_a_fixed_target() -> None:
    """Each of 100 full nodes hands a VM to the next; the last has room: the model finds the only order."""
    count = 100
    vms = [vm(f"V{i}", f"N{i}", cpu=4) for i in range(count)]
    problem = world({f"N{i}": (4, 4) for i in range(count + 1)}, vms)
    arrays = arrays_of(problem)
    target = Target((arrays.host + 1).astype(np.int32), arrays.online.copy())
    found = solve_timed(arrays, [Objective.SUM_OF_ENDS], fixed=target)
    assert found.status is Status.OPTIMAL
    assert isinstance(found.plan, Plan)
    assert_sound(problem, found.plan)
    assert found.values == (count * (count + 1) // 2,)
