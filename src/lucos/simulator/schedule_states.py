"""What schedulers are doing, node by node, gathered from the events that they emit."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from lucos.model import Detail, Event
from lucos.simulator.rows import Row


@dataclass(slots=True)
class _Partition:
    since_s: float
    leader: str
    members: set[str] = field(default_factory=set)
    size: int = 0
    merges: int = 0
    applying: bool = False


@dataclass(slots=True)
class _Flight:
    since_s: float
    source: str
    destination: str
    data: dict[str, Detail]


class ScheduleStates:
    """The service state of each node, and a row for each partition and each migration when it ends.

    `changed(node)` is called when the state of a node may have changed, `counted(variable, number)` when
    there are more or fewer migrations (NB_MIG) or partitions (NB_MC), `ended(row)` with each row.
    """

    def __init__(
        self,
        changed: Callable[[str], None],
        counted: Callable[[str, int], None],
        ended: Callable[[Row], None],
    ) -> None:
        self._changed = changed
        self._counted = counted
        self._ended = ended
        self._now_s = 0.0
        self._partitions: dict[str, _Partition] = {}
        self._member_of: dict[str, str] = {}
        self._flights: dict[str, _Flight] = {}
        self._moving: dict[str, dict[str, None]] = {}
        self._solving: dict[str, int] = {}
        # Nodes whose centralised or hierarchical scheduler has a plan carried out.
        self._steering: set[str] = set()

    def state(self, node: str) -> str:
        """One of `rows.SERVICE_STATES`; of several that hold, the one that binds the node most."""
        if self._moving.get(node):
            return "migrate"
        if self._solving.get(node):
            return "compute"
        held = self._member_of.get(node)
        if node in self._steering or (held is not None and self._partitions[held].applying):
            return "reconfigure"
        return "free" if held is None else "booked"

    def partitions(self) -> dict[str, list[str]]:
        """The partitions there are, with their members in order."""
        return {name: sorted(partition.members) for name, partition in self._partitions.items()}

    def moving(self, node: str) -> list[str]:
        """The VMs that migrate to or from `node` now."""
        return list(self._moving.get(node, ()))

    def solves(self, node: str, more: int) -> None:
        """The node's solver has one problem more (1) or less (-1)."""
        self._solving[node] = max(self._solving.get(node, 0) + more, 0)
        self._changed(node)

    def hear(self, event: Event) -> None:
        """Take note of an event of a scheduler or of a migration."""
        self._now_s = event.time_s
        family, _, what = event.kind.partition(".")
        if family == "partition":
            self._partition(what, event)
        elif family == "migration":
            self._migration(what, event)
        elif event.kind in ("round.planned", "round.ended"):
            self._steer(event.node, what == "planned")

    def _steer(self, node: str, begins: bool) -> None:
        (self._steering.add if begins else self._steering.discard)(node)
        self._changed(node)

    def node_died(self, node: str, now_s: float) -> None:
        """What it led, held or sent is gone; what was on its way to it is told by its source."""
        self._now_s = now_s
        self._solving.pop(node, None)
        self._steering.discard(node)
        self._leave(node, "its node died")
        for vm in self.moving(node):
            if self._flights[vm].source == node:
                self._land(vm, "its node died", {})
        self._changed(node)

    def close(self, now_s: float) -> None:
        """End what goes on, as unfinished."""
        self._now_s = now_s
        for vm in list(self._flights):
            self._land(vm, "unfinished", {})
        for name in list(self._partitions):
            self._end(name, "unfinished")

    # --- partitions ---------------------------------------------------------------------------------

    def _partition(self, what: str, event: Event) -> None:
        name = event.subject
        if what == "expired":
            if self._member_of.get(event.node) == name:
                self._leave(event.node, "expired")
        elif what in ("dissolved", "failed", "handed-over"):
            if name in self._partitions:
                self._end(name, what, event.text)
        else:
            members = event.data.get("members")
            if isinstance(members, list):
                self._update(what, event, members)

    def _update(self, what: str, event: Event, members: list[str]) -> None:
        partition = self._partitions.get(event.subject)
        if partition is None:
            partition = self._partitions[event.subject] = _Partition(event.time_s, event.node)
            self._counted("NB_MC", len(self._partitions))
        present = set(members)
        left = sorted(partition.members - present)
        partition.members -= set(left)
        partition.leader = event.node
        partition.merges += what == "merged"
        applying = what == "solved"
        turned, partition.applying = applying != partition.applying, applying
        for node in left:
            del self._member_of[node]
            self._changed(node)
        for node in members:
            if node not in partition.members:
                self._leave(node, "taken over")
                partition.members.add(node)
                self._member_of[node] = event.subject
                self._changed(node)
            elif turned:
                self._changed(node)
        partition.size = max(partition.size, len(partition.members))

    def _leave(self, node: str, outcome: str) -> None:
        name = self._member_of.pop(node, None)
        if name is None:
            return
        partition = self._partitions[name]
        partition.members.discard(node)
        if not partition.members:
            self._end(name, outcome)
        self._changed(node)

    def _end(self, name: str, outcome: str, text: str = "") -> None:
        partition = self._partitions.pop(name)
        for node in sorted(partition.members):
            del self._member_of[node]
            self._changed(node)
        data: dict[str, Detail] = {"size": partition.size, "merges": partition.merges, "outcome": outcome}
        if text:
            data["text"] = text
        self._counted("NB_MC", len(self._partitions))
        self._tell("partition", partition.leader, "PARTITION", name, partition.since_s, data)

    # --- migrations ---------------------------------------------------------------------------------

    def _migration(self, what: str, event: Event) -> None:
        vm = event.subject
        if what == "start":
            if vm in self._flights:
                self._land(vm, "its agent was restarted", {})
            source, destination = str(event.data["source"]), str(event.data["destination"])
            data = {"source": source, "destination": destination, "partition": event.data["partition"]}
            self._flights[vm] = _Flight(event.time_s, source, destination, data)
            for node in (source, destination):
                self._moving.setdefault(node, {})[vm] = None
                self._changed(node)
            self._counted("NB_MIG", len(self._flights))
        elif vm in self._flights:
            extra: dict[str, Detail] = {"text": event.text}
            if "downtime_ms" in event.data:
                extra = {"downtime_ms": event.data["downtime_ms"]} if what == "end" else extra
            self._land(vm, "done" if what == "end" else "failed", extra)

    def _land(self, vm: str, outcome: str, extra: dict[str, Detail]) -> None:
        flight = self._flights.pop(vm)
        for node in (flight.source, flight.destination):
            self._moving[node].pop(vm, None)
            self._changed(node)
        self._counted("NB_MIG", len(self._flights))
        data = {**flight.data, "outcome": outcome, **extra}
        self._tell("migration", flight.source, "MIGRATION", vm, flight.since_s, data)

    def _tell(
        self, event: str, origin: str, name: str, value: str, since_s: float, data: dict[str, Detail]
    ) -> None:
        lasted_s = round(self._now_s - since_s, 6)
        self._ended(Row(event, origin, name, round(since_s, 6), value, data, lasted_s))
