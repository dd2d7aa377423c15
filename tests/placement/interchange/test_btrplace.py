"""BtrPlace's instances and plans, read and written."""

from __future__ import annotations

import gzip
import json
from typing import Any

import instances
import msgspec
import pytest

from lucos.errors import InputError
from lucos.model import (
    Allocate,
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
    VmState,
)
from lucos.placement.cluster import Link, Network, Switch
from lucos.placement.constraints import KINDS
from lucos.placement.interchange import load, load_plan
from lucos.placement.interchange.btrplace_model import write_instance
from lucos.placement.interchange.btrplace_plan import write_plan
from lucos.placement.interchange.btrplace_rules import KIND_OF
from lucos.placement.interchange.numbers import Numbered
from lucos.placement.problem import Objective, Problem


def bytes_of(document: dict[str, Any]) -> bytes:
    return json.dumps(document).encode()


@pytest.fixture(scope="module")
def problem() -> Problem:
    return load(bytes_of(instances.btrplace()), validated=False)


def test_states_and_names(problem: Problem) -> None:
    places = {name: (vm.state, vm.node) for name, vm in problem.cluster.vms.items()}
    assert places == {
        "web1": (VmState.RUNNING, "N1"),
        "web2": (VmState.RUNNING, "N1"),
        "vm#12": (VmState.RUNNING, "N2"),
        "vm#13": (VmState.SLEEPING, "N2"),
        "vm#14": (VmState.READY, None),
        "vm#15": (VmState.READY, None),
    }
    online = {name: node.online for name, node in problem.cluster.nodes.items()}
    assert online == {"N1": True, "N2": True, "N3": False, "node#7": True}


def test_amounts_with_defaults(problem: Problem) -> None:
    assert {n: v.demand["mem"] for n, v in problem.cluster.vms.items()} == {
        "web1": 3,
        "web2": 1,
        "vm#12": 2,
        "vm#13": 1,
        "vm#14": 1,
        "vm#15": 1,
    }
    assert {n: v.capacity["mem"] for n, v in problem.cluster.nodes.items()} == {
        "N1": 16,
        "N2": 8,
        "N3": 8,
        "node#7": 8,
    }


def test_attributes(problem: Problem) -> None:
    cluster, durations = problem.cluster, problem.durations
    assert cluster.vms["web1"].durations_s == {"migrate": 8, "boot": 4}
    assert durations.of_vm("shutdown", cluster.vms["web1"]) == 1
    assert cluster.nodes["N1"].durations_s == {"boot_node": 6}
    assert cluster.nodes["N3"].durations_s == {"shutdown_node": 4}
    web2 = cluster.vms["web2"]
    memory = (web2.memory_used_mib, web2.hot_dirty_mib, web2.hot_dirty_s, web2.cold_dirty_mibps)
    assert (*memory, web2.post_copy) == (1000, 6, 3, 1.5, True)
    assert durations.tick_s == 1


def test_network(problem: Problem) -> None:
    assert problem.cluster.network == Network(
        (Switch("switch#0"), Switch("switch#5", 2000)),
        (
            Link("link#0", "switch#0", "N1", 1000),
            Link("link#1", "switch#0", "N2", 1000),
            Link("link#2", "switch#5", "switch#0", 1000, end_is_node=False),
            Link("link#3", "switch#5", "node#7", 1000),
        ),
        {"N1": {"node#7": ("link#0", "link#2", "link#3")}},
    )


def test_every_constraint(problem: Problem) -> None:
    rules = {rule.kind: rule for rule in problem.constraints}
    assert len(rules) == len(problem.constraints) == len(KIND_OF)
    expected = {
        Constraint("spread", ("web1", "web2"), continuous=False, label="constraints[0]"),
        Constraint("lonely", ("vm#12",), continuous=False, label="constraints[2]"),
        Constraint("among", ("web1",), groups=(("N1", "N2"), ("N3",)), label="constraints[3]"),
        Constraint("split", sets=(("web1",), ("web2", "vm#12")), continuous=False, label="constraints[4]"),
        Constraint(
            "splitAmong", sets=(("web1",), ("vm#12",)), groups=(("N1",), ("N2",)), label="constraints[5]"
        ),
        Constraint("root", ("vm#12",), label="constraints[8]"),
        Constraint("killed", ("vm#15",), continuous=False, label="constraints[13]"),
        Constraint("maxOnline", nodes=("N1", "N2", "N3"), amount=3, label="constraints[16]"),
        Constraint(
            "overbook", nodes=("N2",), resource="mem", amount=1.5, continuous=False, label="constraints[19]"
        ),
        Constraint("before", ("web1", "web2"), label="constraints[23]"),
        Constraint("deadline", ("web1",), amount=90, label="constraints[26]"),
    }
    assert expected <= set(problem.constraints)


@pytest.mark.parametrize("name", sorted(set(KIND_OF) - {"overbook"}))
@pytest.mark.parametrize("said", [None, True, False])
def test_modes_are_those_of_the_kind(name: str, said: bool | None) -> None:
    document = instances.btrplace()
    (rule,) = [rule for rule in document["constraints"] if rule["id"] == name]
    rule.pop("continuous", None)
    if said is not None:
        rule["continuous"] = said
    document["constraints"] = [rule]
    (read,) = load(bytes_of(document), validated=False).constraints
    mode = KINDS[read.kind].signature.modes.value
    assert read.continuous is (said is True if mode == "C/D" else mode == "C")


def test_groups_that_are_alike_are_one_object() -> None:
    document = instances.btrplace()
    document["constraints"] = [{"id": "among", "vms": [n], "parts": [[1, 2], [3]]} for n in (10, 11)]
    first, second = load(bytes_of(document), validated=False).constraints
    assert first.groups is second.groups


@pytest.mark.parametrize(
    ("name", "objective"),
    [
        ("minimizeMTTR", (Objective.SUM_OF_ENDS,)),
        ("minimizeMTTRMigrationScheduling", (Objective.SUM_OF_ENDS,)),
        ("minimizeMigrations", (Objective.MIGRATIONS, Objective.SUM_OF_ENDS)),
        ("MinMigrations", (Objective.MIGRATIONS, Objective.SUM_OF_ENDS)),
    ],
)
def test_objectives(name: str, objective: tuple[Objective, ...]) -> None:
    document = instances.btrplace() | {"objective": {"id": name}}
    assert load(bytes_of(document), validated=False).objective == objective


def test_what_is_written_reads_as_the_same(problem: Problem) -> None:
    assert load(write_instance(problem), validated=False) == problem


def test_directions_of_routes_are_written(problem: Problem) -> None:
    """True from the element of a link to its switch, the first two; false on the last."""
    views = json.loads(write_instance(problem))["model"]["views"]
    (net,) = [view for view in views if view["id"] == "net"]
    (route,) = net["routing"]["routes"]
    assert [(hop["link"], hop["direction"]) for hop in route["links"]] == [
        (0, "true"),
        (2, "true"),
        (3, "false"),
    ]


def test_gzip_reads_as_the_same(problem: Problem) -> None:
    halves = bytes_of(instances.btrplace())[:100], bytes_of(instances.btrplace())[100:]
    assert load(b"".join(map(gzip.compress, halves)), validated=False) == problem


@pytest.mark.parametrize(
    "rule",
    [
        Constraint("spread", ("web1", "web2"), weight=3),
        Constraint("gather", ("web1", "web2"), relocate=True),
        Constraint("drain", nodes=("N1",)),
        Constraint("ban", ("web1", "web2"), ("N1",)),
        Constraint("runningCapacity", nodes=("N1",), amount=1.5),
    ],
    ids=lambda rule: rule.kind,
)
def test_what_btrplace_cannot_say_is_refused(problem: Problem, rule: Constraint) -> None:
    with pytest.raises(InputError, match="BtrPlace"):
        write_instance(msgspec.structs.replace(problem, constraints=(rule,)))


# --- Plans


PLAN = Plan(
    (
        PlannedAction(0, BootNode(node="N3"), reason="room is needed", end_s=6),
        PlannedAction(1, Migrate("web1", "N1", "N2", (("mem", 4.0),), 1000 / 8.388608), end_s=8),
        PlannedAction(2, Allocate("web2", "N1", (("mem", 2.0), ("cpu", 3.0))), end_s=1),
        PlannedAction(3, Kill("vm#15", ""), end_s=1),
        PlannedAction(4, Suspend("vm#12", "N2"), end_s=2),
        PlannedAction(5, Resume("vm#13", "N1", "N2"), (4,), "its image waits", 2, 4),
        PlannedAction(6, Boot("vm#14", "N3", (("mem", 5.0),)), (0,), start_s=6, end_s=7),
        PlannedAction(7, Shutdown("web1", "N2"), (1,), start_s=8, end_s=9),
        PlannedAction(8, ShutdownNode(node="node#7"), start_s=9, end_s=10),
    )
)


@pytest.fixture(scope="module")
def two_resources() -> Problem:
    document = instances.btrplace()
    document["model"]["views"].append({"id": "shareableResource", "rcId": "cpu"})
    return load(bytes_of(document), validated=False)


def test_plans_read_as_they_were_written(two_resources: Problem) -> None:
    read = load_plan(write_plan(two_resources, PLAN), two_resources)
    assert sorted(read.actions, key=lambda step: step.number) == list(PLAN.actions)
    assert [step.start_s for step in read.actions] == sorted(step.start_s for step in PLAN.actions)


def test_plans_are_written_as_btrplace_does(two_resources: Problem) -> None:
    written = json.loads(write_plan(two_resources, PLAN))
    assert load(bytes_of({"model": written["origin"]})).cluster == two_resources.cluster
    actions = {(action["id"], action.get("rc", "")): action for action in written["actions"]}
    for action in actions.values():
        action.pop("luc")
        assert action["start"] == int(action["start"])
    nothing: dict[str, Any] = {"pre": [], "post": []}
    given = {"id": "allocate", "vm": 10, "rc": "mem", "amount": 4}
    assert actions["migrateVM", ""] == {
        "id": "migrateVM",
        "vm": 10,
        "from": 1,
        "to": 2,
        "bw": 1000,
        "start": 0,
        "end": 8,
        "hooks": {"pre": [], "post": [given]},
    }
    assert actions["bootVM", ""]["hooks"] == {"pre": [{**given, "vm": 14, "amount": 5}], "post": []}
    assert actions["allocate", "cpu"] == {
        "id": "allocate",
        "vm": 11,
        "on": 1,
        "rc": "cpu",
        "amount": 3,
        "start": 0,
        "end": 1,
        "hooks": nothing,
    }
    assert actions["suspendVM", ""]["to"] == 2
    assert actions["resumeVM", ""]["from"] == 2
    assert actions["killVM", ""]["on"] is None
    assert actions["bootNode", ""]["node"] == 3


def test_plans_of_btrplace_itself(problem: Problem) -> None:
    """No `luc`, no bandwidth, an old way to say where a VM boots, allocations that take no time."""
    document = {
        "origin": {},
        "actions": [
            {
                "id": "migrateVM",
                "vm": 10,
                "from": 1,
                "to": 2,
                "bw": 2**31 - 1,
                "start": 1,
                "end": 3,
                "hooks": {},
            },
            {"id": "bootVM", "vm": 14, "to": 2, "start": 0, "end": 1},
            {"id": "allocate", "vm": 11, "on": 1, "rc": "mem", "amount": 2, "start": 0, "end": 0},
        ],
    }
    assert load_plan(bytes_of(document), problem).actions == (
        PlannedAction(0, Allocate("web2", "N1", (("mem", 2.0),))),
        PlannedAction(1, Boot("vm#14", "N2"), end_s=1),
        PlannedAction(2, Migrate("web1", "N1", "N2"), start_s=1, end_s=3),
    )


@pytest.mark.parametrize(
    ("step", "said"),
    [
        (PlannedAction(0, Pause("web1", "N1"), end_s=1), "pause"),
        (PlannedAction(0, Boot("vm#14", "N1"), end_s=1.5), "the end of #0 is 1.5"),
        (PlannedAction(0, Boot("vm#14", "N1", (("mem", 1.5),)), end_s=1), "mem of #0 is 1.5"),
    ],
)
def test_plans_that_btrplace_cannot_carry_out_are_refused(
    problem: Problem, step: PlannedAction, said: str
) -> None:
    with pytest.raises(InputError, match=said):
        write_plan(problem, Plan((step,)))


def test_problems_of_others_are_numbered_in_order(problem: Problem) -> None:
    plain = Problem(problem.cluster)
    plan = Plan((PlannedAction(0, Migrate("web1", "N1", "N2"), end_s=1),))
    written = write_plan(plain, plan)
    assert json.loads(written)["actions"][0]["to"] == 1
    assert load_plan(written, plain) == plan


def test_numbers_outlive_other_changes(problem: Problem) -> None:
    changed = msgspec.structs.replace(problem, constraints=())
    assert isinstance(changed, Numbered)
    assert changed.vm_numbers["web1"] == 10


# --- The real ones


@pytest.mark.parametrize(
    ("name", "nodes", "vms", "rules"),
    [
        ("issue-100.json.gz", 32, 6688, 3),
        ("issue-131-4.json.gz", 8, 139, 82),
        ("min-migrations.json", 4, 56, 30),
        ("li-r6-c0.json.gz", 5000, 30000, 7979),
        ("li-r4-c33.json.gz", 5000, 20000, 8321),
        ("nr-r3-c0.json.gz", 5000, 15000, 10753),
    ],
)
def test_real_instances(name: str, nodes: int, vms: int, rules: int) -> None:
    problem = load(instances.real(name))
    found = len(problem.cluster.nodes), len(problem.cluster.vms), len(problem.constraints)
    assert found == (nodes, vms, rules)
    assert load(write_instance(problem), validated=False) == problem
