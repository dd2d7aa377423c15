"""The live system's configurations as problems, and what of a rule can be told of a part of the system."""

from __future__ import annotations

import subprocess
import sys

import pytest

from lucos.model import Configuration, Constraint, Instance, Node, Resources, VmSpec, VmState
from lucos.placement.cluster import Cluster
from lucos.placement.constraints import KINDS
from lucos.placement.judging import broken, narrowed, speaks_of
from lucos.placement.live import NOT_LIVE, judged, moment_of, overbooked, problem_of
from lucos.placement.moment import Moment
from lucos.placement.validation import validate

HERE = ("h1", "h2")


def configuration(draining: str = "", **places: str | None) -> Configuration:
    """h1 and h2 of 100 % and 1024 MiB; VMs of 30 % and 256 MiB; without a place a VM waits to run."""
    nodes = {name: Node(name, Resources(100.0, 1024.0), "s1", name == draining) for name in HERE}
    instances = {
        vm: Instance(
            VmSpec(vm, "ve", "mini", memory_mib=256),
            node,
            VmState.RUNNING if node else VmState.READY,
            Resources(30.04, 256.0),
        )
        for vm, node in places.items()
    }
    return Configuration(nodes, instances)


def rules(*given: Constraint, fixed: tuple[str, ...] = (), **places: str) -> list[str]:
    problem = problem_of(configuration(**places), given, fixed=fixed)
    validate(problem)
    return [str(rule) for rule in problem.constraints]


def test_a_configuration_becomes_a_valid_problem() -> None:
    problem = problem_of(configuration(draining="h1", a="h1", b=None), (), headroom=0.1, fixed=("a", "gone"))
    validate(problem)
    assert problem.cluster.vms["a"].demand == {"cpu_pct": 30.0, "memory_mib": 256.0}
    assert [str(rule) for rule in problem.constraints] == [
        ">> running({b})",
        "root({a})",
        ">> drain({h1})",
        ">> headroom({h1, h2}, cpu_pct, 0.1)",
    ]


@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        (Constraint("spread", ("a", "b", "far")), ["spread({a, b})"]),
        (Constraint("spread", ("far",)), []),
        (Constraint("lonely", ("a", "far")), ["lonely({a})"]),
        (Constraint("split", sets=(("a",), ("far",))), []),
        (Constraint("split", sets=(("a", "far"), ("b",))), ["split({{a}, {b}})"]),
        (Constraint("ban", ("a",), ("h2", "h9")), ["ban({a}, {h2})"]),
        (Constraint("ban", ("a",), ("h9",)), []),
        (Constraint("fence", ("a",), ("h1", "h9")), ["fence({a}, {h1})"]),
        (Constraint("fence", ("a",), ("h9",)), ["ban({a}, {h1, h2})"]),
        (Constraint("gather", ("a", "b")), ["gather({a, b})"]),
        (Constraint("gather", ("a", "far")), ["gather({a})", "root({a})"]),
        (Constraint("among", ("a", "far"), groups=(("h1",), ("h9",))), ["among({a}, {{h1}})", "root({a})"]),
        (Constraint("runningCapacity", nodes=("h1", "h9"), amount=5, continuous=False), ["1"]),
        (Constraint("resourceCapacity", nodes=("h1", "h2"), resource="cpu_pct", amount=500), ["500"]),
        (Constraint("before", ("a", "far")), []),
        (Constraint("quarantine", nodes=("h2", "h9")), ["quarantine({h2})"]),
        *((Constraint(kind, ("a",), ("h1",), continuous=False, amount=1), []) for kind in NOT_LIVE),
    ],
    ids=str,
)
def test_rules_that_reach_outside_are_narrowed(rule: Constraint, expected: list[str]) -> None:
    """VM `far` and node h9 are elsewhere."""
    found = rules(rule, a="h1", b="h2")
    if rule.amount and expected:
        assert [text.rpartition(", ")[2] for text in found] == [f"{expected[0]})"]
    else:
        assert found == expected


def test_a_rule_within_the_part_is_left_as_it_is() -> None:
    rule = Constraint("fence", ("a",), HERE)
    assert narrowed(rule, {"a"}, HERE).rule is not None
    assert narrowed(rule, {"a"}, HERE).rule == rule


def test_what_is_preserved_is_room_that_plans_account_for() -> None:
    rule = Constraint("preserve", ("a",), continuous=False, resource="cpu_pct", amount=80.0)
    problem = problem_of(configuration(a="h1", b="h1"), [rule])
    assert problem.constraints == ()
    assert [problem.cluster.vms[vm].demand["cpu_pct"] for vm in ("a", "b")] == [80.0, 30.0]
    assert judged([rule, rule]) == []


def test_the_least_ratio_overbooks() -> None:
    def ratio(amount: float) -> Constraint:
        return Constraint("overbook", nodes=("h1",), resource="cpu_pct", amount=amount)

    room = Resources(50.0, 100.0)
    assert overbooked(room, "h1", [ratio(2.0), ratio(1.5)]) == Resources(75.0, 100.0)
    assert overbooked(room, "h2", [ratio(2.0)]) == room


def test_rules_are_judged_by_what_is_known() -> None:
    moment = moment_of(configuration(a="h1", b="h1"))
    fault = broken(Constraint("spread", ("a", "b", "far")), moment)
    assert fault.startswith("spread({a, b, far}): ")
    assert fault.endswith("are both on h1")
    assert broken(Constraint("fence", ("a",), ("h9",)), moment) == "fence({a}, {h9}): a is on h1"
    assert broken(Constraint("spread", ("a", "far")), moment) == ""
    assert broken(Constraint("of-the-future", ("a",)), moment) == ""


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_every_kind_can_be_judged_of_any_part(kind: str) -> None:
    """Its examples, seen from each node alone: no kind needs to know more than it is told."""
    for example in KINDS[kind].examples:
        for name, node in example.cluster.nodes.items():
            vms = {vm.name: vm for vm in example.cluster.vms.values() if vm.node == name}
            part = Cluster({name: node}, vms)
            hosts = {vm: frozenset((name,)) for vm in vms}
            assert isinstance(broken(example.rule, Moment(hosts, part)), str)


def test_a_rule_that_names_no_vm_binds_all() -> None:
    assert speaks_of(Constraint("drain", nodes=("h1",)), "a")
    assert speaks_of(Constraint("split", sets=(("a",), ("b",))), "b")
    assert not speaks_of(Constraint("spread", ("a", "b")), "c")


def test_judging_needs_no_arrays() -> None:
    """Agents judge rules; numpy's memory is for the solver's process."""
    script = """
import sys, lucos.agent.main, lucos.agent.service, lucos.placement
from lucos.placement.constraints import KINDS
from lucos.placement.moment import Moment
for kind in KINDS.values():
    for example in kind.examples:
        hosts = {v.name: frozenset([v.node]) for v in example.cluster.vms.values() if v.node}
        kind.broken(example.rule, Moment(hosts, example.cluster))
print(sorted({"numpy", "ortools", "lark"} & sys.modules.keys()))
"""
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert run.stdout == "[]\n"
