"""VMs of one vjob go to sleep, and wake up, as one."""

from __future__ import annotations

from planner_worlds import assert_sound, planned, vm, world

from lucos.model import Constraint, Plan, VmState
from lucos.placement.lowering import arrays_of
from lucos.placement.planner.timed import solve_timed
from lucos.placement.problem import Objective, Problem, Status

BRIEF = {"pause": 2.0, "unpause": 1.0, "suspend": 4.0, "resume": 5.0}


def switch(vjobs: tuple[str, str] = ("a", "b")) -> Problem:
    """Vjob a is to make room on two full nodes for vjob b."""
    a, b = vjobs
    vms = [
        vm("A1", "N1", cpu=2, vjob=a, durations_s=BRIEF),
        vm("A2", "N2", cpu=2, vjob=a, durations_s=BRIEF | {"suspend": 6.0}),
        vm("B1", "N1", cpu=2, vjob=b, state=VmState.SLEEPING, durations_s=BRIEF),
        vm("B2", "N2", cpu=2, vjob=b, state=VmState.SLEEPING, durations_s=BRIEF),
    ]
    rules = (
        Constraint("sleeping", ("A1", "A2"), continuous=False),
        Constraint("running", ("B1", "B2"), continuous=False),
    )
    return world({"N1": (2, 9), "N2": (2, 9)}, vms, *rules)


def times(plan: Plan) -> dict[str, tuple[float, float]]:
    return {f"{type(a.action).__name__} {a.action.vm}": (a.start_s, a.end_s) for a in plan.actions}


def test_a_vjob_makes_room_for_another() -> None:
    plan = planned(switch(), B1="N1", B2="N2")
    assert isinstance(plan, Plan)
    assert times(plan) == {
        "Pause A1": (0, 2),
        "Pause A2": (0, 2),
        "Suspend A1": (2, 6),
        "Suspend A2": (2, 8),
        "Resume B1": (6, 11),
        "Resume B2": (8, 13),
        "Pause B1": (11, 13),
        "Pause B2": (13, 15),
        "Unpause B1": (15, 16),
        "Unpause B2": (15, 16),
    }


def test_none_is_saved_before_all_are_paused_and_none_goes_on_before_all_are_resumed() -> None:
    plan = planned(switch(), B1="N1", B2="N2")
    assert isinstance(plan, Plan)
    name = {a.number: f"{type(a.action).__name__} {a.action.vm}" for a in plan.actions}
    waits = {name[a.number]: {name[n] for n in a.depends_on} for a in plan.actions}
    for vm_ in ("A1", "A2"):
        assert waits[f"Suspend {vm_}"] == {"Pause A1", "Pause A2"}
    for vm_ in ("B1", "B2"):
        assert waits[f"Pause {vm_}"] == {f"Resume {vm_}"}
        assert waits[f"Unpause {vm_}"] == {"Pause B1", "Pause B2"}


def test_vms_of_different_vjobs_are_left_alone() -> None:
    problem = switch()
    alone = [
        vm(v.name, v.node, cpu=2, state=v.state, durations_s=v.durations_s, vjob=v.name)
        for v in problem.cluster.vms.values()
    ]
    plan = planned(world({"N1": (2, 9), "N2": (2, 9)}, alone, *problem.constraints), B1="N1", B2="N2")
    assert isinstance(plan, Plan)
    assert sorted({name.split()[0] for name in times(plan)}) == ["Resume", "Suspend"]


def test_one_that_is_paused_already_waits_for_the_others() -> None:
    vms = [
        vm("A1", "N1", vjob="a", state=VmState.PAUSED, durations_s=BRIEF),
        vm("A2", "N1", vjob="a", durations_s=BRIEF),
    ]
    sleep = Constraint("sleeping", ("A1", "A2"), continuous=False)
    plan = planned(world({"N1": (9, 9)}, vms, sleep))
    assert isinstance(plan, Plan)
    assert times(plan) == {"Pause A2": (0, 2), "Suspend A1": (2, 6), "Suspend A2": (2, 6)}


def test_the_joint_model_agrees() -> None:
    problem = switch()
    found = solve_timed(arrays_of(problem), [Objective.SUM_OF_ENDS])
    assert found.status is Status.OPTIMAL
    assert found.plan is not None
    assert_sound(problem, found.plan)
    assert found.values == (sum(a.end_s for a in found.plan.actions),)
    plan = planned(problem, B1="N1", B2="N2")
    assert isinstance(plan, Plan)
    assert sum(a.end_s for a in plan.actions) == found.values[0]
