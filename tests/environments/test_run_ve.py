"""A VE starts whole or not at all, and its name is its own."""

from __future__ import annotations

import pytest
from ve_stories import Story, environment

from lucos.actors.ports import Record
from lucos.environments.messages import ENVIRONMENTS, ManageVms
from lucos.errors import InputError
from lucos.model import Constraint, Resources, VeState
from lucos.resources.messages import HOST, Reserve, SetDraining


def test_a_ve_runs_where_its_rules_want_it_and_is_recorded(story: Story) -> None:
    rules = (
        Constraint("spread", ("shop.web1", "shop.web2")),
        Constraint("ban", ("shop.db",), ("h1", "h2")),
    )
    ve = environment("shop", "web1", "web2", "db", rules=rules)
    answer = story.run(ve, at="h2")
    assert (answer.error, answer.hint) == ("", "")
    assert {o.vm: o.node for o in answer.outcomes} == {vm.id: story.where(vm.id) for vm in ve.vms}
    assert all(o.ok and o.state == "running" for o in answer.outcomes)
    assert story.where("shop.db") == "h3"
    assert story.where("shop.web1") != story.where("shop.web2")
    (record,) = story.records.values()
    assert (record.name, record.state, record.vms) == ("shop", VeState.RUNNING, ve.vms)
    assert story.kinds("shop") == ["ve.submitted", "ve.running"]


def test_every_agent_tells_the_same_about_the_whole_luc(story: Story) -> None:
    story.started("shop", "web", "db")
    surveys = [story.survey(at) for at in ("h1", "h2", "h3")]
    for survey in surveys:
        assert (survey.error, survey.silent) == ("", ())
        assert [ve.name for ve in survey.ves] == ["shop"]
        vms = {i.spec.id: n for n, snap in survey.snapshots.items() for i in snap.instances}
        assert vms == {vm: story.where(vm) for vm in ("shop.web", "shop.db")}


def test_a_second_ve_of_the_same_name_is_refused_by_any_agent(story: Story) -> None:
    story.started("shop", "web")
    answer = story.run(environment("shop", "other"), at="h3")
    assert (answer.kind, answer.error) == ("AlreadyExists", "a VE called shop exists already")
    assert answer.hint == "luc info shop shows it; choose another name, or stop it first"
    assert list(story.luc.fleet.running()) == ["shop.web"]


@pytest.mark.parametrize("seed", range(5))
def test_of_two_that_want_a_name_at_the_same_instant_one_gets_it(seed: int) -> None:
    story = Story(seed=seed)
    one, two = environment("shop", "a1", "a2"), environment("shop", "b1", "b2")
    calls = [story.ask_run(one, "h1"), story.ask_run(two, "h3")]
    answers = [story.wait(call) for call in calls]
    assert sorted(answer.kind for answer in answers) == ["", "AlreadyExists"]
    winner = one if not answers[0].error else two
    assert sorted(story.luc.fleet.running()) == [vm.id for vm in winner.vms]
    assert story.records["ve/shop"].vms == winner.vms
    story.check()


def test_a_vm_larger_than_any_host_is_refused_before_anything_is_done(story: Story) -> None:
    answer = story.run(environment("shop", "web", memory_mib=1500))
    assert answer.kind == "Refused"
    assert answer.error == "shop.web asks for 1500 MiB of memory; the largest host has 1024 MiB"
    assert story.nothing_remains()
    assert story.kinds("shop") == []


def test_a_rule_about_an_unknown_node_is_refused_with_the_names_near_it(story: Story) -> None:
    rules = (Constraint("fence", ("shop.web",), ("h22",)),)
    answer = story.run(environment("shop", "web", rules=rules))
    assert answer.kind == "UnknownObject"
    assert answer.error == "no node (in fence({shop.web}, {h22})) is called h22"
    assert answer.hint == "did you mean h2?"
    assert story.nothing_remains()


def test_what_does_not_fit_leaves_nothing_behind_and_its_name_free(story: Story) -> None:
    answer = story.run(environment("shop", "a", "b", "c", "d", memory_mib=900))
    assert answer.kind == "Refused"
    assert answer.error.startswith(
        "shop cannot be placed: 4 VMs of 900 MiB must run, and h1..h3 have room for 3"
    )
    assert story.nothing_remains()
    assert story.kinds("shop")[-1] == "ve.refused"
    story.started("shop", "a", "b", "c", memory_mib=900)


def test_rules_that_cannot_hold_leave_nothing_behind(story: Story) -> None:
    everyone = tuple(f"shop.{vm}" for vm in "abcd")
    answer = story.run(environment("shop", *"abcd", rules=(Constraint("spread", everyone),)))
    assert answer.kind == "Refused"
    assert "cannot be placed" in answer.error
    assert story.nothing_remains()


def test_draining_nodes_are_left_out(story: Story) -> None:
    story.client.ask("h1", HOST, lambda c: SetDraining(c, True))
    story.started("shop", *"abcdefgh", memory_mib=200)
    assert {story.where(f"shop.{vm}") for vm in "abcdefgh"} == {"h2", "h3"}


def test_a_host_that_promised_its_room_meanwhile_is_replaced_by_another(story: Story) -> None:
    """After the survey and before the boot arrives, a migration reserves the room of the chosen host."""
    rules = (Constraint("ban", ("shop.web",), ("h1",)),)
    call = story.ask_run(environment("shop", "web", memory_mib=800, rules=rules))
    simulation = story.luc.simulation
    assert simulation.run(simulation.now_s + 5.0, stop=lambda: "ve.submitted" in story.kinds("shop"))
    spec = environment("x", "y", memory_mib=800).vms[0]
    simulation.transmit("h2", "client", HOST, Reserve(0, spec, Resources(1.0, 800.0), "h1", "", 60.0))
    answer = story.wait(call)
    assert not answer.error
    assert story.where("shop.web") == "h3"


SPREAD = (Constraint("spread", ("shop.a", "shop.b", "shop.c")),)


def boots_begun(story: Story) -> int:
    """Order a VE of three VMs, one on each host, and return when their boots are under way; the call."""
    call = story.ask_run(environment("shop", *"abc", rules=SPREAD))
    simulation = story.luc.simulation
    assert simulation.run(simulation.now_s + 5.0, stop=lambda: "ve.submitted" in story.kinds("shop"))
    story.pass_time(0.2)
    assert not story.luc.fleet.running()
    return call


def test_a_host_that_dies_during_the_boot_undoes_the_ve_as_soon_as_that_is_known(story: Story) -> None:
    call = boots_begun(story)
    story.luc.fleet.crash_host("h2")
    began_s = story.luc.simulation.now_s
    answer = story.wait(call)
    assert story.luc.simulation.now_s - began_s < 10.0
    assert (answer.kind, answer.hint) == ("OperationFailed", "")
    assert answer.error.endswith("h2 did not answer")
    assert story.nothing_remains()
    story.started("shop", "a")


def test_a_vm_whose_boot_was_never_confirmed_is_killed_too(story: Story) -> None:
    """The agent restarts while its hypervisor boots on: nobody answers, but the VM runs."""
    call = boots_begun(story)
    node = story.luc.simulation.nodes["h2"]
    node.crash()
    node.start()
    answer = story.wait(call)
    assert answer.error.endswith("h2 did not answer")
    assert story.nothing_remains()


def test_a_vm_that_may_run_on_a_silent_host_stays_on_record(story: Story) -> None:
    call = boots_begun(story)
    # Streams between h1 and h2 are cut, yet h3 vouches for both: they are alive, and silent to each other.
    story.luc.simulation.network.cut(["h1"], ["h2"])
    answer = story.wait(call)
    assert answer.error.endswith("h2 did not answer")
    hidden = next(vm for vm in ("shop.a", "shop.b", "shop.c") if story.where(vm))
    assert story.where(hidden) == "h2"
    assert answer.hint == "luc kill shop once h2 answers"
    assert [vm.id for vm in story.records["ve/shop"].vms] == [hidden]
    story.luc.simulation.network.heal()
    assert story.manage("kill", "shop").outcomes[0].ok
    assert story.nothing_remains()


def test_a_vm_that_runs_is_never_started_again_because_its_host_is_slow(story: Story) -> None:
    """One boot is refused, and when the VE is placed again the host of the other does not answer."""
    rules = (Constraint("fence", ("shop.a",), ("h2",)), Constraint("fence", ("shop.b",), ("h1",)))
    call = story.ask_run(environment("shop", "a", "b", rules=rules, memory_mib=400), at="h3")
    simulation = story.luc.simulation
    assert simulation.run(simulation.now_s + 5.0, stop=lambda: "ve.submitted" in story.kinds("shop"))
    spec = environment("x", "y", memory_mib=800).vms[0]
    simulation.transmit("h1", "client", HOST, Reserve(0, spec, Resources(1.0, 800.0), "h2", "", 60.0))
    assert simulation.run(simulation.now_s + 5.0, stop=lambda: "vm.boot" in story.kinds("shop.a"))
    simulation.nodes["h2"].stall(2.1)
    answer = story.wait(call)
    assert answer.error == "shop.a was lost on h2"
    assert story.nothing_remains()


def test_a_ve_that_is_killed_while_it_starts_does_not_run(story: Story) -> None:
    call = boots_begun(story)
    killed = story.client.tell("h2", ENVIRONMENTS, lambda c: ManageVms(c, "kill", "shop"))
    answer = story.wait(call)
    assert answer.error == "shop was started, but it is no longer on record"
    story.wait(killed)
    assert story.nothing_remains()


def test_a_vm_left_over_from_an_earlier_ve_is_not_taken_for_a_new_one(story: Story) -> None:
    story.luc.boot("shop.web", "h2", 10.0)
    story.pass_time(2.0)
    answer = story.run(environment("shop", "web"))
    assert (answer.kind, answer.error) == ("AlreadyExists", "a VM called shop.web runs on h2 already")
    assert answer.hint == "it is left from an earlier shop; luc kill shop.web ends it"
    assert not story.records
    assert story.manage("kill", "shop.web").outcomes[0].ok
    story.started("shop", "web")


def test_a_record_of_another_version_is_named(story: Story) -> None:
    story.luc.registry.records["ve/blog"] = Record("ve/blog", b'{"lucos": 7}', 1)
    answer = story.run(environment("shop", "web"))
    assert answer.kind == "Unreachable"
    assert answer.error == "registry: ve/blog: document version 7 is not supported"


def test_without_the_registry_nothing_is_begun_and_the_answer_says_so(story: Story) -> None:
    story.luc.registry.unavailable = True
    for answer in (
        story.run(environment("shop", "web")),
        story.manage("kill", "shop"),
        story.move("x", "h1"),
    ):
        assert answer.kind == "Unreachable"
        assert answer.error == "registry: the registry does not answer h1"
    assert story.survey().error == "registry: the registry does not answer h1"
    story.luc.registry.unavailable = False
    assert story.nothing_remains()
    story.started("shop", "web")


def test_an_agent_cut_off_from_the_registry_says_so_while_another_serves(story: Story) -> None:
    story.luc.registry.cut_off.add("h1")
    assert story.run(environment("shop", "web"), at="h1").kind == "Unreachable"
    story.started("shop", "web", at="h2")


def test_a_silent_host_is_named_in_the_survey_until_it_is_declared_dead(story: Story) -> None:
    story.luc.simulation.nodes["h3"].stall(2.5)
    survey = story.survey()
    assert (sorted(survey.snapshots), survey.silent) == (["h1", "h2"], ("h3",))
    story.luc.fleet.crash_host("h3")
    story.pass_time(15.0)
    assert story.survey().silent == ()


def test_a_ve_of_no_vms_is_refused(story: Story) -> None:
    answer = story.run(environment("shop"))
    assert answer.kind == InputError.__name__
    assert answer.error == "shop has no VM"
    assert story.nothing_remains()
