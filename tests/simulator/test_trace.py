"""Traces: what they say is what happened, judged by observers of their own; the same seed, the same bytes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import msgspec
import pyarrow.parquet
import pytest
from traced import WATTS, four_hosts, rows_of, states

from lucos.actors import Message, actor_of, node_of
from lucos.actors.ports import Perform
from lucos.errors import EnvironmentMissing, InputError
from lucos.model import Event, ShutdownNode
from lucos.simulator.digest import Digest
from lucos.simulator.rows import EVENTS, NODE_STATES, SERVICE_STATES, Row, read_rows
from lucos.simulator.run import run_one
from lucos.simulator.scenario import Scenario
from lucos.simulator.schedule_states import ScheduleStates
from lucos.simulator.trace import TraceWriter

Small = Callable[..., Scenario]
TRACED = "output.trace=['jsonl']"


def test_states_of_every_host_follow_one_another_without_a_gap(tmp_path: Path) -> None:
    luc = four_hosts()
    with TraceWriter(tmp_path, luc):
        luc.simulation.run(20.0)
        luc.fleet.set_demand("ve.h1a", 190.0)
        luc.simulation.run(60.0)
    rows = rows_of(tmp_path)
    for host in luc.names:
        for name, words in (("PM", NODE_STATES), ("SERVICE", SERVICE_STATES)):
            lane = states(rows, host, name)
            assert lane[0][1] == 0.0
            assert lane[-1][1] + lane[-1][2] == pytest.approx(60.0)
            for (_, start, lasted), (_, following, _) in pairwise(lane):
                assert start + lasted == pytest.approx(following, abs=2e-6)
            assert {state for state, _, _ in lane} <= set(words)
    assert [state for state, _, _ in states(rows, "h1", "PM")] == [
        "normal",
        "violation",
        "violation-det",
        "normal",
    ]
    assert {"free", "booked", "compute", "reconfigure", "migrate"} == {
        state for host in luc.names for state, _, _ in states(rows, host, "SERVICE")
    }


def test_what_a_trace_says_is_what_the_summary_says(small: Small, tmp_path: Path) -> None:
    """The summary counts by itself: violations, migrations, partitions and messages must agree."""
    summary = run_one(small(TRACED), 3, tmp_path)
    digest = Digest.of(tmp_path / EVENTS)
    assert summary["violations"]["count"] >= 3
    assert summary["migrations"]["count"] >= 3
    assert len(digest.violations_s) == summary["violations"]["count"]
    assert sum(digest.violations_s) == pytest.approx(summary["violations"]["total_s"], abs=1e-3)
    assert sum(digest.violation_s.values()) == pytest.approx(summary["violations"]["total_s"], abs=1e-3)
    done = [move for move in digest.moves if move.outcome == "done"]
    assert len(done) == summary["migrations"]["count"]
    same = sum(digest.sites[move.source] == digest.sites[move.destination] for move in done)
    assert same == summary["migrations"]["intra_site"]
    ended = [group for group in digest.groups if group.outcome in ("dissolved", "failed")]
    assert len(ended) == summary["partitions"]["count"]
    assert digest.variables["ENERGY"][-1][1] / 3.6e6 == pytest.approx(summary["energy_kwh"], rel=1e-6)


def test_the_run_is_the_same_with_and_without_a_trace_and_the_trace_of_a_seed_is_the_same(
    small: Small, tmp_path: Path
) -> None:
    formats = "output.trace=['jsonl','paje','parquet']"
    scenario = small(formats)
    one, same = (run_one(scenario, 5, tmp_path / name) for name in ("one", "same"))
    for name in (EVENTS, "events.paje", "events.parquet"):
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "same" / name).read_bytes(), name
    without = run_one(small(), 5)
    for figure in ("events", "violations", "migrations", "messages", "energy_kwh"):
        assert one[figure] == same[figure] == without[figure]
    run_one(scenario, 6, tmp_path / "other")
    assert (tmp_path / "other" / EVENTS).read_bytes() != (tmp_path / "one" / EVENTS).read_bytes()


def test_loads_are_those_of_their_instants(tmp_path: Path) -> None:
    luc = four_hosts()
    with TraceWriter(tmp_path, luc, sample_s=10.0):
        luc.simulation.run(14.0)
        luc.fleet.set_demand("ve.h4a", 120.0)
        luc.simulation.run(26.0)
        luc.fleet.set_demand("ve.h4a", 0.0)
        luc.simulation.run(30.0)
    loads = [row for row in rows_of(tmp_path, "variable") if row.state_name == "LOAD"]
    assert [row.time for row in loads] == [0.0, 10.0, 20.0, 30.0]
    assert [row.data["wanted_pct"] for row in loads] == [320.0, 320.0, 400.0, 280.0]
    assert [row.value for row in loads] == [40.0, 40.0, 50.0, 35.0]
    assert [row.data["max"] for row in loads] == [40.0, 40.0, 80.0, 40.0]
    assert {row.data["capacity_pct"] for row in loads} == {800.0}


def test_a_violation_that_a_vm_brings_with_it_is_told_from_others(tmp_path: Path) -> None:
    luc = four_hosts()
    with TraceWriter(tmp_path, luc):
        luc.fleet.set_demand("ve.h1a", 100.0)
        luc.fleet.set_demand("ve.h2a", 60.0)
        luc.simulation.run(5.0)
        luc.migrate("ve.h1a", "h1", "h2")
        luc.simulation.run(5.5)
        # Admitted by now; what is there grows before it comes.
        luc.fleet.set_demand("ve.h2b", 80.0)
        luc.simulation.run(60.0)
    rows = rows_of(tmp_path)
    lane = [state for state, _, _ in states(rows, "h2", "PM")]
    assert lane[:3] == ["normal", "violation-out", "violation-det"]
    (move, *_) = [row for row in rows if row.event == "migration"]
    assert (move.value, move.data["source"], move.data["destination"]) == ("ve.h1a", "h1", "h2")
    assert move.data["outcome"] == "done"
    assert next(start for state, start, _ in states(rows, "h2", "PM") if state == "violation-out") == (
        pytest.approx(move.time + move.duration, abs=0.1)
    )


def test_hosts_that_are_down_or_in_standby_are_told_and_counted(tmp_path: Path) -> None:
    luc = four_hosts()
    with TraceWriter(tmp_path, luc):
        luc.simulation.run(3.0)
        luc.fleet.crash_host("h4")
        luc.simulation.run(5.0)
        for vm in ("ve.h3a", "ve.h3b"):
            luc.fleet.crash_vm(vm)
        luc.fleet.perform("h3", Perform(1, ShutdownNode(node="h3")), lambda _: None)
        luc.simulation.run(400.0)
    rows = rows_of(tmp_path)
    assert [state for state, _, _ in states(rows, "h4", "PM")] == ["normal", "down"]
    assert [state for state, _, _ in states(rows, "h3", "PM")][-1] == "off"
    on = [row.value for row in rows if row.state_name == "NB_ON"]
    assert on == [4, 3, 2]
    assert [row.value for row in rows if row.state_name == "NB_OFF"] == [0, 1, 2]
    vms = [row.value for row in rows if row.state_name == "NB_VM"]
    assert (vms[0], vms[-1]) == (8, 4)
    energy_j = [row for row in rows if row.state_name == "ENERGY"]
    assert energy_j[-1].value == pytest.approx(sum(map(luc.fleet.energy_j, luc.names)))
    assert energy_j[-1].value < 4 * WATTS[-1] * 400.0


def test_messages_are_counted_between_those_who_speak(tmp_path: Path) -> None:
    luc = four_hosts()
    heard: Counter[tuple[str, str]] = Counter()

    def listen(_: float, to: str, sender: str, message: Message) -> None:
        if node_of(to) != node_of(sender) and "membership" not in (actor_of(to), actor_of(sender)):
            heard[node_of(sender), node_of(to)] += 1

    luc.simulation.observers.append(listen)
    with TraceWriter(tmp_path, luc):
        luc.fleet.set_demand("ve.h1a", 190.0)
        luc.simulation.run(60.0)
    rows = [row for row in rows_of(tmp_path) if row.state_name == "SCHEDULING"]
    assert {(r.origin, r.data["to"]): r.value for r in rows if r.event == "messages"} == heard
    assert sum(int(r.value) for r in rows if r.event == "distance") == heard.total() > 10
    assert {r.data["hops"] for r in rows if r.event == "distance"} <= {1, 2}


def test_parquet_has_the_same_rows(small: Small, tmp_path: Path) -> None:
    run_one(small("output.trace=['jsonl','parquet']"), 2, tmp_path)
    columns = pyarrow.parquet.read_table(tmp_path / "events.parquet").to_pydict()
    both = zip(columns["value"], columns["number"], strict=True)
    values = [number if word is None else word for word, number in both]
    data = map(msgspec.json.decode, columns["data"])
    fields = zip(
        *(columns[name] for name in ("event", "origin", "state_name", "time")),
        values,
        data,
        columns["duration"],
        strict=True,
    )
    assert [Row(*row) for row in fields] == rows_of(tmp_path)


def test_parquet_without_its_library_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(__import__("sys").modules, "pyarrow", None)
    with pytest.raises(EnvironmentMissing, match="pyarrow") as caught:
        TraceWriter(tmp_path, four_hosts(), formats=["parquet"])
    assert "parquet" in caught.value.hint


def test_bad_formats_folders_and_files_are_told(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no trace format 'xml'"):
        TraceWriter(tmp_path, four_hosts(), formats=["xml"])
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="cannot write to"):
        TraceWriter(tmp_path / "file", four_hosts())
    good = msgspec.json.encode(Row("state", "h1", "PM", 0.0, "normal", {}, 1.0)).decode()
    (tmp_path / EVENTS).write_text(f"{good}\n{good[:-20]}\n")
    with pytest.raises(InputError, match=r"events.jsonl:2: "):
        list(read_rows(tmp_path / EVENTS))
    with pytest.raises(InputError, match="cannot read"):
        list(read_rows(tmp_path / "nothing"))


def _hear(schedules: ScheduleStates, *events: tuple[float, str, str, str, list[str]]) -> None:
    for time_s, node, kind, subject, members in events:
        data = {"members": members} if members else {}
        schedules.hear(Event(time_s, node, kind, subject, "", data))


def test_members_of_partitions_are_booked_until_it_ends() -> None:
    ended: list[Row] = []
    counts: list[tuple[str, int]] = []
    schedules = ScheduleStates(lambda _: None, lambda *count: counts.append(count), ended.append)
    _hear(
        schedules,
        (1.0, "h1", "partition.started", "h1#1", ["h1"]),
        (2.0, "h2", "partition.grown", "h1#1", ["h1", "h2"]),
        (3.0, "h3", "partition.started", "h3#1", ["h3"]),
        (4.0, "h3", "partition.handed-over", "h3#1", []),
        (5.0, "h2", "partition.merged", "h1#1", ["h1", "h2", "h3"]),
        # h1 kept silent: it is left out.
        (6.0, "h2", "partition.solved", "h1#1", ["h2", "h3"]),
    )
    assert [schedules.state(f"h{n}") for n in (1, 2, 3)] == ["free", "reconfigure", "reconfigure"]
    assert schedules.partitions() == {"h1#1": ["h2", "h3"]}
    schedules.node_died("h2", 7.0)
    _hear(schedules, (9.0, "h3", "partition.expired", "h1#1", []))
    assert schedules.state("h3") == "free"
    assert [(row.value, row.data["size"], row.data["merges"], row.data["outcome"]) for row in ended] == [
        ("h3#1", 1, 0, "handed-over"),
        ("h1#1", 3, 1, "expired"),
    ]
    assert [(row.time, row.duration) for row in ended] == [(3.0, 1.0), (1.0, 8.0)]
    assert counts == [("NB_MC", 1), ("NB_MC", 2), ("NB_MC", 1), ("NB_MC", 0)]
