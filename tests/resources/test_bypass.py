"""Plans that suspend a VM to make room: it runs again in the end, whoever fails in between."""

from __future__ import annotations

from host_stories import Story

from lucos.environments.messages import ENVIRONMENTS, ApplyVe, Managed
from lucos.model import (
    Allocate,
    Boot,
    Constraint,
    Kill,
    Migrate,
    Plan,
    PlannedAction,
    Resources,
    Resume,
    Suspend,
    VirtualEnvironment,
    VmState,
)
from lucos.resources.execution import beyond_hosts
from lucos.resources.monitor import PARKED_S_MAX
from lucos.simulator import SimulatedLuc


def suspended(story: Story) -> str:
    """A VM that a plan suspended on h1 and then left."""
    vm = story.boot("a", "h1", memory_mib=700)
    story.pass_time(5.0)
    assert story.order("h1", Suspend(vm, "h1")).ok
    assert story.where(vm) == []
    return vm


def test_a_plan_with_a_bypass_is_carried_out_step_by_step(story: Story) -> None:
    """a and b change places on two full hosts: c sleeps meanwhile, and wakes where it was."""
    fences = tuple(
        Constraint("fence", (f"ve.{vm}",), (node,), continuous=False)
        for vm, node in (("a", "h2"), ("b", "h1"), ("c", "h1"), ("d", "h2"))
    )
    where = {"a": "h1", "c": "h1", "b": "h2", "d": "h2"}
    specs = [story.spec(vm, memory_mib=500) for vm in where]
    for spec, node in zip(specs, where.values(), strict=True):
        assert story.order(node, Boot(spec.id, node), spec).ok
    story.pass_time(5.0)
    plan = Plan(
        (
            PlannedAction(1, Suspend("ve.c", "h1"), start_s=0.0, end_s=5.0),
            PlannedAction(2, Migrate("ve.b", "h2", "h1"), (1,), start_s=5.0, end_s=10.0),
            PlannedAction(3, Migrate("ve.a", "h1", "h2"), (2,), start_s=10.0, end_s=15.0),
            PlannedAction(4, Resume("ve.c", "h1", "h1"), (3,), start_s=15.0, end_s=20.0),
        )
    )
    ve = VirtualEnvironment("ve", tuple(specs), fences)
    answer = story.client.ask("h3", ENVIRONMENTS, lambda c: ApplyVe(c, ve, plan))
    assert isinstance(answer, Managed)
    assert [o.ok for o in answer.outcomes] == [True] * 4, (answer.error, answer.outcomes)
    assert {vm: story.where(f"ve.{vm}") for vm in "abcd"} == {
        "a": ["h2"],
        "b": ["h1"],
        "c": ["h1"],
        "d": ["h2"],
    }
    kinds = [kind for kind in story.kinds("ve.c") if kind.startswith("vm.")]
    assert kinds == ["vm.boot", "vm.suspend", "vm.resume"]


def test_a_vm_that_a_plan_forgot_asleep_is_resumed_by_its_host(story: Story) -> None:
    vm = suspended(story)
    (view,) = story.snapshot("h1").vms
    assert (view.instance.state, view.parked) == (VmState.SLEEPING, True)
    story.pass_time(PARKED_S_MAX - 5.0)
    assert story.where(vm) == []
    story.pass_time(15.0)
    assert story.where(vm) == ["h1"]
    assert not story.snapshot("h1").vms[0].parked
    assert "violation.end" in story.kinds("h1")


def test_an_agent_that_was_restarted_remembers_whom_a_plan_suspended(story: Story) -> None:
    vm = suspended(story)
    node = story.luc.simulation.nodes["h1"]
    node.crash()
    node.start()
    story.pass_time(PARKED_S_MAX + 10.0)
    assert story.where(vm) == ["h1"]


def test_others_make_room_for_a_vm_that_must_wake_where_it_sleeps(story: Story) -> None:
    vm = suspended(story)
    newcomer = story.boot("b", "h1", memory_mib=700)
    refused = story.order("h1", Resume(vm, "h1"))
    assert (refused.ok, refused.kind) == (False, "Refused")
    assert refused.error.startswith("h1 has no room")
    story.pass_time(PARKED_S_MAX + 30.0)
    assert story.where(vm) == ["h1"]
    assert story.where(newcomer) in (["h2"], ["h3"])


def test_a_vm_that_ended_asleep_is_forgotten(story: Story) -> None:
    vm = suspended(story)
    assert story.order("h1", Kill(vm, "h1")).ok
    story.pass_time(PARKED_S_MAX + 10.0)
    assert "violation.start" not in story.kinds("h1")
    assert story.where(vm) == []


def test_a_vm_that_wants_more_than_any_host_gets_one_to_itself() -> None:
    """Hosts of 50 %: nothing gives the large VM what it wants, but the small one is out of its way."""
    hosts = SimulatedLuc.small(1, 3, capacity=Resources(50.0, 1024.0))
    hosts.settle()
    for vm in ("ve.large", "ve.small"):
        hosts.boot(vm, "h1", 10.0)
    simulation = hosts.simulation
    simulation.run(simulation.now_s + 40.0)
    hosts.fleet.set_demand("ve.large", 80.0)
    simulation.run(simulation.now_s + 40.0)
    places = hosts.fleet.running()
    assert places["ve.large"] != places["ve.small"]
    moves = [e for e in simulation.events if e.kind == "migration.start"]
    assert len(moves) == 1
    told = [e.text for e in simulation.events if e.kind == "violation.unresolved"]
    assert told
    assert "is overloaded whoever moves" in told[0]
    assert not simulation.failures


def test_what_hosts_cannot_do_is_told_before_anything_begins() -> None:
    def told(*actions: Allocate | Resume | Migrate) -> str:
        return beyond_hosts(Plan(tuple(PlannedAction(i, action) for i, action in enumerate(actions))))

    assert told(Migrate("a", "h1", "h2"), Resume("b", "h1"), Resume("c", "h1", "h1")) == ""
    assert "saved on h1" in told(Resume("a", "h2", "h1"))
    assert "a would be given" in told(Allocate("a", "h1", (("cpu_pct", 10.0),)))
