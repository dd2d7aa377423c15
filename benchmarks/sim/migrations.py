"""Real live migrations beside what the simulated fleet predicts: `python -m benchmarks.sim.migrations`.

Root only, about nine minutes: guests of three sizes with three dirty rates move between two hosts of a lab
under two bandwidth caps. One more guest of each size calibrates what is physical: its memory that is not zero
pages, and the constant time of a call. Nothing else is fitted.
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
import time
from pathlib import Path

import msgspec
from rich.console import Console
from rich.table import Table

from lucos.actors.ports import Perform, Performed
from lucos.actors.simulated import Simulation
from lucos.hypervisors.connection import Connection, libvirt
from lucos.hypervisors.domains import Domains
from lucos.hypervisors.settings import HypervisorSettings
from lucos.hypervisors.simulated import SimulatedFleet
from lucos.hypervisors.simulated_host import FleetSettings
from lucos.images import load_image
from lucos.lab import LabState, lab_down, lab_up
from lucos.model import Migrate, Resources, VmSpec

IMAGES = Path("/var/lib/luc/images")
PLOT = Path(__file__).resolve().parents[2] / "docs" / "simulator" / "migrations.svg"
SIZES_MIB = (96, 256, 512)
CAPS_MIBPS = (16, 40)
DIRTY_MIBPS = (0, 3, 8)
CALIBRATION_CAP_MIBPS = 25
# What `dirty:N` writes again and again (the guest's init script): a round cannot dirty more.
WORKING_SET_MIB = 16.0
_MIB = 2.0**20
_QUIET_S = 6.0  # after its boot, for the guest to have written its working set once


class Case(msgspec.Struct, frozen=True):
    memory_mib: int
    dirty_mibps: int
    cap_mibps: int


class Real(msgspec.Struct, frozen=True):
    """What libvirt says of a migration that ended; `sent_mib` is pages that were not zero, in all rounds."""

    duration_s: float
    downtime_ms: float
    sent_mib: float
    rounds: int


class Calibration(msgspec.Struct, frozen=True):
    """Of an idle guest of one size: its memory that is not zero, and the time that is not sending."""

    used_mib: float
    call_s: float


class Bench:
    """Two hosts of the lab, with our own calls of libvirt on each."""

    def __init__(self, lab: LabState, folder: Path) -> None:
        self._addresses = [host.address for host in lab.hosts]
        self._image = load_image(IMAGES, "mini")
        self._folder = folder
        self._completed: dict[str, dict[str, int]] = {}
        self._connections = [
            Connection(host.libvirt_uri, lambda *_: None, self._completed.__setitem__, lambda: None)
            for host in lab.hosts
        ]
        self._domains = [
            Domains(HypervisorSettings(host.libvirt_uri, host.name, IMAGES, folder), connection)
            for host, connection in zip(lab.hosts, self._connections, strict=True)
        ]

    def close(self) -> None:
        for connection in self._connections:
            connection.close()

    def boot(self, memory_mib: int, dirty_mibps: int) -> str:
        """A guest on the first host that has settled; its name."""
        vm = f"bench.m{memory_mib}d{dirty_mibps}"
        workload = f"dirty:{dirty_mibps}" if dirty_mibps else "idle"
        log = self._folder / f"{vm}.log"
        log.unlink(missing_ok=True)
        self._domains[0].boot(VmSpec(vm, "bench", "mini", 1, memory_mib, workload), self._image, "tcg")
        deadline_s = time.monotonic() + 120.0
        while not log.exists() or self._image.ready not in log.read_text(errors="replace"):
            if time.monotonic() > deadline_s:
                raise RuntimeError(f"{vm} is not up after 120 s: see {log}")
            time.sleep(0.2)
        time.sleep(_QUIET_S)
        return vm

    def migrate(self, vm: str, source: int, cap_mibps: int) -> Real:
        started_s = time.monotonic()
        self._completed.clear()
        self._domains[source].migrate(vm, self._addresses[1 - source], cap_mibps, force=True)
        duration_s = time.monotonic() - started_s
        while "memory_normal_bytes" not in (job := self._completed.get(vm, {})):
            if time.monotonic() > started_s + duration_s + 10.0:
                raise RuntimeError(f"libvirt tells nothing of the migration of {vm}")
            time.sleep(0.05)
        return Real(
            duration_s, float(job["downtime"]), job["memory_normal_bytes"] / _MIB, job["memory_iteration"]
        )

    def kill(self, vm: str) -> None:
        for domains in self._domains:
            try:
                domains.kill(vm)
            except libvirt().libvirtError:  # it is on the other host
                continue


def calibrated(bench: Bench, memory_mib: int) -> Calibration:
    """From one idle guest that moves once."""
    vm = bench.boot(memory_mib, 0)
    real = bench.migrate(vm, 0, CALIBRATION_CAP_MIBPS)
    bench.kill(vm)
    return Calibration(real.sent_mib, real.duration_s - real.sent_mib / CALIBRATION_CAP_MIBPS)


def predicted_s(case: Case, known: Calibration) -> float:
    """The time of a call, and what the simulated fleet says of the rest."""
    workload, used_mib = "idle", known.used_mib
    if case.dirty_mibps:
        workload, used_mib = f"dirty:{case.dirty_mibps}", used_mib + WORKING_SET_MIB
    settings = FleetSettings(
        link_mibps=1000.0, dirty_share_max=WORKING_SET_MIB / case.memory_mib, switch_s=0.0
    )
    simulation = Simulation(1)
    fleet = SimulatedFleet(simulation, settings)
    for name in ("h1", "h2"):
        fleet.add_host(name, Resources(100.0, 1024.0))
    fleet.place(VmSpec("b.a", "b", "mini", 1, case.memory_mib, workload), "h1", used_mib=used_mib)
    ended: list[Performed] = []
    order = Perform(1, Migrate("b.a", "h1", "h2"), bandwidth_mibps=case.cap_mibps, timeout_s=600.0)
    fleet.perform("h1", order, ended.append)
    simulation.run(1000.0)
    return known.call_s + ended[0].duration_s


def measured(bench: Bench, console: Console) -> list[tuple[Case, Real, float]]:
    rows = []
    for memory_mib in SIZES_MIB:
        known = calibrated(bench, memory_mib)
        console.print(
            f"{memory_mib} MiB: {known.used_mib:.1f} MiB not zero, {known.call_s:.2f} s besides sending"
        )
        for dirty_mibps in DIRTY_MIBPS:
            vm = bench.boot(memory_mib, dirty_mibps)
            for source, cap_mibps in enumerate(CAPS_MIBPS):
                case = Case(memory_mib, dirty_mibps, cap_mibps)
                rows.append((case, bench.migrate(vm, source, cap_mibps), predicted_s(case, known)))
            bench.kill(vm)
    return rows


def show(rows: list[tuple[Case, Real, float]], console: Console) -> None:
    table = Table(
        "MiB",
        "dirty MiB/s",
        "cap MiB/s",
        "real s",
        "predicted s",
        "error",
        "sent MiB",
        "rounds",
        "downtime ms",
    )
    errors = []
    for case, real, model_s in rows:
        errors.append(abs(model_s - real.duration_s) / real.duration_s)
        table.add_row(
            str(case.memory_mib),
            str(case.dirty_mibps),
            str(case.cap_mibps),
            f"{real.duration_s:.2f}",
            f"{model_s:.2f}",
            f"{100 * (model_s / real.duration_s - 1):+.0f} %",
            f"{real.sent_mib:.1f}",
            str(real.rounds),
            f"{real.downtime_ms:.0f}",
        )
    console.print(table)
    console.print(
        f"median error {100 * statistics.median(errors):.1f} %, worst {100 * max(errors):.0f} %;"
        f" load average {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores"
    )


def plot(rows: list[tuple[Case, Real, float]], path: Path) -> None:
    try:
        import matplotlib
    except ImportError:
        return
    matplotlib.use("svg")
    from matplotlib import pyplot

    matplotlib.rcParams["svg.hashsalt"] = "migrations"
    figure, axes = pyplot.subplots(figsize=(5.5, 5.0), layout="constrained")
    for cap_mibps, mark in zip(CAPS_MIBPS, "o^", strict=True):
        points = [(model_s, real.duration_s) for case, real, model_s in rows if case.cap_mibps == cap_mibps]
        axes.scatter(*zip(*points, strict=True), marker=mark, label=f"cap {cap_mibps} MiB/s")
    most_s = 1.1 * max(max(real.duration_s, model_s) for _, real, model_s in rows)
    axes.plot([0, most_s], [0, most_s], color="0.6", linewidth=1)
    axes.fill_between([0, most_s], [0, 0.75 * most_s], [0, 1.25 * most_s], color="0.92", label="within 25 %")
    axes.set(xlabel="predicted, s", ylabel="real, s", xlim=(0, most_s), ylim=(0, most_s))
    axes.legend()
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, metadata={"Date": None})


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.sim.migrations", description=__doc__)
    parser.add_argument("--lab", default="migrations", help="the name of the lab made for it")
    name = parser.parse_args().lab
    console = Console(width=100)
    try:
        lab = lab_up(name, nodes=2, cpus=1.0, agents=False, say=console.print)
        with tempfile.TemporaryDirectory(prefix="luc-migrations-") as folder:
            bench = Bench(lab, Path(folder))
            try:
                rows = measured(bench, console)
            finally:
                bench.close()
    finally:
        lab_down(name)
    show(rows, console)
    plot(rows, PLOT)


if __name__ == "__main__":
    main()
