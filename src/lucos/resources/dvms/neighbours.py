"""Which node a partition visits next: the next on the ring, or the nearest to its initiator.

Nodes know only a part of the others. Along the ring that is enough, since each new leader knows its own
successors. By locality the leaders pass on what they know, so that partitions grow in a spiral around their
initiator. Source: Pastor, Bertier, Desprez, Lebre, Quesnel, Tedeschi, Euro-Par 2014.
"""

from __future__ import annotations

from collections.abc import Iterable

from lucos.overlay.members import Coordinate, Member
from lucos.overlay.neighbours import Spiral, spots
from lucos.overlay.ring import successor_order

RING = "ring"
LOCALITY = "locality"
VARIANTS = (RING, LOCALITY)


class Neighbours:
    """What node `node` knows of the others."""

    def __init__(self, node: str, variant: str) -> None:
        self._node = node
        self._local = variant == LOCALITY
        self._here: Coordinate | None = None
        self._others: list[Member] = []
        self._order: list[str] | None = []
        self.alive: set[str] = set()

    def learn(self, members: Iterable[Member]) -> set[str]:
        """Take in this node's view; the nodes in it that are gone."""
        gone: set[str] = set()
        self._others = []
        for member in members:
            if member.node == self._node:
                self._here = member.coordinate
            elif member.present:
                self._others.append(member)
            else:
                gone.add(member.node)
        self.alive = {member.node for member in self._others}
        self._order = None
        return gone

    def spiral(self) -> Spiral | None:
        """The start of a partition by locality; None where it goes along the ring."""
        return Spiral(self._here) if self._local and self._here is not None else None

    def widened(self, spiral: Spiral | None) -> Spiral | None:
        """With what this node knows."""
        return spiral.merged(spots(self._others)) if spiral is not None else None

    def outwards(self, spiral: Spiral | None) -> list[str]:
        """The nodes to visit, in order: where nothing is known of places, along the ring."""
        if self._order is None:
            self._order = successor_order(self.alive, self._node)
        return [*(spot.node for spot in spiral.spots), *self._order] if spiral is not None else self._order
