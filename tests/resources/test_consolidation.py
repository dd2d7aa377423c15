"""Consolidation: when VMs move, which ones, where to, and above all when they do not."""

from __future__ import annotations

from collections.abc import Callable
from random import Random

import pytest

from lucos.resources.consolidation import (
    ConsolidationSettings,
    Consolidator,
    HostRoom,
    Move,
    VmLoad,
)
from lucos.resources.prediction import Kind, PredictionSettings

ROUND_S = 300.0
WATTS = (100.0, 200.0)


def hosts(count: int, cpu: float = 100.0) -> list[HostRoom]:
    return [HostRoom(f"h{n + 1}", cpu, 1000.0, WATTS) for n in range(count)]


def settings(**changes: float) -> ConsolidationSettings:
    return ConsolidationSettings(prior_margin=0.1, **changes)


class World:
    """VMs whose demand is told each round; moves are carried out at once. `vms`: name -> (host, CPU)."""

    def __init__(
        self, rooms: list[HostRoom], vms: dict[str, tuple[str, float]], how: ConsolidationSettings
    ) -> None:
        self.rooms, self.how = rooms, how
        self.where = {vm: host for vm, (host, _) in vms.items()}
        self.cpu = {vm: cpu for vm, (_, cpu) in vms.items()}
        self.memory_mib = dict.fromkeys(vms, 10.0)
        self.consolidator = Consolidator(how)
        self.rounds = 0

    def round(self) -> list[Move]:
        vms = [VmLoad(vm, host, self.cpu[vm], 100.0, self.memory_mib[vm]) for vm, host in self.where.items()]
        moves = self.consolidator.decide(self.rounds * ROUND_S, self.rooms, vms)
        self.rounds += 1
        assert len({move.vm for move in moves}) == len(moves)
        for move in moves:
            assert self.where[move.vm] == move.source != move.destination
            self.where[move.vm] = move.destination
        return moves

    def run(self, rounds: int) -> list[Move]:
        return [move for _ in range(rounds) for move in self.round()]

    def used(self) -> set[str]:
        return set(self.where.values())


def test_half_empty_hosts_become_one_but_not_at_the_first_sight() -> None:
    world = World(hosts(3), {"a": ("h1", 20), "b": ("h2", 25), "c": ("h3", 10)}, settings())
    assert world.round() == []
    moves = world.round()
    assert {move.reason for move in moves} == {"emptying"}
    assert len(moves) == 2
    assert world.used() == {"h2"}
    assert world.run(20) == []


def test_low_must_last() -> None:
    world = World(hosts(2), {"a": ("h1", 40), "b": ("h2", 20)}, settings(low_s=3000))
    assert world.run(10) == []
    assert len(world.run(1)) == 1


@pytest.mark.parametrize(("cost_wh", "moved"), [(90.0, 1), (110.0, 0)])
def test_moves_must_pay(cost_wh: float, moved: int) -> None:
    """Emptying a host saves its 100 W of idling for an hour."""
    vms = {"a": ("h1", 40.0), "b": ("h2", 20.0)}
    assert len(World(hosts(2), vms, settings(move_cost_wh=cost_wh)).run(5)) == moved


def test_the_less_efficient_host_is_emptied_even_if_fuller() -> None:
    rooms = [HostRoom("old", 100, watts=(100, 300)), HostRoom("new", 100, watts=WATTS)]
    world = World(rooms, {"a": ("old", 30), "b": ("new", 10)}, settings())
    world.run(3)
    assert world.used() == {"new"}


def loaded(extra: dict[str, float], prediction: Kind = "last") -> World:
    """h1 has `extra` besides 60 of base load, h2 40, h3 nothing; all known for long, without `extra`."""
    vms = {"base": ("h1", 60.0), "other": ("h2", 40.0), **dict.fromkeys(extra, ("h1", 0.0))}
    how = ConsolidationSettings(PredictionSettings(prediction), low_share=0.0, prior_margin=0.1)
    world = World(hosts(3), vms, how)
    assert world.run(30) == []
    world.cpu |= extra
    return world


def test_relief_takes_the_smallest_vm_that_suffices() -> None:
    world = loaded({"small": 5.0, "middle": 10.0, "large": 45.0})
    moves = world.run(30)
    assert [(move.vm, move.destination, move.reason) for move in moves] == [("large", "h2", "relief")]
    assert world.run(30) == []


def test_relief_wakes_a_host_when_none_in_use_has_room() -> None:
    world = loaded({"large": 58.0})
    world.cpu["other"] = 70.0
    moves = world.run(30)
    assert [(move.vm, move.destination) for move in moves] == [("large", "h3")]


def test_a_lonely_vm_is_not_moved_however_large() -> None:
    world = World(hosts(2), {"a": ("h1", 10)}, settings())
    world.run(30)
    world.cpu["a"] = 150.0
    assert world.run(20) == []


def test_a_peak_moves_nothing() -> None:
    world = loaded({"large": 90.0}, "smoothing")
    moves = world.round()
    world.cpu["large"] = 0.0
    assert moves + world.run(20) == []


def test_vms_and_hosts_rest_after_a_move() -> None:
    """A load that goes up and down for ever: at most one move each `cooldown_s`."""
    how = ConsolidationSettings(
        prediction=PredictionSettings(kind="last"), cooldown_s=6000, prior_margin=0.1, low_s=0
    )
    world = World(hosts(2), {"a": ("h1", 10), "b": ("h2", 10)}, how)
    moves = 0
    for n in range(100):
        world.cpu = {"a": 90.0, "b": 90.0} if n % 4 > 1 else {"a": 10.0, "b": 10.0}
        moves += len(world.round())
    assert 1 <= moves <= 100 * ROUND_S / 6000 + 1


def test_a_round_is_bounded() -> None:
    vms = {f"v{n}": (f"h{n + 1}", 5.0) for n in range(20)}
    world = World(hosts(20), vms, settings(moves_max=3))
    world.round()
    assert [len(world.round()) for _ in range(3)] == [3, 3, 3]


def memory(world: World) -> None:
    world.memory_mib["a"] = 995.0


def small_cores(world: World) -> None:
    world.rooms[1:] = [HostRoom("h2", 100, watts=WATTS, vm_cpu_max=50)]


@pytest.mark.parametrize("spoil", [memory, small_cores])
def test_a_vm_goes_only_where_it_fits(spoil: Callable[[World], None]) -> None:
    vms = {"a": ("h1", 20.0), "b": ("h2", 40.0), "c": ("h2", 5.0)}
    how = settings(move_cost_wh=60)
    fine, spoilt = World(hosts(2), vms, how), World(hosts(2), vms, how)
    spoil(spoilt)
    assert [move.vm for move in fine.run(5)] == ["a"]
    assert spoilt.run(5) == []


def test_vms_on_hosts_that_are_not_told_stay() -> None:
    world = World(hosts(2), {"a": ("h1", 20), "b": ("h2", 30), "c": ("gone", 10)}, settings())
    world.run(5)
    assert world.where["c"] == "gone"
    assert world.where["a"] == world.where["b"] == "h2"


def test_no_hosts_no_vms_no_moves() -> None:
    assert World([], {}, settings()).run(3) == []
    assert World(hosts(2), {}, settings()).run(3) == []


@pytest.mark.parametrize("seed", range(6))
def test_noisy_fleets_settle_on_few_hosts_without_overload(seed: int) -> None:
    random = Random(seed)
    means = {f"v{n}": random.uniform(2, 20) for n in range(60)}
    world = World(
        hosts(30), {vm: (f"h{n % 30 + 1}", mean) for n, (vm, mean) in enumerate(means.items())}, settings()
    )
    late_moves = overloads = rounds = 0
    for n in range(150):
        world.cpu = {vm: random.gauss(mean, 0.2 * mean) for vm, mean in means.items()}
        moves = world.round()
        if n >= 40:
            late_moves += len(moves)
            for host in world.used():
                load = sum(world.cpu[vm] for vm, where in world.where.items() if where == host)
                overloads += load > 100
                rounds += 1
    least = sum(means.values()) / 100
    assert len(world.used()) <= 1.4 * least + 1
    assert overloads / rounds < 0.01
    assert late_moves < 25


def test_the_same_history_gives_the_same_moves() -> None:
    def moves() -> list[Move]:
        random = Random(5)
        world = World(hosts(8), {f"v{n}": (f"h{n % 8 + 1}", 10.0) for n in range(24)}, settings())
        done = []
        for _ in range(30):
            world.cpu = {vm: random.uniform(5, 15) for vm in world.cpu}
            done += world.round()
        return done

    assert moves() == moves() != []
