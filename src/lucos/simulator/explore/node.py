"""One node of an exploration: its actors, alarms and durable state, stepped by one event at a time."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import NamedTuple, TypeVar

from lucos.actors import Actor, ActorFactory, Datagram, Message, actor_of, address, node_of
from lucos.model import Detail
from lucos.simulator.explore.forking import NOW_S, Instant

T = TypeVar("T")


class Slow(Message, frozen=True):
    """A message of the model that takes as long as it likes, whatever the timers do meanwhile."""


class Letter(NamedTuple):
    """A message on its way to an actor of the node it is for."""

    actor: str
    sender: str
    message: Message


class Sent(NamedTuple):
    """A letter that leaves an actor; `channel` says what orders it: letters of one channel keep their order
    unless it is `datagram` or `slow`."""

    to: str
    channel: str
    letter: Letter


class Emitted(NamedTuple):
    kind: str
    subject: str
    text: str
    data: tuple[tuple[str, str], ...]


class _NoChance:
    """Always the first and the middle: chance must not split what exploration already enumerates.

    `phase` of 0 to 1 is where in an interval this node draws, so that not all do everything at once.
    """

    def __init__(self, birth: int, phase: float) -> None:
        self._birth = birth
        self._phase = phase

    def random(self) -> float:
        return 0.5

    def uniform(self, a: float, b: float) -> float:
        return a + (b - a) * self._phase

    def randrange(self, stop: int, /) -> int:
        # Ids of calls start here: they must differ from those of the actor's predecessor.
        return self._birth % stop

    def choice(self, seq: Sequence[T], /) -> T:
        return seq[0]

    def sample(self, population: Sequence[T], /, k: int) -> list[T]:
        return list(population)[:k]

    def shuffle(self, x: list[T], /) -> None:
        pass


class Alarm:
    def __init__(self, node: ExploredNode, actor: str, due_s: Instant, message: Message) -> None:
        self._node = node
        self.actor = actor
        self.due_s = due_s
        self.message = message

    def cancel(self) -> None:
        if self in self._node.alarms:
            self._node.alarms.remove(self)


class ExploredWorld:
    """World of one actor instance; deaf once that instance is gone."""

    def __init__(self, host: ExploredNode, name: str) -> None:
        self.node = host.name
        self.name = name
        self._host = host
        host.births += 1
        self.random = _NoChance(host.births, host.phase)

    def now_s(self) -> float:
        return Instant(NOW_S)

    def send(self, to: str, message: Message) -> None:
        self._host.post(self.name, to, message)

    def after(self, delay_s: float, message: Message) -> Alarm:
        alarm = Alarm(self._host, self.name, Instant(NOW_S + max(delay_s, 0.0)), message)
        self._host.alarms.append(alarm)
        return alarm

    def spawn(self, name: str, factory: ActorFactory) -> None:
        self._host.spawn(name, factory)

    def emit(self, kind: str, subject: str, text: str, **data: Detail) -> None:
        pairs = tuple((name, str(value)) for name, value in data.items())
        self._host.emitted.append(Emitted(kind, subject, text, pairs))

    def load(self) -> bytes | None:
        return self._host.durable.get(self.name)

    def save(self, state: bytes) -> None:
        self._host.durable[self.name] = state


class ExploredNode:
    """`hardware` names the actors that outlive a crash of the agent. What actors of one node send each other
    is handled before anything else happens."""

    def __init__(self, name: str, phase: float) -> None:
        self.name = name
        self.phase = phase
        self.up = False
        self.births = 0
        self.hardware: tuple[str, ...] = ()
        self.durable: dict[str, bytes] = {}
        self.actors: dict[str, Actor] = {}
        self.alarms: list[Alarm] = []
        self.sent: list[Sent] = []
        self.emitted: list[Emitted] = []
        self._mail: deque[Letter] = deque()

    def spawn(self, name: str, factory: ActorFactory) -> None:
        self.actors[name] = factory(ExploredWorld(self, name))

    def post(self, source: str, to: str, message: Message) -> None:
        sender = address(self.name, source)
        target = node_of(to) if "/" in to else self.name
        if target.startswith("@"):
            target = target[1:].partition(":")[0]
        letter = Letter(actor_of(to) or to, sender, message)
        if isinstance(message, Slow):
            self.sent.append(Sent(target, "slow", letter))
        elif target != self.name:
            channel = "datagram" if isinstance(message, Datagram) else "stream"
            self.sent.append(Sent(target, channel, letter))
        else:
            self._mail.append(letter)

    def deliver(self, letter: Letter) -> None:
        """Let the actor handle the letter, and what follows on this node at once."""
        self._mail.append(letter)
        self.settle()

    def settle(self) -> None:
        while self._mail:
            actor, sender, message = self._mail.popleft()
            if actor in self.actors:
                self.actors[actor].receive(message, sender)

    def next_alarm(self) -> Alarm | None:
        """The one due first; of those due together the one set first."""
        return min(self.alarms, key=lambda alarm: alarm.due_s, default=None)

    def fire(self) -> Alarm:
        """Let the next alarm ring, which is due now."""
        alarm = self.next_alarm()
        assert alarm is not None
        self.alarms.remove(alarm)
        self.deliver(Letter(alarm.actor, address(self.name, alarm.actor), alarm.message))
        return alarm

    def crash(self) -> None:
        """The agent's process dies: its actors, timers and what they had not handled."""
        self.up = False
        self.alarms = [alarm for alarm in self.alarms if alarm.actor in self.hardware]
        self.actors = {name: actor for name, actor in self.actors.items() if name in self.hardware}
