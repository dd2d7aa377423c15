"""Simulated live migration: rounds, changing bandwidth, guards, post-copy, and figures known elsewhere."""

from __future__ import annotations

import pytest
from simulated_hosts import Hosts

from lucos.actors.ports import Perform, Performed
from lucos.hypervisors.simulated_host import FleetSettings
from lucos.model import Kill, Migrate, VmSpec, VmState

SIMGRID = FleetSettings(link_mibps=125.0, downtime_max_s=0.03, switch_s=0.0)


@pytest.mark.parametrize(
    ("intensity", "used", "expected_s"),
    [
        (0.1, 0.6, 8.71),
        (0.1, 1.0, 9.10),
        (0.5, 0.6, 11.69),
        (0.5, 1.0, 16.37),
        (0.8, 0.6, 15.73),
        (0.8, 1.0, 40.86),
    ],
)
def test_one_gibibyte_takes_what_simgrid_says(intensity: float, used: float, expected_s: float) -> None:
    hosts = Hosts(settings=SIMGRID, memory_mib=2048.0)
    hosts.fleet.place(VmSpec("ve.a", "ve", "mini", 1, 1024), "h1", 100.0 * used, intensity)
    done = hosts.migrate()
    assert done.ok
    assert done.duration_s == pytest.approx(expected_s, rel=0.02)
    assert done.downtime_ms <= 30.0


def test_a_guest_that_is_kept_from_its_cpu_dirties_less() -> None:
    hosts = Hosts(settings=SIMGRID, memory_mib=2048.0)
    hosts.fleet.place(VmSpec("ve.a", "ve", "mini", 1, 1024), "h1", 100.0, 0.8)
    hosts.fleet.place(VmSpec("ve.b", "ve", "mini", 1, 64), "h1", 100.0)
    # Half of the core each: as with a use of 0.5, r = 0.4.
    assert hosts.migrate().duration_s == pytest.approx(1024 / 125 / (1 - 0.4), rel=0.01)


@pytest.mark.parametrize("dirty_mib_per_s", [0, 23, 60])
def test_a_change_of_bandwidth_within_a_round_is_exact(dirty_mib_per_s: int) -> None:
    """Against the same model in small steps."""
    hosts = Hosts(3)
    hosts.boot("h1", "ve.a", f"dirty:{dirty_mib_per_s}" if dirty_mib_per_s else "idle", memory_mib=600)
    hosts.boot("h3", "ve.b", memory_mib=150)
    started_s = hosts.simulation.now_s
    hosts.start_migration()
    hosts.pass_time(1.0)
    other = hosts.perform("h3", Migrate("ve.b", "h3", "h2"))
    assert other.duration_s == pytest.approx(150 / 50 + 0.03)
    hosts.pass_time(60.0)
    (mine,) = (a for a in hosts.answers["h1"] if isinstance(a, Performed) and a.call_id == 9)
    step_s, now_s, remaining, dirtied = 0.0005, 0.0, 600.0, 0.0
    shared = (1.5, 1.5 + 3.0)
    while True:
        rate = 50.0 if shared[0] <= now_s < shared[1] else 100.0
        remaining -= rate * step_s
        dirtied += dirty_mib_per_s * step_s
        now_s += step_s
        if remaining <= 0.0:
            remaining, dirtied = dirtied, 0.0
            if remaining <= rate * 0.3:
                break
    assert mine.duration_s == pytest.approx(now_s + remaining / 100.0 + 0.03, abs=0.02)
    assert hosts.fleet.where("ve.a") == "h2"
    assert started_s < hosts.simulation.now_s


def test_sites_share_their_backbone() -> None:
    hosts = Hosts(4, sites=2)
    hosts.fleet.set_backbone("s1", 50.0)
    hosts.boot("h1", "ve.a", memory_mib=500)
    hosts.boot("h3", "ve.b", memory_mib=500)
    hosts.tell("h3", Perform(2, Migrate("ve.b", "h3", "h4")))
    assert hosts.migrate().duration_s == pytest.approx(20.03, abs=0.01)
    hosts.fleet.set_backbone("s1", 0.0)
    hosts.boot("h1", "ve.c", memory_mib=500)
    assert hosts.migrate("ve.c").duration_s == pytest.approx(5.03, abs=0.01)
    # Both h1 and h3 are of s1.
    hosts.fleet.set_backbone("s1", 1.0)
    hosts.boot("h1", "ve.d", memory_mib=500)
    assert hosts.perform("h1", Migrate("ve.d", "h1", "h3")).duration_s == pytest.approx(5.03, abs=0.01)


def test_too_many_rounds_end_a_migration() -> None:
    hosts = Hosts(settings=FleetSettings(rounds_max=5))
    hosts.boot("h1", "ve.a", "dirty:95", memory_mib=500)
    failed = hosts.migrate()
    assert not failed.ok
    assert "5 rounds" in failed.error
    assert hosts.fleet.where("ve.a") == "h1"


def test_a_new_workload_counts_from_its_beginning() -> None:
    hosts = Hosts()
    hosts.boot("h1", "ve.a", "dirty:90", memory_mib=500)
    hosts.start_migration()
    hosts.pass_time(1.5)
    hosts.fleet.set_workload("h1", "ve.a", "idle")
    hosts.pass_time(10.0)
    # 2 s at 90 MiB/s are sent again.
    (done,) = (a for a in hosts.answers["h1"] if isinstance(a, Performed) and a.call_id == 9)
    assert done.duration_s == pytest.approx(5.0 + 1.8 + 0.03, abs=0.01)
    assert hosts.fleet.migrated_mib == pytest.approx(680.0, abs=1.0)


# --- Post-copy ---------------------------------------------------------------------------------------

POST_COPY = FleetSettings(post_copy=True)


def start_post_copy() -> Hosts:
    hosts = Hosts(settings=POST_COPY)
    hosts.boot("h1", "ve.a", "dirty:90", memory_mib=500)
    hosts.start_migration()
    return hosts


def test_post_copy_runs_at_once_at_its_destination() -> None:
    hosts = start_post_copy()
    assert hosts.fleet.running() == {"ve.a": ["h2"]}
    assert hosts.sample("h1")["ve.a"].state is VmState.PAUSED
    hosts.pass_time(10.0)
    (done,) = (a for a in hosts.answers["h1"] if isinstance(a, Performed) and a.call_id == 9)
    assert done.ok
    assert done.duration_s == pytest.approx(5.03, abs=0.01)
    assert done.downtime_ms == pytest.approx(30.0, abs=0.1)
    assert hosts.sample("h1") == {}
    assert not hosts.sample("h2")["ve.a"].migrating
    assert hosts.changes("h1") == ["started", "left"]
    assert hosts.changes("h2") == ["incoming", "arrived"]


@pytest.mark.parametrize("end", ["h1", "h2", "cut", "kill"])
def test_post_copy_loses_the_vm_with_either_end(end: str) -> None:
    hosts = start_post_copy()
    if end == "cut":
        hosts.simulation.network.cut(["h1"], ["h2"])
    elif end == "kill":
        assert hosts.perform("h2", Kill("ve.a", "h2")).ok
    else:
        hosts.fleet.crash_host(end)
    hosts.pass_time(8.0)
    assert (hosts.fleet.running(), hosts.fleet.migrations(), hosts.fleet.where("ve.a")) == ({}, [], "")
    assert hosts.changes("h2" if end != "h2" else "h1")[-1] == ("stopped" if end == "kill" else "crashed")
