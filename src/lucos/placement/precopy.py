"""How long a live migration takes with a given bandwidth: pre-copy, as in BtrPlace's mVM model."""

from __future__ import annotations

import math

from lucos.placement.cluster import Network, Vm

BPS_PER_MIBPS = 8 * 2**20


def copy_s(vm: Vm, mibps: float) -> float | None:
    """Seconds to migrate `vm` at this bandwidth; None when its pages are dirtied faster than copied.

    A VM that allows post-copy then runs at its destination and fetches the rest from there.
    """
    if mibps <= 0:
        return None
    first_s = vm.memory_used_mib / mibps
    hot_mibps = vm.hot_dirty_mib / vm.hot_dirty_s if vm.hot_dirty_s > 0 else math.inf * vm.hot_dirty_mib
    if not vm.hot_dirty_mib:
        hot_mibps = 0.0
    cold_mibps = vm.cold_dirty_mibps if first_s > vm.hot_dirty_s else 0.0
    if hot_mibps < mibps and cold_mibps < mibps:
        if first_s <= vm.hot_dirty_s:
            return first_s + hot_mibps * first_s / (mibps - hot_mibps)
        cold_s = (vm.hot_dirty_mib + (first_s - vm.hot_dirty_s) * cold_mibps) / (mibps - cold_mibps)
        return first_s + cold_s + vm.hot_dirty_mib / mibps * hot_mibps / (mibps - hot_mibps)
    if not vm.post_copy:
        return None
    dirtied = vm.hot_dirty_mib + max(first_s - vm.hot_dirty_s, 0.0) * cold_mibps
    return first_s + min(dirtied, vm.memory_used_mib) / mibps


def best_copy_s(vm: Vm, network: Network) -> float | None:
    """Seconds on an otherwise idle network through its widest link: no migration of `vm` takes less."""
    widest_bps = max((link.capacity_mbps * 1e6 for link in network.links), default=0.0)
    return copy_s(vm, widest_bps / BPS_PER_MIBPS)
