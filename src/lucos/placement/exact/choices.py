"""Which VMs a model places and where each may go; which primitives speak about a VM."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt

from lucos.placement.arrays import NOWHERE, SLEEPING, Arrays, Target
from lucos.placement.objectives import load_of
from lucos.placement.primitives import (
    Allow,
    Amounts,
    AnyPrimitive,
    Apart,
    Distinct,
    Ints,
    Near,
    Online,
    Reserve,
    Together,
    Total,
    ints,
)

Indexes = npt.NDArray[np.integer[Any]]


def sides_of(primitive: AnyPrimitive) -> tuple[Ints, ...]:
    """The sets of VMs it speaks about; none for those about nodes and times."""
    if isinstance(primitive, Apart):
        return primitive.sides
    if isinstance(primitive, Distinct):
        return primitive.sets
    return (primitive.vms,) if isinstance(primitive, Allow | Together | Near) else ()


class Scope:
    """The primitives about each VM, as one sorted table: made once for arrays, used by many calls."""

    def __init__(self, arrays: Arrays) -> None:
        parts = [(i, side) for i, p in enumerate(arrays.primitives) for side in sides_of(p)]
        vm = np.concatenate([side for _, side in parts] or [ints([])])
        order = np.argsort(vm, kind="stable")
        sizes = [len(side) for _, side in parts]
        self._slot = np.repeat(np.arange(len(parts), dtype=np.int32), sizes)[order]
        self._primitive = ints([i for i, _ in parts])
        self._first = np.searchsorted(vm[order], np.arange(len(arrays.vms) + 1))
        self.soft = [i for i, p in enumerate(arrays.primitives) if p.weight]
        self._about_nodes = [
            i for i, p in enumerate(arrays.primitives) if isinstance(p, Total | Online | Reserve)
        ]

    def slots(self, vm: int) -> Ints:
        """The sides this VM is on; two VMs with the same slots are bound alike."""
        return self._slot[self._first[vm] : self._first[vm + 1]]

    def touching(self, vms: Ints) -> list[int]:
        """The hard primitives that bind where these VMs may be, in order."""
        mine = np.concatenate([self.slots(vm) for vm in vms] or [ints([])])
        found = {*self._primitive[np.unique(mine)].tolist(), *self._about_nodes}
        return sorted(found.difference(self.soft))


def grouped(values: Indexes, key: Indexes) -> Iterator[tuple[int, Indexes]]:
    """Each key with the values that have it, keys ascending."""
    order = np.argsort(key, kind="stable")
    keys, first = np.unique(key[order], return_index=True)
    # Without keys the split has one part, an empty one.
    return zip(keys.tolist(), np.split(values[order], first[1:]), strict=False)


class Choices(msgspec.Struct, eq=False):
    """F VMs are placed by the model, each at one of its nodes: P pairs in all, sorted by VM."""

    vms: Ints  # [F]
    row: Ints  # [P] which of `vms`
    node: Ints  # [P]
    first: Ints  # [F + 1] where the pairs of each begin
    row_of: Ints  # [V] -1: not placed by the model
    fixed: Ints  # [V] where the others run in the result; NOWHERE for those the model places
    load: Amounts  # [N, R] what the others take

    def pairs_of(self, vms: Ints) -> Ints:
        """The pairs of those of `vms` that the model places."""
        rows = self.row_of[vms]
        parts = [np.arange(self.first[r], self.first[r + 1], dtype=np.int32) for r in rows[rows >= 0]]
        return np.concatenate(parts) if parts else ints([])

    def fixed_nodes(self, vms: Ints) -> Ints:
        """Where those of `vms` run that the model does not place."""
        nodes = self.fixed[vms]
        return np.unique(nodes[nodes != NOWHERE])

    def by_node(self, pairs: Indexes) -> Iterator[tuple[int, Indexes]]:
        """Each node with its share of the pairs, nodes ascending."""
        return grouped(pairs, self.node[pairs])


def choices_of(
    arrays: Arrays, start: Target | None, free: Ints | None, candidates: Sequence[Ints] | None, scope: Scope
) -> Choices:
    """Where `free` VMs may go, by capacity and hard Allow rules; the others are where `start` has them."""
    runs = arrays.runs
    here = np.where(arrays.runs_now & runs, arrays.host, NOWHERE)
    fixed = (here if start is None else start.place).astype(np.int32)
    chosen = np.arange(len(runs)) if free is None else free
    placed = runs[chosen]
    vms = ints(chosen[placed])
    fixed[vms] = NOWHERE
    row_of = np.full(len(runs), -1, dtype=np.int32)
    row_of[vms] = np.arange(len(vms))
    if candidates is None:
        row = np.repeat(np.arange(len(vms), dtype=np.int32), len(arrays.nodes))
        node = np.tile(np.arange(len(arrays.nodes), dtype=np.int32), len(vms))
    else:
        lists = [nodes for nodes, used in zip(candidates, placed, strict=True) if used]
        row = np.repeat(np.arange(len(vms), dtype=np.int32), [len(nodes) for nodes in lists])
        node = ints(np.concatenate(lists)) if lists else ints([])
    load = load_of(arrays, fixed)
    keep = ~arrays.closed[node] & np.all(arrays.need[vms[row]] <= (arrays.capacity - load)[node], axis=1)
    for number in scope.touching(vms):
        primitive = arrays.primitives[number]
        if isinstance(primitive, Allow):
            bound = np.zeros(len(vms) + 1, dtype=np.bool_)
            bound[row_of[primitive.vms]] = True  # the last entry takes those not placed here
            keep &= ~bound[row] | primitive.nodes[node]
    row, node = row[keep], node[keep]
    first = ints(np.searchsorted(row, np.arange(len(vms) + 1)))
    return Choices(vms, row, node, first, row_of, fixed, load)


def images(arrays: Arrays) -> Ints:
    """The nodes that keep the image of a VM that sleeps in the result."""
    return np.unique(arrays.host[(arrays.target == SLEEPING) & (arrays.host != NOWHERE)])
