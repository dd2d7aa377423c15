"""Actors on one asyncio loop: mailboxes, timers, supervision, and ports at the edge."""

from __future__ import annotations

import asyncio
import random
import time
from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass, field
from logging import Logger
from pathlib import Path
from typing import Protocol

from lucos.actors.message import Datagram, Message, actor_of, address
from lucos.actors.real.store import ActorStore
from lucos.actors.supervision import Decision, Supervisor
from lucos.actors.world import ActorFactory, Random, Timer
from lucos.errors import Unreachable
from lucos.model import Detail, Event

MAILBOX_MESSAGES_MAX = 10_000
TURN_S = 0.005

Handler = Callable[[Message, str], None]
Tap = Callable[[str, str, Message], None]


class Carrier(Protocol):
    """What takes messages to other nodes: `GrpcTransport`, `SealedDatagrams`."""

    def send(self, to: str, sender: str, message: Message) -> None:
        """Take `message` from address `sender` to address `to`, or drop and count it; never raises."""


class _World:
    """The view of one incarnation of an actor; a restart makes another one."""

    def __init__(self, runtime: RealRuntime, cell: _Cell, stream: Random) -> None:
        self.node = runtime.node
        self.name = cell.name
        self.random = stream
        self.ended = False
        self._runtime = runtime
        self._cell = cell
        self._address = address(self.node, self.name)

    def now_s(self) -> float:
        return self._runtime.loop.time()

    def send(self, to: str, message: Message) -> None:
        self._runtime.route(to, self._address, message)

    def after(self, delay_s: float, message: Message) -> Timer:
        timer = _Timer(self)

        def fire() -> None:
            self._runtime.enqueue(self._cell, message, self._address, timer)

        timer.handle = self._runtime.loop.call_later(delay_s, fire)
        return timer

    def spawn(self, name: str, factory: ActorFactory) -> None:
        self._runtime.spawn(name, factory, parent=self.name)

    def emit(self, kind: str, subject: str, text: str, **data: Detail) -> None:
        self._runtime.emit(kind, subject, text, data)

    def load(self) -> bytes | None:
        return self._runtime.store.load(self.name)

    def save(self, state: bytes) -> None:
        self._runtime.store.save(self.name, state)


class _Timer:
    """A timer whose message may already wait in the mailbox: `void` then stops it there."""

    def __init__(self, world: _World) -> None:
        self._world = world
        self._cancelled = False
        self.handle: asyncio.TimerHandle | None = None

    @property
    def void(self) -> bool:
        return self._cancelled or self._world.ended

    def cancel(self) -> None:
        self._cancelled = True
        if self.handle is not None:
            self.handle.cancel()


@dataclass(eq=False)
class _Cell:
    """A named place of the node: an actor (it has a factory), a port, or the end of an `ask`.

    It is among the ready ones exactly while its mailbox holds something.
    """

    name: str
    factory: ActorFactory | None = None
    parent: _Cell | None = None
    children: list[_Cell] = field(default_factory=list)
    supervisor: Supervisor = field(default_factory=Supervisor)
    world: _World | None = None
    mailbox: deque[tuple[Message, str, _Timer | None]] = field(default_factory=deque)
    handle: Handler = field(init=False)


class RealRuntime:
    """Hosts the actors of `node`. Make it inside a running loop and use it from that loop's thread only.

    Messages to this node go through bounded mailboxes served in turn, one message at a time, so a send is
    never a call. Others go to `datagrams` or to `transport`, whose arrivals come back through `arrive`.
    `on_event` gets every event of the actors; `on_fatal(actor, error)` a failure that reached the top.
    """

    def __init__(
        self,
        node: str,
        *,
        state_dir: Path,
        transport: Carrier,
        datagrams: Carrier,
        on_event: Callable[[Event], None],
        on_fatal: Callable[[str, BaseException], None],
        log: Logger,
        seed: int | None = None,
    ) -> None:
        self.node = node
        self.loop = asyncio.get_running_loop()
        self.store = ActorStore(state_dir / "actors")
        self.dropped: Counter[str] = Counter()
        self._transport = transport
        self._datagrams = datagrams
        self._on_event = on_event
        self._on_fatal = on_fatal
        self._log = log
        self._random = random.Random(seed)
        self._last_call_id = self._random.getrandbits(47)
        self._cells: dict[str, _Cell] = {}
        self._ready: deque[_Cell] = deque()
        self._turn_planned = False
        self._taps: list[Tap] = []

    # --- what lives here ------------------------------------------------------------------------

    def spawn(self, name: str, factory: ActorFactory, *, parent: str | None = None) -> None:
        """Start an actor; what its factory raises reaches the caller."""
        above = self._cells[parent] if parent is not None else None
        cell = self._add(_Cell(name, factory, above))
        if above is not None:
            above.children.append(cell)
        try:
            self._start(cell)
        except Exception:
            self._stop(cell)
            raise

    def register_port(self, name: str, handler: Handler) -> None:
        """Let `handler(message, sender)` receive what is sent to `name`; it answers through `deliver`."""
        self._add(_Cell(name)).handle = handler

    def tap(self, watch: Tap) -> None:
        """Call `watch(name, sender, message)` before each delivery on this node."""
        self._taps.append(watch)

    def close(self) -> None:
        """Stop all actors; nothing is delivered any more."""
        for cell in list(self._cells.values()):
            self._stop(cell)

    def _add(self, cell: _Cell) -> _Cell:
        if self._cells.setdefault(cell.name, cell) is not cell:
            raise ValueError(f"{self.node} already has an actor or port named {cell.name}")
        return cell

    # --- messages -------------------------------------------------------------------------------

    def arrive(self, to: str, sender: str, message: Message) -> None:
        """A message came from another node for the address `to` of this one."""
        self._post(actor_of(to), message, sender)

    def deliver(self, to: str, message: Message, sender: str) -> None:
        """Send as the port `sender`, to an address or to an actor of this node."""
        self.route(to, address(self.node, sender), message)

    async def ask(self, to: str, question: Callable[[int], Message], timeout_s: float) -> Message:
        """The answer to `question(call_id)`; raises `Unreachable` after `timeout_s`."""
        self._last_call_id += 1
        call_id = self._last_call_id
        answer: asyncio.Future[Message] = self.loop.create_future()

        def settle(message: Message, _: str) -> None:
            if getattr(message, "call_id", None) == call_id and not answer.done():
                answer.set_result(message)

        cell = self._add(_Cell(f"ask-{call_id}"))
        cell.handle = settle
        try:
            self.deliver(to, question(call_id), cell.name)
            return await asyncio.wait_for(answer, timeout_s)
        except TimeoutError:
            raise Unreachable(
                f"{to} did not answer within {timeout_s:g} s", hint="luc node ls shows which hosts are alive"
            ) from None
        finally:
            self._stop(cell)

    def route(self, to: str, sender: str, message: Message) -> None:
        """Send from one address to another."""
        node, slash, actor = to.partition("/")
        if not slash:
            self._post(to, message, sender)
        elif node == self.node:
            self._post(actor, message, sender)
        elif isinstance(message, Datagram):
            self._datagrams.send(to, sender, message)
        else:
            self._transport.send(to, sender, message)

    def emit(self, kind: str, subject: str, text: str, data: dict[str, Detail]) -> None:
        self._on_event(Event(time.time(), self.node, kind, subject, text, data))

    def _post(self, name: str, message: Message, sender: str) -> None:
        cell = self._cells.get(name)
        if cell is None:
            self.dropped["no such actor"] += 1
            self._log.debug("no actor %s for %s from %s", name, type(message).__name__, sender)
        elif len(cell.mailbox) >= MAILBOX_MESSAGES_MAX:
            if not self.dropped["mailbox full"]:
                self._log.warning("the mailbox of %s is full; messages to it are dropped", name)
            self.dropped["mailbox full"] += 1
        else:
            self.enqueue(cell, message, sender)

    def enqueue(self, cell: _Cell, message: Message, sender: str, timer: _Timer | None = None) -> None:
        """Put a message in a mailbox; timers pass its bound, for a lost one would stall the actor."""
        if not cell.mailbox:
            self._ready.append(cell)
        cell.mailbox.append((message, sender, timer))
        self._plan_turn()

    def _plan_turn(self) -> None:
        if self._ready and not self._turn_planned:
            self._turn_planned = True
            self.loop.call_soon(self._turn)

    def _turn(self) -> None:
        """Serve the mailboxes in rotation, then let the loop see to sockets and timers."""
        until_s = self.loop.time() + TURN_S
        try:
            while self._ready:
                self._serve(self._ready.popleft())
                if self.loop.time() >= until_s:
                    break
        finally:
            self._turn_planned = False
            self._plan_turn()

    def _serve(self, cell: _Cell) -> None:
        """Let `cell` handle its next message; it has none when it was stopped meanwhile."""
        if not cell.mailbox:
            return
        message, sender, timer = cell.mailbox.popleft()
        if cell.mailbox:
            self._ready.append(cell)
        if timer is not None and timer.void:
            return
        for watch in self._taps:
            watch(cell.name, sender, message)
        try:
            cell.handle(message, sender)
        except Exception as error:
            self._log.exception("%s failed on %s from %s", cell.name, type(message).__name__, sender)
            if cell.factory is not None:
                self._failed(cell, error)

    # --- supervision ----------------------------------------------------------------------------

    def _start(self, cell: _Cell) -> None:
        assert cell.factory is not None
        # A new stream each time: a restarted actor must not draw the call ids of its predecessor again.
        cell.world = _World(self, cell, random.Random(self._random.getrandbits(64)))
        cell.handle = cell.factory(cell.world).receive

    def _failed(self, cell: _Cell, error: Exception) -> None:
        """Do what the supervisor decides, going up as long as it escalates."""
        decision = self._decide(cell, error)
        while decision is Decision.RESTART:
            self._end(cell)
            try:
                self._start(cell)
                return
            except Exception as again:
                self._log.exception("%s failed to restart", cell.name)
                self._end(cell)
                error = again
                decision = self._decide(cell, error)
        if decision is Decision.RESUME and cell.world and not cell.world.ended:
            return
        self._stop(cell)
        if cell.parent is not None:
            self._failed(cell.parent, error)
        else:
            self._on_fatal(cell.name, error)

    def _decide(self, cell: _Cell, error: Exception) -> Decision:
        decision = cell.supervisor.decide(error, self.loop.time())
        self.emit(f"actor.{decision}", cell.name, f"{type(error).__name__}: {error}", {})
        return decision

    def _end(self, cell: _Cell) -> None:
        """End an incarnation: its timers become void, its children go."""
        if cell.world is not None:
            cell.world.ended = True
        for child in list(cell.children):
            self._stop(child)

    def _stop(self, cell: _Cell) -> None:
        self._end(cell)
        cell.mailbox.clear()
        self._cells.pop(cell.name, None)
        if cell.parent is not None and cell in cell.parent.children:
            cell.parent.children.remove(cell)
