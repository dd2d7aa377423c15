"""Pictures of runs, as SVG in the colour of the text around it: readable in dark and in light."""

from __future__ import annotations

import io
from collections import Counter
from collections.abc import Callable, Sequence
from importlib import import_module
from math import ceil
from pathlib import Path
from typing import Any

import numpy as np

from lucos.errors import EnvironmentMissing, InputError
from lucos.simulator.compare import Configuration
from lucos.simulator.digest import Digest

# Legible on white and on black alike.
BLUE, ORANGE, GREEN, RED, PURPLE, TEAL = "#4c8dd6", "#e0872e", "#4fae5f", "#dd5555", "#9b7fd4", "#33a3a3"
COLOURS = (BLUE, ORANGE, GREEN, RED, PURPLE, TEAL)
_TEXT = "#010203"
PICTURES = ("svg", "png", "pdf")
_PLANES = {"SCHEDULING": "schedulers", "OVERLAY": "overlay"}
_STYLE = {
    "svg.fonttype": "none",
    "font.family": "sans-serif",
    "font.size": 9.0,
    "axes.edgecolor": _TEXT,
    "axes.labelcolor": _TEXT,
    "axes.titlecolor": _TEXT,
    "axes.titlesize": 10.0,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "#888888",
    "grid.alpha": 0.25,
    "text.color": _TEXT,
    "xtick.color": _TEXT,
    "ytick.color": _TEXT,
    "legend.frameon": False,
    "legend.fontsize": 8.0,
}


def _matplotlib() -> Any:
    """The module; raises `EnvironmentMissing` when it is absent."""
    try:
        matplotlib: Any = import_module("matplotlib")
        matplotlib.use("Agg")
        import_module("matplotlib.figure")
    except ImportError:
        hint = 'pip install "lucos[sim-plots]"'
        raise EnvironmentMissing("plots need matplotlib, which is not installed", hint=hint) from None
    return matplotlib


def _draw(name: str, columns: int, paint: Callable[..., None], height_in: float = 2.9) -> str:
    """SVG of a row of `columns` axes, which `paint` fills. The same data make the same text."""
    out = io.BytesIO()
    _save(out, name, columns, paint, height_in, format="svg", transparent=True, metadata={"Date": None})
    text = out.getvalue().decode()
    return text[text.index("<svg") :].replace(_TEXT, "currentColor")


def _save(
    target: object, name: str, columns: int, paint: Callable[..., None], height_in: float, **options: Any
) -> None:
    matplotlib = _matplotlib()
    with matplotlib.rc_context({**_STYLE, "svg.hashsalt": name}):
        width_in = 4.6 * columns
        figure = matplotlib.figure.Figure(figsize=(width_in, height_in))
        # Margins for the longest labels there are: finding the least ones takes as long as drawing.
        figure.subplots_adjust(
            left=0.65 / width_in,
            right=1.0 - 0.5 / width_in,
            bottom=0.5 / height_in,
            top=1.0 - 0.35 / height_in,
            wspace=0.25,
        )
        paint(*figure.subplots(1, columns, squeeze=False)[0])
        figure.savefig(target, **options)


def run_plots(digest: Digest) -> dict[str, str]:
    """The pictures of one run by title, without those that would be empty."""
    plots = {
        "Violations": _violations(digest),
        "Migrations": _migrations(digest) if digest.moves else "",
        "Partitions": _partitions(digest) if digest.groups else "",
        "Load": _load(digest) if digest.variables.get("LOAD") else "",
        "Energy": _energy(digest) if len(digest.variables.get("ENERGY", ())) > 1 else "",
        "Who talks to whom": _talk(digest) if digest.distances else "",
    }
    return {title: svg for title, svg in plots.items() if svg}


def _violations(digest: Digest) -> str:
    def paint(per_host: Any, each: Any) -> None:
        sums_s = sorted(digest.violation_s.values())
        touched = [value for value in sums_s if value > 0.0]
        per_host.hist(touched or [0.0], bins=30, color=RED)
        per_host.set(
            title=f"Violation per host ({len(sums_s) - len(touched)} of {len(sums_s)} had none)",
            xlabel="seconds in violation",
            ylabel="hosts",
        )
        _whole(per_host.yaxis)
        _cumulative(each, digest.violations_s, RED)
        each.set(title="How long a violation lasts", xlabel="seconds", ylabel="share of violations")

    return _draw("violations", 2, paint)


def _cumulative(axes: Any, values: Sequence[float], colour: str) -> None:
    """The share of `values` that are at most so long."""
    ordered = np.sort(np.asarray(values, dtype=float))
    shares = np.arange(len(ordered) + 1) / max(len(ordered), 1)
    axes.step([0.0, *ordered], shares, where="post", color=colour)
    axes.set_ylim(0.0, 1.02)


def _whole(axis: Any) -> None:
    """Ticks at whole numbers only."""
    axis.get_major_locator().set_params(integer=True)


def _from_zero(axes: Any) -> None:
    """What is plotted as part of all there is: from zero to a little above the highest."""
    axes.set_ylim(0.0, 1.04 * axes.get_ylim()[1] or 1.0)


def _migrations(digest: Digest) -> str:
    def paint(over_time: Any, durations: Any) -> None:
        width_s = max((digest.end_s - digest.begin_s) / 60.0, 1.0)
        bins = np.arange(digest.begin_s, digest.end_s + width_s, width_s)
        intra: list[float] = []
        inter: list[float] = []
        failed: list[float] = []
        for move in digest.moves:
            same = digest.sites.get(move.source) == digest.sites.get(move.destination)
            kind = failed if move.outcome != "done" else intra if same else inter
            kind.append(move.start_s)
        shown = [(intra, GREEN, "within a site"), (inter, BLUE, "between sites"), (failed, RED, "not done")]
        shown = [series for series in shown if series[0]]
        over_time.hist(
            [times for times, _, _ in shown],
            bins=bins,
            stacked=True,
            color=[colour for _, colour, _ in shown],
            label=[f"{label} ({len(times)})" for times, _, label in shown],
        )
        over_time.legend()
        over_time.set(title="Migrations begun", xlabel="seconds", ylabel=f"per {width_s:.0f} s")
        _whole(over_time.yaxis)
        _cumulative(durations, [m.duration_s for m in digest.moves if m.outcome == "done"], BLUE)
        durations.set(title="How long a migration takes", xlabel="seconds", ylabel="share of migrations")

    return _draw("migrations", 2, paint)


def _partitions(digest: Digest) -> str:
    def paint(sizes: Any, durations: Any) -> None:
        solved = Counter(group.size for group in digest.groups if group.outcome == "dissolved")
        others = Counter(group.size for group in digest.groups if group.outcome != "dissolved")
        sizes.bar(list(solved), list(solved.values()), color=GREEN, label=f"solved ({solved.total()})")
        if others:
            below = [solved[size] for size in others]
            heights, label = list(others.values()), f"not solved ({others.total()})"
            sizes.bar(list(others), heights, bottom=below, color=ORANGE, label=label)
        _whole(sizes.xaxis)
        _whole(sizes.yaxis)
        sizes.legend()
        sizes.set(title="Partitions by size", xlabel="members", ylabel="partitions")
        _cumulative(durations, [group.duration_s for group in digest.groups], PURPLE)
        durations.set(title="How long a partition lives", xlabel="seconds", ylabel="share of partitions")

    return _draw("partitions", 2, paint)


def _load(digest: Digest) -> str:
    samples = digest.variables["LOAD"]
    at_s = [time_s for time_s, _, _ in samples]

    def column(name: str) -> list[float]:
        return [float(data[name]) for _, _, data in samples]

    def paint(share: Any, cores: Any) -> None:
        share.fill_between(at_s, column("p5"), column("p95"), color=BLUE, alpha=0.25, label="p5 to p95", lw=0)
        share.plot(at_s, [value for _, value, _ in samples], color=BLUE, label="mean")
        share.plot(at_s, column("max"), color=RED, lw=0.8, label="most loaded")
        share.axhline(100.0, color=ORANGE, ls="--", lw=1.0, label="capacity")
        share.set(title="CPU wanted, of what hosts have", xlabel="seconds", ylabel="%")
        _from_zero(share)
        share.legend(ncols=2)
        cores.plot(at_s, np.array(column("capacity_pct")) / 100.0, color=ORANGE, label="of hosts that are on")
        cores.plot(at_s, np.array(column("wanted_pct")) / 100.0, color=BLUE, label="wanted by VMs")
        cores.set(title="Cores", xlabel="seconds", ylabel="cores")
        _from_zero(cores)
        cores.legend()

    return _draw("load", 2, paint)


def _energy(digest: Digest) -> str:
    samples = digest.variables["ENERGY"]
    at_s = np.array([time_s for time_s, _, _ in samples])
    energy_j = np.array([value for _, value, _ in samples])
    steps_s = np.diff(at_s)
    power_kw = np.diff(energy_j)[steps_s > 0.0] / steps_s[steps_s > 0.0] / 1000.0

    def paint(energy: Any, power: Any) -> None:
        energy.plot(at_s, energy_j / 3.6e6, color=TEAL)
        energy.set(title="Energy", xlabel="seconds", ylabel="kWh")
        _from_zero(energy)
        power.plot(at_s[1:][steps_s > 0.0], power_kw, color=TEAL)
        power.set(title="Power", xlabel="seconds", ylabel="kW")
        _from_zero(power)
        on = digest.variables["NB_ON"]
        if len(on) > 1:
            times_s = [*(time_s for time_s, _, _ in on), digest.end_s]
            hosts = power.twinx()
            hosts.step(times_s, [*(n for _, n, _ in on), on[-1][1]], where="post", color=ORANGE, lw=0.9)
            hosts.set_ylabel("hosts on", color=ORANGE)
            hosts.grid(visible=False)
            _from_zero(hosts)

    return _draw("energy", 2, paint)


def _talk(digest: Digest) -> str:
    planes = [plane for plane in _PLANES if digest.distances.get(plane)]

    def paint(*axes: Any) -> None:
        # The names of hosts stand upright.
        axes[0].figure.subplots_adjust(bottom=0.22)
        for plane, matrix, distance in zip(planes, axes[::2], axes[1::2], strict=True):
            _matrix(matrix, digest.pairs[plane], f"Messages of {_PLANES[plane]}")
            hops = sorted(digest.distances[plane].items())
            labels = [str(limit) if limit <= 2 else f"≤{limit}" for limit, _ in hops]
            distance.bar(labels, [count for _, count in hops], color=PURPLE)
            distance.set(title="By distance on the ring", xlabel="places apart", ylabel="messages")

    return _draw("talk", 2 * len(planes), paint, 3.4)


def _matrix(axes: Any, pairs: dict[tuple[str, str], int], title: str) -> None:
    names = list(dict.fromkeys(name for pair in pairs for name in pair))
    names.sort(key=lambda name: (len(name), name))
    place = {name: i for i, name in enumerate(names)}
    counts = np.full((len(names), len(names)), np.nan)
    for (source, target), count in pairs.items():
        counts[place[source], place[target]] = count
    image = axes.pcolormesh(counts, cmap="viridis")
    axes.figure.colorbar(image, ax=axes)
    step = ceil(len(names) / 12)
    ticks = np.arange(0, len(names), step)
    axes.set_xticks(ticks + 0.5, names[::step], rotation=90)
    axes.set_yticks(ticks + 0.5, names[::step])
    axes.invert_yaxis()
    axes.grid(visible=False)
    axes.set(title=title, xlabel="to", ylabel="from", aspect="equal")


def comparison(rows: Sequence[Configuration]) -> str:
    """Mean violation time and migrations against hosts, a line per strategy; bars are one deviation."""
    return _draw("comparison", 2, lambda *axes: _compare(rows, axes), 3.4)


def save_comparison(rows: Sequence[Configuration], path: Path) -> None:
    """The same as a file of the kind that its name ends with; raises `InputError` when it cannot be."""
    form = path.suffix.removeprefix(".").lower()
    if form not in PICTURES:
        raise InputError(f"cannot draw {path}", hint=f"its name must end with one of .{', .'.join(PICTURES)}")
    metadata = {"Date": None} if form == "svg" else None
    try:
        _save(path, "comparison", 2, lambda *axes: _compare(rows, axes), 3.4, dpi=150, metadata=metadata)
    except OSError as error:
        raise InputError(f"cannot write {path}: {error.strerror}") from None


def _compare(rows: Sequence[Configuration], axes: Sequence[Any]) -> None:
    for axis, (field, (title, unit)) in zip(axes, _COMPARED.items(), strict=True):
        _lines(axis, rows, field)
        axis.set(title=title, xlabel="hosts", ylabel=unit)


_COMPARED = {
    "violation_mean_s": ("Mean duration of a violation", "seconds"),
    "migrations": ("Migrations", "migrations"),
}


def _lines(axes: Any, rows: Sequence[Configuration], field: str) -> None:
    series: dict[str, list[tuple[int, float, float]]] = {}
    for row in rows:
        spread = getattr(row, field)
        if spread.mean is not None:
            name = " ".join(filter(None, (row.strategy, row.other_settings)))
            series.setdefault(name, []).append((row.hosts, spread.mean, spread.stdev))
    for (name, points), colour in zip(series.items(), COLOURS * len(series), strict=False):
        hosts, means, deviations = zip(*sorted(points), strict=True)
        axes.errorbar(hosts, means, yerr=deviations, color=colour, marker="o", ms=4, capsize=3, label=name)
    sizes = sorted({row.hosts for row in rows})
    if len(sizes) > 1:
        axes.set_xscale("log", base=2)
    axes.set_xticks(sizes, [str(size) for size in sizes])
    axes.minorticks_off()
    _from_zero(axes)
    axes.legend()
