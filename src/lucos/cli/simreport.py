"""Commands on the results of simulated runs: report, compare, replay."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import msgspec
import typer

from lucos.cli.options import examples
from lucos.cli.render import Column, colours_on, table, width_of, working

if TYPE_CHECKING:
    from lucos.simulator.compare import Configuration

_COMPARED = (
    Column("STRATEGY", lambda r: r.strategy, keep=True),
    Column("HOSTS", lambda r: str(r.hosts), right=True, keep=True),
    Column("SETTINGS", lambda r: r.other_settings),
    Column("SEEDS", lambda r: str(len(r.seeds)), right=True),
    Column("VIOLATIONS", lambda r: str(r.violations), right=True),
    Column("MEAN S", lambda r: str(r.violation_mean_s), right=True),
    Column("P95 S", lambda r: str(r.violation_p95_s), right=True),
    Column("TOTAL S", lambda r: str(r.violation_total_s), right=True),
    Column("MOVES", lambda r: str(r.migrations), right=True),
    Column("INTRA", lambda r: str(r.intra_share), right=True),
    Column("KWH", lambda r: str(r.energy_kwh), right=True),
    Column("MSG/HOST/S", lambda r: str(r.messages_per_host_per_s), right=True),
    Column("WALL S", lambda r: str(r.wall_s), right=True),
)
# A file or a pipe takes lines of any length, and figures that were cut would be of no use in it.
_WIDE = 240


def compared_lines(rows: Sequence[Configuration]) -> list[str]:
    """The table of configurations; as wide as it needs where no terminal sets a limit."""
    scenario = Column("SCENARIO", lambda r: r.scenario)
    columns = (scenario, *_COMPARED) if len({row.scenario for row in rows}) > 1 else _COMPARED
    width = width_of(sys.stdout) if sys.stdout.isatty() else _WIDE
    return table(rows, columns, width=width, colour=colours_on(sys.stdout))


class Shown(StrEnum):
    TABLE = "table"
    JSON = "json"


def add_to(group: typer.Typer) -> None:
    """Add the commands to `luc sim`."""
    group.command(epilog=examples("luc sim report results/vmplaces", "luc sim report run -o report.html"))(
        report
    )
    group.command(
        epilog=examples(
            "luc sim compare results/vmplaces", "luc sim compare a b c --plot violations.svg --format json"
        )
    )(compare)
    group.command(
        epilog=examples(
            "luc sim replay results/demo --at 120",
            "luc sim replay results/vmplaces/hosts=128,strategy=dvms --seed 2 --at 300 --for 4 --node h7",
        )
    )(replay)


def report(
    directory: Annotated[Path, typer.Argument(help="The folder of a run or of a sweep.")],
    output: Annotated[
        Path | None,
        typer.Option("-o", "--output", help="Write it here. Default: report.html in it.", show_default=False),
    ] = None,
) -> None:
    """Write a report as one HTML file, with plots and timelines; of a sweep, one for each run too."""
    from lucos.simulator.report import write_report

    with working("writing the report"):
        written = write_report(directory, output)
    print(written[0])


def compare(
    directories: Annotated[list[Path], typer.Argument(help="Folders of runs and sweeps.")],
    plot: Annotated[
        Path | None,
        typer.Option(help="Draw violations against hosts here (.svg, .png or .pdf).", show_default=False),
    ] = None,
    output: Annotated[Shown, typer.Option("--format", help="For people or for programs.")] = Shown.TABLE,
) -> None:
    """Compare configurations, one row each: means over seeds, ± one standard deviation."""
    from lucos.simulator.compare import compare as compared

    rows = compared(directories)
    if plot is not None:
        from lucos.simulator.plots import save_comparison

        save_comparison(rows, plot)
    if output is Shown.JSON:
        print(msgspec.json.format(msgspec.json.encode(rows), indent=2).decode())
        return
    print("\n".join(compared_lines(rows)))


def replay(
    directory: Annotated[Path, typer.Argument(help="The folder of a run, or of a sweep with one such run.")],
    at: Annotated[float, typer.Option(min=0, help="The instant, in seconds as in the trace.")],
    seed: Annotated[int | None, typer.Option(min=0, help="The run's seed.", show_default=False)] = None,
    span: Annotated[float, typer.Option("--for", min=0.001, help="Seconds to tell, around it.")] = 10.0,
    node: Annotated[str, typer.Option(help="Tell only what concerns this host.", show_default=False)] = "",
    everything: Annotated[
        bool, typer.Option("--all", help="Tell all messages, not only those of schedulers.")
    ] = False,
) -> None:
    """Run a scenario again and tell what happened around an instant."""
    from lucos.simulator.replay import replay as replayed

    with working("running it again"):
        text = replayed(directory, at, seed=seed, for_s=span, node=node, everything=everything)
    print(text, end="")
