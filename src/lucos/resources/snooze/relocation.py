"""Snooze's own relocation: greedy, and blind to rules, which only hosts then keep. Pure.

Source: Feller, Rilling, Morin, CCGrid 2012.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from lucos.model import Instance, Migrate, Plan, PlannedAction, Resources, VmState
from lucos.resources.messages import Snapshot
from lucos.resources.snooze.messages import Charge, charge_of


class _Loads:
    """What nodes hold while moves are being chosen."""

    def __init__(self, snapshots: Mapping[str, Snapshot], mid_share: float) -> None:
        self._snapshots = snapshots
        self._mid_share = mid_share
        self.of = {name: charge_of(snapshot).load for name, snapshot in snapshots.items()}
        self.moves: list[PlannedAction] = []

    def share(self, node: str) -> float:
        return Charge(self.of[node], self._snapshots[node].node.capacity).share

    def above(self, node: str, share: float) -> Resources:
        """How much of each resource is held beyond `share` of it."""
        load, capacity = self.of[node], self._snapshots[node].node.capacity
        return Resources(
            max(load.cpu_pct - share * capacity.cpu_pct, 0.0),
            max(load.memory_mib - share * capacity.memory_mib, 0.0),
        )

    def move(self, vm: Instance, source: str, destinations: Iterable[str], reason: str) -> bool:
        """To the first of `destinations` that has room below the middle share."""
        for node in destinations:
            capacity = self._snapshots[node].node.capacity
            after = self.of[node] + vm.demand
            room = Resources(self._mid_share * capacity.cpu_pct, self._mid_share * capacity.memory_mib)
            if after.fits(room):
                self.of[node] = after
                self.of[source] = self.of[source] - vm.demand
                action = Migrate(vm.spec.id, source, node)
                self.moves.append(PlannedAction(len(self.moves), action, (), reason))
                return True
        return False


def relieve(snapshots: Mapping[str, Snapshot], mid_share: float, max_share: float) -> Plan:
    """Bring nodes above `max_share` of any resource down to `mid_share`, and empty draining ones.

    Of an overloaded node the smallest VM moves that suffices, otherwise the smallest ones together.
    Destinations are tried from the least loaded on; what finds none stays.
    """
    loads = _Loads(snapshots, mid_share)
    over = [n for n in sorted(snapshots) if snapshots[n].node.draining or loads.share(n) > max_share]
    others = [n for n in sorted(snapshots) if n not in over and snapshots[n].node.online]
    for node in over:
        vms = _movable(snapshots[node])
        if snapshots[node].node.draining:
            chosen, reason = vms, f"{node} is draining"
        else:
            chosen, reason = _sufficient(vms, loads.above(node, mid_share)), f"{node} is overloaded"
        for vm in chosen:
            loads.move(vm, node, sorted(others, key=loads.share), reason)
    return Plan(tuple(loads.moves))


def evacuate(snapshots: Mapping[str, Snapshot], node: str, mid_share: float) -> Plan | None:
    """Move all VMs off `node`, the largest first, each to the fullest node with room; None if one stays."""
    loads = _Loads(snapshots, mid_share)
    others = [n for n, s in sorted(snapshots.items()) if n != node and s.node.online and not s.node.draining]
    for vm in reversed(_movable(snapshots[node])):
        fullest_first = sorted(others, key=loads.share, reverse=True)
        if not loads.move(vm, node, fullest_first, f"{node} is under-used"):
            return None
    return Plan(tuple(loads.moves))


def _movable(snapshot: Snapshot) -> list[Instance]:
    """The VMs that a migration can move, the smallest first."""
    running = [i for i in snapshot.instances if i.state is VmState.RUNNING]
    return sorted(running, key=lambda i: (i.demand.cpu_pct, i.demand.memory_mib, i.spec.id))


def _sufficient(vms: list[Instance], excess: Resources) -> list[Instance]:
    for vm in vms:
        if excess.fits(vm.demand):
            return [vm]
    gathered, chosen = Resources(), []
    for vm in vms:
        if excess.fits(gathered):
            break
        gathered += vm.demand
        chosen.append(vm)
    return chosen
