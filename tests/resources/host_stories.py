"""A small simulated LUC and the orders that stories about host actors give in it."""

from __future__ import annotations

from typing import Any

from lucos.actors import address
from lucos.model import AnyAction, Boot, Constraint, Event, Migrate, Resources, VmSpec
from lucos.resources.messages import HOST, Execute, Executed, Snapshot, TakeSnapshot
from lucos.simulator import SimulatedLuc
from support.asking import Client


class Story:
    """Hosts h1.. of 200 % CPU and 1024 MiB; `order` and `tell` speak to their host actors."""

    def __init__(self, nodes: int = 3, seed: int = 1) -> None:
        self.luc = SimulatedLuc.small(seed, nodes, capacity=Resources(200.0, 1024.0))
        self.luc.settle()
        self.client = Client(self.luc)

    def spec(self, vm: str, *, workload: str = "cpu:20", memory_mib: int = 256, rules: Any = ()) -> VmSpec:
        names = tuple(Constraint(kind, tuple(f"ve.{name}" for name in vms)) for kind, *vms in rules)
        return VmSpec(f"ve.{vm}", "ve", "mini", 1, memory_mib, workload, names)

    def tell(self, node: str, action: AnyAction, spec: VmSpec | None = None, partition: str = "") -> int:
        return self.client.tell(
            node, HOST, lambda call_id: Execute(call_id, action, "asked to", spec, partition)
        )

    def order(
        self, node: str, action: AnyAction, spec: VmSpec | None = None, partition: str = ""
    ) -> Executed:
        answer = self.client.wait(self.tell(node, action, spec, partition))
        assert isinstance(answer, Executed)
        return answer

    def boot(self, vm: str, node: str, **what: Any) -> str:
        """Boot `ve.vm` on `node`, which must work; its id."""
        spec = self.spec(vm, **what)
        answer = self.order(node, Boot(spec.id, node), spec)
        assert answer.ok, answer.error
        return spec.id

    def migrate(self, vm: str, source: str, destination: str) -> Executed:
        return self.order(source, Migrate(vm, source, destination))

    def begin_migration(self, vm: str, source: str, destination: str) -> int:
        """Order a migration and return when the copy is under way."""
        call = self.tell(source, Migrate(vm, source, destination))
        simulation = self.luc.simulation
        assert simulation.run(simulation.now_s + 5.0, stop=lambda: bool(self.luc.fleet.migrations()))
        return call

    def snapshot(self, node: str) -> Snapshot:
        asker = next(n for n in self.luc.names if self.luc.simulation.nodes[n].up)
        answer = self.client.ask(asker, address(node, HOST), TakeSnapshot)
        assert isinstance(answer, Snapshot)
        return answer

    def vms_of(self, node: str) -> list[str]:
        return [instance.spec.id for instance in self.snapshot(node).instances]

    def where(self, vm: str) -> list[str]:
        """The hosts where the VM really runs."""
        return self.luc.fleet.running().get(vm, [])

    def pass_time(self, seconds: float) -> None:
        self.luc.simulation.run(self.luc.simulation.now_s + seconds)

    def events(self, subject: str) -> list[Event]:
        return [event for event in self.luc.simulation.events if event.subject == subject]

    def kinds(self, subject: str) -> list[str]:
        return [event.kind for event in self.events(subject)]

    def check(self) -> None:
        """Nothing ran twice and no actor failed."""
        assert not self.luc.fleet.broken
        assert not self.luc.simulation.failures
