"""The queue at work, as text: who begins, who gives way, who comes back, and what is done to the VMs."""

from __future__ import annotations

from pathlib import Path

from queue_stories import QueueLuc

from lucos.resources.queue import PolicySettings, QueueSettings
from support.transcript import check_transcript

STORIES = Path(__file__).parent / "stories"

BUSY = ((100.0, 60.0),)
IDLE_THEN_BUSY = ((0.0, 60.0), (100.0, 60.0))


def test_a_vjob_gives_way_and_comes_back() -> None:
    """`late` runs while `early` waits for something, is suspended when it computes, and goes on after it."""
    story = QueueLuc(2)
    story.submit("early", *[((100.0, 5.0), (0.0, 60.0), (100.0, 120.0))] * 4)
    story.submit("late", *[((100.0, 200.0),)] * 4)
    story.until_event("vjob.finished", "late", 900.0)
    assert story.kinds("late") == [
        "vjob.submitted",
        "vjob.started",
        "vjob.suspended",
        "vjob.resumed",
        "vjob.finished",
    ]
    story.check()
    check_transcript(story.told(), STORIES / "queue_gives_way.txt")


def test_fcfs_reserves_and_never_preempts() -> None:
    story = QueueLuc(2, QueueSettings(PolicySettings("fcfs"), period_s=10.0))
    story.submit("first", *[IDLE_THEN_BUSY] * 3, duration_s=150.0)
    story.submit("second", *[BUSY] * 3, duration_s=80.0)
    story.submit("third", BUSY, duration_s=80.0)
    story.until_event("vjob.finished", "third", 900.0)
    order = [e.subject for e in story.events() if e.kind in ("vjob.started", "vjob.finished")]
    assert order == ["first", "first", "second", "third", "second", "third"]
    assert not any(e.kind == "vjob.suspended" for e in story.events())
    story.check()
    check_transcript(story.told(), STORIES / "queue_fcfs.txt")


def test_a_priority_preempts_and_keeps_its_vms_apart() -> None:
    story = QueueLuc(3)
    story.submit("low", *[((100.0, 100.0),)] * 6)
    story.until_running("low.a", "low.f")
    story.pass_time(40.0)
    story.submit("high", *[((100.0, 50.0),)] * 3, spread=True, priority=1)
    story.until_running("high.a", "high.b", "high.c")
    places = story.luc.fleet.running()
    assert len({places[f"high.{letter}"][0] for letter in "abc"}) == 3
    assert story.states() == {"low": "sleeping", "high": "running"}
    story.until_event("vjob.finished", "low", 900.0)
    story.check()


def test_all_vms_of_a_vjob_stop_and_go_on_at_one_instant() -> None:
    """From the first pause on none computes until the last unpause: a distributed application sees no gap."""
    story = QueueLuc(2)
    story.submit("early", *[((100.0, 5.0), (0.0, 60.0), (100.0, 60.0))] * 4)
    story.submit("late", *[((100.0, 100.0),)] * 4)
    story.until_event("vjob.finished", "late", 900.0)
    of_late = [e for e in story.simulation.events if e.subject.startswith("late.")]
    paused_s = [e.time_s for e in of_late if e.kind == "vm.pause"]
    unpaused_s = [e.time_s for e in of_late if e.kind == "vm.unpause"]
    suspended_s = [e.time_s for e in of_late if e.kind == "vm.suspend"]
    assert len(paused_s) == 8
    assert len(suspended_s) == len(unpaused_s) == 4
    assert max(paused_s[:4]) - min(paused_s[:4]) < 0.1
    assert max(unpaused_s) - min(unpaused_s) < 0.1
    assert max(paused_s[:4]) < min(suspended_s)
    story.check()


def test_what_cannot_be_is_refused_in_words() -> None:
    story = QueueLuc(2)
    assert "has no VMs" in story.submit("empty").error
    assert story.submit("twice", BUSY).vjobs[0].state == "waiting"
    again = story.submit("twice", BUSY, asker="h2")
    assert (again.kind, again.error) == ("AlreadyExists", "a vjob called twice is in the queue already")
    unknown = story.cancel("nobody", asker="h2")
    assert (unknown.kind, unknown.error) == ("UnknownObject", "no vjob called nobody is in the queue")
    assert "cpu_pct is 0" in story.submit("lazy", BUSY, cpu_pct=0.0).error
    story.luc.registry.unavailable = True
    assert story.submit("unlucky", BUSY).kind == "Unreachable"
    assert story.cancel("twice").kind == "Unreachable"


def test_one_that_never_fits_waits_and_the_others_pass_it() -> None:
    story = QueueLuc(2, QueueSettings(PolicySettings("fcfs"), period_s=10.0))
    story.submit("huge", BUSY, memory_mib=5000)
    story.submit("small", BUSY)
    story.until_event("vjob.finished", "small")
    assert story.rows()["huge"].why == "it does not fit on these nodes even when they are empty"
    story.check()


def test_a_draining_node_is_emptied() -> None:
    story = QueueLuc(3)
    story.submit("job", *[((100.0, 200.0),)] * 2)
    story.until_running("job.a", "job.b")
    node = story.luc.fleet.running()["job.a"][0]
    story.luc.drain(node)
    story.until(lambda: all(node not in where for where in story.luc.fleet.running().values()), 120.0)
    story.until_event("vjob.finished", "job")
    story.check()


def test_vms_of_others_are_left_alone() -> None:
    story = QueueLuc(2)
    story.luc.boot("web.a", "h1", 100.0, memory_mib=3000)
    story.pass_time(30.0)
    story.submit("job", *[((100.0, 60.0),)] * 3)
    story.until_event("vjob.finished", "job", 900.0)
    assert story.luc.fleet.running() == {"web.a": ["h1"]}
    story.check()
