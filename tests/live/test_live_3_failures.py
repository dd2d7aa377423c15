"""Migrations that cannot end well end all the same: one definite place, a told reason, nothing left held."""

from __future__ import annotations

import re
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager

import msgspec
import pytest
from live_luc import LiveLuc, figure

from lucos.agent.config import dump_config, load_config
from lucos.lab import kill_agent, lab_kill, lab_revive, start_agent, stop_agent
from lucos.lab.processes import wait_until
from lucos.lab.record import read_record

pytestmark = pytest.mark.lab

VM, SOURCE, DESTINATION = "live.c", "h1", "h3"
CAP_MIBPS, TIMEOUT_S = 16.0, 10.0
BEYOND_CAP = "tick+dirty:30"
MOVE = ("migrate", VM, DESTINATION)


@pytest.fixture(scope="module", autouse=True)
def slow_source(luc_of_three: LiveLuc) -> Iterator[None]:
    """Migrations away from h1 are slow, and end in time."""
    path = read_record(luc_of_three.name).host(SOURCE).root_dir / "etc/luc/agent.toml"
    before = path.read_text()
    config = load_config(path)
    slow = msgspec.structs.replace(
        config.hypervisor, bandwidth_mibps=CAP_MIBPS, migration_timeout_s=TIMEOUT_S
    )
    try:
        for text in (dump_config(msgspec.structs.replace(config, hypervisor=slow)), before):
            stop_agent(luc_of_three.name, SOURCE)
            path.write_text(text)
            start_agent(luc_of_three.name, SOURCE)
            if text != before:
                yield
    finally:
        path.write_text(before)


@contextmanager
def in_mid_copy(
    luc: LiveLuc, *command: str, asked: str = SOURCE, workload: str = "tick"
) -> Iterator[subprocess.Popen[str]]:
    """`luc COMMAND`, which moves the VM away from h1, in the middle of the copy."""
    if luc.where()[VM] != SOURCE:
        assert luc.luc("migrate", VM, SOURCE).returncode == 0
    luc.load(VM, workload)
    with luc.start(*command, host=asked) as move:
        try:
            wait_until(lambda: copied_mib(luc) > 1.0, 60.0, "the copy under way")
            yield move
        finally:
            move.kill()


def copied_mib(luc: LiveLuc) -> float:
    """What the migration under way from h1 has copied by now; 0 when there is none."""
    if VM not in luc.running([SOURCE]):
        return 0.0
    copied = re.search(r"Memory processed:\s+([\d.]+) MiB", luc.virsh(SOURCE, "domjobinfo", VM))
    return float(copied[1]) if copied else 0.0


def assert_nothing_is_held_and_a_new_move_works(luc: LiveLuc) -> None:
    luc.wait_calm()
    luc.load(VM, "tick")
    luc.assert_each_runs_once()
    goal = DESTINATION if luc.where()[VM] == SOURCE else SOURCE
    ran = luc.luc("migrate", VM, goal)
    assert ran.returncode == 0, ran.stderr
    luc.wait_calm()
    assert luc.where()[VM] == goal
    luc.wait_ticks()
    luc.assert_each_runs_once()
    for vm in luc.vms:
        luc.assert_one_life(vm)


def test_a_copy_that_cannot_keep_up_ends_in_time_at_the_source(luc: LiveLuc) -> None:
    began_s = time.time()
    with in_mid_copy(luc, *MOVE, workload=BEYOND_CAP) as move:
        _, said = move.communicate(timeout=60)
    failed = luc.news.wait("migration.failed", VM, since_s=began_s)
    figure(f"ended after {failed.data['duration_s']:.1f} s of {TIMEOUT_S:g} allowed: {failed.text}")
    assert move.returncode == 6, said
    for text in (said, failed.text):
        assert f"not done within {TIMEOUT_S:g} s" in text
        assert "still here, running" in text
    assert luc.where()[VM] == SOURCE
    assert_nothing_is_held_and_a_new_move_works(luc)


def test_a_copy_whose_agent_was_killed_ends_in_time_too(luc: LiveLuc) -> None:
    began_s = time.time()
    with in_mid_copy(luc, *MOVE, workload=BEYOND_CAP) as move:
        kill_agent(luc.name, SOURCE)
        _, said = move.communicate(timeout=60)
    assert move.returncode == 4, said
    start_agent(luc.name, SOURCE)
    failed = luc.news.wait("migration.failed", VM, since_s=began_s)
    figure(f"the new agent ended the copy {failed.time_s - began_s:.1f} s after its start: {failed.text}")
    assert "it is still here" in failed.text
    assert copied_mib(luc) == 0
    assert luc.where()[VM] == SOURCE
    assert_nothing_is_held_and_a_new_move_works(luc)


def test_a_partition_whose_source_agent_is_killed_ends_and_the_drain_goes_on(luc: LiveLuc) -> None:
    began_s = time.time()
    with in_mid_copy(luc, "node", "drain", SOURCE, asked="h2") as drain:
        killed_s = time.time()
        kill_agent(luc.name, SOURCE)
        start_agent(luc.name, SOURCE)
        _, said = drain.communicate(timeout=90)
    figure(f"{SOURCE} empty {time.time() - killed_s:.1f} s after its agent was killed in mid-copy")
    assert drain.returncode == 0, said
    luc.wait_calm()
    assert {luc.where()[vm] for vm in luc.vms} == {"h2", DESTINATION}
    assert luc.news.past("partition.solved", since_s=began_s)
    assert luc.luc("node", "undrain", SOURCE).returncode == 0
    assert_nothing_is_held_and_a_new_move_works(luc)


def test_a_destination_killed_in_mid_copy_leaves_the_guest_at_its_source(luc: LiveLuc) -> None:
    if luc.running([DESTINATION]):
        ran = luc.luc("node", "drain", DESTINATION)
        assert ran.returncode == 0, ran.stderr
        assert luc.luc("node", "undrain", DESTINATION).returncode == 0
    began_s = time.time()
    with in_mid_copy(luc, *MOVE) as move:
        where = luc.where()
        lab_kill(luc.name, DESTINATION)
        _, said = move.communicate(timeout=60)
    failed = luc.news.wait("migration.failed", VM, since_s=began_s)
    figure(f"told {failed.time_s - began_s:.1f} s after the move began: {failed.text}")
    assert move.returncode in (4, 6), said
    assert "still here, running" in failed.text
    assert luc.running(["h1", "h2"]) == {vm: [node] for vm, node in where.items()}
    lab_revive(luc.name, DESTINATION)
    assert_nothing_is_held_and_a_new_move_works(luc)
