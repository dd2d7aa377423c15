"""From counters to demand and violations: what a busy host hides, and what must make no noise."""

from __future__ import annotations

import pytest

from lucos.actors.ports import VmSample
from lucos.model import Resources, VmSpec, VmState
from lucos.resources.demand import BOOT_S_MAX, IDLE_CPU_PCT, DemandTracker, Detector, expected_cpu_pct

CAPACITY = Resources(100.0, 1000.0)


class Guest:
    """A VM whose counters grow as it is told, read once a second by `tracker`."""

    def __init__(self, tracker: DemandTracker, *, cpu: int = 1, workload: str = "idle") -> None:
        self.tracker = tracker
        self.spec = VmSpec("ve.vm", "ve", "mini", cpu=cpu, workload=workload)
        self.cpu_time_s = 5.0
        self.run_delay_s = 1.0
        self.time_s = 100.0
        self.read()

    def read(self, state: VmState = VmState.RUNNING, *, incoming: bool = False) -> None:
        sample = VmSample(self.spec, state, self.cpu_time_s, self.run_delay_s, incoming=incoming)
        self.tracker.update((sample,), self.time_s)

    def live(
        self, seconds: int, *, gets_pct: float, waits_pct: float = 0.0, state: VmState = VmState.RUNNING
    ) -> None:
        for _ in range(seconds):
            self.time_s += 1.0
            self.cpu_time_s += gets_pct / 100.0
            self.run_delay_s += waits_pct / 100.0
            self.read(state)

    @property
    def wanted_pct(self) -> float:
        return self.tracker.of("ve.vm", self.time_s)[0]

    @property
    def used_pct(self) -> float:
        return self.tracker.of("ve.vm", self.time_s)[1]


def test_a_starved_vm_wants_what_it_gets_and_what_it_waits_for() -> None:
    guest = Guest(DemandTracker())
    guest.live(10, gets_pct=30.0, waits_pct=50.0)
    assert guest.wanted_pct == pytest.approx(80.0, abs=0.2)
    assert guest.used_pct == pytest.approx(30.0, abs=0.2)


def test_a_vm_wants_no_more_than_its_virtual_cpus() -> None:
    one, two = Guest(DemandTracker()), Guest(DemandTracker(), cpu=2)
    for guest in (one, two):
        guest.live(10, gets_pct=60.0, waits_pct=90.0)
    assert one.wanted_pct == pytest.approx(100.0, abs=0.2)
    assert two.wanted_pct == pytest.approx(150.0, abs=0.2)


def test_a_change_shows_within_three_readings_and_one_spike_does_not_stay() -> None:
    guest = Guest(DemandTracker())
    guest.live(10, gets_pct=10.0)
    guest.live(3, gets_pct=90.0)
    assert 75.0 < guest.wanted_pct < 90.0
    guest.live(5, gets_pct=10.0)
    assert guest.wanted_pct == pytest.approx(10.0, abs=3.0)


def test_a_paused_vm_wants_nothing() -> None:
    guest = Guest(DemandTracker())
    guest.live(5, gets_pct=50.0)
    guest.live(8, gets_pct=0.0, state=VmState.PAUSED)
    assert guest.wanted_pct == pytest.approx(0.0, abs=0.5)


def booting(workload: str) -> Guest:
    guest = Guest(DemandTracker(warmup_s=20.0), workload=workload)
    guest.tracker.booted(guest.spec, guest.time_s)
    return guest


def test_a_booting_vm_counts_as_what_its_workload_announces() -> None:
    guest = booting("cpu:40")
    guest.live(15, gets_pct=90.0)
    assert guest.wanted_pct == 40.0
    assert guest.used_pct == pytest.approx(90.0, abs=0.2)
    guest.live(15, gets_pct=30.0)
    assert guest.wanted_pct == pytest.approx(30.0, abs=0.2)


def test_a_slow_boot_is_over_when_the_vm_calms_down() -> None:
    guest = booting("cpu:10")
    guest.live(50, gets_pct=40.0, waits_pct=50.0)
    assert guest.wanted_pct == 10.0
    guest.live(10, gets_pct=20.0)
    assert guest.wanted_pct == pytest.approx(20.0, abs=1.0)


def test_a_vm_that_never_calms_down_is_not_booting_for_ever() -> None:
    guest = booting("cpu:10")
    guest.live(int(BOOT_S_MAX) + 5, gets_pct=100.0)
    assert guest.wanted_pct == pytest.approx(100.0, abs=0.2)


def test_a_vm_whose_boot_command_outlasts_the_warm_up_still_warms_up() -> None:
    tracker = DemandTracker(warmup_s=20.0)
    tracker.booted(VmSpec("ve.vm", "ve", "mini", workload="cpu:10"), 60.0)
    tracker.update((), 81.0)
    guest = Guest(tracker, workload="cpu:10")
    guest.live(5, gets_pct=100.0)
    assert guest.wanted_pct == 10.0


def test_a_vm_that_boots_counts_before_it_is_first_seen() -> None:
    tracker = DemandTracker()
    tracker.update((), 100.0)
    tracker.booted(VmSpec("ve.new", "ve", "mini", workload="cpu:70"), 100.0)
    tracker.update((), 101.0)
    assert tracker.of("ve.new", 101.0) == (70.0, 0.0)


def test_a_new_workload_ends_the_warm_up() -> None:
    guest = booting("cpu:10")
    guest.live(5, gets_pct=50.0)
    guest.tracker.assume("ve.vm", 0.0, 0.0)
    assert guest.wanted_pct == pytest.approx(50.0, abs=2.0)


def test_an_arriving_vm_keeps_its_demand_until_its_new_counters_say_something() -> None:
    tracker = DemandTracker(arrival_s=2.0)
    tracker.arrived("ve.vm", Resources(85.0, 96.0), 100.0)
    guest = Guest(tracker)
    assert guest.wanted_pct == 85.0
    guest.live(1, gets_pct=85.0)
    assert guest.wanted_pct == 85.0
    guest.live(1, gets_pct=85.0)
    assert guest.wanted_pct == pytest.approx(85.0)


def test_counters_that_start_again_do_not_look_like_a_change_of_demand() -> None:
    guest = Guest(DemandTracker(), workload="cpu:60")
    guest.live(10, gets_pct=60.0)
    guest.cpu_time_s = guest.run_delay_s = 0.0
    guest.live(1, gets_pct=60.0)
    assert guest.wanted_pct == 60.0
    guest.live(1, gets_pct=60.0)
    assert guest.wanted_pct == pytest.approx(60.0)


def test_a_vm_that_comes_back_is_measured_anew() -> None:
    guest = Guest(DemandTracker())
    guest.live(5, gets_pct=90.0)
    guest.tracker.update((), guest.time_s + 1.0)
    assert guest.wanted_pct == 0.0
    guest.time_s += 2.0
    guest.read()
    assert guest.wanted_pct == IDLE_CPU_PCT


def test_a_vm_still_coming_in_is_not_measured() -> None:
    guest = Guest(DemandTracker())
    guest.tracker.update((), guest.time_s)
    guest.read(incoming=True)
    assert guest.wanted_pct == 0.0


def test_the_same_reading_twice_changes_nothing() -> None:
    guest = Guest(DemandTracker())
    guest.live(5, gets_pct=50.0)
    before = guest.wanted_pct
    guest.read()
    assert guest.wanted_pct == before


@pytest.mark.parametrize(
    ("workload", "pct"),
    [("idle", IDLE_CPU_PCT), ("tick+cpu:35", 35.0), ("cpu:1", IDLE_CPU_PCT), ("nonsense", IDLE_CPU_PCT)],
)
def test_what_a_workload_announces(workload: str, pct: float) -> None:
    assert expected_cpu_pct(workload) == pct


def starts_and_ends(detector: Detector, loads: list[float]) -> tuple[int, int]:
    """How many times an overload begins and ends over these CPU loads, one a second."""
    starts, ends, was = 0, 0, ""
    for now_s, cpu_pct in enumerate(loads):
        found = detector.update(Resources(cpu_pct, 10.0), CAPACITY, float(now_s))
        starts += bool(found) and not was
        ends += bool(was) and not found
        was = found
    return starts, ends


def test_an_overload_counts_once_it_has_lasted_and_from_then_on() -> None:
    detector = Detector(samples_on=3)
    found = [detector.update(Resources(130.0, 1.0), CAPACITY, now_s) for now_s in (1.0, 2.0, 3.0, 4.0)]
    assert found == ["", "", "CPU demand 130 % of 100 %", "CPU demand 130 % of 100 %"]
    assert detector.since_s == 3.0


def test_a_load_that_swings_around_capacity_does_not_flap() -> None:
    assert starts_and_ends(Detector(), [101.0, 99.0] * 50) == (0, 0)
    assert starts_and_ends(Detector(), [120.0] * 5 + [101.0, 98.0] * 50) == (1, 0)
    assert starts_and_ends(Detector(), [120.0] * 5 + [98.0] * 50) == (1, 0)


def test_an_overload_ends_clearly_below_capacity() -> None:
    assert starts_and_ends(Detector(), [120.0] * 5 + [96.0] + [99.9] * 20) == (1, 1)


def test_memory_is_overloaded_above_its_capacity_and_said_so() -> None:
    detector = Detector(samples_on=1)
    assert detector.update(Resources(10.0, 1200.0), CAPACITY, 1.0) == "memory 1200 of 1000 MiB"
    assert detector.update(Resources(10.0, 1000.0), CAPACITY, 2.0) == ""
