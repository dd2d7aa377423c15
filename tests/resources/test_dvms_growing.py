"""Where partitions grow, nodes emptied and put into standby, and monitors that are told of changes."""

from __future__ import annotations

from lucos.model import Event, Resources
from lucos.resources.dvms import DvmsSettings
from lucos.resources.host_settings import HostSettings
from lucos.resources.monitor import MonitorSettings
from lucos.resources.strategies import SchedulerSettings
from lucos.simulator import Laws, SimulatedLuc
from lucos.simulator.platform import HostPlan, Platform, SitePlan, VmPlan

PROMPT = MonitorSettings(samples_on=1)


def events(luc: SimulatedLuc, kind: str) -> list[Event]:
    return [event for event in luc.simulation.events if event.kind == kind]


def spread_luc(loads: dict[str, list[float]], dvms: DvmsSettings, monitor: MonitorSettings) -> SimulatedLuc:
    """Hosts of two cores in two sites by turns; each with VMs that want so much CPU."""
    names = list(loads)
    hosts = tuple(
        HostPlan(name, f"s{1 + i % 2}", Resources(200.0, 8192.0), watts=(100.0, 200.0), standby_watts=10.0)
        for i, name in enumerate(names)
    )
    vms = tuple(
        VmPlan(f"ve.{name}-{i}", name, 512, cpu_pct=wanted)
        for name, wants in loads.items()
        for i, wanted in enumerate(wants)
    )
    return SimulatedLuc(
        1,
        Platform((SitePlan("s1"), SitePlan("s2")), hosts, vms),
        scheduler=SchedulerSettings(dvms=dvms),
        host=HostSettings(Resources(), notices=True, monitor=monitor),
        overlay="oracle",
    )


def sites_visited(variant: str) -> set[str]:
    """The sites of the nodes in h5's partition among sixteen: its nearest have no room."""
    loads = {f"h{i}": [55.0] * 3 if i % 2 and i < 12 else [20.0] * 2 for i in range(16)}
    loads["h5"] = [90.0] * 3
    luc = spread_luc(loads, DvmsSettings(variant=variant), PROMPT)
    luc.simulation.run(60.0)
    (solved,) = events(luc, "partition.solved")
    members = solved.data["members"]
    assert isinstance(members, list)
    assert len(members) >= 3
    return {next(h.site for h in luc.platform.hosts if h.name == name) for name in members}


def test_by_locality_a_partition_stays_in_its_site() -> None:
    assert sites_visited("locality") == {"s2"}
    assert sites_visited("ring") == {"s1", "s2"}


def test_underloaded_nodes_are_emptied_and_sleep_and_are_woken_when_needed() -> None:
    monitor = MonitorSettings(samples_on=1, underload=0.3, underload_s=20.0, cooldown_s=20.0)
    dvms = DvmsSettings(consolidate=True, power_save=True, standby_after_s=30.0, empty_backoff_s=20.0)
    luc = spread_luc({f"h{i}": [20.0, 20.0] for i in range(6)}, dvms, monitor)
    laws = Laws(luc)
    for vm in luc.fleet.running():
        laws.expect(vm)
    luc.simulation.run(900.0)
    slept = {event.subject for event in events(luc, "node.standby")}
    assert len(slept) >= 3
    assert not events(luc, "violation.start")
    assert len(luc.fleet.running()) == 12
    before_j = sum(luc.fleet.energy_j(name) for name in luc.names)
    luc.simulation.run(1000.0)
    drawn_w = (sum(luc.fleet.energy_j(name) for name in luc.names) - before_j) / 100.0
    assert drawn_w < 6 * 120.0 - 90.0 * len(slept) + 1.0
    for vm in luc.fleet.running():
        luc.fleet.set_demand(vm, 85.0)
    luc.simulation.run(2000.0)
    assert events(luc, "node.awake")
    laws.check_relieved()
    laws.check_vms()
    assert luc.simulation.failures == []


def test_a_node_that_asks_to_be_emptied_gives_way_to_one_that_needs_help() -> None:
    monitor = MonitorSettings(samples_on=1, underload=0.3, underload_s=5.0, cooldown_s=5.0)
    dvms = DvmsSettings(consolidate=True)
    luc = spread_luc({"h0": [90.0] * 4} | {f"h{i}": [20.0] for i in range(1, 7)}, dvms, monitor)
    luc.simulation.run(4.0)
    assert [e.subject for e in events(luc, "violation.start")] == ["h0"]
    luc.simulation.run(300.0)
    emptied = [e for e in events(luc, "partition.started") if e.data["purpose"] == "empty"]
    assert emptied
    assert luc.host("h0") is not None
    assert not luc.host("h0").violation  # type: ignore[union-attr]
    assert luc.simulation.failures == []


def test_a_monitor_that_is_told_of_changes_sees_what_one_that_looks_each_period_sees() -> None:
    def violations(notices: bool) -> list[tuple[str, str, float]]:
        hosts = tuple(HostPlan(f"h{i}", "s1", Resources(200.0, 8192.0)) for i in range(6))
        vms = tuple(VmPlan(f"ve.v{i}", f"h{i % 6}", 512, cpu_pct=45.0) for i in range(18))
        luc = SimulatedLuc(
            1,
            Platform((SitePlan("s1"),), hosts, vms),
            host=HostSettings(Resources(), notices=notices),
            overlay="oracle",
        )
        for i in range(40):
            vm, at_s, wanted = f"ve.v{i * 7 % 18}", 5.0 + i * 7.3, (30.0, 90.0, 45.0)[i % 3]
            luc.simulation.schedule(at_s, lambda v=vm, w=wanted: luc.fleet.set_demand(v, w))  # type: ignore[misc]
        luc.simulation.run(320.0)
        assert luc.simulation.failures == []
        found = [e for e in luc.simulation.events if e.kind.startswith("violation.")]
        return [(e.kind, e.subject, round(e.time_s)) for e in found if e.kind != "violation.unresolved"]

    seen = violations(True)
    assert len(seen) >= 4
    assert {kind for kind, _, _ in seen} == {"violation.start", "violation.end"}
    polled = violations(False)
    assert [(kind, node) for kind, node, _ in seen[:4]] == [(kind, node) for kind, node, _ in polled[:4]]


def test_a_rising_load_is_relieved_before_it_is_an_overload() -> None:
    def first_violation_s(ahead_s: float) -> tuple[float, float]:
        """When the node is held to be in violation first, and how long its VMs really lacked CPU."""
        luc = spread_luc(
            {"h0": [20.0] * 4, "h1": [20.0]},
            DvmsSettings(),
            MonitorSettings(samples_on=1, ahead_s=ahead_s),
        )
        for i in range(200):
            for vm in range(4):
                wanted = min(20.0 + 0.25 * i, 65.0)
                luc.simulation.schedule(
                    10.0 + i,
                    lambda v=f"ve.h0-{vm}", w=wanted: luc.fleet.set_demand(v, w),  # type: ignore[misc]
                )
        over = 0.0
        for second in range(260):
            luc.simulation.run(float(second))
            over += sum(luc.fleet.host(name).demand_pct > 200.0 for name in luc.names)
        assert luc.simulation.failures == []
        return events(luc, "violation.start")[0].time_s, over

    late, early = first_violation_s(0.0), first_violation_s(20.0)
    assert early[0] < late[0] - 5.0
    assert early[1] < late[1]
    assert early[1] == 0.0
