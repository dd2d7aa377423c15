"""Random lives under central schedulers: loads, crashes of any role, stalls and cuts, by seed."""

from __future__ import annotations

import pytest
from central_stories import Obedience

from lucos.resources.entropy import Entropy, EntropySettings
from lucos.resources.messages import SCHEDULER
from lucos.resources.snooze import Snooze, SnoozeSettings
from lucos.resources.strategies import SchedulerSettings
from lucos.simulator import SimulatedLuc
from lucos.simulator.faults import RandomLife

# Seeds 0 to 19, in batches: not every short life asks for moves.
EACH = 5
FIRSTS = range(0, 20, EACH)

ENTROPY = SchedulerSettings("entropy", entropy=EntropySettings(period_s=8.0))
SNOOZE = SchedulerSettings("snooze", snooze=SnoozeSettings(managers=1))
GROUPS = SchedulerSettings("snooze", snooze=SnoozeSettings(managers=2))
GREEDY = SchedulerSettings("snooze", snooze=SnoozeSettings(managers=2, engine="greedy"))


def live(seed: int, scheduler: SchedulerSettings) -> tuple[RandomLife, Obedience]:
    """All laws hold, moves are made by those whom both ends obey, and in the end no node is in violation."""
    life = RandomLife(seed, scheduler=scheduler, nodes_min=5, nodes_max=9)
    obedience = Obedience(life.luc)
    life.start()
    life.live(40.0)
    life.rest()
    assert life.luc.simulation.failures == []
    return life, obedience


@pytest.mark.parametrize("first", FIRSTS)
def test_entropy(first: int) -> None:
    moves = 0
    for seed in range(first, first + EACH):
        life, obedience = live(seed, ENTROPY)
        moves += obedience.moves
        check_one_controller(life.luc)
    assert moves


def check_one_controller(luc: SimulatedLuc) -> None:
    """After a while all follow the same."""
    luc.simulation.run(luc.simulation.now_s + 40.0)
    actors = [luc.simulation.nodes[name].actor(SCHEDULER) for name in luc.names]
    followed = {str(actor.election.claim) for actor in actors if isinstance(actor, Entropy)}
    assert len(followed) == 1
    assert "None" not in followed


def check_groups(luc: SimulatedLuc) -> None:
    """After a while there is one leader, each node is in the group of one manager, and both know it."""
    luc.simulation.run(luc.simulation.now_s + 40.0)
    actors = {name: luc.simulation.nodes[name].actor(SCHEDULER) for name in luc.names}
    leaders = [name for name, actor in actors.items() if isinstance(actor, Snooze) and actor.leader]
    assert len(leaders) == 1
    for name, actor in actors.items():
        assert isinstance(actor, Snooze)
        manager = actors[actor.manager]
        assert isinstance(manager, Snooze)
        assert manager.managing is not None
        assert name in manager.managing.nodes
        assert actor.partition == manager.managing.partition


@pytest.mark.parametrize("first", FIRSTS)
def test_snooze(first: int) -> None:
    moves = 0
    for seed in range(first, first + EACH):
        life, obedience = live(seed, SNOOZE)
        moves += obedience.moves
        check_groups(life.luc)
    assert moves


@pytest.mark.parametrize("settings", [GROUPS, GREEDY], ids=["groups", "greedy"])
@pytest.mark.parametrize("seed", range(100, 105))
def test_snooze_without_promise_of_relief(seed: int, settings: SchedulerSettings) -> None:
    """A group may lack room while others have it, and greedy plans know no rules: violations may stay."""
    life = RandomLife(seed, scheduler=settings, nodes_min=5, nodes_max=9)
    obedience = Obedience(life.luc)
    life.start()
    life.live(40.0)
    life.recover()
    life.laws.check_vms()
    check_groups(life.luc)
    assert obedience.moves
    assert life.luc.simulation.failures == []
