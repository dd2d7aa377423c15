"""Writing what a simulated LUC does: states of nodes and schedulers, variables, migrations, messages."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from lucos.actors import Message, actor_of, node_of
from lucos.actors.ports import SOLVER, Solve, Solved
from lucos.errors import InputError
from lucos.hypervisors.simulated_host import Host
from lucos.model import Detail, Event
from lucos.overlay import MEMBERSHIP
from lucos.overlay.ring import Ring
from lucos.simulator.cluster import SimulatedLuc
from lucos.simulator.paje import PajeTrace
from lucos.simulator.parquet import ParquetRows
from lucos.simulator.rows import EVENTS, VIOLATIONS, JsonLines, Row, Sink
from lucos.simulator.schedule_states import ScheduleStates

FORMATS = ("jsonl", "parquet", "paje")
EVERYONE = "luc"
UNDERLOADED_SHARE = 0.2
# Energies are read every so many samples: each reading asks every host.
ENERGY_SAMPLES = 6
# Up to so many hosts each has its own row in who talks to whom, and its own LOAD; beyond, its site has.
HOSTS_APART_MAX = 64
_NOWHERE = (-1, 0, "")
_CPU_SLACK = 1.0 + 1e-9


class _States:
    """One state of every host: what it is, and since when."""

    def __init__(self, name: str, count: int, value: str, now_s: float) -> None:
        self.name = name
        self.values = [value] * count
        self.since_s = [now_s] * count


class TraceWriter:
    """Writes what `luc` does from now on to `directory`, until `close`; also a context manager.

    `formats` are of `FORMATS`: `events.jsonl`, `events.parquet` (the same rows), `events.paje`. Nothing is
    scheduled and nothing drawn, so the run is the same with and without it. Loads are sampled each `sample_s`
    of simulated time. A host is underloaded below UNDERLOADED_SHARE of its CPU, and in violation above all of
    it: `violation-out` if that began as a VM arrived, `violation-det` from when its monitor has noticed.
    Raises `InputError` for an unknown format, `EnvironmentMissing` when pyarrow is needed and absent.
    """

    def __init__(
        self,
        directory: Path,
        luc: SimulatedLuc,
        *,
        formats: Sequence[str] = ("jsonl",),
        sample_s: float = 10.0,
    ) -> None:
        self._luc = luc
        self._simulation = luc.simulation
        self._names = list(luc.names)
        self._index = {name: i for i, name in enumerate(self._names)}
        hosts = [luc.fleet.host(name) for name in self._names]
        self._hosts = hosts
        now_s = self._simulation.now_s
        self._paje: PajeTrace | None = None
        self._sinks = self._open(directory, formats)
        self._nodes = _States("PM", len(hosts), "normal", now_s)
        self._services = _States("SERVICE", len(hosts), "free", now_s)
        self._schedules = ScheduleStates(self._serve, self._count, self._write)
        self._detected = [False] * len(hosts)
        self._loads = [0.0] * len(hosts)
        self._on = [host.up and not host.standby for host in hosts]
        self._capacity_pct = np.array([host.capacity.cpu_pct for host in hosts])
        self._counts: dict[str, float] = {}
        self._sample_s = sample_s
        self._samples = 0
        self._next_s = now_s
        self._talk = _Talk(luc)
        for host in hosts:
            self._introduce(host)
            self._load(host)
        self._count_hosts()
        luc.fleet.on_load.append(self._load)
        self._simulation.listeners.append(self._hear)
        self._simulation.observers.append(self._deliver)

    def _open(self, directory: Path, formats: Sequence[str]) -> list[Sink]:
        sinks: list[Sink] = []
        try:
            directory.mkdir(parents=True, exist_ok=True)
            for form in formats:
                match form:
                    case "jsonl":
                        sinks.append(JsonLines(directory / EVENTS))
                    case "parquet":
                        sinks.append(ParquetRows(directory / "events.parquet"))
                    case "paje":
                        sites = [(host.name, host.site) for host in self._hosts]
                        self._paje = PajeTrace(directory / "events.paje", sites, self._simulation.now_s)
                    case _:
                        hint = f"formats are {', '.join(FORMATS)}"
                        raise InputError(f"no trace format {form!r}", hint=hint)
        except OSError as error:
            raise InputError(f"cannot write to {directory}: {error.strerror}") from None
        return sinks

    def __enter__(self) -> TraceWriter:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Stop watching, end all states, write what was counted, close the files; once."""
        if self._load not in self._luc.fleet.on_load:
            return
        self._luc.fleet.on_load.remove(self._load)
        self._simulation.listeners.remove(self._hear)
        self._simulation.observers.remove(self._deliver)
        now_s = self._simulation.now_s
        self._schedules.close(now_s)
        self._sample_until(now_s)
        self._energy(now_s)
        for states in (self._nodes, self._services):
            for i in range(len(self._names)):
                self._turn(states, i, "")
        for row in self._talk.rows(now_s):
            self._write(row)
        for sink in self._sinks:
            sink.close()
        if self._paje is not None:
            self._paje.close(now_s)

    # --- what is seen -------------------------------------------------------------------------------

    def _load(self, host: Host) -> None:
        """The CPU that a host's VMs want has changed, or its power."""
        now_s = self._simulation.now_s
        if now_s > self._next_s:
            self._sample_until(now_s)
        i = self._index[host.name]
        load = host.demand_pct / host.capacity.cpu_pct
        self._loads[i] = load
        on = host.up and not host.standby
        if self._on[i] != on:
            self._on[i] = on
            self._count_hosts()
            if not on:
                self._schedules.node_died(host.name, now_s)
                self._detected[i] = False
        if not on:
            state = "off" if host.up else "down"
        elif load > _CPU_SLACK:
            state = self._violation(i, host)
        else:
            state = "underloaded" if load < UNDERLOADED_SHARE else "normal"
        if state != self._nodes.values[i]:
            self._turn(self._nodes, i, state)

    def _violation(self, i: int, host: Host) -> str:
        if self._detected[i]:
            return "violation-det"
        if self._nodes.values[i] in VIOLATIONS:
            return self._nodes.values[i]
        for vm in self._schedules.moving(host.name):
            domain = host.domains.get(vm)
            if domain is not None and not domain.incoming and not domain.busy:
                return "violation-out"
        return "violation"

    def _hear(self, event: Event) -> None:
        if event.time_s > self._next_s:
            self._sample_until(event.time_s)
        if self._paje is not None and event.kind.startswith("migration."):
            self._paje.migration(event)
        self._schedules.hear(event)
        if event.kind.startswith(("partition.", "migration.")):
            # They have rows of their own, when they end.
            return
        i = self._index.get(event.node)
        if i is not None and event.kind in ("violation.start", "violation.end"):
            self._detected[i] = event.kind == "violation.start"
            if self._nodes.values[i] in VIOLATIONS and self._detected[i]:
                self._turn(self._nodes, i, "violation-det")
        lasted_s = event.data.get("duration_s", 0.0)
        duration_s = float(lasted_s) if isinstance(lasted_s, float | int) else 0.0
        self._write(
            Row(
                "event",
                event.node,
                event.kind,
                round(event.time_s - duration_s, 6),
                event.subject,
                {"text": event.text},
                round(duration_s, 6),
            )
        )

    def _deliver(self, now_s: float, to: str, sender: str, message: Message) -> None:
        where = self._talk.count(to, sender)
        if where is not None:
            if self._paje is not None and where:
                self._paje.message(now_s, to, sender, message)
        elif type(message) is Solve and actor_of(to) == SOLVER:
            self._schedules.solves(node_of(to), 1)
        elif type(message) is Solved and actor_of(sender) == SOLVER:
            self._schedules.solves(node_of(sender), -1)

    # --- what is written ----------------------------------------------------------------------------

    def _write(self, row: Row) -> None:
        for sink in self._sinks:
            sink.write(row)

    def _introduce(self, host: Host) -> None:
        data: dict[str, Detail] = {"cpu_pct": host.capacity.cpu_pct, "memory_mib": host.capacity.memory_mib}
        self._write(Row("host", host.name, "SITE", self._simulation.now_s, host.site, data, 0.0))

    def _serve(self, node: str) -> None:
        i = self._index[node]
        state = self._schedules.state(node)
        if state != self._services.values[i]:
            self._turn(self._services, i, state)

    def _turn(self, states: _States, i: int, value: str) -> None:
        """The state of host `i` becomes `value`; the one before is written, unless it lasted no time."""
        now_s, since_s = self._simulation.now_s, states.since_s[i]
        if now_s > since_s:
            name, was = self._names[i], states.values[i]
            self._write(
                Row("state", name, states.name, round(since_s, 6), was, {}, round(now_s - since_s, 6))
            )
        states.values[i] = value
        states.since_s[i] = now_s
        if self._paje is not None and value:
            self._paje.state(now_s, self._names[i], states.name, value)

    def _count_hosts(self) -> None:
        on = sum(self._on)
        self._count("NB_ON", on)
        self._count("NB_OFF", len(self._names) - on)

    def _count(self, name: str, number: float) -> None:
        self._variable(self._simulation.now_s, name, number, {})

    def _variable(self, now_s: float, name: str, value: float, data: dict[str, Detail]) -> None:
        self._write(Row("variable", EVERYONE, name, round(now_s, 6), round(value, 6), data, 0.0))
        if self._paje is not None:
            # A sample may be of an instant just passed, and the lines of a Paje trace stand in order.
            self._paje.variable(self._simulation.now_s, name, value)

    # --- samples: made when something has changed, from what was seen before it ---------------------

    def _sample_until(self, now_s: float) -> None:
        """Make the samples due by `now_s`; nothing has changed since the last change that was seen."""
        while self._next_s <= now_s:
            self._sample(self._next_s)
            if self._samples % ENERGY_SAMPLES == 0:
                self._energy(now_s)
            self._samples += 1
            self._next_s += self._sample_s

    def _sample(self, at_s: float) -> None:
        on = np.array(self._on)
        loads, capacity_pct = np.array(self._loads)[on] * 100.0, self._capacity_pct[on]
        if len(loads):
            wanted_pct, whole_pct = float(loads @ capacity_pct) / 100.0, float(capacity_pct.sum())
            p5, p95 = np.percentile(loads, (5, 95))
            data: dict[str, Detail] = {
                "p5": round(float(p5), 3),
                "p95": round(float(p95), 3),
                "max": round(float(loads.max()), 3),
                "wanted_pct": round(wanted_pct, 3),
                "capacity_pct": round(whole_pct, 3),
            }
            self._variable(at_s, "LOAD", 100.0 * wanted_pct / whole_pct, data)
        vms = sum(len(host.domains) for host in self._hosts) - len(self._luc.fleet.migrations())
        if self._counts.get("NB_VM") != vms:
            self._counts["NB_VM"] = vms
            self._variable(at_s, "NB_VM", vms, {})

    def _energy(self, now_s: float) -> None:
        energy_j = sum(map(self._luc.fleet.energy_j, self._names))
        if energy_j > 0.0:
            self._variable(now_s, "ENERGY", energy_j, {})


class _Talk:
    """Counts messages between nodes: by pairs of hosts or of sites, and by distance on the ring."""

    def __init__(self, luc: SimulatedLuc) -> None:
        names = list(luc.names)
        apart = len(names) <= HOSTS_APART_MAX
        self._groups = names if apart else list(dict.fromkeys(luc.fleet.host(n).site for n in names))
        of_group = {group: i for i, group in enumerate(self._groups)}
        ring = Ring(names).names
        self._nodes = {
            name: (place, of_group[name if apart else luc.fleet.host(name).site])
            for place, name in enumerate(ring)
        }
        self._size = len(names)
        self._planes = ("OVERLAY", "SCHEDULING")
        self._pairs = [[[0] * len(self._groups) for _ in self._groups] for _ in self._planes]
        self._distances = [[0] * len(names) for _ in self._planes]
        self._places: dict[str, tuple[int, int, int]] = {}

    def _place(self, address: str) -> tuple[int, int, int]:
        node, group = self._nodes.get(node_of(address), (-1, 0))
        place = self._places[address] = (node, group, int(actor_of(address) != MEMBERSHIP))
        return place

    def count(self, to: str, sender: str) -> int | None:
        """1 for a message of scheduling between nodes, 0 for one of the overlay, None within a node."""
        a = self._places.get(sender) or self._place(sender)
        b = self._places.get(to) or self._place(to)
        if a[0] == b[0] or a[0] < 0 or b[0] < 0:
            return None
        plane = a[2] & b[2]
        self._pairs[plane][a[1]][b[1]] += 1
        self._distances[plane][b[0] - a[0]] += 1
        return plane

    def rows(self, now_s: float) -> list[Row]:
        rows = []
        for plane, name in enumerate(self._planes):
            for a, source in enumerate(self._groups):
                for b, target in enumerate(self._groups):
                    count = self._pairs[plane][a][b]
                    if count:
                        rows.append(Row("messages", source, name, now_s, count, {"to": target}, 0.0))
            for hops, count in _by_power(self._distances[plane]):
                rows.append(Row("distance", EVERYONE, name, now_s, count, {"hops": hops}, 0.0))
        return rows


def _by_power(distances: list[int]) -> list[tuple[int, int]]:
    """(at most so many places apart, messages), in powers of two. `distances[k]` went k places onwards."""
    sums: dict[int, int] = {}
    for ahead, count in enumerate(distances):
        if count:
            hops = min(ahead, len(distances) - ahead)
            upper = 1 << (hops - 1).bit_length()
            sums[upper] = sums.get(upper, 0) + count
    return sorted(sums.items())
