"""What is on a node: its VMs as last read, what they demand, and the room promised to those on their way in.

Pure bookkeeping. A reading of the hypervisor takes time, so what is learnt from an action's end or an event
outlives a reading that was taken before it.
"""

from __future__ import annotations

import msgspec

from lucos.actors.ports import Sampled, VmSample
from lucos.model import Configuration, Constraint, Instance, Node, Resources, VmSpec, VmState
from lucos.placement.judging import broken, speaks_of
from lucos.placement.live import judged, moment_of, overbooked
from lucos.resources.demand import DemandTracker, expected_cpu_pct


class Reservation(msgspec.Struct, frozen=True):
    """Room kept for a VM on its way in, until `expires_s`; `partition` is the ISP that moves it."""

    spec: VmSpec
    demand: Resources
    partition: str
    expires_s: float


class Inventory:
    def __init__(self, node: Node) -> None:
        self.node = node
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
        """What the VM is and wants; of one that sleeps, what it is held to want when it runs again."""
        wanted, _ = self.demands.of(sample.spec.id, now_s)
        if sample.state is VmState.SLEEPING:
            wanted = expected_cpu_pct(sample.workload or sample.spec.workload)
        demand = Resources(wanted, sample.spec.memory_mib)
        return Instance(sample.spec, self.node.name, sample.state, demand)

    def load(self, now_s: float) -> Resources:
        return sum((self.instance(s, now_s).demand for s in self.here()), Resources())

    def reserved(self) -> Resources:
        return sum((r.demand for r in self.reservations.values()), Resources())

    def capacity(self) -> Resources:
        """What VMs may use of this node, overbooked as the rules of those here and on their way in say."""
        return overbooked(self.node.capacity, self.node.name, _rules(self._promised(0.0)))

    def broken_rule(self, now_s: float) -> str:
        """The first rule that the VMs here break among themselves, "" when none."""
        here = {s.spec.id: self.instance(s, now_s) for s in self.here()}
        configuration = Configuration({self.node.name: self.node}, here)
        moment = moment_of(configuration)
        return next((why for rule in judged(_rules(configuration)) if (why := broken(rule, moment))), "")

    def _promised(self, now_s: float) -> Configuration:
        """This node with the VMs that are here and those on their way in."""
        found = {s.spec.id: self.instance(s, now_s) for s in self.here()}
        for vm, reservation in self.reservations.items():
            found[vm] = Instance(reservation.spec, self.node.name, VmState.RUNNING, reservation.demand)
        return Configuration({self.node.name: self.node}, found)

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

    def turned(self, vm: str, state: VmState, now_s: float) -> None:
        """The VM went to sleep, or woke."""
        if vm in self._samples:
            self._samples[vm] = msgspec.structs.replace(self._samples[vm], state=state)
            self._learnt_s[vm] = now_s

    def redescribed(self, spec: VmSpec) -> None:
        if spec.id in self._samples:
            self._samples[spec.id] = msgspec.structs.replace(self._samples[spec.id], spec=spec)

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

    def no_room(self, spec: VmSpec, demand: Resources, now_s: float) -> str:
        """Why the VM cannot be admitted with all that is promised already; empty when it can."""
        node = self.node
        if node.draining:
            return f"{node.name} is draining"
        promised = self._promised(now_s)
        newcomer = Instance(spec, node.name, VmState.RUNNING, demand)
        after = Configuration(promised.nodes, {**promised.instances, spec.id: newcomer})
        load, capacity = after.load(node.name), overbooked(node.capacity, node.name, _rules(after))
        if not load.fits(capacity):
            return (
                f"{node.name} has no room: {load.cpu_pct:.0f} of {capacity.cpu_pct:.0f} % CPU and "
                f"{load.memory_mib:.0f} of {capacity.memory_mib:.0f} MiB with {spec.id}"
            )
        before = moment_of(promised)
        moment = moment_of(after, before)
        for rule in judged(_rules(after)):
            # A rule that the newcomer has no part in and that is broken already does not keep it out.
            why = broken(rule, moment) if rule.continuous else ""
            if why and (speaks_of(rule, spec.id) or not broken(rule, before)):
                return why
        return ""


def _rules(configuration: Configuration) -> list[Constraint]:
    found = dict.fromkeys(r for i in configuration.instances.values() for r in i.spec.constraints)
    return list(found)
