"""The hierarchical scheduler: groups, elections, rejoining, relief, and nodes that sleep."""

from __future__ import annotations

import pytest
from central_stories import Story, check_story

from lucos.errors import InputError
from lucos.overlay import ring_position
from lucos.resources.snooze import SnoozeSettings
from lucos.resources.snooze.settings import Engine
from lucos.resources.strategies import SchedulerSettings

TIMEOUT_S = SnoozeSettings().timeout_s


def story_of(nodes: int = 7, managers: int = 2, **settings: object) -> Story:
    return Story(SchedulerSettings("snooze", snooze=SnoozeSettings(managers=managers, **settings)), nodes)  # type: ignore[arg-type]


def the_leader(story: Story) -> str:
    (only,) = (node for node in story.up() if story.snooze(node).leader is not None)
    return only


def groups(story: Story) -> dict[str, list[str]]:
    """Managers and their nodes; both sides must agree on who belongs where."""
    found: dict[str, list[str]] = {}
    for node in story.up():
        managing = story.snooze(node).managing
        if managing is not None:
            found[node] = sorted(managing.nodes)
    for manager, nodes in found.items():
        for node in nodes:
            assert story.snooze(node).manager == manager
            assert story.snooze(node).partition == story.snooze(manager).managing.partition  # type: ignore[union-attr]
    assert sorted(node for nodes in found.values() for node in nodes) == sorted(story.up())
    return found


def test_the_lowest_on_the_ring_leads_the_next_ones_manage_and_groups_are_even() -> None:
    story = story_of(8, 3)
    first, *others = sorted(story.luc.names, key=ring_position)
    assert the_leader(story) == first
    assert sorted(groups(story)) == sorted(others[:3])
    assert sorted(len(nodes) for nodes in groups(story).values()) == [2, 3, 3]


def test_there_is_a_manager_for_each_thirty_two_nodes() -> None:
    story = Story(SchedulerSettings("snooze"), 64)
    assert len(groups(story)) == 2
    assert {len(nodes) for nodes in groups(story).values()} == {32}


def test_a_node_alone_with_another_is_managed_too() -> None:
    story = story_of(2, 1)
    assert [len(nodes) for nodes in groups(story).values()] == [2]


@pytest.mark.parametrize("engine", ["placement", "greedy"])
def test_the_group_relieves_its_overloaded_node(engine: Engine) -> None:
    story = story_of(4, 1, engine=engine)
    story.boot({"h1": 3, "h2": 1, "h3": 1, "h4": 1})
    transcript = story.transcript()
    transcript.note("h1 becomes overloaded; the VMs of h2 and h4 leave no room for its own, those of h3 do")
    story.load("h1", 90, 90, 90)
    story.load("h2", 95)
    story.load("h4", 95)
    story.pass_time(30.0)
    story.check()
    assert story.obedience.moves == 1
    check_story(transcript, f"snooze_relief_{engine}")


def test_no_node_of_another_group_is_asked_to_help() -> None:
    story = story_of(6, 2)
    story.boot(dict.fromkeys(story.luc.names, 3))
    manager, group = min(groups(story).items())
    for node in group:
        story.load(node, 60, 60, 60)
    story.load(group[0], 90, 90, 90)
    story.pass_time(60.0)
    assert story.obedience.moves == 0
    assert story.laws.violations()[0].startswith(group[0])
    assert "no plan" in story.events("round.ended")[-1].text
    assert {event.node for event in story.events("round.ended")} == {manager}


def test_nodes_of_a_dead_manager_rejoin_after_the_timeout_and_their_vms_run_on() -> None:
    story = story_of()
    story.boot(dict.fromkeys(story.luc.names, 2))
    leader, before = the_leader(story), groups(story)
    dead = min(before)
    died_s = story.simulation.now_s
    story.simulation.nodes[dead].crash()
    story.pass_time(TIMEOUT_S + 10.0)
    after = groups(story)
    assert dead not in after
    assert len(after) == 2
    assert the_leader(story) == leader
    left = [event for event in story.events("group.left") if event.time_s > died_s]
    assert sorted(event.node for event in left) == [node for node in before[dead] if node != dead]
    assert all(TIMEOUT_S - 3.0 < event.time_s - died_s <= TIMEOUT_S for event in left)
    story.laws.check_vms()
    story.simulation.nodes[dead].start()
    story.pass_time(10.0)
    groups(story)
    story.check()


def test_a_manager_is_promoted_when_the_leader_dies_and_its_nodes_join_others() -> None:
    story = story_of(8, 3)
    old, managers = the_leader(story), groups(story)
    story.simulation.nodes[old].crash()
    story.pass_time(30.0)
    new = the_leader(story)
    assert new in managers
    assert new not in groups(story)
    assert len(groups(story)) == 3, "another manager is appointed in its place"
    story.simulation.nodes[old].start()
    story.pass_time(20.0)
    assert the_leader(story) == new
    groups(story)
    assert story.simulation.failures == []


def test_leader_and_manager_dead_at_once() -> None:
    story = story_of(8, 2)
    story.boot(dict.fromkeys(story.luc.names, 3))
    for node in (the_leader(story), min(groups(story))):
        story.simulation.nodes[node].crash()
    story.pass_time(40.0)
    assert len(groups(story)) == 2
    busy = story.up()[0]
    story.load(busy, 90, 90, 90)
    story.pass_time(40.0)
    story.check()


def test_a_manager_that_restarts_at_once_is_replaced_and_all_nodes_have_a_group() -> None:
    story = story_of()
    manager = min(groups(story))
    story.simulation.nodes[manager].crash()
    story.simulation.nodes[manager].start()
    story.pass_time(25.0)
    assert len(groups(story)) == 2


def test_a_manager_that_dies_in_the_midst_of_a_plan_leaves_its_nodes_bound_until_the_move_has_ended() -> None:
    story = story_of(4, 1)
    story.boot(dict.fromkeys(story.luc.names, 3), memory_mib=1000)
    (manager,) = groups(story)
    busy = next(node for node in story.luc.names if node not in (manager, the_leader(story)))
    story.load(busy, 90, 90, 90)
    simulation = story.simulation
    assert simulation.run(simulation.now_s + 30.0, stop=lambda: bool(story.luc.fleet.migrations()))
    simulation.nodes[manager].crash()
    story.pass_time(60.0)
    story.check()
    groups(story)


@pytest.mark.parametrize("engine", ["placement", "greedy"])
def test_under_used_nodes_are_emptied_sleep_and_wake_when_there_is_no_room(engine: Engine) -> None:
    story = story_of(4, 1, engine=engine, energy=True, idle_s=60.0)
    story.boot({"h1": 2, "h2": 2, "h3": 2, "h4": 2})
    story.pass_time(240.0)
    asleep = {event.node for event in story.events("node.standby")}
    empty = [
        n for n in story.luc.names if not any(n in where for where in story.luc.fleet.running().values())
    ]
    assert asleep < set(empty)
    assert len(empty) - len(asleep) == 1, "one empty node is kept in reserve"
    story.load("h1", 90, 90)
    story.load("h2", 90, 90)
    story.load("h3", 90, 90)
    story.load("h4", 90, 90)
    story.pass_time(450.0)
    story.check()
    assert {event.node for event in story.events("node.awake")} == asleep


def test_a_vm_that_a_plan_left_asleep_is_resumed() -> None:
    story = story_of(3, 1)
    story.boot({"h1": 1})
    story.suspend("ve.h1a", "h1")
    story.pass_time(30.0)
    assert story.luc.fleet.running() == {"ve.h1a": ["h1"]}


def test_nodes_stay_awake_unless_told_otherwise() -> None:
    story = story_of(4, 1)
    story.boot({"h1": 2, "h2": 2})
    story.pass_time(300.0)
    assert story.obedience.moves == 0
    assert not story.events("node.standby")


def test_an_unknown_engine_is_told() -> None:
    with pytest.raises(InputError, match=r"engine.*'annealing'"):
        SnoozeSettings(engine="annealing")  # type: ignore[arg-type]
