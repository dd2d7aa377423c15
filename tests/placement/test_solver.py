"""What `solve` answers, told as stories: known failures of others, swaps on full nodes, reasons, budgets."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec
import pytest

from lucos.errors import InputError
from lucos.model import Boot, Constraint, Migrate, Plan, VmState
from lucos.placement.checker import check, check_orders
from lucos.placement.cluster import Cluster, Node, Vm
from lucos.placement.objectives import values_of
from lucos.placement.problem import Budget, Capacity, Objective, Problem, Solution, Status
from lucos.placement.solver import solve

SMALL = Budget(work=2.0)


def problem(
    nodes: dict[str, float],
    vms: dict[str, tuple[float, str | None]],
    *rules: Constraint,
    objective: Iterable[Objective] = (Objective.SUM_OF_ENDS,),
) -> Problem:
    """Nodes by capacity, VMs by demand and node (None: ready), of one resource."""
    state = {None: VmState.READY}
    cluster = Cluster.of(
        [Node(name, {"cpu": amount}) for name, amount in nodes.items()],
        [Vm(v, {"cpu": need}, on, state.get(on, VmState.RUNNING)) for v, (need, on) in vms.items()],
    )
    return Problem(cluster, rules, tuple(objective))


def running(*vms: str) -> Constraint:
    return Constraint("running", vms, continuous=False)


def moves(solution: Solution) -> list[str]:
    """`V1: N1 -> N2` and `V5 boots on N1`, in order of their start."""
    texts = []
    for step in sorted(solution.plan.actions, key=lambda step: (step.start_s, step.action.vm)):
        match step.action:
            case Migrate(vm=vm, source=source, destination=destination):
                texts.append(f"{vm}: {source} -> {destination}")
            case Boot(vm=vm, node=node):
                texts.append(f"{vm} boots on {node}")
            case other:
                texts.append(f"{type(other).__name__} {other.vm}")
    return texts


def holds(asked: Problem, solution: Solution) -> bool:
    """Accepted by both judges, and worth what the solution says."""
    assert values_of(asked, solution.plan) == pytest.approx(solution.values)
    return not check(asked, solution.plan) and not check_orders(asked, solution.plan)


def test_a_satisfied_cluster_is_left_alone() -> None:
    asked = problem({"N1": 4, "N2": 4}, {"A": (2, "N1"), "B": (2, "N1")}, Constraint("ban", ("A",), ("N2",)))
    solution = solve(asked)
    assert (solution.status, solution.plan, solution.values) == (Status.OPTIMAL, Plan(), (0.0,))


def test_an_overload_is_relieved_by_one_move_and_says_why() -> None:
    asked = problem(
        {"N1": 10, "N2": 10, "N3": 10},
        {"A": (6, "N1"), "B": (5, "N1"), "C": (1, "N1"), "D": (3, "N2"), "E": (7, "N3")},
        Constraint("fence", ("A", "B", "C"), ("N1", "N2"), label="f3"),
    )
    solution = solve(asked)
    assert solution.status is Status.OPTIMAL
    assert moves(solution) == ["B: N1 -> N2"] or moves(solution) == ["A: N1 -> N2"]
    (step,) = solution.plan.actions
    assert step.reason == "N1 lacked 2 cpu; N2 is the only node allowed by fence f3"
    assert holds(asked, solution)


def test_room_for_a_newcomer_is_made_by_a_move() -> None:
    """BtrPlace's case 362: V5 must run on N1, which has room for it only when a small VM goes to N2."""
    asked = problem(
        {"N1": 10, "N2": 10},
        {"V1": (2, "N1"), "V2": (2, "N1"), "V3": (2, "N1"), "V4": (5, "N2"), "V5": (5, None)},
        running("V5"),
        Constraint("fence", ("V5",), ("N1",)),
    )
    solution = solve(asked)
    assert solution.status is Status.OPTIMAL
    assert sorted(moves(solution))[-1] == "V5 boots on N1"
    assert len(moves(solution)) == 2
    assert holds(asked, solution)


def test_a_full_cluster_is_proved_full() -> None:
    """BtrPlace's case 307: four nodes exactly full of 100 VMs of 2 GB, and one more VM."""
    vms = {f"V{i}": (2.0, f"N{i % 4}") for i in range(100)}
    asked = problem({f"N{i}": 50 for i in range(4)}, {**vms, "V100": (2.0, None)}, running("V100"))
    solution = solve(asked)
    assert solution.status is Status.INFEASIBLE
    assert solution.core is not None
    assert solution.core.constraints == (running("V100"),)
    assert sorted(solution.core.capacities, key=str) == [Capacity(f"N{i}", "cpu") for i in range(4)]
    assert "V100" in solution.reasons[0]


SWAP = {"A": (4.0, "N1"), "B": (4.0, "N2")}
CROSS = (
    Constraint("ban", ("A",), ("N1",), continuous=False),
    Constraint("ban", ("B",), ("N2",), continuous=False),
)


def test_a_swap_on_full_nodes_goes_over_a_pivot() -> None:
    asked = problem(
        {"N1": 4, "N2": 4, "N3": 4}, SWAP, *CROSS, Constraint("fence", ("A", "B"), ("N1", "N2"), False)
    )
    solution = solve(asked, SMALL)
    assert solution.status is Status.FEASIBLE
    assert len(solution.plan.actions) == 3
    assert holds(asked, solution)


def test_a_swap_with_no_room_anywhere_suspends_one() -> None:
    asked = problem({"N1": 4, "N2": 4}, SWAP, *CROSS)
    solution = solve(asked, SMALL)
    assert solution.status is Status.FEASIBLE
    assert {type(step.action).__name__ for step in solution.plan.actions} == {"Suspend", "Resume", "Migrate"}
    assert holds(asked, solution)


@pytest.mark.parametrize("mode", [True, False])
def test_a_swap_against_anti_affinity_never_puts_them_together(mode: bool) -> None:
    asked = problem(
        {"N1": 9, "N2": 9, "N3": 9}, SWAP, *CROSS, Constraint("spread", ("A", "B"), continuous=mode)
    )
    solution = solve(asked, SMALL)
    assert solution.solved
    assert holds(asked, solution)


def test_two_arrivals_wait_for_the_leaver() -> None:
    """Each of them fits beside the leaver, both do not."""
    asked = problem(
        {"N1": 4, "N2": 4, "N3": 4, "N4": 4},
        {"L": (2.0, "N1"), "A": (2.0, "N2"), "B": (2.0, "N3")},
        Constraint("fence", ("A", "B"), ("N1",), continuous=False),
    )
    solution = solve(asked, SMALL)
    assert solution.status is Status.OPTIMAL
    ends = {step.action.vm: step.start_s for step in solution.plan.actions}
    assert set(ends) == {"L", "A", "B"}
    assert max(ends["A"], ends["B"]) >= 1.0
    assert holds(asked, solution)


def test_contradicting_rules_are_the_core() -> None:
    asked = problem(
        {"N1": 9, "N2": 9},
        {"A": (1, "N1"), "B": (1, "N2"), "C": (1, "N2")},
        Constraint("gather", ("A", "B"), continuous=False),
        Constraint("spread", ("A", "B"), continuous=False),
        Constraint("ban", ("C",), ("N1",)),
    )
    solution = solve(asked)
    assert solution.status is Status.INFEASIBLE
    assert solution.core is not None
    assert [rule.kind for rule in solution.core.constraints] == ["gather", "spread"]
    assert solution.core.capacities == ()


def test_a_soft_rule_gives_way_and_costs_its_weight() -> None:
    rules = (Constraint("gather", ("A", "B"), continuous=False), Constraint("spread", ("A", "B"), weight=5))
    asked = problem({"N1": 9, "N2": 9}, {"A": (1, "N1"), "B": (1, "N2")}, *rules)
    solution = solve(asked)
    assert solution.status is Status.OPTIMAL
    assert solution.values == (5.0, 1.0)
    soft_first = solve(msgspec.structs.replace(asked, constraints=rules[1:]))
    assert soft_first.values == (0.0, 0.0)


def test_consolidation_uses_the_fewest_nodes() -> None:
    vms = {f"V{i}": (2.0, f"N{i}") for i in range(6)}
    objective = (Objective.NODES_USED, Objective.MIGRATIONS)
    solution = solve(problem({f"N{i}": 6 for i in range(6)}, vms, objective=objective))
    assert solution.status is Status.OPTIMAL
    assert solution.values == (2.0, 4.0)


def test_the_same_work_and_seed_give_the_same_plan() -> None:
    nodes = {f"N{i}": 10.0 for i in range(12)}
    vms = {f"V{i}": (1.0 + i % 4, f"N{i % 5}") for i in range(40)}
    asked = problem(nodes, vms, objective=(Objective.BALANCE, Objective.MIGRATIONS))
    one, two = (solve(asked, Budget(work=0.15, seed=7)) for _ in range(2))
    assert (one.plan, one.values, one.bounds, one.status) == (two.plan, two.values, two.bounds, two.status)
    assert holds(asked, one)


def test_the_budget_ends_with_the_best_plan_so_far() -> None:
    nodes = {f"N{i}": 100.0 for i in range(40)}
    vms = {f"V{i}": (7.0 + i * 13 % 23, f"N{i % 20}") for i in range(120)}
    asked = problem(nodes, vms, objective=(Objective.BALANCE,))
    short = solve(asked, Budget(work=0.01))
    long = solve(asked, Budget(work=0.3))
    assert short.solved
    assert long.values <= short.values
    assert short.bounds <= long.values


def test_bad_problems_are_input_errors() -> None:
    with pytest.raises(InputError, match="N9"):
        solve(problem({"N1": 1}, {"A": (1, "N1")}, Constraint("ban", ("A",), ("N9",))))
