"""What a host does with orders: it carries them out one at a time for each VM, or says why not."""

from __future__ import annotations

import pytest
from host_stories import Story

from lucos.actors import address
from lucos.model import Boot, Kill, Migrate, Pause, Resources, Resume, Shutdown, Suspend, Unpause, VmState
from lucos.resources.messages import HOST, Reserve, SetDraining, SetLoad, Unreserve


def test_a_vm_is_booted_paused_unpaused_suspended_resumed_and_shut_down(story: Story) -> None:
    vm = story.boot("a", "h1")
    assert story.where(vm) == ["h1"]
    for action, state in (
        (Pause, VmState.PAUSED),
        (Unpause, VmState.RUNNING),
        (Suspend, VmState.SLEEPING),
        (Resume, VmState.RUNNING),
    ):
        assert story.order("h1", action(vm, "h1")).ok
        assert story.where(vm) == (["h1"] if state is VmState.RUNNING else [])
        story.pass_time(1.5)
        assert [i.state for i in story.snapshot("h1").instances] == [state]
    assert story.order("h1", Shutdown(vm, "h1")).ok
    assert story.where(vm) == story.vms_of("h1") == []
    verbs = ["boot", "pause", "unpause", "suspend", "resume", "shutdown"]
    assert story.kinds(vm) == [f"vm.{verb}" for verb in verbs]


def test_a_vm_killed_is_gone_at_once(story: Story) -> None:
    vm = story.boot("a", "h1")
    assert story.order("h1", Kill(vm, "h1")).ok
    assert story.where(vm) == story.vms_of("h1") == []
    again = story.boot("a", "h2")
    assert story.where(again) == ["h2"]


def test_a_migration_says_how_long_it_took_and_how_long_the_guest_froze(story: Story) -> None:
    vm = story.boot("a", "h1")
    answer = story.migrate(vm, "h1", "h2")
    assert answer.ok
    assert 0.0 < answer.downtime_ms < 1000.0 * answer.duration_s
    assert story.where(vm) == ["h2"]
    assert story.vms_of("h1") == []
    assert story.vms_of("h2") == [vm]
    start, end = story.events(vm)[-2:]
    assert (start.kind, end.kind) == ("migration.start", "migration.end")
    assert (start.data["source"], start.data["destination"]) == ("h1", "h2")
    assert end.data["downtime_ms"] == answer.downtime_ms
    assert end.data["reason"] == "asked to"


def test_the_demand_of_a_vm_travels_with_it(story: Story) -> None:
    vm = story.boot("a", "h1", workload="cpu:20")
    story.luc.fleet.set_demand(vm, 55.0)
    story.pass_time(40.0)
    story.migrate(vm, "h1", "h2")
    (instance,) = story.snapshot("h2").instances
    assert instance.demand.cpu_pct == pytest.approx(55.0, abs=2.0)


def test_while_a_vm_is_busy_a_second_order_is_refused(story: Story) -> None:
    vm = story.boot("a", "h1")
    first = story.tell("h1", Migrate(vm, "h1", "h2"))
    second = story.tell("h1", Pause(vm, "h1"))
    third = story.tell("h1", Migrate(vm, "h1", "h3"))
    for call in (second, third):
        refused = story.client.wait(call)
        assert (refused.ok, refused.kind) == (False, "Refused")
        assert refused.error == f"{vm} is busy: migrate is under way"
    assert story.client.wait(first).ok
    assert story.where(vm) == ["h2"]


def test_while_it_moves_a_snapshot_says_where_to_and_the_room_is_promised(story: Story) -> None:
    vm = story.boot("a", "h1")
    call = story.begin_migration(vm, "h1", "h2")
    (view,) = story.snapshot("h1").vms
    assert view.migrating_to == "h2"
    there = story.snapshot("h2")
    assert (there.busy, there.reserved.memory_mib, there.vms) == (1, 256.0, ())
    story.client.wait(call)
    assert (story.snapshot("h1").busy, story.snapshot("h2").busy) == (0, 0)
    assert story.snapshot("h2").reserved == Resources()


@pytest.mark.parametrize(
    ("vm", "action", "why"),
    [
        ("ghost", Pause("ve.ghost", "h1"), "ve.ghost is not on h1"),
        ("a", Migrate("ve.a", "h1", "h1"), "ve.a is on h1 already"),
        ("a", Migrate("ve.a", "h1", "nowhere"), "nowhere does not answer"),
        ("a", Boot("ve.a", "h1"), "ve.a is already on h1"),
    ],
)
def test_an_order_that_makes_no_sense_here_is_refused(story: Story, vm: str, action: Pause, why: str) -> None:
    story.boot("a", "h1")
    answer = story.order("h1", action)
    assert (answer.ok, answer.kind, answer.error) == (False, "Refused", why)
    assert story.where("ve.a") == ["h1"]


def test_a_step_that_the_life_cycle_does_not_have_is_refused(story: Story) -> None:
    vm = story.boot("a", "h1")
    assert story.order("h1", Pause(vm, "h1")).ok
    answer = story.order("h1", Pause(vm, "h1"))
    assert (answer.ok, answer.kind) == (False, "Refused")
    assert answer.error == "a VM that is paused cannot pause"
    assert story.kinds(vm)[-1] == "vm.pause-failed"


def test_the_destination_refuses_what_it_has_no_room_for(story: Story) -> None:
    vm = story.boot("a", "h1", memory_mib=512)
    story.boot("b", "h2", memory_mib=768)
    answer = story.migrate(vm, "h1", "h2")
    assert (answer.ok, answer.kind) == (False, "Refused")
    assert answer.error == "h2 has no room: 40 of 200 % CPU and 1280 of 1024 MiB with ve.a"
    assert story.where(vm) == ["h1"]
    assert story.kinds(vm)[-1] == "migration.failed"


def test_room_is_promised_once(story: Story) -> None:
    """Two VMs that fit one by one set out for one node at the same instant."""
    one, two = story.boot("a", "h1", memory_mib=600), story.boot("b", "h2", memory_mib=600)
    calls = [story.tell("h1", Migrate(one, "h1", "h3")), story.tell("h2", Migrate(two, "h2", "h3"))]
    answers = [story.client.wait(call) for call in calls]
    assert sorted(answer.ok for answer in answers) == [False, True]
    assert len(story.vms_of("h3")) == 1


def test_the_destination_refuses_what_its_rules_forbid(story: Story) -> None:
    rules = [("spread", "a", "b")]
    vm = story.boot("a", "h1", rules=rules)
    story.boot("b", "h2", rules=rules)
    answer = story.migrate(vm, "h1", "h2")
    assert (answer.ok, answer.kind) == (False, "Refused")
    assert "ve.b and ve.a are both on h2" in answer.error
    assert not story.order("h2", Boot("ve.c", "h2"), story.spec("c", rules=[("spread", "b", "c")])).ok
    assert story.migrate(vm, "h1", "h3").ok


def test_a_draining_node_admits_nobody_also_after_its_agent_restarts(story: Story) -> None:
    vm = story.boot("a", "h1")
    assert story.client.ask("h2", HOST, lambda c: SetDraining(c, True)).ok
    assert story.migrate(vm, "h1", "h2").error == "h2 is draining"
    node = story.luc.simulation.nodes["h2"]
    node.crash()
    node.start()
    story.pass_time(5.0)
    assert story.snapshot("h2").node.draining
    assert story.migrate(vm, "h1", "h2").error == "h2 is draining"
    assert story.client.ask("h2", HOST, lambda c: SetDraining(c, False)).ok
    assert story.migrate(vm, "h1", "h2").ok
    assert story.kinds("h2").count("node.draining") == story.kinds("h2").count("node.undrained") == 1


def test_a_reservation_ends_with_its_lease_or_when_it_is_given_back(story: Story) -> None:
    def reserve(vm: str) -> bool:
        spec = story.spec(vm, memory_mib=800)
        demand = Resources(10.0, 800.0)
        there = address("h2", HOST)
        return bool(story.client.ask("h1", there, lambda c: Reserve(c, spec, demand, "h1", "", 5.0)).ok)

    assert reserve("a")
    assert not reserve("b")
    story.pass_time(7.0)
    assert story.snapshot("h2").reserved == Resources()
    assert reserve("b")
    story.luc.simulation.transmit("h1", "client", address("h2", HOST), Unreserve("ve.b"))
    story.pass_time(0.1)
    assert story.snapshot("h2").reserved == Resources()


def test_orders_of_a_partition_that_the_node_is_not_in_are_refused(story: Story) -> None:
    vm = story.boot("a", "h1")
    answer = story.order("h1", Migrate(vm, "h1", "h2"), partition="h9/1")
    assert answer.error == "h1 is no longer in partition h9/1"
    assert story.where(vm) == ["h1"]


def test_a_workload_is_changed_where_the_vm_is(story: Story) -> None:
    vm = story.boot("a", "h1", workload="idle")
    assert story.client.ask("h1", HOST, lambda c: SetLoad(c, vm, "cpu:80")).ok
    story.pass_time(5.0)
    (view,) = story.snapshot("h1").vms
    assert view.workload == "cpu:80"
    assert view.instance.demand.cpu_pct == pytest.approx(80.0, abs=3.0)
    assert view.cpu_used_pct == pytest.approx(80.0, abs=3.0)
    elsewhere = story.client.ask("h2", HOST, lambda c: SetLoad(c, vm, "cpu:80"))
    assert (elsewhere.ok, elsewhere.kind, elsewhere.error) == (False, "UnknownObject", f"{vm} is not on h2")
    wrong = story.client.ask("h1", HOST, lambda c: SetLoad(c, vm, "cpu:lots"))
    assert (wrong.ok, wrong.kind) == (False, "InputError")


def test_an_overload_is_told_when_it_begins_and_when_it_ends() -> None:
    """Alone in its LUC, a node can only wait for the load to go away."""
    story = Story(nodes=1)
    vms = [story.boot(name, "h1") for name in "abc"]
    story.pass_time(30.0)
    for vm in vms:
        story.luc.fleet.set_demand(vm, 90.0)
    story.pass_time(15.0)
    assert story.snapshot("h1").violation == "CPU demand 270 % of 200 %"
    for vm in vms:
        story.luc.fleet.set_demand(vm, 20.0)
    story.pass_time(15.0)
    assert story.snapshot("h1").violation == ""
    kinds = [event.kind for event in story.events("h1") if event.kind in ("violation.start", "violation.end")]
    assert kinds == ["violation.start", "violation.end"]
    story.check()


def test_a_guest_that_dies_by_itself_is_told(story: Story) -> None:
    vm = story.boot("a", "h1")
    story.luc.fleet.crash_vm(vm)
    story.pass_time(0.1)
    assert story.vms_of("h1") == []
    assert story.kinds(vm)[-1] == "vm.crashed"
