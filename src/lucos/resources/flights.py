"""The actions in flight on a node, and whose they are."""

from __future__ import annotations

import msgspec

from lucos.resources.inventory import Inventory


class Flight(msgspec.Struct, frozen=True):
    """An action under way on a VM of this node, ordered by `partition` ("" by nobody's)."""

    what: str
    partition: str
    destination: str = ""


class Flights(dict[str, Flight]):
    """By VM: at most one each."""

    def counts(self, inventory: Inventory) -> dict[str, int]:
        """How many actions and arrivals there are for each partition, those of nobody's under ""."""
        counts: dict[str, int] = {}
        reservations = inventory.reservations
        for flight in self.values():
            counts[flight.partition] = counts.get(flight.partition, 0) + 1
        for reservation in reservations.values():
            counts[reservation.partition] = counts.get(reservation.partition, 0) + 1
        # Moves begun before this agent was restarted are known only by the hypervisor.
        unknown = sum(
            (s.incoming and s.spec.id not in reservations) or (s.migrating and s.spec.id not in self)
            for s in inventory.present()
        )
        if unknown:
            counts[""] = counts.get("", 0) + unknown
        return counts
