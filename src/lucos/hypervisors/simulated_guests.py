"""All VMs of a simulated fleet, whatever host they are on: what runs, what it wants, what it is given.

Every change takes a few operations, however many hosts and VMs there are.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from lucos.actors.simulated import Simulation
from lucos.hypervisors.power import Power
from lucos.hypervisors.program import Program, Run
from lucos.hypervisors.simulated_host import Domain, Host
from lucos.model import VmState


class Guests:
    """`broken` records whenever a VM runs twice. `on_load` hears of hosts whose load or power changed."""

    def __init__(self, simulation: Simulation) -> None:
        self.simulation = simulation
        self.hosts: dict[str, Host] = {}
        self.broken: list[str] = []
        self.on_load: list[Callable[[Host], None]] = []
        self.programs: dict[str, Program] = {}
        self._lives: dict[str, list[Domain]] = {}

    def lives(self, vm: str) -> Sequence[Domain]:
        """The VM on each host that has something of it."""
        return self._lives.get(vm, ())

    def in_state(self, state: VmState) -> Iterator[Domain]:
        """All VMs in `state`, by host."""
        return (d for host in self.hosts.values() for d in host.domains.values() if d.state is state)

    # --- Where VMs are --------------------------------------------------------------------------------

    def admit(self, domain: Domain) -> None:
        """Put a VM that does not run yet on its host; raises as `Host.admit`."""
        domain.host.admit(domain)
        self._lives.setdefault(domain.spec.id, []).append(domain)

    def enter(self, domain: Domain, state: VmState) -> None:
        """Take a state, and record it if the VM now runs twice."""
        now_s, was = self.simulation.now_s, domain.state
        domain.settle(now_s)
        domain.state = state
        if (was is VmState.RUNNING) == (state is VmState.RUNNING):
            return
        runs, vm = state is VmState.RUNNING, domain.spec.id
        domain.host.add_demand(domain.demand_pct if runs else -domain.demand_pct, now_s)
        if runs:
            places = [d.host.name for d in self._lives[vm] if d.state is VmState.RUNNING]
            if len(places) > 1:
                self.broken.append(f"{now_s:.3f} s: {vm} runs on {', '.join(places)}")
        if domain.run is not None:
            if runs:
                domain.host.programs[vm] = domain
            else:
                domain.host.programs.pop(vm, None)
            self._pace(domain, domain.run)
        self._loaded(domain.host)
        domain.host.changed(domain)

    def remove(self, domain: Domain, change: str = "", detail: str = "") -> None:
        """Take a VM off its host, whatever it does, and tell its agent of the `change`."""
        vm, host = domain.spec.id, domain.host
        self.enter(domain, VmState.KILLED)
        del host.domains[vm]
        lives = self._lives[vm]
        lives.remove(domain)
        if not lives:
            del self._lives[vm]
        if domain.run is not None:
            domain.run.cancel()
        if change:
            host.notify(domain, change, detail)
        if domain.gone is not None:
            domain.gone()

    def set_power(self, host: Host, power: Power) -> None:
        """With the power off, suspended VMs are on disk and stay; all others are gone."""
        host.power = power
        host.turns += 1
        for domain in list(host.domains.values()) if power is Power.OFF else ():
            asleep = domain.copy_to(host, VmState.SLEEPING) if domain.state is VmState.SLEEPING else None
            self.remove(domain)
            if asleep is not None:
                host.domains[asleep.spec.id] = asleep
                self._lives.setdefault(asleep.spec.id, []).append(asleep)
        self._loaded(host)

    # --- What they want -------------------------------------------------------------------------------

    def want(self, domain: Domain, cpu_pct: float) -> None:
        """The guest wants that much from now on, in percent of a core, at most its virtual CPUs."""
        wanted_pct = domain.demand_of(cpu_pct)
        more_pct = wanted_pct - domain.demand_pct
        if not more_pct:
            return
        if domain.state is not VmState.RUNNING:
            domain.demand_pct = wanted_pct
            return
        now_s = self.simulation.now_s
        domain.settle(now_s)
        domain.demand_pct = wanted_pct
        domain.host.add_demand(more_pct, now_s)
        self._loaded(domain.host)
        domain.host.changed(domain)

    def _loaded(self, host: Host) -> None:
        if host.meter is not None:
            load = host.demand_pct / host.capacity.cpu_pct
            host.meter.turn(host.power, load, self.simulation.now_s)
        for domain in host.programs.values():
            if domain.run is not None:
                self._pace(domain, domain.run)
        for hook in self.on_load:
            hook(host)

    # --- Programs -------------------------------------------------------------------------------------

    def begin(self, domain: Domain) -> None:
        """Start the program of the guest from its beginning, if it has one."""
        program = self.programs.get(domain.spec.id)
        if program is None:
            return
        if domain.run is not None:
            domain.run.cancel()
        domain.run = Run(program)
        if domain.state is VmState.RUNNING:
            domain.host.programs[domain.spec.id] = domain
        self._go_on(domain, domain.run)

    def _go_on(self, domain: Domain, run: Run) -> None:
        self.want(domain, run.phase.cpu_pct)
        self._pace(domain, run)

    def _pace(self, domain: Domain, run: Run) -> None:
        """Say when the present phase ends at the present share of the CPU."""
        cores = domain.demand_pct / 100.0 * domain.host.share if domain.state is VmState.RUNNING else -1.0
        end_s = run.pace(self.simulation.now_s, cores)
        if end_s is not None:
            run.timer = self.simulation.schedule(end_s, lambda: self._phase_over(domain, run))

    def _phase_over(self, domain: Domain, run: Run) -> None:
        if run.next():
            self._go_on(domain, run)
        else:
            del self.programs[domain.spec.id]
            self.remove(domain, "stopped", "finished")
