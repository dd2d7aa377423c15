"""CloudSim's own policies: THR-MMT and LR-MMT, and the placements that its experiments begin with.

Each step a policy (PowerVmAllocationPolicyMigrationAbstract) takes VMs with little RAM off overloaded hosts,
gives each to the host whose power it raises least, and then tries to empty every other host, the least used
first. They differ in what is overloaded: a static threshold, or a local regression over the last ten samples.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple, Protocol

import numpy as np

from lucos.errors import InputError
from lucos.simulator.cloudsim.accounting import GONE, Account, Move
from lucos.simulator.cloudsim.datacenter import VMS_PER_HOST_MAX, Bools, Datacenter, Floats, Ints

_LR_SAMPLES = 10
_LR_HISTORY = 30
_LR_FALLBACK_SHARE = 0.7


class Policy(Protocol):
    """Decides once a step, when no migration is under way."""

    def decide(self, account: Account) -> list[Move]:
        """The moves to begin now: VM and destination."""
        ...


class Dvfs:
    """No consolidation: hosts without VMs are off, the others draw what their load takes."""

    def decide(self, _account: Account) -> list[Move]:
        return []


def first_fit(centre: Datacenter) -> Ints:
    """[V] the first host in which each VM fits: how experiments without migrations begin."""
    return _boot(centre, lambda fits, _used, _vm: int(np.argmax(fits)))


def least_power(centre: Datacenter) -> Ints:
    """[V] the host whose power each VM raises least: how experiments with migrations begin.

    A host counts as idle at the price of its first VM, so that most hosts get one.
    """
    idle = centre.power(np.zeros(len(centre.host_mips)))

    def choose(fits: Bools, used: Floats, vm: int) -> int:
        share = np.minimum((used + centre.vm_mips[vm]) / centre.host_mips, 1.0)
        return int(np.argmin(np.where(fits, centre.power(share) - idle, np.inf)))

    return _boot(centre, choose)


def _boot(centre: Datacenter, choose: Callable[[Bools, Floats, int], int]) -> Ints:
    """Place VMs in order, each at its full size; raises `InputError` when hosts are full."""
    hosts = len(centre.host_mips)
    used, ram_mb, count = np.zeros(hosts), np.zeros(hosts), np.zeros(hosts, np.int64)
    placement = np.full(len(centre.vm_mips), GONE)
    for vm, (mips, vm_ram_mb) in enumerate(zip(centre.vm_mips, centre.vm_ram_mb, strict=True)):
        fits = (centre.core_mips >= mips) & (centre.host_mips - used >= mips)
        fits &= (centre.host_ram_mb - ram_mb >= vm_ram_mb) & (count < VMS_PER_HOST_MAX)
        host = choose(fits, used, vm)
        if not fits[host]:
            words = f"{vm} VMs of {len(placement)} fill the {hosts} hosts: there is no room for the next"
            raise InputError(words, hint="raise hosts, or lower the number of VMs")
        used[host] += mips
        ram_mb[host] += vm_ram_mb
        count[host] += 1
        placement[vm] = host
    return placement


class _Load(NamedTuple):
    """What is known of some hosts, in arrays over them. `score` is what a policy holds against their VMs.

    `aged` counts VMs with a history longer than a regression takes.
    """

    mips: Floats
    wanted: Floats
    score: Floats
    aged: Ints


class _Plan:
    """The placement as it will be after the moves planned so far. Arrays are over hosts or (`_vm`) VMs."""

    def __init__(self, account: Account, vm_score: Floats, vm_aged: Ints) -> None:
        self.centre, self.requested = account.datacenter, account.requested
        self.vms_of = [list(vms) for vms in account.vms_of]
        self._vm_score, self._vm_aged = vm_score, vm_aged
        self._watts_now = self.centre.power(account.utilisation)
        hosts = len(self.vms_of)
        self._allocated, self._free = np.zeros(hosts), self.centre.host_mips.copy()
        self._wanted, self._score, self._aged = np.zeros(hosts), np.zeros(hosts), np.zeros(hosts, np.int64)
        for host, vms in enumerate(self.vms_of):
            if vms:
                self._recount(host)

    def add(self, vm: int, host: int) -> None:
        self.vms_of[host].append(vm)
        self._recount(host)

    def remove(self, vm: int, host: int) -> None:
        self.vms_of[host].remove(vm)
        self._recount(host)

    def _recount(self, host: int) -> None:
        """Sums in order of arrival, as CloudSim's are, so that ties fall alike."""
        vms, core = self.vms_of[host], self.centre.core_mips[host]
        capacity = self.centre.host_mips[host]
        wanted = [float(self.requested[vm]) for vm in vms]
        capped = [min(mips, core) for mips in wanted]
        need = sum(capped)
        if need > capacity:
            capped = [float(np.floor(mips * capacity / need)) for mips in capped]
        self._allocated[host] = sum(capped)
        self._free[host] = max(capacity - need, 0.0)
        self._wanted[host] = sum(wanted)
        self._score[host] = sum(self._vm_score[vm] for vm in vms)
        self._aged[host] = sum(self._vm_aged[vm] for vm in vms)

    def load(self, hosts: Ints) -> _Load:
        return _Load(self.centre.host_mips[hosts], self._wanted[hosts], self._score[hosts], self._aged[hosts])

    def load_with(self, vm: int, hosts: Ints) -> _Load:
        """The load if the VM came to each of the hosts."""
        mips, wanted, score, aged = self.load(hosts)
        return _Load(mips, wanted + self.requested[vm], score + self._vm_score[vm], aged + self._vm_aged[vm])

    def best_host(self, vm: int, closed: Bools, policy: Mmt) -> int:
        """The host whose power the VM raises least without overloading it; GONE if there is none."""
        centre, mips = self.centre, self.requested[vm]
        hosts = np.flatnonzero(~closed & (centre.core_mips >= mips) & (self._free >= mips))
        over = policy.overloaded(self.load_with(vm, hosts))
        hosts = hosts[~over | (self._allocated[hosts] == 0)]
        if not len(hosts):
            return GONE
        share = (self._allocated[hosts] + mips) / centre.host_mips[hosts]
        return int(hosts[np.argmin(centre.power(share, hosts) - self._watts_now[hosts])])

    def by_demand(self, vms: list[int]) -> list[int]:
        return sorted(vms, key=lambda vm: -self.requested[vm])


class Mmt:
    """A policy that selects VMs by minimum migration time, whatever it calls overloaded."""

    def scores(self, account: Account) -> tuple[Floats, Ints]:
        """[V] what each VM adds to its host's score, and whether it has a long history (0 or 1)."""
        raise NotImplementedError

    def overloaded(self, load: _Load) -> Bools:
        """Which of the hosts are overloaded."""
        raise NotImplementedError

    def decide(self, account: Account) -> list[Move]:
        plan = _Plan(account, *self.scores(account))
        over = self.overloaded(plan.load(np.arange(len(account.vms_of))))
        moves = []
        for vm in plan.by_demand(self._take_off(plan, over)):
            host = plan.best_host(vm, over, self)
            if host != GONE:
                plan.add(vm, host)
                moves.append((vm, host))
        return moves + self._empty(plan, account, over)

    def _take_off(self, plan: _Plan, over: Bools) -> list[int]:
        """VMs to take off overloaded hosts: the least RAM first, until the host is no longer overloaded."""
        taken = []
        for host in np.flatnonzero(over).tolist():
            while plan.vms_of[host]:
                vm = min(plan.vms_of[host], key=plan.centre.vm_ram_mb.__getitem__)
                taken.append(vm)
                plan.remove(vm, host)
                if not self.overloaded(plan.load(np.array([host])))[0]:
                    break
        return taken

    def _empty(self, plan: _Plan, account: Account, over: Bools) -> list[Move]:
        """Try to empty each host that is neither overloaded nor a destination, the least used first."""
        closed = over | (account.utilisation == 0)
        spared = closed | (account.utilisation >= 1)
        moves: list[Move] = []
        for host in np.argsort(account.utilisation, kind="stable").tolist():
            if spared[host]:
                continue
            closed[host] = True
            placed: list[Move] = []
            for vm in plan.by_demand(plan.vms_of[host]):
                to = plan.best_host(vm, closed, self)
                if to == GONE:
                    for other, where in placed:
                        plan.remove(other, where)
                    placed = []
                    break
                plan.add(vm, to)
                placed.append((vm, to))
            for _, to in placed:
                spared[to] = True
            moves += placed
        return moves


class ThrMmt(Mmt):
    """Overloaded is a host whose VMs want more than `threshold` of its MIPS."""

    def __init__(self, threshold: float = 0.8) -> None:
        self._threshold = threshold

    def scores(self, account: Account) -> tuple[Floats, Ints]:
        return account.requested, np.zeros(len(account.requested), np.int64)

    def overloaded(self, load: _Load) -> Bools:
        return np.asarray(load.wanted / load.mips > self._threshold)


class LrMmt(Mmt):
    """Overloaded is a host that a line through the last ten samples, times `safety`, brings to its MIPS.

    CloudSim means to weight the samples (Loess), but its weights are never used: the line is a plain one.
    """

    def __init__(self, safety: float = 1.2) -> None:
        self._safety = safety
        self._history: list[Floats] = []

    def scores(self, account: Account) -> tuple[Floats, Ints]:
        self._history = [*self._history, account.requested][-_LR_HISTORY:]
        old, recent = self._history[: 1 - _LR_SAMPLES], np.array(self._history[-_LR_SAMPLES:])
        if len(self._history) < _LR_SAMPLES:
            return account.requested, np.zeros(len(account.requested), np.int64)
        return _LR_WEIGHTS @ recent, np.any(np.array(old) > 0, axis=0).astype(np.int64)

    def overloaded(self, load: _Load) -> Bools:
        predicted = self._safety * load.score / load.mips >= 1.0
        return np.where(load.aged > 0, predicted, load.wanted / load.mips > _LR_FALLBACK_SHARE)


def _next_on_line(samples: int) -> Floats:
    """Weights that turn samples, oldest first, into the next value on their least-squares line."""
    x = np.arange(1.0, samples + 1)
    spread = x - x.mean()
    return np.asarray(1 / samples + spread * (samples + 1 - x.mean()) / (spread @ spread))


_LR_WEIGHTS = _next_on_line(_LR_SAMPLES)
