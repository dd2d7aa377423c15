"""Migrations that go wrong end in a definite state: the VM runs exactly once, and the events say why."""

from __future__ import annotations

import pytest
from host_stories import Story

from lucos.model import Pause, Resources
from lucos.resources.messages import HOST, SetDraining


def test_the_destination_loses_power_in_mid_copy(story: Story) -> None:
    vm = story.boot("a", "h1")
    call = story.begin_migration(vm, "h1", "h2")
    story.luc.fleet.crash_host("h2")
    answer = story.client.wait(call)
    assert (answer.ok, answer.kind) == (False, "OperationFailed")
    assert "h2 does not answer" in answer.error
    assert story.where(vm) == story.luc.fleet.running()[vm] == ["h1"]
    failed = story.events(vm)[-1]
    assert failed.kind == "migration.failed"
    assert failed.text.startswith("h1 -> h2: ")
    assert story.migrate(vm, "h1", "h3").ok


def test_the_agent_of_the_destination_dies_in_mid_copy_and_finds_the_vm_when_it_is_back(story: Story) -> None:
    vm = story.boot("a", "h1")
    call = story.begin_migration(vm, "h1", "h2")
    story.luc.simulation.nodes["h2"].crash()
    assert story.client.wait(call).ok
    story.luc.simulation.nodes["h2"].start()
    story.pass_time(2.0)
    assert story.vms_of("h2") == [vm]
    assert story.vms_of("h1") == []


def test_the_agent_of_the_source_dies_in_mid_copy_and_the_vm_is_adopted_where_it_arrives(
    story: Story,
) -> None:
    vm = story.boot("a", "h1")
    story.begin_migration(vm, "h1", "h2")
    story.luc.simulation.nodes["h1"].crash()
    story.pass_time(10.0)
    assert story.where(vm) == ["h2"]
    story.luc.simulation.nodes["h1"].start()
    story.pass_time(5.0)
    assert story.vms_of("h1") == []
    assert story.vms_of("h2") == [vm]
    assert story.snapshot("h2").reserved == Resources()


def test_an_agent_back_before_the_copy_ends_knows_that_the_vm_is_leaving(story: Story) -> None:
    vm = story.boot("a", "h1", memory_mib=900)
    story.begin_migration(vm, "h1", "h2")
    node = story.luc.simulation.nodes["h1"]
    node.crash()
    node.start()
    story.pass_time(2.0)
    assert story.luc.fleet.migrations()
    assert story.snapshot("h1").busy == 1
    answer = story.order("h1", Pause(vm, "h1"))
    assert (answer.ok, answer.kind) == (False, "Refused")
    story.pass_time(20.0)
    assert story.where(vm) == ["h2"]
    assert story.vms_of("h1") == []
    assert story.snapshot("h1").busy == 0


def test_a_guest_that_writes_faster_than_the_link_stays_where_it_is(story: Story) -> None:
    vm = story.boot("a", "h1", workload="dirty:400", memory_mib=512)
    began_s = story.luc.simulation.now_s
    answer = story.migrate(vm, "h1", "h2")
    assert (answer.ok, answer.kind) == (False, "OperationFailed")
    assert "not done within 60 s" in answer.error
    assert story.luc.simulation.now_s - began_s == pytest.approx(60.0, abs=2.0)
    assert story.where(vm) == ["h1"]
    story.pass_time(1.5)
    assert story.vms_of("h2") == []
    assert story.snapshot("h2").reserved == Resources()


def test_a_cut_in_mid_copy_leaves_the_vm_at_its_source_and_no_promise_behind(story: Story) -> None:
    vm = story.boot("a", "h1")
    call = story.begin_migration(vm, "h1", "h2")
    story.luc.simulation.network.cut(["h1"], ["h2"])
    assert not story.client.wait(call).ok
    story.luc.simulation.network.heal()
    # What could not be given back through the cut ends with its lease.
    story.pass_time(95.0)
    assert story.where(vm) == ["h1"]
    assert story.snapshot("h2").reserved == Resources()
    assert story.migrate(vm, "h1", "h2").ok


def test_the_guest_dies_while_it_moves(story: Story) -> None:
    vm = story.boot("a", "h1")
    call = story.begin_migration(vm, "h1", "h2")
    story.luc.fleet.crash_vm(vm)
    answer = story.client.wait(call)
    assert not answer.ok
    assert "died" in answer.error
    story.pass_time(2.0)
    assert story.where(vm) == story.vms_of("h1") == story.vms_of("h2") == []
    assert story.snapshot("h2").reserved == Resources()


def test_a_draining_node_is_emptied_by_the_others(story: Story) -> None:
    vms = [story.boot(name, "h1") for name in "ab"]
    story.client.ask("h1", HOST, lambda c: SetDraining(c, True))
    story.pass_time(40.0)
    assert story.vms_of("h1") == []
    assert all(story.where(vm) in (["h2"], ["h3"]) for vm in vms)
    assert story.snapshot("h1").violation == ""


def test_an_agent_that_restarts_finds_its_vms(story: Story) -> None:
    vms = [story.boot(name, "h1") for name in "ab"]
    node = story.luc.simulation.nodes["h1"]
    node.crash()
    node.start()
    story.pass_time(1.0)
    assert story.vms_of("h1") == vms
    assert story.migrate(vms[0], "h1", "h2").ok
