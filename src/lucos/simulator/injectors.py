"""What changes the load of a simulated LUC: streams of demands, VMs that come and go.

A stream is an iterator of `Changes` in the order of time, made chunk by chunk from the seed alone, so that
all strategies meet the same load. A `Driver` feeds it to the fleet with one pending event at a time.
"""

from __future__ import annotations

import csv
import tarfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from random import Random
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from lucos.actors.simulated import Simulation
from lucos.errors import InputError
from lucos.hypervisors.simulated import SimulatedFleet
from lucos.simulator.scenario import LoadTable, Scenario

_CHUNK = 4096


class Changes(NamedTuple):
    """At `times_s` (ascending) the VMs of index `vms` begin to want `values_pct` of their virtual CPUs."""

    times_s: NDArray[np.float64]
    vms: NDArray[np.int64]
    values_pct: NDArray[np.float64]


Stream = Iterator[Changes]


def stream_of(scenario: Scenario, names: Sequence[str], seed: int) -> Stream:
    """The changes of a scenario's load for the VMs `names`; raises `InputError` for a bad trace."""
    load, until_s = scenario.load, scenario.duration_s
    match load.kind:
        case "gaussian" if names:
            return gaussian(load, len(names), seed, until_s)
        case "planetlab":
            return planetlab(Path(load.trace), load.interval_s, len(names), until_s)
        case "csv":
            return from_csv(Path(load.trace), names, until_s)
    return iter(())


def demands(load: LoadTable, random: np.random.Generator, count: int) -> NDArray[np.float64]:
    """`count` demands in percent: Gaussian within 0..100, rounded to one of the load's slots."""
    slot_pct = 100.0 / load.slots
    drawn = np.clip(random.normal(load.mean_pct, load.sigma_pct, count), 0.0, 100.0)
    return np.rint(drawn / slot_pct) * slot_pct


def generator(seed: int, what: str) -> np.random.Generator:
    """The random numbers of one purpose, independent of all others."""
    return np.random.default_rng(Random(f"{seed}/{what}").getrandbits(128))


def gaussian(load: LoadTable, vms: int, seed: int, until_s: float) -> Stream:
    """One Poisson stream of vms / `interval_s` changes a second, each of a uniform VM. Source: VMPlaceS."""
    random, begin_s = generator(seed, "load"), 0.0
    while begin_s < until_s:
        times_s = begin_s + np.cumsum(random.exponential(load.interval_s / vms, _CHUNK))
        begin_s = float(times_s[-1])
        kept = int(np.searchsorted(times_s, until_s))
        which, values_pct = random.integers(vms, size=_CHUNK), demands(load, random, _CHUNK)
        yield Changes(times_s[:kept], which[:kept], values_pct[:kept])


def planetlab(path: Path, interval_s: float, vms: int, until_s: float) -> Stream:
    """A file per VM, in the order of names, with a percentage per line, one for each `interval_s`.

    `path` is a folder or a tar. VMs beyond the number of files begin again at the first; a trace shorter than
    the run is over when it ends.
    """
    samples = read_planetlab(path)
    which = np.arange(vms, dtype=np.int64)
    for step in range(samples.shape[1]):
        if step * interval_s >= until_s:
            return
        yield Changes(np.full(vms, step * interval_s), which, samples[which % len(samples), step])


def read_planetlab(path: Path) -> NDArray[np.float64]:
    """Percentages by file (sorted by name) and by sample; raises `InputError` for what is no such trace."""
    texts: dict[str, bytes] = {}
    try:
        if path.is_dir():
            texts = {file.name: file.read_bytes() for file in path.iterdir() if file.is_file()}
        else:
            with tarfile.open(path) as tar:
                for member in tar:
                    if member.isfile() and (content := tar.extractfile(member)) is not None:
                        texts[member.name] = content.read()
    except (OSError, tarfile.TarError) as error:
        raise InputError(f"cannot read the trace: {error}", file=str(path)) from None
    rows: list[list[float]] = []
    for name in sorted(texts):
        try:
            rows.append([float(word) for word in texts[name].split()])
        except ValueError as error:
            raise InputError(f"{name} is not a list of percentages: {error}", file=str(path)) from None
        if len(rows[-1]) != len(rows[0]) or not rows[0]:
            words = f"{name} has {len(rows[-1])} samples, the files before it {len(rows[0])}"
            raise InputError(words, file=str(path), hint="all files of a trace have equally many lines")
    if not rows:
        raise InputError("the trace has no files", file=str(path))
    return np.array(rows)


def from_csv(path: Path, names: Sequence[str], until_s: float) -> Stream:
    """Lines `time_s,vm,cpu_pct` in any order, after a header of those words; `vm` is a name (sim.vm7)."""
    index = {name: n for n, name in enumerate(names)}
    rows: list[tuple[float, int, float]] = []
    try:
        with path.open(newline="", encoding="utf-8") as file:
            reader = csv.reader(file)
            if [word.strip() for word in next(reader, [])] != ["time_s", "vm", "cpu_pct"]:
                raise InputError("the first line is not time_s,vm,cpu_pct", file=str(path), line=1)
            rows.extend(_csv_row(row, index, path, reader.line_num) for row in reader)
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"cannot read the trace: {error}", file=str(path)) from None
    rows = sorted(row for row in rows if row[0] < until_s)
    if rows:
        times_s, vms, values_pct = zip(*rows, strict=True)
        yield Changes(np.array(times_s), np.array(vms, dtype=np.int64), np.array(values_pct))


def _csv_row(row: list[str], index: dict[str, int], path: Path, line: int) -> tuple[float, int, float]:
    try:
        time_s, name, cpu_pct = float(row[0]), row[1].strip(), float(row[2])
    except (ValueError, IndexError):
        raise InputError("is not time_s,vm,cpu_pct", file=str(path), line=line) from None
    if name not in index:
        hint = f"VMs are sim.vm1 to sim.vm{len(index)}"
        raise InputError(f"there is no VM {name}", file=str(path), line=line, hint=hint)
    if not (time_s >= 0 and 0 <= cpu_pct <= 100):
        raise InputError("a time is not negative, a demand from 0 to 100", file=str(path), line=line)
    return time_s, index[name], cpu_pct


class Driver:
    """Sets the demands of `names` in `fleet` as a stream says, times counted from now.

    `around` is called with True before and with False after each batch of changes, so that an observer can
    tell them from what migrations change. `wanted_pct` is the last demand of each VM, whether it runs or not.
    """

    def __init__(
        self,
        simulation: Simulation,
        fleet: SimulatedFleet,
        names: Sequence[str],
        cpus: int,
        stream: Stream,
        around: Callable[[bool], None],
    ) -> None:
        self.changes = 0
        self.wanted_pct: dict[str, float] = {}
        self._simulation = simulation
        self._fleet = fleet
        self._names = names
        self._cpus = cpus
        self._stream = stream
        self._around = around
        self._begin_s = simulation.now_s
        self._times_s: list[float] = []
        self._vms: list[int] = []
        self._values_pct: list[float] = []
        self._next = 0
        self._wait()

    def _wait(self) -> None:
        """Have the next change come at its time."""
        while self._next == len(self._times_s):
            chunk = next(self._stream, None)
            if chunk is None:
                return
            self._next = 0
            self._times_s = (chunk.times_s + self._begin_s).tolist()
            self._vms = chunk.vms.tolist()
            self._values_pct = (chunk.values_pct * self._cpus).tolist()
        self._simulation.schedule(self._times_s[self._next] - self._simulation.now_s, self._change)

    def _change(self) -> None:
        """Make all changes of this instant."""
        times_s, n, end = self._times_s, self._next, len(self._times_s)
        at_s, set_demand = times_s[n], self._fleet.set_demand
        self._around(True)
        while n < end and times_s[n] <= at_s:
            vm, value_pct = self._names[self._vms[n]], self._values_pct[n]
            self.wanted_pct[vm] = value_pct
            set_demand(vm, value_pct)
            n += 1
        self._around(False)
        self.changes += n - self._next
        self._next = n
        self._wait()
