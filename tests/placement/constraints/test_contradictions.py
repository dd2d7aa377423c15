"""Rules that contradict each other are told when they are declared; rules that can hold are left in peace."""

from __future__ import annotations

import pytest

from lucos.model import Constraint, VmState
from lucos.placement.cluster import Cluster, Node, Vm
from lucos.placement.validation import contradictions

WORLD = Cluster.of(
    [Node(name, {"cpu": 4}) for name in ("N1", "N2", "N3")],
    [Vm(name, {"cpu": 1}, "N1") for name in "ABC"] + [Vm("R", {"cpu": 1}, None, VmState.READY)],
)


def rule(kind: str, vms: str = "", nodes: str = "", **fields: object) -> Constraint:
    """A rule labelled by its kind; names separated by spaces."""
    label = f"{kind}.luc:1"
    return Constraint(kind, tuple(vms.split()), tuple(nodes.split()), label=label, **fields)  # type: ignore[arg-type]


HALVES = (("N1",), ("N2", "N3"))
CONTRADICT = [
    ([rule("running", "A B"), rule("ready", "B")], "B cannot be running and ready"),
    ([rule("sleeping", "A"), rule("killed", "A")], "A cannot be sleeping and killed"),
    ([rule("online", nodes="N1 N2"), rule("offline", nodes="N2")], "N2 cannot be online and offline"),
    (
        [rule("online", nodes="N1 N2"), rule("maxOnline", nodes="N1 N2 N3", amount=1)],
        "2 of its nodes are to be online",
    ),
    ([rule("gather", "A B"), rule("spread", "C B A")], "B and A cannot be together and apart"),
    (
        [rule("gather", "A B"), rule("split", sets=(("A",), ("C", "B")))],
        "A and B cannot be together and apart",
    ),
    (
        [rule("gather", "A B"), rule("splitAmong", sets=(("A",), ("B",)), groups=HALVES)],
        "A and B cannot be together and apart",
    ),
    ([rule("fence", "A", "N1 N2"), rule("ban", "A B", "N1 N2")], "leave A no node to run on"),
    ([rule("fence", "A", "N1"), rule("fence", "A", "N2 N3")], "leave A no node to run on"),
    ([rule("fence", "R", "N1"), rule("drain", nodes="N1")], "leave R no node to run on"),
    ([rule("fence", "R", "N1"), rule("offline", nodes="N1")], "leave R no node to run on"),
    ([rule("among", "A", groups=HALVES[:1]), rule("ban", "A", "N1")], "leave A no node to run on"),
    ([rule("root", "A"), rule("ban", "A", "N1")], "A has to stay on N1 and to leave it"),
    ([rule("root", "A"), rule("fence", "A", "N2")], "A has to stay on N1 and to leave it"),
    ([rule("root", "A B"), rule("drain", nodes="N1")], "A has to stay on N1 and to leave it"),
    ([rule("quarantine", nodes="N1"), rule("offline", nodes="N1")], "has to stay on N1 and to leave it"),
    ([rule("spread", "A B C"), rule("fence", "A B C", "N1 N2")], "3 VMs run, 2 nodes are left to them"),
    ([rule("spread", "A B C"), rule("drain", nodes="N1")], "3 VMs run, 2 nodes are left to them"),
    ([rule("before", "A B"), rule("seq", "B C A")], "go round in a circle: "),
    ([rule("before", "A B"), rule("precedence", "B A")], "go round in a circle: "),
    ([rule("deadline", "A", amount=0)], "leaves no time for any action"),
    ([rule("sync", "A B C"), rule("before", "A C")], "A and C cannot start together and in turn"),
    ([rule("serialize", "B C"), rule("sync", "C B")], "C and B cannot start together and in turn"),
]


@pytest.mark.parametrize(
    ("rules", "wanted"), CONTRADICT, ids=[" & ".join(map(str, rs)) for rs, _ in CONTRADICT]
)
def test_a_contradiction_names_its_rules(rules: list[Constraint], wanted: str) -> None:
    for order in (rules, rules[::-1]):
        found = contradictions(order, WORLD)
        assert found
        assert all(f"({r.label})" in found[0] for r in rules)
    found = contradictions(rules, WORLD)
    assert wanted in found[0]


PEACE = [
    [rule("running", "A"), rule("running", "A B"), rule("ready", "C")],
    [rule("gather", "A B"), rule("spread", "B C")],
    [rule("gather", "A B"), rule("split", sets=(("A", "B"), ("C",)))],
    [rule("gather", "A B", weight=3), rule("spread", "A B")],
    [rule("fence", "A", "N1 N2"), rule("fence", "A", "N2 N3"), rule("ban", "A", "N3")],
    [rule("fence", "A", "N1"), rule("drain", nodes="N1"), rule("ready", "A")],
    [rule("root", "A"), rule("fence", "A", "N1"), rule("drain", nodes="N2 N3")],
    [rule("root", "R"), rule("ban", "R", "N1")],
    [rule("spread", "A B R"), rule("fence", "A B R", "N1 N2")],
    [rule("before", "A B"), rule("seq", "A B C"), rule("before", "A C")],
    [rule("serialize", "A B"), rule("sync", "B C"), rule("deadline", "A", amount=1)],
    [rule("latency", "A B", amount=2), rule("latency", "A B", groups=HALVES)],
]


@pytest.mark.parametrize("rules", PEACE, ids=[" & ".join(map(str, rs)) for rs in PEACE])
def test_rules_that_can_hold_together_are_left_in_peace(rules: list[Constraint]) -> None:
    assert contradictions(rules, WORLD) == []
