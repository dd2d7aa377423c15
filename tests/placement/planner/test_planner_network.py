"""Migrations that share links: how long they take, what waits, what never converges."""

from __future__ import annotations

import pytest
from planner_worlds import assert_sound, vm, world

from lucos.model import Migrate, Plan, PlannedAction
from lucos.placement.arrays import RUNNING, SLEEPING, Target
from lucos.placement.checker import check
from lucos.placement.cluster import Cluster, Link, Network, Switch, Vm
from lucos.placement.durations import Durations
from lucos.placement.lowering import arrays_of
from lucos.placement.planner import Deadlock, schedule
from lucos.placement.planner.network import Wires
from lucos.placement.planner.sequences import shortest_sequence
from lucos.placement.planner.timed import solve_timed
from lucos.placement.precopy import BPS_PER_MIBPS, copy_s
from lucos.placement.problem import Limits, Objective, Problem, Status

MBPS = BPS_PER_MIBPS / 1e6
"""Mbit/s that carry one MiB/s."""


def star(nodes: int, mibps: float, core_mibps: float | None = None) -> Network:
    """All nodes on one switch, by links of this many MiB/s."""
    links = tuple(Link(f"L{i}", "S", f"N{i}", mibps * MBPS) for i in range(nodes))
    return Network((Switch("S", None if core_mibps is None else core_mibps * MBPS),), links)


def moved(
    network: Network, vms: list[Vm], places: list[int], nodes: int = 4
) -> tuple[Problem, Plan | Deadlock]:
    """The VMs' migrations to the nodes of these numbers."""
    problem = world({f"N{i}": (99, 99) for i in range(nodes)}, vms)
    cluster = problem.cluster
    cluster = type(cluster)(cluster.nodes, cluster.vms, network)
    problem = Problem(cluster, durations=problem.durations)
    arrays = arrays_of(problem)
    place = arrays.host.copy()
    place[:] = places
    return problem, schedule(arrays, Target(place, arrays.online.copy()))


def guest(name: str, node: str, used_mib: float = 100.0, **more: float | bool) -> Vm:
    return vm(name, node, memory_used_mib=used_mib, hot_dirty_mib=more.pop("hot_dirty_mib", 0.0), **more)


def test_pre_copy_by_hand() -> None:
    # 100 MiB at 10 MiB/s: 10 s; meanwhile 4 MiB of the hot set and 8 s x 1 MiB/s are dirtied, which takes
    # 12 / (10 - 1) s; then the hot set, dirtied at 2 MiB/s, takes 4 / 10 x 2 / (10 - 2) s.
    vm_ = guest("A", "N0", hot_dirty_mib=4.0, hot_dirty_s=2.0, cold_dirty_mibps=1.0)
    assert copy_s(vm_, 10.0) == pytest.approx(10 + 12 / 9 + 0.1)
    # Copied before the hot set is dirtied once: only its rate counts.
    assert copy_s(guest("B", "N0", 10.0, hot_dirty_mib=4.0), 10.0) == pytest.approx(1 + 2 * 1 / 8)


def test_migrations_out_of_one_node_follow_each_other() -> None:
    vms = [guest(f"V{i}", "N0") for i in range(3)]
    problem, plan = moved(star(4, 10), vms, [1, 2, 3])
    assert isinstance(plan, Plan)
    assert_sound(problem, plan)
    assert [(a.start_s, a.end_s) for a in plan.actions] == [(0, 10), (10, 20), (20, 30)]
    assert all(isinstance(a.action, Migrate) and a.action.bandwidth_mibps == 10 for a in plan.actions)
    assert plan.actions[1].reason == "waits for bandwidth"


def test_links_carry_both_ways_at_once_and_switches_only_so_much() -> None:
    vms = [guest("A", "N0"), guest("B", "N1")]
    assert [plan.makespan_s for _, plan in [moved(star(4, 10), vms, [1, 0])] if isinstance(plan, Plan)] == [
        10
    ]
    problem, plan = moved(star(4, 10, core_mibps=15), vms, [1, 0])
    assert isinstance(plan, Plan)
    assert_sound(problem, plan)
    # The second gets the half that is left, which is worth starting for.
    assert [(a.start_s, a.end_s) for a in plan.actions] == [(0, 10), (0, 20)]


def test_routes_over_trunks_and_given_routes() -> None:
    links = (
        Link("a", "S1", "N0", 20 * MBPS),
        Link("b", "S2", "N1", 20 * MBPS),
        Link("short", "S1", "S2", 5 * MBPS, end_is_node=False),
        Link("x", "S1", "S3", 10 * MBPS, end_is_node=False),
        Link("y", "S2", "S3", 10 * MBPS, end_is_node=False),
    )
    switches = tuple(Switch(name) for name in ("S1", "S2", "S3"))
    _, plan = moved(Network(switches, links), [guest("A", "N0")], [1], nodes=2)
    assert isinstance(plan, Plan)
    assert plan.makespan_s == 20
    routes = {"N0": {"N1": ("a", "x", "y", "b")}}
    _, plan = moved(Network(switches, links, routes), [guest("A", "N0")], [1], nodes=2)
    assert isinstance(plan, Plan)
    assert plan.makespan_s == 10


def test_a_path_is_found_in_the_direction_of_the_move() -> None:
    links = (
        Link("a", "S1", "N0", 1),
        Link("b", "S2", "N1", 1),
        Link("t", "S2", "S1", 1, end_is_node=False),
    )
    problem = world({"N0": (9, 9), "N1": (9, 9), "N2": (9, 9)}, [])
    wires = Wires(arrays_of(problem), Network((Switch("S1"), Switch("S2")), links))
    assert wires.route("N0", "N1") == [("a", True), ("t", True), ("b", False)]
    assert wires.route("N1", "N0") == [("b", True), ("t", False), ("a", False)]
    assert wires.route("N0", "N2") == []


def test_a_copy_that_never_ends_is_refused_with_the_numbers() -> None:
    busy = guest("A", "N0", hot_dirty_mib=60.0, hot_dirty_s=2.0)
    _, answer = moved(star(4, 10), [busy], [1])
    assert isinstance(answer, Deadlock)
    assert answer.stuck == ("A",)
    for part in ("A cannot migrate from N0 to N1", "30 MiB/s", "10 MiB/s at most", "post-copy"):
        assert part in answer.text
    tolerant = guest("A", "N0", hot_dirty_mib=60.0, hot_dirty_s=2.0, post_copy=True)
    _, plan = moved(star(4, 10), [tolerant], [1])
    assert isinstance(plan, Plan)
    assert plan.makespan_s == 16


def test_detours_do_not_migrate_what_never_converges() -> None:
    """A and B swap places on full nodes. Only B can migrate, so A sleeps meanwhile."""
    busy = guest("A", "N0", hot_dirty_mib=60.0, hot_dirty_s=2.0)
    problem = world({"N0": (1, 9), "N1": (1, 9), "N2": (1, 9)}, [busy, guest("B", "N1")])
    arrays = arrays_of(problem)
    target = Target(arrays.host[::-1].copy(), arrays.online.copy())
    found = shortest_sequence(arrays, target, Wires(arrays, star(3, 10)), 1000)
    assert found.hops is not None
    assert [(vm_, before[1], after[0]) for [(vm_, before, after)] in found.hops] == [
        (0, 0, SLEEPING),
        (1, 1, RUNNING),
        (0, 0, RUNNING),
    ]


def test_what_a_vm_says_itself_wins_over_the_network() -> None:
    fixed = guest("A", "N0", durations_s={"migrate": 3.0})  # type: ignore[arg-type]
    _, plan = moved(star(4, 1), [fixed], [1])
    assert isinstance(plan, Plan)
    assert plan.makespan_s == 3


def test_the_joint_model_bounds_what_a_network_allows() -> None:
    vms = [guest(f"V{i}", "N0") for i in range(3)]
    problem, plan = moved(star(4, 10), vms, [1, 2, 3])
    assert isinstance(plan, Plan)
    arrays = arrays_of(problem)
    place = arrays.host.copy()
    place[:] = [1, 2, 3]
    found = solve_timed(arrays, [Objective.MAKESPAN], fixed=Target(place, arrays.online.copy()))
    assert (found.status, found.plan, found.bounds) == (Status.FEASIBLE, None, (10,))
    assert plan.makespan_s == 30


def test_what_is_under_way_keeps_its_bandwidth_and_its_place_in_the_limits() -> None:
    vms = [guest("A", "N0"), guest("B", "N0")]
    cluster = world({f"N{i}": (99, 99) for i in range(3)}, vms).cluster
    ongoing = (PlannedAction(7, Migrate("A", "N0", "N1", bandwidth_mibps=10.0), end_s=4.0),)
    bounds = ((star(3, 10), Limits()), (None, Limits(out_per_node=1)), (None, Limits(migrations=1)))
    for network, limits in bounds:
        there = Cluster(cluster.nodes, cluster.vms, network)
        problem = Problem(there, durations=Durations(tick_s=1.0), limits=limits, ongoing=ongoing)
        arrays = arrays_of(problem)
        place = arrays.host.copy()
        place[1] = 2
        plan = schedule(arrays, Target(place, arrays.online.copy()))
        assert isinstance(plan, Plan)
        assert [(a.number, a.action.vm, a.start_s) for a in plan.actions] == [(8, "B", 4)]
        assert [str(fault) for fault in check(problem, plan)] == []
