"""The ring: all names in the order of their hashes, the same on every node."""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from hashlib import blake2b


@lru_cache(maxsize=65536)
def ring_position(name: str) -> int:
    """Where `name` sits on the ring of 2**64 positions."""
    return int.from_bytes(blake2b(name.encode(), digest_size=8).digest())


def successor_order(names: Iterable[str], start: str) -> list[str]:
    """The names other than `start`, without repeats, in the order met when going round the ring from it."""
    origin = (ring_position(start), start)
    ordered = sorted((ring_position(name), name) for name in set(names) - {start})
    return [name for _, name in ordered if (_, name) > origin] + [
        name for _, name in ordered if (_, name) < origin
    ]
