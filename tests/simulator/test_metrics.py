"""The account of a run, against lives whose figures are known beforehand."""

from __future__ import annotations

import pytest

from lucos.model import Resources
from lucos.resources.host_settings import HostSettings
from lucos.resources.monitor import MonitorSettings
from lucos.simulator.cluster import SimulatedLuc
from lucos.simulator.metrics import Metrics
from lucos.simulator.platform import HostPlan, Platform, SitePlan, VmPlan

SITES = {"h1": "s1", "h2": "s2", "h3": "s2"}


class Life:
    """Three hosts of one core on two sites, and a VM on the first two. No monitor ever finds a violation."""

    def __init__(self) -> None:
        room = Resources(100.0, 4096.0)
        hosts = tuple(HostPlan(name, site, room, watts=(100.0, 200.0)) for name, site in SITES.items())
        vms = (VmPlan("a.vm1", "h1", cpu=2), VmPlan("a.vm2", "h2", cpu_pct=50.0))
        calm = HostSettings(Resources(), monitor=MonitorSettings(samples_on=10**6))
        self.luc = SimulatedLuc(
            1, Platform((SitePlan("s1"), SitePlan("s2")), hosts, vms), overlay="oracle", host=calm
        )
        self.metrics = Metrics(self.luc, SITES)

    def at(self, time_s: float) -> None:
        self.luc.simulation.run(time_s)

    def want(self, vm: str, cpu_pct: float) -> None:
        self.metrics.load_changes(True)
        self.luc.fleet.set_demand(vm, cpu_pct)
        self.metrics.load_changes(False)


@pytest.fixture
def life() -> Life:
    return Life()


def test_violations_are_exact_intervals_of_the_physical_truth(life: Life) -> None:
    for begin_s, end_s in ((0.25, 0.75), (1.0, 2.0)):
        life.at(begin_s)
        life.want("a.vm1", 130.0)
        life.at((begin_s + end_s) / 2)
        life.want("a.vm1", 160.0)
        life.at(end_s)
        life.want("a.vm1", 100.0)
    life.at(2.5)
    violations = life.metrics.summary()["violations"]
    assert violations["count"] == 2
    assert violations["mean_s"] == pytest.approx(0.75)
    assert violations["p50_s"] == pytest.approx(0.75)
    assert violations["p95_s"] == pytest.approx(0.975)
    assert violations["max_s"] == pytest.approx(1.0)
    assert violations["total_s"] == pytest.approx(1.5)
    assert violations["by_arrival"] == violations["open_at_end"] == 0


def test_a_violation_under_way_counts_up_to_now(life: Life) -> None:
    life.at(1.0)
    life.want("a.vm1", 130.0)
    life.at(1.5)
    violations = life.metrics.summary()["violations"]
    assert (violations["count"], violations["open_at_end"]) == (1, 1)
    assert violations["total_s"] == pytest.approx(0.5)


def test_a_violation_ends_when_its_host_loses_power(life: Life) -> None:
    life.want("a.vm1", 130.0)
    life.at(1.0)
    life.metrics.crashes("h1")
    life.luc.crash_host("h1")
    life.at(2.0)
    summary = life.metrics.summary()
    assert summary["violations"]["total_s"] == pytest.approx(1.0)
    # Active host time: two hosts for two seconds, one for one.
    assert summary["otf_percent"] == pytest.approx(100.0 / 5.0)


def test_migrations_are_told_by_site_and_may_begin_violations(life: Life) -> None:
    life.at(2.0)
    life.luc.migrate("a.vm1", "h1", "h2")
    life.at(4.0)
    life.want("a.vm1", 60.0)
    life.at(30.0)
    life.want("a.vm2", 30.0)
    life.luc.migrate("a.vm2", "h2", "h3")
    life.at(60.0)
    summary = life.metrics.summary()
    migrations = summary["migrations"]
    assert (migrations["count"], migrations["intra_site"], migrations["inter_site"]) == (2, 1, 1)
    assert migrations["failed"] == 0
    # Each sent its memory of 1 GiB at 119.2 MiB/s.
    assert migrations["mean_s"] == pytest.approx(1024 / 119.2, rel=0.02)
    assert migrations["bytes"] == pytest.approx(2 * 2**30, rel=0.01)
    # 60 % arrived at a host that had 50 % to do: a violation until the load changed.
    assert summary["violations"]["by_arrival"] == 1
    demanded = 60.0 * 56.0 + 50.0 * 30.0 + 30.0 * 30.0
    lost = 0.1 * migrations["mean_s"] * (60.0 + 30.0)
    assert summary["pdm_percent"] == pytest.approx(100.0 * lost / demanded, rel=0.01)
    assert summary["slav_percent"] == pytest.approx(summary["otf_percent"] * summary["pdm_percent"] / 100.0)


def test_energy_load_and_messages(life: Life) -> None:
    life.want("a.vm1", 100.0)
    life.at(3600.0)
    summary = life.metrics.summary()
    # Full, half and idle for an hour.
    assert summary["energy_kwh"] == pytest.approx((200.0 + 150.0 + 100.0) / 1000.0)
    assert summary["load"]["mean_percent"] == pytest.approx(50.0)
    assert summary["load"]["mean_hosts_on"] == pytest.approx(3.0)
    messages = summary["messages"]
    assert messages["per_host_per_s"] == pytest.approx(messages["count"] / 3 / 3600.0)


def test_detection_is_measured_from_the_crash(life: Life) -> None:
    life.at(10.0)
    life.metrics.crashes("h3")
    life.luc.crash_host("h3")
    life.at(40.0)
    detections = life.metrics.summary()["overlay"]["detections"]
    # Each of the two others notices, within what the membership promises.
    assert detections["count"] == 2
    assert 0.0 < detections["mean_s"] < detections["max_s"] < 5.0
