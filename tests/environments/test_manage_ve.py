"""What people do to VMs and VEs that run, by whatever name they give them."""

from __future__ import annotations

from functools import partial

import pytest
from ve_stories import Story

from lucos.environments.messages import ENVIRONMENTS, ManageVms
from lucos.model import VeState, VmState


def test_a_ve_is_paused_and_unpaused_as_a_whole(story: Story) -> None:
    story.started("shop", "web", "db")
    answer = story.manage("pause", "shop", at="h2")
    assert {o.vm: (o.ok, o.state) for o in answer.outcomes} == {
        "shop.web": (True, "paused"),
        "shop.db": (True, "paused"),
    }
    assert story.luc.fleet.running() == {}
    assert story.records["ve/shop"].state is VeState.PAUSED
    assert all(o.ok for o in story.manage("unpause", "shop", at="h3").outcomes)
    assert sorted(story.luc.fleet.running()) == ["shop.db", "shop.web"]
    assert story.records["ve/shop"].state is VeState.RUNNING
    assert story.kinds("shop") == ["ve.submitted", "ve.running", "ve.paused", "ve.running"]


@pytest.mark.parametrize("verb", ["shutdown", "kill"])
def test_a_ve_that_is_stopped_is_forgotten_and_its_name_free(story: Story, verb: str) -> None:
    story.started("shop", "web", "db")
    assert all(o.ok for o in story.manage(verb, "shop").outcomes)
    assert story.nothing_remains()
    assert story.kinds("shop")[-1] == "ve.terminated"
    story.started("shop", "web")


def test_a_paused_ve_can_be_killed_but_its_vms_not_shut_down(story: Story) -> None:
    story.started("shop", "web", "db")
    story.manage("pause", "shop")
    answer = story.manage("shutdown", "shop")
    assert [o.error for o in answer.outcomes] == ["a VM that is paused cannot shutdown"] * 2
    assert story.records["ve/shop"].state is VeState.PAUSED
    assert all(o.ok for o in story.manage("kill", "shop").outcomes)
    assert story.nothing_remains()


def test_one_vm_is_paused_without_the_others(story: Story) -> None:
    story.started("shop", "web", "db")
    (outcome,) = story.manage("pause", "shop.web").outcomes
    assert (outcome.vm, outcome.ok, outcome.state) == ("shop.web", True, VmState.PAUSED)
    assert list(story.luc.fleet.running()) == ["shop.db"]
    assert story.records["ve/shop"].state is VeState.RUNNING


def test_vms_leave_the_record_one_by_one_and_the_last_ends_the_ve(story: Story) -> None:
    story.started("shop", "web", "db")
    assert story.manage("kill", "shop.web").outcomes[0].ok
    assert [vm.id for vm in story.records["ve/shop"].vms] == ["shop.db"]
    assert story.manage("shutdown", "db", at="h2").outcomes[0].ok
    assert story.nothing_remains()
    assert story.kinds("shop")[-1] == "ve.terminated"


def test_a_vm_is_moved_by_an_agent_that_has_nothing_to_do_with_it(story: Story) -> None:
    story.started("shop", "web")
    home = story.where("shop.web")
    away, other = (name for name in story.luc.names if name != home)
    (outcome,) = story.move("web", away, at=other).outcomes
    assert (outcome.ok, outcome.node, outcome.vm) == (True, away, "shop.web")
    assert outcome.downtime_ms > 0
    assert story.where("shop.web") == away


def test_a_move_that_its_destination_refuses_says_why_and_where_the_vm_still_is(story: Story) -> None:
    story.started("big", "one", "two", "three", memory_mib=900)
    home = story.where("big.one")
    away = story.where("big.two")
    (outcome,) = story.move("big.one", away).outcomes
    assert (outcome.ok, outcome.node) == (False, home)
    assert outcome.error.startswith(f"{away} has no room: ")
    assert story.where("big.one") == home


def test_a_move_to_a_node_nobody_knows_or_that_died_is_refused(story: Story) -> None:
    story.started("shop", "web")
    unknown = story.move("web", "h33")
    assert (unknown.kind, unknown.error) == ("UnknownObject", "no node is called h33")
    assert unknown.hint == "did you mean h3?"
    dead = next(name for name in ("h3", "h2") if name != story.where("shop.web"))
    story.luc.fleet.crash_host(dead)
    silent = story.move("web", dead)
    assert (silent.kind, silent.error) == ("Unreachable", f"{dead} does not answer")
    story.pass_time(15.0)
    gone = story.move("web", dead)
    assert gone.error
    assert story.where("shop.web") not in ("", dead)


def test_a_short_name_that_two_ves_share_has_to_be_given_in_full(story: Story) -> None:
    story.started("shop", "web")
    story.started("blog", "web", "db")
    for answer in (story.move("web", "h2"), story.manage("kill", "web")):
        assert answer.kind == "UnknownObject"
        assert answer.error == "web is ambiguous: blog.web, shop.web"
        assert answer.hint == "give the full name"
    assert story.manage("kill", "db").outcomes[0].vm == "blog.db"
    assert sorted(story.luc.fleet.running()) == ["blog.web", "shop.web"]


def test_a_name_nothing_bears_is_answered_with_near_ones(story: Story) -> None:
    story.started("shop", "web")
    answer = story.manage("pause", "shp")
    assert (answer.kind, answer.error) == ("UnknownObject", "no VM or VE is called shp")
    assert answer.hint == "did you mean shop?"
    assert story.move("shop.wb", "h1").hint == "did you mean shop.web?"


def test_killing_a_ve_whose_host_died_forgets_what_is_lost(story: Story) -> None:
    story.started("shop", "a", "b", "c", memory_mib=900)
    lost = next(vm for vm in ("shop.a", "shop.b", "shop.c") if story.where(vm) == "h3")
    story.luc.fleet.crash_host("h3")
    story.pass_time(15.0)
    answer = story.manage("kill", "shop")
    by_vm = {o.vm: o for o in answer.outcomes}
    assert by_vm.pop(lost).state == "lost"
    assert all(o.ok for o in by_vm.values())
    assert story.nothing_remains()


def test_a_vm_on_a_silent_host_is_not_forgotten(story: Story) -> None:
    """It may run there still: stopping the VE must not lose sight of it."""
    story.started("shop", "a", "b", "c", memory_mib=900)
    hidden = next(vm for vm in ("shop.a", "shop.b", "shop.c") if story.where(vm) == "h3")
    story.luc.simulation.network.cut(["h3"], ["h1", "h2"])
    answer = story.manage("kill", "shop")
    failed = [o for o in answer.outcomes if not o.ok]
    assert [o.vm for o in failed] == [hidden]
    story.luc.simulation.network.heal()
    story.pass_time(15.0)
    assert story.where(hidden) == "h3"
    assert [vm.id for vm in story.records["ve/shop"].vms] == [hidden]
    assert story.manage("kill", "shop").outcomes[0].ok
    assert story.nothing_remains()


def test_an_unknown_verb_is_an_error_of_the_request(story: Story) -> None:
    story.started("shop", "web")
    answer = story.manage("dance", "shop")
    assert (answer.kind, answer.error) == ("InputError", "no such action: dance")
    assert answer.hint == "there are: pause, unpause, shutdown, kill"


def test_two_who_end_the_last_two_vms_at_the_same_instant_end_the_ve(story: Story) -> None:
    story.started("shop", "web", "db")
    calls = [
        story.client.tell(at, ENVIRONMENTS, partial(ManageVms, verb="kill", target=vm))
        for at, vm in (("h1", "shop.web"), ("h2", "shop.db"))
    ]
    assert all(story.wait(call).outcomes[0].ok for call in calls)
    assert story.nothing_remains()
    assert story.kinds("shop").count("ve.terminated") >= 1


def test_a_ve_whose_name_begins_like_another_is_left_alone(story: Story) -> None:
    story.started("shop", "web")
    story.started("shop2", "web")
    story.manage("kill", "shop")
    assert list(story.records) == ["ve/shop2"]
    assert story.manage("kill", "shop2.web").outcomes[0].ok
    assert story.nothing_remains()


def test_what_was_done_but_not_recorded_is_said(story: Story) -> None:
    story.started("shop", "web")
    call = story.client.tell("h1", ENVIRONMENTS, partial(ManageVms, verb="kill", target="shop"))
    simulation = story.luc.simulation
    assert simulation.run(simulation.now_s + 5.0, stop=lambda: "vm.kill" in story.kinds("shop.web"))
    story.luc.registry.unavailable = True
    answer = story.wait(call)
    assert answer.error == "shop: done on its hosts, but registry: the registry does not answer h1"
    assert answer.hint == "ask for it again when the registry answers"
    story.luc.registry.unavailable = False
    assert story.manage("kill", "shop").outcomes[0].state == "lost"
    assert story.nothing_remains()
