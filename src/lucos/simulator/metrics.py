"""The figures of a run, from the physical truth: what hosts were asked for, not what monitors saw of it.

A violation is the time for which a host that is on is asked for more CPU than it has. Everything is counted
as it happens, in O(1) per event; only durations and sizes are kept, for exact percentiles.
"""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from lucos.hypervisors.simulated_host import Host
from lucos.model import Event
from lucos.simulator.cluster import SimulatedLuc

# A demand that is above a capacity only by rounding is none.
_SLACK = 1.0 + 1e-9
# The share of its demand that a VM does without while it migrates, in CloudSim's account of SLA violations.
_MIGRATION_LOSS = 0.1


class Metrics:
    """Watches `luc` from now on; `summary` closes the account.

    `sites` is the site of each host. `load_changes` is called with True before and False after the load is
    changed from outside: a violation that begins at another moment was caused by a VM that arrived.
    """

    def __init__(self, luc: SimulatedLuc, sites: Mapping[str, str]) -> None:
        self._luc = luc
        self._simulation = luc.simulation
        self._sites = sites
        self._begin_s = self._simulation.now_s
        self._events_before = self._simulation.events_processed
        self._messages_before = (self._simulation.messages_sent, self._simulation.bytes_sent)
        self._loading = False
        self._limits_pct = {name: luc.fleet.host(name).capacity.cpu_pct * _SLACK for name in luc.names}
        self._violated_since_s: dict[str, float] = {}
        self._violations_s = array("d")
        self._incoming = 0
        self._demand_pct: dict[str, float] = {}
        self._demanded = _Integral(self._begin_s)
        self._active: set[str] = set()
        self._active_hosts = _Integral(self._begin_s)
        self._crashed_s: dict[str, float] = {}
        self._detections_s = array("d")
        self._migrations_s = array("d")
        self._intra = self._migrated_mib = self._unserved_pct_s = 0.0
        self._sizes = array("d")
        self._counts: Counter[str] = Counter()
        self._reactions: dict[str, Callable[[Event], None]] = {
            "migration.end": self._migrated,
            "partition.dissolved": self._partition_ended,
            "partition.failed": self._partition_ended,
            "member.dead": self._detected,
        }
        for name in luc.names:
            self._load_changed(luc.fleet.host(name))
        luc.fleet.on_load.append(self._load_changed)
        self._simulation.listeners.append(self._heard)

    def load_changes(self, begins: bool) -> None:
        self._loading = begins

    def crashes(self, host: str) -> None:
        """`host` loses power now: how long the others take to notice is measured."""
        self._crashed_s[host] = self._simulation.now_s

    # --- What happens -----------------------------------------------------------------------------------

    def _load_changed(self, host: Host) -> None:
        name, now_s = host.name, self._simulation.now_s
        on = host.up and not host.standby
        demand_pct = host.demand_pct if on else 0.0
        self._demanded.add(demand_pct - self._demand_pct.get(name, 0.0), now_s)
        self._demand_pct[name] = demand_pct
        if on is not (name in self._active):
            self._active_hosts.add(1.0 if on else -1.0, now_s)
            (self._active.add if on else self._active.discard)(name)
        if demand_pct > self._limits_pct[name]:
            if name not in self._violated_since_s:
                self._violated_since_s[name] = now_s
                self._incoming += not self._loading
        elif name in self._violated_since_s:
            self._violations_s.append(now_s - self._violated_since_s.pop(name))

    def _heard(self, event: Event) -> None:
        self._counts[event.kind] += 1
        reaction = self._reactions.get(event.kind)
        if reaction is not None:
            reaction(event)

    def _migrated(self, event: Event) -> None:
        source, destination = str(event.data["source"]), str(event.data["destination"])
        duration_s = _number(event, "duration_s")
        self._migrations_s.append(duration_s)
        self._intra += self._sites[source] == self._sites[destination]
        domain = self._luc.fleet.host(destination).domains.get(event.subject)
        if domain is not None:
            self._unserved_pct_s += _MIGRATION_LOSS * domain.demand_pct * duration_s

    def _partition_ended(self, event: Event) -> None:
        members = event.data.get("members")
        self._sizes.append(len(members) if isinstance(members, list | tuple) else 0)

    def _detected(self, event: Event) -> None:
        crashed_s = self._crashed_s.get(event.subject)
        if crashed_s is not None and not self._luc.fleet.host(event.subject).up:
            self._detections_s.append(event.time_s - crashed_s)

    # --- The account ------------------------------------------------------------------------------------

    def summary(self) -> dict[str, Any]:
        """The part of the summary that was measured; violations under way count up to now."""
        now_s, simulation = self._simulation.now_s, self._simulation
        elapsed_s = now_s - self._begin_s
        under_way_s = [now_s - since_s for since_s in self._violated_since_s.values()]
        violations_s = array("d", [*self._violations_s, *under_way_s])
        violated_s, active_s = sum(violations_s), self._active_hosts.at(now_s)
        demanded_pct_s = self._demanded.at(now_s)
        otf = violated_s / active_s if active_s else 0.0
        pdm = self._unserved_pct_s / demanded_pct_s if demanded_pct_s else 0.0
        messages = simulation.messages_sent - self._messages_before[0]
        hosts, counts = len(self._luc.names), self._counts
        migrations, intra = len(self._migrations_s), int(self._intra)
        return {
            "simulated_s": elapsed_s,
            "events": simulation.events_processed - self._events_before,
            "violations": {
                **_spread(violations_s),
                "total_s": violated_s,
                "by_arrival": self._incoming,
                "open_at_end": len(under_way_s),
            },
            "migrations": {
                "count": migrations,
                "intra_site": intra,
                "inter_site": migrations - intra,
                "failed": counts["migration.failed"],
                "mean_s": _mean(self._migrations_s),
                "bytes": round(self._luc.fleet.migrated_mib * 2**20),
            },
            "partitions": {
                "count": len(self._sizes),
                "mean_size": _mean(self._sizes),
                "p95_size": _percentile(self._sizes, 95),
                "merges": counts["partition.merged"],
                "gave_up": counts["partition.failed"],
                "started": counts["partition.started"],
                "expired": counts["partition.expired"],
            },
            "messages": {
                "count": messages,
                "bytes": simulation.bytes_sent - self._messages_before[1],
                "per_host_per_s": messages / hosts / elapsed_s if elapsed_s else 0.0,
            },
            "energy_kwh": self._energy_kwh(),
            "slav_percent": 100.0 * otf * pdm,
            "otf_percent": 100.0 * otf,
            "pdm_percent": 100.0 * pdm,
            "load": {
                "mean_percent": 100.0 * demanded_pct_s / self._capacity_pct_s(elapsed_s),
                "mean_hosts_on": active_s / elapsed_s if elapsed_s else 0.0,
            },
            "overlay": {"detections": _spread(self._detections_s)},
            "happened": dict(sorted(counts.items())),
        }

    def _energy_kwh(self) -> float | None:
        """Since the beginning of the simulation; None when the power of no host is known."""
        fleet = self._luc.fleet
        if not any(host.meter for host in fleet.hosts):
            return None
        return sum(fleet.energy_j(name) for name in self._luc.names) / 3.6e6

    def _capacity_pct_s(self, elapsed_s: float) -> float:
        return sum(self._limits_pct.values()) / _SLACK * elapsed_s or 1.0


class _Integral:
    """The integral over time of a quantity that changes in steps."""

    __slots__ = ("_since_s", "_total", "_value")

    def __init__(self, now_s: float) -> None:
        self._value = self._total = 0.0
        self._since_s = now_s

    def add(self, amount: float, now_s: float) -> None:
        self._total += self._value * (now_s - self._since_s)
        self._value += amount
        self._since_s = now_s

    def at(self, now_s: float) -> float:
        return self._total + self._value * (now_s - self._since_s)


def _number(event: Event, key: str) -> float:
    value = event.data[key]
    assert isinstance(value, int | float)
    return float(value)


def _mean(values: array[float]) -> float:
    return sum(values) / len(values) if values else 0.0


def _percentile(values: array[float], percent: float) -> float:
    """Exact, between two values linearly."""
    return float(np.percentile(values, percent)) if values else 0.0


def _spread(durations_s: array[float]) -> dict[str, float]:
    return {
        "count": len(durations_s),
        "mean_s": _mean(durations_s),
        "p50_s": _percentile(durations_s, 50),
        "p95_s": _percentile(durations_s, 95),
        "max_s": max(durations_s, default=0.0),
    }
