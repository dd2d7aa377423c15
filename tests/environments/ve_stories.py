"""A small simulated LUC and what people ask of its environments trackers in the stories."""

from __future__ import annotations

from typing import Any

from lucos.environments.messages import (
    ENVIRONMENTS,
    Managed,
    ManageVms,
    MoveVm,
    RunVe,
    Survey,
    Surveyed,
)
from lucos.model import Constraint, Resources, VirtualEnvironment, VmSpec, from_json
from lucos.simulator import SimulatedLuc
from support.asking import Client


def environment(
    name: str,
    *vms: str,
    rules: tuple[Constraint, ...] = (),
    memory_mib: int = 256,
    workload: str = "cpu:10",
) -> VirtualEnvironment:
    """A VE of equal VMs, `rules` given to each VM they speak about."""
    specs = tuple(
        VmSpec(
            f"{name}.{vm}",
            name,
            "mini",
            memory_mib=memory_mib,
            workload=workload,
            constraints=tuple(rule for rule in rules if f"{name}.{vm}" in rule.vms),
        )
        for vm in vms
    )
    return VirtualEnvironment(name, specs, rules)


class Story:
    """Hosts h1.. of 200 % CPU and 1024 MiB; people ask on `at`, any of them."""

    def __init__(self, nodes: int = 3, seed: int = 1) -> None:
        self.luc = SimulatedLuc.small(seed, nodes, capacity=Resources(200.0, 1024.0))
        self.luc.settle()
        self.client = Client(self.luc)

    def ask_run(self, ve: VirtualEnvironment, at: str = "h1") -> int:
        return self.client.tell(at, ENVIRONMENTS, lambda c: RunVe(c, ve))

    def wait(self, call: int) -> Managed:
        answer = self.client.wait(call, 700.0)
        assert isinstance(answer, Managed)
        return answer

    def run(self, ve: VirtualEnvironment, at: str = "h1") -> Managed:
        return self.wait(self.ask_run(ve, at))

    def started(self, name: str, *vms: str, at: str = "h1", **what: Any) -> VirtualEnvironment:
        """Run a VE, which must work."""
        ve = environment(name, *vms, **what)
        answer = self.run(ve, at)
        assert not answer.error, answer.error
        return ve

    def manage(self, verb: str, target: str, at: str = "h1") -> Managed:
        return self.wait(self.client.tell(at, ENVIRONMENTS, lambda c: ManageVms(c, verb, target)))

    def move(self, vm: str, node: str, at: str = "h1") -> Managed:
        return self.wait(self.client.tell(at, ENVIRONMENTS, lambda c: MoveVm(c, vm, node)))

    def survey(self, at: str = "h1") -> Surveyed:
        answer = self.client.ask(at, ENVIRONMENTS, Survey)
        assert isinstance(answer, Surveyed)
        return answer

    @property
    def records(self) -> dict[str, VirtualEnvironment]:
        """The VEs on record, straight from the registry."""
        records = self.luc.registry.records.values()
        return {r.key: from_json(r.value, VirtualEnvironment) for r in records}

    def where(self, vm: str) -> str:
        """The one host where the VM really runs, "" when it runs nowhere."""
        hosts = self.luc.fleet.running().get(vm, [])
        assert len(hosts) <= 1
        return hosts[0] if hosts else ""

    def pass_time(self, seconds: float) -> None:
        self.luc.simulation.run(self.luc.simulation.now_s + seconds)

    def kinds(self, subject: str) -> list[str]:
        return [event.kind for event in self.luc.simulation.events if event.subject == subject]

    def nothing_remains(self) -> bool:
        """No VM exists on any host that is up and no VE is on record."""
        up = [name for name in self.luc.names if self.luc.simulation.nodes[name].up]
        return not self.records and not any(self.luc.fleet.sample(name) for name in up)

    def check(self) -> None:
        """Nothing ran twice and no actor failed."""
        assert not self.luc.fleet.broken
        assert not self.luc.simulation.failures
