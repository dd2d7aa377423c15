"""One run of a scenario with one seed, from the platform to `summary.json`."""

from __future__ import annotations

import gc
import os
import resource
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Literal, NamedTuple

import msgspec

from lucos.actors.ports import SOLVER
from lucos.actors.simulated.solver import SimulatedSolver
from lucos.errors import InputError, OperationFailed
from lucos.model import Resources
from lucos.resources.host_settings import HostSettings
from lucos.simulator.clients import Clients
from lucos.simulator.cluster import SimulatedLuc
from lucos.simulator.faultplan import FaultPlan
from lucos.simulator.injectors import Driver, stream_of
from lucos.simulator.laws import LawBroken, Laws
from lucos.simulator.metrics import Metrics
from lucos.simulator.otherkinds import measure_cloudsim, measure_vjobs
from lucos.simulator.scenario import Scenario, platform_of, settings_of
from lucos.simulator.strictfile import to_toml
from lucos.simulator.trace import TraceWriter

SUMMARY = "summary.json"
SCENARIO = "scenario.toml"
# What of a summary depends on the machine and its load.
WALL_CLOCK = ("wall_s", "cpu_s", "events_per_s", "speed", "peak_rss_mb")

# The overlay simulated in full needs a while until all nodes know each other.
_SETTLE_S = 120.0
_SLICES = 500


class Progress(NamedTuple):
    """How far a run is, and what it took so far."""

    simulated_s: float
    duration_s: float
    wall_s: float
    events: int


Tell = Callable[[Progress], None]
LawsMode = Literal["every-event", "light"]


class LucRun:
    """A LUC with its load, faults, laws and metrics, about to run; `to` runs it on.

    `luc` is ready: with the full overlay, all nodes have found each other. Times count from `begin_s`.
    """

    def __init__(self, scenario: Scenario, seed: int, *, laws: LawsMode = "light") -> None:
        self.scenario = scenario
        self.luc = luc = SimulatedLuc(
            seed,
            platform_of(scenario, seed),
            scheduler=scenario.scheduler,
            overlay=scenario.overlay.fidelity,
            host=HostSettings(
                Resources(),
                period_s=scenario.host.period_s,
                bandwidth_mibps=scenario.host.bandwidth_mibps,
                migration_timeout_s=scenario.host.migration_timeout_s,
                monitor=scenario.monitor,
                notices=True,
            ),
            membership=scenario.overlay.membership,
            fleet=scenario.hypervisor,
            solver=scenario.solver,
            environments=False,
            keep_events=False,
            count_bytes=True,
        )
        if scenario.overlay.fidelity == "full":
            luc.settle(_SETTLE_S)
        self.begin_s = luc.simulation.now_s
        self.laws = Laws(luc, laws)
        names = [vm.id for vm in luc.platform.vms]
        for name in names:
            self.laws.expect(name)
        self.metrics = Metrics(luc, scenario.host_sites)
        self.clients = Clients(luc, scenario, seed)
        self.clients.begins.append(self._runs)
        self.clients.ends.append(self.laws.forget)
        self.driver = Driver(
            luc.simulation,
            luc.fleet,
            names,
            scenario.vms.cpu,
            stream_of(scenario, names, seed),
            self.metrics.load_changes,
        )
        self.clients.wanted_pct = self.driver.wanted_pct
        self.faults = FaultPlan(luc, scenario, seed, self.clients)
        self.faults.crashes += [self.laws.host_crashes, self.metrics.crashes]

    def _runs(self, vm: str) -> None:
        self.laws.lost.discard(vm)
        self.laws.expect(vm)

    def to(self, at_s: float) -> None:
        """Run on until `at_s` seconds after the beginning."""
        self.luc.simulation.run(self.begin_s + at_s, events_max=2**62)

    def summary(self) -> dict[str, Any]:
        """What the run measured so far, with the laws checked once more."""
        self.laws.check_vms()
        failures = self.luc.simulation.failures
        measured = self.metrics.summary()
        measured["overlay"] = {"fidelity": self.scenario.overlay.fidelity, **measured["overlay"]}
        solvers = [self.luc.simulation.nodes[name].actor(SOLVER) for name in self.luc.names]
        working = [solver for solver in solvers if isinstance(solver, SimulatedSolver)]
        return {
            "hosts": len(self.luc.names),
            "vms": len(self.luc.platform.vms),
            **measured,
            "solver": {
                "calls": sum(solver.calls for solver in working),
                "charged_s": sum(solver.charged_s for solver in working),
            },
            "laws_broken": self.laws.broken,
            "load_changes": self.driver.changes,
            "clients": dict(sorted(self.clients.counts.items())),
            "faults": dict(sorted(self.faults.counts.items())),
            "actors_failed": [f"{node}/{name}: {error!r}" for node, name, error in failures[:20]],
        }


def run_one(
    scenario: Scenario,
    seed: int,
    out_dir: Path | None = None,
    *,
    progress: Tell | None = None,
    laws: LawsMode = "light",
) -> dict[str, Any]:
    """Run and return the summary; written with the scenario and its traces to `out_dir`, the summary last.

    The summary is the same for the same scenario and seed, but for `WALL_CLOCK`. Raises `InputError` for a
    bad trace of load, `OperationFailed` when a law breaks that `laws` checks after each event.
    """
    started_s, started_cpu_s = time.perf_counter(), time.process_time()
    scenario = msgspec.structs.replace(scenario, seed=seed)
    if out_dir is not None:
        _prepare(out_dir, scenario)
    match scenario.kind:
        case "luc":
            measured = _run_luc(scenario, seed, out_dir, progress, laws)
        case "cloudsim":
            measured = measure_cloudsim(scenario.cloudsim, seed)
        case "vjobs":
            measured = measure_vjobs(scenario.vjobs, seed)
    wall_s = time.perf_counter() - started_s
    simulated_s, events = measured["simulated_s"], measured["events"]
    summary = {
        "scenario": scenario.name,
        "strategy": scenario.strategy,
        "seed": seed,
        "hosts": measured["hosts"],
        "vms": measured["vms"],
        "simulated_s": simulated_s,
        "wall_s": wall_s,
        "cpu_s": time.process_time() - started_cpu_s,
        "events": events,
        "events_per_s": None if events is None else events / wall_s,
        "speed": simulated_s / wall_s,
        "peak_rss_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024.0,
        **measured,
        "settings": settings_of(scenario),
    }
    if out_dir is not None:
        write_atomically(out_dir / SUMMARY, msgspec.json.format(msgspec.json.encode(summary), indent=2))
    return summary


def write_atomically(path: Path, content: bytes) -> None:
    """A file is there whole or not at all."""
    fresh = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        fresh.write_bytes(content)
        fresh.replace(path)
    finally:
        fresh.unlink(missing_ok=True)


def _prepare(out_dir: Path, scenario: Scenario) -> None:
    """A folder without the summary of an earlier run, with the effective scenario."""
    try:
        out_dir.mkdir(parents=True, exist_ok=True)
        (out_dir / SUMMARY).unlink(missing_ok=True)
        write_atomically(out_dir / SCENARIO, to_toml(settings_of(scenario)).encode())
    except OSError as error:
        raise InputError(
            f"cannot write to {out_dir}: {error.strerror}", hint="choose another -o DIR"
        ) from None


def _run_luc(
    scenario: Scenario, seed: int, out_dir: Path | None, progress: Tell | None, laws: LawsMode
) -> dict[str, Any]:
    started_s, duration_s = time.perf_counter(), scenario.duration_s
    with ExitStack() as stack:
        run = LucRun(scenario, seed, laws=laws)
        if out_dir is not None and scenario.output.trace:
            stack.enter_context(TraceWriter(out_dir, run.luc, formats=scenario.output.trace))
        # What was built stays: the collector need not look at it again.
        gc.collect()
        gc.freeze()
        stack.callback(gc.unfreeze)
        try:
            for n in range(1, _SLICES + 1):
                run.to(duration_s * n / _SLICES)
                if progress is not None:
                    wall_s, events = time.perf_counter() - started_s, run.luc.simulation.events_processed
                    progress(Progress(duration_s * n / _SLICES, duration_s, wall_s, events))
            return run.summary()
        except LawBroken as error:
            words = f"{scenario.name} with seed {seed}: {error}"
            raise OperationFailed(
                words.partition("\n")[0], hint="luc sim replay shows what led to it"
            ) from None
