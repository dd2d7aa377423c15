"""One day of the experiment under one strategy."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import msgspec

from lucos.simulator.cloudsim.accounting import Account
from lucos.simulator.cloudsim.datacenter import (
    DAY_S,
    OFFSET_S,
    STEP_S,
    Datacenter,
    Floats,
    Ints,
    make_datacenter,
)
from lucos.simulator.cloudsim.ours import Consolidate
from lucos.simulator.cloudsim.rivals import Dvfs, LrMmt, Policy, ThrMmt, first_fit, least_power
from lucos.simulator.cloudsim.settings import CloudSimSettings, Strategy
from lucos.simulator.cloudsim.traces import read_day, synthetic_day

_J_PER_KWH = 3.6e6


class CloudSimResult(msgspec.Struct, frozen=True):
    """What CloudSim prints at the end of a day; and of each step its end, hosts in use, energy, migrations.

    `unserved_percent` is the share of the MIPS requested that VMs did not get, for whatever reason.
    """

    strategy: str
    hosts: int
    vms: int
    simulated_s: float
    energy_kwh: float
    migrations: int
    slav_percent: float
    otf_percent: float
    pdm_percent: float
    unserved_percent: float
    step_s: tuple[float, ...]
    step_hosts: tuple[int, ...]
    step_kwh: tuple[float, ...]
    step_migrations: tuple[int, ...]


_BEGIN: dict[Strategy, Callable[[Datacenter], Ints]] = {
    "dvfs": first_fit,
    "thr-mmt": least_power,
    "lr-mmt": least_power,
    "consolidate": least_power,
}


def _policy(settings: CloudSimSettings, centre: Datacenter) -> Policy:
    match settings.strategy:
        case "dvfs":
            return Dvfs()
        case "thr-mmt":
            return ThrMmt(settings.threshold)
        case "lr-mmt":
            return LrMmt(settings.safety)
        case "consolidate":
            return Consolidate(centre, settings.consolidation)


def run_cloudsim(settings: CloudSimSettings, seed: int = 1) -> CloudSimResult:
    """Run the day; raises `InputError` for a bad trace, and for VMs that do not fit in the hosts."""
    load = read_day(Path(settings.trace)) if settings.trace else synthetic_day(settings.vms, seed)
    return run_day(settings, load)


def run_day(settings: CloudSimSettings, load: Floats) -> CloudSimResult:
    """Run a day whose load is [V, SAMPLES], CPU as a share of each VM's size."""
    centre = make_datacenter(settings.hosts, len(load))
    account = Account(centre, load, _BEGIN[settings.strategy](centre))
    policy, totals = _policy(settings, centre), account.totals
    steps: list[tuple[float, int, float, int]] = []
    # CloudSim ends at 24 h, just before what would be the last step.
    for step in range(1, round(DAY_S / STEP_S)):
        joules, migrations = totals.energy_j, totals.migrations
        account.advance(OFFSET_S + step * STEP_S)
        for end_s, moves in account.start(policy.decide(account)):
            account.advance(end_s)
            account.finish(moves)
        steps.append(
            (
                account.time_s,
                int((account.utilisation > 0).sum()),
                (totals.energy_j - joules) / _J_PER_KWH,
                totals.migrations - migrations,
            )
        )
    otf = _percent(totals.overloaded_s, totals.active_s)
    pdm = _percent(totals.lost_in_migrations, totals.requested)
    return CloudSimResult(
        settings.strategy,
        settings.hosts,
        len(load),
        DAY_S,
        totals.energy_j / _J_PER_KWH,
        totals.migrations,
        otf * pdm / 100,
        otf,
        pdm,
        _percent(totals.requested - totals.allocated, totals.requested),
        *map(tuple, zip(*steps, strict=True)),
    )


def _percent(part: float, whole: float) -> float:
    return 100 * part / whole if whole else 0.0
