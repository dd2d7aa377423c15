"""Hosts of the simulated fleet, each with a client of its hypervisor, for tests."""

from __future__ import annotations

import pytest

from lucos.actors import Actor, Message, World
from lucos.actors.ports import (
    HYPERVISOR,
    DomainChanged,
    Perform,
    Performed,
    Sample,
    Sampled,
    Subscribe,
    VmSample,
)
from lucos.actors.simulated import SimulatedNode, Simulation
from lucos.hypervisors.simulated import SimulatedFleet, SimulatedHypervisor
from lucos.hypervisors.simulated_host import FleetSettings
from lucos.model import AnyAction, Boot, Migrate, Resources, VmSpec


class Client(Actor):
    """Subscribes to its hypervisor and keeps what it hears."""

    def __init__(self, world: World, answers: list[Message], changes: list[DomainChanged]) -> None:
        super().__init__(world)
        self._answers = answers
        self._changes = changes
        world.send(HYPERVISOR, Subscribe())

    def receive(self, message: Message, sender: str) -> None:
        if isinstance(message, DomainChanged):
            self._changes.append(message)
        else:
            self._answers.append(message)


class Hosts:
    """Hosts h1.. of one core, spread over `sites`, each with an agent that knows only its hypervisor."""

    def __init__(
        self,
        count: int = 2,
        settings: FleetSettings | None = None,
        *,
        memory_mib: float = 1024.0,
        sites: int = 1,
        watts: tuple[float, ...] = (),
    ) -> None:
        self.simulation = Simulation(1)
        self.fleet = SimulatedFleet(self.simulation, settings)
        self.answers: dict[str, list[Message]] = {}
        self.changed: dict[str, list[DomainChanged]] = {}
        for i in range(count):
            name, site = f"h{i + 1}", f"s{i % sites + 1}"
            self.answers[name], self.changed[name] = [], []
            room = Resources(100.0, memory_mib)
            self.fleet.add_host(name, room, site=site, watts=watts, standby_watts=5.0)
            self.simulation.add_node(name, self._boot).start()
        self.pass_time(0.01)

    def _boot(self, node: SimulatedNode) -> None:
        answers, changes = self.answers[node.name], self.changed[node.name]
        node.spawn(HYPERVISOR, lambda world: SimulatedHypervisor(world, self.fleet))
        node.spawn("client", lambda world: Client(world, answers, changes))

    def pass_time(self, duration_s: float) -> None:
        self.simulation.run(self.simulation.now_s + duration_s)
        assert not self.simulation.failures, self.simulation.failures

    def tell(self, host: str, message: Message) -> None:
        client = self.simulation.nodes[host].actor("client")
        assert client is not None
        client.world.send(HYPERVISOR, message)

    def ask(self, host: str, message: Message, within_s: float = 120.0) -> Message:
        """The answer; the clock stands where it came."""
        answers = self.answers[host]
        seen = len(answers)
        self.tell(host, message)
        deadline_s = self.simulation.now_s + within_s
        assert self.simulation.run(deadline_s, stop=lambda: len(answers) > seen), f"no answer to {message}"
        assert not self.simulation.failures, self.simulation.failures
        return answers[-1]

    def perform(
        self, host: str, action: AnyAction, *, within_s: float = 120.0, **options: object
    ) -> Performed:
        answer = self.ask(host, Perform(1, action, **options), within_s)  # type: ignore[arg-type]
        assert isinstance(answer, Performed)
        return answer

    def boot(
        self, host: str, vm: str, workload: str = "idle", memory_mib: int = 100, cpu: int = 1
    ) -> Performed:
        spec = VmSpec(vm, "ve", "mini", cpu, memory_mib, workload)
        return self.perform(host, Boot(vm, host), spec=spec)

    def migrate(self, vm: str = "ve.a", **options: object) -> Performed:
        return self.perform("h1", Migrate(vm, "h1", "h2"), **options)

    def start_migration(self, **options: object) -> None:
        self.tell("h1", Perform(9, Migrate("ve.a", "h1", "h2"), **options))  # type: ignore[arg-type]
        self.pass_time(0.5)
        assert self.fleet.migrations() == [("ve.a", "h1", "h2")]

    def sample(self, host: str) -> dict[str, VmSample]:
        answer = self.ask(host, Sample(1))
        assert isinstance(answer, Sampled)
        assert answer.time_s == pytest.approx(self.simulation.now_s)
        return {vm.spec.id: vm for vm in answer.vms}

    def changes(self, host: str) -> list[str]:
        return [change.change for change in self.changed[host]]
