"""A random life for a simulated LUC: loads that change, agents and hosts that die, networks that are cut."""

from __future__ import annotations

from collections.abc import Callable
from random import Random

from lucos.model import Resources
from lucos.resources.strategies import SchedulerSettings
from lucos.simulator.cluster import SimulatedLuc
from lucos.simulator.laws import Laws

FAULTS = ("crash agent", "crash host", "stall", "cut host", "cut oneway", "cut sites", "drain")


class RandomLife:
    """Loads and faults drawn from the seed. Total demand stays far enough below capacity for a solution."""

    def __init__(
        self,
        seed: int,
        *,
        scheduler: SchedulerSettings | None = None,
        nodes_min: int = 8,
        nodes_max: int = 32,
    ) -> None:
        self._random = Random(f"{seed}/life")
        # Small clusters more often: they are where everybody is in everybody's way.
        count = round(nodes_min + (nodes_max - nodes_min) * self._random.random() ** 4)
        sites = self._random.randint(1, 3)
        self.luc = SimulatedLuc.small(
            seed, count, sites=sites, capacity=Resources(200.0, 4096.0), scheduler=scheduler
        )
        self.laws = Laws(self.luc)
        self.vms = [f"ve.vm{i + 1}" for i in range(count * 4)]
        self._down: set[str] = set()
        self._draining: set[str] = set()

    def start(self) -> None:
        """Bring the LUC up with four VMs a node."""
        luc = self.luc
        luc.simulation.network.loss = self._random.choice([0.0, 0.02, 0.05])
        luc.settle()
        for i, vm in enumerate(self.vms):
            luc.boot(vm, luc.names[i % len(luc.names)], self._random.uniform(5, 30))
        deadline_s = luc.simulation.now_s + 60.0
        everyone = len(self.vms)
        if not luc.simulation.run(deadline_s, stop=lambda: len(luc.fleet.running()) == everyone):
            raise RuntimeError(f"seed {luc.simulation.seed}: not all VMs booted")
        for vm in self.vms:
            self.laws.expect(vm)

    def live(self, duration_s: float) -> None:
        """Change loads and inject faults for `duration_s`."""
        end_s = self.luc.simulation.now_s + duration_s
        while self.luc.simulation.now_s < end_s:
            self.luc.simulation.run(self.luc.simulation.now_s + self._random.uniform(0.3, 2.5))
            for _ in range(self._random.choice([0, 1, 1, 2, 4])):
                self._change_load()
            if self._random.random() < 0.2:
                self._fault()
            if self._random.random() < 0.25:
                self._repair()

    def recover(self) -> None:
        """Stop faults and bring everyone back."""
        simulation = self.luc.simulation
        simulation.network.heal()
        for node in sorted(self._down):
            self._up(node)
        for node in sorted(self._draining):
            self.luc.drain(node, False)
        # Long enough for membership and monitors to see things as they are now.
        simulation.run(simulation.now_s + 8.0)

    def rest(self, timeout_s: float = 240.0) -> None:
        """Recover, wait until violations are over, then check what must hold."""
        self.recover()
        self._until(timeout_s, lambda: not self.laws.violations())
        self.laws.check_relieved()
        self._until(timeout_s, lambda: not self.laws.granted())
        self.laws.check_vms()
        self.laws.check_ended()

    def _until(self, timeout_s: float, done: Callable[[], bool]) -> None:
        simulation = self.luc.simulation
        simulation.run(
            simulation.now_s + timeout_s,
            stop=lambda: simulation.events_processed % 200 == 0 and done(),
        )

    def _change_load(self) -> None:
        """Make one node busy, or one VM, or calm them; the whole stays under two thirds of capacity."""
        fleet = self.luc.fleet
        node = self._random.choice(self.luc.names)
        here = sorted(vm for vm, where in fleet.running().items() if node in where)
        busy = self._random.random() < 0.55
        budget_pct = 0.65 * self.luc.capacity.cpu_pct * (len(self.luc.names) - len(self._down))
        for vm in here:
            fleet.set_demand(vm, self._random.uniform(60, 95) if busy else self._random.uniform(5, 25))
        if sum(fleet.demands().values()) > budget_pct:
            for vm in here:
                fleet.set_demand(vm, 15.0)

    def _fault(self) -> None:
        simulation, names = self.luc.simulation, self.luc.names
        fault = self._random.choice(FAULTS)
        node = self._random.choice(names)
        if fault == "crash agent" and node not in self._down:
            simulation.nodes[node].crash()
            self._down.add(node)
        elif fault == "crash host" and node not in self._down and len(self._down) < 2:
            self.laws.host_crashes(node)
            self.luc.crash_host(node)
            self._down.add(node)
        elif fault == "stall":
            simulation.nodes[node].stall(self._random.uniform(0.2, 12.0))
        elif fault.startswith("cut"):
            half = names[: len(names) // 2] if fault == "cut sites" else [node]
            others = [n for n in names if n not in half]
            simulation.network.cut(half, others, oneway=fault == "cut oneway")
        elif fault == "drain" and not self._draining:
            self.luc.drain(node)
            self._draining.add(node)

    def _repair(self) -> None:
        if self._random.random() < 0.5:
            self.luc.simulation.network.heal()
        if self._down:
            self._up(self._random.choice(sorted(self._down)))
        for node in sorted(self._draining):
            if self._random.random() < 0.3:
                self.luc.drain(node, False)
                self._draining.discard(node)

    def _up(self, node: str) -> None:
        self._down.discard(node)
        self.luc.repair_host(node)
