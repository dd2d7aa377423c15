"""A client in the simulated world: asks the actors of a node and waits for their answers in virtual time."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from lucos.actors import Actor, Message, World
from lucos.simulator import SimulatedLuc

CLIENT = "client"


class _Ear(Actor):
    def __init__(self, world: World, answers: dict[int, Any]) -> None:
        super().__init__(world)
        self._answers = answers

    def receive(self, message: Message, sender: str) -> None:
        self._answers[message.call_id] = message  # type: ignore[attr-defined]


class Client:
    """Questions are callables that take a call id, as those of `Calls.ask`."""

    def __init__(self, luc: SimulatedLuc) -> None:
        self._luc = luc
        self._answers: dict[int, Any] = {}
        self._last = 0

    def tell(self, node: str, actor: str, question: Callable[[int], Message]) -> int:
        """Send the question from `node` to `actor` (there, or `node/actor`); the call to wait for."""
        simulation = self._luc.simulation
        if simulation.nodes[node].actor(CLIENT) is None:
            simulation.nodes[node].spawn(CLIENT, lambda world: _Ear(world, self._answers))
        self._last += 1
        simulation.transmit(node, CLIENT, actor, question(self._last))
        return self._last

    def wait(self, call: int, timeout_s: float = 400.0) -> Any:
        """The answer, which must come within `timeout_s` of virtual time."""
        simulation = self._luc.simulation
        came = simulation.run(simulation.now_s + timeout_s, stop=lambda: call in self._answers)
        assert came, f"no answer to call {call} within {timeout_s} s"
        return self._answers[call]

    def ask(self, node: str, actor: str, question: Callable[[int], Message], timeout_s: float = 400.0) -> Any:
        return self.wait(self.tell(node, actor, question), timeout_s)
