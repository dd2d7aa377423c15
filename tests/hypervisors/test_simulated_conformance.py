"""The simulated fleet passes the port's scenarios."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest
from conformance import SCENARIOS, Scenario

from lucos.actors import Actor, Message, World
from lucos.actors.ports import HYPERVISOR, DomainChanged, Subscribe
from lucos.actors.simulated import SimulatedNode, Simulation
from lucos.hypervisors.simulated import SimulatedFleet, SimulatedHypervisor
from lucos.model import Resources


class _Client(Actor):
    def __init__(self, world: World, hear: Callable[[Message], None]) -> None:
        super().__init__(world)
        self._hear = hear
        world.send(HYPERVISOR, Subscribe())

    def receive(self, message: Message, sender: str) -> None:
        self._hear(message)


class SimulatedDriver:
    def __init__(self) -> None:
        self._simulation = Simulation(1)
        self._fleet = SimulatedFleet(self._simulation)
        self._answers: dict[tuple[str, int], Message] = {}
        self.changes: dict[str, list[DomainChanged]] = {"h1": [], "h2": []}
        for host in self.changes:
            self._fleet.add_host(host, Resources(200.0, 4096.0))
            self._simulation.add_node(host, self._boot).start()
        self._simulation.run(0.01)

    def _boot(self, node: SimulatedNode) -> None:
        def hear(message: Message) -> None:
            if isinstance(message, DomainChanged):
                self.changes[node.name].append(message)
            else:
                self._answers[node.name, message.call_id] = message  # type: ignore[attr-defined]

        node.spawn(HYPERVISOR, lambda world: SimulatedHypervisor(world, self._fleet))
        node.spawn("client", lambda world: _Client(world, hear))

    def tell(self, host: str, message: Message) -> None:
        client = self._simulation.nodes[host].actor("client")
        assert client is not None
        client.world.send(HYPERVISOR, message)

    async def answer(self, host: str, call_id: int) -> Message:
        await self.until(lambda: (host, call_id) in self._answers, f"answer {call_id} of {host}")
        return self._answers.pop((host, call_id))

    async def until(self, condition: Callable[[], bool], what: str) -> None:
        assert self._simulation.run(self._simulation.now_s + 120.0, stop=condition), what

    def address(self, host: str) -> str:
        return host


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.__name__)
def test_conformance(scenario: Scenario) -> None:
    asyncio.run(scenario(SimulatedDriver()))  # type: ignore[arg-type]
