"""The queue when things go wrong: its leader dies in mid-switch, VMs and hosts die, vjobs are cancelled."""

from __future__ import annotations

import pytest
from queue_stories import QueueLuc

LONG = ((100.0, 150.0),)
GIVES_WAY = ((100.0, 5.0), (0.0, 60.0), (100.0, 100.0))


def contended() -> QueueLuc:
    """`early` computes a little, waits, and then wants all there is; `late` runs meanwhile."""
    story = QueueLuc(3)
    story.submit("early", *[GIVES_WAY] * 6)
    story.submit("late", *[LONG] * 4)
    return story


@pytest.mark.parametrize("delay_s", [0.0, 1.0, 2.5])
@pytest.mark.parametrize("kind", ["vjob.started", "vjob.suspended", "vjob.resumed"])
def test_the_leaders_agent_dies_in_mid_switch(kind: str, delay_s: float) -> None:
    """Another leads on, from what is true by then; everything ends, and nothing runs twice."""
    story = contended()
    story.until_event(kind, "late")
    story.pass_time(delay_s)
    (leader,) = story.leaders()
    story.simulation.nodes[leader].crash()
    story.until(lambda: bool(story.leaders()), 60.0)
    assert story.leaders() != [leader]
    story.pass_time(20.0)
    story.simulation.nodes[leader].start()
    for name in ("early", "late"):
        story.until_event("vjob.finished", name, 1500.0)
    assert "vjob.restarted" not in story.kinds("late")
    story.check()


def test_a_leader_that_the_registry_does_not_answer_stops_before_the_next_begins() -> None:
    story = contended()
    seen: list[int] = []
    story.simulation.after_each.append(lambda: seen.append(len(story.leaders())))
    story.until_event("vjob.started", "late")
    (leader,) = story.leaders()
    story.luc.registry.cut_off = {leader}
    story.until(lambda: story.leaders() not in ([], [leader]), 60.0)
    assert max(seen) == 1
    other = next(name for name in story.luc.names if name != leader)
    for name in ("early", "late"):
        story.until_event("vjob.finished", name, 1500.0)
    assert story.states(asker=other) == {}
    story.check()


def test_a_vm_that_crashes_makes_its_vjob_begin_anew() -> None:
    story = QueueLuc(2)
    story.submit("job", *[LONG] * 2)
    story.until_running("job.a", "job.b")
    story.pass_time(20.0)
    story.luc.fleet.crash_vm("job.a")
    story.until_event("vjob.restarted", "job", 120.0)
    story.until_running("job.a", "job.b")
    story.until_event("vjob.finished", "job", 900.0)
    assert story.kinds("job") == [
        "vjob.submitted",
        "vjob.started",
        "vjob.restarted",
        "vjob.started",
        "vjob.finished",
    ]
    story.check()


def test_one_that_crashes_again_and_again_is_given_up() -> None:
    story = QueueLuc(2)
    story.submit("job", *[LONG] * 2)
    for _ in range(4):
        story.until_running("job.a", "job.b")
        story.pass_time(15.0)
        story.luc.fleet.crash_vm("job.b")
        story.pass_time(25.0)
    story.until_event("vjob.failed", "job", 120.0)
    story.until(lambda: not story.luc.fleet.running())
    story.pass_time(20.0)
    assert story.states() == {}
    story.check()


def test_nothing_is_done_with_a_vjob_whose_host_is_gone_until_it_is_back() -> None:
    """Its VMs may still run there: they are not started elsewhere. When the host is back without them, all
    begin anew."""
    story = QueueLuc(3)
    story.submit("job", *[LONG] * 3)
    story.until_running("job.a", "job.b", "job.c")
    story.pass_time(15.0)
    host = story.luc.fleet.where("job.a")
    asker = next(name for name in story.luc.names if name != host)
    story.luc.crash_host(host)
    story.pass_time(120.0)
    assert "does not answer" in story.rows(asker)["job"].why
    assert "vjob.restarted" not in story.kinds("job")
    story.luc.repair_host(host)
    story.until_event("vjob.restarted", "job", 120.0)
    story.until_event("vjob.finished", "job", 900.0)
    story.check()


def test_a_waiting_vjob_is_cancelled() -> None:
    story = QueueLuc(1)
    story.submit("first", *[LONG] * 2)
    story.submit("second", *[LONG] * 2)
    story.until_running("first.a", "first.b")
    assert story.states() == {"first": "running", "second": "waiting"}
    assert story.cancel("second").vjobs[0].state == "cancelled"
    story.until_event("vjob.finished", "first", 900.0)
    story.pass_time(20.0)
    assert story.states() == {}
    assert story.kinds("second") == ["vjob.submitted", "vjob.cancelled"]
    story.check()


def test_a_running_vjob_is_cancelled() -> None:
    story = QueueLuc(2)
    story.submit("job", *[LONG] * 3)
    story.until_running("job.a", "job.b", "job.c")
    story.cancel("job")
    story.until(lambda: not story.luc.fleet.running(), 60.0)
    story.pass_time(20.0)
    assert story.states() == {}
    story.check()


def test_a_sleeping_vjob_is_cancelled() -> None:
    story = contended()
    story.until_event("vjob.suspended", "late")
    story.until_event("switch.end")
    story.until(lambda: len(story.luc.fleet.asleep()) == 4, 60.0)
    story.cancel("late")
    story.until(lambda: not story.luc.fleet.asleep(), 60.0)
    story.until_event("vjob.finished", "early", 900.0)
    story.pass_time(20.0)
    assert story.states() == {}
    assert "vjob.resumed" not in story.kinds("late")
    story.check()


def test_a_vjob_cancelled_in_mid_switch_leaves_nothing() -> None:
    story = contended()
    story.until_event("vjob.suspended", "late")
    story.cancel("late")
    story.until_event("vjob.finished", "early", 900.0)
    story.pass_time(30.0)
    assert story.states() == {}
    assert not story.luc.fleet.running()
    assert not story.luc.fleet.asleep()
    story.check()
