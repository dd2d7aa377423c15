"""Sweeps: every run in its folder, none done twice, failures told; on this machine and over Dask."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import distributed
import msgspec
import pytest

from lucos.errors import EnvironmentMissing, InputError, OperationFailed, Unreachable
from lucos.simulator.experiment import Run, load_runs
from lucos.simulator.run import SUMMARY, WALL_CLOCK, run_one
from lucos.simulator.sweep import INDEX, State, Sweep

Write = Callable[..., Path]
QUICK = (("duration_s = 120", "duration_s = 20"),)


def ignore(_: Sweep) -> None:
    pass


def states(directory: Path) -> list[str]:
    return [run["state"] for run in json.loads((directory / INDEX).read_bytes())["runs"]]


def written_ns(directory: Path) -> dict[str, int]:
    return {str(path.parent.name): path.stat().st_mtime_ns for path in directory.rglob(SUMMARY)}


@pytest.fixture
def runs(write: Write) -> list[Run]:
    return load_runs(write(*QUICK, more="[sweep]\nhosts = [3]\nseeds = 3\n"))


def test_runs_are_made_in_processes_and_what_is_done_stays(runs: list[Run], tmp_path: Path) -> None:
    out = tmp_path / "out"
    run_one(runs[1].scenario, runs[1].seed, out / runs[1].folder)
    before = written_ns(out)
    seen: list[list[State]] = []
    sweep = Sweep(runs, out, changed=lambda sweep: seen.append(list(sweep.states.values())))
    assert sweep.todo() == ["hosts=3/seed-1", "hosts=3/seed-3"]
    sweep.run_here(2)
    sweep.raise_failed()
    assert states(out) == ["done"] * 3
    assert seen[0] == [State.TODO, State.DONE, State.TODO]
    assert [State.RUNNING, State.DONE, State.RUNNING] in seen
    assert [said["seed"] for said in sweep.summaries()] == [1, 2, 3]
    assert written_ns(out)["seed-2"] == before["seed-2"]
    # Another process does exactly what this one would have done.
    here = run_one(runs[0].scenario, 1)
    there = sweep.summaries()[0]
    assert {key: value for key, value in there.items() if key not in WALL_CLOCK} == {
        key: value for key, value in json.loads(msgspec.json.encode(here)).items() if key not in WALL_CLOCK
    }


def test_other_settings_are_done_again(runs: list[Run], write: Write, tmp_path: Path) -> None:
    out = tmp_path / "out"
    run_one(runs[0].scenario, 1, out / runs[0].folder)
    assert Sweep(runs, out, changed=ignore).count(State.DONE) == 1
    others = load_runs(write(*QUICK, more="[sweep]\nhosts = [3]\nseeds = 3\n"), ["mean_pct=50"])
    assert Sweep(others, out, changed=ignore).count(State.DONE) == 0


def test_a_run_that_fails_is_told_and_the_others_go_on(write: Write, tmp_path: Path) -> None:
    (tmp_path / "good.csv").write_text("time_s,vm,cpu_pct\n1,sim.vm1,50\n")
    (tmp_path / "bad.csv").write_text("time_s,vm,cpu_pct\n1,sim.vm1,much\n")
    path = write(*QUICK, ('"gaussian"', '"csv"'), more='[sweep]\ntrace = ["bad.csv", "good.csv"]\n')
    out = tmp_path / "out"
    sweep = Sweep(load_runs(path), out, changed=ignore)
    sweep.run_here(2)
    assert states(out) == ["failed", "done"]
    with pytest.raises(OperationFailed, match=r"1 of 2 runs failed; .*bad\.csv:2: is not time_s"):
        sweep.raise_failed()


def test_two_equal_runs_are_refused(runs: list[Run], tmp_path: Path) -> None:
    with pytest.raises(InputError, match="the same"):
        Sweep([runs[0], runs[0]], tmp_path, changed=ignore)


def test_a_killed_sweep_goes_on_where_it_was(write: Write, tmp_path: Path) -> None:
    path = write(more="[sweep]\nduration_s = [20, 100000]\n")
    out = tmp_path / "out"
    command = [sys.executable, "-m", "lucos.cli", "sim", "run", str(path), "-o", str(out), "--jobs", "2"]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        wait_for(lambda: (out / INDEX).exists() and states(out) == ["done", "in progress"])
        before = written_ns(out)
        children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
        assert children
    finally:
        process.kill()
        process.wait()
    # The run that was under way ends by itself, without a summary.
    wait_for(lambda: not any(alive(int(child)) for child in children))
    assert written_ns(out) == before
    sweep = Sweep(load_runs(path), out, changed=ignore)
    assert list(sweep.states.values()) == [State.DONE, State.TODO]


def test_ctrl_c_ends_all_runs_and_leaves_no_summary(write: Write, tmp_path: Path) -> None:
    path = write(more="[sweep]\nduration_s = [100000, 100001]\n")
    out = tmp_path / "out"
    command = [sys.executable, "-m", "lucos.cli", "sim", "run", str(path), "-o", str(out), "--jobs", "2"]
    process = subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        process_group=0,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )
    try:
        wait_for(lambda: len(list(out.rglob("scenario.toml"))) == 2)
        os.killpg(process.pid, signal.SIGINT)
        _, said = process.communicate(timeout=90)
    finally:
        process.kill()
        process.wait()
    assert process.returncode == 130
    assert "Traceback" not in said
    assert states(out) == ["todo", "todo"]
    assert not list(out.rglob(SUMMARY))


def wait_for(holds: Callable[[], bool], timeout_s: float = 120.0) -> None:
    deadline_s = time.monotonic() + timeout_s
    while not holds():
        assert time.monotonic() < deadline_s, "it did not come"
        time.sleep(0.05)


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


# --- Dask -----------------------------------------------------------------------------------------------


def test_a_dask_cluster_does_the_runs(runs: list[Run], tmp_path: Path) -> None:
    out = tmp_path / "out"
    run_one(runs[0].scenario, 1, out / runs[0].folder)
    with distributed.LocalCluster(
        n_workers=1,
        threads_per_worker=1,
        processes=True,
        host="127.0.0.1",
        dashboard_address="127.0.0.1:0",
        local_directory=str(tmp_path),
        silence_logs=40,
    ) as cluster:
        sweep = Sweep(runs[:2], out, changed=ignore)
        sweep.run_on_dask(cluster.scheduler_address)
    sweep.raise_failed()
    assert states(out) == ["done", "done"]
    assert [said["seed"] for said in sweep.summaries()] == [1, 2]


def test_no_dask_scheduler_is_told(runs: list[Run], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sweep = Sweep(runs, tmp_path, changed=ignore)
    monkeypatch.setattr("lucos.simulator.sweep.DASK_TIMEOUT_S", 0.5)
    with pytest.raises(Unreachable, match=r"no Dask scheduler answers at tcp://127\.0\.0\.1:1"):
        sweep.run_on_dask("tcp://127.0.0.1:1")


def test_dask_that_is_not_installed_is_told(
    runs: list[Run], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(EnvironmentMissing, match="Dask is not installed"):
        Sweep(runs, tmp_path, changed=ignore).run_on_dask("tcp://127.0.0.1:1")
