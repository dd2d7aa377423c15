"""CloudSim's accounting of a running data centre: who gets how many MIPS, energy, violations, migrations.

Everything is judged at instants: the steps, and the ends of migrations between them. What holds at an instant
counts until the next one, except energy, which is linear between the two. The peculiarities are CloudSim
3.0.3's (PowerDatacenter, HostDynamicWorkload, VmSchedulerTimeSharedOverSubscription, Helper) and are kept on
purpose:

- a VM that wants nothing at an instant has ended and is gone for good;
- a VM that moves gets 90 % at its source and takes 10 % at its destination, which counts as overloaded
  meanwhile, because the whole of what the VM wants is held against the tenth that it gets there;
- RAM is asked for at boot only, and a switched-off host draws nothing and is ready at once.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from lucos.simulator.cloudsim.datacenter import MIGRATION_MBPS, STEP_S, Datacenter, Floats, Ints

Move = tuple[int, int]
_OUT_SHARE = 0.9
_IN_SHARE = 0.1
GONE = -1


@dataclass
class Totals:
    """What has been accounted for so far: seconds, joules, and MIPS times seconds."""

    energy_j: float = 0.0
    active_s: float = 0.0
    overloaded_s: float = 0.0
    requested: float = 0.0
    allocated: float = 0.0
    lost_in_migrations: float = 0.0
    migrations: int = 0


class Account:
    """A data centre in operation. `load` is [V, samples]: CPU as a share of the VM's MIPS, one sample a step.

    `placement` is [V]: the host each VM runs on, GONE when it has ended; `vms_of` the same per host, in the
    order of arrival. `requested` is [V]: MIPS wanted at `time_s`; `utilisation` is [H]: share of the host in
    use.
    """

    def __init__(self, datacenter: Datacenter, load: Floats, placement: Ints) -> None:
        self.datacenter = datacenter
        self.placement = placement.copy()
        self.vms_of: list[list[int]] = [[] for _ in datacenter.host_mips]
        for vm, host in enumerate(placement):
            self.vms_of[host].append(vm)
        self.time_s = 0.0
        self.totals = Totals()
        self.requested = np.zeros(len(placement))
        self.utilisation = np.zeros(len(self.vms_of))
        # CloudSim repeats the last sample, so that there is one to interpolate to at the end of the day.
        self._load = np.hstack([load, load[:, -1:]])
        self._moving = np.zeros(len(placement), bool)
        self._allocated = np.zeros(len(placement))
        self._host_requested = np.zeros(len(self.vms_of))
        self._host_allocated = np.zeros(len(self.vms_of))

    def advance(self, time_s: float) -> None:
        """Account for the time until `time_s`, look at the loads there, and let go of VMs that have ended."""
        elapsed_s = time_s - self.time_s
        self._charge(elapsed_s)
        before = self.utilisation
        self.time_s = time_s
        self.requested = self._load_at(time_s) * self.datacenter.vm_mips
        self._share()
        on = before > 0
        watts = (self.datacenter.power(before) + self.datacenter.power(self.utilisation)) / 2
        self.totals.energy_j += float(watts[on].sum()) * elapsed_s
        self._end_idle()

    def start(self, moves: Sequence[Move]) -> list[tuple[float, list[Move]]]:
        """Begin moves at this instant; returns when they end, soonest first, with the moves that end there.

        A VM may be moved twice at once; it then ends at the last destination and both count, as in CloudSim.
        """
        ends: dict[float, list[Move]] = {}
        for vm, host in moves:
            self._moving[vm] = True
            self.vms_of[host].append(vm)
            duration_s = self.datacenter.vm_ram_mb[vm] / MIGRATION_MBPS
            ends.setdefault(self.time_s + float(duration_s), []).append((vm, host))
        self.totals.migrations += len(moves)
        if moves:
            self._share()
        return sorted(ends.items())

    def finish(self, moves: Sequence[Move]) -> None:
        """The moves end at this instant: their VMs run where they went to."""
        for vm, host in moves:
            self.vms_of[self.placement[vm]].remove(vm)
            self.vms_of[host].remove(vm)
            self.vms_of[host].append(vm)
            self.placement[vm] = host
            self._moving[vm] = False
        self._share()
        self._end_idle()

    def _load_at(self, time_s: float) -> Floats:
        step, rest_s = divmod(time_s, STEP_S)
        now = self._load[:, int(step)]
        if rest_s == 0:
            return now
        return now + (self._load[:, int(step) + 1] - now) / STEP_S * rest_s

    def _charge(self, elapsed_s: float) -> None:
        """What held since the last instant counts for `elapsed_s`."""
        totals = self.totals
        active = self._host_allocated > 0
        totals.active_s += elapsed_s * int(active.sum())
        totals.overloaded_s += elapsed_s * int((active & (self._host_allocated < self._host_requested)).sum())
        here = self.placement != GONE
        totals.requested += elapsed_s * float(self.requested[here].sum())
        totals.allocated += elapsed_s * float(self._allocated[here].sum())
        lost = np.maximum(self.requested - self._allocated, 0.0)[self._moving]
        totals.lost_in_migrations += elapsed_s * float(lost.sum())

    def _share(self) -> None:
        """Divide each host's MIPS among its VMs: what they want, or in proportion to it."""
        centre, hosts = self.datacenter, len(self.vms_of)
        host = np.repeat(np.arange(hosts), [len(vms) for vms in self.vms_of])
        vm = np.array([vm for vms in self.vms_of for vm in vms], np.int64)
        incoming = self.placement[vm] != host
        outgoing = self._moving[vm] & ~incoming
        wanted = self.requested[vm]
        capped = np.minimum(wanted, centre.core_mips[host])
        need = _sums(host, np.where(incoming, capped * _IN_SHARE, capped), hosts)
        scale = (centre.host_mips / np.maximum(need, centre.host_mips))[host]
        given = np.where(incoming, capped * _IN_SHARE * scale, capped * scale)
        given = np.where(outgoing, given * _OUT_SHARE, given)
        given = np.where((need > centre.host_mips)[host], np.floor(given), given)
        # The migration itself takes the tenth that the VM does not get.
        taken = np.where(outgoing, given / _OUT_SHARE, given)
        self._allocated[vm[~incoming]] = given[~incoming]
        self._host_allocated = _sums(host, taken, hosts)
        self._host_requested = _sums(host, wanted, hosts)
        share = self._host_allocated / centre.host_mips
        self.utilisation = np.where((share > 1) & (share < 1.01), 1.0, share)

    def _end_idle(self) -> None:
        """VMs that want nothing and are not on the move have ended."""
        ended = (self.requested == 0) & (self.placement != GONE) & ~self._moving
        for vm in np.flatnonzero(ended).tolist():
            self.vms_of[self.placement[vm]].remove(vm)
            self.placement[vm] = GONE


def _sums(of: Ints, values: Floats, count: int) -> Floats:
    """[count] the sums of values by what they are of, each added up in their order, as CloudSim does."""
    return np.bincount(of, values, count).astype(np.float64)
