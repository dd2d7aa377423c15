"""Nodes, VMs, virtual environments and the configuration that maps one onto the other."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from lucos.model.lifecycle import VeState, VmState


class Resources(msgspec.Struct, frozen=True):
    """An amount of each resource: CPU in percent of one core (250 = two and a half cores), memory in MiB."""

    cpu_pct: float = 0.0
    memory_mib: float = 0.0

    def __add__(self, other: Resources) -> Resources:
        return Resources(self.cpu_pct + other.cpu_pct, self.memory_mib + other.memory_mib)

    def __sub__(self, other: Resources) -> Resources:
        return Resources(self.cpu_pct - other.cpu_pct, self.memory_mib - other.memory_mib)

    def fits(self, room: Resources) -> bool:
        """Whether this amount fits in `room` (a thousandth of slack absorbs rounding)."""
        return self.cpu_pct <= room.cpu_pct + 1e-3 and self.memory_mib <= room.memory_mib + 1e-3


class Constraint(msgspec.Struct, frozen=True):
    """One placement rule, names resolved: `spread`, `gather` (vms), `ban`, `fence` (vms, nodes).

    `continuous` holds at every instant of a plan, discrete only in its result.
    """

    kind: str
    vms: tuple[str, ...] = ()
    nodes: tuple[str, ...] = ()
    continuous: bool = True

    def __str__(self) -> str:
        sets = [f"{{{', '.join(names)}}}" for names in (self.vms, self.nodes) if names]
        return f"{'' if self.continuous else '>> '}{self.kind}({', '.join(sets)})"


class VmSpec(msgspec.Struct, frozen=True):
    """What a VM is, wherever it runs; travels in the hypervisor's own record of the VM.

    `id` is unique in the LUC: `VE.name`. `constraints` are those of its VE that speak about it.
    `cpu` counts virtual CPUs.
    """

    id: str
    ve: str
    image: str
    cpu: int = 1
    memory_mib: int = 96
    workload: str = "idle"
    constraints: tuple[Constraint, ...] = ()


class Node(msgspec.Struct, frozen=True):
    """A host: `capacity` is what its VMs may use; a draining node must end up empty."""

    name: str
    capacity: Resources
    site: str = ""
    draining: bool = False


class Instance(msgspec.Struct, frozen=True):
    """A VM in a configuration: where (None when it holds no node), its state and what it demands now."""

    spec: VmSpec
    node: str | None
    state: VmState
    demand: Resources


class Configuration(msgspec.Struct, frozen=True):
    """Which VM is where, with what each node offers. Treat the mappings as read-only."""

    nodes: dict[str, Node] = {}
    instances: dict[str, Instance] = {}

    def on(self, node: str) -> Iterator[Instance]:
        """The instances that hold resources of `node`."""
        return (i for i in self.instances.values() if i.node == node)

    def load(self, node: str) -> Resources:
        """Demand of all instances on `node`."""
        return sum((i.demand for i in self.on(node)), Resources())

    def moved(self, vm: str, node: str) -> Configuration:
        """The configuration after `vm` went to `node`."""
        there = msgspec.structs.replace(self.instances[vm], node=node)
        return Configuration(self.nodes, {**self.instances, vm: there})


class VirtualEnvironment(msgspec.Struct, frozen=True):
    """A group of VMs with one life (the seeds' VE, or vjob). `constraints` speak of full VM ids."""

    name: str
    vms: tuple[VmSpec, ...]
    constraints: tuple[Constraint, ...] = ()
    state: VeState = VeState.WAITING
    source: str = ""
