"""The simulated fleet: what the Hypervisor port promises, contention, pre-copy, and every way to fail."""

from __future__ import annotations

import pytest
from simulated_hosts import Hosts

from lucos.actors.ports import (
    AbortMigration,
    Perform,
    Performed,
    SetWorkload,
)
from lucos.hypervisors.simulated_host import FleetSettings
from lucos.model import (
    AnyAction,
    Boot,
    Kill,
    Migrate,
    Pause,
    Resume,
    Shutdown,
    Suspend,
    Unpause,
    VmSpec,
    VmState,
)


def test_a_life_from_boot_to_shutdown() -> None:
    hosts = Hosts()
    assert hosts.boot("h1", "ve.a").ok
    for action, state in (
        (Pause("ve.a", "h1"), VmState.PAUSED),
        (Unpause("ve.a", "h1"), VmState.RUNNING),
        (Suspend("ve.a", "h1"), VmState.SLEEPING),
        (Resume("ve.a", "h1"), VmState.RUNNING),
    ):
        assert hosts.perform("h1", action).ok
        assert hosts.sample("h1")["ve.a"].state is state
    stopped = hosts.perform("h1", Shutdown("ve.a", "h1"))
    assert stopped.ok
    assert stopped.duration_s == pytest.approx(FleetSettings().shutdown_s)
    assert hosts.sample("h1") == {}
    assert hosts.changes("h1") == ["started", "paused", "resumed", "suspended", "resumed", "stopped"]
    assert hosts.changed["h1"][0].spec == VmSpec("ve.a", "ve", "mini", 1, 100, "idle")


@pytest.mark.parametrize(
    ("action", "options", "kind", "words"),
    [
        (Boot("ve.a", "h1"), {"spec": VmSpec("ve.a", "ve", "mini")}, "AlreadyExists", "already on h1"),
        (Boot("ve.b", "h1"), {}, "InputError", "specification"),
        (Boot("ve.b", "h1"), {"spec": VmSpec("ve.b", "ve", "mini", 1, 2000)}, "Refused", "2000 MiB"),
        (
            Boot("ve.b", "h1"),
            {"spec": VmSpec("ve.b", "ve", "mini", workload="dance")},
            "InputError",
            "dance",
        ),
        (Pause("ve.none", "h1"), {}, "UnknownObject", "ve.none is not on h1"),
        (Unpause("ve.a", "h1"), {}, "Refused", "cannot unpause"),
        (Migrate("ve.a", "h1", "h9"), {}, "Unreachable", "h9"),
    ],
)
def test_refusals_name_the_cause(
    action: AnyAction, options: dict[str, object], kind: str, words: str
) -> None:
    hosts = Hosts()
    hosts.boot("h1", "ve.a")
    before = hosts.sample("h1")
    refused = hosts.perform("h1", action, **options)
    assert (refused.ok, refused.kind) == (False, kind)
    assert words in refused.error
    assert hosts.sample("h1") == before


def test_a_busy_vm_takes_no_second_action_but_can_be_killed() -> None:
    hosts = Hosts()
    hosts.boot("h1", "ve.a")
    hosts.tell("h1", Perform(2, Suspend("ve.a", "h1")))
    assert hosts.perform("h1", Pause("ve.a", "h1")).kind == "Refused"
    assert hosts.perform("h1", Kill("ve.a", "h1")).ok
    hosts.pass_time(5.0)
    assert hosts.answers["h1"][-1] == Performed(
        2, False, "ve.a died on h1 during its suspend", "OperationFailed", pytest.approx(2.1)
    )


def test_a_saturated_host_shares_its_core_and_shows_what_it_hides() -> None:
    hosts = Hosts()
    hosts.boot("h1", "ve.a", "cpu:60")
    hosts.boot("h1", "ve.b", "cpu:90")
    first = hosts.sample("h1")
    hosts.pass_time(10.0)
    second = hosts.sample("h1")
    used_s = {vm: second[vm].cpu_time_s - first[vm].cpu_time_s for vm in first}
    waited_s = {vm: second[vm].run_delay_s - first[vm].run_delay_s for vm in first}
    assert used_s == {"ve.a": pytest.approx(4.0), "ve.b": pytest.approx(6.0)}
    assert waited_s == {"ve.a": pytest.approx(2.0), "ve.b": pytest.approx(3.0)}
    assert hosts.ask("h1", SetWorkload(1, "ve.b", "cpu:10")) == Performed(1, True)
    relieved = hosts.sample("h1")
    hosts.pass_time(10.0)
    later = hosts.sample("h1")
    assert later["ve.a"].cpu_time_s - relieved["ve.a"].cpu_time_s == pytest.approx(6.0)
    assert later["ve.a"].run_delay_s == relieved["ve.a"].run_delay_s
    assert later["ve.b"].workload == "cpu:10"


def test_demand_is_bounded_by_virtual_cpus_and_stops_with_the_vm() -> None:
    hosts = Hosts()
    hosts.boot("h1", "ve.a")
    hosts.fleet.set_demand("ve.a", 250.0)
    assert hosts.fleet.demands() == {"ve.a": 100.0}
    hosts.perform("h1", Pause("ve.a", "h1"))
    paused = hosts.sample("h1")["ve.a"].cpu_time_s
    hosts.pass_time(5.0)
    assert hosts.sample("h1")["ve.a"].cpu_time_s == paused > 0.0
    assert hosts.ask("h1", SetWorkload(1, "ve.a", "idle")).ok is False  # type: ignore[attr-defined]


def test_a_migration_moves_the_vm_and_restarts_its_counters() -> None:
    hosts = Hosts()
    hosts.boot("h1", "ve.a", "cpu:50", memory_mib=500)
    hosts.pass_time(10.0)
    hosts.start_migration()
    assert hosts.sample("h1")["ve.a"].migrating
    assert hosts.sample("h2")["ve.a"].incoming
    assert hosts.fleet.running() == {"ve.a": ["h1"]}
    hosts.pass_time(10.0)
    done = next(a for a in hosts.answers["h1"] if isinstance(a, Performed) and a.call_id == 9)
    assert done.ok
    assert 5.0 - 0.3 <= done.duration_s <= 5.2
    assert 0 < done.downtime_ms < 331.0
    assert hosts.fleet.running() == {"ve.a": ["h2"]}
    assert hosts.sample("h1") == {}
    assert hosts.sample("h2")["ve.a"].cpu_time_s < 8.0
    assert hosts.changes("h1") == ["started", "left"]
    assert hosts.changes("h2") == ["incoming", "arrived"]
    assert hosts.fleet.broken == []


@pytest.mark.parametrize("dirty_mib_per_s", [12, 25, 50, 75])
def test_rounds_shrink_by_the_dirty_ratio(dirty_mib_per_s: int) -> None:
    # A geometric series: memory / bandwidth / (1 - r), less the tail that the downtime threshold spares.
    settings = FleetSettings(link_mibps=125.0, downtime_max_s=0.03)
    hosts = Hosts(settings=settings)
    hosts.boot("h1", "ve.a", f"dirty:{dirty_mib_per_s}", memory_mib=1000)
    expected_s = 8.0 / (1.0 - dirty_mib_per_s / 125.0)
    done = hosts.migrate()
    assert done.ok
    assert done.duration_s == pytest.approx(expected_s, rel=0.05)


def test_migrations_share_a_link_and_respect_their_cap() -> None:
    alone, shared = Hosts(), Hosts(3)
    for hosts in (alone, shared):
        hosts.boot("h1", "ve.a", memory_mib=500)
    shared.boot("h3", "ve.b", memory_mib=500)
    shared.tell("h3", Perform(2, Migrate("ve.b", "h3", "h2")))
    assert shared.migrate().duration_s == pytest.approx(2 * alone.migrate().duration_s, rel=0.1)
    alone.boot("h1", "ve.b", memory_mib=400)
    assert alone.migrate("ve.b", bandwidth_mibps=20.0).duration_s == pytest.approx(20.0, rel=0.05)


def test_a_migration_that_does_not_converge_ends_at_its_time_out() -> None:
    hosts = Hosts()
    hosts.boot("h1", "ve.a", "dirty:50", memory_mib=500)
    failed = hosts.migrate(bandwidth_mibps=40.0, timeout_s=30.0)
    assert (failed.ok, failed.kind) == (False, "OperationFailed")
    assert failed.duration_s == pytest.approx(30.0, abs=0.2)
    assert_stayed(hosts)


def test_an_aborted_migration_leaves_the_vm_at_its_source() -> None:
    hosts = Hosts()
    hosts.boot("h1", "ve.a", memory_mib=500)
    hosts.start_migration()
    hosts.tell("h1", AbortMigration("ve.a"))
    hosts.pass_time(1.0)
    assert "aborted" in hosts.answers["h1"][-1].error  # type: ignore[attr-defined]
    assert_stayed(hosts)


def assert_stayed(hosts: Hosts) -> None:
    """The VM runs at its source, nothing of it is left at the destination, and it can do anything again."""
    assert hosts.fleet.running() == {"ve.a": ["h1"]}
    assert hosts.fleet.migrations() == []
    assert hosts.changes("h1")[-1] == "migration-failed"
    if hosts.simulation.nodes["h2"].up:
        assert hosts.changes("h2")[-1] == "migration-failed"
        assert hosts.sample("h2") == {}
    assert hosts.perform("h1", Pause("ve.a", "h1")).ok


def test_a_cut_ends_a_migration_after_the_keepalive() -> None:
    hosts = Hosts()
    hosts.boot("h1", "ve.a", memory_mib=500)
    hosts.start_migration()
    hosts.simulation.network.cut(["h1"], ["h2"])
    hosts.pass_time(4.0)
    assert hosts.fleet.migrations()
    hosts.pass_time(2.0)
    assert_stayed(hosts)


def test_a_short_cut_only_delays_a_migration() -> None:
    hosts = Hosts()
    hosts.boot("h1", "ve.a", memory_mib=500)
    hosts.start_migration()
    hosts.simulation.network.cut(["h2"], ["h1"], oneway=True)
    hosts.pass_time(3.0)
    hosts.simulation.network.heal()
    hosts.pass_time(6.0)
    assert hosts.fleet.running() == {"ve.a": ["h2"]}


def test_a_destination_that_crashes_leaves_the_vm_at_its_source() -> None:
    hosts = Hosts()
    hosts.boot("h1", "ve.a", memory_mib=500)
    hosts.start_migration()
    hosts.fleet.crash_host("h2")
    hosts.pass_time(8.0)
    assert_stayed(hosts)


def test_a_source_that_crashes_takes_the_vm_along() -> None:
    hosts = Hosts()
    hosts.boot("h1", "ve.a", memory_mib=500)
    hosts.start_migration()
    hosts.fleet.crash_host("h1")
    hosts.pass_time(8.0)
    assert hosts.fleet.running() == {}
    assert hosts.fleet.migrations() == []
    assert hosts.sample("h2") == {}


def test_a_vm_that_dies_while_it_moves_is_gone_from_both_ends() -> None:
    hosts = Hosts()
    hosts.boot("h1", "ve.a", memory_mib=500)
    hosts.start_migration()
    hosts.fleet.crash_vm("ve.a")
    hosts.pass_time(1.0)
    assert hosts.fleet.running() == {}
    assert (hosts.sample("h1"), hosts.sample("h2")) == ({}, {})
    assert hosts.changes("h1") == ["started", "crashed"]


def test_a_crash_of_the_agent_stops_nothing() -> None:
    hosts = Hosts()
    hosts.boot("h1", "ve.a", memory_mib=500)
    hosts.start_migration()
    hosts.simulation.nodes["h1"].crash()
    hosts.pass_time(10.0)
    assert hosts.fleet.running() == {"ve.a": ["h2"]}
    hosts.simulation.nodes["h1"].start()
    hosts.pass_time(0.01)
    assert hosts.boot("h1", "ve.b").ok
    assert hosts.changes("h1") == ["started", "started"]


def test_suspended_vms_survive_a_crash_of_their_host() -> None:
    hosts = Hosts()
    hosts.boot("h1", "ve.a")
    hosts.boot("h1", "ve.b")
    hosts.perform("h1", Suspend("ve.b", "h1"))
    hosts.fleet.crash_host("h1")
    hosts.pass_time(1.0)
    hosts.fleet.repair_host("h1")
    hosts.pass_time(0.01)
    assert {vm: s.state for vm, s in hosts.sample("h1").items()} == {"ve.b": VmState.SLEEPING}
    assert hosts.perform("h1", Resume("ve.b", "h1")).ok
    assert hosts.fleet.running() == {"ve.b": ["h1"]}


def test_running_twice_is_recorded_paused_once_is_not() -> None:
    hosts = Hosts()
    hosts.boot("h1", "ve.a")
    hosts.perform("h1", Pause("ve.a", "h1"))
    hosts.boot("h2", "ve.a")
    assert hosts.fleet.broken == []
    hosts.perform("h1", Unpause("ve.a", "h1"))
    (law,) = hosts.fleet.broken
    assert "ve.a runs on h1, h2" in law
