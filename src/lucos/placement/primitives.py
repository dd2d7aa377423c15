"""The few forms that every constraint is lowered to, and that repair, exact solver and planner understand.

A kind of constraint that can say itself in these forms is supported by every part of the engine, by
partitions too. Arrays hold indexes of VMs (int32), masks are bool[nodes]; `rule` is the index of the
problem's constraint. A VM is only bound while it runs; `continuous` binds every instant of the plan, else
its result. A rule broken when the plan begins binds the result only (see `Arrays.binds_always`).
"""

from __future__ import annotations

from collections.abc import Callable
from enum import StrEnum
from typing import TYPE_CHECKING, Any

import msgspec

from lucos.placement.lazy import np

if TYPE_CHECKING:
    import numpy.typing as npt

    Ints = npt.NDArray[np.int32]
    Amounts = npt.NDArray[np.int64]
    Mask = npt.NDArray[np.bool_]
else:
    Ints = Amounts = Mask = Any


class Primitive(msgspec.Struct, frozen=True, kw_only=True, eq=False):
    """`weight` > 0: soft, it may be broken in the result at that cost."""

    rule: int
    continuous: bool = False
    weight: int = 0


class Allow(Primitive, frozen=True, eq=False):
    """Each VM runs on nodes of the mask only (ban, fence, root, quarantine, ...)."""

    vms: Ints
    nodes: Mask


class Apart(Primitive, frozen=True, eq=False):
    """No VM of one side shares a node with a VM of another side (spread: a side per VM; split; lonely)."""

    sides: tuple[Ints, ...]


class Together(Primitive, frozen=True, eq=False):
    """All VMs inside one group (among, gather, latency classes).

    `group_of[node]` is the node's group, -1 for none. With `relocate`, a continuous rule lets all its VMs
    leave their group for one other, all their migrations starting at one instant; else, when VMs of the
    set run, they keep the group they are in.
    """

    vms: Ints
    group_of: Ints
    relocate: bool = False


class Distinct(Primitive, frozen=True, eq=False):
    """Each set of VMs inside one group, no two sets inside the same (splitAmong)."""

    sets: tuple[Ints, ...]
    group_of: Ints


class Total(Primitive, frozen=True, eq=False):
    """What the VMs running on the masked nodes take together is at most `limit`.

    `resource` is an index of `Arrays.resources`, or -1 to count VMs. (The capacity of each single node is
    not a primitive but `Arrays.capacity`.)
    """

    nodes: Mask
    resource: int
    limit: int


class Online(Primitive, frozen=True, eq=False):
    """At most `limit` of the masked nodes are online (a node is, from the start of its boot)."""

    nodes: Mask
    limit: int


class Near(Primitive, frozen=True, eq=False):
    """Any two of the VMs run on nodes that are near each other; `near(node)` is the mask of those near it."""

    vms: Ints
    near: Callable[[int], Mask]


class Reserve(Primitive, frozen=True, eq=False):
    """A masked node that receives a VM (one not there when the plan begins) holds at most `limit[node]`."""

    nodes: Mask
    resource: int
    limit: Amounts


class When(StrEnum):
    """Orders over the actions of VMs (a VM that only stays or is re-allocated has none, but see NO_DELAY)."""

    SEQUENCE = "sequence"  # each starts after the one before it in `vms` ended
    SERIALIZE = "serialize"  # in any order, but no two overlap
    SYNC = "sync"  # all start at one instant (BtrPlace's sync aligns migrations)
    NO_DELAY = "no_delay"  # all start at 0
    DEADLINE = "deadline"  # all end by `at` ticks


class Timing(Primitive, frozen=True, eq=False):
    """When the actions of these VMs run."""

    when: When
    vms: Ints
    at: int = 0


AnyPrimitive = Allow | Apart | Together | Distinct | Total | Online | Near | Reserve | Timing


def ints(values: Any) -> Ints:
    """Indexes as an array."""
    return np.asarray(values, dtype=np.int32)
