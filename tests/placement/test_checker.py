"""The judge of plans against a simulator that replays them in the plainest way, and what it says."""

from __future__ import annotations

import re

import pytest
from drawn_plans import ordered, timed
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from msgspec.structs import replace
from plan_simulator import first_fault_s, goes_wrong_in_some_order

from lucos.errors import InputError, UnknownObject
from lucos.model import (
    Allocate,
    AnyAction,
    Boot,
    BootNode,
    Constraint,
    Kill,
    Migrate,
    Pause,
    Plan,
    PlannedAction,
    Resume,
    Shutdown,
    ShutdownNode,
    Suspend,
    Unpause,
    VmState,
)
from lucos.placement.checker import check, check_orders
from lucos.placement.cluster import Cluster, Link, Network, Node, Switch, Vm
from lucos.placement.problem import Limits, Problem
from lucos.placement.progress import remaining

thorough = settings(max_examples=300, deadline=None)


@thorough
@given(timed())
def test_it_finds_the_first_instant_at_which_a_plan_goes_wrong(drawn: tuple[Problem, Plan]) -> None:
    problem, plan = drawn
    faults = check(problem, plan)
    assert (faults[0].at_s if faults else None) == first_fault_s(problem, plan), faults


@thorough
@given(ordered())
def test_it_finds_fault_exactly_when_some_order_goes_wrong(drawn: tuple[Problem, Plan]) -> None:
    problem, plan = drawn
    faults = check_orders(problem, plan)
    assert bool(faults) == goes_wrong_in_some_order(problem, plan), faults


@settings(max_examples=100, deadline=None)
@given(st.data())
def test_it_finds_what_is_wrong_with_a_sound_plan_that_was_changed(data: st.DataObject) -> None:
    """One action earlier, one left out, or two destinations exchanged."""
    problem, plan = data.draw(timed(most=8, states=False))
    sound = Plan()
    for step in plan.actions:
        longer = Plan((*sound.actions, replace(step, depends_on=())))
        sound = longer if first_fault_s(problem, longer) is None else sound
    assume(sound.actions)
    assert check(problem, sound) == []
    one = data.draw(st.sampled_from(sound.actions))
    others = [step for step in sound.actions if step is not one]
    earlier_s = data.draw(st.sampled_from([0.5, 1.0, 2.0]))
    sooner = replace(one, start_s=max(0.0, one.start_s - earlier_s), end_s=max(0.5, one.end_s - earlier_s))
    changed = [Plan(tuple(others)), Plan((*others, sooner))]
    moves = [step for step in others if isinstance(step.action, Migrate)]
    if isinstance(one.action, Migrate) and moves:
        other = data.draw(st.sampled_from(moves))
        assert isinstance(other.action, Migrate)
        places = one.action.destination, other.action.destination
        changed.append(
            Plan(tuple(_redirected(s, *places) if s in (one, other) else s for s in sound.actions))
        )
    for worse in changed:
        faults = check(problem, worse)
        assert (faults[0].at_s if faults else None) == first_fault_s(problem, worse), faults


def _redirected(step: PlannedAction, a: str, b: str) -> PlannedAction:
    assert isinstance(step.action, Migrate)
    there = b if step.action.destination == a else a
    return replace(step, action=replace(step.action, destination=there))


def cluster(*, room: float = 10, **hosts: str | None) -> Cluster:
    """Four nodes of 10 cpu (or `room`), N4 off; VMs of 4 cpu where they run, or ready (None)."""
    nodes = [Node(name, {"cpu": room}, name != "N4") for name in ("N1", "N2", "N3", "N4")]
    vms = [
        Vm(name, {"cpu": 4}, host, VmState.RUNNING if host else VmState.READY) for name, host in hosts.items()
    ]
    return Cluster.of(nodes, vms)


def with_vm(made: Cluster, *more: Vm) -> Cluster:
    return replace(made, vms={**made.vms, **{vm.name: vm for vm in more}})


Timed = tuple[AnyAction, float, float]


def plan(*steps: Timed, after: dict[int, tuple[int, ...]] | None = None) -> Plan:
    """(action, start, end) numbered from 1; `after` gives the dependencies."""
    return Plan(
        tuple(
            PlannedAction(number, action, (after or {}).get(number, ()), "", start_s, end_s)
            for number, (action, start_s, end_s) in enumerate(steps, 1)
        )
    )


def told(problem: Problem, of: Plan) -> list[str]:
    return [str(fault) for fault in check(problem, of)]


def test_a_fault_names_the_instant_the_node_the_amount_and_the_vms() -> None:
    problem = Problem(cluster(A="N1", B="N2", C="N2"))
    assert told(problem, plan((Migrate("A", "N1", "N2"), 3, 5))) == [
        "at 3 s: N2 would hold 12 of 10 cpu: B, C, A",
        "at 5 s: N2 holds in the result 12 of 10 cpu: B, C, A",
    ]


def test_a_fault_names_the_rule() -> None:
    spread = Constraint("spread", ("A", "B"))
    problem = Problem(cluster(A="N1", B="N2"), (spread,))
    (fault,) = check(problem, plan((Migrate("A", "N1", "N2"), 1, 2)))
    assert str(fault).startswith("at 1 s: spread({A, B}): ")
    assert (fault.at_s, fault.constraint, fault.nodes, set(fault.vms)) == (1, spread, ("N2",), {"A", "B"})


def test_room_that_is_left_when_another_arrives_is_free() -> None:
    problem = Problem(cluster(A="N1", B="N2", C="N2"))
    leave, come = (Migrate("B", "N2", "N3"), 0.0, 0.3), Migrate("A", "N1", "N2")
    assert check(problem, plan(leave, (come, 0.1 + 0.2, 1.0), after={2: (1,)})) == []
    assert told(problem, plan(leave, (come, 0.2, 1.0)))[0].startswith("at 0.2 s: N2 would hold 12 of 10")


def test_what_was_overloaded_may_not_get_worse_and_must_be_mended() -> None:
    problem = Problem(cluster(A="N1", B="N1", C="N1", D="N2"))
    assert check(problem, plan((Migrate("A", "N1", "N2"), 0, 1))) == []
    assert told(problem, Plan()) == ["at 0 s: N1 holds in the result 12 of 10 cpu: A, B, C"]
    swap = plan(
        (Migrate("A", "N1", "N3"), 0, 2), (Migrate("B", "N1", "N3"), 0, 2), (Migrate("D", "N2", "N1"), 1, 3)
    )
    assert told(problem, swap) == ["at 1 s: N1 would hold 16 of 10 cpu: C, A, B, D"]


def test_a_soft_rule_and_one_broken_from_the_start_bind_no_instant() -> None:
    soft = Constraint("ban", ("A",), ("N2",), weight=5)
    problem = Problem(cluster(A="N1"), (soft,))
    assert check(problem, plan((Migrate("A", "N1", "N2"), 0, 1))) == []
    broken = Constraint("spread", ("A", "B"))
    problem = Problem(cluster(A="N1", B="N1"), (broken,))
    assert check(problem, plan((Migrate("A", "N1", "N2"), 0, 1))) == []
    assert told(problem, Plan()) == ["at 0 s: spread({A, B}): B and A are both on N1 in the result"]


def test_a_rule_that_takes_care_of_others_is_judged_when_these_move() -> None:
    lonely = Constraint("lonely", ("A",))
    problem = Problem(cluster(A="N1", B="N2"), (lonely,))
    assert told(problem, plan((Migrate("B", "N2", "N1"), 2, 3))) == ["at 2 s: lonely({A}): B is on N1 with A"]
    drain = Constraint("drain", nodes=("N1",), continuous=False)
    problem = Problem(cluster(B="N2"), (drain,))
    through = plan((Migrate("B", "N2", "N1"), 2, 3), (Migrate("B", "N1", "N2"), 3, 4))
    assert [fault.constraint for fault in check(problem, through)] == [drain]


def test_who_is_quarantined_may_stop_but_not_start_elsewhere() -> None:
    asked = Constraint("quarantine", nodes=("N1",)), Constraint("running", ("A",), continuous=False)
    problem = Problem(cluster(A="N1"), asked)
    stop, start = (Shutdown("A", "N1"), 0, 1), Boot("A", "N2")
    assert check(problem, plan(stop, (replace(start, node="N1"), 2, 3))) == []
    assert [f.at_s for f in check(problem, plan(stop, (start, 2, 3)))] == [2]


def test_a_group_relocates_as_one() -> None:
    gather = Constraint("gather", ("A", "B"), relocate=True)
    problem = Problem(cluster(A="N1", B="N1"), (gather,))
    a, b = Migrate("A", "N1", "N2"), Migrate("B", "N1", "N2")
    assert check(problem, plan((a, 0, 3), (b, 0, 2))) == []
    assert check(problem, plan((a, 0, 3), (b, 1, 2)))
    assert check(problem, plan((a, 0, 3), (Migrate("B", "N1", "N3"), 0, 3)))
    assert check(replace(problem, constraints=(replace(gather, relocate=False),)), plan((a, 0, 3), (b, 0, 2)))


def test_states_are_kept_unless_a_rule_asks() -> None:
    problem = Problem(cluster(A="N1"))
    stop = plan((Kill("A", "N1"), 0, 1))
    assert told(problem, stop) == ["at 1 s: A ends killed, it was running: no rule asks for that"]
    asked = replace(problem, constraints=(Constraint("killed", ("A",), continuous=False),))
    assert check(asked, stop) == []
    less = plan((Allocate("A", "N1", (("cpu", 3.0),)), 0, 1))
    assert told(problem, less) == ["at 1 s: A ends with 3 of its 4 cpu, unasked"]


def test_nodes_hold_nobody_before_they_are_up_and_once_they_go_down() -> None:
    problem = Problem(cluster(A="N1"))
    up, come = BootNode(node="N4"), Migrate("A", "N1", "N4")
    assert check(problem, plan((up, 0, 6), (come, 6, 9))) == []
    assert told(problem, plan((up, 0, 6), (come, 5, 9))) == ["at 5 s: N4 is not online: A"]
    assert told(problem, plan((come, 0, 3)))[0] == "at 0 s: N4 is not online: A"
    down, leave = ShutdownNode(node="N1"), Migrate("A", "N1", "N2")
    assert check(problem, plan((leave, 0, 3), (down, 3, 4))) == []
    assert told(problem, plan((leave, 0, 3), (down, 2, 4))) == ["at 2 s: N1 is not online: A"]


def test_an_image_keeps_its_node_up_until_it_was_resumed_elsewhere() -> None:
    made = with_vm(cluster(), Vm("S", {"cpu": 4}, "N1", VmState.SLEEPING))
    problem = Problem(made, (Constraint("running", ("S",), continuous=False),))
    resume = Resume("S", "N2", "N1")
    assert check(problem, plan((resume, 0, 3), (ShutdownNode(node="N1"), 3, 4))) == []
    early = plan((resume, 0, 3), (ShutdownNode(node="N1"), 2, 4))
    assert told(problem, early) == ["at 2 s: N1 is shut down with the image of: S"]
    assert [str(f) for f in check_orders(problem, early)] == [
        "at 0 s: N1 may be shut down with the image of: S"
    ]


def test_a_bypass_of_several_actions_is_followed() -> None:
    problem = Problem(cluster(A="N1"))
    away = plan((Migrate("A", "N1", "N2"), 0, 2), (Migrate("A", "N2", "N3"), 2, 4), after={2: (1,)})
    assert check(problem, away) == check_orders(problem, away) == []
    saved = plan(
        (Pause("A", "N1"), 0, 0),
        (Suspend("A", "N1"), 0, 4),
        (Resume("A", "N2", "N1"), 4, 9),
        (Pause("A", "N2"), 9, 9),
        (Unpause("A", "N2"), 9, 9),
        after={2: (1,), 3: (2,), 4: (3,), 5: (4,)},
    )
    assert check(problem, saved) == check_orders(problem, saved) == []


@pytest.mark.parametrize(
    ("steps", "fault"),
    [
        ([(Migrate("ghost", "N1", "N2"), 0, 1)], "action 1 (migrate): there is no VM 'ghost'"),
        ([(Migrate("A", "N1", "N9"), 0, 1)], "action 1 (migrate): there is no node 'N9'"),
        ([(BootNode(node=""), 0, 1)], "action 1 (boot_node): there is no node ''"),
        ([(Migrate("A", "N1", "N2"), 2, 1)], "action 1 (migrate): it ends at 1 s, before it starts"),
        ([(Migrate("A", "N1", "N2"), -1, 1)], "action 1 (migrate): it starts before the plan does"),
        ([(Migrate("A", "N1", "N2"), 0, float("nan"))], "action 1 (migrate): its times are no times"),
        ([(Migrate("A", "N1", "N2"), 0, 3601)], "action 1 ends at 3601 s, after the horizon (3600 s)"),
        (
            [(Migrate("A", "N1", "N2", (("cpu", -1.0),)), 0, 1)],
            "action 1 (migrate): -1.0 is no amount of cpu",
        ),
        ([(Migrate("A", "N1", "N2", (), -5.0), 0, 1)], "action 1 (migrate): -5.0 is no bandwidth"),
        ([(Migrate("A", "N3", "N2"), 0, 1)], "action 1: A is on N1, not on N3"),
        ([(Migrate("A", "N1", "N1"), 0, 1)], "action 1: A is already on N1"),
        ([(Boot("A", "N2"), 0, 1)], "action 1: A is running, it cannot be the subject of boot"),
        ([(Migrate("P", "N2", "N3"), 0, 1)], "action 1: P is paused, it cannot be the subject of migrate"),
        ([(Shutdown("W", "N1"), 0, 1)], "action 1: W is ready, it cannot be the subject of shutdown"),
        ([(Resume("S", "N2", "N1"), 0, 1)], "action 1: S is on N3, not on N1"),
        ([(BootNode(node="N1"), 0, 1)], "action 1: N1 is already online"),
        ([(ShutdownNode(node="N4"), 0, 1)], "action 1: N4 is already offline"),
        (
            [(Migrate("A", "N1", "N2"), 0, 2), (Migrate("A", "N2", "N3"), 1, 3)],
            "action 2: another action on A is still under way",
        ),
    ],
)
def test_an_action_that_makes_no_sense_is_told(steps: list[Timed], fault: str) -> None:
    sleeper = Vm("S", {"cpu": 1}, "N3", VmState.SLEEPING)
    paused = Vm("P", {"cpu": 1}, "N2", VmState.PAUSED)
    problem = Problem(with_vm(cluster(A="N1", W=None), sleeper, paused))
    assert fault in [found.text for found in check(problem, plan(*steps))]


@pytest.mark.parametrize(
    ("after", "fault"),
    [
        ({1: (7,)}, "action 1 depends on 7, which is not in the plan"),
        ({2: (1,)}, "action 2 starts before action 1, on which it depends, has ended"),
        ({1: (2,), 2: (1,)}, "actions wait for each other: 1 -> 2 -> 1"),
        ({1: (1,)}, "actions wait for each other: 1 -> 1"),
    ],
)
def test_dependencies_that_make_no_sense_are_told(after: dict[int, tuple[int, ...]], fault: str) -> None:
    problem = Problem(cluster(A="N1", B="N2"))
    made = plan((Migrate("A", "N1", "N2"), 0, 2), (Migrate("B", "N2", "N3"), 1, 2), after=after)
    assert fault in [found.text for found in check(problem, made)]


def test_two_actions_of_one_number_are_told() -> None:
    twice = (PlannedAction(1, Migrate("A", "N1", "N2")), PlannedAction(1, Migrate("B", "N2", "N3")))
    assert [f.text for f in check(Problem(cluster(A="N1", B="N2")), Plan(twice))] == [
        "two actions have the number 1"
    ]


def test_an_unknown_kind_of_rule_is_an_error() -> None:
    with pytest.raises(UnknownObject, match="there is no kind of rule 'sprad'"):
        check(Problem(cluster(A="N1"), (Constraint("sprad", ("A",)),)), Plan())


def test_limits_on_migrations_count_those_that_are_ongoing() -> None:
    ongoing = (PlannedAction(9, Migrate("A", "N1", "N2"), end_s=2.0),)
    problem = Problem(cluster(A="N1", B="N1"), limits=Limits(out_per_node=1), ongoing=ongoing)
    move = Migrate("B", "N1", "N3")
    assert told(problem, plan((move, 1, 3))) == ["at 1 s: 2 migrations out of N1 at once, the limit is 1"]
    assert check(problem, plan((move, 2, 3), after={1: (9,)})) == []


def test_links_and_switches_carry_what_they_can() -> None:
    links = tuple(Link(f"L{i}", "S", f"N{i}", 1000) for i in (1, 2, 3))
    made = replace(cluster(A="N1", B="N1", C="N3", room=20), network=Network((Switch("S"),), links))
    half, more = 62.5 / 1.048576, 70.0
    a, b = Migrate("A", "N1", "N2", (), half), Migrate("B", "N1", "N2", (), half)
    back = Migrate("C", "N3", "N1", (), half)
    assert check(Problem(made), plan((a, 0, 2), (back, 0, 2), (replace(b, destination="N3"), 0, 2))) == []
    assert check(Problem(made), plan((a, 0, 2), (replace(b, bandwidth_mibps=more), 2, 4))) == []
    faults = told(Problem(made), plan((a, 0, 2), (replace(b, bandwidth_mibps=more), 1, 3)))
    assert faults == [
        "at 1 s: link L1 from N1 would carry 1087.20256 of 1000 Mbit/s",
        "at 1 s: link L2 from S would carry 1087.20256 of 1000 Mbit/s",
    ]
    narrow = replace(made, network=Network((Switch("S", 900),), links))
    assert told(Problem(narrow), plan((a, 0, 2), (b, 0, 2))) == [
        "at 0 s: switch S would carry 1000 of 900 Mbit/s"
    ]
    apart = replace(
        made, network=Network((Switch("S"), Switch("T")), (links[0], replace(links[1], switch="T")))
    )
    assert told(Problem(apart), plan((a, 0, 2))) == ["at 0 s: no network path leads from N1 to N2"]


def test_routes_follow_the_shortest_path_unless_they_are_given() -> None:
    trunk = Link("T", "S", "S2", 100, end_is_node=False)
    detour = (
        Link("D1", "S", "S3", 1000, end_is_node=False),
        Link("D2", "S3", "S2", 1000, end_is_node=False),
    )
    links = (Link("L1", "S", "N1", 1000), Link("L2", "S2", "N2", 1000), trunk, *detour)
    switches = (Switch("S"), Switch("S2"), Switch("S3"))
    move = plan((Migrate("A", "N1", "N2", (), 50.0), 0, 1))
    short = replace(cluster(A="N1"), network=Network(switches, links))
    assert told(Problem(short), move) == ["at 0 s: link T from S would carry 419.4304 of 100 Mbit/s"]
    given = Network(switches, links, {"N1": {"N2": ("L1", "D1", "D2", "L2")}})
    assert check(Problem(replace(short, network=given)), move) == []


def test_orders_need_the_dependencies_that_times_make_needless() -> None:
    problem = Problem(cluster(A="N1", B="N2", C="N2"))
    steps = (Migrate("B", "N2", "N3"), 0, 1), (Migrate("A", "N1", "N2"), 1, 2)
    assert check(problem, plan(*steps)) == []
    assert [str(f) for f in check_orders(problem, plan(*steps))] == ["at 1 s: N2 may hold 12 of 10 cpu: A"]
    assert check_orders(problem, plan(*steps, after={2: (1,)})) == []


def test_orders_of_actions_that_rules_ask_for() -> None:
    steps = (Migrate("A", "N1", "N2"), 0, 1), (Migrate("B", "N1", "N3"), 1, 2)
    for kind in ("before", "serialize"):
        problem = Problem(cluster(A="N1", B="N1"), (Constraint(kind, ("A", "B")),))
        assert check(problem, plan(*steps)) == []
        assert [f.text for f in check_orders(problem, plan(*steps))] == [
            "dependencies do not put its actions in order"
        ]
        assert check_orders(problem, plan(*steps, after={2: (1,)})) == []


def test_room_that_one_leaves_is_not_also_taken_by_one_that_does_not_wait() -> None:
    """D may come early, because C cannot have come before B left."""
    made = cluster(A="N2", B="N2", C="N1", D="N3")
    problem = Problem(replace(made, vms={**made.vms, "D": Vm("D", {"cpu": 2}, "N3")}))
    steps = (
        (Migrate("B", "N2", "N1"), 0, 1),
        (Migrate("C", "N1", "N2"), 1, 2),
        (Migrate("D", "N3", "N2"), 0, 1),
    )
    assert check_orders(problem, plan(*steps, after={2: (1,)})) == []
    assert [f.nodes for f in check_orders(problem, plan(*steps))] == [("N2",)]


def test_a_long_chain_of_dependencies_is_no_problem() -> None:
    count = 1000
    names = [f"V{i}" for i in range(count)]
    nodes = [Node("N1", {"cpu": count // 2 + 1}), Node("N2", {"cpu": count // 2})]
    vms = [Vm(name, {"cpu": 1}, "N1" if i % 2 else "N2") for i, name in enumerate(names)]
    swaps = [Migrate(vm.name, vm.node or "", "N1" if vm.node == "N2" else "N2") for vm in vms]
    made = plan(
        *((move, i, i + 1) for i, move in enumerate(swaps)), after={i: (i - 1,) for i in range(2, count + 1)}
    )
    assert check_orders(Problem(Cluster.of(nodes, vms)), made) == []
    assert check(Problem(Cluster.of(nodes, vms)), made) == []


def test_replanning_from_the_middle_of_a_plan() -> None:
    problem = Problem(cluster(A="N1", B="N2", C="N1", W=None), (Constraint("spread", ("A", "B")),))
    bigger = Migrate("A", "N1", "N3", (("cpu", 5.0),))
    made = plan(
        (bigger, 0, 3), (BootNode(node="N4"), 0, 2), (Migrate("B", "N2", "N1"), 3, 6), (Boot("W", "N2"), 0, 1)
    )
    left = remaining(problem, made, ended=[1, 2], failed=[4], running={3: 1.5})
    vms, nodes = left.cluster.vms, left.cluster.nodes
    assert (vms["A"].node, vms["A"].demand) == ("N3", {"cpu": 5.0})
    assert (vms["B"].node, vms["C"].node) == ("N2", "N1")
    assert (vms["W"].node, vms["W"].state) == (None, VmState.READY)
    assert nodes["N4"].online
    assert left.constraints == problem.constraints
    assert [(s.number, s.start_s, s.end_s, s.depends_on) for s in left.ongoing] == [(3, 0.0, 1.5, ())]
    # B holds both of its nodes until it has arrived.
    assert told(left, plan((Migrate("A", "N3", "N2"), 0, 1)))[0].startswith("at 0 s: spread({A, B})")
    assert told(left, plan((Migrate("A", "N3", "N2"), 1.5, 3))) == []
    done = remaining(left, Plan(), ended=[3], failed=[], running={})
    assert (done.cluster.vms["B"].node, done.ongoing) == ("N1", ())


def test_replanning_follows_states() -> None:
    problem = Problem(cluster(A="N1", B="N1", C="N1", W=None))
    made = plan(
        (Suspend("A", "N1"), 0, 1), (Pause("B", "N1"), 0, 1), (Kill("C", "N1"), 0, 1), (Boot("W", "N2"), 0, 1)
    )
    vms = remaining(problem, made, ended=[1, 2, 3, 4], failed=[], running={}).cluster.vms
    assert {name: (vm.state, vm.node) for name, vm in vms.items()} == {
        "A": (VmState.SLEEPING, "N1"),
        "B": (VmState.PAUSED, "N1"),
        "C": (VmState.KILLED, None),
        "W": (VmState.RUNNING, "N2"),
    }


@pytest.mark.parametrize(
    ("ended", "failed", "running", "message"),
    [
        ([7], [], {}, "there is no action 7 in the plan"),
        ([1], [1], {}, "action 1 cannot have ended, have failed and be running at once"),
        ([], [], {1: -1.0}, "action 1 cannot end in -1 s"),
        ([2], [1], {}, "action 2 cannot have ended: A is on N1, not on N2"),
    ],
)
def test_progress_that_cannot_be_is_an_error(
    ended: list[int], failed: list[int], running: dict[int, float], message: str
) -> None:
    made = plan((Migrate("A", "N1", "N2"), 0, 1), (Migrate("A", "N2", "N3"), 1, 2))
    with pytest.raises(InputError, match=re.escape(message)):
        remaining(Problem(cluster(A="N1")), made, ended, failed, running)


def test_what_was_under_way_may_not_be_forgotten() -> None:
    ongoing = (PlannedAction(9, Migrate("A", "N1", "N2"), end_s=2.0),)
    with pytest.raises(InputError, match="action 9 was under way, and nothing is said of it"):
        remaining(Problem(cluster(A="N1"), ongoing=ongoing), Plan(), [], [], {})
