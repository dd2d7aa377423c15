"""The simulated network keeps the promises of the Transport port, as the real one does."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest
from conformance_transport import SCENARIOS, Scenario

from lucos.actors import Actor, Message, World
from lucos.actors.simulated import SimulatedNode, Simulation


class Inbox(Actor):
    def __init__(self, world: World, got: list[tuple[str, Message]]) -> None:
        super().__init__(world)
        self._got = got

    def receive(self, message: Message, sender: str) -> None:
        self._got.append((sender, message))


class SimulatedDriver:
    """Nodes of one simulation; time passes only in `until`."""

    def __init__(self, seed: int) -> None:
        self._simulation = Simulation(seed)
        self._inboxes: dict[str, list[tuple[str, Message]]] = {}

    def _boot(self, node: SimulatedNode) -> None:
        got = self._inboxes[node.name] = []
        node.spawn("inbox", lambda world: Inbox(world, got))

    async def start(self, node: str) -> None:
        known = self._simulation.nodes.get(node)
        (known or self._simulation.add_node(node, self._boot)).start()

    async def crash(self, node: str) -> None:
        self._simulation.nodes[node].crash()

    async def cut(self, a: str, b: str) -> None:
        self._simulation.network.cut([a], [b])

    async def heal(self) -> None:
        self._simulation.network.heal()

    def bootstrap(self, node: str) -> str:
        return f"@{node}:7411"

    def send(self, node: str, to: str, message: Message) -> None:
        self._simulation.transmit(node, "mouth", to, message)

    def inbox(self, node: str) -> list[tuple[str, Message]]:
        return self._inboxes[node]

    async def until(self, holds: Callable[[], bool], timeout_s: float) -> bool:
        return self._simulation.run(self._simulation.now_s + timeout_s, stop=holds)


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda s: s.__name__)
def test_conformance(scenario: Scenario, seed: int) -> None:
    asyncio.run(scenario(SimulatedDriver(seed)))
