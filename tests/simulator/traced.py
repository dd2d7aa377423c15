"""A LUC of four hosts whose every load is told by the test, and the rows that are written of it."""

from __future__ import annotations

from pathlib import Path

from lucos.model import Resources
from lucos.resources.host_settings import HostSettings
from lucos.simulator import SimulatedLuc
from lucos.simulator.platform import HostPlan, Platform, SitePlan, VmPlan
from lucos.simulator.rows import EVENTS, Row, read_rows

WATTS = (90.0, 130.0)


def four_hosts(seed: int = 1) -> SimulatedLuc:
    """h1, h2 on s1 and h3, h4 on s2, 200 % of CPU each; on each two VMs, `ve.h1a`, `ve.h1b`.., at 40 %."""
    hosts = tuple(
        HostPlan(f"h{i + 1}", f"s{i // 2 + 1}", Resources(200.0, 8192.0), watts=WATTS, standby_watts=5.0)
        for i in range(4)
    )
    vms = tuple(
        VmPlan(f"ve.{host.name}{letter}", host.name, cpu=2, cpu_pct=40.0) for host in hosts for letter in "ab"
    )
    platform = Platform((SitePlan("s1"), SitePlan("s2")), hosts, vms)
    host = HostSettings(Resources(), notices=True)
    return SimulatedLuc(seed, platform, overlay="oracle", host=host, environments=False, keep_events=False)


def rows_of(directory: Path, event: str = "") -> list[Row]:
    return [row for row in read_rows(directory / EVENTS) if not event or row.event == event]


def states(rows: list[Row], host: str, name: str) -> list[tuple[str, float, float]]:
    """(state, start, duration) of a host, in order."""
    found = [row for row in rows if (row.event, row.origin, row.state_name) == ("state", host, name)]
    return [(str(row.value), row.time, row.duration) for row in found]
