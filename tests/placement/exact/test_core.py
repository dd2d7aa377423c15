"""Conflict cores: minimal by the exhaustive reference, and told in words."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec
import pytest
from exhaustive import judge
from random_problems import random_problem

from lucos.model import Constraint, VmState
from lucos.placement.cluster import Cluster, Node, Vm
from lucos.placement.exact import Effort, place
from lucos.placement.exact.core import aggregate_conflict, clash_core, conflict, sentence
from lucos.placement.lowering import arrays_of
from lucos.placement.problem import Capacity, Core, Problem, Status

PLENTY = 1000.0


def can_hold(problem: Problem) -> bool | None:
    arrays = arrays_of(problem)
    if arrays.clashes:
        return False
    result = place(arrays, objective=(), effort=Effort(work=5.0))
    return None if result.status is Status.UNKNOWN else result.target is not None


def only(problem: Problem, rules: tuple[Constraint, ...], capacities: tuple[Capacity, ...]) -> Problem:
    """The problem with these rules; what is not among the capacities is plenty."""
    kept = {(c.node, c.resource) for c in capacities}
    nodes = {
        name: msgspec.structs.replace(
            node, capacity={r: a if (name, r) in kept else PLENTY for r, a in node.capacity.items()}
        )
        for name, node in problem.cluster.nodes.items()
    }
    cluster = msgspec.structs.replace(problem.cluster, nodes=nodes)
    return msgspec.structs.replace(problem, cluster=cluster, constraints=rules)


def smaller(core: Core) -> Iterator[Core]:
    """The core without each of its elements."""
    for i in range(len(core.constraints)):
        yield Core((*core.constraints[:i], *core.constraints[i + 1 :]), core.capacities)
    for i in range(len(core.capacities)):
        yield Core(core.constraints, (*core.capacities[:i], *core.capacities[i + 1 :]))


def allowed(problem: Problem, core: Core) -> bool:
    return judge(only(problem, core.constraints, core.capacities), (), timed=False).allowed


def full_nodes(count: int = 100) -> Problem:
    """BtrPlace's 307: 4 nodes exactly full of VMs of 2, and one more VM that must run."""
    nodes = [Node(f"N{i}", {"memory": count / 2}) for i in range(1, 5)]
    vms = [Vm(f"V{i}", {"memory": 2}, f"N{i % 4 + 1}") for i in range(count)]
    more = Vm("more", {"memory": 2}, None, VmState.READY)
    rules = (
        Constraint("running", ("more",), continuous=False),
        Constraint("spread", ("V1", "V2")),
        Constraint("fence", ("V1",), ("N2", "N3")),
    )
    return Problem(Cluster.of(nodes, [*vms, more]), rules)


def test_four_full_nodes_and_one_more_vm() -> None:
    problem = full_nodes()
    core = conflict(problem, can_hold)
    assert [rule.kind for rule in core.constraints] == ["running"]
    assert [c.node for c in core.capacities] == ["N1", "N2", "N3", "N4"]
    assert sentence(core, problem) == (
        "101 VMs of 2 memory must run, and N1..N4 have room for 100 (>> running({more}))"
    )
    assert aggregate_conflict(arrays_of(problem)) == core


def test_fragments_are_no_room() -> None:
    nodes = [Node(f"N{i}", {"memory": 3, "cpu": 9}) for i in range(3)]
    vms = [Vm(f"V{i}", {"memory": 2, "cpu": i}, f"N{min(i, 2)}") for i in range(4)]
    problem = Problem(Cluster.of(nodes, vms))
    core = conflict(problem, can_hold)
    assert sentence(core, problem) == "4 VMs of 2 memory must run, and N0..N2 have room for 3"


def test_a_vm_larger_than_every_node_left_to_it() -> None:
    nodes = [Node("small", {"cpu": 2}), Node("large", {"cpu": 8})]
    vms = [Vm("V", {"cpu": 4}, "large")]
    rules = (Constraint("ban", ("V",), ("large",)), Constraint("root", ()))
    problem = Problem(Cluster.of(nodes, vms), rules)
    core = conflict(problem, can_hold)
    assert core == Core(rules[:1], (Capacity("small", "cpu"),))
    assert sentence(core, problem) == "V of 4 cpu must run, and small has 2 cpu (ban({V}, {large}))"


def test_rules_that_leave_no_node() -> None:
    nodes = [Node("N1", {"cpu": 2}), Node("N2", {"cpu": 2})]
    rules = (Constraint("ban", ("V",), ("N1",)), Constraint("ban", ("V",), ("N2",)))
    problem = Problem(Cluster.of(nodes, [Vm("V", {"cpu": 1}, "N1")]), rules)
    core = conflict(problem, can_hold)
    assert core == Core(rules)
    assert sentence(core, problem) == (
        "V must run, and no node is left for that (ban({V}, {N1}), ban({V}, {N2}))"
    )


def test_rules_that_contradict_each_other() -> None:
    rules = tuple(Constraint(kind, ("V",), continuous=False) for kind in ("running", "sleeping"))
    problem = Problem(Cluster.of([Node("N1", {"cpu": 2})], [Vm("V", {"cpu": 1}, "N1")]), rules)
    core = conflict(problem, can_hold)
    assert core == clash_core(arrays_of(problem)) == Core(rules)
    assert sentence(core, problem) == ("these rules cannot hold together: >> running({V}), >> sleeping({V})")


def test_no_core_is_claimed_where_sums_show_nothing() -> None:
    problem = full_nodes()
    assert aggregate_conflict(arrays_of(msgspec.structs.replace(problem, constraints=()))) is None


@pytest.mark.parametrize("block", range(12), ids=lambda block: f"seeds-from-{block * 50}")
def test_cores_are_minimal(block: int) -> None:
    cores = 0
    for seed in range(block * 50, (block + 1) * 50):
        problem = random_problem(seed)
        if arrays_of(problem).clashes or judge(problem, (), timed=False).allowed:
            continue
        core = conflict(problem, can_hold)
        assert core.constraints or core.capacities, seed
        assert not allowed(problem, core), (seed, core)
        for less in smaller(core):
            assert allowed(problem, less), (seed, core, less)
        assert sentence(core, problem), seed
        cores += 1
    assert cores > 3
