"""Each kind of constraint: its examples as the checker judges them, its signature, its page's text."""

from __future__ import annotations

import inspect
import sys

import pytest

from lucos.model import Constraint, Migrate, Plan, PlannedAction, Suspend
from lucos.model.signature import Modes
from lucos.placement.checker import check
from lucos.placement.cluster import Cluster
from lucos.placement.constraints import KINDS, SIGNATURES, Example
from lucos.placement.constraints.examples import cluster, plan
from lucos.placement.moment import Moment
from lucos.placement.problem import Problem
from lucos.placement.validation import validate

EXAMPLES = [(name, example) for name, kind in KINDS.items() for example in kind.examples]
CONTINUOUS_ONLY = "root quarantine seq before precedence serialize sync deadline"
DISCRETE_ONLY = "running ready sleeping killed online offline drain runningCapacity preserve noDelay headroom"
BOTH = "spread gather among split splitAmong lonely ban fence maxOnline resourceCapacity overbook latency"


def test_every_kind_is_there_in_its_modes() -> None:
    wanted = dict.fromkeys(CONTINUOUS_ONLY.split(), Modes.CONTINUOUS)
    wanted |= dict.fromkeys(DISCRETE_ONLY.split(), Modes.DISCRETE)
    wanted |= dict.fromkeys(BOTH.split(), Modes.BOTH)
    assert {name: signature.modes for name, signature in SIGNATURES.items()} == wanted
    assert [name for name, signature in SIGNATURES.items() if signature.relocates] == ["among", "gather"]


@pytest.mark.parametrize(("name", "example"), EXAMPLES, ids=[f"{n}: {e.caption}" for n, e in EXAMPLES])
def test_examples_are_what_they_say(name: str, example: Example) -> None:
    problem = Problem(example.cluster, (example.rule,))
    validate(problem)
    assert example.rule.kind == name
    faults = [fault for fault in check(problem, example.plan or Plan()) if fault.constraint == example.rule]
    assert (not faults) == example.holds, faults
    if example.plan is None and name != "overbook":
        assert all(fault.text for fault in faults)


@pytest.mark.parametrize("name", KINDS)
def test_each_kind_shows_both_sides_and_explains_its_modes(name: str) -> None:
    kind = KINDS[name]
    assert {example.holds for example in kind.examples} == {True, False}
    text = inspect.cleandoc(sys.modules[type(kind).__module__].__doc__ or "")
    modes = kind.signature.modes
    assert ("Continuous" in text) == (modes is not Modes.DISCRETE)
    assert ("iscrete" in text) == (modes is not Modes.CONTINUOUS)
    assert "\nTip: " in text


GROUPS = (("N1", "N2"), ("N3", "N4"))
FOUR = cluster({"A": "N1", "B": "N2"}, nodes="N1 N2 N3 N4")


def _faults(rule: Constraint, world: Cluster, plan: Plan, *others: Constraint) -> list[str]:
    return [f.text for f in check(Problem(world, (rule, *others)), plan) if f.constraint == rule]


def test_a_relocatable_group_may_leave_for_one_other_group_at_one_instant() -> None:
    rule = Constraint("among", ("A", "B"), groups=GROUPS, relocate=True)
    together = plan((Migrate("A", "N1", "N3"), 1, 4), (Migrate("B", "N2", "N4"), 1, 2))
    assert _faults(rule, FOUR, together) == []
    apart = plan((Migrate("A", "N1", "N3"), 1, 4), (Migrate("B", "N2", "N4"), 2, 3))
    assert _faults(rule, FOUR, apart) == ["the group moves at different instants: A at 1 s and B at 2 s"]
    alone = plan((Migrate("A", "N1", "N3"), 1, 4))
    assert _faults(rule, FOUR, alone) == ["its VMs are on N3, N2: not in one group"]
    within = plan((Migrate("A", "N1", "N2"), 1, 4), (Migrate("B", "N2", "N1"), 5, 6))
    assert _faults(rule, FOUR, within) == []


def test_a_group_that_is_not_relocatable_stays_in_its_group() -> None:
    rule = Constraint("among", ("A", "B"), groups=GROUPS)
    together = plan((Migrate("A", "N1", "N3"), 1, 4), (Migrate("B", "N2", "N4"), 1, 2))
    assert _faults(rule, FOUR, together) == ["its VMs are on N1, N3, N2, N4: not in one group"]


def test_who_stops_during_a_relocation_may_stay_behind_until_it_ends() -> None:
    rule = Constraint("gather", ("A", "B", "C"), relocate=True)
    world = cluster({"A": "N1", "B": "N1", "C": "N1"})
    sleeping = Constraint("sleeping", ("C",), continuous=False)
    leaving = ((Migrate("A", "N1", "N2"), 0, 4), (Migrate("B", "N1", "N2"), 0, 4))
    for end_s, wanted in ((3, []), (6, ["its VMs are on N2, N1"])):
        steps = plan(*leaving)
        suspend = PlannedAction(2, Suspend("C", "N1"), start_s=0, end_s=end_s)
        assert _faults(rule, world, Plan((*steps.actions, suspend)), sleeping) == wanted


def test_an_unmeasured_round_trip_is_too_far() -> None:
    rule = Constraint("latency", ("A", "B"), amount=5)
    hosts = {"A": frozenset(("N1",)), "B": frozenset(("N2",))}
    breach = KINDS["latency"].broken(rule, Moment(hosts, cluster({"A": "N1", "B": "N2"})))
    assert breach is not None
    assert breach.text == "A on N1 and B on N2 are on nodes never measured"


def test_the_worse_direction_of_a_round_trip_counts() -> None:
    rule = Constraint("latency", ("A", "B"), amount=5)
    world = Cluster(FOUR.nodes, FOUR.vms, rtt_ms={"N1": {"N2": 2}, "N2": {"N1": 7}})
    hosts = {"A": frozenset(("N1",)), "B": frozenset(("N2",))}
    breach = KINDS["latency"].broken(rule, Moment(hosts, world))
    assert breach is not None
    assert "7 ms apart" in breach.text
