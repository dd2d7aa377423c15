"""The judge of plans against a simulator of all their executions, and what it says of the faulty ones."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from small_worlds import configuration_of, is_faulty, plan_of, plans, worlds

from lucos.model import Constraint, Kill, Plan, PlannedAction
from lucos.placement import check

ROOMY = {"n1": (100.0, 1000.0), "n2": (100.0, 1000.0), "n3": (100.0, 1000.0)}


@settings(max_examples=200, deadline=None)
@given(st.data())
def test_it_finds_fault_exactly_when_some_execution_goes_wrong(data: st.DataObject) -> None:
    configuration, rules = data.draw(worlds())
    plan = data.draw(plans(configuration))
    assert bool(check(configuration, rules, plan)) == is_faulty(configuration, rules, plan)


@settings(max_examples=100, deadline=None)
@given(st.data())
def test_capacity_alone_in_plans_of_many_dependencies(data: st.DataObject) -> None:
    """Two nodes and five VMs that change sides: every order matters."""
    sizes = st.sampled_from([10.0, 20.0, 30.0, 40.0])
    vms = {vm: (data.draw(st.sampled_from(["n1", "n2"])), data.draw(sizes), 100.0) for vm in "abcde"}
    room = data.draw(st.sampled_from([70.0, 80.0, 100.0]))
    configuration = configuration_of({"n1": (room, 1000.0), "n2": (room, 400.0)}, vms)
    plan = data.draw(plans(configuration))
    assert bool(check(configuration, (), plan)) == is_faulty(configuration, (), plan)


def test_a_move_that_waits_for_room_is_sound_and_one_that_does_not_is_not() -> None:
    configuration = configuration_of(
        {**ROOMY, "n2": (50.0, 1000.0)}, {"a": ("n1", 40.0, 100.0), "b": ("n2", 30.0, 100.0)}
    )
    steps = ("b", "n2", "n3"), ("a", "n1", "n2")
    assert check(configuration, (), plan_of(*steps, after={2: (1,)})) == []
    assert check(configuration, (), plan_of(*steps)) == ["action 2: n2 would hold 70 of 50 % CPU"]


def test_room_that_one_move_leaves_is_not_also_taken_by_a_move_that_does_not_wait() -> None:
    """`d` may come early because `c` cannot have come before `b` left."""
    configuration = configuration_of(
        ROOMY,
        {
            "base": ("n2", 40.0, 100.0),
            "b": ("n2", 30.0, 100.0),
            "c": ("n1", 30.0, 100.0),
            "d": ("n1", 30.0, 100.0),
        },
    )
    plan = plan_of(("b", "n2", "n3"), ("c", "n1", "n2"), ("d", "n1", "n2"), after={2: (1,)})
    assert check(configuration, (), plan) == []


def test_a_vm_takes_the_place_of_another_of_its_spread_only_once_it_has_left() -> None:
    rules = (Constraint("spread", ("a", "b")),)
    configuration = configuration_of(ROOMY, {"a": ("n1", 10.0, 10.0), "b": ("n2", 10.0, 10.0)})
    steps = ("b", "n2", "n3"), ("a", "n1", "n2")
    assert check(configuration, rules, plan_of(*steps, after={2: (1,)})) == []
    assert any("are both on n2" in fault for fault in check(configuration, rules, plan_of(*steps)))
    later = (Constraint("spread", ("a", "b"), continuous=False),)
    assert check(configuration, later, plan_of(*steps)) == []


def test_an_overloaded_node_may_be_relieved_but_not_burdened() -> None:
    configuration = configuration_of(
        ROOMY, {"a": ("n1", 60.0, 100.0), "b": ("n1", 60.0, 100.0), "c": ("n2", 10.0, 100.0)}
    )
    assert check(configuration, (), plan_of(("a", "n1", "n3"))) == []
    burdened = plan_of(("a", "n1", "n3"), ("c", "n2", "n1"))
    assert check(configuration, (), burdened) == ["action 2: n1 would hold 130 of 100 % CPU"]
    assert check(configuration, (), Plan()) == ["at the end: n1 holds 120 of 100 % CPU and 200 of 1000 MiB"]


def test_a_draining_node_takes_nobody_and_ends_empty() -> None:
    configuration = configuration_of(
        ROOMY, {"a": ("n1", 10.0, 10.0), "b": ("n2", 10.0, 10.0)}, draining=("n2",)
    )
    faults = check(configuration, (), plan_of(("a", "n1", "n2")))
    assert faults == ["action 1: n2 is draining", "at the end: n2 is draining and still holds a, b"]


@pytest.mark.parametrize(
    ("plan", "fault"),
    [
        (plan_of(("ghost", "n1", "n2")), "names what is not in the configuration"),
        (plan_of(("a", "n1", "nowhere")), "names what is not in the configuration"),
        (plan_of(("a", "n3", "n2")), "action 1: a is on n1"),
        (plan_of(("a", "n1", "n1")), "action 1: a is on n1"),
        (plan_of(("a", None, "n2")), "action 1: a is on n1"),
        (plan_of(("w", "n1", "n2")), "action 1: w is on no node"),
        (plan_of(("a", "n1", "n2"), ("a", "n1", "n3")), "a or this number has another action"),
        (plan_of(("a", "n1", "n2"), after={1: (7,)}), "depends on 7, which is not in the plan"),
        (
            plan_of(("a", "n1", "n2"), ("b", "n2", "n3"), after={1: (2,), 2: (1,)}),
            "depends on itself",
        ),
    ],
)
def test_a_plan_that_makes_no_sense_is_at_fault(plan: Plan, fault: str) -> None:
    configuration = configuration_of(
        ROOMY, {"a": ("n1", 10.0, 10.0), "b": ("n2", 10.0, 10.0), "w": (None, 10.0, 10.0)}
    )
    faults = check(configuration, (), plan)
    assert any(fault in found for found in faults), faults


def test_actions_that_placement_does_not_make_are_an_error() -> None:
    configuration = configuration_of(ROOMY, {"a": ("n1", 10.0, 10.0)})
    with pytest.raises(ValueError, match="Kill is not an action of placement"):
        check(configuration, (), Plan((PlannedAction(1, Kill("a", "n1")),)))


def test_a_long_chain_of_dependencies_is_no_problem() -> None:
    count = 2000
    vms = {f"vm{i}": ("n1", 1.0, 1.0) for i in range(1, count + 1)}
    room = (10_000.0, 10_000.0)
    configuration = configuration_of({"n1": room, "n2": room}, vms)
    steps = [(vm, "n1", "n2") for vm in vms]
    plan = plan_of(*steps, after={i: (i - 1,) for i in range(2, count + 1)})
    assert check(configuration, (), plan) == []
