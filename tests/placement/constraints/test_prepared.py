"""What rules write into the arrays: wanted states, needs, capacities, times, and what contradicts them."""

from __future__ import annotations

import msgspec
import numpy as np
import pytest

from lucos.model import Constraint, VmState
from lucos.placement.arrays import RUNNING, Arrays
from lucos.placement.cluster import Cluster, Node, Vm
from lucos.placement.durations import Durations
from lucos.placement.lowering import arrays_of
from lucos.placement.primitives import Allow, Apart, Timing, When
from lucos.placement.problem import Problem

WORLD = Cluster.of(
    [Node("N1", {"cpu": 4}), Node("N2", {"cpu": 4})],
    [
        Vm("A", {"cpu": 2}, "N1"),
        Vm("B", {"cpu": 1}, "N2"),
        Vm("R", {"cpu": 1}, None, VmState.READY),
        Vm("S", {"cpu": 1}, "N2", VmState.SLEEPING),
        Vm("K", {"cpu": 1}, None, VmState.KILLED),
    ],
)


def want(kind: str, *names: str, **fields: object) -> Constraint:
    made = Constraint(kind, continuous=False, **fields)  # type: ignore[arg-type]
    on_nodes = kind in ("online", "offline", "drain", "overbook")
    return msgspec.structs.replace(made, **{"nodes" if on_nodes else "vms": names})


def lowered(*rules: Constraint, **fields: object) -> Arrays:
    return arrays_of(Problem(WORLD, rules, **fields))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("rules", "clashes"),
    [
        ([want("running", "A", "R", "S")], []),
        ([want("running", "R"), want("running", "R")], []),
        ([want("running", "R"), want("ready", "R")], [(0, 1)]),
        ([want("sleeping", "R")], [(0,)]),
        ([want("ready", "S")], [(0,)]),
        ([want("running", "K")], [(0,)]),
        ([want("killed", "A", "R", "S", "K")], []),
        ([want("online", "N1"), want("offline", "N1")], [(0, 1)]),
        ([want("drain", "N1"), want("offline", "N1")], []),
        ([want("offline", "N2")], [(0,)]),
        ([want("offline", "N2"), want("sleeping", "S")], [(1, 0)]),
        ([want("offline", "N2"), want("running", "S")], []),
    ],
)
def test_what_cannot_be_is_noted_with_its_rules(
    rules: list[Constraint], clashes: list[tuple[int, ...]]
) -> None:
    assert lowered(*rules).clashes == clashes


def test_wanted_states_name_their_rules() -> None:
    arrays = lowered(
        want("running", "R"), want("running", "R", "A"), want("drain", "N1"), want("online", "N1")
    )
    assert arrays.target[arrays.vm_index["R"]] == RUNNING
    assert arrays.target_rules == {2: [0, 1], 0: [1]}
    assert arrays.node_rules == {0: [2, 3]}
    assert arrays.node_target.tolist() == [1, -1]
    assert arrays.closed.tolist() == [True, False]


def test_needs_grow_and_never_shrink() -> None:
    rules = [want("preserve", "A", "B", resource="cpu", amount=amount) for amount in (1.5, 3, 2)]
    arrays = lowered(*rules)
    scale = arrays.scale[0]
    assert (arrays.need[:2, 0] / scale).tolist() == [3, 3]
    assert arrays.need_rules == {(0, 0): [1], (1, 0): [1]}
    assert lowered(want("preserve", "A", resource="cpu", amount=1)).need_rules == {}


def test_the_smallest_ratio_of_overbooking_counts_and_capacity_is_whole() -> None:
    arrays = lowered(*(want("overbook", "N1", resource="cpu", amount=ratio) for ratio in (2, 1.4, 1.8)))
    assert arrays.capacity[:, 0].tolist() == [5, 4]
    assert arrays.capacity_rules == {(0, 0): [1]}


def test_times_are_lowered_to_ticks_and_to_the_vms_concerned() -> None:
    rules = [
        Constraint("seq", ("A", "R", "S")),
        Constraint("before", ("A", "B")),
        Constraint("deadline", ("A",), amount=2.5),
        want("noDelay", "B"),
    ]
    arrays = lowered(*rules, want("running", "R", "S"), durations=Durations(tick_s=0.5))
    timings = [p for p in arrays.primitives if isinstance(p, Timing)]
    assert [(t.when, t.vms.tolist(), t.at) for t in timings] == [
        (When.SEQUENCE, [2, 3], 0),
        (When.SEQUENCE, [0, 1], 0),
        (When.DEADLINE, [0], 5),
        (When.NO_DELAY, [1], 0),
    ]


def test_a_continuous_group_is_tied_to_where_it_is_only_while_somebody_stays() -> None:
    gather = Constraint("gather", ("A", "R"))
    (tied,) = lowered(gather, want("running", "R")).primitives
    assert isinstance(tied, Allow)
    assert tied.nodes.tolist() == [True, False]
    (free,) = lowered(gather, want("running", "R"), want("ready", "A")).primitives
    assert not isinstance(free, Allow)
    assert free.continuous


def test_rules_share_the_masks_of_equal_nodes() -> None:
    first, second = lowered(*(want("fence", vm, nodes=("N1",)) for vm in "AB")).primitives
    assert isinstance(first, Allow)
    assert isinstance(second, Allow)
    assert first.nodes is second.nodes


def test_a_lonely_set_is_apart_from_all_others() -> None:
    (apart,) = lowered(Constraint("lonely", ("B", "A"))).primitives
    assert isinstance(apart, Apart)
    assert [np.sort(side).tolist() for side in apart.sides] == [[0, 1], [2, 3, 4]]
