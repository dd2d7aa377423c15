"""Simulated hosts and the VMs on them: memory, CPU sharing, counters, power. No time of their own."""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from lucos.actors.ports import DomainChanged, VmSample
from lucos.errors import AlreadyExists, Refused, UnknownObject
from lucos.hypervisors.flows import Link
from lucos.hypervisors.power import Meter, Power
from lucos.hypervisors.program import Run
from lucos.model import Resources, VmSpec, VmState
from lucos.model.workload import parse_workload

Listener = Callable[[DomainChanged], None]

# Multiples of this (in percent of a core) add up without rounding, so that loads kept as running sums stay
# exact and do not depend on the order of changes.
_QUANTUM_PCT = 2.0**-20


class FleetSettings(msgspec.Struct, frozen=True):
    """How long things take. `link_mibps` is what a host's network carries each way, shared by migrations.

    A migration stops the VM when the remainder fits in `downtime_max_s`, and fails after `rounds_max` rounds
    or when its ends have not reached each other for `keepalive_s`; `switch_s` is what stopping and resuming
    take besides. `dirty_share_max` of the memory is the most a round can dirty. With `post_copy` VMs switch
    at once and their memory follows. A host goes to standby in `sleep_s` and is back in `wake_s`.
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
    rounds_max: int = 100
    keepalive_s: float = 5.0
    post_copy: bool = False
    sleep_s: float = 10.0
    wake_s: float = 300.0


class Domain:
    """A VM on one host; another object after each migration or restart, so identity tells lives apart.

    `demand_pct` is what the guest wants while it runs. With `dirty_intensity` it also dirties memory at that
    share of its migration's bandwidth when it gets a whole core. What it never used of its memory are zero
    pages, which are not sent: `used_mib` is the rest. `gone` is called when something else than
    its migration takes the VM away.
    """

    __slots__ = (
        "busy",
        "cpu_time_s",
        "demand_pct",
        "dirty_intensity",
        "dirty_mibps",
        "gone",
        "host",
        "incoming",
        "lacked_s",
        "run",
        "run_delay_s",
        "settled_s",
        "spec",
        "state",
        "used_mib",
        "version",
        "workload",
    )

    def __init__(self, host: Host, spec: VmSpec, workload: str, state: VmState = VmState.READY) -> None:
        self.host = host
        self.spec = spec
        self.state = state
        self.set_workload(workload)
        self.used_mib = float(spec.memory_mib)
        self.dirty_intensity = 0.0
        self.cpu_time_s = 0.0
        self.run_delay_s = 0.0
        self.settled_s = 0.0
        self.lacked_s = 0.0
        self.incoming = False
        self.busy = ""
        self.version = 0
        self.run: Run | None = None
        self.gone: Callable[[], None] | None = None

    def set_workload(self, workload: str) -> None:
        """What the guest does, before it runs; raises `InputError` for what is no workload."""
        parsed = parse_workload(workload)
        self.workload = workload
        self.dirty_mibps = float(parsed.dirty_mib_per_s)
        self.demand_pct = self.demand_of(parsed.cpu_pct)

    def demand_of(self, cpu_pct: float) -> float:
        """What the guest can want: at most its virtual CPUs."""
        return min(round(cpu_pct / _QUANTUM_PCT) * _QUANTUM_PCT, 100.0 * self.spec.cpu)

    def copy_to(self, host: Host, state: VmState = VmState.READY) -> Domain:
        """Another life of the same guest: it goes on with what it did."""
        other = Domain(host, self.spec, self.workload, state)
        self.hand_over(other)
        return other

    def hand_over(self, other: Domain) -> None:
        other.workload, other.dirty_mibps = self.workload, self.dirty_mibps
        other.demand_pct, other.dirty_intensity = self.demand_pct, self.dirty_intensity
        other.used_mib = self.used_mib
        other.run, self.run = self.run, None

    def settle(self, now_s: float) -> None:
        """Account for the time since the last call: its demand and state were the same throughout."""
        host = self.host
        host.settle(now_s)
        if self.state is VmState.RUNNING:
            cores, lacked_s = self.demand_pct / 100.0, host.lacked_s - self.lacked_s
            self.cpu_time_s += cores * (now_s - self.settled_s - lacked_s)
            self.run_delay_s += cores * lacked_s
        self.settled_s, self.lacked_s = now_s, host.lacked_s


class Host:
    """A machine. `demand_pct` is what its running VMs want, in percent of a core, at every instant.

    `version` grows with every change that a reading of its VMs would show; `watcher` is called at the next
    such change, once. `turns` counts changes of power. `lacked_s` is the time for which a guest that always
    wants a core did not get it.
    """

    __slots__ = (
        "capacity",
        "demand_pct",
        "domains",
        "lacked_s",
        "listener",
        "meter",
        "name",
        "power",
        "programs",
        "receiving",
        "sending",
        "settled_s",
        "share",
        "site",
        "turns",
        "version",
        "watcher",
    )

    def __init__(self, name: str, capacity: Resources, site: str = "", link_mibps: float = 100.0) -> None:
        self.name = name
        self.capacity = capacity
        self.site = site
        self.sending, self.receiving = Link(link_mibps), Link(link_mibps)
        self.power = Power.ON
        self.turns = 0
        self.meter: Meter | None = None
        self.domains: dict[str, Domain] = {}
        self.programs: dict[str, Domain] = {}
        self.demand_pct = 0.0
        self.share = 1.0
        self.lacked_s = 0.0
        self.settled_s = 0.0
        self.version = 0
        self.watcher: Callable[[], None] | None = None
        self.listener: Listener | None = None

    @property
    def up(self) -> bool:
        """Whether it has power, if only in standby: then its agent is reachable, but no VM can run."""
        return self.power is not Power.OFF

    @property
    def standby(self) -> bool:
        """Whether it runs no VM to save power: in standby, on the way to it, or on the way back."""
        return self.power is not Power.ON and self.power is not Power.OFF

    def settle(self, now_s: float) -> None:
        """Account for the time since the last change of the load."""
        if self.share < 1.0:
            self.lacked_s += (1.0 - self.share) * (now_s - self.settled_s)
        self.settled_s = now_s

    def add_demand(self, cpu_pct: float, now_s: float) -> None:
        """The running VMs want that much more (below 0: less): each gets its share of what there is."""
        self.settle(now_s)
        self.demand_pct += cpu_pct
        capacity_pct = self.capacity.cpu_pct
        self.share = capacity_pct / self.demand_pct if self.demand_pct > capacity_pct else 1.0

    def admit(self, domain: Domain) -> None:
        """Take in `domain`; raises `AlreadyExists`, or `Refused` without memory for it or in standby."""
        vm, held = domain.spec.id, (d for d in self.domains.values() if d.state is not VmState.SLEEPING)
        if vm in self.domains:
            raise AlreadyExists(f"{vm} is already on {self.name}")
        if self.power is not Power.ON:
            raise Refused(f"{self.name} is {self.power}: it takes no VM", hint="choose another host")
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

    def samples(self, now_s: float, since_version: int = -1) -> tuple[VmSample, ...]:
        """What the hypervisor lists (not the VMs still being started) and changed after `since_version`."""
        found = []
        for domain in self.domains.values():
            state = domain.state
            if domain.version <= since_version or (state is VmState.READY and not domain.incoming):
                continue
            domain.settle(now_s)
            migrating = domain.busy in ("migrate", "post-copy")
            if domain.busy == "migrate" and state is VmState.PAUSED:
                # The moment in which a leaving VM is stopped for its switch is not a pause.
                state = VmState.RUNNING
            sample = VmSample(
                domain.spec,
                state,
                domain.cpu_time_s,
                domain.run_delay_s,
                domain.used_mib,
                domain.incoming,
                migrating,
                domain.workload,
                # Its source knows what one that is only incoming wants.
                -1.0 if domain.incoming else domain.demand_pct if state is VmState.RUNNING else 0.0,
            )
            found.append(sample)
        return tuple(found)

    def changed(self, domain: Domain) -> None:
        """What a reading shows of `domain` is not what it was."""
        self.version += 1
        domain.version = self.version
        if self.watcher is not None:
            watcher, self.watcher = self.watcher, None
            watcher()

    def notify(self, domain: Domain, change: str, detail: str = "") -> None:
        self.changed(domain)
        if self.up and self.listener is not None:
            self.listener(DomainChanged(domain.spec.id, change, detail, domain.spec))
