"""How time grows: with the size of the cluster, and with the share of VMs that rules bind. Plots are SVG."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks.placement.generate import Shares, overloaded
from benchmarks.placement.measure import Measured, measured

from lucos.placement.interchange.ours import write_problem
from lucos.placement.problem import Problem

SIZES = (100, 300, 1000, 3000, 10_000, 20_000)
SHARES = (0.0, 0.2, 0.4, 0.6, 0.8, 1.0)
SHARES_NODES = 1000


class Point(NamedTuple):
    at: float
    measured: Measured


def by_size(folder: Path, sizes: Iterable[int] = SIZES) -> list[Point]:
    """10 VMs per node, 5 % of nodes overloaded, 10 % of VMs in pairs that must be apart."""
    return _points(folder, sizes, lambda n: overloaded(int(n), share=0.05, rules=Shares(apart=0.1)))


def by_share(folder: Path, shares: Iterable[float] = SHARES) -> list[Point]:
    """1,000 nodes, 10,000 VMs, 5 % of nodes overloaded, a growing share of VMs in rules of five kinds."""
    return _points(folder, shares, lambda s: overloaded(SHARES_NODES, share=0.05, rules=Shares.of(s)))


def _points(folder: Path, values: Iterable[float], make: Callable[[float], Problem]) -> list[Point]:
    points = []
    for value in values:
        file = folder / "grow.json"
        file.write_bytes(write_problem(make(value)))
        points.append(Point(value, measured(file)))
    return points


def plot(points: list[Point], path: Path, title: str, label: str, logarithmic: bool) -> None:
    """Seconds (logarithmic) of load, first plan and everything, without points that failed."""
    import matplotlib

    matplotlib.use("svg")
    from matplotlib import pyplot
    from matplotlib.ticker import FuncFormatter

    # The same text in every run: no date, no random ids; text stays text.
    style: Any = {"svg.hashsalt": "luc", "svg.fonttype": "none", "font.size": 12, "axes.axisbelow": True}
    with pyplot.rc_context(style):
        figure, axes = pyplot.subplots(figsize=(8, 4.8), layout="constrained")
        at = [point.at for point in points]
        known = [point for point in points if point.measured.status != "failed"]
        for name, value, line in _LINES:
            axes.plot(
                [p.at for p in known], [value(p.measured) for p in known], line, label=name, linewidth=2
            )
        axes.set(title=title, xlabel=label, ylabel="seconds (2 cores)")
        number = FuncFormatter(lambda value, _: f"{value:,.10g}")
        axes.set_yscale("log")
        axes.yaxis.set_major_formatter(number)
        if logarithmic:
            axes.set_xscale("log")
            axes.set_xticks(at, minor=False)
            axes.set_xticks([], minor=True)
        axes.xaxis.set_major_formatter(number)
        axes.grid(True, which="major", color="#dddddd")
        axes.legend(frameon=False)
        path.parent.mkdir(parents=True, exist_ok=True)
        figure.savefig(path, metadata={"Date": None})
        pyplot.close(figure)


_LINES: tuple[tuple[str, Callable[[Measured], Any], str], ...] = (
    ("load, solve, plan and check", lambda m: m.total_s, "o-"),
    ("of it: load, imports included", lambda m: m.load_s, "^:"),
    ("of it: first plan, after loading", lambda m: m.first_plan_s, "s--"),
)
