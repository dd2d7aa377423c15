"""The faults of a scenario, planned or random: crashes, cuts, stalls and loss. Only in the simulator."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from functools import partial
from random import Random
from typing import Protocol

from lucos.model import VmSpec, VmState
from lucos.simulator.cluster import SimulatedLuc
from lucos.simulator.scenario import Fault, Scenario


class Restarts(Protocol):
    """Boots a VM on a host, or on another if it is refused there (`clients.Clients`)."""

    def restart(self, spec: VmSpec, host: str) -> None: ...


class FaultPlan:
    """Injects the faults of `scenario` into `luc`, their times counted from now.

    `crashes` are told a host just before it loses power, `counts` says what was done. Random faults are drawn
    from the seed alone, so that all strategies meet the same.
    """

    def __init__(self, luc: SimulatedLuc, scenario: Scenario, seed: int, clients: Restarts) -> None:
        self.crashes: list[Callable[[str], None]] = []
        self.counts: Counter[str] = Counter()
        self._luc = luc
        self._simulation = luc.simulation
        self._network = luc.simulation.network
        self._table = scenario.faults
        self._clients = clients
        self._loss = self._network.loss
        self._cuts: dict[int, tuple[list[str], list[str], bool]] = {}
        self._next_cut = 0
        self._lost: dict[str, list[VmSpec]] = {}
        self._by_site: dict[str, list[str]] = {}
        for host, site in scenario.host_sites.items():
            self._by_site.setdefault(site, []).append(host)
        for fault in self._table.at:
            self._simulation.schedule(fault.at_s, partial(self._inject, fault))
        table = self._table
        for kind, period_s, duration_s in (
            ("crash", table.crash_period_s, table.downtime_s),
            ("cut", table.cut_period_s, table.cut_s),
            ("slow", table.slow_period_s, table.slow_s),
        ):
            if period_s:
                random = Random(f"{seed}/faults/{kind}")
                self._draw(kind, period_s / len(luc.names), duration_s, random)

    def _draw(self, kind: str, mean_s: float, duration_s: float, random: Random) -> None:
        """Have the next random fault of a kind come, and the one after it."""
        delay_s, host = random.expovariate(1.0 / mean_s), random.choice(self._luc.names)

        def strike() -> None:
            self._act(kind, [host], duration_s)
            self._draw(kind, mean_s, duration_s, random)

        self._simulation.schedule(delay_s, strike)

    def _inject(self, fault: Fault) -> None:
        targets = (fault.target,) if isinstance(fault.target, str) else fault.target
        hosts = [host for target in targets for host in self._by_site.get(target, [target])]
        self._act(fault.kind, hosts, fault.duration_s, fault.share)

    def _act(self, kind: str, hosts: list[str], duration_s: float, share: float = 0.0) -> None:
        self.counts[kind] += 1
        match kind:
            case "crash":
                for host in hosts:
                    self._crash(host, duration_s)
            case "cut" | "cut-oneway":
                self._cut(hosts, duration_s, kind == "cut-oneway")
            case "slow":
                for host in hosts:
                    self._simulation.nodes[host].stall(duration_s)
            case "loss":
                self._network.loss = share
                if duration_s:
                    self._simulation.schedule(duration_s, self._end_loss)
            case "heal":
                self._cuts.clear()
                self._network.heal()
                self._end_loss()

    def _end_loss(self) -> None:
        self._network.loss = self._loss

    def _crash(self, name: str, downtime_s: float) -> None:
        host = self._luc.fleet.host(name)
        if not host.up:
            return
        self._lost[name] = [
            domain.spec
            for domain in host.domains.values()
            if not domain.incoming and domain.state is not VmState.SLEEPING
        ]
        self.counts["vms_lost"] += len(self._lost[name])
        for tell in self.crashes:
            tell(name)
        self._luc.crash_host(name)
        if downtime_s:
            self._simulation.schedule(downtime_s, partial(self._return, name))

    def _return(self, name: str) -> None:
        self._luc.repair_host(name)
        lost = self._lost.pop(name, [])
        if self._table.restart_vms:
            self.counts["vms_restarted"] += len(lost)
            for spec in lost:
                self._clients.restart(spec, name)

    def _cut(self, hosts: list[str], duration_s: float, oneway: bool) -> None:
        inside = set(hosts)
        others = [name for name in self._luc.names if name not in inside]
        number = self._next_cut = self._next_cut + 1
        self._cuts[number] = (hosts, others, oneway)
        self._network.cut(hosts, others, oneway=oneway)
        if duration_s:
            self._simulation.schedule(duration_s, partial(self._end_cut, number))

    def _end_cut(self, number: int) -> None:
        """The network heals as a whole, so that cuts that still last are made again."""
        if self._cuts.pop(number, None) is not None:
            self._network.heal()
            for hosts, others, oneway in self._cuts.values():
                self._network.cut(hosts, others, oneway=oneway)
