"""Commands on the simulator: run scenarios and sweeps."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import msgspec
import typer

from lucos.cli.options import Format, examples, group
from lucos.cli.render import Column, rows_for_people, say
from lucos.cli.simreport import add_to, compared_lines
from lucos.errors import InputError, OperationFailed

if TYPE_CHECKING:
    from lucos.simulator.experiment import Run
    from lucos.simulator.run import LawsMode, Tell
    from lucos.simulator.sweep import Sweep

app = typer.Typer()
sim = group("The simulator: scenarios of whole LUCs on this one machine.", "luc sim run demo")
app.add_typer(sim, name="sim")


@sim.command(
    epilog=examples(
        "luc sim run demo",
        "luc sim run seed-10k --seed 7 -o results/seed-10k",
        "luc sim run vmplaces --set hosts=512 --set strategy=entropy -o results/512",
        "luc sim run mine.toml --set load.mean_pct=80 --jobs 4 -o results/mine",
        "luc sim run vmplaces --dask tcp://head:8786 -o results/vmplaces",
    )
)
def run(
    scenario: Annotated[str, typer.Argument(help="A scenario's file, or the name of one that is shipped.")],
    sets: Annotated[
        list[str] | None,
        typer.Option("--set", help="key=value: change the scenario; may be repeated.", show_default=False),
    ] = None,
    seed: Annotated[
        int | None, typer.Option(min=0, help="Run with this seed only.", show_default=False)
    ] = None,
    jobs: Annotated[
        int | None,
        typer.Option(min=1, help="Runs at a time. Default: as many as cores.", show_default=False),
    ] = None,
    dask: Annotated[
        str, typer.Option(help="Run on the Dask cluster with this scheduler.", show_default=False)
    ] = "",
    laws: Annotated[
        bool, typer.Option("--laws", help="Check the laws after every event; stop at the first broken.")
    ] = False,
    directory: Annotated[
        Path | None, typer.Option("-o", help="Write summary and traces here.", show_default=False)
    ] = None,
    output: Annotated[Format, typer.Option("--format", help="For people or for programs.")] = Format.TABLE,
) -> None:
    """Run a scenario: once, or as often as its sweep says.

    A sweep that was interrupted goes on where it was. Exits with 6 when a law was broken or a run failed.
    """
    from lucos.simulator.experiment import load_runs, scenario_path

    runs = load_runs(scenario_path(scenario), sets or (), seed)
    mode: LawsMode = "every-event" if laws else "light"
    if len(runs) == 1 and not dask:
        summaries = [_one(runs[0], directory, mode)]
    elif directory is None:
        raise InputError(f"{len(runs)} runs need a folder for their results", hint="add -o results")
    else:
        summaries = _sweep(runs, directory, mode, jobs or os.cpu_count() or 1, dask)
    _show(summaries, directory, output)
    broken = [
        f"{said['scenario']} seed {said['seed']}: {said['laws_broken'][0]}" for said in _guilty(summaries)
    ]
    if broken:
        raise OperationFailed(f"laws were broken: {broken[0]}", hint="luc sim replay shows what led to it")


def _guilty(summaries: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [said for said in summaries if said["laws_broken"]]


# --- One run ----------------------------------------------------------------------------------------


def _one(run: Run, directory: Path | None, laws: LawsMode) -> dict[str, Any]:
    from lucos.simulator.run import run_one

    with _bar(run) as tell:
        return run_one(run.scenario, run.seed, directory, progress=tell, laws=laws)


@contextmanager
def _bar(run: Run) -> Iterator[Tell]:
    """How far the run is, with simulated and real speed; on terminals only."""
    if not sys.stderr.isatty():
        yield lambda _: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.completed:.0f} of {task.total:.0f} s"),
        TextColumn("{task.fields[speed]}"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True)) as bar:
        task = bar.add_task(f"{run.scenario.name} #{run.seed}", total=run.scenario.duration_s, speed="")

        def tell(progress: Any) -> None:
            wall_s = max(progress.wall_s, 1e-9)
            speed = (
                f"{progress.simulated_s / wall_s:.3g} x real time, {progress.events / wall_s:,.0f} events/s"
            )
            bar.update(task, completed=progress.simulated_s, speed=speed)

        yield tell


# --- Sweeps -----------------------------------------------------------------------------------------


def _sweep(runs: list[Run], directory: Path, laws: LawsMode, jobs: int, dask: str) -> list[dict[str, Any]]:
    from lucos.simulator.sweep import Sweep

    with _states() as tell:
        sweep = Sweep(runs, directory, laws=laws, changed=tell)
        if dask:
            sweep.run_on_dask(dask)
        else:
            sweep.run_here(jobs)
    sweep.raise_failed()
    return sweep.summaries()


@contextmanager
def _states() -> Iterator[Any]:
    """How many runs are in which state: a line that changes on terminals, a line at each end elsewhere."""
    from lucos.simulator.sweep import State

    def line(sweep: Sweep) -> str:
        counts = (f"{sweep.count(state)} {state}" for state in State)
        under_way = [folder for folder, state in sweep.states.items() if state is State.RUNNING]
        return ", ".join(counts) + (f": {' '.join(under_way[:3])}" if under_way else "")

    if not sys.stderr.isatty():
        ended = -1

        def told(sweep: Sweep) -> None:
            nonlocal ended
            now = sweep.count(State.DONE) + sweep.count(State.FAILED)
            if now != ended:
                ended = now
                say(line(sweep))

        yield told
        return
    from rich.console import Console
    from rich.markup import escape

    with Console(stderr=True).status("sweep") as status:
        yield lambda sweep: status.update(escape(line(sweep)))


# --- Results ----------------------------------------------------------------------------------------


def _show(summaries: list[dict[str, Any]], directory: Path | None, output: Format) -> None:
    if output is not Format.TABLE:
        value = summaries[0] if len(summaries) == 1 else summaries
        if output is Format.JSON:
            print(msgspec.json.format(msgspec.json.encode(value), indent=2).decode())
        else:
            import yaml

            print(yaml.safe_dump(value, sort_keys=False, allow_unicode=True), end="")
        return
    if len(summaries) > 1 and directory is not None:
        lines = _comparison(directory)
    else:
        lines = _facts(summaries[0])
    print("\n".join(lines))
    if directory is not None:
        print(f"\nresults are in {directory}")


# What the table of one run says: words, and the summary's field with its unit.
_FACTS: tuple[tuple[str, tuple[tuple[str, str, str], ...]], ...] = (
    (
        "time",
        (("simulated", "simulated_s", "s"), ("took", "wall_s", "s"), ("speed", "speed", "x real time")),
    ),
    ("work", (("events", "events", ""), ("a second", "events_per_s", ""), ("memory", "peak_rss_mb", "MB"))),
    (
        "violations",
        (
            ("", "violations.count", ""),
            ("mean", "violations.mean_s", "s"),
            ("p95", "violations.p95_s", "s"),
            ("longest", "violations.max_s", "s"),
            ("together", "violations.total_s", "s"),
        ),
    ),
    (
        "migrations",
        (
            ("", "migrations.count", ""),
            ("within sites", "migrations.intra_site", ""),
            ("failed", "migrations.failed", ""),
            ("mean", "migrations.mean_s", "s"),
        ),
    ),
    (
        "partitions",
        (
            ("", "partitions.count", ""),
            ("mean size", "partitions.mean_size", "hosts"),
            ("p95", "partitions.p95_size", "hosts"),
            ("merges", "partitions.merges", ""),
            ("gave up", "partitions.gave_up", ""),
        ),
    ),
    ("messages", (("", "messages.count", ""), ("per host", "messages.per_host_per_s", "a second"))),
    ("energy", (("", "energy_kwh", "kWh"), ("SLAV", "slav_percent", "%"), ("OTF", "otf_percent", "%"))),
    ("vjobs", (("all done after", "vjobs.makespan_s", "s"), ("late", "vjobs.late", ""))),
)


def _facts(summary: dict[str, Any]) -> list[str]:
    from lucos.simulator.compare import figure

    title = (
        f"{summary['scenario']}: {summary['strategy']}, {summary['hosts']} hosts, {summary['vms']} VMs, "
        f"seed {summary['seed']}"
    )
    rows: list[tuple[str, str]] = []
    for group_name, facts in _FACTS:
        parts = []
        for words, path, unit in facts:
            value = figure(summary, path)
            if value is not None:
                parts.append(" ".join(filter(None, (words, _number(value), unit))))
        if parts:
            rows.append((group_name, ", ".join(parts)))
    if "trace" in summary:
        rows.append(("trace", summary["trace"]))
    if summary["events"] is not None:
        rows.append(("laws", "; ".join(summary["laws_broken"][:3]) or "none broken"))
    columns = (Column("WHAT", lambda r: r[0], keep=True), Column("FIGURES", lambda r: r[1], keep=True))
    return [title, "", *rows_for_people(rows, columns)]


def _number(value: float) -> str:
    return f"{value:,.0f}" if value == int(value) or abs(value) >= 1000 else f"{value:.3g}"


def _comparison(directory: Path) -> list[str]:
    from lucos.simulator.compare import compare

    return compared_lines(compare([directory]))


add_to(sim)
