"""CloudSim's accounting by hand, its policies' manners, drawn days, and what is refused."""

from __future__ import annotations

import tarfile
from io import BytesIO
from pathlib import Path

import msgspec
import numpy as np
import pytest

from lucos.errors import InputError
from lucos.simulator.cloudsim.accounting import GONE, Account
from lucos.simulator.cloudsim.datacenter import make_datacenter
from lucos.simulator.cloudsim.experiment import CloudSimResult, run_cloudsim, run_day
from lucos.simulator.cloudsim.rivals import LrMmt, ThrMmt, first_fit, least_power
from lucos.simulator.cloudsim.settings import CloudSimSettings, Strategy
from lucos.simulator.cloudsim.traces import SAMPLES, read_day, synthetic_day

RIVALS: tuple[Strategy, ...] = ("thr-mmt", "lr-mmt")


def account(loads: list[list[float]], where: list[int], hosts: int = 4) -> Account:
    """VMs of 2500, 2000, 1000 and 500 MIPS on hosts that are G4 (3720 MIPS) and G5 (5320) in turn."""
    return Account(make_datacenter(hosts, len(loads)), np.array(loads), np.array(where))


# --- Accounting -------------------------------------------------------------------------------------


def test_energy_is_linear_between_two_loads() -> None:
    held = account([[0.0, 0.532, 0.0, 0.0]] * 4, [1, 1, 1, 1])
    held.advance(300)
    # 6000 * 0.532 of 5320 MIPS: 60 %, 121 W. Nothing is known of the time before.
    assert held.utilisation[1] == pytest.approx(0.6)
    assert held.totals.energy_j == 0
    held.advance(450)
    # 30 % is 105 W; the host draws 121 W at the beginning of the interval.
    assert held.totals.energy_j == pytest.approx(150 * (121 + 105) / 2)


def test_more_than_a_host_has_is_shared_in_proportion() -> None:
    held = account([[0.0, 1.0, 1.0]] * 4, [1, 1, 1, 1])
    held.advance(300)
    held.advance(400)
    totals = held.totals
    assert totals.overloaded_s == totals.active_s == 100
    # CloudSim rounds every share down to whole MIPS.
    assert totals.allocated == 100 * (2216 + 1773 + 886 + 443)
    assert totals.requested == 100 * 6000
    assert totals.lost_in_migrations == 0


def test_a_vm_gets_no_more_than_a_core() -> None:
    held = account([[0.0, 1.0, 1.0]], [0])
    held.advance(300)
    held.advance(310)
    assert held.totals.allocated == 10 * 1860


def test_a_migration_costs_a_tenth_at_both_ends() -> None:
    held = account([[0.0, 0.5, 0.5, 0.5]] * 4, [1, 1, 3, 3])
    held.advance(300)
    [(end_s, moves)] = held.start([(0, 3)])
    assert end_s == pytest.approx(300 + 870 / 62.5)
    assert moves == [(0, 3)]
    assert held.utilisation[3] == pytest.approx((500 + 250 + 125) / 5320)
    held.advance(end_s)
    totals, lasted_s = held.totals, end_s - 300
    assert totals.lost_in_migrations == pytest.approx(lasted_s * 125)
    assert totals.active_s == pytest.approx(2 * lasted_s)
    # The destination counts as overloaded: it is asked for all of the VM, and gives a tenth.
    assert totals.overloaded_s == pytest.approx(lasted_s)
    held.finish(moves)
    assert held.placement.tolist() == [3, 1, 3, 3]
    assert held.utilisation[3] == pytest.approx(2000 / 5320)
    held.advance(600)
    assert totals.overloaded_s == pytest.approx(lasted_s)
    assert totals.migrations == 1


def test_a_vm_moved_twice_at_once_ends_at_the_last_place() -> None:
    held = account([[0.0, 0.5, 0.5]] * 4, [1, 1, 1, 1])
    held.advance(300)
    [(end_s, moves)] = held.start([(0, 3), (0, 0)])
    held.advance(end_s)
    held.finish(moves)
    assert held.placement[0] == 0
    assert held.vms_of == [[0], [1, 2, 3], [], []]
    assert held.totals.migrations == 2


def test_a_vm_that_wants_nothing_has_ended_unless_it_moves() -> None:
    held = account([[0.5, 0.0, 0.0, 0.5]] * 2, [1, 1])
    held.advance(150)
    [(_, moves)] = held.start([(0, 3)])
    held.advance(310)
    assert held.placement.tolist() == [1, GONE]
    held.finish(moves)
    assert held.placement.tolist() == [GONE, GONE]
    held.advance(900)
    assert held.utilisation.tolist() == [0, 0, 0, 0]


# --- Beginnings and rivals ----------------------------------------------------------------------------


def test_first_fit_fills_hosts_and_least_power_spreads() -> None:
    centre = make_datacenter(8, 8)
    # 2500 and 2000 MIPS need a core of a G5.
    assert first_fit(centre).tolist() == [1, 1, 3, 3, 0, 0, 0, 2]
    placed = least_power(centre)
    assert len(set(placed.tolist())) == 8
    assert all(placed[:4] % 2 == 1)


def test_thr_relieves_the_overloaded_with_little_ram_first_and_empties_the_rest() -> None:
    held = account([[0.0, 0.9, 0.9]] * 4, [1, 1, 1, 3], hosts=6)
    held.advance(300)
    # Host 1 wants 93 %. Its 870 MB VM goes; of the hosts it could go to, an idle one costs as little as any.
    moves = ThrMmt(0.8).decide(held)
    assert moves[0][0] == 0
    assert moves[0][1] != 1


@pytest.mark.parametrize(("slope", "moves"), [(0.05, True), (0.0, False)])
def test_lr_foresees_a_ramp_and_thr_does_not(slope: float, moves: bool) -> None:
    # 79 % at the last of eleven steps: a rise of 5 % a step makes it 84 %, times 1.2 more than there is.
    used = np.array([0.0, *(0.79 - slope * (11 - step) for step in range(1, 12))])
    held = account([(used * 5320 / 12000).tolist()] * 8, [1] * 8)
    lr, planned = LrMmt(1.2), []
    for step in range(1, 12):
        held.advance(300.0 * step)
        planned.append(bool(lr.decide(held)))
    assert planned == [*planned[:-1], moves]
    assert ThrMmt(0.8).decide(held) == []


# --- Days ---------------------------------------------------------------------------------------------


def run(strategy: Strategy, seed: int) -> CloudSimResult:
    return run_cloudsim(CloudSimSettings(strategy=strategy, hosts=150, vms=160), seed)


@pytest.fixture(scope="module", params=[1, 2])
def days(request: pytest.FixtureRequest) -> dict[str, CloudSimResult]:
    return {name: run(name, request.param) for name in ("dvfs", *RIVALS, "consolidate")}


@pytest.mark.parametrize("rival", RIVALS)
def test_consolidation_needs_less_of_everything(days: dict[str, CloudSimResult], rival: str) -> None:
    ours, theirs = days["consolidate"], days[rival]
    assert ours.energy_kwh < 0.95 * theirs.energy_kwh
    assert ours.slav_percent < 0.1 * theirs.slav_percent
    assert ours.otf_percent < 0.7 * theirs.otf_percent
    assert 0 < ours.migrations < 0.1 * theirs.migrations


def test_rivals_rank_as_published(days: dict[str, CloudSimResult]) -> None:
    assert days["lr-mmt"].energy_kwh < days["thr-mmt"].energy_kwh < days["dvfs"].energy_kwh
    assert days["dvfs"].slav_percent == days["dvfs"].migrations == 0


def test_series_add_up(days: dict[str, CloudSimResult]) -> None:
    for result in days.values():
        assert len(result.step_s) == len(result.step_hosts) == SAMPLES - 1
        assert sum(result.step_kwh) == pytest.approx(result.energy_kwh)
        assert sum(result.step_migrations) == result.migrations
        assert max(result.step_hosts) <= result.hosts
        assert result.slav_percent == pytest.approx(result.otf_percent * result.pdm_percent / 100)


def test_same_seed_same_day() -> None:
    days = [CloudSimSettings(hosts=40, vms=40)] * 2
    first, second = (run_cloudsim(day, seed=7) for day in days)
    other = run_cloudsim(days[0], seed=8)
    assert msgspec.json.encode(first) == msgspec.json.encode(second)
    assert first.energy_kwh != other.energy_kwh


def test_drawn_days_are_like_planetlab() -> None:
    """Beside what was measured of 2011-03-03, in brackets."""
    load = synthetic_day(2000, 1)
    means = 100 * load.mean(axis=1)
    assert load.shape == (2000, SAMPLES)
    assert 10 < means.mean() < 14  # (12.3)
    assert 5 < np.median(means) < 8  # (6.8)
    assert 12 < np.percentile(means, 75) < 17  # (14.4)
    assert 0.1 < (load == 0).mean() < 0.2  # (0.15)
    centred = load - load.mean(axis=1, keepdims=True)
    lag = (centred[:, 6:] * centred[:, :-6]).sum() / (centred**2).sum()
    assert 0.05 < lag < 0.2  # (0.11)
    assert np.array_equal(load, np.round(load, 2))


# --- What is refused ------------------------------------------------------------------------------------


def test_too_few_hosts_are_refused() -> None:
    with pytest.raises(InputError, match=r"\d+ VMs of 100 fill the 10 hosts"):
        run_cloudsim(CloudSimSettings(hosts=10, vms=100))


def write(folder: Path, text: str) -> Path:
    path = folder / "trace.tar"
    with tarfile.open(path, "w") as tar:
        info = tarfile.TarInfo("day/vm1")
        info.size = len(text)
        tar.addfile(info, BytesIO(text.encode()))
    return path


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("10\n" * 100, "100 samples a VM, a day has 288"),
        ("10\n" * 287 + "101\n", "outside 0..100"),
        ("-1\n" + "10\n" * 287, "outside 0..100"),
        ("nan\n" + "10\n" * 287, "outside 0..100"),
        ("ten\n" * 288, "not a list of percentages"),
    ],
)
def test_bad_traces_are_refused(tmp_path: Path, text: str, words: str) -> None:
    path = write(tmp_path, text)
    with pytest.raises(InputError, match=words) as caught:
        read_day(path)
    assert str(path) in caught.value.message


def test_a_trace_from_a_file_is_run(tmp_path: Path) -> None:
    path = write(tmp_path, "50\n" * 288)
    settings = CloudSimSettings(strategy="dvfs", hosts=2, trace=str(path))
    # One VM of 2500 MIPS at 50 % on a G5: 23.5 %. The first frame of 300 s draws nothing.
    watts = 101 + 0.34962406 * 4
    assert run_cloudsim(settings).energy_kwh == pytest.approx(watts * 286 * 300 / 3.6e6, rel=1e-4)
    assert run_day(settings, np.full((1, 288), 0.5)) == run_cloudsim(settings)
