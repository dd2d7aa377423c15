"""Predictive consolidation with few moves: VMs go to the fewest, most efficient hosts, and stay there. Pure.

Each VM has a forecast with a margin. The errors of different VMs are taken as independent, so the margins of
a host's VMs add up as squares do: together they need far less in reserve than each for itself. Every
threshold has a band, and every VM and host a rest after a move:

- relief: a host whose forecast leaves too little of its margin loses as few VMs as restore it;
- emptying: a host whose forecast has been low for a while is emptied into hosts that are in use, if all of
  its VMs fit there with their whole margin, and if the power saved over a horizon is worth the moves.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import inf, sqrt
from typing import TYPE_CHECKING, Annotated, Literal

import msgspec

from lucos.placement.lazy import np
from lucos.resources.prediction import PredictionSettings, Predictor, make_predictor

if TYPE_CHECKING:
    import numpy.typing as npt

    Floats = npt.NDArray[np.float64]
    Bools = npt.NDArray[np.bool_]

Reason = Literal["relief", "emptying"]
Share = Annotated[float, msgspec.Meta(ge=0, le=1)]
NotNegative = Annotated[float, msgspec.Meta(ge=0)]
_S_PER_HOUR = 3600.0


class HostRoom(msgspec.Struct, frozen=True):
    """A host that may receive VMs. CPU is in any unit, the same for VMs; one VM gets `vm_cpu_max` at most.

    `watts` is its power at evenly spaced CPU loads from idle to full; without VMs it draws none.
    """

    name: str
    cpu: float
    memory_mib: float = inf
    watts: tuple[float, ...] = (1.0, 1.0)
    vm_cpu_max: float = inf


class VmLoad(msgspec.Struct, frozen=True):
    """A VM that runs on `host`: it wants `cpu` now, and `cpu_max` at most."""

    name: str
    host: str
    cpu: float
    cpu_max: float
    memory_mib: float = 0.0


class Move(msgspec.Struct, frozen=True):
    vm: str
    source: str
    destination: str
    reason: Reason


class ConsolidationSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """[consolidation].

    Relief begins when a host's forecast with `relief_begin` of its margin is above its capacity, and goes on
    until the forecast with `relief_end` of it fits; what arrives anywhere must fit with all of it. A host is
    underloaded while its forecast is below `low_share` of its capacity, and is emptied after `low_s` of that
    at the soonest. Hosts and VMs rest for `cooldown_s` after a move. Emptying must save `move_cost_wh` for
    each of its moves within `horizon_s`. There are `moves_max` in a round at most. Of a VM seen `prior_looks`
    times half is taken from what is known of it, and half from an average VM with a margin of `prior_margin`
    of its size.
    """

    prediction: PredictionSettings = PredictionSettings()
    relief_begin: Share = 0.5
    relief_end: Share = 0.75
    low_share: Share = 0.6
    low_s: NotNegative = 300.0
    cooldown_s: NotNegative = 1800.0
    horizon_s: NotNegative = 3600.0
    move_cost_wh: NotNegative = 8.0
    moves_max: Annotated[int, msgspec.Meta(ge=0)] = 400
    prior_looks: Annotated[float, msgspec.Meta(gt=0)] = 2.0
    prior_margin: NotNegative = 0.5


class Consolidator:
    """Decides round by round; keeps the forecasts and the rests from one to the next, by name."""

    def __init__(self, settings: ConsolidationSettings | None = None) -> None:
        self._settings = settings or ConsolidationSettings()
        self._predictors: dict[str, Predictor] = {}
        self._vm_rests_until_s: dict[str, float] = {}
        self._host_rests_until_s: dict[str, float] = {}
        self._low_since_s: dict[str, float] = {}
        self._time_s = -inf

    def decide(self, time_s: float, hosts: Sequence[HostRoom], vms: Sequence[VmLoad]) -> list[Move]:
        """The moves to begin now, relief first. VMs on hosts that are not among `hosts` stay there."""
        index = {host.name: n for n, host in enumerate(hosts)}
        vms = [vm for vm in vms if vm.host in index]
        round_ = _Round(hosts, self._settings, vms, [index[vm.host] for vm in vms])
        round_.forecast(*self._forecasts(time_s, vms))
        resting = [self._vm_rests_until_s.get(vm.name, -inf) > time_s for vm in vms]
        round_.relieve(resting)
        round_.empty(self._underloaded(time_s, hosts, round_), resting)
        until_s = time_s + self._settings.cooldown_s
        for host in np.flatnonzero(round_.touched).tolist():
            self._host_rests_until_s[hosts[host].name] = until_s
        for vm, _, _ in round_.moves:
            self._vm_rests_until_s[vms[vm].name] = until_s
        return [Move(vms[vm].name, vms[vm].host, hosts[to].name, reason) for vm, to, reason in round_.moves]

    def _underloaded(self, time_s: float, hosts: Sequence[HostRoom], round_: _Round) -> Bools:
        """[H] the hosts that have been underloaded for long enough, and rested."""
        low = np.flatnonzero(round_.on & (round_.mean < self._settings.low_share * round_.cpu)).tolist()
        since_s, rests = self._low_since_s, self._host_rests_until_s
        self._low_since_s = {hosts[n].name: since_s.get(hosts[n].name, time_s) for n in low}
        self._host_rests_until_s = {name: until_s for name, until_s in rests.items() if until_s > time_s}
        return np.array(
            [
                time_s - self._low_since_s.get(host.name, inf) >= self._settings.low_s
                and host.name not in self._host_rests_until_s
                for host in hosts
            ],
            bool,
        )

    def _forecasts(self, time_s: float, vms: Sequence[VmLoad]) -> tuple[Floats, Floats]:
        """[V] value and squared margin of each VM for the time until the next round, if rounds are even."""
        known, rests, prior = self._predictors, self._vm_rests_until_s, self._settings
        ahead_s = time_s - self._time_s if self._time_s > -inf else 0.0
        self._time_s = time_s
        self._predictors = {vm.name: known.get(vm.name) or make_predictor(prior.prediction) for vm in vms}
        self._vm_rests_until_s = {name: rests[name] for name in self._predictors if name in rests}
        rows = []
        for vm, predictor in zip(vms, self._predictors.values(), strict=True):
            predictor.update(time_s, vm.cpu)
            rows.append(predictor.predict(ahead_s))
        value, margin, errors = np.array(rows, float).reshape(-1, 3).T
        size = np.array([vm.cpu_max for vm in vms])
        value = np.minimum(value, size)
        trust = (errors + 1) / (errors + 1 + prior.prior_looks)
        average = value.sum() / max(float(size.sum()), 1e-9)
        mean = trust * value + (1 - trust) * average * size
        trust = errors / (errors + prior.prior_looks)
        return mean, trust * margin**2 + (1 - trust) * (prior.prior_margin * size) ** 2


class _Round:
    """One decision. Arrays are over hosts [H] or VMs [V]; hosts and VMs are named by their index.

    `mean` and `squares` are the sums of forecasts and of squared margins of each host's VMs.
    """

    def __init__(
        self,
        hosts: Sequence[HostRoom],
        settings: ConsolidationSettings,
        vms: Sequence[VmLoad],
        where: Sequence[int],
    ) -> None:
        self._settings, self._where = settings, np.array(where, np.int64)
        self.cpu = np.array([host.cpu for host in hosts])
        self._memory_mib = np.array([host.memory_mib for host in hosts])
        self._vm_cpu_max = np.array([host.vm_cpu_max for host in hosts])
        self._watts = [host.watts for host in hosts]
        # Equally efficient hosts must compare as equal, whatever their sizes round to.
        self._watts_per_cpu = np.array([round(host.watts[-1] / host.cpu, 9) for host in hosts])
        self._vm_size = [vm.cpu_max for vm in vms]
        self._vm_memory_mib = [vm.memory_mib for vm in vms]
        self._vms_of: list[list[int]] = [[] for _ in hosts]
        for vm, host in enumerate(where):
            self._vms_of[host].append(vm)
            self._memory_mib[host] -= self._vm_memory_mib[vm]
        self.on = np.array([bool(vms) for vms in self._vms_of], bool)
        self.touched = np.zeros(len(hosts), bool)
        self.moves: list[tuple[int, int, Reason]] = []

    def forecast(self, value: Floats, squared_margin: Floats) -> None:
        """Take the forecasts of the VMs."""
        hosts = len(self.cpu)
        self._vm_mean, self._vm_squares = value.tolist(), squared_margin.tolist()
        self.mean: Floats = np.bincount(self._where, value, hosts).astype(np.float64)
        self.squares: Floats = np.bincount(self._where, squared_margin, hosts).astype(np.float64)

    def relieve(self, resting: Sequence[bool]) -> None:
        """Take as few VMs as needed off overloaded hosts, the worst host first."""
        above = self.mean + self._settings.relief_begin * np.sqrt(self.squares) - self.cpu
        calm = self.on & (above <= 0)
        for host in np.argsort(-above, kind="stable")[: int((above > 0).sum())].tolist():
            while len(self._vms_of[host]) > 1 and self._excess(host) > 0:
                vm = self._to_relieve(host, resting)
                if vm is None or len(self.moves) >= self._settings.moves_max:
                    break
                to = self._best(vm, calm)
                if to is None:
                    to = self._best(vm, ~self.on)
                if to is None:
                    break
                self._shift(vm, host, to)
                calm[to] = True
                self.touched[[host, to]] = True
                self.moves.append((vm, to, "relief"))

    def _to_relieve(self, host: int, resting: Sequence[bool]) -> int | None:
        """The smallest VM whose absence suffices, else the largest; None if all rest."""
        free = sorted((vm for vm in self._vms_of[host] if not resting[vm]), key=self._vm_mean.__getitem__)
        enough = (vm for vm in free if self._excess(host, vm) <= 0)
        return next(enough, free[-1] if free else None)

    def empty(self, candidates: Bools, resting: Sequence[bool]) -> None:
        """Empty candidates, the least efficient and least used first, as long as each is worth its moves."""
        order = np.lexsort((self.mean / self.cpu, -self._watts_per_cpu))
        for host in order[candidates[order]].tolist():
            vms = self._vms_of[host]
            if self.touched[host] or len(self.moves) + len(vms) > self._settings.moves_max:
                continue
            if any(resting[vm] for vm in vms) or not self._pays(self._power_w(host, self.mean), len(vms)):
                continue
            moves = self._move_all(host)
            if moves:
                self.moves += [(vm, to, "emptying") for vm, to in moves]
                self.touched[[host, *(to for _, to in moves)]] = True

    def _move_all(self, host: int) -> list[tuple[int, int]]:
        """Place all VMs of a host on others in use, the largest first; none if that fails or does not pay."""
        before, moves = self.mean.copy(), []
        self.on[host] = False
        for vm in sorted(self._vms_of[host], key=lambda vm: -self._vm_mean[vm]):
            to = self._best(vm, self.on)
            if to is None:
                break
            self._shift(vm, host, to)
            moves.append((vm, to))
        if not self._vms_of[host]:
            others = dict.fromkeys(to for _, to in moves)
            more_w = sum(self._power_w(to, self.mean) - self._power_w(to, before) for to in others)
            if self._pays(self._power_w(host, before) - more_w, len(moves)):
                return moves
        for vm, to in reversed(moves):
            self._shift(vm, to, host)
        self.on[host] = True
        return []

    def _pays(self, saved_w: float, moves: int) -> bool:
        saved_wh = saved_w * self._settings.horizon_s / _S_PER_HOUR
        return saved_wh >= moves * self._settings.move_cost_wh

    def _power_w(self, host: int, mean: Floats) -> float:
        watts = self._watts[host]
        return float(np.interp(mean[host] / self.cpu[host], np.linspace(0.0, 1.0, len(watts)), watts))

    def _excess(self, host: int, without: int | None = None) -> float:
        """CPU by which a host, perhaps without one of its VMs, is above where relief ends."""
        mean, squares = self.mean[host], self.squares[host]
        if without is not None:
            mean, squares = mean - self._vm_mean[without], squares - self._vm_squares[without]
        return float(mean + self._settings.relief_end * sqrt(max(squares, 0.0)) - self.cpu[host])

    def _best(self, vm: int, among: Bools) -> int | None:
        """The most efficient host in which the VM fits with its whole margin, and of those the fullest."""
        fits = (self._vm_cpu_max >= self._vm_size[vm]) & (self._memory_mib >= self._vm_memory_mib[vm])
        hosts = np.flatnonzero(among & fits)
        margin = np.sqrt(self.squares[hosts] + self._vm_squares[vm])
        room = self.cpu[hosts] - self.mean[hosts] - self._vm_mean[vm] - margin
        hosts, room = hosts[room >= 0], room[room >= 0]
        return int(hosts[np.lexsort((room, self._watts_per_cpu[hosts]))[0]]) if len(hosts) else None

    def _shift(self, vm: int, source: int, to: int) -> None:
        self._vms_of[source].remove(vm)
        self._vms_of[to].append(vm)
        self.on[to] = True
        self._memory_mib[source] += self._vm_memory_mib[vm]
        self._memory_mib[to] -= self._vm_memory_mib[vm]
        self.mean[source] -= self._vm_mean[vm]
        self.mean[to] += self._vm_mean[vm]
        # What is left of sums after differences must not be a root's negative argument.
        self.squares[source] = max(self.squares[source] - self._vm_squares[vm], 0.0)
        self.squares[to] += self._vm_squares[vm]
