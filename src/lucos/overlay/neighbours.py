"""Who is near: the order of nodes outside a set, and the bounded table that a spiral outwards carries along.

A node knows the nodes near itself; whoever seeks the nearest outside a growing set merges the tables of the
nodes it has met, each of which sees a little further out. Source: DVMS with locality (Euro-Par 2014).
"""

from __future__ import annotations

from collections.abc import Container, Iterable
from heapq import nsmallest

import msgspec

from lucos.overlay.members import Coordinate, Member
from lucos.overlay.vivaldi import distance_s

SPIRAL_MAX = 64


class Spot(msgspec.Struct, frozen=True, array_like=True):
    """A node and where it says it is."""

    node: str
    coordinate: Coordinate


def spots(members: Iterable[Member]) -> list[Spot]:
    """The present members that know where they are."""
    return [Spot(m.node, m.coordinate) for m in members if m.coordinate is not None and m.present]


def nearest_outside(origin: Coordinate, members: Iterable[Member], outside: Container[str]) -> list[str]:
    """Names of the present members not in `outside`, the nearest to `origin` first, the unplaced last."""
    far: tuple[float, str]
    order = []
    for member in members:
        if member.present and member.node not in outside:
            where = member.coordinate
            far = (distance_s(origin, where) if where is not None else float("inf"), member.node)
            order.append(far)
    return [node for _, node in sorted(order)]


class Spiral(msgspec.Struct, frozen=True, array_like=True):
    """The nodes nearest to `origin` that were heard of, nearest first, at most `SPIRAL_MAX`; sent along.

    Merging commutes, associates and repeats without effect: of two places of one node the nearer is kept.
    """

    origin: Coordinate
    spots: tuple[Spot, ...] = ()

    def merged(self, others: Iterable[Spot], outside: Container[str] = ()) -> Spiral:
        """With `others` taken in and the nodes in `outside` left out."""
        best: dict[str, tuple[float, str, Spot]] = {}
        for spot in (*self.spots, *others):
            if spot.node in outside:
                continue
            entry = (distance_s(self.origin, spot.coordinate), spot.node, spot)
            if spot.node not in best or self._key(entry) < self._key(best[spot.node]):
                best[spot.node] = entry
        kept = nsmallest(SPIRAL_MAX, best.values(), key=self._key)
        return Spiral(self.origin, tuple(spot for _, _, spot in kept))

    @staticmethod
    def _key(entry: tuple[float, str, Spot]) -> tuple[float, str, float, float, float, float]:
        where = entry[2].coordinate
        return (entry[0], entry[1], where.x_s, where.y_s, where.height_s, where.error)

    def next_outside(self, outside: Container[str]) -> str | None:
        """The nearest node not in `outside`, None when the table has no more."""
        return next((spot.node for spot in self.spots if spot.node not in outside), None)
