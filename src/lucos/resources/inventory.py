"""What is on a node: its VMs as last read, what they demand, and the room promised to those on their way in.

Pure bookkeeping. A reading of the hypervisor takes time, so what is learnt from an action's end or an event
outlives a reading that was taken before it.
"""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from lucos.actors.ports import Sampled, VmSample
from lucos.model import Configuration, Constraint, Instance, Node, Resources, VmSpec, VmState
from lucos.placement.judging import broken, speaks_of
from lucos.placement.live import judged, moment_of, overbooked
from lucos.resources.demand import IDLE_CPU_PCT, DemandTracker, expected_cpu_pct


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
        # How much more than now the VMs here are expected to want.
        self.outlook = 1.0
        self.reservations: dict[str, Reservation] = {}
        self._samples: dict[str, VmSample] = {}
        self._learnt_s: dict[str, float] = {}
        # What `load` found, as long as it is still right: only where demands are told, not measured.
        self._sum: Resources | None = None

    # --- what is here ---------------------------------------------------------------------------------

    def get(self, vm: str) -> VmSample | None:
        return self._samples.get(vm)

    def present(self) -> Iterable[VmSample]:
        """The same as `samples`, in no order that means anything."""
        return self._samples.values()

    def samples(self) -> list[VmSample]:
        """All of the hypervisor's VMs, those still coming in and those suspended included, by name."""
        return [self._samples[vm] for vm in sorted(self._samples)]

    def here(self) -> list[VmSample]:
        """The VMs that hold resources of this node."""
        return [s for s in self.samples() if not s.incoming and s.state in _HOLDING]

    def instance(self, sample: VmSample, now_s: float) -> Instance:
        """What the VM is and wants; of one that sleeps, what it is held to want when it runs again."""
        wanted, _ = self.demands.of(sample.spec.id, now_s)
        if sample.state is VmState.SLEEPING:
            wanted = expected_cpu_pct(sample.workload or sample.spec.workload)
        wanted = min(wanted * self.outlook, max(wanted, 100.0 * sample.spec.cpu))
        demand = Resources(wanted, sample.spec.memory_mib)
        return Instance(sample.spec, self.node.name, sample.state, demand)

    def load(self, now_s: float) -> Resources:
        if self._sum is not None:
            return self._sum
        cpu_pct, memory_mib, of = 0.0, 0.0, self.demands.of
        for vm, sample in self._samples.items():
            if not sample.incoming and sample.state in _HOLDING:
                cpu_pct += of(vm, now_s)[0]
                memory_mib += sample.spec.memory_mib
        total = Resources(cpu_pct, memory_mib)
        if self.demands.exact(len(self._samples)):
            self._sum = total
        return total

    @property
    def ruled(self) -> bool:
        """Whether any rule binds the VMs here or on their way in."""
        return any(s.spec.constraints for s in self._samples.values()) or any(
            r.spec.constraints for r in self.reservations.values()
        )

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
        if reading.partial:
            self._update_part(reading)
            return
        self._sum = None
        fresh = {s.spec.id: s for s in reading.vms}
        self._learnt_s = {vm: at for vm, at in self._learnt_s.items() if at >= reading.time_s}
        for vm in self._learnt_s:
            if vm in self._samples:
                fresh[vm] = self._samples[vm]
            else:
                fresh.pop(vm, None)
        self._samples = fresh
        measured = []
        for vm, sample in fresh.items():
            if sample.wanted_pct >= 0.0:
                self.demands.told(vm, sample.wanted_pct)
            else:
                measured.append(sample)
        self.demands.update(tuple(measured), reading.time_s)
        self.reservations = {
            vm: r
            for vm, r in self.reservations.items()
            if (vm in fresh and fresh[vm].incoming) or (vm not in fresh and r.expires_s >= now_s)
        }

    def _update_part(self, reading: Sampled) -> None:
        """Take what a port that notices changes has noticed: it is as fresh as anything."""
        for sample in reading.vms:
            vm, before = sample.spec.id, self._samples.get(sample.spec.id)
            self._samples[vm] = sample
            if sample.wanted_pct >= 0.0:
                if before is not None and before.state is sample.state in _HOLDING and self._sum is not None:
                    changed_pct = sample.wanted_pct - self.demands.of(vm, 0.0)[0]
                    self._sum = Resources(self._sum.cpu_pct + changed_pct, self._sum.memory_mib)
                else:
                    self._sum = None
                self.demands.told(vm, sample.wanted_pct)
            if not sample.incoming:
                self.reservations.pop(vm, None)
        for vm in reading.gone:
            self._sum = None
            self._samples.pop(vm, None)
            self.demands.forget(vm)

    def expire(self, now_s: float) -> None:
        """Drop the reservations of VMs whose arrival has not begun in time."""
        for vm, reservation in list(self.reservations.items()):
            if reservation.expires_s < now_s and vm not in self._samples:
                del self.reservations[vm]

    def gone(self, vm: str, now_s: float) -> None:
        self._sum = None
        self._samples.pop(vm, None)
        self.demands.forget(vm)
        self._learnt_s[vm] = now_s

    def booted(self, spec: VmSpec, now_s: float) -> None:
        self._sum = None
        self._samples.setdefault(spec.id, VmSample(spec, VmState.RUNNING))
        self._learnt_s[spec.id] = now_s

    def turned(self, vm: str, state: VmState, now_s: float) -> None:
        """The VM went to sleep, or woke."""
        self._sum = None
        if vm in self._samples:
            self._samples[vm] = msgspec.structs.replace(self._samples[vm], state=state)
            self._learnt_s[vm] = now_s

    def redescribed(self, spec: VmSpec) -> None:
        self._sum = None
        if spec.id in self._samples:
            self._samples[spec.id] = msgspec.structs.replace(self._samples[spec.id], spec=spec)

    def arrived(self, vm: str, spec: VmSpec | None, now_s: float) -> None:
        """A migration came in: its demand is what its source measured."""
        self._sum = None
        reservation = self.reservations.pop(vm, None)
        if reservation is not None:
            self.demands.arrived(vm, reservation.demand, now_s)
            spec = spec or reservation.spec
        if spec is not None:
            self._samples[vm] = VmSample(spec, VmState.RUNNING)
            self._learnt_s[vm] = now_s

    def never_came(self, vm: str, now_s: float) -> None:
        """A migration failed; if it was one to here, its source may have died before it could say so."""
        self._sum = None
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
        if not node.online:
            return f"{node.name} is in standby"
        promised = self._promised(now_s)
        newcomer = Instance(spec, node.name, VmState.RUNNING, demand)
        after = Configuration(promised.nodes, {**promised.instances, spec.id: newcomer})
        load, capacity = after.load(node.name), overbooked(node.capacity, node.name, _rules(after))
        if demand.cpu_pct <= IDLE_CPU_PCT:
            # What an idle guest takes is not worth a refusal.
            load = Resources(min(load.cpu_pct, capacity.cpu_pct), load.memory_mib)
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


_HOLDING = (VmState.RUNNING, VmState.PAUSED)


def _rules(configuration: Configuration) -> list[Constraint]:
    found = dict.fromkeys(r for i in configuration.instances.values() for r in i.spec.constraints)
    return list(found)
