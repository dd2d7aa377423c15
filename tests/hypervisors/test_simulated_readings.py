"""Readings that wait until something differs."""

from __future__ import annotations

import pytest
from simulated_hosts import Hosts

from lucos.actors.ports import Perform, Sample, Sampled, Subscribe
from lucos.model import Boot, Kill, Migrate, Pause, VmSpec, VmState


def readings(hosts: Hosts) -> list[Sampled]:
    return [answer for answer in hosts.answers["h1"] if isinstance(answer, Sampled)]


def wait(hosts: Hosts, call_id: int, period_s: float = 1.0) -> None:
    hosts.tell("h1", Sample(call_id, period_s))
    hosts.pass_time(0.0)


def begin() -> Hosts:
    """Two VMs, and their first reading at 10 s sharp."""
    hosts = Hosts(memory_mib=4096.0)
    hosts.fleet.place(VmSpec("ve.a", "ve", "mini"), "h1", 40.0)
    hosts.fleet.place(VmSpec("ve.b", "ve", "mini"), "h1", 20.0)
    hosts.simulation.run(10.0)
    wait(hosts, 1)
    (first,) = readings(hosts)
    assert (first.partial, first.gone, first.time_s) == (False, (), 10.0)
    assert {vm.spec.id: vm.wanted_pct for vm in first.vms} == {"ve.a": 40.0, "ve.b": 20.0}
    wait(hosts, 2)
    return hosts


def test_nothing_is_read_or_scheduled_while_nothing_changes() -> None:
    hosts = begin()
    events = hosts.simulation.events_processed
    hosts.pass_time(1000.0)
    assert len(readings(hosts)) == 1
    assert hosts.simulation.events_processed == events


def test_the_answer_comes_at_the_next_period_with_what_differs() -> None:
    hosts = begin()
    hosts.pass_time(5.3)
    hosts.fleet.set_demand("ve.b", 30.0)
    hosts.fleet.set_demand("ve.b", 35.0)
    hosts.pass_time(0.6)
    assert len(readings(hosts)) == 1
    hosts.pass_time(0.2)
    reading = readings(hosts)[-1]
    assert (reading.call_id, reading.time_s, reading.partial) == (2, pytest.approx(16.0), True)
    (only,) = reading.vms
    assert (only.spec.id, only.wanted_pct) == ("ve.b", 35.0)
    hosts.fleet.set_demand("ve.b", 35.0)
    wait(hosts, 3)
    hosts.pass_time(10.0)
    assert len(readings(hosts)) == 2


def test_what_changed_between_two_questions_is_told() -> None:
    hosts = begin()
    hosts.fleet.set_demand("ve.a", 1.0)
    hosts.pass_time(1.5)
    hosts.fleet.set_demand("ve.b", 2.0)
    wait(hosts, 3)
    hosts.pass_time(0.9)
    assert len(readings(hosts)) == 2
    hosts.pass_time(0.2)
    reading = readings(hosts)[-1]
    assert (reading.call_id, reading.time_s) == (3, pytest.approx(12.5))
    assert [vm.spec.id for vm in reading.vms] == ["ve.b"]


def test_states_arrivals_and_departures_are_told() -> None:
    hosts = begin()
    hosts.perform("h1", Pause("ve.a", "h1"))
    hosts.perform("h1", Kill("ve.b", "h1"))
    hosts.perform("h1", Boot("ve.c", "h1"), spec=VmSpec("ve.c", "ve", "mini", workload="cpu:7"))
    hosts.pass_time(1.0)
    reading = readings(hosts)[-1]
    assert reading.gone == ("ve.b",)
    found = {vm.spec.id: (vm.state, vm.wanted_pct) for vm in reading.vms}
    assert found == {"ve.a": (VmState.PAUSED, 0.0), "ve.c": (VmState.RUNNING, 7.0)}
    wait(hosts, 3)
    hosts.tell("h1", Perform(9, Migrate("ve.c", "h1", "h2"), bandwidth_mibps=30.0))
    hosts.pass_time(1.0)
    (leaving,) = readings(hosts)[-1].vms
    assert (leaving.spec.id, leaving.migrating, leaving.wanted_pct) == ("ve.c", True, 7.0)
    wait(hosts, 4)
    hosts.pass_time(5.0)
    assert readings(hosts)[-1].gone == ("ve.c",)


def test_who_subscribes_again_gets_everything() -> None:
    hosts = begin()
    hosts.tell("h1", Subscribe())
    wait(hosts, 3)
    reading = readings(hosts)[-1]
    assert (reading.call_id, reading.partial, len(reading.vms)) == (3, False, 2)
