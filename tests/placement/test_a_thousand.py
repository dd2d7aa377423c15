"""A thousand small problems: the solver agrees with the exhaustive reference on status and optimum.

The name of a failed test has its seed: `pytest tests/placement/test_a_thousand.py -k seed-0042` replays it.
"""

from __future__ import annotations

from collections import Counter

import pytest
from exhaustive import Verdict, judge
from random_problems import random_problem

from lucos.placement.checker import check
from lucos.placement.constraints import SIGNATURES
from lucos.placement.objectives import objectives_of
from lucos.placement.problem import Budget, Objective, Problem, Solution, Status
from lucos.placement.solver import solve

SEEDS = range(1000)
# Enough to prove every optimum here many times over.
BUDGET = Budget(work=20.0, workers=1)


@pytest.mark.parametrize("seed", SEEDS, ids=lambda seed: f"seed-{seed:04}")
def test_the_solver_agrees_with_exhaustive_search(seed: int) -> None:
    problem = random_problem(seed)
    expected = judge(problem, objectives_of(problem))
    solution = solve(problem, BUDGET)
    told = _told(problem, expected, solution)
    faults = check(problem, solution.plan) if solution.solved else []
    assert not faults, told
    if not expected.allowed:
        assert solution.status is Status.INFEASIBLE, told
    elif expected.values is not None:
        assert solution.status is Status.OPTIMAL, told
        assert solution.values == pytest.approx(expected.values, abs=1e-6), told
        assert solution.bounds == pytest.approx(expected.values, abs=1e-6), told
    elif expected.anyhow is not None:
        assert solution.status is (Status.FEASIBLE if expected.anyhow else Status.INFEASIBLE), told
    else:
        assert solution.status is not Status.OPTIMAL, told


def _told(problem: Problem, expected: Verdict, solution: Solution) -> str:
    rules = "\n".join(f"  {rule}" for rule in problem.constraints)
    return (
        f"\n{problem.cluster}\n{rules}\n{problem.limits}, horizon {problem.horizon_s:g} s, "
        f"{', '.join(objectives_of(problem))}\nexpected {expected}\ngot {solution}"
    )


def test_the_problems_have_every_kind_objective_and_answer() -> None:
    problems = [random_problem(seed) for seed in SEEDS]
    rules = [rule for problem in problems for rule in problem.constraints]
    kinds = Counter(rule.kind for rule in rules)
    assert kinds.keys() == SIGNATURES.keys()
    assert min(kinds.values()) >= 10, kinds
    softened = {rule.kind for rule in rules if rule.weight}
    assert softened == {name for name, signature in SIGNATURES.items() if signature.soft}
    named = Counter(objective for problem in problems for objective in problem.objective)
    assert named.keys() == set(Objective)
    assert max(len(problem.cluster.nodes) for problem in problems) == 6
    assert max(len(problem.cluster.vms) for problem in problems) == 12
