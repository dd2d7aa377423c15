"""The simulated world: a heap of events, virtual time, one seed. The same seed repeats a run bit for bit.

A `Simulation` holds nodes; a node holds actors, what they made durable (it survives crashes of the agent),
and whether its agent is up or stalled. `observers` see every delivery, `listeners` every emitted event;
`after_each` callbacks run after each simulated event, which is where laws are checked. Nothing is done for
what is idle: the cost of a run is that of its messages and timers.
"""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Callable
from functools import cached_property
from random import Random

from lucos.actors.message import Datagram, Message, actor_of, address, encode_frame, node_of
from lucos.actors.simulated.network import Network
from lucos.actors.supervision import Decision, Supervisor
from lucos.actors.world import Actor, ActorFactory, Timer
from lucos.actors.world import Random as WorldRandom
from lucos.model import Detail, Event

HERE = "."


class Scheduled:
    """A callback in the heap; cancelling leaves it there, inert."""

    __slots__ = ("callback", "cancelled", "node")

    def __init__(self, callback: Callable[[], None], node: SimulatedNode | None) -> None:
        self.callback = callback
        self.node = node
        self.cancelled = False

    def cancel(self) -> None:
        self.cancelled = True


class _Cell:
    """A living actor with its supervisor; replaced as a whole when the actor restarts."""

    __slots__ = ("actor", "alive", "children", "factory", "parent", "supervisor", "world")

    def __init__(self, factory: ActorFactory, parent: str) -> None:
        self.factory = factory
        self.parent = parent
        self.children: list[str] = []
        self.supervisor = Supervisor()
        self.alive = False
        self.actor: Actor
        self.world: SimulatedWorld


class SimulatedWorld:
    """World of one actor instance; deaf once that instance is gone."""

    def __init__(self, host: SimulatedNode, name: str) -> None:
        self.node = host.name
        self.name = name
        self._host = host
        self._simulation = host.simulation
        self._generation = host.generation
        host.births += 1
        self._birth = host.births
        self._address = address(host.name, name)
        self.live = True

    @cached_property
    def random(self) -> WorldRandom:
        # Made when it is first used: with ten thousand nodes most streams never are.
        return Random(f"{self._simulation.seed}/{self.node}/{self.name}/{self._birth}")

    def now_s(self) -> float:
        return self._simulation.now_s

    def send(self, to: str, message: Message) -> None:
        if self.live:
            self._simulation.transmit(self.node, self.name, to, message)

    def after(self, delay_s: float, message: Message) -> Timer:
        def fire() -> None:
            if self.live:
                self._host.deliver(self.name, self._address, message)

        return self._simulation.schedule(delay_s, fire, node=self._host)

    def spawn(self, name: str, factory: ActorFactory) -> None:
        self._host.spawn(name, factory, parent=self.name)

    def emit(self, kind: str, subject: str, text: str, **data: Detail) -> None:
        self._simulation.record(Event(self._simulation.now_s, self.node, kind, subject, text, dict(data)))

    def load(self) -> bytes | None:
        return self._host.durable.get(self.name)

    def save(self, state: bytes) -> None:
        self._host.durable[self.name] = state


class SimulatedNode:
    """One host's agent. `boot` spawns its actors; it runs again after each restart of the agent."""

    def __init__(self, simulation: Simulation, name: str, boot: Callable[[SimulatedNode], None]) -> None:
        self.simulation = simulation
        self.name = name
        self.boot = boot
        self.up = False
        self.generation = 0
        self.births = 0
        self.stalled_until_s = 0.0
        self.durable: dict[str, bytes] = {}
        self._cells: dict[str, _Cell] = {}

    def start(self) -> None:
        """Start the agent (again)."""
        if not self.up:
            self.up = True
            self.generation += 1
            self.boot(self)

    def crash(self) -> None:
        """The agent's process dies: actors, timers and messages on their way to it are gone."""
        self.up = False
        self.stalled_until_s = 0.0
        for cell in self._cells.values():
            cell.alive = cell.world.live = False
        self._cells.clear()

    def stall(self, duration_s: float) -> None:
        """The agent's process stops for a while (SIGSTOP, starvation): everything waits, nothing is lost."""
        self.stalled_until_s = max(self.stalled_until_s, self.simulation.now_s + duration_s)

    def actor(self, name: str) -> Actor | None:
        """For checkers and tests: the live instance."""
        cell = self._cells.get(name)
        return cell.actor if cell and cell.alive else None

    def spawn(self, name: str, factory: ActorFactory, parent: str = "") -> None:
        cell = self._cells[name] = _Cell(factory, parent)
        if parent in self._cells:
            self._cells[parent].children.append(name)
        self._bring_up(name, cell)

    def _bring_up(self, name: str, cell: _Cell) -> None:
        cell.world = SimulatedWorld(self, name)
        cell.actor = cell.factory(cell.world)
        cell.alive = True

    def deliver(self, name: str, sender: str, message: Message) -> None:
        cell = self._cells.get(name)
        if cell is None or not cell.alive:
            return
        if self.simulation.observers:
            self.simulation.observe(self.name, name, sender, message)
        try:
            cell.actor.receive(message, sender)
        except Exception as error:
            self._failed(name, error)

    def _failed(self, name: str, error: Exception) -> None:
        cell = self._cells[name]
        self.simulation.failures.append((self.name, name, error))
        decision = cell.supervisor.decide(error, self.simulation.now_s)
        self.simulation.record(
            Event(
                self.simulation.now_s,
                self.name,
                f"actor.{decision}",
                name,
                f"{type(error).__name__}: {error}",
            )
        )
        if decision is Decision.RESTART:
            self._stop(name)
            self._bring_up(name, cell)
        elif decision is Decision.ESCALATE:
            if cell.parent in self._cells:
                self._failed(cell.parent, error)
            else:
                self.crash()

    def _stop(self, name: str) -> None:
        cell = self._cells[name]
        cell.alive = cell.world.live = False
        for child in cell.children:
            if child in self._cells:
                self._stop(child)
                del self._cells[child]
        cell.children = []


class Simulation:
    """`keep_events` keeps what actors emit in `events`. Counted are messages between nodes and, with
    `count_bytes`, the frames that the real transport would send for them.
    """

    def __init__(
        self,
        seed: int,
        network: Network | None = None,
        *,
        keep_events: bool = True,
        count_bytes: bool = False,
    ) -> None:
        self.seed = seed
        self.keep_events = keep_events
        self.count_bytes = count_bytes
        self.messages_sent = 0
        self.bytes_sent = 0
        self.listeners: list[Callable[[Event], None]] = []
        self.random = Random(f"{seed}/simulation")
        self.network = network or Network()
        self.now_s = 0.0
        self.events: list[Event] = []
        self.events_processed = 0
        self.failures: list[tuple[str, str, Exception]] = []
        self.nodes: dict[str, SimulatedNode] = {}
        self.after_each: list[Callable[[], None]] = []
        self.observers: list[Callable[[float, str, str, Message], None]] = []
        self._heap: list[tuple[float, int, Scheduled]] = []
        self._places: dict[str, tuple[str, str]] = {}
        self._held: dict[tuple[str, str], deque[tuple[float, int, str, str, Message]]] = {}
        self._sequence = 0

    def add_node(self, name: str, boot: Callable[[SimulatedNode], None], site: str = "") -> SimulatedNode:
        self.network.place(name, site)
        node = self.nodes[name] = SimulatedNode(self, name, boot)
        return node

    def schedule(
        self, delay_s: float, callback: Callable[[], None], node: SimulatedNode | None = None
    ) -> Scheduled:
        """Run `callback` after `delay_s`; with `node`, not while that node is stalled."""
        self._sequence += 1
        entry = Scheduled(callback, node)
        heapq.heappush(self._heap, (self.now_s + max(delay_s, 0.0), self._sequence, entry))
        return entry

    def transmit(self, source: str, actor: str, to: str, message: Message) -> None:
        """Carry a message from an actor to `node/actor`, `@node:port/actor` or a local `actor`."""
        sender = f"{source}/{actor}"
        target, name = self._places.get(to) or self._place(to)
        node = self.nodes.get(source if target is HERE else target)
        if node is None:
            return
        if node.name == source:
            self._arrive(node, 0.0, name, sender, message)
            return
        target = node.name
        self.messages_sent += 1
        if self.count_bytes:
            self.bytes_sent += len(encode_frame(to, sender, message))
        cut = self.network.is_cut(source, target)
        if isinstance(message, Datagram):
            if not cut and self.random.random() >= self.network.loss:
                delay_s = self.network.one_way_s(source, target, self.random)
                self._arrive(node, delay_s, name, sender, message)
            return
        held = self._held.setdefault((source, target), deque())
        if held or (cut and self.random.random() < 0.5):
            if not held:
                self.schedule(0.5, lambda: self._pump(source, node))
            until_s = self.now_s + self.network.hold_s
            held.append((until_s, node.generation, name, sender, message))
        elif not cut:
            self._stream(source, node, name, sender, message)

    def _place(self, to: str) -> tuple[str, str]:
        """(node, actor) that an address speaks of; the node is `HERE` for an actor of the sender's own."""
        target, name = (node_of(to), actor_of(to)) if "/" in to else (HERE, to)
        if target.startswith("@"):
            target = target[1:].partition(":")[0]
        self._places[to] = target, name
        return target, name

    def _stream(self, source: str, node: SimulatedNode, name: str, sender: str, message: Message) -> None:
        at_s = self.network.stream_arrival_s(source, node.name, self.now_s, self.random)
        self._arrive(node, at_s - self.now_s, name, sender, message)

    def _pump(self, source: str, node: SimulatedNode) -> None:
        # A stream that recovers: at each retransmission interval, send on in order what is not too old.
        held = self._held[source, node.name]
        # What is too old, or was for a process that has died since, is lost.
        while held and (held[0][0] < self.now_s or held[0][1] != node.generation):
            held.popleft()
        if not self.network.is_cut(source, node.name):
            while held:
                self._stream(source, node, *held.popleft()[2:])
        if held:
            self.schedule(0.5, lambda: self._pump(source, node))

    def _arrive(self, node: SimulatedNode, delay_s: float, name: str, sender: str, message: Message) -> None:
        generation = node.generation

        def arrive() -> None:
            # Bytes for a process that died are not delivered to its successor.
            if node.up and node.generation == generation:
                node.deliver(name, sender, message)

        self.schedule(delay_s, arrive, node=node)

    def observe(self, node: str, name: str, sender: str, message: Message) -> None:
        for observer in self.observers:
            observer(self.now_s, address(node, name), sender, message)

    def record(self, event: Event) -> None:
        if self.keep_events:
            self.events.append(event)
        for listener in self.listeners:
            listener(event)

    def run(
        self,
        until_s: float,
        *,
        stop: Callable[[], bool] | None = None,
        events_max: int = 50_000_000,
    ) -> bool:
        """Process events up to `until_s` of virtual time; True as soon as `stop()` holds."""
        if stop is not None and stop():
            return True
        budget = events_max
        while self._heap and self._heap[0][0] <= until_s:
            at_s, _, entry = heapq.heappop(self._heap)
            if entry.cancelled:
                continue
            if at_s > self.now_s:
                self.now_s = at_s
            node = entry.node
            if node is not None and node.stalled_until_s > self.now_s:
                self._sequence += 1
                heapq.heappush(self._heap, (node.stalled_until_s, self._sequence, entry))
                continue
            entry.callback()
            self.events_processed += 1
            for check in self.after_each:
                check()
            if stop is not None and stop():
                return True
            budget -= 1
            if budget <= 0:
                raise RuntimeError(f"more than {events_max} events before {until_s} s (seed {self.seed})")
        self.now_s = max(self.now_s, until_s)
        return stop() if stop is not None else False
