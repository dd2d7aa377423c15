"""The experiments that are no LUC under changing load, in the words of the common summary.

What an experiment does not measure is None there.
"""

from __future__ import annotations

from typing import Any

import msgspec

from lucos.simulator.cloudsim.experiment import run_cloudsim
from lucos.simulator.cloudsim.settings import CloudSimSettings
from lucos.simulator.vjobs import VMS, VjobsSettings, run_vjobs

_MEASURES: dict[str, tuple[str, ...]] = {
    "violations": ("count", "mean_s", "p50_s", "p95_s", "max_s", "total_s"),
    "migrations": ("count", "intra_site", "inter_site", "failed", "mean_s", "bytes"),
    "partitions": ("count", "mean_size", "p95_size", "merges", "gave_up"),
    "messages": ("count", "bytes", "per_host_per_s"),
}
_TOTALS = ("events", "energy_kwh", "slav_percent", "otf_percent")


def _unmeasured() -> dict[str, Any]:
    groups = {group: dict.fromkeys(names) for group, names in _MEASURES.items()}
    return {**dict.fromkeys(_TOTALS), **groups, "laws_broken": []}


def measure_cloudsim(settings: CloudSimSettings, seed: int) -> dict[str, Any]:
    """CloudSim's day under one strategy; raises `InputError` for a bad trace."""
    result = msgspec.to_builtins(run_cloudsim(settings, seed))
    series = {name: result.pop(name) for name in list(result) if name.startswith("step_")}
    result.pop("strategy")
    summary = _unmeasured()
    summary["migrations"]["count"] = result.pop("migrations")
    return {**summary, **result, "trace": settings.trace or "synthetic", "series": series}


def measure_vjobs(settings: VjobsSettings, seed: int) -> dict[str, Any]:
    """The batch of vjobs under one policy."""
    result = run_vjobs(seed, settings)
    summary = _unmeasured()
    summary["migrations"] |= {"count": result.migrations, "failed": result.failed}
    return {
        **summary,
        "hosts": settings.hosts,
        "vms": VMS * settings.vjobs,
        "simulated_s": result.makespan_s,
        "vjobs": msgspec.to_builtins(result),
    }
