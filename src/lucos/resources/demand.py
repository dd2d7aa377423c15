"""From hypervisor counters to what VMs want, and from that to violations. Pure: no world needed.

A saturated host hides demand: a starved VM's CPU time looks small. So demand is CPU time plus run delay, the
time its threads were runnable without running (both per second), smoothed.
"""

from __future__ import annotations

import msgspec

from lucos.actors.ports import VmSample
from lucos.errors import InputError
from lucos.model import Resources, VmSpec, VmState
from lucos.model.workload import parse_workload

IDLE_CPU_PCT = 2.0
# A VM that takes more than this after its warm-up is held to be booting still, for BOOT_S_MAX at most.
BOOTED_CPU_PCT = 60.0
BOOT_S_MAX = 90.0
# An overload begins above a node's capacity, ends below OVERLOAD_END of it, and is relieved down to RELIEF,
# so that the end of the move is the end of the overload and not the eve of the next one.
OVERLOAD_END = 0.97
RELIEF = 0.93


def expected_cpu_pct(workload: str) -> float:
    """CPU a workload says it will take, in percent of a core: the demand assumed before any measurement."""
    try:
        return max(float(parse_workload(workload).cpu_pct), IDLE_CPU_PCT)
    except InputError:
        return IDLE_CPU_PCT


class Demand(msgspec.Struct, frozen=True):
    """What a VM wants (`cpu_pct`) and gets (`used_pct`), and the counters it was computed from."""

    cpu_pct: float
    used_pct: float
    cpu_time_s: float
    run_delay_s: float
    time_s: float
    born_s: float


class DemandTracker:
    """Demand per VM from successive samples.

    While a VM warms up (`warmup_s` after its boot, or longer while it boots; `arrival_s` after its arrival by
    migration) its demand is what was assumed for it, since booting says nothing about the time after.
    """

    def __init__(self, smoothing: float = 0.5, warmup_s: float = 20.0, arrival_s: float = 8.0) -> None:
        self._smoothing = smoothing
        self._warmup_s = warmup_s
        self._arrival_s = arrival_s
        self._demands: dict[str, Demand] = {}
        self._assumed: dict[str, tuple[float, float]] = {}
        self._told_pct: dict[str, float] = {}
        self._booting: dict[str, float] = {}

    def assume(self, vm: str, cpu_pct: float, until_s: float) -> None:
        """Take `cpu_pct` as the demand of `vm` until `until_s`; what was assumed before no longer counts."""
        self._booting.pop(vm, None)
        self._assumed[vm] = (cpu_pct, until_s)

    def booted(self, spec: VmSpec, now_s: float) -> None:
        self.assume(spec.id, expected_cpu_pct(spec.workload), now_s + self._warmup_s)
        self._booting[spec.id] = now_s + BOOT_S_MAX

    def arrived(self, vm: str, demand: Resources, now_s: float) -> None:
        self.assume(vm, demand.cpu_pct, now_s + self._arrival_s)

    def told(self, vm: str, cpu_pct: float) -> None:
        """The hypervisor knows what `vm` wants: nothing is measured, smoothed or assumed."""
        self._told_pct[vm] = cpu_pct

    def exact(self, count: int) -> bool:
        """Whether the demands of all `count` VMs of the node were `told`."""
        return len(self._told_pct) == count

    def forget(self, vm: str) -> None:
        """The VM, whose demand was `told`, is gone."""
        self._told_pct.pop(vm, None)
        self._assumed.pop(vm, None)

    def update(self, samples: tuple[VmSample, ...], time_s: float) -> None:
        """Take one reading of all VMs of the node; those gone are forgotten."""
        self._demands = {s.spec.id: self._next(s, time_s) for s in samples if not s.incoming}
        for vm, latest_s in list(self._booting.items()):
            demand = self._demands.get(vm)
            if time_s >= latest_s:
                del self._booting[vm]
            elif demand and demand.time_s > demand.born_s and time_s >= self._assumed[vm][1] - 1.0:
                # On a busy host a boot takes longer: it goes on while the VM takes all the CPU it can get.
                if demand.cpu_pct < BOOTED_CPU_PCT:
                    del self._booting[vm]
                else:
                    self._assumed[vm] = (self._assumed[vm][0], time_s + 2.0)
        self._assumed = {
            vm: assumed
            for vm, assumed in self._assumed.items()
            if assumed[1] > time_s or vm in self._demands or vm in self._booting
        }

    def _next(self, sample: VmSample, time_s: float) -> Demand:
        old = self._demands.get(sample.spec.id)
        if old is None or sample.cpu_time_s < old.cpu_time_s:
            return Demand(
                expected_cpu_pct(sample.workload or sample.spec.workload),
                0.0,
                sample.cpu_time_s,
                sample.run_delay_s,
                time_s,
                time_s,
            )
        elapsed_s = time_s - old.time_s
        if elapsed_s <= 0:
            return old
        if sample.migrating:
            # The sending of its memory is not what the guest wants.
            counters = (sample.cpu_time_s, sample.run_delay_s, time_s)
            return Demand(old.cpu_pct, old.used_pct, *counters, old.born_s)
        used = 100.0 * (sample.cpu_time_s - old.cpu_time_s) / elapsed_s
        waited = 100.0 * max(sample.run_delay_s - old.run_delay_s, 0.0) / elapsed_s
        # A vCPU cannot want more than a core; QEMU's own threads add little.
        wanted = min(used + waited, 100.0 * sample.spec.cpu) if sample.state is VmState.RUNNING else 0.0
        share = self._smoothing if old.time_s > old.born_s else 1.0
        return Demand(
            share * wanted + (1 - share) * old.cpu_pct,
            share * used + (1 - share) * old.used_pct,
            sample.cpu_time_s,
            sample.run_delay_s,
            time_s,
            old.born_s,
        )

    def of(self, vm: str, now_s: float) -> tuple[float, float]:
        """(wanted, used) CPU of `vm` in percent of a core."""
        told_pct = self._told_pct.get(vm)
        if told_pct is not None:
            return told_pct, told_pct
        demand = self._demands.get(vm)
        used = demand.used_pct if demand else 0.0
        assumed = self._assumed.get(vm)
        if assumed and now_s < assumed[1]:
            return assumed[0], used
        return (demand.cpu_pct if demand else 0.0), used


class Detector:
    """Overload with hysteresis: `samples_on` readings above `high` x capacity, until one below `low` x it.

    Underload: below `under` x capacity (0: never) for `under_s` without an overload, and not within
    `cooldown_s` of the last overload.
    """

    def __init__(
        self,
        samples_on: int = 3,
        high: float = 1.0,
        low: float = OVERLOAD_END,
        under: float = 0.0,
        under_s: float = 60.0,
        cooldown_s: float = 60.0,
    ) -> None:
        self._samples_on = samples_on
        self._high = high
        self._low = low
        self._under = under
        self._under_s = under_s
        self._cooldown_s = cooldown_s
        self._above = 0
        self._below_since_s: float | None = None
        self._not_under_before_s = 0.0
        self.since_s: float | None = None

    @property
    def calm(self) -> bool:
        """Whether nothing is or becomes an overload or underload while the load stays as it is."""
        return not self._above and self._below_since_s is None

    def underload(self, load: Resources, capacity: Resources, now_s: float) -> str:
        """The underload in words, "" when there is none; call it after `update`."""
        if self._above:
            self._not_under_before_s = now_s + self._cooldown_s
        if not self._under or self._above or load.cpu_pct >= capacity.cpu_pct * self._under:
            self._below_since_s = None
            return ""
        if self._below_since_s is None:
            self._below_since_s = now_s
        if now_s < max(self._below_since_s + self._under_s, self._not_under_before_s):
            return ""
        return f"CPU demand {load.cpu_pct:.0f} % of {capacity.cpu_pct:.0f} %"

    @property
    def rising(self) -> bool:
        """Above capacity at the last reading and not at the one before."""
        return self._above == 1 and self.since_s is None

    def update(self, load: Resources, capacity: Resources, now_s: float) -> str:
        """The overload in words, "" when there is none (or not for long enough)."""
        memory_over = load.memory_mib > capacity.memory_mib
        limit = self._high if self.since_s is None else self._low
        if load.cpu_pct > capacity.cpu_pct * limit or memory_over:
            self._above += 1
        else:
            self._above = 0
            self.since_s = None
        if self._above >= self._samples_on and self.since_s is None:
            self.since_s = now_s
        if self.since_s is None:
            return ""
        if memory_over:
            return f"memory {load.memory_mib:.0f} of {capacity.memory_mib:.0f} MiB"
        return f"CPU demand {load.cpu_pct:.0f} % of {capacity.cpu_pct:.0f} %"
