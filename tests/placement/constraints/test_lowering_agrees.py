"""What a rule is lowered to allows the results that its checker allows, for every result of tiny clusters."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import combinations, product

import msgspec
import pytest
from drawn_rules import beginning, clusters, rules
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from primitives_plainly import Place, holds

from lucos.errors import InputError
from lucos.model import Constraint, VmState
from lucos.model.signature import Modes
from lucos.placement.arrays import KILLED, READY, RUNNING, SLEEPING, Arrays
from lucos.placement.cluster import Cluster
from lucos.placement.constraints import KINDS, SIGNATURES
from lucos.placement.constraints.schedules import Scheduled
from lucos.placement.lowering import arrays_of
from lucos.placement.moment import Moment
from lucos.placement.problem import Problem
from lucos.placement.validation import validate

SPATIAL = sorted(name for name, kind in KINDS.items() if not isinstance(kind, Scheduled))
STATES = {RUNNING: VmState.RUNNING, READY: VmState.READY, SLEEPING: VmState.SLEEPING, KILLED: VmState.KILLED}
QUICK = settings(
    max_examples=30, derandomize=True, deadline=None, suppress_health_check=[HealthCheck.filter_too_much]
)


def drawn(data: st.DataObject, kind: str) -> tuple[Constraint, Cluster]:
    cluster = data.draw(clusters())
    rule = data.draw(rules(kind, cluster))
    try:
        validate(Problem(cluster, (rule,)))
    except InputError:
        assume(False)
    return rule, cluster


def results(arrays: Arrays, nodes_may_change: bool) -> Iterator[tuple[Place, set[int]]]:
    """Every place of the VMs that run, with every set of nodes that may be online then."""
    runs = [vm for vm in range(len(arrays.vms)) if arrays.runs[vm]]
    nodes = range(len(arrays.nodes))
    for where in product(nodes, repeat=len(runs)):
        place = dict(zip(runs, where, strict=True))
        if not nodes_may_change:
            yield place, set(nodes)
            continue
        for count in range(len(arrays.nodes) + 1):
            yield from (
                (place, set(online)) for online in combinations(nodes, count) if set(where) <= set(online)
            )


def moment_of(arrays: Arrays, place: Place, online: set[int], start: Moment) -> Moment:
    return Moment(
        {arrays.vms[vm]: frozenset((arrays.nodes[node],)) for vm, node in place.items()},
        start.cluster,
        {name: STATES[int(arrays.target[vm])] for vm, name in enumerate(arrays.vms)},
        frozenset(arrays.nodes[node] for node in online),
        {name: {"cpu": arrays.need[vm, 0] / arrays.scale[0]} for vm, name in enumerate(arrays.vms)},
        start,
    )


def allowed(arrays: Arrays, place: Place, online: set[int]) -> bool:
    """Whether primitives, and what was written into the arrays, allow a result."""
    wanted = [(node, int(want)) for node, want in enumerate(arrays.node_target) if want >= 0]
    used = {node: 0 for node, _ in arrays.capacity_rules}
    for vm, node in place.items():
        if node in used:
            used[node] += int(arrays.need[vm, 0])
    return (
        not any(arrays.closed[node] and arrays.node_target[node] != 0 for node in place.values())
        and all((node in online) == bool(want) for node, want in wanted)
        and all(amount <= arrays.capacity[node, 0] for node, amount in used.items())
        and all(
            holds(primitive, place, online, arrays) for primitive in arrays.primitives if primitive.rule >= 0
        )
    )


@pytest.mark.parametrize("kind", SPATIAL)
@QUICK
@given(data=st.data())
def test_the_lowering_allows_what_the_checker_allows(kind: str, data: st.DataObject) -> None:
    rule, cluster = drawn(data, kind)
    arrays = arrays_of(Problem(cluster, (rule,)))
    start = beginning(cluster)
    # Continuous rules that hold may forbid more results: those to which no plan leads.
    exact = not rule.continuous or SIGNATURES[kind].modes is Modes.CONTINUOUS
    for place, online in results(arrays, "nline" in kind):
        moment = moment_of(arrays, place, online, start)
        breach = KINDS[kind].broken(rule, moment)
        if arrays.clashes:
            continue
        may = allowed(arrays, place, online)
        assert not (may and breach), f"{rule} is allowed: {moment.hosts}, but {breach}"
        assert not (exact and not may and breach is None), f"{rule} is forbidden: {moment.hosts}"


@pytest.mark.parametrize("kind", [name for name in SPATIAL if SIGNATURES[name].modes is Modes.BOTH])
@QUICK
@given(data=st.data())
def test_a_rule_binds_every_instant_if_it_is_continuous_hard_and_holds(
    kind: str, data: st.DataObject
) -> None:
    rule, cluster = drawn(data, kind)
    if SIGNATURES[kind].soft:
        rule = msgspec.structs.replace(rule, weight=data.draw(st.sampled_from([0, 0, 3])))
    arrays = arrays_of(Problem(cluster, (rule,)))
    holds_now = KINDS[kind].broken(rule, beginning(cluster)) is None
    own = [primitive for primitive in arrays.primitives if primitive.rule == 0]
    assert {p.continuous for p in own} <= {rule.continuous and not rule.weight and holds_now}
    assert {p.weight for p in own} <= {rule.weight}
