"""Power and energy of simulated hosts, standby, and programs of guests."""

from __future__ import annotations

import pytest
from simulated_hosts import Hosts

from lucos.actors.ports import Perform
from lucos.errors import InputError
from lucos.hypervisors.power import watts_at
from lucos.hypervisors.program import Phase, Program
from lucos.hypervisors.simulated_host import Host
from lucos.model import BootNode, Kill, Pause, Resume, ShutdownNode, Suspend, Unpause, VmSpec

G4 = (86.0, 89.4, 92.6, 96.0, 99.5, 102.0, 106.0, 108.0, 112.0, 114.0, 117.0)


@pytest.mark.parametrize(
    ("load", "watts"),
    [(-0.1, 86.0), (0.0, 86.0), (0.05, 87.7), (0.5, 102.0), (0.95, 115.5), (1.0, 117.0), (7, 117.0)],
)
def test_watts_are_linear_between_the_points_of_the_table(load: float, watts: float) -> None:
    assert watts_at(G4, load) == pytest.approx(watts)
    assert watts_at((42.0,), load) == 42.0


def test_energy_follows_every_change_of_load() -> None:
    hosts = Hosts(watts=(100.0, 200.0))
    hosts.fleet.place(VmSpec("ve.a", "ve", "mini"), "h1", 50.0)
    before_j = hosts.fleet.energy_j("h1")
    hosts.pass_time(10.0)
    hosts.fleet.set_demand("ve.a", 80.0)
    hosts.pass_time(5.0)
    hosts.fleet.place(VmSpec("ve.b", "ve", "mini"), "h1", 90.0)
    hosts.pass_time(2.0)
    hosts.fleet.crash_host("h1")
    hosts.pass_time(100.0)
    assert hosts.fleet.energy_j("h1") - before_j == pytest.approx(10 * 150 + 5 * 180 + 2 * 200)
    hosts.fleet.repair_host("h1")
    hosts.pass_time(3.0)
    assert hosts.fleet.energy_j("h1") - before_j == pytest.approx(2800 + 3 * 100)
    assert hosts.fleet.energy_j("h2") == pytest.approx(100.0 * hosts.simulation.now_s)


def test_standby_takes_no_vm_and_draws_little() -> None:
    hosts = Hosts(watts=(100.0, 200.0))
    seen: list[tuple[str, bool]] = []
    hosts.fleet.on_load.append(lambda host: seen.append((host.name, host.standby)))
    asleep = hosts.perform("h2", ShutdownNode(node="h2"))
    assert (asleep.ok, asleep.duration_s) == (True, pytest.approx(10.0))
    before_j = hosts.fleet.energy_j("h2")
    hosts.boot("h1", "ve.a")
    for refused in (
        hosts.boot("h2", "ve.b"),
        hosts.migrate(),
        hosts.perform("h2", ShutdownNode(node="h2")),
        hosts.perform("h1", BootNode(node="h1")),
    ):
        assert (refused.ok, refused.kind) == (False, "Refused")
    slept_s = hosts.simulation.now_s - 0.01 - 10.0
    assert hosts.fleet.energy_j("h2") - before_j == pytest.approx(5.0 * slept_s, rel=0.01)
    before_j = hosts.fleet.energy_j("h2")
    assert hosts.fleet.host("h2").up
    awake = hosts.perform("h2", BootNode(node="h2"), within_s=1000.0)
    assert (awake.ok, awake.duration_s) == (True, pytest.approx(300.0))
    assert hosts.fleet.energy_j("h2") - before_j == pytest.approx(300 * 100.0)
    assert hosts.migrate().ok
    assert [entry for entry in seen if entry[0] == "h2"][:4] == [("h2", True)] * 3 + [("h2", False)]


def test_a_host_with_vms_stays_on() -> None:
    hosts = Hosts()
    hosts.boot("h1", "ve.a")
    hosts.perform("h1", Suspend("ve.a", "h1"))
    refused = hosts.perform("h1", ShutdownNode(node="h1"))
    assert (refused.ok, refused.kind) == (False, "Refused")
    assert "ve.a" in refused.error
    assert hosts.perform("h1", ShutdownNode(node="h2")).kind == "InputError"


def test_a_crash_on_the_way_to_standby_ends_it() -> None:
    hosts = Hosts()
    hosts.tell("h2", Perform(3, ShutdownNode(node="h2")))
    hosts.pass_time(5.0)
    assert hosts.fleet.host("h2").standby
    hosts.fleet.crash_host("h2")
    hosts.fleet.repair_host("h2")
    hosts.pass_time(20.0)
    assert not hosts.fleet.host("h2").standby
    assert hosts.boot("h2", "ve.a").ok


def test_load_hooks_see_each_host_as_it_is() -> None:
    hosts = Hosts()
    loads: dict[str, float] = {}

    def hear(host: Host) -> None:
        loads[host.name] = host.demand_pct

    hosts.fleet.on_load.append(hear)
    for vm in ("a", "b", "c"):
        hosts.fleet.place(VmSpec(f"ve.{vm}", "ve", "mini", memory_mib=100), "h1", 33.3)
    assert loads == {"h1": pytest.approx(99.9)}
    hosts.migrate()
    hosts.perform("h1", Pause("ve.b", "h1"))
    assert loads == {"h1": pytest.approx(33.3), "h2": pytest.approx(33.3)}
    hosts.fleet.set_demand("ve.b", 70.0)
    assert loads["h1"] == pytest.approx(33.3)
    hosts.perform("h1", Unpause("ve.b", "h1"))
    assert loads["h1"] == pytest.approx(103.3)
    hosts.fleet.crash_vm("ve.b")
    hosts.perform("h1", Kill("ve.c", "h1"))
    hosts.fleet.crash_host("h2")
    # Sums are exact, whatever was added and taken away.
    assert loads == {"h1": 0.0, "h2": 0.0}


# --- Programs ------------------------------------------------------------------------------------------


def test_a_program_ends_when_its_work_is_done() -> None:
    hosts = Hosts()
    hosts.fleet.set_program(
        "ve.a", Program((Phase(80.0, cpu_s=8.0), Phase(0.0, duration_s=5.0), Phase(50.0, cpu_s=1.0)))
    )
    hosts.boot("h1", "ve.a")
    begun_s = hosts.simulation.now_s
    hosts.pass_time(12.0)
    assert hosts.fleet.demands() == {"ve.a": 0.0}
    hosts.pass_time(4.0)
    assert hosts.fleet.demands() == {"ve.a": 50.0}
    hosts.simulation.run(begun_s + 16.99)
    assert hosts.fleet.where("ve.a") == "h1"
    hosts.pass_time(0.02)
    assert hosts.fleet.where("ve.a") == ""
    assert (hosts.changed["h1"][-1].change, hosts.changed["h1"][-1].detail) == ("stopped", "finished")
    hosts.boot("h1", "ve.a")
    hosts.pass_time(60.0)
    assert hosts.fleet.demands() == {"ve.a": 0.0}


def test_work_takes_longer_on_a_busy_host_and_rests_while_the_guest_does() -> None:
    hosts = Hosts(memory_mib=4096.0)
    hosts.fleet.place(VmSpec("ve.a", "ve", "mini", memory_mib=300), "h1")
    hosts.fleet.set_program("ve.a", Program((Phase(100.0, cpu_s=20.0), Phase(0.0, duration_s=10.0))))
    begun_s = hosts.simulation.now_s
    hosts.pass_time(5.0)
    hosts.fleet.place(VmSpec("ve.b", "ve", "mini"), "h1", 100.0)
    hosts.pass_time(10.0)  # half of the core: 10 of 20 s are done
    hosts.perform("h1", Suspend("ve.a", "h1"))  # goes on for 2.1 s, at half speed
    hosts.pass_time(50.0)
    hosts.perform("h1", Resume("ve.a", "h1"))
    hosts.fleet.crash_vm("ve.b")
    resumed_s = hosts.simulation.now_s
    hosts.pass_time(1.0)
    moved = hosts.migrate()
    assert moved.ok
    assert hosts.fleet.where("ve.a") == "h2"
    done_s = resumed_s + (20.0 - 5.0 - 5.0 - 1.05) + moved.downtime_ms / 1000.0
    hosts.simulation.run(done_s - 0.01)
    assert hosts.fleet.demands() == {"ve.a": 100.0}
    hosts.pass_time(0.02)
    assert hosts.fleet.demands() == {"ve.a": 0.0}
    hosts.simulation.run(done_s + 9.99)
    assert hosts.fleet.where("ve.a") == "h2"
    hosts.pass_time(0.02)
    assert hosts.fleet.running() == {}
    assert begun_s < done_s


def test_a_job_that_crashes_begins_anew() -> None:
    hosts = Hosts()
    hosts.fleet.set_program("ve.a", Program((Phase(100.0, cpu_s=10.0),)))
    hosts.boot("h1", "ve.a")
    hosts.pass_time(9.0)
    hosts.fleet.crash_vm("ve.a")
    hosts.boot("h1", "ve.a")
    hosts.pass_time(9.0)
    assert hosts.fleet.where("ve.a") == "h1"
    hosts.pass_time(1.1)
    assert hosts.fleet.where("ve.a") == ""


def test_a_guest_that_finishes_while_it_moves_is_gone_from_both_ends() -> None:
    hosts = Hosts()
    hosts.fleet.set_program("ve.a", Program((Phase(100.0, cpu_s=2.0),)))
    hosts.boot("h1", "ve.a", memory_mib=500)
    failed = hosts.migrate()
    assert not failed.ok
    assert failed.duration_s == pytest.approx(2.0)
    assert (hosts.fleet.where("ve.a"), hosts.fleet.migrations()) == ("", [])
    assert (hosts.sample("h1"), hosts.sample("h2")) == ({}, {})


def test_a_suspended_job_survives_its_host() -> None:
    hosts = Hosts()
    hosts.fleet.set_program("ve.a", Program((Phase(100.0, cpu_s=10.0),)))
    hosts.boot("h1", "ve.a")
    hosts.pass_time(5.0)
    hosts.perform("h1", Suspend("ve.a", "h1"))  # it works on for 2.1 s
    hosts.fleet.crash_host("h1")
    hosts.fleet.repair_host("h1")
    hosts.pass_time(30.0)
    hosts.perform("h1", Resume("ve.a", "h1"))
    hosts.pass_time(2.8)
    assert hosts.fleet.where("ve.a") == "h1"
    hosts.pass_time(0.2)
    assert hosts.fleet.where("ve.a") == ""


@pytest.mark.parametrize(
    "phase",
    [{"cpu_pct": 50.0}, {"cpu_pct": 50.0, "cpu_s": 1.0, "duration_s": 1.0}, {"cpu_pct": 0.0, "cpu_s": 1.0}],
)
def test_a_phase_that_makes_no_sense_is_refused(phase: dict[str, float]) -> None:
    with pytest.raises(InputError, match="cpu_pct"):
        Phase(**phase)
    with pytest.raises(InputError, match="without phases"):
        Program(())
