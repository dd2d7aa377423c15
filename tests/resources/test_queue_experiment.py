"""The experiment of the context-switch paper, small: its workload, its measures, its repetition."""

from __future__ import annotations

from functools import cache
from random import Random

import msgspec
import pytest

from lucos.resources.queue import Assumptions, PolicySettings, QueueSettings
from lucos.simulator.vjobs import PROFILES, VMS, VjobsResult, VjobsSettings, jobs_of, run_vjobs, tasks_of


@pytest.mark.parametrize("profile", PROFILES)
def test_a_data_flow_takes_as_long_as_asked(profile: str) -> None:
    tasks = tasks_of(profile, 600.0, Random(1))
    ends: list[float] = []
    for task in tasks:
        assert all(before < len(ends) for before in task.after)
        ends.append(task.cpu_s + max((ends[i] for i in task.after), default=0.0))
    assert len(tasks) == VMS
    assert max(ends) == pytest.approx(600.0)


def test_how_many_compute_at_once_is_what_the_profiles_differ_in() -> None:
    """All of ED, one of HC, up to three of VP and MB."""
    work_s = {name: sum(task.cpu_s for task in tasks_of(name, 600.0, Random(1))) for name in PROFILES}
    assert work_s["HC"] == pytest.approx(600.0)
    assert 6 * 600.0 <= work_s["ED"] <= 9 * 600.0
    assert all(600.0 < work_s[name] <= 3 * 600.0 for name in ("VP", "MB"))


def test_a_seed_is_a_workload() -> None:
    settings = VjobsSettings()
    assert jobs_of(1, settings) == jobs_of(1, settings)
    assert jobs_of(1, settings) != jobs_of(2, settings)
    assert sorted(job.profile for job in jobs_of(1, settings)) == sorted([*PROFILES, *PROFILES])


def small(policy: str) -> VjobsSettings:
    """Four vjobs of about two minutes on six hosts."""
    queue = QueueSettings(
        PolicySettings(policy, run_s_min=20.0, sleep_s_min=20.0, patience_s=10.0),
        Assumptions(settle_s=10.0),
        period_s=10.0,
        solve_work=0.05,
    )
    return VjobsSettings(hosts=6, vjobs=4, length_s=(100.0, 200.0), queue=queue)


@cache
def run(policy: str) -> VjobsResult:
    return run_vjobs(1, small(policy))


def test_consolidation_ends_sooner_and_keeps_everything() -> None:
    static, dynamic = run("fcfs"), run("consolidation")
    for result in (static, dynamic):
        assert result.spread_broken == ()
        for job in result.jobs:
            assert job.spans[0][1] == 0.0
            assert job.spans[-1][2] == job.finished_s <= result.makespan_s
            assert all(a[2] == b[1] for a, b in zip(job.spans, job.spans[1:], strict=False))
    assert (static.suspends, static.migrations) == (0, 0)
    # A vjob at a time on a static reservation: six hosts have twelve cores, and each vjob declares nine.
    assert static.makespan_s > sum(job.spent_s("running") for job in static.jobs)
    assert dynamic.makespan_s < static.makespan_s
    assert dynamic.used_share > static.used_share


def test_the_same_seed_is_the_same_run() -> None:
    again = run_vjobs(1, small("consolidation"))
    assert msgspec.json.encode(again) == msgspec.json.encode(run("consolidation"))
