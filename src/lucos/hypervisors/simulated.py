"""A simulated fleet of hypervisors, and the adapter by which a simulated agent reaches its own.

The fleet is the physical truth: it outlives crashes of agents, has no opinion on what should run, and records
in `broken` whenever a VM runs twice. CPU time is shared in proportion to demand and accumulates lazily; live
migration is pre-copy in rounds, advanced in steps of `step_s` of virtual time.
"""

from __future__ import annotations

from collections.abc import Callable

from lucos.actors import Actor, Message, World
from lucos.actors.ports import (
    AbortMigration,
    DomainChanged,
    Perform,
    Performed,
    Sample,
    Sampled,
    SetSpec,
    SetWorkload,
    Subscribe,
    VmSample,
)
from lucos.actors.simulated import Simulation
from lucos.errors import InputError, LucError, OperationFailed, Refused, Unreachable
from lucos.hypervisors.simulated_host import Domain, FleetSettings, Host, Listener
from lucos.model import (
    AnyAction,
    Boot,
    Kill,
    Migrate,
    Pause,
    Resources,
    Resume,
    Shutdown,
    Suspend,
    Unpause,
    VmSpec,
    VmState,
    after_vm_event,
)
from lucos.model.workload import parse_workload

# Called once at the end of an action: why it failed (None: done), downtime in milliseconds.
Finish = Callable[[LucError | None, float], None]


class _Migration:
    """A live migration under way: a round sends `remaining_mib` while `dirtied_mib` gathers for the next."""

    def __init__(self, source: Host, destination: Host, domain: Domain, request: Perform) -> None:
        self.source = source
        self.destination = destination
        self.leaving = domain
        self.arriving = Domain(domain.spec, domain.workload)
        self.arriving.incoming = True
        self.request = request
        self.remaining_mib = float(domain.spec.memory_mib)
        self.dirtied_mib = 0.0
        self.silent_s = 0.0
        self.stopped_at_s: float | None = None
        self.aborted = False


class SimulatedFleet:
    """Hosts and VMs shared by all nodes of `simulation`. Fault injection: `crash_host`, `crash_vm`."""

    def __init__(self, simulation: Simulation, settings: FleetSettings | None = None) -> None:
        self.simulation = simulation
        self.settings = settings or FleetSettings()
        self.broken: list[str] = []
        self._hosts: dict[str, Host] = {}
        self._migrations: list[_Migration] = []

    # --- For scenarios and laws ---------------------------------------------------------------------

    def add_host(
        self,
        name: str,
        capacity: Resources,
        *,
        site: str = "",
        link_mibps: float = 100.0,
        watts: tuple[float, ...] = (),
        standby_watts: float = 0.0,
    ) -> None:
        """Its name is also the address at which migrations reach it."""
        self._hosts[name] = Host(name, capacity)

    def set_backbone(self, site: str, mibps: float) -> None:
        """What the site's connection to the other sites carries each way."""

    def place(
        self, spec: VmSpec, host: str, *, cpu_pct: float = 0.0, dirty_intensity: float = 0.0
    ) -> None:
        """A VM that runs on `host` from now on, without a boot."""
        domain = Domain(spec, spec.workload)
        domain.demand_pct = cpu_pct
        self._hosts[host].admit(domain)
        self._enter(self._hosts[host], domain, VmState.RUNNING)

    def running(self) -> dict[str, list[str]]:
        """The hosts on which each VM executes now; VMs that execute nowhere are absent."""
        places: dict[str, list[str]] = {}
        for host in self._hosts.values():
            for vm, domain in host.domains.items():
                if domain.state is VmState.RUNNING:
                    places.setdefault(vm, []).append(host.name)
        return places

    def migrations(self) -> list[tuple[str, str, str]]:
        """The moves under way: (vm, source, destination)."""
        return [(m.leaving.spec.id, m.source.name, m.destination.name) for m in self._migrations]

    def demands(self) -> dict[str, float]:
        """What each running VM wants, in percent of a core."""
        return {
            vm: domain.demand_pct
            for host in self._hosts.values()
            for vm, domain in host.domains.items()
            if domain.state is VmState.RUNNING
        }

    def set_demand(self, vm: str, cpu_pct: float) -> None:
        """What the guest wants from now on, in percent of a core, at most its virtual CPUs."""
        for host in self._hosts.values():
            domain = host.domains.get(vm)
            if domain is not None:
                host.settle(self.simulation.now_s)
                domain.demand_pct = min(cpu_pct, 100.0 * domain.spec.cpu)

    def crash_host(self, name: str) -> None:
        """Power off: the agent and all that was in memory is gone; suspended VMs are on disk."""
        self._hosts[name].lose_power()
        if name in self.simulation.nodes:
            self.simulation.nodes[name].crash()

    def repair_host(self, name: str) -> None:
        """Power on again, with the agent."""
        self._hosts[name].up = True
        if name in self.simulation.nodes:
            self.simulation.nodes[name].start()

    def crash_vm(self, vm: str) -> None:
        """The guest dies where it runs."""
        for name in self.running().get(vm, []):
            self._remove(self._hosts[name], vm, "crashed", "the guest died")

    # --- The hypervisor of one host -----------------------------------------------------------------

    def attach(self, host: str, listener: Listener) -> None:
        """Send changes on `host` to `listener`, the adapter of its present agent."""
        self._hosts[host].listener = listener

    def sample(self, host: str) -> tuple[VmSample, ...]:
        self._hosts[host].settle(self.simulation.now_s)
        return self._hosts[host].samples()

    def set_workload(self, host: str, vm: str, workload: str) -> None:
        """Raises `InputError` for a bad workload, `UnknownObject` or `Refused` when no such guest runs."""
        domain = self._hosts[host].domain(vm)
        cpu_pct = parse_workload(workload).cpu_pct
        if domain.state is not VmState.RUNNING:
            raise Refused(f"{vm} on {host} is {domain.state}", hint="only a running guest takes a workload")
        domain.workload = workload
        self.set_demand(vm, cpu_pct)

    def set_spec(self, host: str, spec: VmSpec) -> None:
        """Raises `UnknownObject` or `Refused` when no such VM is here and idle."""
        self._hosts[host].idle_domain(spec.id).spec = spec

    def asleep(self) -> set[str]:
        """VMs whose memory is saved on a host, up or not."""
        return {
            vm
            for host in self._hosts.values()
            for vm, domain in host.domains.items()
            if domain.state is VmState.SLEEPING
        }

    def abort_migration(self, host: str, vm: str) -> None:
        for migration in self._migrations:
            if (migration.source.name, migration.leaving.spec.id) == (host, vm):
                migration.aborted = True

    def perform(self, host: str, request: Perform, done: Callable[[Performed], None]) -> None:
        """Carry out the action; `done` is called once, unless the host crashes first."""
        started_s, here = self.simulation.now_s, self._hosts[host]

        def finish(error: LucError | None, downtime_ms: float) -> None:
            why = (error.message, error.kind) if error else ("", "")
            took_s = self.simulation.now_s - started_s
            if here.up:
                done(Performed(request.call_id, error is None, *why, took_s, downtime_ms))

        try:
            if isinstance(request.action, Migrate):
                self._migrate(here, request, request.action, finish)
            else:
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
            domain = Domain(request.spec, request.spec.workload)
            host.admit(domain)
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
                self._remove(host, vm, change)
            else:
                self._enter(host, domain, goal)
                host.notify(domain, change)
            finish(None, 0.0)

        self.simulation.schedule(lasts_s, complete)

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

    def _enter(self, host: Host, domain: Domain, state: VmState) -> None:
        """Take a state, and record it if the VM now runs twice."""
        host.settle(self.simulation.now_s)
        domain.state = state
        places = self.running().get(domain.spec.id, [])
        if state is VmState.RUNNING and len(places) > 1:
            self.broken.append(f"{self.simulation.now_s:.3f} s: {domain.spec.id} runs on {', '.join(places)}")

    def _remove(self, host: Host, vm: str, change: str, detail: str = "") -> None:
        host.settle(self.simulation.now_s)
        host.notify(host.domains.pop(vm), change, detail)

    # --- Live migration -----------------------------------------------------------------------------

    def _migrate(self, host: Host, request: Perform, action: Migrate, finish: Finish) -> None:
        domain = host.idle_domain(action.vm)
        after_vm_event(domain.state, "migrate")
        where = request.destination_address or action.destination
        destination = self._hosts.get(where)
        if destination is None or not self._connected(host, destination):
            raise Unreachable(f"{where} does not answer {host.name}", hint="luc node ls shows who is alive")
        migration = _Migration(host, destination, domain, request)
        destination.admit(migration.arriving)
        domain.busy = "migrate"
        self._migrations.append(migration)
        destination.notify(migration.arriving, "incoming", host.name)
        deadline_s = self.simulation.now_s + request.timeout_s
        self._advance_after(self.settings.step_s, migration, deadline_s, finish)

    def _connected(self, a: Host, b: Host) -> bool:
        network = self.simulation.network
        cut = network.is_cut(a.name, b.name) or network.is_cut(b.name, a.name)
        return a.up and b.up and not cut

    def _advance_after(self, delay_s: float, m: _Migration, deadline_s: float, finish: Finish) -> None:
        self.simulation.schedule(delay_s, lambda: self._advance(m, deadline_s, finish))

    def _advance(self, m: _Migration, deadline_s: float, finish: Finish) -> None:
        """One step: fail, switch over, or copy on."""
        step_s, vm = self.settings.step_s, m.leaving.spec.id
        connected = self._connected(m.source, m.destination)
        m.silent_s = 0.0 if connected else m.silent_s + step_s
        if m.source.domains.get(vm) is not m.leaving:
            self._fail(m, "the VM died at its source", finish)
        elif m.silent_s >= self.settings.keepalive_s:
            self._fail(m, f"{m.destination.name} does not answer", finish)
        elif m.destination.up and m.destination.domains.get(vm) is not m.arriving:
            self._fail(m, f"{m.destination.name} lost it", finish)
        elif connected and m.stopped_at_s is not None:
            self._switch(m, m.stopped_at_s, finish)
        elif m.aborted:
            self._fail(m, "aborted", finish)
        elif self.simulation.now_s >= deadline_s:
            self._fail(m, f"not done within {m.request.timeout_s:g} s: dirtied too fast or cut off", finish)
        else:
            delay_s = self._copy(m) if connected else step_s
            self._advance_after(delay_s, m, deadline_s, finish)

    def _copy(self, m: _Migration) -> float:
        """Account for the step just passed; the delay until the next, which is the downtime at the end."""
        settings = self.settings
        bandwidth_mibps = self._bandwidth_mibps(m)
        dirty_mibps = parse_workload(m.leaving.workload).dirty_mib_per_s
        dirty_max_mib = settings.dirty_share_max * m.leaving.spec.memory_mib
        m.remaining_mib -= bandwidth_mibps * settings.step_s
        m.dirtied_mib = min(m.dirtied_mib + dirty_mibps * settings.step_s, dirty_max_mib)
        if m.remaining_mib <= 0.0:
            m.remaining_mib, m.dirtied_mib = max(m.remaining_mib + m.dirtied_mib, 0.0), 0.0
        last_s = (m.remaining_mib + m.dirtied_mib) / bandwidth_mibps
        if last_s > settings.downtime_max_s:
            return settings.step_s
        m.stopped_at_s = self.simulation.now_s
        self._enter(m.source, m.leaving, VmState.PAUSED)
        return last_s + settings.switch_s

    def _bandwidth_mibps(self, m: _Migration) -> float:
        """An equal share of the busier end's link, under the migration's own cap."""
        ends = [end for other in self._migrations for end in (other.source, other.destination)]
        share_mibps = self.settings.link_mibps / max(ends.count(m.source), ends.count(m.destination))
        return min(share_mibps, m.request.bandwidth_mibps or share_mibps)

    def _switch(self, m: _Migration, stopped_at_s: float, finish: Finish) -> None:
        vm = m.leaving.spec.id
        self._migrations.remove(m)
        m.arriving.incoming = False
        m.arriving.workload = m.leaving.workload
        m.arriving.demand_pct = m.leaving.demand_pct
        self._remove(m.source, vm, "left", m.destination.name)
        self._enter(m.destination, m.arriving, VmState.RUNNING)
        m.destination.notify(m.arriving, "arrived", m.source.name)
        finish(None, 1000.0 * (self.simulation.now_s - stopped_at_s))

    def _fail(self, m: _Migration, reason: str, finish: Finish) -> None:
        """The VM stays at its source, or runs again there, if the source still has it."""
        vm = m.leaving.spec.id
        self._migrations.remove(m)
        if m.destination.domains.get(vm) is m.arriving:
            self._remove(m.destination, vm, "migration-failed", reason)
        if m.source.domains.get(vm) is m.leaving:
            m.leaving.busy = ""
            if m.stopped_at_s is not None:
                self._enter(m.source, m.leaving, VmState.RUNNING)
            m.source.notify(m.leaving, "migration-failed", reason)
        finish(OperationFailed(f"migration of {vm} to {m.destination.name}: {reason}"), 0.0)


class SimulatedHypervisor(Actor):
    """The Hypervisor port (`actors.ports`) of one simulated node."""

    def __init__(self, world: World, fleet: SimulatedFleet) -> None:
        super().__init__(world)
        self._fleet = fleet
        self._subscribers: list[str] = []
        fleet.attach(world.node, self._changed)

    def _changed(self, change: DomainChanged) -> None:
        for subscriber in self._subscribers:
            self.world.send(subscriber, change)

    def receive(self, message: Message, sender: str) -> None:
        node, send = self.world.node, self.world.send
        match message:
            case Perform():
                self._fleet.perform(node, message, lambda performed: send(sender, performed))
            case AbortMigration(vm=vm):
                self._fleet.abort_migration(node, vm)
            case SetWorkload(call_id=call_id, vm=vm, workload=workload):
                try:
                    self._fleet.set_workload(node, vm, workload)
                except LucError as error:
                    send(sender, Performed(call_id, False, error.message, error.kind))
                else:
                    send(sender, Performed(call_id, True))
            case SetSpec(call_id=call_id, spec=spec):
                try:
                    self._fleet.set_spec(node, spec)
                except LucError as error:
                    send(sender, Performed(call_id, False, error.message, error.kind))
                else:
                    send(sender, Performed(call_id, True))
            case Sample(call_id=call_id):
                send(sender, Sampled(call_id, self.world.now_s(), self._fleet.sample(node)))
            case Subscribe() if sender not in self._subscribers:
                self._subscribers.append(sender)
