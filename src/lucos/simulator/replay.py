"""A run told anew around an instant: who said what to whom, with loads and partitions before and after."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec

from lucos.actors import Message, node_of
from lucos.errors import InputError, UnknownObject
from lucos.model import Event
from lucos.resources.dvms.messages import Renew
from lucos.simulator.digest import SCENARIO, Run, find_runs
from lucos.simulator.run import LucRun
from lucos.simulator.scenario import Scenario
from lucos.simulator.schedule_states import ScheduleStates
from lucos.simulator.transcript import Transcript
from lucos.simulator.words import between_schedulers, in_words

SHOWN_MAX = 12


def find_run(folder: Path, seed: int | None) -> Run:
    """The run of that seed in the folder of a run or of a sweep; raises `InputError` if there is not one."""
    runs = find_runs(folder)
    found = [run for run in runs if seed is None or run.summary.get("seed") == seed]
    if len(found) == 1:
        return found[0]
    if not found:
        known = ", ".join(sorted({str(run.summary.get("seed")) for run in runs}))
        raise InputError(f"{folder} has no run with seed {seed}", hint=f"it has the seeds {known}")
    names = ", ".join(str(run.folder) for run in found[:4])
    more = ", ..." if len(found) > 4 else ""
    raise InputError(f"{folder} has {len(found)} such runs", hint=f"name one: {names}{more}")


def replay(
    folder: Path,
    at_s: float,
    *,
    seed: int | None = None,
    for_s: float = 10.0,
    node: str = "",
    everything: bool = False,
) -> str:
    """Run the scenario of a finished run again and tell the `for_s` seconds around `at_s`, its trace's time.

    Told are events, and messages between nodes from or to their schedulers; with `everything` all deliveries
    but those of timers. With `node`, only what concerns that host. Raises `InputError` when the run is not
    there, is of another kind or does not reach that instant, `UnknownObject` for a host it does not have.
    """
    found = find_run(folder, seed)
    scenario = _scenario(found)
    run = LucRun(scenario, int(found.summary["seed"]))
    if node and node not in run.luc.names:
        raise UnknownObject(f"there is no host {node}", hint=f"hosts are {', '.join(run.luc.names[:3])}, ...")
    end_s = run.begin_s + scenario.duration_s
    if not run.begin_s <= at_s <= end_s:
        span = f"the run goes from {run.begin_s:g} to {end_s:g} s"
        raise InputError(f"--at {at_s:g} is outside the run", hint=span)
    schedules = ScheduleStates(_nothing, _nothing, _nothing)
    run.luc.simulation.listeners.append(schedules.hear)
    run.to(max(at_s - for_s / 2.0 - run.begin_s, 0.0))

    def hears(to: str, sender: str) -> bool:
        if node and node not in (node_of(to), node_of(sender)):
            return False
        return to != sender if everything else between_schedulers(to, sender)

    def words(message: Message) -> str | None:
        return None if isinstance(message, Renew) and not everything else in_words(message)

    def sees(event: Event) -> bool:
        return not node or _concerns(event, node)

    told = Transcript(run.luc.simulation, words, hears=hears, sees=sees)
    told.note(f"{scenario.name}, seed {found.summary['seed']}: {situation(run, schedules, node)}")
    run.to(min(at_s - run.begin_s, scenario.duration_s))
    told.note(situation(run, schedules, node))
    run.to(min(at_s + for_s / 2.0 - run.begin_s, scenario.duration_s))
    told.note(situation(run, schedules, node))
    return told.text()


def _nothing(*_: Any) -> None:
    """Only the state is asked for, not its changes."""


def _scenario(found: Run) -> Scenario:
    try:
        scenario = msgspec.convert(found.settings, Scenario)
    except msgspec.ValidationError as error:
        path = str(found.folder / SCENARIO)
        hint = "another version of luc wrote it: run it again"
        raise InputError(str(error), hint=hint, file=path) from None
    if scenario.kind != "luc":
        raise InputError(f"a run of kind {scenario.kind} has no messages to replay")
    return scenario


def _concerns(event: Event, node: str) -> bool:
    members = event.data.get("members")
    names = [event.node, event.subject, event.data.get("source"), event.data.get("destination")]
    return node in names or (isinstance(members, list) and node in members)


def situation(run: LucRun, schedules: ScheduleStates, node: str) -> str:
    """The loads that matter and the partitions there are, in a line of words."""
    fleet = run.luc.fleet
    loads = {host.name: 100.0 * host.demand_pct / host.capacity.cpu_pct for host in fleet.hosts}
    busy = [node] if node else [name for name, load in loads.items() if load > 100.0]
    shown = [f"{name} at {loads[name]:.0f} % CPU" for name in busy[:SHOWN_MAX]]
    partitions = [
        f"partition {name} of {', '.join(members)}"
        for name, members in schedules.partitions().items()
        if not node or node in members
    ]
    return "; ".join(
        (
            ", ".join(shown) + _more(busy) if shown else "no host in violation",
            "; ".join(partitions[:SHOWN_MAX]) + _more(partitions) if partitions else "no partition",
            f"{len(fleet.migrations())} migrations under way",
        )
    )


def _more(items: list[str]) -> str:
    return f" and {len(items) - SHOWN_MAX} more" if len(items) > SHOWN_MAX else ""
