"""Bad problems: everything that is wrong is told at once, with the object at fault."""

from __future__ import annotations

import math
from typing import Any

import pytest

from lucos.errors import InputError
from lucos.model import Constraint, Migrate, PlannedAction, VmState
from lucos.placement.cluster import Cluster, Link, Network, Node, Switch, Vm
from lucos.placement.durations import Durations, Linear
from lucos.placement.problem import Limits, Objective, Problem
from lucos.placement.validation import FAULTS_MAX, validate

NODES = [Node("N1", {"cpu": 4}), Node("N2", {"cpu": 4}), Node("off", {"cpu": 4}, online=False)]
VMS = [
    Vm("A", {"cpu": 1}, "N1"),
    Vm("B", {"cpu": 1}, "N2"),
    Vm("P", {"cpu": 1}, "N1", VmState.PAUSED),
    Vm("R", {"cpu": 1}, None, VmState.READY),
    Vm("S", {"cpu": 1}, "N2", VmState.SLEEPING),
]
WORLD = Cluster.of(NODES, VMS)


def faults(problem: Problem) -> list[str]:
    """The lines of the error; none when the problem is sound."""
    try:
        validate(problem)
    except InputError as error:
        return error.message.splitlines()
    return []


def test_a_sound_problem_is_accepted() -> None:
    network = Network((Switch("s", 100),), (Link("l", "s", "N1", 10),), {"N1": {"N2": ("l",)}})
    cluster = Cluster(WORLD.nodes, WORLD.vms, network, {"N1": {"N2": 3.0}})
    rules = (
        Constraint("spread", ("A", "B")),
        Constraint("latency", ("A", "B"), amount=3),
        Constraint("latency", ("A", "B"), groups=(("N1",), ("N2", "off"))),
        Constraint("before", ("A", "B")),
        Constraint("maxOnline", nodes=("N1", "N2"), amount=0, weight=3),
        Constraint("gather", ("A", "B"), relocate=True),
    )
    assert faults(Problem(cluster, rules)) == []


RULES: list[tuple[Constraint, str]] = [
    (Constraint("spred", ("A", "B")), "there is no constraint spred; did you mean spread?"),
    (Constraint("xyz"), "there is no constraint xyz; known are among, ban"),
    (Constraint("spread", ("A", "Bb")), "there is no VM Bb; did you mean B?"),
    (Constraint("spread", ("A", "B", "A")), "VM A is named twice"),
    (Constraint("spread"), "it is written spread(vms); it got nothing"),
    (Constraint("spread", ("A",), ("N1",)), "it is written spread(vms); it got VMs, nodes"),
    (
        Constraint("ban", ("A",), ("N1",), amount=2),
        "it is written ban(vms, nodes); it got VMs, nodes, an amount",
    ),
    (Constraint("ban", ("A",), ("N7",)), "there is no node N7"),
    (Constraint("fence", ("A",)), "it is written fence(vms, nodes); it got VMs"),
    (Constraint("before", ("A", "B", "P")), "it takes 2 vms, not 3"),
    (Constraint("latency", ("A", "B")), "it takes groups of nodes, or a round trip above 0 ms"),
    (
        Constraint("latency", ("A",), groups=(("N1",),), amount=1),
        "it is written latency(vms, groups) or latency(vms, amount); it got VMs, groups of nodes, an amount",
    ),
    (
        Constraint("among", ("A",), groups=(("N1", "N2"), ("N2",))),
        "N2 is in group 1 and 2: groups must be disjoint",
    ),
    (Constraint("among", ("A",), groups=(("N1",), ())), "a set of nodes is empty"),
    (Constraint("split", sets=(("A", "B"), ("B",))), "B is in set 1 and 2: sets must be disjoint"),
    (Constraint("splitAmong", sets=(("A",), ("Q",)), groups=(("N1",),)), "there is no VM Q"),
    (Constraint("running", ("R",)), "it speaks of the result of a plan only: make it discrete"),
    (
        Constraint("root", ("A",), continuous=False),
        "it speaks of every instant of a plan: make it continuous",
    ),
    (Constraint("running", ("R",), continuous=False, weight=2), "it cannot be soft: leave its weight out"),
    (Constraint("spread", ("A", "B"), weight=-2), "its weight is -2: weights are 0 (hard) or more"),
    (
        Constraint("spread", ("A", "B"), relocate=True),
        "it cannot relocate: only continuous rules about one group can",
    ),
    (Constraint("gather", ("A", "B"), continuous=False, relocate=True), "it cannot relocate"),
    (
        Constraint("resourceCapacity", nodes=("N1",), resource="cpus", amount=1),
        "no resource cpus; did you mean cpu?",
    ),
    (
        Constraint("resourceCapacity", nodes=("N1",), resource="cpu", amount=-1),
        "its amount is -1: amounts are",
    ),
    (Constraint("deadline", ("A",), amount=math.nan), "its amount is nan: amounts are numbers, 0 or more"),
    (Constraint("deadline", ("A",), amount=math.inf), "its amount is inf: amounts are numbers, 0 or more"),
    (Constraint("overbook", nodes=("N1",), resource="cpu", amount=0.5), "the ratio 0.5 is below 1"),
    (Constraint("maxOnline", nodes=("N1",), amount=1.5), "1.5 is not a whole number"),
    (Constraint("runningCapacity", nodes=("N1",), amount=0.5, continuous=False), "0.5 is not a whole number"),
    (
        Constraint("headroom", nodes=("N1",), resource="cpu", amount=1.1, continuous=False),
        "fraction 1.1 is above 1",
    ),
    (Constraint("ready", ("P",), continuous=False), "P is paused and cannot be shut down: unpause it first"),
]


@pytest.mark.parametrize(("rule", "wanted"), RULES, ids=[f"{rule}: {text[:30]}" for rule, text in RULES])
def test_a_bad_rule_is_told_with_its_label(rule: Constraint, wanted: str) -> None:
    labelled = Constraint(
        **{field: getattr(rule, field) for field in rule.__struct_fields__ if field != "label"},
        label="web.luc:3",
    )
    found = faults(Problem(WORLD, (Constraint("spread", ("A", "B")), labelled)))
    assert len(found) == 1
    assert wanted in found[0]
    assert found[0].startswith(f"{rule} (web.luc:3): ")


CLUSTERS: list[tuple[dict[str, Any], str]] = [
    ({"vms": [Vm("A", {"cpu": 1}, None)]}, "VM A is running on no node"),
    ({"vms": [Vm("A", {"cpu": 1}, "N3")]}, "VM A is running on N3, which is unknown"),
    ({"vms": [Vm("A", {"cpu": 1}, "off")]}, "VM A is running on off, which is offline"),
    ({"vms": [Vm("A", {"cpu": 1}, "off", VmState.PAUSED)]}, "VM A is paused on off, which is offline"),
    ({"vms": [Vm("A", {"cpu": 1}, None, VmState.SLEEPING)]}, "VM A is sleeping on no node"),
    ({"vms": [Vm("A", {"cpu": 1}, "N1", VmState.READY)]}, "VM A is ready and has a node, N1"),
    ({"vms": [Vm("A", {"cpu": -1}, "N1")]}, "demand of VM A: cpu is -1"),
    ({"vms": [Vm("A", {"cpu": math.nan}, "N1")]}, "demand of VM A: cpu is nan"),
    ({"vms": [Vm("A", {"gpu": 1}, "N1")]}, "VM A demands gpu, which no node offers"),
    ({"vms": [Vm("A", {"cpu": 1}, "N1", durations_s={"boot": -2})]}, "durations of VM A: boot is -2"),
    ({"vms": [Vm("A", {"cpu": 1}, "N1", hot_dirty_s=math.inf)]}, "VM A: memory_used_mib and dirty rates"),
    ({"nodes": [*NODES, Node("X", {"cpu": math.inf})]}, "capacity of node X: cpu is inf"),
    ({"nodes": [*NODES, Node("X", {}, watts=(100.0,))]}, "node X: watts are two numbers or more"),
    (
        {"nodes": [*NODES, Node("X", {}, durations_s={"boot_node": -1})]},
        "durations of node X: boot_node is -1",
    ),
    ({"rtt_ms": {"N1": {"N2": -3.0}}}, "round trips (ms) of N1: N2 is -3"),
    ({"network": Network((Switch("s"),), (Link("l", "t", "N1", 1),))}, "link l: there is no switch t"),
    ({"network": Network((Switch("s"),), (Link("l", "s", "N9", 1),))}, "link l: there is no node N9"),
    ({"network": Network((Switch("s", -1),))}, "switch s: its capacity is -1"),
    ({"network": Network((Switch("s"),), (Link("l", "s", "N1", 0),))}, "link l: its capacity is 0"),
    ({"network": Network(routes={"N1": {"N2": ("l",)}})}, "route from N1 to N2: l is unknown"),
]


@pytest.mark.parametrize(("fields", "wanted"), CLUSTERS, ids=[text for _, text in CLUSTERS])
def test_a_bad_cluster_is_told(fields: dict[str, Any], wanted: str) -> None:
    made = Cluster.of(fields.get("nodes", NODES), fields.get("vms", VMS))
    others = {name: value for name, value in fields.items() if name not in ("nodes", "vms")}
    found = faults(Problem(Cluster(made.nodes, made.vms, **others)))
    assert len(found) == 1
    assert wanted in found[0]


OPTIONS: list[tuple[dict[str, Any], str]] = [
    ({"limits": Limits(in_per_node=-1)}, "limits: in_per_node is -1"),
    ({"horizon_s": 0.0}, "horizon_s is 0"),
    ({"durations": Durations(tick_s=0)}, "durations: tick_s is 0"),
    ({"durations": Durations({"boot": Linear(-1)})}, "durations of boot: base_s is -1"),
    ({"objective": (Objective.ENERGY, Objective.ENERGY)}, "objective energy is named twice"),
    ({"ongoing": (PlannedAction(0, Migrate("Z", "N1", "N2"), end_s=1),)}, "ongoing Z: there is no such VM"),
    ({"ongoing": (PlannedAction(0, Migrate("A", "N1", "N5"), end_s=1),)}, "there is no node N5"),
    ({"ongoing": (PlannedAction(0, Migrate("A", "N1", "N2"), end_s=-1),)}, "it would be over"),
]


@pytest.mark.parametrize(("fields", "wanted"), OPTIONS, ids=[text for _, text in OPTIONS])
def test_bad_options_are_told(fields: dict[str, Any], wanted: str) -> None:
    found = faults(Problem(WORLD, **fields))
    assert len(found) == 1
    assert wanted in found[0]


def test_a_name_that_differs_from_its_key_is_told() -> None:
    cluster = Cluster({"N1": NODES[1]}, {"A": Vm("B", {"cpu": 1}, "N1")})
    assert faults(Problem(cluster)) == [
        "node N1 is called N2: a node has one name",
        "VM A is called B: a VM has one name",
    ]


def test_the_first_faults_are_shown_and_the_others_counted() -> None:
    rules = tuple(Constraint("root", (f"V{i}",)) for i in range(FAULTS_MAX + 5))
    found = faults(Problem(WORLD, rules))
    assert len(found) == FAULTS_MAX + 1
    assert found[-1] == "... 5 more"


def test_equal_names_are_known_as_vms_or_as_nodes_not_as_both() -> None:
    names = ("A", "B")
    found = faults(
        Problem(WORLD, (Constraint("spread", names), Constraint("drain", nodes=names, continuous=False)))
    )
    assert [line.partition(": ")[2] for line in found] == ["there is no node A", "there is no node B"]
