"""Hosts of two kinds and VMs of four: what CloudSim 3.0.3 simulates (`examples.power.Constants`)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]

STEP_S = 300.0
# VMs are acknowledged 0.1 s after they were created, and all steps inherit that.
OFFSET_S = 0.1
DAY_S = 86_400.0
# Half of a link of 1 Gb/s carries migrations: RAM (MB) over this is their duration in seconds.
MIGRATION_MBPS = 62.5

# SPECpower at 0, 10 .. 100 % of CPU, in watts.
G4_WATTS = (86.0, 89.4, 92.6, 96.0, 99.5, 102.0, 106.0, 108.0, 112.0, 114.0, 117.0)
G5_WATTS = (93.7, 97.0, 101.0, 105.0, 110.0, 116.0, 121.0, 125.0, 129.0, 133.0, 135.0)
_CORES = 2
_CORE_MIPS = (1860.0, 2660.0)
_HOST_RAM_MB = 4096.0
_HOST_BANDWIDTH, _VM_BANDWIDTH = 1_000_000, 100_000
VMS_PER_HOST_MAX = _HOST_BANDWIDTH // _VM_BANDWIDTH
_VM_MIPS = (2500.0, 2000.0, 1000.0, 500.0)
_VM_RAM_MB = (870.0, 1740.0, 1740.0, 613.0)


@dataclass(frozen=True)
class Datacenter:
    """Arrays over hosts [H] and VMs [V]. `watts` is [H, 11], `core_mips` what one core of a host gives."""

    core_mips: Floats
    host_mips: Floats
    host_ram_mb: Floats
    watts: Floats
    vm_mips: Floats
    vm_ram_mb: Floats

    def power(self, utilisation: Floats, hosts: Ints | None = None) -> Floats:
        """Watts of `hosts` (None: all), each at a utilisation in 0..1; linear between the points measured."""
        low = np.floor(utilisation * 10).astype(np.int64)
        rows = np.arange(len(self.watts)) if hosts is None else hosts
        first = self.watts[rows, low]
        slope = (self.watts[rows, np.minimum(low + 1, 10)] - first) / 10
        return np.asarray(first + slope * (utilisation - low / 10) * 100)


def make_datacenter(hosts: int, vms: int) -> Datacenter:
    """`hosts` of both kinds in turn, `vms` in four equal blocks from the largest to the smallest kind."""
    kind = np.arange(hosts) % 2
    core_mips = np.array(_CORE_MIPS)[kind]
    block = np.arange(vms) // max(1, -(-vms // len(_VM_MIPS)))
    return Datacenter(
        core_mips=core_mips,
        host_mips=_CORES * core_mips,
        host_ram_mb=np.full(hosts, _HOST_RAM_MB),
        watts=np.array((G4_WATTS, G5_WATTS))[kind],
        vm_mips=np.array(_VM_MIPS)[block],
        vm_ram_mb=np.array(_VM_RAM_MB)[block],
    )
