"""The event log: what is kept, what survives a restart or a crash, and who is told."""

from __future__ import annotations

from pathlib import Path

import pytest

from lucos.actors import Message
from lucos.agent import events
from lucos.agent.events import EventLog, Events, EventsPushed, FollowEvents, QueryEvents
from lucos.model import Event


class Desk:
    """An event log with a clock that the test sets, and what it sent."""

    def __init__(self, file: Path) -> None:
        self.now_s = 0.0
        self.sent: list[tuple[str, Message]] = []
        self.log = EventLog(
            "h1", file, lambda to, message: self.sent.append((to, message)), lambda: self.now_s
        )


def happening(number: int) -> Event:
    return Event(float(number), "h1", "vm.boot", f"ve.vm{number}", "asked to run")


def test_the_log_survives_a_restart_and_a_line_cut_short(tmp_path: Path) -> None:
    file = tmp_path / "events.jsonl"
    desk = Desk(file)
    for number in range(3):
        desk.log.record(happening(number))
    with file.open("ab") as torn:
        torn.write(b'{"time_s": 3.0, "no')
    assert [e.subject for e in Desk(file).log.since(1.0, 10)] == ["ve.vm1", "ve.vm2"]


def test_the_file_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "events.jsonl"
    monkeypatch.setattr(events, "FILE_BYTES_MAX", 1000)
    desk = Desk(file)
    for number in range(100):
        desk.log.record(happening(number))
    assert sum(path.stat().st_size for path in tmp_path.iterdir()) < 3000
    assert Desk(file).log.since(0.0, 1)[0].subject == "ve.vm99"


def test_queries_get_the_latest_and_followers_are_told_while_their_lease_lasts(tmp_path: Path) -> None:
    desk = Desk(tmp_path / "events.jsonl")
    for number in range(5):
        desk.log.record(happening(number))
    desk.log.receive(QueryEvents(7, 0.0, 2), "h2/ask")
    assert desk.sent.pop() == ("h2/ask", Events(7, (happening(3), happening(4))))
    desk.log.receive(FollowEvents(), "h2/events")
    desk.log.record(happening(5))
    assert desk.sent.pop() == ("h2/events", EventsPushed((happening(5),)))
    desk.now_s = events.FOLLOW_LEASE_S + 1
    desk.log.record(happening(6))
    assert desk.sent == []


def test_a_slow_client_loses_events_rather_than_memory(tmp_path: Path) -> None:
    desk = Desk(tmp_path / "events.jsonl")
    queue = desk.log.follow()
    for number in range(events.FOLLOWER_EVENTS_MAX + 10):
        desk.log.receive(EventsPushed((happening(number),)), "h2/events")
    assert queue.qsize() == events.FOLLOWER_EVENTS_MAX
    desk.log.unfollow(queue)
