"""A simulated fleet of hypervisors.

It is the physical truth: it outlives crashes of agents, has no opinion on what should run, and records
in `broken` whenever a VM runs twice. It is driven by events alone: a fleet in which nothing changes costs
nothing, whatever its size.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from lucos.actors.ports import Perform, Performed, VmSample
from lucos.actors.simulated import Simulation
from lucos.errors import InputError, LucError, OperationFailed, Refused
from lucos.hypervisors.power import Meter, Power
from lucos.hypervisors.program import Program
from lucos.hypervisors.simulated_guests import Guests
from lucos.hypervisors.simulated_host import Domain, FleetSettings, Host, Listener
from lucos.hypervisors.simulated_migration import Finish, Migrations
from lucos.model import (
    AnyAction,
    Boot,
    BootNode,
    Kill,
    Migrate,
    Pause,
    Resources,
    Resume,
    Shutdown,
    ShutdownNode,
    Suspend,
    Unpause,
    VmSpec,
    VmState,
    after_vm_event,
)
from lucos.model.workload import parse_workload


class SimulatedFleet:
    """Hosts and VMs shared by all nodes of `simulation`. Fault injection: `crash_host`, `crash_vm`."""

    def __init__(self, simulation: Simulation, settings: FleetSettings | None = None) -> None:
        self.simulation = simulation
        self.settings = settings or FleetSettings()
        self._guests = Guests(simulation)
        self._migrations = Migrations(self._guests, self.settings)
        self._hosts = self._guests.hosts

    # --- For scenarios and laws ---------------------------------------------------------------------

    def add_host(
        self,
        name: str,
        capacity: Resources,
        *,
        site: str = "",
        link_mibps: float = 0.0,
        watts: Sequence[float] = (),
        standby_watts: float = 0.0,
    ) -> None:
        """Its name is also the address at which migrations reach it.

        `link_mibps` is what its network carries each way (0: as the settings say). `watts` is its power at
        evenly spaced CPU loads from idle to full; without it no energy is accounted for.
        """
        host = Host(name, capacity, site, link_mibps or self.settings.link_mibps)
        if watts:
            host.meter = Meter(watts, standby_watts, self.simulation.now_s)
        self._hosts[name] = host

    def set_backbone(self, site: str, mibps: float) -> None:
        """What the connection of `site` to all others carries, each way, for migrations; 0 does not limit."""
        self._migrations.set_backbone(site, mibps)

    def host(self, name: str) -> Host:
        return self._hosts[name]

    @property
    def hosts(self) -> Sequence[Host]:
        return tuple(self._hosts.values())

    @property
    def broken(self) -> list[str]:
        """Each time that a VM began to run while it ran elsewhere."""
        return self._guests.broken

    @property
    def on_load(self) -> list[Callable[[Host], None]]:
        """Called after each change of a host's `demand_pct`, and of `up` and `standby`."""
        return self._guests.on_load

    @property
    def migrated_mib(self) -> float:
        """All the memory that migrations have sent, those that failed included."""
        return self._migrations.sent_mib

    def place(
        self,
        spec: VmSpec,
        host: str,
        cpu_pct: float | None = None,
        dirty_intensity: float = 0.0,
        used_mib: float | None = None,
    ) -> None:
        """A VM that runs on `host` at once, without a boot; its demand is its workload's when not given.

        It dirties memory at `dirty_intensity` times the bandwidth of its migration when it gets a whole core,
        besides what its workload dirties. Of its memory only `used_mib` (all when not given) is sent first.
        Raises `AlreadyExists` or `Refused` when the host cannot take it.
        """
        domain = Domain(self._hosts[host], spec, spec.workload)
        domain.dirty_intensity = dirty_intensity
        if cpu_pct is not None:
            domain.demand_pct = domain.demand_of(cpu_pct)
        if used_mib is not None:
            domain.used_mib = used_mib
        self._guests.admit(domain)
        self._start(domain)

    def set_program(self, vm: str, program: Program) -> None:
        """Give the guest a job: at once where it runs, and anew at each boot until it is finished."""
        self._guests.programs[vm] = program
        for domain in self._guests.lives(vm):
            if domain.state is not VmState.READY:
                self._guests.begin(domain)

    def running(self) -> dict[str, list[str]]:
        """The hosts on which each VM executes now; VMs that execute nowhere are absent."""
        places: dict[str, list[str]] = {}
        for domain in self._guests.in_state(VmState.RUNNING):
            places.setdefault(domain.spec.id, []).append(domain.host.name)
        return places

    def where(self, vm: str) -> str:
        """The host that the VM is on, asleep included; empty when it is on none."""
        return next((domain.host.name for domain in self._guests.lives(vm) if not domain.incoming), "")

    def asleep(self) -> set[str]:
        """VMs whose memory is saved on a host, up or not."""
        return {domain.spec.id for domain in self._guests.in_state(VmState.SLEEPING)}

    def demands(self) -> dict[str, float]:
        """What each running VM wants, in percent of a core."""
        return {d.spec.id: d.demand_pct for d in self._guests.in_state(VmState.RUNNING)}

    def migrations(self) -> list[tuple[str, str, str]]:
        """The moves under way: (vm, source, destination)."""
        return self._migrations.ends()

    def energy_j(self, host: str) -> float:
        """Joules that the host has drawn so far; 0 when its power is not known."""
        meter = self._hosts[host].meter
        return meter.energy_j(self.simulation.now_s) if meter else 0.0

    def set_demand(self, vm: str, cpu_pct: float) -> None:
        """What the guest wants from now on, in percent of a core, at most its virtual CPUs."""
        for domain in self._guests.lives(vm):
            self._guests.want(domain, cpu_pct)

    def crash_host(self, name: str) -> None:
        """Power off: the agent and all that was in memory is gone; suspended VMs are on disk."""
        self._guests.set_power(self._hosts[name], Power.OFF)
        self._migrations.look()
        if name in self.simulation.nodes:
            self.simulation.nodes[name].crash()

    def repair_host(self, name: str) -> None:
        """Power on again, with the agent."""
        if not self._hosts[name].up:
            self._guests.set_power(self._hosts[name], Power.ON)
            self._migrations.look()
        if name in self.simulation.nodes:
            self.simulation.nodes[name].start()

    def crash_vm(self, vm: str) -> None:
        """The guest dies where it runs."""
        for domain in list(self._guests.lives(vm)):
            if domain.state is VmState.RUNNING:
                self._guests.remove(domain, "crashed", "the guest died")

    # --- The hypervisor of one host -----------------------------------------------------------------

    def attach(self, host: str, listener: Listener) -> Host:
        """Send changes on `host` to `listener`, the adapter of its present agent."""
        here = self._hosts[host]
        here.listener, here.watcher = listener, None
        return here

    def sample(self, host: str, since_version: int = -1) -> tuple[VmSample, ...]:
        """The VMs of `host` that changed after a `Host.version`, all of them by default."""
        return self._hosts[host].samples(self.simulation.now_s, since_version)

    def set_workload(self, host: str, vm: str, workload: str) -> None:
        """Raises `InputError` for a bad workload, `UnknownObject` or `Refused` when no such guest runs."""
        domain = self._hosts[host].domain(vm)
        parsed = parse_workload(workload)
        if domain.state is not VmState.RUNNING:
            raise Refused(f"{vm} on {host} is {domain.state}", hint="only a running guest takes a workload")
        self._migrations.settle(domain)
        domain.workload, domain.dirty_mibps = workload, float(parsed.dirty_mib_per_s)
        domain.host.changed(domain)
        self._guests.want(domain, parsed.cpu_pct)

    def set_spec(self, host: str, spec: VmSpec) -> None:
        """Raises `UnknownObject` or `Refused` when no such VM is here and idle."""
        domain = self._hosts[host].idle_domain(spec.id)
        domain.spec = spec
        domain.host.changed(domain)

    def abort_migration(self, host: str, vm: str) -> None:
        self._migrations.abort(self._hosts[host], vm)

    def perform(self, host: str, request: Perform, done: Callable[[Performed], None]) -> None:
        """Carry out the action; `done` is called once, unless the host crashes first."""
        started_s, here = self.simulation.now_s, self._hosts[host]

        def finish(error: LucError | None, downtime_ms: float) -> None:
            why = (error.message, error.kind) if error else ("", "")
            took_s = self.simulation.now_s - started_s
            if here.up:
                done(Performed(request.call_id, error is None, *why, took_s, downtime_ms))

        try:
            match request.action:
                case Migrate():
                    self._migrations.start(here, request, request.action, finish)
                case BootNode() | ShutdownNode():
                    self._turn(here, request.action, finish)
                case _:
                    self._change(here, request, finish)
        except LucError as error:
            refusal = error
            self.simulation.schedule(self.settings.call_s, lambda: finish(refusal, 0.0))

    # --- Changes of state ---------------------------------------------------------------------------

    def _change(self, host: Host, request: Perform, finish: Finish) -> None:
        action, vm = request.action, request.action.vm
        if isinstance(action, Boot):
            if request.spec is None or request.spec.id != vm:
                raise InputError(f"boot of {vm} without its specification")
            domain = Domain(host, request.spec, request.spec.workload)
            self._guests.admit(domain)
        else:
            # A VM can be killed whatever else is under way.
            domain = host.domain(vm) if isinstance(action, Kill) else host.idle_domain(vm)
        event = type(action).__name__.lower()
        goal = after_vm_event(domain.state, event)
        lasts_s, change = self._course(action)
        domain.busy = event

        def complete() -> None:
            if host.domains.get(vm) is not domain:
                finish(OperationFailed(f"{vm} died on {host.name} during its {event}"), 0.0)
                return
            domain.busy = ""
            if change == "stopped":
                self._guests.remove(domain, change)
            elif change == "started":
                self._start(domain)
            else:
                self._guests.enter(domain, goal)
                host.notify(domain, change)
            finish(None, 0.0)

        self.simulation.schedule(lasts_s, complete)

    def _start(self, domain: Domain) -> None:
        """The guest runs, and begins its program if it has one."""
        self._guests.begin(domain)
        self._guests.enter(domain, VmState.RUNNING)
        domain.host.notify(domain, "started")

    def _course(self, action: AnyAction) -> tuple[float, str]:
        """How long an action lasts and what `DomainChanged` calls its end."""
        settings = self.settings
        return {
            Boot: (settings.boot_s, "started"),
            Shutdown: (settings.shutdown_s, "stopped"),
            Kill: (settings.call_s, "stopped"),
            Pause: (settings.call_s, "paused"),
            Unpause: (settings.call_s, "resumed"),
            Suspend: (settings.suspend_s, "suspended"),
            Resume: (settings.resume_s, "resumed"),
        }[type(action)]

    def _turn(self, host: Host, action: BootNode | ShutdownNode, finish: Finish) -> None:
        """Put the host into standby or wake it; its agent, reachable throughout, stands for what can."""
        if action.node != host.name:
            raise InputError(f"{host.name} cannot switch {action.node} on or off")
        if isinstance(action, ShutdownNode):
            before, meanwhile, after, lasts_s = Power.ON, Power.FALLING, Power.STANDBY, self.settings.sleep_s
        else:
            before, meanwhile, after, lasts_s = Power.STANDBY, Power.WAKING, Power.ON, self.settings.wake_s
        if host.power is not before:
            raise Refused(f"{host.name} is {host.power}", hint=f"it must be {before} for that")
        if host.domains:
            some = next(iter(host.domains))
            raise Refused(
                f"{host.name} holds {len(host.domains)} VMs, {some} among them", hint="move them first"
            )
        self._guests.set_power(host, meanwhile)
        turn = host.turns

        def complete() -> None:
            if host.turns == turn:
                self._guests.set_power(host, after)
                finish(None, 0.0)

        self.simulation.schedule(lasts_s, complete)
