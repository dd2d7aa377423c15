"""What the controller packs together when nothing is wrong: consolidation told in snapshots and plans."""

from __future__ import annotations

from lucos.model import Migrate, Plan, PlannedAction, VmState
from lucos.resources.consolidation import ConsolidationSettings, Consolidator, HostRoom, VmLoad
from lucos.resources.messages import Snapshot

_REASONS = {"relief": "{} is forecast to lack room", "emptying": "{} is under-used"}


class Packing:
    """Forecasts from one loop to the next. Nodes that drain, or hold VMs that rules bind, are left alone."""

    def __init__(self, settings: ConsolidationSettings, watts: tuple[float, ...]) -> None:
        self._consolidator = Consolidator(settings)
        self._watts = watts

    def plan(self, now_s: float, snapshots: dict[str, Snapshot]) -> Plan:
        """The moves to make now; none most of the time."""
        free = {name: snapshot for name, snapshot in snapshots.items() if _is_free(snapshot)}
        hosts = []
        for name, snapshot in free.items():
            room = snapshot.node.capacity
            hosts.append(HostRoom(name, room.cpu_pct, room.memory_mib, self._watts))
        vms = [
            VmLoad(i.spec.id, name, i.demand.cpu_pct, 100.0 * i.spec.cpu, i.demand.memory_mib)
            for name, snapshot in free.items()
            for i in snapshot.instances
        ]
        moves = self._consolidator.decide(now_s, hosts, vms)
        return Plan(
            tuple(
                PlannedAction(
                    number,
                    Migrate(move.vm, move.source, move.destination),
                    (),
                    _REASONS[move.reason].format(move.source),
                )
                for number, move in enumerate(moves)
            )
        )


def _is_free(snapshot: Snapshot) -> bool:
    return not snapshot.node.draining and all(
        i.state is VmState.RUNNING and not i.spec.constraints for i in snapshot.instances
    )
