"""The event log of a node: bounded in memory and on disk, and followed from any other node."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from pathlib import Path

import msgspec

from lucos.actors import Message, address
from lucos.model import Event

EVENTS = "events"
EVENTS_KEPT = 5_000
FILE_BYTES_MAX = 8 * 1024 * 1024
FOLLOWER_EVENTS_MAX = 2_000
FOLLOW_LEASE_S = 10.0


class QueryEvents(Message, frozen=True):
    """Ask for the latest `limit` events since `since_s` (Unix time); answered by `Events`."""

    call_id: int
    since_s: float
    limit: int


class Events(Message, frozen=True):
    call_id: int
    events: tuple[Event, ...]


class FollowEvents(Message, frozen=True):
    """Push new events to the sender for `FOLLOW_LEASE_S`."""


class EventsPushed(Message, frozen=True):
    events: tuple[Event, ...]


class EventLog:
    """Port `events`: records this node's events, answers queries, pushes to followers here and elsewhere."""

    def __init__(
        self, node: str, file: Path, send: Callable[[str, Message], None], now_s: Callable[[], float]
    ) -> None:
        self._node = node
        self._file = file
        self._send = send
        self._now_s = now_s
        self._events: deque[Event] = deque(maxlen=EVENTS_KEPT)
        self._followers: dict[str, float] = {}
        self._queues: set[asyncio.Queue[Event]] = set()
        self._load()

    def _load(self) -> None:
        """Events of earlier runs of the agent; a line cut short by a crash is passed over."""
        for path in (self._file.with_suffix(".1"), self._file):
            if path.exists():
                for line in path.read_bytes().splitlines()[-EVENTS_KEPT:]:
                    try:
                        self._events.append(msgspec.json.decode(line, type=Event))
                    except msgspec.MsgspecError:
                        continue

    def record(self, event: Event) -> None:
        self._events.append(event)
        self._write(event)
        self._offer(event)
        now_s = self._now_s()
        self._followers = {to: until for to, until in self._followers.items() if until > now_s}
        for to in self._followers:
            self._send(to, EventsPushed((event,)))

    def _write(self, event: Event) -> None:
        # Plain appends: the log is for people, and a full disk must not stop the agent.
        try:
            if self._file.exists() and self._file.stat().st_size > FILE_BYTES_MAX:
                self._file.replace(self._file.with_suffix(".1"))
            with self._file.open("ab") as file:
                file.write(msgspec.json.encode(event) + b"\n")
        except OSError:
            pass

    def _offer(self, event: Event) -> None:
        for queue in self._queues:
            if not queue.full():
                queue.put_nowait(event)

    def receive(self, message: Message, sender: str) -> None:
        match message:
            case QueryEvents(call_id=call_id, since_s=since_s, limit=limit):
                self._send(sender, Events(call_id, tuple(self.since(since_s, limit))))
            case FollowEvents():
                self._followers[sender] = self._now_s() + FOLLOW_LEASE_S
            case EventsPushed(events=events):
                for event in events:
                    self._offer(event)

    def since(self, since_s: float, limit: int) -> list[Event]:
        """The latest `limit` events at or after `since_s`, oldest first."""
        found = [e for e in self._events if e.time_s >= since_s]
        return found[-limit:] if limit > 0 else []

    def follow(self) -> asyncio.Queue[Event]:
        """A queue of all events from now on, of this node and of those that were asked to push."""
        queue: asyncio.Queue[Event] = asyncio.Queue(FOLLOWER_EVENTS_MAX)
        self._queues.add(queue)
        return queue

    def unfollow(self, queue: asyncio.Queue[Event]) -> None:
        self._queues.discard(queue)

    def ask_peers(self, peers: list[str]) -> None:
        """Ask (again) the nodes `peers` to push their events here, if anybody follows."""
        for peer in peers if self._queues else ():
            if peer != self._node:
                self._send(address(peer, EVENTS), FollowEvents())
