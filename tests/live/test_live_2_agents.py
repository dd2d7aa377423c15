"""Agents that stall, die, leave and are cut off, while their guests run on."""

from __future__ import annotations

import os
import signal
import time

import pytest
from live_luc import LiveLuc, figure

from lucos.lab import kill_agent, lab_cut, lab_heal, start_agent, stop_agent
from lucos.lab.processes import wait_until

pytestmark = pytest.mark.lab

STALL_S = 2.0
# At default settings survivors know of a loss within 3 s; a machine busy with other work gets twice that.
DETECTED_S = 6.0


def test_an_agent_that_stalls_is_not_buried(luc: LiveLuc) -> None:
    pid, began_s = luc.host("h2").pids["agent"], time.time()
    os.kill(pid, signal.SIGSTOP)
    try:
        time.sleep(STALL_S)
    finally:
        os.kill(pid, signal.SIGCONT)
    # All see all alive, so no suspicion is left that could still end badly.
    luc.wait_calm()
    assert luc.host("h2").pids["agent"] == pid
    assert not luc.news.past("member.dead", since_s=began_s)
    suspicions = luc.news.past("member.suspected", since_s=began_s)
    assert {event.subject for event in suspicions} <= {"h2"}
    figure(f"stalled for {STALL_S:g} s: suspected {len(suspicions)} times, declared dead never")


def test_a_killed_agent_finds_its_guests_again(luc: LiveLuc) -> None:
    host, began_s = "h2", time.time()
    before, guests = luc.ps(), luc.host(host).guests
    assert guests
    kill_agent(luc.name, host)
    luc.wait_ticks([vm for vm, row in before.items() if row.node == host])
    start_agent(luc.name, host)
    luc.wait_calm()
    for asked in luc.hosts:
        after = luc.ps(asked)
        assert {vm: (row.node, row.state, row.workload) for vm, row in after.items()} == {
            vm: (row.node, row.state, row.workload) for vm, row in before.items()
        }
    assert luc.host(host).guests == guests
    luc.assert_each_runs_once(host)
    for vm in luc.vms:
        luc.assert_one_life(vm)
    assert luc.news.past("agent.started", host, since_s=began_s)


def test_an_agent_that_stops_says_goodbye_and_comes_back(luc: LiveLuc) -> None:
    host, began_s = "h2", time.time()
    before, guests = luc.where(), luc.host(host).guests
    stop_agent(luc.name, host)
    others = [name for name in luc.hosts if name != host]
    wait_until(
        lambda: {luc.nodes(asked)[host].status for asked in others} == {"left"},
        5.0,
        "the goodbye",
        poll_s=0.1,
    )
    assert luc.host(host).guests == guests
    start_agent(luc.name, host)
    luc.wait_calm()
    assert not luc.news.past("member.dead", since_s=began_s)
    assert luc.where() == before
    assert luc.host(host).guests == guests
    for vm in luc.vms:
        luc.assert_one_life(vm)


def test_a_host_cut_off_is_given_up_and_taken_back(luc: LiveLuc) -> None:
    host = "h3"
    if host not in luc.where().values():
        assert luc.luc("migrate", "c", host).returncode == 0
    before = luc.where()
    cut_off = sorted(vm for vm, node in before.items() if node == host)
    survivors = [name for name in luc.hosts if name != host]
    began_s = time.time()
    lab_cut(luc.name, [host])
    known_s = [
        luc.news.wait("member.dead", host, since_s=began_s, node=node).time_s - began_s for node in survivors
    ]
    figure(f"cut off: declared dead by {len(known_s)} survivors within {max(known_s):.2f} s")
    assert max(known_s) < DETECTED_S
    for node in survivors:
        assert luc.nodes(node)[host].status == "dead"
        rows = luc.ps(node)
        assert sorted(vm for vm, row in rows.items() if row.state == "lost") == cut_off
        assert {vm: row.node for vm, row in rows.items() if row.state == "running"} == {
            vm: node for vm, node in before.items() if node != host
        }
    assert luc.running() == {vm: [node] for vm, node in before.items()}
    luc.wait_ticks(cut_off)

    healed_s = time.time()
    lab_heal(luc.name)
    luc.wait_calm()
    figure(f"healed: all agents see all alive after {time.time() - healed_s:.1f} s")
    for node in luc.hosts:
        assert luc.where(node) == before
    luc.assert_each_runs_once()
    luc.wait_ticks()
    for vm in luc.vms:
        luc.assert_one_life(vm)
