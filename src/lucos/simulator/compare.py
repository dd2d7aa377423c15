"""Runs side by side: one row per configuration, with the spread over its seeds."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

import msgspec

from lucos.errors import InputError
from lucos.simulator.digest import Run, find_runs


class Spread(msgspec.Struct, frozen=True):
    """Mean and standard deviation over seeds (0 for one seed); None when no run has the figure."""

    mean: float | None = None
    stdev: float = 0.0

    def __str__(self) -> str:
        if self.mean is None:
            return ""
        return f"{_short(self.mean)}±{self.stdev:.2g}" if self.stdev else _short(self.mean)


class Configuration(msgspec.Struct, frozen=True):
    """The runs of one configuration. Fields are those of their summaries (docs/simulator.md)."""

    scenario: str
    strategy: str
    settings: str
    hosts: int
    vms: int
    seeds: tuple[int, ...]
    violations: Spread
    violation_mean_s: Spread
    violation_p95_s: Spread
    violation_total_s: Spread
    migrations: Spread
    intra_share: Spread
    energy_kwh: Spread
    messages_per_host_per_s: Spread
    wall_s: Spread

    @property
    def other_settings(self) -> str:
        """The swept settings that are neither the size nor the strategy, which have fields of their own."""
        shown = ("all", "hosts", "strategy")
        kept = (part for part in self.settings.split(",") if part.partition("=")[0] not in shown)
        return ",".join(kept)


def compare(folders: Sequence[Path]) -> list[Configuration]:
    """The configurations found in folders of runs and sweeps; raises `InputError` for what is none.

    Runs of the same scenario, strategy, size and swept settings are one configuration, whatever their seed.
    """
    groups: dict[tuple[Any, ...], list[Run]] = {}
    for folder in folders:
        for run in find_runs(folder):
            try:
                said = run.summary
                key = (said["scenario"], said["strategy"], run.label, said["hosts"], said["vms"])
            except KeyError as error:
                path = run.folder / "summary.json"
                raise InputError(f"the summary lacks {error}", hint="run it again", file=str(path)) from None
            groups.setdefault(key, []).append(run)
    found = [_configuration(key, runs) for key, runs in groups.items()]
    return sorted(found, key=lambda row: (row.scenario, row.strategy, row.hosts, row.vms, row.settings))


def _configuration(key: tuple[Any, ...], runs: list[Run]) -> Configuration:
    scenario, strategy, settings, hosts, vms = key

    def spread(read: Callable[[dict[str, Any]], float | None]) -> Spread:
        values = [value for run in runs if (value := read(run.summary)) is not None]
        if not values:
            return Spread()
        return Spread(fmean(values), stdev(values) if len(values) > 1 else 0.0)

    return Configuration(
        scenario,
        strategy,
        settings,
        hosts,
        vms,
        tuple(int(run.summary.get("seed", 0)) for run in runs),
        spread(lambda said: figure(said, "violations.count")),
        spread(lambda said: figure(said, "violations.mean_s")),
        spread(lambda said: figure(said, "violations.p95_s")),
        spread(lambda said: figure(said, "violations.total_s")),
        spread(lambda said: figure(said, "migrations.count")),
        spread(_intra_share),
        # A platform whose power is not known has no energy.
        spread(lambda said: figure(said, "energy_kwh") or None),
        spread(lambda said: figure(said, "messages.per_host_per_s")),
        spread(lambda said: figure(said, "wall_s")),
    )


def figure(summary: dict[str, Any], path: str) -> float | None:
    """The number at a dotted path of a summary, None when it has none."""
    value: Any = summary
    for step in path.split("."):
        value = value.get(step) if isinstance(value, dict) else None
    return float(value) if isinstance(value, int | float) else None


def _intra_share(summary: dict[str, Any]) -> float | None:
    """Share of the migrations that stayed within their site."""
    intra, inter = figure(summary, "migrations.intra_site"), figure(summary, "migrations.inter_site")
    return intra / (intra + inter) if intra is not None and inter is not None and intra + inter else None


def _short(value: float) -> str:
    return f"{value:.0f}" if abs(value) >= 1000 else f"{value:.3g}"
