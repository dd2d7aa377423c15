"""The account of a demo: what happened as sentences while it happens, and as JSON at the end."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import msgspec

from lucos.model import Constraint, Detail, Event
from lucos.placement.cluster import Cluster, Node, Vm
from lucos.placement.judging import broken
from lucos.placement.live import judged
from lucos.placement.moment import Moment

Say = Callable[[str], None]


class ViolationEntry(msgspec.Struct):
    node: str
    start_s: float
    reason: str
    end_s: float | None = None
    partition: list[str] = []
    first_migration_after_s: float | None = None


class MigrationEntry(msgspec.Struct):
    vm: str
    source: str = msgspec.field(name="from")
    destination: str = msgspec.field(name="to")
    reason: str = ""
    duration_s: float = 0.0
    downtime_ms: float = 0.0


class DetectionEntry(msgspec.Struct):
    """`by` declared `node` dead `seconds` after it was killed."""

    node: str
    by: str
    seconds: float


class Report(msgspec.Struct):
    """`demo-report.json`. Times in seconds since the demo began, but `phases` and `seconds`: durations."""

    hosts: int
    vms: int
    hypervisor: dict[str, Detail]
    violations: list[ViolationEntry] = []
    migrations: list[MigrationEntry] = []
    detections: list[DetectionEntry] = []
    constraints_broken: list[str] = []
    vms_lost: list[str] = []
    phases: dict[str, float] = {}


class Account:
    """Turns events into sentences (`say`) and into the report. `zero_s` is the events' clock at the start."""

    def __init__(self, report: Report, say: Say, zero_s: float) -> None:
        self.report = report
        self.zero_s = zero_s
        self._say = say
        self._killed: tuple[str, float] | None = None
        self._heard: set[tuple[float, str, str, str]] = set()

    def killed(self, node: str, at_s: float) -> None:
        """`node` is killed at `at_s` of the events' clock: what is said of it from now on are detections."""
        self._killed = (node, at_s)

    def hear(self, event: Event) -> None:
        key = (event.time_s, event.node, event.kind, event.subject)
        if key in self._heard:
            return
        self._heard.add(key)
        sentence = self._sentence(event)
        if sentence:
            self._say(f"[{event.time_s - self.zero_s:6.1f} s] {sentence}")

    def open_violations(self) -> list[ViolationEntry]:
        return [v for v in self.report.violations if v.end_s is None]

    def _sentence(self, event: Event) -> str:
        at_s = event.time_s - self.zero_s
        members = event.data.get("members") or []
        assert isinstance(members, list)
        match event.kind:
            case "violation.start":
                entry = ViolationEntry(event.subject, round(at_s, 3), event.text, partition=[event.subject])
                self.report.violations.append(entry)
                return f"{event.subject} is in violation: {event.text}"
            case "violation.end":
                for entry in self.open_violations():
                    if entry.node == event.subject:
                        entry.end_s = round(at_s, 3)
                return f"{event.subject} is fine again: {event.text}"
            case "partition.started":
                return f"{event.node} starts partition {event.subject} to get help"
            case "partition.grown" | "partition.merged":
                self._partition(event.subject, members)
                return f"  {event.text}: {event.subject} is now {', '.join(members)}"
            case "partition.solved":
                self._partition(event.subject, members)
                return f"  {event.node} found a solution: {event.text}"
            case "partition.failed" | "partition.replanned" | "partition.blocked":
                return f"  {event.subject}: {event.text}"
            case "partition.dissolved":
                return f"  {event.subject} dissolves: {event.text}"
            case "migration.start":
                self._first_migration(event, at_s)
                return f"  {event.subject} moves {event.text}"
            case "migration.end":
                self.report.migrations.append(_migration(event))
                return f"  {event.subject} arrived {event.text}"
            case "migration.failed":
                return f"  {event.subject} did not move: {event.text}"
            case "node.draining" | "node.undrained":
                return f"{event.subject}: {event.text}"
            case "member.dead" if self._killed and event.subject == self._killed[0]:
                seconds = round(event.time_s - self._killed[1], 2)
                self.report.detections.append(DetectionEntry(event.subject, event.node, seconds))
                return f"{event.node} knows that {event.subject} is dead, {seconds:.1f} s after it was killed"
        return ""

    def _partition(self, isp: str, members: list[str]) -> None:
        for entry in self.open_violations():
            if isp.partition("#")[0] == entry.node:
                entry.partition = members

    def _first_migration(self, event: Event, at_s: float) -> None:
        initiator = str(event.data.get("partition", "")).partition("#")[0]
        for entry in self.open_violations():
            if entry.node == initiator and entry.first_migration_after_s is None:
                entry.first_migration_after_s = round(at_s - entry.start_s, 3)

    def check_rules(self, rules: tuple[Constraint, ...], where: dict[str, str]) -> None:
        """Add to the report the rules that do not hold with VMs at `where`."""
        nodes = [Node(name, {}) for name in dict.fromkeys(where.values())]
        cluster = Cluster.of(nodes, [Vm(vm, {}, node) for vm, node in where.items()])
        moment = Moment({vm: frozenset((node,)) for vm, node in where.items()}, cluster)
        for rule in judged(rules):
            why = broken(rule, moment)
            if why and why not in self.report.constraints_broken:
                self.report.constraints_broken.append(why)

    @contextmanager
    def phase(self, name: str, text: str, clock: Callable[[], float] = time.monotonic) -> Iterator[None]:
        self._say(f"\n== {text}")
        began_s = clock()
        try:
            yield
        finally:
            self.report.phases[name] = round(clock() - began_s, 2)

    def close(self) -> None:
        """The last lines a newcomer reads."""
        report = self.report
        total_s = sum(report.phases.values())
        ended = [v for v in report.violations if v.end_s is not None]
        quickest = [v.first_migration_after_s for v in ended if v.first_migration_after_s is not None]
        self._say("\n== What happened")
        self._say(
            f"{report.vms} VMs ran on {report.hosts} hosts ({report.hypervisor.get('accel', 'simulated')}); "
            f"{len(ended)} of {len(report.violations)} violations were resolved by {len(report.migrations)} "
            "live migrations that the hosts agreed on among themselves."
        )
        if quickest:
            self._say(f"The first migration began {max(quickest):.2f} s after its overload at the latest.")
        if report.migrations:
            frozen_ms = max(m.downtime_ms for m in report.migrations)
            self._say(f"No guest was frozen for more than {frozen_ms:.0f} ms.")
        if report.detections:
            slowest = max(d.seconds for d in report.detections)
            self._say(
                f"The killed host was detected by {len(report.detections)} survivors within {slowest:.1f} s."
            )
        self._say(f"Rules broken: {', '.join(report.constraints_broken) or 'none'}.")
        self._say(f"VMs lost: {', '.join(report.vms_lost) or 'none'}. The whole run took {total_s:.0f} s.")


def _migration(event: Event) -> MigrationEntry:
    data = event.data
    return MigrationEntry(
        event.subject,
        str(data["source"]),
        str(data["destination"]),
        str(data["reason"]),
        round(float(str(data["duration_s"])), 3),
        round(float(str(data["downtime_ms"])), 1),
    )
