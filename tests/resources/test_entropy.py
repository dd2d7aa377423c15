"""The centralised scheduler: its loop, its elections, and who obeys a controller after crashes and cuts."""

from __future__ import annotations

from itertools import pairwise

from central_stories import Story, check_story

from lucos.actors import Message
from lucos.model import Constraint
from lucos.overlay import ring_position
from lucos.resources.entropy import EntropySettings
from lucos.resources.messages import SCHEDULER, TakeSnapshot
from lucos.resources.strategies import SchedulerSettings

PERIOD_S = 10.0


def story_of(nodes: int = 5, controller: str = "", *, consolidate: bool = False) -> Story:
    settings = EntropySettings(period_s=PERIOD_S, controller=controller, consolidate=consolidate)
    return Story(SchedulerSettings("entropy", entropy=settings), nodes)


def controllers(story: Story) -> set[str]:
    """Whom the nodes that are up follow."""
    return {str(story.entropy(node).election.claim) for node in story.up()}


def the_controller(story: Story) -> str:
    (only,) = (node for node in story.up() if story.entropy(node).election.leading)
    return only


def test_all_nodes_follow_and_register_with_the_lowest_on_the_ring() -> None:
    story = story_of()
    lowest = min(story.luc.names, key=ring_position)
    assert controllers(story) == {f"{lowest}#1"}
    assert set(story.entropy(lowest).election.registered) == set(story.luc.names)
    assert {story.entropy(node).partition for node in story.luc.names} == {f"{lowest}#1"}


def test_the_named_node_is_the_controller() -> None:
    other = max(("h1", "h2", "h3", "h4", "h5"), key=ring_position)
    assert the_controller(story_of(controller=other)) == other


def test_a_name_that_no_node_has_does_not_keep_them_from_electing_one() -> None:
    assert the_controller(story_of(controller="h77")) in ("h1", "h2", "h3", "h4", "h5")


def test_the_loop_relieves_an_overload_and_an_idle_one_asks_no_solver() -> None:
    story = story_of(3)
    story.boot({"h1": 3, "h2": 1, "h3": 1})
    transcript = story.transcript()
    transcript.note("h1 becomes overloaded; h2 has no room for its VMs, h3 has")
    story.load("h1", 90, 90, 90)
    story.load("h2", 95)
    story.pass_time(45.0)
    story.check()
    assert story.obedience.moves == len(story.events("migration.end")) == 1
    assert len(story.events("round.planned")) == 1
    check_story(transcript, "entropy_loop")


def test_loops_begin_a_period_apart_and_never_before_the_last_has_ended() -> None:
    story = story_of(3)
    story.boot({"h1": 3, "h2": 1, "h3": 1}, memory_mib=1300)
    looks_s: list[float] = []

    def observe(now_s: float, to: str, sender: str, message: Message) -> None:
        if isinstance(message, TakeSnapshot) and to == "h1/host" and sender.endswith(f"/{SCHEDULER}"):
            looks_s.append(now_s)

    story.simulation.observers.append(observe)
    story.load("h1", 90, 90, 90)
    story.pass_time(60.0)
    story.check()
    (ended,) = story.events("round.ended")
    took_s = float(str(ended.data["duration_s"]))
    assert took_s > PERIOD_S, "to move 1300 MiB takes longer than a period"
    gaps_s = [later - earlier for earlier, later in pairwise(looks_s)]
    assert sorted(round(gap_s, 1) for gap_s in gaps_s) == [PERIOD_S] * (len(gaps_s) - 1) + [round(took_s, 1)]


def test_another_takes_over_from_a_dead_controller_and_the_returned_one_follows_it() -> None:
    story = story_of()
    story.boot({"h1": 3, "h2": 1, "h3": 1, "h4": 1, "h5": 1})
    dead = the_controller(story)
    assert dead != "h1"
    story.simulation.nodes[dead].crash()
    story.load("h1", 90, 90, 90)
    story.pass_time(15.0)
    successor = the_controller(story)
    assert controllers(story) == {f"{successor}#2"}
    assert successor != dead
    story.pass_time(15.0)
    assert {e.data["partition"] for e in story.events("migration.start")} == {f"{successor}#2"}
    story.simulation.nodes[dead].start()
    story.pass_time(30.0)
    assert controllers(story) == {f"{successor}#2"}
    assert set(story.entropy(successor).election.registered) == set(story.luc.names)
    story.check()


def test_a_controller_that_restarts_at_once_leads_in_a_new_epoch_and_finds_all_nodes() -> None:
    story = story_of()
    controller = the_controller(story)
    story.simulation.nodes[controller].crash()
    story.simulation.nodes[controller].start()
    story.pass_time(20.0)
    assert the_controller(story) == controller
    (claim,) = controllers(story)
    assert claim.startswith(f"{controller}#")
    assert claim != f"{controller}#1"
    assert set(story.entropy(controller).election.registered) == set(story.luc.names)


def test_a_controller_that_dies_in_the_midst_of_a_plan_leaves_no_vm_behind() -> None:
    story = story_of()
    story.boot(dict.fromkeys(story.luc.names, 3), memory_mib=600)
    controller = the_controller(story)
    busy = next(node for node in story.luc.names if node != controller)
    story.load(busy, 90, 90, 90)
    assert story.simulation.run(
        story.simulation.now_s + 30.0, stop=lambda: bool(story.luc.fleet.migrations())
    )
    story.simulation.nodes[controller].crash()
    story.pass_time(60.0)
    story.check()
    assert {e.data["partition"] for e in story.events("migration.start")} <= {f"{controller}#1"} | {
        f"{the_controller(story)}#2"
    }


def test_each_side_of_a_cut_has_a_controller_and_one_is_left_when_it_heals() -> None:
    story = story_of(6)
    story.boot(dict.fromkeys(story.luc.names, 3))
    first = the_controller(story)
    there = [first, *(n for n in story.luc.names if n != first)][:3]
    here = [n for n in story.luc.names if n not in there]
    story.simulation.network.cut(there, here)
    story.pass_time(20.0)
    leaders = [n for n in story.luc.names if story.entropy(n).election.leading]
    assert len(leaders) == 2
    assert len(set(leaders) & set(there)) == 1
    for node in (there[1], here[1]):
        story.load(node, 90, 90, 90)
    story.pass_time(30.0)
    story.check()
    orders = {str(e.data["partition"]) for e in story.events("migration.start")}
    assert len(orders) == 2, "each side helps its own"
    story.simulation.network.heal()
    story.pass_time(40.0)
    assert len(controllers(story)) == 1
    assert set(story.entropy(the_controller(story)).election.registered) == set(story.luc.names)


def test_a_vm_that_a_plan_left_asleep_is_resumed() -> None:
    story = story_of(3)
    story.boot({"h1": 1})
    story.suspend("ve.h1a", "h1")
    story.pass_time(2 * PERIOD_S)
    assert story.luc.fleet.running() == {"ve.h1a": ["h1"]}


def test_consolidation_packs_calm_vms_onto_fewer_hosts_and_leaves_those_that_rules_bind() -> None:
    story = story_of(4, consolidate=True)
    rule = (Constraint("fence", ("ve.h4a",), ("h4",)),)
    story.luc.boot("ve.h4a", "h4", 10.0, constraints=rule)
    story.boot({"h1": 1, "h2": 1, "h3": 1})
    story.pass_time(900.0)
    story.check()
    (used,) = {tuple(where) for vm, where in story.luc.fleet.running().items() if vm != "ve.h4a"}
    assert used != ("h4",)
    assert story.luc.fleet.running()["ve.h4a"] == ["h4"]
    assert story.obedience.moves == 2


def test_a_host_refuses_orders_of_a_controller_that_has_been_replaced() -> None:
    story = story_of()
    story.boot({"h1": 1, "h2": 1, "h3": 1, "h4": 1, "h5": 1})
    old = the_controller(story)
    others = [n for n in story.luc.names if n != old]
    story.simulation.network.cut([old], others)
    story.pass_time(15.0)
    assert {story.entropy(n).partition for n in others} == {f"{the_other(story, old)}#2"}
    story.simulation.network.heal()
    story.pass_time(30.0)
    assert len({story.entropy(n).partition for n in story.luc.names}) == 1


def the_other(story: Story, old: str) -> str:
    (only,) = (n for n in story.up() if n != old and story.entropy(n).election.leading)
    return only
