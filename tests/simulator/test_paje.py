"""Paje traces, read by the definition of the format: definitions, types, containers, then events in time."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import NamedTuple

import pytest
from traced import four_hosts, rows_of, states

from lucos.simulator.trace import TraceWriter


class Line(NamedTuple):
    event: str
    fields: dict[str, str]


def read_paje(path: Path) -> list[Line]:
    """The events of a trace, by the names of their fields; fails on what the file does not define."""
    definitions: dict[str, tuple[str, list[str]]] = {}
    found, defining = [], ""
    for line in path.read_text().splitlines():
        if line.startswith("%"):
            words = line[1:].split()
            assert not found, "definitions come first"
            if words[0] == "EventDef":
                defining = words[2]
                definitions[defining] = (words[1], [])
            elif words[0] == "EndEventDef":
                defining = ""
            else:
                assert words[1] in ("string", "date", "double", "color")
                definitions[defining][1].append(words[0])
            continue
        number, *values = shlex.split(line)
        event, names = definitions[number]
        assert len(values) == len(names), line
        found.append(Line(event, dict(zip(names, values, strict=True))))
    return found


@pytest.fixture
def traced(tmp_path: Path) -> Path:
    luc = four_hosts()
    with TraceWriter(tmp_path, luc, formats=["jsonl", "paje"]):
        luc.fleet.set_demand("ve.h1a", 190.0)
        luc.simulation.run(40.0)
        luc.fleet.set_demand("ve.h3a", 190.0)
        # Ends while VMs are on their way.
        luc.simulation.run(45.0)
    return tmp_path


def test_types_and_containers_are_there_before_they_are_used(traced: Path) -> None:
    types, values, containers = {"0"}, set(), {"0"}
    last_s = 0.0
    for event, fields in read_paje(traced / "events.paje"):
        time_s = float(fields.get("Time", last_s))
        assert time_s >= last_s
        last_s = time_s
        for name in ("Type", "StartContainerType", "EndContainerType"):
            assert fields.get(name, "0") in types
        for name in ("Container", "StartContainer", "EndContainer"):
            assert fields.get(name, "0") in containers
        if event == "PajeDefineEntityValue":
            values.add(fields["Alias"])
        elif event.startswith("PajeDefine"):
            types.add(fields["Alias"])
        elif event == "PajeCreateContainer":
            containers.add(fields["Alias"])
        elif event == "PajeSetState":
            assert fields["Value"] in values
        elif event == "PajeDestroyContainer":
            containers.remove(fields["Name"])
    assert containers == {"0"}


def test_links_have_two_ends_and_migrations_theirs(traced: Path) -> None:
    lines = read_paje(traced / "events.paje")
    starts = {line.fields["Key"]: line.fields for line in lines if line.event == "PajeStartLink"}
    ends = {line.fields["Key"]: line.fields for line in lines if line.event == "PajeEndLink"}
    assert starts.keys() == ends.keys()
    for key, start in starts.items():
        assert (start["Type"], start["Value"]) == (ends[key]["Type"], ends[key]["Value"])
    drawn = [
        (start["Value"], start["StartContainer"], ends[key]["EndContainer"], float(start["Time"]))
        for key, start in starts.items()
        if start["Type"] == "MIGRATION"
    ]
    moves = [
        (row.value, f"host-{row.data['source']}", f"host-{row.data['destination']}", row.time)
        for row in rows_of(traced, "migration")
    ]
    assert sorted(drawn) == sorted(moves)
    assert len(moves) >= 2
    assert {fields["Type"] for fields in starts.values()} == {"MIGRATION", "MESSAGE"}


def test_states_are_those_of_the_rows(traced: Path) -> None:
    rows = rows_of(traced)
    lines = [line.fields for line in read_paje(traced / "events.paje") if line.event == "PajeSetState"]
    for host in ("h1", "h2", "h3", "h4"):
        for name in ("PM", "SERVICE"):
            turns: dict[float, str] = {}
            for fields in lines:
                if (fields["Container"], fields["Type"]) == (f"host-{host}", name):
                    turns[float(fields["Time"])] = fields["Value"].removeprefix(f"{name}-")
            # What was left at once again has no row; what began at the very end neither.
            assert {(state, start) for state, start, _ in states(rows, host, name)} <= {
                (state, time_s) for time_s, state in turns.items()
            }
