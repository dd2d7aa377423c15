"""Streams of load: their statistics and reproducibility, traces from files, and their driver."""

from __future__ import annotations

import io
import os
import tarfile
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from lucos.actors.simulated import Simulation
from lucos.errors import InputError
from lucos.hypervisors.simulated import SimulatedFleet
from lucos.model import Resources, VmSpec
from lucos.simulator.injectors import (
    Changes,
    Driver,
    from_csv,
    gaussian,
    planetlab,
    read_planetlab,
    stream_of,
)
from lucos.simulator.scenario import LoadTable, Scenario

NAMES = ["sim.vm1", "sim.vm2", "sim.vm3"]


def joined(stream: Iterator[Changes]) -> Changes:
    chunks = list(stream)
    return Changes(*(np.concatenate(parts) for parts in zip(*chunks, strict=True)))


def test_the_gaussian_stream_has_the_published_rate_and_shape() -> None:
    load = LoadTable(mean_pct=60.0, sigma_pct=20.0, slots=10, interval_s=300.0)
    changes = joined(gaussian(load, 1000, seed=1, until_s=3600.0))
    # 1000 VMs / 300 s for an hour: 12,000 changes, give or take three standard deviations.
    assert abs(len(changes.times_s) - 12_000) < 330
    assert (np.diff(changes.times_s) >= 0).all()
    assert changes.times_s[-1] < 3600.0
    assert set(changes.values_pct) <= {10.0 * slot for slot in range(11)}
    assert changes.values_pct.mean() == pytest.approx(59.8, abs=0.6)
    assert changes.values_pct.std() == pytest.approx(19.9, abs=0.6)
    per_vm = np.bincount(changes.vms, minlength=1000)
    assert per_vm.var() / per_vm.mean() == pytest.approx(1.0, abs=0.2)


def test_the_same_seed_gives_the_same_stream(small: Callable[..., Scenario]) -> None:
    one, same, other = (joined(stream_of(small(), NAMES, seed)) for seed in (1, 1, 2))
    assert all(np.array_equal(a, b) for a, b in zip(one, same, strict=True))
    assert not np.array_equal(one.times_s[:5], other.times_s[:5])


def test_the_stream_does_not_depend_on_the_strategy(small: Callable[..., Scenario]) -> None:
    dvms, entropy = (joined(stream_of(small(f"strategy={name}"), NAMES, 1)) for name in ("dvms", "entropy"))
    assert np.array_equal(dvms.values_pct, entropy.values_pct)


# --- Traces -------------------------------------------------------------------------------------------


@pytest.fixture(params=["folder", "tar"])
def trace(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """Two files of three samples, as a folder or as a tar."""
    files = {"b_host": "10\n20\n30\n", "a_host": "1\n2\n3\n"}
    if request.param == "folder":
        for name, text in files.items():
            (tmp_path / name).write_text(text)
        return tmp_path
    path = tmp_path / "day.tar.gz"
    with tarfile.open(path, "w:gz") as tar:
        for name, text in files.items():
            member = tarfile.TarInfo(f"day/{name}")
            member.size = len(text)
            tar.addfile(member, io.BytesIO(text.encode()))
    return path


def test_planetlab_files_map_to_vms_by_name_and_begin_again(trace: Path) -> None:
    changes = joined(planetlab(trace, 300.0, vms=3, until_s=600.0))
    assert changes.times_s.tolist() == [0.0] * 3 + [300.0] * 3
    assert changes.values_pct.tolist() == [1.0, 10.0, 1.0, 2.0, 20.0, 2.0]


@pytest.mark.parametrize(
    ("files", "said"),
    [
        ({}, "no files"),
        ({"a": "1\nx\n"}, "a is not a list of percentages"),
        ({"a": "1\n2\n", "b": "1\n"}, "b has 1 samples, the files before it 2"),
    ],
)
def test_a_bad_planetlab_folder_is_told(tmp_path: Path, files: dict[str, str], said: str) -> None:
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    with pytest.raises(InputError, match=said):
        read_planetlab(tmp_path)


def test_a_file_that_is_no_tar_is_told(tmp_path: Path) -> None:
    (tmp_path / "day.tar").write_text("nothing")
    with pytest.raises(InputError, match="cannot read the trace"):
        read_planetlab(tmp_path / "day.tar")


@pytest.mark.skipif("LUC_DATA" not in os.environ, reason="LUC_DATA is not set")
def test_the_published_day_is_read_whole() -> None:
    samples = read_planetlab(Path(os.environ["LUC_DATA"]) / "planetlab" / "20110303.tar.gz")
    assert samples.shape == (1052, 288)
    assert 0 <= samples.min() <= samples.max() <= 100


def test_csv_lines_are_sorted_by_time(tmp_path: Path) -> None:
    path = tmp_path / "load.csv"
    path.write_text("time_s,vm,cpu_pct\n20,sim.vm3,30\n5,sim.vm1,10.5\n500,sim.vm1,1\n")
    changes = joined(from_csv(path, NAMES, 100.0))
    assert changes.times_s.tolist() == [5.0, 20.0]
    assert changes.vms.tolist() == [0, 2]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("time,vm\n", ":1: the first line is not time_s,vm,cpu_pct"),
        ("time_s,vm,cpu_pct\n1,sim.vm1,5\n2,sim.vm9,5\n", ":3: there is no VM sim.vm9"),
        ("time_s,vm,cpu_pct\nsoon,sim.vm1,5\n", ":2: is not time_s,vm,cpu_pct"),
        ("time_s,vm,cpu_pct\n1,sim.vm1,500\n", ":2: a time is not negative, a demand from 0 to 100"),
    ],
)
def test_a_bad_csv_line_is_told(tmp_path: Path, text: str, said: str) -> None:
    path = tmp_path / "load.csv"
    path.write_text(text)
    with pytest.raises(InputError) as error:
        next(from_csv(path, NAMES, 100.0))
    assert said in error.value.message


# --- The driver -----------------------------------------------------------------------------------------


def test_changes_come_at_their_times_with_one_pending_event() -> None:
    simulation = Simulation(1)
    fleet = SimulatedFleet(simulation)
    fleet.add_host("h1", Resources(800.0, 8192.0))
    for name in NAMES:
        fleet.place(VmSpec(name, "sim", "mini"), "h1")
    chunks = [
        Changes(np.array([1.0, 1.0, 4.0]), np.array([0, 1, 0]), np.array([10.0, 20.0, 30.0])),
        Changes(np.array([4.0, 9.0]), np.array([2, 2]), np.array([40.0, 50.0])),
    ]
    seen: list[tuple[float, float]] = []
    fleet.on_load.append(lambda host: seen.append((simulation.now_s, host.demand_pct)))
    simulation.run(100.0)
    batches: list[bool] = []
    driver = Driver(simulation, fleet, NAMES, 1, iter(chunks), batches.append)
    simulation.run(200.0)
    assert seen == [(101.0, 10.0), (101.0, 30.0), (104.0, 50.0), (104.0, 90.0), (109.0, 100.0)]
    assert driver.changes == 5
    assert driver.wanted_pct == {"sim.vm1": 30.0, "sim.vm2": 20.0, "sim.vm3": 50.0}
    assert batches == [True, False] * 4
