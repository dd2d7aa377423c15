"""The simulated registry: the port's scenarios, its delay, and outages."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any

import pytest
from conformance_registry import SCENARIOS, Scenario

from lucos.actors import Actor, Message, World
from lucos.actors.ports import REGISTRY, RegistryGet, RegistryLease, RegistryPut, RegistryReply
from lucos.actors.simulated import SimulatedNode, Simulation
from lucos.actors.simulated.registry import SimulatedRegistry, SimulatedRegistryStore


class Mailbox(Actor):
    """Keeps what it receives."""

    def __init__(self, world: World, received: list[Message]) -> None:
        super().__init__(world)
        self._received = received

    def receive(self, message: Message, sender: str) -> None:
        self._received.append(message)


class Driver:
    """Two nodes with one store; virtual time passes when somebody waits."""

    def __init__(self) -> None:
        self.simulation = Simulation(1)
        self.store = SimulatedRegistryStore()
        self._calls = 0
        for name in ("n0", "n1"):
            self.simulation.add_node(name, self._boot).start()

    def _boot(self, node: SimulatedNode) -> None:
        node.spawn(REGISTRY, lambda world: SimulatedRegistry(world, self.store))

    async def call(self, user: int, request: Message) -> RegistryReply:
        received: list[Message] = []
        self._calls += 1
        caller = f"caller-{self._calls}"
        node = self.simulation.nodes[f"n{user}"]
        node.spawn(caller, lambda world: Mailbox(world, received))
        self.simulation.transmit(node.name, caller, REGISTRY, request)
        # Other callers may ask before virtual time passes: their requests then race with this one.
        await asyncio.sleep(0)
        self.simulation.run(self.simulation.now_s + 1.0, stop=lambda: bool(received))
        (reply,) = received
        assert isinstance(reply, RegistryReply)
        return reply

    async def pass_time(self, duration_s: float) -> None:
        self.simulation.run(self.simulation.now_s + duration_s)


def run(call: Coroutine[Any, Any, RegistryReply]) -> RegistryReply:
    return asyncio.run(call)


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda s: s.__name__)
def test_conformance(scenario: Scenario) -> None:
    asyncio.run(scenario(Driver()))  # type: ignore[arg-type]


def test_an_answer_takes_its_delay() -> None:
    driver = Driver()
    driver.store.delay_s = 0.02
    assert run(driver.call(0, RegistryPut(1, "k", b"v", 0))).ok
    assert driver.simulation.now_s == pytest.approx(0.02)


def test_outages_are_errors_and_change_nothing() -> None:
    driver = Driver()
    driver.store.cut_off.add("n1")
    assert run(driver.call(0, RegistryPut(1, "k", b"v", 0))).ok
    refused = run(driver.call(1, RegistryPut(2, "k", b"w", 1)))
    assert not refused.ok
    assert "n1" in refused.error
    driver.store.unavailable = True
    assert run(driver.call(0, RegistryLease(3, "k", "n0", 5.0))).error
    driver.store.unavailable = False
    (record,) = run(driver.call(0, RegistryGet(4, "k"))).records
    assert (record.value, record.version, record.holder) == (b"v", 1, "")


def test_the_epoch_grows_with_each_new_holder_only() -> None:
    driver = Driver()
    run(driver.call(0, RegistryPut(1, "k", b"", 0)))
    epochs = []
    for holder, pause_s in (("a", 0.0), ("a", 0.0), ("b", 6.0), ("a", 6.0)):
        driver.simulation.run(driver.simulation.now_s + pause_s)
        (record,) = run(driver.call(0, RegistryLease(1, "k", holder, 5.0))).records
        epochs.append(record.epoch)
    assert epochs == [1, 1, 2, 3]
