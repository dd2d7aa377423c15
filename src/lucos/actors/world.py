"""What an actor is and what it may do.

An actor has private state and one entry, `receive`. It acts only through its `World`; it never blocks, and
never touches a clock, a socket, a file or the `random` module. The same class runs in the real world
(`actors.real`) and in the simulated one (`actors.simulated`). Ports (hypervisor, registry) are actors too,
at the edge of the world: a call is a message, its answer another (see `actors.ports`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol, TypeVar

from lucos.actors.message import Message
from lucos.model import Detail

T = TypeVar("T")


class Random(Protocol):
    """The part of `random.Random` that actors may use; each actor has its own seeded stream."""

    def random(self) -> float: ...
    def uniform(self, a: float, b: float) -> float: ...
    def randrange(self, stop: int, /) -> int: ...
    def choice(self, seq: Sequence[T], /) -> T: ...
    def sample(self, population: Sequence[T], /, k: int) -> list[T]: ...
    def shuffle(self, x: list[T], /) -> None: ...


class Timer(Protocol):
    """A message to oneself that has not arrived yet."""

    def cancel(self) -> None:
        """Make sure it never arrives; harmless when it already has."""


class World(Protocol):
    """One actor's view of the world; each actor gets its own."""

    node: str
    name: str

    @property
    def random(self) -> Random:
        """This actor's own stream."""

    def now_s(self) -> float:
        """Monotonic seconds of this node."""

    def send(self, to: str, message: Message) -> None:
        """Send to `node/actor`, or to `actor` on this node. At most once, ordered per peer, possibly lost."""

    def after(self, delay_s: float, message: Message) -> Timer:
        """Deliver `message` to this actor after `delay_s`; it is lost if the actor is restarted meanwhile."""

    def spawn(self, name: str, factory: ActorFactory) -> None:
        """Start a child under this actor's supervision."""

    def emit(self, kind: str, subject: str, text: str, **data: Detail) -> None:
        """Record an event (model.Event) for people, traces and laws."""

    def load(self) -> bytes | None:
        """What this actor saved last, also after a crash of the agent; None at first."""

    def save(self, state: bytes) -> None:
        """Make `state` durable before any message sent after this call leaves the node."""


class Actor:
    """Base of all actors. Start-up work belongs in `__init__`: it runs again after each restart."""

    def __init__(self, world: World) -> None:
        self.world = world

    def receive(self, message: Message, sender: str) -> None:
        """Handle one message. An exception escapes to the supervisor, which decides by its cause."""
        raise NotImplementedError


ActorFactory = Callable[[World], Actor]
