"""Nodes, VMs, virtual environments and the configuration that maps one onto the other."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

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


class Constraint(msgspec.Struct, frozen=True, omit_defaults=True):
    """One rule over VMs and nodes, names resolved; `lucos.placement.constraints` gives each kind its meaning.

    Which fields a kind takes is told by its `Signature`. `continuous` rules hold at every instant of a plan,
    discrete ones only in its result. A rule with a `weight` is soft: breaking it costs that much. `sets` are
    sets of VMs, `groups` of nodes. `relocate` lets a continuous group move as one. `label` says where the
    rule comes from (`web.luc:12`), for people.
    """

    kind: str
    vms: tuple[str, ...] = ()
    nodes: tuple[str, ...] = ()
    continuous: bool = True
    sets: tuple[tuple[str, ...], ...] = ()
    groups: tuple[tuple[str, ...], ...] = ()
    resource: str = ""
    amount: float = 0.0
    weight: int = 0
    relocate: bool = False
    label: str = ""

    def __str__(self) -> str:
        parts = [_braced(names) for names in (self.vms, self.nodes) if names]
        parts += [_braced([_braced(part) for part in many]) for many in (self.sets, self.groups) if many]
        parts += [self.resource] * bool(self.resource) + [f"{self.amount:g}"] * bool(self.amount)
        soft = f"~{self.weight} " if self.weight else ""
        return f"{'' if self.continuous else '>> '}{soft}{self.kind}({', '.join(parts)})"


def _braced(names: Sequence[str], shown_max: int = 8) -> str:
    """`{a, b, ... 3 more}`: what is long is cut, so that a message stays readable."""
    shown = [*names[:shown_max], *([f"... {len(names) - shown_max} more"] if len(names) > shown_max else [])]
    return f"{{{', '.join(shown)}}}"


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
    """A host: `capacity` is what its VMs may use; a draining node must end up empty.

    One that is not `online` is in standby: it runs nothing until it is woken.
    """

    name: str
    capacity: Resources
    site: str = ""
    draining: bool = False
    online: bool = True


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
