"""A problem as arrays: what the solver and the planner work on. Indexes for names, integers for amounts.

Shapes: V VMs, N nodes, R resources. Amounts are scaled to integers per resource; times are ticks.
"""

from __future__ import annotations

from typing import Any

import msgspec

from lucos.placement.lazy import np
from lucos.placement.primitives import Amounts, AnyPrimitive, Ints, Mask
from lucos.placement.problem import Problem

READY, RUNNING, SLEEPING, KILLED = 0, 1, 2, 3
"""States of VMs in arrays. A paused VM counts as running and may not migrate."""

NOWHERE = -1


class Arrays(msgspec.Struct, eq=False):
    """Everything a problem says. Filled by `lowering.arrays_of`; kinds change it in `prepare` only."""

    problem: Problem
    resources: tuple[str, ...]
    scale: tuple[int, ...]  # amounts here are amounts of the problem times this
    nodes: tuple[str, ...]
    vms: tuple[str, ...]
    node_index: dict[str, int]
    vm_index: dict[str, int]

    capacity: Amounts  # [N, R] what a node offers, overbooking included
    use: Amounts  # [V, R] allocated now
    need: Amounts  # [V, R] allocated in the result, when running
    host: Ints  # [V] node now: where it runs, or where its image sleeps; NOWHERE
    state: Ints  # [V] now
    target: Ints  # [V] in the result
    pinned: Mask  # [V] must keep its node (paused, or under way)

    online: Mask  # [N] now
    node_target: Ints  # [N] in the result: 1 online, 0 offline, -1 free
    closed: Mask  # [N] nobody runs there in the result (offline, drained)

    # Ticks of the one action a VM takes. `resume_*` depend on where it goes.
    migrate_ticks: Amounts  # [V]
    allocate_ticks: Amounts  # [V]
    change_ticks: Amounts  # [V] boot, suspend, shutdown or kill: what its target asks for
    resume_local_ticks: Amounts  # [V]
    resume_remote_ticks: Amounts  # [V]
    node_ticks: Amounts  # [N] of booting it when it is offline, of shutting it down when it is online
    horizon: int

    primitives: list[AnyPrimitive] = []
    # Which rule (index) asked for something, for conflicts and reasons; absent: the problem as it is.
    target_rules: dict[int, list[int]] = {}  # VM ->
    need_rules: dict[tuple[int, int], list[int]] = {}  # (VM, resource) ->
    node_rules: dict[int, list[int]] = {}  # node: online, offline, drained ->
    capacity_rules: dict[tuple[int, int], list[int]] = {}  # (node, resource): overbooked ->
    clashes: list[tuple[int, ...]] = []  # rules that contradict each other outright
    # In-flight actions hold their source until then: (node, VM, ticks).
    leaving: list[tuple[int, int, int]] = []
    # What several rules share (masks of the same nodes, what runs where now): see `constraints.lowered`.
    cache: dict[Any, Any] = {}

    @property
    def runs(self) -> Mask:
        """[V] running in the result."""
        return np.asarray(self.target == RUNNING)

    @property
    def runs_now(self) -> Mask:
        """[V] running when the plan begins."""
        return np.asarray(self.state == RUNNING)

    def nodes_of(self, names: tuple[str, ...]) -> Mask:
        """The mask of these nodes."""
        mask = np.zeros(len(self.nodes), dtype=np.bool_)
        mask[[self.node_index[name] for name in names]] = True
        return mask

    def vms_of(self, names: tuple[str, ...]) -> Ints:
        """The indexes of these VMs."""
        return np.asarray([self.vm_index[name] for name in names], dtype=np.int32)

    def resource_of(self, name: str) -> int:
        return self.resources.index(name)

    def scaled(self, amount: float, resource: int) -> int:
        """An amount of the problem as an integer of these arrays (rounded to the nearest)."""
        return round(amount * self.scale[resource])


class Target(msgspec.Struct, eq=False):
    """What a solver decided: where each VM runs in the result, and which nodes are online.

    `place[V]` is NOWHERE for VMs that do not run (a VM that goes to sleep keeps its host). `why` are reasons
    by VM index, for people.
    """

    place: Ints
    online: Mask
    why: dict[int, str] = {}
