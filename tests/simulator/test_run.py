"""Whole runs: reproducible, with the summary that was promised, faults, newcomers, nothing half written."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from lucos.errors import InputError, OperationFailed
from lucos.simulator.experiment import load_scenario
from lucos.simulator.faultplan import FaultPlan
from lucos.simulator.laws import LawBroken, Laws
from lucos.simulator.run import SCENARIO, SUMMARY, WALL_CLOCK, LucRun, Progress, run_one
from lucos.simulator.scenario import Scenario

Small = Callable[..., Scenario]

CONTRACT: dict[str, set[str]] = {
    "violations": {"count", "mean_s", "p50_s", "p95_s", "max_s", "total_s"},
    "migrations": {"count", "intra_site", "inter_site", "failed", "mean_s", "bytes"},
    "partitions": {"count", "mean_size", "p95_size", "merges", "gave_up"},
    "messages": {"count", "bytes", "per_host_per_s"},
}
TOTALS = {
    *("scenario", "strategy", "seed", "hosts", "vms", "simulated_s", "wall_s", "events", "events_per_s"),
    *("peak_rss_mb", "energy_kwh", "slav_percent", "otf_percent", "laws_broken"),
}


def told(summary: dict[str, Any]) -> dict[str, Any]:
    """A summary without what depends on the machine."""
    return {key: value for key, value in summary.items() if key not in WALL_CLOCK}


def test_a_run_repeats_itself_and_another_seed_does_not(small: Small, tmp_path: Path) -> None:
    scenario = small("overlay.fidelity=full")
    one, same = (run_one(scenario, 3, tmp_path / name) for name in ("one", "same"))
    assert told(one) == told(same)
    assert one["violations"]["count"] > 0
    assert one["migrations"]["count"] > 0
    assert one["messages"]["bytes"] > 0
    assert one["laws_broken"] == []
    assert told(run_one(scenario, 6)) != told(one)


def test_the_summary_has_what_was_promised(small: Small, tmp_path: Path) -> None:
    summary = run_one(small(), 1, tmp_path / "out")
    assert summary.keys() >= TOTALS | CONTRACT.keys()
    for group, names in CONTRACT.items():
        assert summary[group].keys() >= names
    assert (summary["hosts"], summary["vms"], summary["simulated_s"]) == (6, 60, 120.0)
    written = json.loads((tmp_path / "out" / SUMMARY).read_bytes())
    assert written == json.loads(json.dumps(summary))
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [SCENARIO, SUMMARY]


def test_the_effective_scenario_repeats_the_run(small: Small, tmp_path: Path) -> None:
    first = run_one(small("mean_pct=68"), 3, tmp_path)
    again = load_scenario(tmp_path / SCENARIO)
    assert again.seed == 3
    assert told(run_one(again, again.seed))["violations"] == first["violations"]


def test_both_overlays_meet_the_same_load(small: Small) -> None:
    full, oracle = (run_one(small(f"overlay.fidelity={name}"), 1) for name in ("full", "oracle"))
    assert full["load_changes"] == oracle["load_changes"] > 0
    assert full["overlay"]["fidelity"] == "full"
    assert full["messages"]["count"] > oracle["messages"]["count"]


def test_an_interrupted_run_leaves_no_summary(small: Small, tmp_path: Path) -> None:
    run_one(small("duration_s=20"), 1, tmp_path)

    def interrupt(progress: Progress) -> None:
        if progress.simulated_s > 60:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_one(small("output.trace=['jsonl']"), 1, tmp_path, progress=interrupt)
    assert not (tmp_path / SUMMARY).exists()


def test_traces_are_written_as_asked_and_change_nothing(small: Small, tmp_path: Path) -> None:
    plain = run_one(small(), 3)
    traced = run_one(small("output.trace=['jsonl','paje']"), 3, tmp_path)
    assert {"events.jsonl", "events.paje"} < {path.name for path in tmp_path.iterdir()}
    assert {**told(plain), "settings": 0} == {**told(traced), "settings": 0}


def test_a_folder_that_cannot_be_written_is_told(small: Small, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="cannot write to"):
        run_one(small(), 1, tmp_path / "file" / "out")


def test_laws_are_checked_after_every_event(small: Small, monkeypatch: pytest.MonkeyPatch) -> None:
    run_one(small("duration_s=30"), 1, laws="every-event")

    def broken(self: Laws) -> None:
        raise LawBroken("law 4 broken at 1.000 s: sim.vm1 is lost\nreplay: ...")

    monkeypatch.setattr(Laws, "check_vms", broken)
    with pytest.raises(
        OperationFailed, match=r"small with seed 1: law 4 broken at 1\.000 s: sim\.vm1 is lost$"
    ):
        run_one(small("duration_s=30"), 1, laws="every-event")


# --- Faults and newcomers --------------------------------------------------------------------------------


def crash(at_s: float, target: str, duration_s: float) -> str:
    return f'[[faults.at]]\nat_s = {at_s}\nkind = "crash"\ntarget = "{target}"\nduration_s = {duration_s}\n'


def test_a_crashed_host_returns_and_its_vms_boot_again(small: Small) -> None:
    run = LucRun(small(more=crash(20, "h2", 30)), 1)
    fleet = run.luc.fleet
    run.to(19)
    before = {vm for vm, where in fleet.running().items() if where == ["h2"]}
    assert before
    run.to(40)
    assert not fleet.host("h2").up
    assert not before & set(fleet.running())
    run.to(80)
    assert fleet.host("h2").up
    assert before <= set(fleet.running())
    assert len(fleet.running()) == 60
    summary = run.summary()
    assert summary["faults"]["crash"] == 1
    assert summary["faults"]["vms_lost"] == summary["faults"]["vms_restarted"] == len(before)
    assert summary["overlay"]["detections"]["count"] > 0
    assert summary["laws_broken"] == []


def test_a_site_that_crashes_for_good_stays_down(small: Small) -> None:
    run = LucRun(small(more=crash(20, "s2", 0)), 1)
    run.to(120)
    assert [host.up for host in run.luc.fleet.hosts] == [True] * 3 + [False] * 3
    assert run.summary()["laws_broken"] == []


def test_random_crashes_come_at_their_rate_from_the_seed(small: Small) -> None:
    scenario = small("faults.crash_period_s=300", "faults.downtime_s=5", "duration_s=600", "mean_pct=40")
    counts = [run_one(scenario, seed)["faults"] for seed in (1, 1, 2)]
    # Six hosts, each once in 300 s: twelve in 600 s.
    assert counts[0] == counts[1]
    assert 5 <= counts[0]["crash"] <= 21
    assert counts[0] != counts[2]


FULL = "overlay.fidelity=full"


def test_cuts_overlap_and_end_one_by_one(small: Small) -> None:
    more = "".join(
        f'[[faults.at]]\nat_s = {at_s}\nkind = "{kind}"\ntarget = "{target}"\nduration_s = {duration_s}\n'
        for at_s, kind, target, duration_s in ((10, "cut", "h1", 20), (20, "cut-oneway", "h4", 40))
    )
    run = LucRun(small(FULL, more=more), 1)
    network = run.luc.simulation.network

    def cuts() -> tuple[bool, bool, bool]:
        return network.is_cut("h2", "h1"), network.is_cut("h4", "h2"), network.is_cut("h2", "h4")

    assert [(run.to(at_s), cuts())[1] for at_s in (9, 15, 25, 35, 65)] == [
        (False, False, False),
        (True, False, False),
        (True, True, False),
        (False, True, False),
        (False, False, False),
    ]


def test_loss_slowness_and_heal(small: Small) -> None:
    more = (
        '[[faults.at]]\nat_s = 10\nkind = "loss"\nshare = 0.2\nduration_s = 10\n'
        '[[faults.at]]\nat_s = 10\nkind = "slow"\ntarget = "h3"\nduration_s = 15\n'
        '[[faults.at]]\nat_s = 30\nkind = "cut"\ntarget = "s1"\n'
        '[[faults.at]]\nat_s = 40\nkind = "heal"\n'
    )
    run = LucRun(small(FULL, more=more), 1)
    network = run.luc.simulation.network
    run.to(15)
    assert network.loss == 0.2
    assert run.luc.simulation.nodes["h3"].stalled_until_s == pytest.approx(run.begin_s + 25)
    run.to(35)
    assert (network.loss, network.is_cut("h1", "h4")) == (0.0, True)
    run.to(45)
    assert not network.is_cut("h1", "h4")


def test_vms_arrive_live_and_leave(small: Small) -> None:
    run = LucRun(
        small("duration_s=600", "mean_pct=40", more="[arrivals]\ninterval_s = 10\nlifetime_s = 60\n"), 1
    )
    run.to(600)
    clients = run.summary()["clients"]
    assert 40 <= clients["arrived"] <= 80
    new = [vm for vm in run.luc.fleet.running() if vm.startswith("new.")]
    # Little's law: six at a time on average.
    assert 1 <= len(new) <= 15
    assert clients["arrived"] - clients["departed"] - clients.get("refused", 0) == pytest.approx(
        len(new), abs=1
    )
    assert run.summary()["laws_broken"] == []


def test_newcomers_are_refused_when_nobody_has_room(small: Small) -> None:
    more = "[arrivals]\ninterval_s = 5\n"
    run = LucRun(small("platform.memory_mib=5120", "mean_pct=10", "vms.cpu_pct=10", more=more), 1)
    run.to(120)
    clients = run.summary()["clients"]
    assert clients["refused"] > 5
    assert len(run.luc.fleet.running()) == 60


def test_a_fault_plan_leaves_hosts_that_are_down_alone(small: Small) -> None:
    run = LucRun(small(more=crash(10, "h1", 50) + crash(20, "h1", 50)), 1)
    assert isinstance(run.faults, FaultPlan)
    run.to(65)
    assert run.luc.fleet.host("h1").up
    assert run.faults.counts["vms_lost"] <= 16
