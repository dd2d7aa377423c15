"""What would be done is shown first; what is applied is exactly that, or nothing when things have changed."""

from __future__ import annotations

import msgspec
from ve_stories import Story, environment

from lucos.actors import address
from lucos.environments.messages import ENVIRONMENTS, ApplyVe, Managed, Planned, PlanVe
from lucos.model import Boot, Constraint, Migrate, Plan, Shutdown, VeState, VirtualEnvironment
from lucos.model.proposal import Proposal
from lucos.resources.messages import HOST, SetDraining, SetLoad


def plan(story: Story, ve: VirtualEnvironment | None, at: str = "h1") -> Planned:
    answer = story.client.ask(at, ENVIRONMENTS, lambda c: PlanVe(c, ve))
    assert isinstance(answer, Planned)
    return answer


def proposed(story: Story, ve: VirtualEnvironment | None, at: str = "h1") -> Proposal:
    answer = plan(story, ve, at)
    assert answer.proposal is not None, answer.error
    return answer.proposal


def apply(story: Story, ve: VirtualEnvironment, plan: Plan, at: str = "h1") -> Managed:
    answer = story.client.ask(at, ENVIRONMENTS, lambda c: ApplyVe(c, ve, plan))
    assert isinstance(answer, Managed)
    return answer


def applied(story: Story, ve: VirtualEnvironment) -> Proposal:
    """Plan and apply, which must work."""
    proposal = proposed(story, ve)
    answer = apply(story, ve, proposal.plan, at="h2")
    assert not answer.error
    assert all(outcome.ok for outcome in answer.outcomes), answer.outcomes
    assert len(answer.outcomes) == len(proposal.plan.actions)
    return proposal


def actions(proposal: Proposal) -> list[str]:
    return sorted(type(step.action).__name__ for step in proposal.plan.actions)


def rules_of(story: Story, vm: str) -> set[Constraint]:
    """The rules that the VM's own record on its host holds."""
    found = [s for s in story.luc.fleet.sample(story.where(vm)) if s.spec.id == vm]
    return set(found[0].spec.constraints)


def crowded(story: Story) -> VirtualEnvironment:
    """Three hosts of 1024 MiB, each with room for 624 MiB."""
    return story.started("old", "a", "b", "c", memory_mib=400)


def test_a_plan_moves_nothing(story: Story) -> None:
    crowded(story)
    before = story.luc.fleet.running()
    proposal = proposed(story, environment("shop", "web", "db"))
    assert (proposal.ve, proposal.added, proposal.removed, proposal.kept) == (
        "shop",
        ("shop.web", "shop.db"),
        (),
        (),
    )
    assert actions(proposal) == ["Boot", "Boot"]
    assert proposal.status == "optimal"
    story.pass_time(5.0)
    assert story.luc.fleet.running() == before
    assert list(story.records) == ["ve/old"]


def test_a_new_ve_starts_where_its_plan_said(story: Story) -> None:
    rules = (Constraint("spread", ("shop.a", "shop.b")), Constraint("ban", ("shop.a",), ("h1",)))
    ve = environment("shop", "a", "b", rules=rules)
    proposal = applied(story, ve)
    for step in proposal.plan.actions:
        assert isinstance(step.action, Boot)
        assert story.where(step.action.vm) == step.action.node
    assert story.records["ve/shop"].state is VeState.RUNNING
    assert rules_of(story, "shop.a") == set(rules)
    assert proposed(story, ve).changes is False


def test_others_make_room_for_a_new_ve_and_the_plan_says_why(story: Story) -> None:
    crowded(story)
    ve = environment("shop", "big", memory_mib=900)
    proposal = proposed(story, ve)
    assert actions(proposal) == ["Boot", "Migrate"]
    (move,) = [step for step in proposal.plan.actions if isinstance(step.action, Migrate)]
    (boot,) = [step for step in proposal.plan.actions if isinstance(step.action, Boot)]
    assert boot.depends_on == (move.number,)
    assert move.reason
    answer = apply(story, ve, proposal.plan)
    assert [o.ok for o in answer.outcomes] == [True, True]
    assert story.where("shop.big") == boot.action.node
    assert story.where(move.action.vm) == move.action.destination


def test_a_ve_that_cannot_be_placed_is_refused_with_the_conflict(story: Story) -> None:
    crowded(story)
    answer = plan(story, environment("shop", *"abcd", memory_mib=600))
    assert answer.proposal is None
    assert answer.kind == "Refused"
    assert answer.error.startswith("shop cannot be placed: ")
    assert "MiB" in answer.error


def test_a_changed_file_starts_ends_keeps_and_binds_anew(story: Story) -> None:
    together = Constraint("gather", ("shop.a", "shop.b"))
    old = environment("shop", "a", "b", "c", rules=(together,))
    applied(story, old)
    assert story.where("shop.a") == story.where("shop.b")
    kept = {vm: story.where(f"shop.{vm}") for vm in "ab"}
    apart = Constraint("spread", ("shop.a", "shop.b", "shop.d"))
    new = environment("shop", "a", "b", "d", rules=(apart,))
    proposal = applied(story, new)
    assert (proposal.added, proposal.removed, proposal.kept) == (
        ("shop.d",),
        ("shop.c",),
        ("shop.a", "shop.b"),
    )
    assert (proposal.rules_added, proposal.rules_removed) == ((apart,), (together,))
    assert actions(proposal) == ["Boot", "Migrate", "Shutdown"]
    assert len({story.where(f"shop.{vm}") for vm in "abd"}) == 3
    assert sum(story.where(f"shop.{vm}") == node for vm, node in kept.items()) == 1
    assert story.where("shop.c") == ""
    assert all(rules_of(story, f"shop.{vm}") == {apart} for vm in "abd")
    record = story.records["ve/shop"]
    assert {vm.id for vm in record.vms} == {"shop.a", "shop.b", "shop.d"}
    assert record.constraints == (apart,)
    assert proposed(story, new).changes is False


def test_rules_alone_can_change(story: Story) -> None:
    story.started("shop", "a", "b")
    rule = Constraint("spread", ("shop.a", "shop.b"))
    ve = environment("shop", "a", "b", rules=(rule,))
    assert story.where("shop.a") != story.where("shop.b")
    proposal = applied(story, ve)
    assert proposal.plan.actions == ()
    assert proposal.changes
    assert rules_of(story, "shop.a") == {rule}
    refused = story.move("shop.a", story.where("shop.b"))
    assert "spread" in refused.outcomes[0].error


def test_a_rule_without_vms_binds_the_vms_of_its_ve(story: Story) -> None:
    """At most one VM on h1 and h2 together."""
    rule = Constraint("runningCapacity", nodes=("h1", "h2"), amount=1, continuous=False)
    ve = environment("shop", "a", "b", "c", rules=(rule,), memory_mib=300)
    applied(story, ve)
    assert sum(story.where(f"shop.{vm}") in ("h1", "h2") for vm in "abc") <= 1
    assert rules_of(story, "shop.a") == {rule}


def test_a_rule_that_people_see_to_is_an_error(story: Story) -> None:
    rule = Constraint("offline", nodes=("h1",), continuous=False)
    for answer in (
        plan(story, environment("shop", "a", rules=(rule,))),
        story.run(environment("shop", "a", rules=(rule,))),
    ):
        assert answer.kind == "InputError"
        assert answer.error == ">> offline({h1}) has no meaning in a running VE"
    assert story.nothing_remains()


def test_what_only_a_restart_can_change_is_refused(story: Story) -> None:
    story.started("shop", "a", memory_mib=256)
    answer = plan(story, environment("shop", "a", memory_mib=300))
    assert answer.kind == "Refused"
    assert answer.error == "shop.a runs with memory_mib 256, and the file says 300"
    assert "luc stop shop.a" in answer.hint


def test_a_plan_that_no_longer_holds_is_refused_and_nothing_is_done(story: Story) -> None:
    ve = environment("shop", "a")
    proposal = proposed(story, ve)
    (boot,) = proposal.plan.actions
    assert isinstance(boot.action, Boot)
    story.client.ask("h1", address(boot.action.node, HOST), lambda c: SetDraining(c, True))
    answer = apply(story, ve, proposal.plan)
    assert answer.kind == "Refused"
    assert answer.error.startswith("the LUC has changed since the plan was made: ")
    assert story.nothing_remains()
    applied(story, ve)
    assert story.where("shop.a") != boot.action.node


def test_only_a_plan_that_does_it_all_is_applied(story: Story) -> None:
    ve = environment("shop", "a", "b")
    steps = proposed(story, ve).plan.actions
    answer = apply(story, ve, Plan(steps[:1]))
    assert answer.kind == "Refused"
    assert story.nothing_remains()


def test_a_vm_may_leave_a_node_in_trouble(story: Story) -> None:
    story.started("shop", "a", "b", rules=(Constraint("fence", ("shop.a",), ("h2",)),))
    story.client.ask("h1", address("h2", HOST), lambda c: SetDraining(c, True))
    ve = environment("shop", "a", "b", rules=(Constraint("fence", ("shop.a",), ("h1",)),))
    proposal = proposed(story, ve)
    assert [step.action for step in proposal.plan.actions] == [Migrate("shop.a", "h2", "h1")]


def test_nodes_in_trouble_take_no_vm_and_are_named_when_that_matters(story: Story) -> None:
    story.client.ask("h1", address("h2", HOST), lambda c: SetDraining(c, True))
    rules = (Constraint("fence", ("shop.a",), ("h2",)),)
    answers = [
        plan(story, environment("shop", "a", rules=rules)),
        story.run(environment("shop", "a", rules=rules)),
    ]
    for answer in answers:
        assert answer.kind == "Refused"
        assert answer.hint == "in trouble, and so not considered: h2; luc node ls tells more"
    assert story.nothing_remains()


def test_of_two_that_apply_one_name_one_wins(story: Story) -> None:
    one, two = environment("shop", "a"), environment("shop", "b")
    plans = [proposed(story, one).plan, proposed(story, two).plan]
    calls = [
        story.client.tell(at, ENVIRONMENTS, lambda c, ve=ve, plan=plan: ApplyVe(c, ve, plan))
        for at, ve, plan in zip(("h1", "h2"), (one, two), plans, strict=True)
    ]
    answers = [story.wait(call) for call in calls]
    assert sorted(answer.kind for answer in answers) == ["", "Refused"]
    assert len(story.luc.fleet.running()) == 1
    assert [vm.id for vm in story.records["ve/shop"].vms] == list(story.luc.fleet.running())


def test_a_new_ve_whose_boot_fails_leaves_nothing(story: Story) -> None:
    ve = environment("shop", "a", "b", rules=(Constraint("spread", ("shop.a", "shop.b")),))
    proposal = proposed(story, ve)
    node = next(
        s.action.node for s in proposal.plan.actions if isinstance(s.action, Boot) and s.action.vm[-1] == "b"
    )
    call = story.client.tell(
        "h3" if node != "h3" else "h1", ENVIRONMENTS, lambda c: ApplyVe(c, ve, proposal.plan)
    )
    simulation = story.luc.simulation
    assert simulation.run(simulation.now_s + 5.0, stop=lambda: "ve.submitted" in story.kinds("shop"))
    story.luc.fleet.crash_host(node)
    answer = story.wait(call)
    assert [o.vm for o in answer.outcomes if not o.ok] == ["shop.b"]
    assert story.nothing_remains()


def test_a_change_that_fails_half_way_is_finished_by_the_next_plan(story: Story) -> None:
    """h2 goes down while its VM is on its way: what was done stays, and the VMs are all on record."""
    story.started("shop", "a", "b", rules=(Constraint("fence", ("shop.a",), ("h1",)),))
    apart = Constraint("fence", ("shop.a",), ("h2",))
    ve = environment("shop", "a", "b", rules=(apart,), memory_mib=256)
    proposal = proposed(story, ve, at="h3")
    call = story.client.tell("h3", ENVIRONMENTS, lambda c: ApplyVe(c, ve, proposal.plan))
    simulation = story.luc.simulation
    assert simulation.run(simulation.now_s + 10.0, stop=lambda: bool(story.luc.fleet.migrations()))
    story.luc.fleet.crash_host("h2")
    answer = story.wait(call)
    assert [(o.vm, o.ok) for o in answer.outcomes] == [("shop.a", False)]
    assert story.where("shop.a") == "h1"
    assert {vm.id for vm in story.records["ve/shop"].vms} == {"shop.a", "shop.b"}
    story.luc.fleet.repair_host("h2")
    story.pass_time(10.0)
    again = ve if story.where("shop.b") else msgspec.structs.replace(ve, vms=ve.vms[:1])
    applied(story, again)
    assert story.where("shop.a") == "h2"


def test_without_a_ve_the_plan_ends_violations(story: Story) -> None:
    assert not proposed(story, None).changes
    story.started("shop", "a", "b", "c", rules=(Constraint("gather", ("shop.a", "shop.b", "shop.c")),))
    node = story.where("shop.a")
    for vm in "abc":
        story.client.ask("h1", address(node, HOST), lambda c, vm=vm: SetLoad(c, f"shop.{vm}", "cpu:80"))
    for name in story.luc.names:
        story.client.ask("h1", address(name, HOST), lambda c, name=name: SetDraining(c, name == node))
    story.pass_time(0.01)
    answer = plan(story, None)
    assert answer.kind == "Refused"
    assert answer.error.startswith("the violations cannot be ended: ")


def test_a_drain_is_what_the_plan_without_a_ve_shows(story: Story) -> None:
    story.started("shop", "a")
    node = story.where("shop.a")
    story.client.ask("h1", address(node, HOST), lambda c: SetDraining(c, True))
    (step,) = proposed(story, None).plan.actions
    assert isinstance(step.action, Migrate)
    assert step.action.source == node
    assert node in step.reason


def test_removed_vms_are_shut_down(story: Story) -> None:
    story.started("shop", "a", "b")
    proposal = applied(story, environment("shop", "b"))
    (step,) = proposal.plan.actions
    assert isinstance(step.action, Shutdown)
    assert list(story.luc.fleet.running()) == ["shop.b"]
    assert [vm.id for vm in story.records["ve/shop"].vms] == ["shop.b"]
