"""What the checkers of several kinds share: sets of names that are made once for many rules and instants."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from functools import lru_cache
from typing import Any

from lucos.placement.moment import Moment

Names = tuple[str, ...]


class _Same:
    """A key that is equal to itself only: hashing thousands of names again for each rule would be slow."""

    __slots__ = ("value",)

    def __init__(self, value: Any) -> None:
        self.value = value

    def __hash__(self) -> int:
        return id(self.value)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Same) and self.value is other.value


@lru_cache(maxsize=512)
def _set_of(names: Names) -> frozenset[str]:
    return frozenset(names)


@lru_cache(maxsize=512)
def _group_of(groups: tuple[Names, ...]) -> Mapping[str, int]:
    return {name: number for number, names in enumerate(groups) for name in names}


@lru_cache(maxsize=4096)
def _same_set(key: _Same) -> frozenset[str]:
    return _set_of(key.value)


@lru_cache(maxsize=4096)
def _same_groups(key: _Same) -> Mapping[str, int]:
    return _group_of(key.value)


def names_in(names: Names) -> frozenset[str]:
    """The names as a set."""
    return _same_set(_Same(names))


def group_of(groups: tuple[Names, ...]) -> Mapping[str, int]:
    """Name -> number of its group; names in none are absent."""
    return _same_groups(_Same(groups))


def places(vms: Iterable[str], moment: Moment) -> Iterator[tuple[str, str]]:
    """(VM, node) for each node these VMs hold, in the order of the VMs, then of the names."""
    for vm in vms:
        hosts = moment.of(vm)
        for node in sorted(hosts) if len(hosts) > 1 else hosts:
            yield vm, node


def overlaps(many: tuple[Names, ...], what: str) -> Iterator[str]:
    """A mistake for each name that is in two of these sets."""
    if len(group_of(many)) == sum(map(len, many)):
        return
    seen: dict[str, int] = {}
    for number, names in enumerate(many, start=1):
        for name in names:
            if seen.setdefault(name, number) != number:
                yield f"{name} is in {what} {seen[name]} and {number}: {what}s must be disjoint"
