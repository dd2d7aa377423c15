"""Asking an actor of a simulated node and waiting for its answer."""

from __future__ import annotations

from collections.abc import Callable

from clusters import Cluster

from lucos.actors import Actor, Calls, Message, World
from lucos.overlay import MEMBERSHIP


class Asker(Actor):
    """Puts one question; `answer` is what came, None at the deadline."""

    def __init__(self, world: World, to: str, question: Callable[[int], Message], timeout_s: float) -> None:
        super().__init__(world)
        self.answer: Message | None = None
        self.settled = False
        self._calls = Calls(world)
        self._calls.ask(to, question, timeout_s, self._answered)

    def _answered(self, answer: Message | None) -> None:
        self.answer, self.settled = answer, True

    def receive(self, message: Message, sender: str) -> None:
        self._calls.settle(message)


def ask(
    cluster: Cluster,
    node: str,
    question: Callable[[int], Message],
    to: str = MEMBERSHIP,
    timeout_s: float = 15.0,
) -> Message | None:
    """Put `question(call_id)` to an actor of `node`; its answer."""
    simulation = cluster.simulation
    simulation.nodes[node].spawn("asker", lambda world: Asker(world, to, question, timeout_s))
    asker = simulation.nodes[node].actor("asker")
    assert isinstance(asker, Asker)
    simulation.run(simulation.now_s + timeout_s + 1.0, stop=lambda: asker.settled)
    assert not simulation.failures, simulation.failures
    return asker.answer
