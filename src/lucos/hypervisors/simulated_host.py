"""Simulated hosts and the VMs on them: memory, CPU sharing, counters. No time of their own."""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from lucos.actors.ports import DomainChanged, VmSample
from lucos.errors import AlreadyExists, Refused, UnknownObject
from lucos.model import Resources, VmSpec, VmState
from lucos.model.workload import parse_workload

Listener = Callable[[DomainChanged], None]


class FleetSettings(msgspec.Struct, frozen=True):
    """How long things take. `link_mibps` is what a host's network carries, shared by its migrations.

    A migration stops the VM when the remainder fits in `downtime_max_s`, and fails when its ends have not
    reached each other for `keepalive_s`. `dirty_share_max` of the memory is the most a round can dirty.
    """

    call_s: float = 0.005
    boot_s: float = 0.4
    shutdown_s: float = 1.0
    suspend_s: float = 2.1
    resume_s: float = 0.6
    link_mibps: float = 100.0
    downtime_max_s: float = 0.3
    switch_s: float = 0.03
    dirty_share_max: float = 0.9
    keepalive_s: float = 5.0
    step_s: float = 0.1


class Domain:
    """A VM on one host; another object after each migration or restart, so identity tells lives apart."""

    def __init__(self, spec: VmSpec, workload: str, state: VmState = VmState.READY) -> None:
        self.spec = spec
        self.state = state
        self.workload = workload
        self.demand_pct = float(parse_workload(workload).cpu_pct)
        self.cpu_time_s = 0.0
        self.run_delay_s = 0.0
        self.incoming = False
        self.busy = ""


class Host:
    def __init__(self, name: str, capacity: Resources) -> None:
        self.name = name
        self.capacity = capacity
        self.up = True
        self.domains: dict[str, Domain] = {}
        self.settled_s = 0.0
        self.migrations = 0
        self.listener: Listener | None = None

    def settle(self, now_s: float) -> None:
        """Account for the time since the last change: each running VM got its share of the CPU."""
        elapsed_s, self.settled_s = now_s - self.settled_s, now_s
        running = [d for d in self.domains.values() if d.state is VmState.RUNNING]
        wanted_pct = sum(d.demand_pct for d in running)
        share = min(1.0, self.capacity.cpu_pct / wanted_pct) if wanted_pct else 1.0
        for domain in running:
            wanted_s = domain.demand_pct / 100.0 * elapsed_s
            domain.cpu_time_s += wanted_s * share
            domain.run_delay_s += wanted_s * (1.0 - share)

    def admit(self, domain: Domain) -> None:
        """Take in `domain`; raises `AlreadyExists`, or `Refused` when its memory does not fit."""
        vm, held = domain.spec.id, (d for d in self.domains.values() if d.state is not VmState.SLEEPING)
        if vm in self.domains:
            raise AlreadyExists(f"{vm} is already on {self.name}")
        free_mib = self.capacity.memory_mib - sum(d.spec.memory_mib for d in held)
        if domain.spec.memory_mib > free_mib:
            raise Refused(
                f"{vm} needs {domain.spec.memory_mib} MiB, {self.name} has {free_mib:g} free",
                hint="choose another host",
            )
        self.domains[vm] = domain

    def domain(self, vm: str) -> Domain:
        """The VM of that name that lives here; raises `UnknownObject`, also while it is only incoming."""
        domain = self.domains.get(vm)
        if domain is None or domain.incoming:
            raise UnknownObject(f"{vm} is not on {self.name}", hint="luc ps shows where VMs are")
        return domain

    def idle_domain(self, vm: str) -> Domain:
        """The same, when no action is under way on it; raises `Refused` otherwise."""
        domain = self.domain(vm)
        if domain.busy:
            raise Refused(f"{vm} on {self.name} is busy: {domain.busy}", hint="wait for it to end")
        return domain

    def lose_power(self) -> None:
        """Suspended VMs are on disk and stay; all others are gone."""
        self.up = False
        asleep = [d for d in self.domains.values() if d.state is VmState.SLEEPING]
        self.domains = {d.spec.id: Domain(d.spec, d.workload, VmState.SLEEPING) for d in asleep}

    def samples(self) -> tuple[VmSample, ...]:
        """What the hypervisor lists: not the VMs still being started."""
        return tuple(
            VmSample(
                spec=domain.spec,
                state=domain.state,
                cpu_time_s=domain.cpu_time_s,
                run_delay_s=domain.run_delay_s,
                memory_used_mib=float(domain.spec.memory_mib),
                incoming=domain.incoming,
                migrating=domain.busy == "migrate",
                workload=domain.workload,
            )
            for domain in self.domains.values()
            if domain.state is not VmState.READY or domain.incoming
        )

    def notify(self, domain: Domain, change: str, detail: str = "") -> None:
        if self.up and self.listener is not None:
            self.listener(DomainChanged(domain.spec.id, change, detail, domain.spec))
