"""What is on a node: its VMs as last read, what they demand, and the room promised to those on their way in.

Pure bookkeeping. A reading of the hypervisor takes time, so what is learnt from an action's end or an event
outlives a reading that was taken before it.
"""

from __future__ import annotations

import msgspec

from lucos.actors.ports import Sampled, VmSample
from lucos.model import Instance, Node, Resources, VmSpec, VmState
from lucos.placement import first_broken
from lucos.resources.demand import DemandTracker


class Reservation(msgspec.Struct, frozen=True):
    """Room kept for a VM on its way in, until `expires_s`; `partition` is the ISP that moves it."""

    spec: VmSpec
    demand: Resources
    partition: str
    expires_s: float


class Inventory:
    def __init__(self, node: str, capacity: Resources) -> None:
        self._node = node
        self.capacity = capacity
        self.demands = DemandTracker()
        self.reservations: dict[str, Reservation] = {}
        self._samples: dict[str, VmSample] = {}
        self._learnt_s: dict[str, float] = {}

    # --- what is here ---------------------------------------------------------------------------------

    def get(self, vm: str) -> VmSample | None:
        return self._samples.get(vm)

    def samples(self) -> list[VmSample]:
        """All of the hypervisor's VMs, those still coming in and those suspended included, by name."""
        return [self._samples[vm] for vm in sorted(self._samples)]

    def here(self) -> list[VmSample]:
        """The VMs that hold resources of this node."""
        return [s for s in self.samples() if not s.incoming and s.state in (VmState.RUNNING, VmState.PAUSED)]

    def instance(self, sample: VmSample, now_s: float) -> Instance:
        wanted, _ = self.demands.of(sample.spec.id, now_s)
        return Instance(sample.spec, self._node, sample.state, Resources(wanted, sample.spec.memory_mib))

    def load(self, now_s: float) -> Resources:
        return sum((self.instance(s, now_s).demand for s in self.here()), Resources())

    def reserved(self) -> Resources:
        return sum((r.demand for r in self.reservations.values()), Resources())

    def broken_rule(self) -> str:
        """The first rule that the VMs here break among themselves, "" when none."""
        rules = dict.fromkeys(rule for s in self.here() for rule in s.spec.constraints)
        return first_broken(rules, {s.spec.id: {self._node} for s in self.here()})

    # --- what changes ---------------------------------------------------------------------------------

    def update(self, reading: Sampled, now_s: float) -> None:
        """Take a reading, but for VMs of which something newer is known; drop reservations that are over."""
        fresh = {s.spec.id: s for s in reading.vms}
        self._learnt_s = {vm: at for vm, at in self._learnt_s.items() if at >= reading.time_s}
        for vm in self._learnt_s:
            if vm in self._samples:
                fresh[vm] = self._samples[vm]
            else:
                fresh.pop(vm, None)
        self._samples = fresh
        self.demands.update(tuple(fresh.values()), reading.time_s)
        self.reservations = {
            vm: r
            for vm, r in self.reservations.items()
            if (vm in fresh and fresh[vm].incoming) or (vm not in fresh and r.expires_s >= now_s)
        }

    def gone(self, vm: str, now_s: float) -> None:
        self._samples.pop(vm, None)
        self._learnt_s[vm] = now_s

    def booted(self, spec: VmSpec, now_s: float) -> None:
        self._samples.setdefault(spec.id, VmSample(spec, VmState.RUNNING))
        self._learnt_s[spec.id] = now_s

    def arrived(self, vm: str, spec: VmSpec | None, now_s: float) -> None:
        """A migration came in: its demand is what its source measured."""
        reservation = self.reservations.pop(vm, None)
        if reservation is not None:
            self.demands.arrived(vm, reservation.demand, now_s)
            spec = spec or reservation.spec
        if spec is not None:
            self._samples[vm] = VmSample(spec, VmState.RUNNING)
            self._learnt_s[vm] = now_s

    def never_came(self, vm: str, now_s: float) -> None:
        """A migration failed; if it was one to here, its source may have died before it could say so."""
        self.reservations.pop(vm, None)
        sample = self._samples.get(vm)
        if sample is not None and sample.incoming:
            self.gone(vm, now_s)

    # --- admission ------------------------------------------------------------------------------------

    def no_room(self, spec: VmSpec, demand: Resources, node: Node, now_s: float) -> str:
        """Why the VM cannot be admitted with all that is promised already; empty when it can."""
        if node.draining:
            return f"{node.name} is draining"
        after = self.load(now_s) + self.reserved() + demand
        if not after.fits(self.capacity):
            return (
                f"{node.name} has no room: {after.cpu_pct:.0f} of {self.capacity.cpu_pct:.0f} % CPU and "
                f"{after.memory_mib:.0f} of {self.capacity.memory_mib:.0f} MiB with {spec.id}"
            )
        specs = {s.spec.id: s.spec for s in self.samples()}
        specs |= {vm: r.spec for vm, r in self.reservations.items()}
        rules = dict.fromkeys(r for s in (*specs.values(), spec) for r in s.constraints)
        there = {vm: {node.name} for vm in (*specs, spec.id)}
        return first_broken([r for r in rules if spec.id in r.vms and r.continuous], there)
