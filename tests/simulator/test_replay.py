"""Replays: the same run again, told around an instant."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from traced import rows_of

from lucos.actors.ports import Sample
from lucos.cli.main import main
from lucos.errors import InputError, UnknownObject
from lucos.model import Migrate, ShutdownNode
from lucos.resources.messages import Execute
from lucos.simulator.replay import replay
from lucos.simulator.rows import Row
from lucos.simulator.run import run_one
from lucos.simulator.scenario import Scenario
from lucos.simulator.words import WORDS_MAX, in_words

Small = Callable[..., Scenario]


@pytest.fixture
def traced(small: Small, tmp_path: Path) -> Path:
    folder = tmp_path / "load=small" / "seed-3"
    run_one(small("output.trace=['jsonl']"), 3, folder)
    return folder


def a_move(folder: Path) -> Row:
    return next(row for row in rows_of(folder, "migration") if row.data["outcome"] == "done")


def test_a_replay_tells_what_the_trace_has(traced: Path) -> None:
    move = a_move(traced)
    text = replay(traced, move.time, for_s=2.0)
    source, destination = move.data["source"], move.data["destination"]
    lines = text.splitlines()
    (start,) = [line for line in lines if f"migration.start {move.value} " in line]
    assert start.split()[:2] == [f"{move.time:.3f}", source]
    assert f"{source} -> {destination}" in start
    order = f"Execute: migrate {move.value} {source} -> {destination}"
    assert sum(line.endswith(order) for line in lines) == 1
    notes = [line for line in lines if line.startswith("---")]
    told_s = [float(note.split()[1]) for note in notes]
    assert told_s == pytest.approx([move.time - 1.0, move.time, move.time + 1.0], abs=1e-3)
    assert f"partition {move.data['partition']} of " in notes[1]
    assert notes[2].endswith("migrations under way")
    times_s = [float(line.split()[0]) for line in lines if not line.startswith("---")]
    assert times_s == sorted(times_s)
    assert move.time - 1.001 <= times_s[0] <= times_s[-1] <= move.time + 1.001
    assert replay(traced, move.time, for_s=2.0) == text


def test_only_one_host_and_all_messages(traced: Path) -> None:
    move = a_move(traced)
    everyone = replay(traced, move.time, for_s=2.0)
    source = str(move.data["source"])
    about = replay(traced, move.time, for_s=2.0, node=source)
    body = [line for line in about.splitlines() if not line.startswith("---")]
    assert 0 < len(body) < len(everyone.splitlines()) - 3
    assert all(source in line for line in body)
    outsider = next(f"h{n}" for n in range(1, 7) if f"h{n}" not in everyone)
    quiet = replay(traced, move.time, for_s=2.0, node=outsider)
    assert all(line.startswith("---") for line in quiet.splitlines())
    whole = replay(traced, move.time, for_s=2.0, everything=True)
    assert len(whole.splitlines()) > len(everyone.splitlines())
    assert f"{source}/hypervisor" in whole
    assert f"{source}/hypervisor" not in everyone


def test_what_cannot_be_replayed_is_told(traced: Path, small: Small) -> None:
    with pytest.raises(InputError, match="--at 121 is outside the run") as caught:
        replay(traced, 121.0)
    assert "from 0 to 120 s" in caught.value.hint
    with pytest.raises(UnknownObject, match="no host h7"):
        replay(traced, 10.0, node="h7")
    with pytest.raises(InputError, match="has no run with seed 4") as caught:
        replay(traced, 10.0, seed=4)
    assert "3" in caught.value.hint
    run_one(small(), 3, traced.parents[1] / "load=other" / "seed-3")
    with pytest.raises(InputError, match="has 2 such runs"):
        replay(traced.parents[1], 10.0, seed=3)
    (traced / "scenario.toml").write_text('name = "small"\nduration_s = "long"\n')
    with pytest.raises(InputError, match=r"scenario\.toml: "):
        replay(traced, 10.0)


def test_the_command_finds_the_run_of_a_sweep(traced: Path, capsys: pytest.CaptureFixture[str]) -> None:
    move = a_move(traced)
    sweep = str(traced.parents[1])
    with pytest.raises(SystemExit) as left:
        main(["sim", "replay", sweep, "--seed", "3", "--at", str(move.time), "--for", "2"])
    assert left.value.code == 0
    assert capsys.readouterr().out == replay(traced, move.time, for_s=2.0)


def test_orders_and_messages_without_words_of_their_own() -> None:
    assert in_words(Execute(1, Migrate("ve.a", "h1", "h2"), "why")) == "Execute: migrate ve.a h1 -> h2"
    assert in_words(Execute(1, ShutdownNode(node="h1"), "why")) == "Execute: shutdownnode h1"
    assert in_words(Sample(7, 1.0)) == "Sample call_id=7, period_s=1.0"
    assert len(in_words(Execute(1, Migrate("v" * 200, "h1", "h2"), ""))) == WORDS_MAX
