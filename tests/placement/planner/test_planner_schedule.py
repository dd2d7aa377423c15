"""Orders, waits, cycles and detours towards a fixed target."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
from planner_worlds import kinds, planned, vm, world

from lucos.model import Constraint, Migrate, Plan, PlannedAction, VmState
from lucos.placement.arrays import Target
from lucos.placement.cluster import Cluster, Node
from lucos.placement.lowering import arrays_of
from lucos.placement.planner import Deadlock, schedule
from lucos.placement.problem import Limits, Objective, Problem


def test_an_exchange_that_needs_room_on_the_way() -> None:
    """N1 of 10 holds three VMs of 2, N2 of 10 one of 5; V5 of 5 is to run on N1."""
    guests = [vm(f"V{i}", "N1", cpu=2) for i in (1, 2, 3)]
    vms = [*guests, vm("V4", "N2", cpu=5), vm("V5", None, cpu=5)]
    run = Constraint("running", ("V5",), continuous=False)
    plan = planned(world({"N1": (10, 9), "N2": (10, 9)}, vms, run), V1="N2", V5="N1")
    assert isinstance(plan, Plan)
    assert kinds(plan) == ["Migrate V1", "Boot V5"]
    assert plan.actions[1].depends_on == (0,)
    assert plan.actions[1].reason == "waits until V1 has left N1"
    assert plan.actions[0].reason == "to be moved"
    assert plan.makespan_s == 2


def test_what_fits_starts_at_once_and_depends_on_nothing() -> None:
    vms = [vm(f"V{i}", "N1") for i in range(4)]
    plan = planned(world({"N1": (4, 4), "N2": (4, 4)}, vms), V0="N2", V1="N2")
    assert isinstance(plan, Plan)
    assert [(a.start_s, a.depends_on) for a in plan.actions] == [(0, ()), (0, ())]


@pytest.mark.parametrize("resource", ["cpu", "memory"])
def test_a_swap_on_full_nodes_goes_over_a_third_node(resource: str) -> None:
    sizes = {resource: 4.0}
    vms = [vm("A", "N1", **sizes), vm("B", "N2", **sizes)]
    problem = world({"N1": (4, 4), "N2": (4, 4), "N3": (4, 4)}, vms)
    plan = planned(problem, A="N2", B="N1")
    assert kinds(plan) == ["Migrate A", "Migrate B", "Migrate A"]


def test_a_swap_without_a_third_node_puts_one_to_sleep() -> None:
    vms = [vm("A", "N1", cpu=4), vm("B", "N2", cpu=4)]
    plan = planned(world({"N1": (4, 4), "N2": (4, 4)}, vms), A="N2", B="N1")
    assert isinstance(plan, Plan)
    assert sorted(kinds(plan)) == ["Migrate B", "Resume A", "Suspend A"]
    assert plan.makespan_s == 3


def test_a_swap_of_vms_that_are_kept_apart() -> None:
    """There is room for both, but not for an instant together."""
    vms = [vm("A", "N1"), vm("B", "N2")]
    apart = Constraint("spread", ("A", "B"))
    plan = planned(world({"N1": (9, 9), "N2": (9, 9), "N3": (9, 9)}, vms, apart), A="N2", B="N1")
    assert kinds(plan) == ["Migrate A", "Migrate B", "Migrate A"]


def test_two_arrivals_wait_for_the_one_who_leaves() -> None:
    vms = [vm("A", "N1", cpu=2), vm("B", "N2", cpu=1), vm("C", "N2", cpu=1)]
    plan = planned(world({"N1": (2, 9), "N2": (2, 9), "N3": (2, 9)}, vms), A="N3", B="N1", C="N1")
    assert isinstance(plan, Plan)
    assert [(a.start_s, a.depends_on) for a in plan.actions] == [(0, ()), (1, (0,)), (1, (0,))]


def test_a_choice_of_order_that_greed_gets_wrong() -> None:
    """N1 has room for one of A and B at first. Only after B has gone there can C leave N1 for N2."""
    vms = [vm("A", "N3", cpu=1), vm("B", "N2", cpu=2), vm("C", "N1", cpu=2)]
    plan = planned(world({"N1": (4, 9), "N2": (2, 9), "N3": (4, 9)}, vms), A="N1", B="N1", C="N2")
    assert isinstance(plan, Plan)
    order = {a.action.vm: a.start_s for a in plan.actions}
    assert order == {"A": 2, "B": 0, "C": 1} or order == {"A": 1, "B": 0, "C": 1}


def test_cycles_of_many_vms_are_broken_in_large_clusters() -> None:
    """Fourteen full nodes in a ring, each VM to the next node, beyond what is searched exhaustively."""
    count = 14
    vms = [vm(f"V{i:02}", f"N{i:02}", cpu=4) for i in range(count)]
    ring = {f"V{i:02}": f"N{(i + 1) % count:02}" for i in range(count)}
    problem = world({f"N{i:02}": (4, 4) for i in range(count)}, vms)
    plan = planned(problem, **ring)
    assert isinstance(plan, Plan)
    assert len(plan.actions) == count + 1
    spare = world({**{f"N{i:02}": (4, 4) for i in range(count)}, "S": (4, 4)}, vms)
    assert sorted({word.split()[0] for word in kinds(planned(spare, **ring))}) == ["Migrate"]


def test_an_impossible_switch_of_nodes_is_proved() -> None:
    """One node may be on; its VM can neither stay, nor go to a node that is off, nor leave its image."""
    rules = (Constraint("maxOnline", nodes=("N1", "N2"), amount=1),)
    problem = world({"N1": (4, 4), "N2": (4, 4)}, [vm("A", "N1")], *rules, offline=("N2",))
    answer = planned(problem, off=("N1",), A="N2")
    assert isinstance(answer, Deadlock)
    assert answer.proved
    assert answer.stuck == ("A",)


def test_nodes_are_on_before_and_off_after() -> None:
    problem = world({"N1": (4, 4), "N2": (4, 4)}, [vm("A", "N1")], offline=("N2",))
    plan = planned(problem, off=("N1",), A="N2")
    assert isinstance(plan, Plan)
    assert kinds(plan) == ["BootNode N2", "Migrate A", "ShutdownNode N1"]
    assert [a.depends_on for a in plan.actions] == [(), (0,), (1,)]
    assert plan.actions[1].reason == "to be moved; waits until N2 is on"


def test_smaller_allocations_make_room_for_larger_ones() -> None:
    less = vm("A", "N1", cpu=3)
    more = Constraint("preserve", ("B",), resource="cpu", amount=3, continuous=False)
    problem = world({"N1": (5, 9), "N2": (9, 9)}, [less, vm("B", "N1", cpu=2)], more)
    plan = planned(problem, A="N2")
    assert isinstance(plan, Plan)
    assert [(type(a.action).__name__, a.start_s, a.depends_on) for a in plan.actions] == [
        ("Migrate", 0, ()),
        ("Allocate", 1, (0,)),
    ]


@pytest.mark.parametrize(
    ("limits", "makespan_s"),
    [
        (Limits(), 1),
        (Limits(migrations=2), 3),
        (Limits(out_per_node=1), 3),
        (Limits(in_per_node=3), 2),
    ],
)
def test_limits(limits: Limits, makespan_s: float) -> None:
    vms = [vm(f"V{i}", f"N{i % 2}") for i in range(6)]
    problem = world({f"N{i}": (9, 9) for i in range(3)}, vms, limits=limits)
    plan = planned(problem, **{f"V{i}": "N2" for i in range(6)})
    assert isinstance(plan, Plan)
    assert plan.makespan_s == makespan_s


def test_rules_about_times() -> None:
    vms = [vm(name, "N1") for name in "ABCDE"]
    rules = (
        Constraint("before", ("B", "A")),
        Constraint("serialize", ("C", "D")),
        Constraint("sync", ("D", "E")),
    )
    problem = world({"N1": (9, 9), "N2": (9, 9)}, vms, *rules)
    plan = planned(problem, **dict.fromkeys("ABCDE", "N2"))
    assert isinstance(plan, Plan)
    assert plan.makespan_s == 2


def test_a_rule_about_sums_holds_while_vms_are_on_two_nodes() -> None:
    vms = [vm("A", "N1", cpu=2), vm("B", "N3", cpu=2)]
    cap = Constraint("resourceCapacity", nodes=("N1", "N2"), resource="cpu", amount=4)
    plan = planned(world({f"N{i}": (9, 9) for i in (1, 2, 3)}, vms, cap), A="N2", B="N1")
    assert isinstance(plan, Plan)
    assert {a.action.vm: a.start_s for a in plan.actions} == {"A": 0, "B": 1}


def test_a_group_relocates_at_one_instant() -> None:
    vms = [vm("A", "N1", cpu=2), vm("B", "N1"), vm("C", "N2", cpu=2)]
    group = Constraint("gather", ("A", "B"), relocate=True)
    problem = world({"N1": (3, 9), "N2": (3, 9), "N3": (3, 9)}, vms, group)
    plan = planned(problem, A="N2", B="N2", C="N3")
    assert isinstance(plan, Plan)
    assert {a.action.vm: a.start_s for a in plan.actions} == {"A": 1, "B": 1, "C": 0}
    assert plan.actions[1].depends_on == plan.actions[2].depends_on == (0,)


def test_without_work_waits_are_told_and_nothing_else_is_tried() -> None:
    vms = [vm("A", "N1", cpu=4), vm("B", "N2", cpu=4)]
    arrays = arrays_of(world({"N1": (4, 4), "N2": (4, 4)}, vms))
    answer = schedule(arrays, Target(np.asarray([1, 0], dtype=np.int32), arrays.online.copy()), work=0)
    assert answer == Deadlock(("A", "B"), "A, B wait for each other: no order of their actions was found")


def test_a_long_chain_of_moves() -> None:
    """Each of 300 VMs goes to the node that the next one leaves; the last one leaves for an empty node."""
    count = 300
    vms = [vm(f"V{i}", f"N{i}", cpu=4) for i in range(count)]
    problem = world({f"N{i}": (4, 4) for i in range(count + 1)}, vms)
    plan = planned(problem, **{f"V{i}": f"N{i + 1}" for i in range(count)})
    assert isinstance(plan, Plan)
    assert plan.makespan_s == count
    assert sum(len(a.depends_on) for a in plan.actions) == count - 1


def test_what_is_under_way_holds_its_source_until_it_ends() -> None:
    cluster = Cluster.of(
        [Node("N1", {"cpu": 4, "memory": 4}), Node("N2", {"cpu": 4, "memory": 4})],
        [vm("A", "N1", cpu=3), vm("B", None, cpu=3)],
    )
    ongoing = (PlannedAction(0, Migrate("A", "N1", "N2"), end_s=5.0),)
    run = Constraint("running", ("B",), continuous=False)
    problem = Problem(cluster, (run,), (Objective.SUM_OF_ENDS,), ongoing=ongoing)
    plan = planned(problem, B="N1")
    assert isinstance(plan, Plan)
    assert [(a.number, a.action.vm, a.start_s, a.depends_on) for a in plan.actions] == [(1, "B", 5, (0,))]


def test_paused_vms_are_not_sent_on_detours() -> None:
    vms = [vm("A", "N1", cpu=4, state=VmState.PAUSED), vm("B", "N2", cpu=4)]
    arrays = arrays_of(world({"N1": (4, 4), "N2": (4, 4)}, vms))
    answer = schedule(arrays, Target(np.asarray([1, 0], dtype=np.int32), arrays.online.copy()))
    assert isinstance(answer, Deadlock)
    assert not answer.proved, "A could sleep, and come back running"


def test_schedules_that_need_no_model_do_not_load_one() -> None:
    code = (
        "import sys, lucos.placement.planner\n"
        "assert not [name for name in sys.modules if name.startswith('ortools')]"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
