"""The ring: all names in the order of their hashes, the same on every node."""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Iterable
from functools import lru_cache
from hashlib import blake2b

POSITIONS = 2**64


@lru_cache(maxsize=65536)
def ring_position(name: str) -> int:
    """Where `name` sits on the ring of 2**64 positions."""
    return int.from_bytes(blake2b(name.encode(), digest_size=8).digest())


def ring_distance(start: int, end: int) -> int:
    """How far it is from position `start` to `end`, the way round that successors lie."""
    return (end - start) % POSITIONS


def successor_order(names: Iterable[str], start: str) -> list[str]:
    """The names other than `start`, without repeats, in the order met when going round the ring from it."""
    ring = Ring(set(names) - {start})
    return ring.after(ring_position(start), len(ring), start)


class Ring:
    """A set of names kept in ring order. A key belongs to the first name at or after its position."""

    def __init__(self, names: Iterable[str] = ()) -> None:
        self._order = sorted((ring_position(name), name) for name in set(names))
        self.names = [name for _, name in self._order]

    def __len__(self) -> int:
        return len(self.names)

    def __contains__(self, name: str) -> bool:
        index = bisect_left(self._order, (ring_position(name), name))
        return index < len(self.names) and self.names[index] == name

    def add(self, name: str) -> bool:
        """Whether it was not there yet."""
        if name in self:
            return False
        place = (ring_position(name), name)
        insort(self._order, place)
        self.names.insert(bisect_left(self._order, place), name)
        return True

    def discard(self, name: str) -> bool:
        """Whether it was there."""
        if name not in self:
            return False
        index = bisect_left(self._order, (ring_position(name), name))
        del self._order[index], self.names[index]
        return True

    def after(self, position: int, count: int, beyond: str = "") -> list[str]:
        """The first `count` names met going round from `position`, those there included (after `beyond`)."""
        index = bisect_left(self._order, (position % POSITIONS, beyond))
        found = self.names[index : index + count]
        return found + self.names[: min(count - len(found), index)]

    def before(self, position: int, count: int) -> list[str]:
        """The `count` names that precede `position`, the nearest first."""
        index = bisect_left(self._order, (position % POSITIONS, ""))
        found = self.names[max(0, index - count) : index]
        rest = min(count - len(found), len(self.names) - index)
        return [*reversed(found), *reversed(self.names[len(self.names) - rest :] if rest else [])]
