"""A tentative result that repair changes one VM at a time, with what each node would hold kept up to date."""

from __future__ import annotations

from typing import TypeGuard

import numpy as np

from lucos.placement.arrays import NOWHERE, RUNNING, SLEEPING, Arrays, Target
from lucos.placement.holding import holds
from lucos.placement.lowering import rules_by_vm
from lucos.placement.primitives import (
    Allow,
    Amounts,
    AnyPrimitive,
    Apart,
    Distinct,
    Ints,
    Mask,
    Near,
    Online,
    Reserve,
    Together,
    Total,
    ints,
)


class State:
    """`place` of every VM, the `load` of every node, and the rules that say where a VM may go.

    `peak` is what a node would hold if all that was there when the plan begins stayed until its end: an
    arrival that fits under it need not wait for anybody.
    """

    def __init__(self, arrays: Arrays) -> None:
        self.arrays = arrays
        runs = arrays.target == RUNNING
        here = runs & arrays.runs_now
        self.place = np.where(here, arrays.host, NOWHERE).astype(np.int32)
        self.online = np.where(arrays.node_target >= 0, arrays.node_target == 1, arrays.online)
        self.load = np.zeros_like(arrays.capacity)
        np.add.at(self.load, self.place[here], arrays.need[here])
        self.load_at_start = self.load.copy()
        self.peak = self.load.copy()
        gone = arrays.runs_now & ~runs
        np.add.at(self.peak, arrays.host[gone], arrays.use[gone])
        for node, vm, _ in arrays.leaving:
            self.peak[node] += arrays.use[vm]
        self.hard = [rule for rule in arrays.primitives if not rule.weight]
        # What nodes may hold in the result; limits on one node's resource are capacities by another name.
        self.capacity = arrays.capacity.copy()
        for rule in self.hard:
            if _limits_one_node(rule):
                node = int(rule.nodes.argmax())
                self.capacity[node, rule.resource] = min(self.capacity[node, rule.resource], rule.limit)
        self.totals = [r for r in self.hard if isinstance(r, Total) and not _limits_one_node(r)]
        self.room = self.capacity.copy()
        self.onlines = [rule for rule in self.hard if isinstance(rule, Online)]
        for rule in self.hard:
            if isinstance(rule, Reserve):
                column = self.room[:, rule.resource]
                column[rule.nodes] = np.minimum(column, rule.limit)[rule.nodes]
        self.rules_of = rules_by_vm(self.hard, len(arrays.vms))
        self.aparts = [rule for rule in self.hard if isinstance(rule, Apart)]
        self._flat = {id(rule): _flatten(rule) for rule in self.aparts}
        self._sets: dict[int, tuple[frozenset[int], ...]] = {}
        self._sides = _joined(list(self._flat.values()))
        self.guests: list[list[int]] = [[] for _ in arrays.nodes]
        for guest in np.flatnonzero(here):
            self.guests[arrays.host[guest]].append(int(guest))

    def put(self, vm: int, node: int) -> None:
        """Place `vm` on `node` (NOWHERE: nowhere)."""
        need, home = self.arrays.need[vm], self._home(vm)
        old = int(self.place[vm])
        if old >= 0:
            self.load[old] -= need
            self.guests[old].remove(vm)
            if old != home:
                self.peak[old] -= need
        self.place[vm] = node
        if node >= 0:
            self.load[node] += need
            self.guests[node].append(vm)
            if node != home:
                self.peak[node] += need
        if home >= 0 and (old == home) != (node == home):
            grown = need - self.arrays.use[vm]
            self.peak[home] += grown if node == home else -grown

    def _home(self, vm: int) -> int:
        return int(self.arrays.host[vm]) if self.arrays.state[vm] == RUNNING else NOWHERE

    def allowed(self, vm: int) -> Mask:
        """[N] nodes that the rules let `vm` run on while all others are where they are; capacity aside."""
        arrays, place = self.arrays, self.place
        mask = self.online & ~arrays.closed
        for rule in self.rules_of[vm]:
            match rule:
                case Allow():
                    mask &= rule.nodes
                case Apart():
                    nodes = place[self.others(rule, vm)]
                    mask[nodes[nodes >= 0]] = False
                case Together():
                    self._same_group(vm, rule.vms, rule.group_of, mask)
                case Distinct():
                    self._distinct_groups(vm, rule, mask)
                case Near():
                    for other in rule.vms:
                        if other != vm and place[other] >= 0:
                            mask &= rule.near(int(place[other]))
        for total in self.totals:
            taken = 1 if total.resource < 0 else int(arrays.need[vm, total.resource])
            if self._counted(total, vm) + taken > total.limit:
                mask &= ~total.nodes
        return mask

    def others(self, rule: Apart, vm: int) -> Ints:
        """The VMs of the other sides."""
        vms, sides = self._flat[id(rule)]
        return np.asarray(vms[sides != sides[vms == vm][0]])

    def _counted(self, total: Total, vm: int) -> int:
        """What counts against the limit, `vm` aside."""
        place = self.place.copy()
        place[vm] = NOWHERE
        there = place >= 0
        there[there] = total.nodes[place[there]]
        return int(there.sum() if total.resource < 0 else self.arrays.need[there, total.resource].sum())

    def _same_group(self, vm: int, vms: np.ndarray, group_of: np.ndarray, mask: Mask) -> None:
        mask &= group_of >= 0
        others = [int(group_of[self.place[o]]) for o in vms if o != vm and self.place[o] >= 0]
        if others:
            mask &= group_of == max(set(others), key=others.count)

    def _distinct_groups(self, vm: int, rule: Distinct, mask: Mask) -> None:
        for vms in rule.sets:
            if vm in vms:
                self._same_group(vm, vms, rule.group_of, mask)
            else:
                nodes = self.place[vms]
                taken = np.unique(rule.group_of[nodes[nodes >= 0]])
                mask &= ~np.isin(rule.group_of, taken)

    def fits(self, vm: int, nodes: Ints) -> Mask:
        """Which of the nodes have room for `vm` in the result (where it is now counts without it)."""
        need = self.arrays.need[vm]
        mask = np.all(self.load[nodes] + need <= self.room[nodes], axis=1)
        home, here = self._home(vm), int(self.place[vm])
        if here >= 0:
            mask[nodes == here] = bool(np.all(self.load[here] <= self.room[here]))
        if home >= 0:
            # Staying is not receiving: only the capacity counts.
            load = self.load[home] + (0 if here == home else need)
            mask[nodes == home] = bool(np.all(load <= self.capacity[home]))
        return np.asarray(mask)

    def fits_at_once(self, vm: int, nodes: Ints) -> Mask:
        """Which of the nodes could take `vm` when the plan begins, without waiting for a departure."""
        after = self.peak[nodes] + self.arrays.need[vm]
        return np.asarray(np.all(after <= self.arrays.capacity[nodes], axis=1))

    def fullness(self, vm: int, nodes: Ints) -> np.ndarray:
        """The fullest resource of each of the nodes, 1 when used up, with `vm` on it."""
        after = self.load[nodes] + self.arrays.need[vm]
        return np.asarray((after / np.maximum(self.arrays.capacity[nodes], 1)).max(axis=1, initial=0.0))

    def emptiest(self, count: int) -> Ints:
        """The `count` nodes whose fullest resource is least full."""
        full = (self.load / np.maximum(self.arrays.capacity, 1)).max(axis=1, initial=0.0)
        return np.argsort(full, kind="stable")[:count].astype(np.int32)

    def sides(self, rule: Apart) -> tuple[frozenset[int], ...]:
        """The sides as sets, to ask for members."""
        if id(rule) not in self._sets:
            self._sets[id(rule)] = tuple(frozenset(int(vm) for vm in side) for side in rule.sides)
        return self._sets[id(rule)]

    def clashes(self, place: Ints) -> list[tuple[Apart, int]]:
        """Each rule and node on which two of its sides meet; all rules at once."""
        if not self.aparts:
            return []
        rules, vms, sides = self._sides
        there = place[vms] >= 0
        pairs = rules[there].astype(np.int64) * len(self.arrays.nodes) + place[vms][there]
        most = int(sides.max(initial=0)) + 1
        met = np.unique(pairs * most + sides[there]) // most
        shared = met[1:][met[1:] == met[:-1]]
        return [
            (self.aparts[pair // len(self.arrays.nodes)], int(pair % len(self.arrays.nodes)))
            for pair in np.unique(shared)
        ]

    def overloaded(self) -> np.ndarray:
        """Nodes that hold more than their capacity in the result."""
        return np.flatnonzero((self.load > self.capacity).any(axis=1))

    def sound(self) -> bool:
        """Every hard rule and capacity holds in the result."""
        arrays, place = self.arrays, self.place
        there = place[place >= 0]
        if len(self.overloaded()) or arrays.closed[there].any() or not self.online[there].all():
            return False
        if ((place < 0) & (arrays.target == RUNNING)).any() or self.clashes(place):
            return False
        if not self.online[arrays.host[(arrays.target == SLEEPING) & (arrays.host >= 0)]].all():
            return False
        others = (rule for rule in self.hard if not isinstance(rule, Apart))
        return all(holds(rule, arrays, place, self.online, self.load) for rule in others)

    def target(self) -> Target:
        return Target(self.place.copy(), self.online.copy())


def _limits_one_node(rule: AnyPrimitive) -> TypeGuard[Total]:
    return isinstance(rule, Total) and rule.resource >= 0 and int(rule.nodes.sum()) == 1


def _flatten(rule: Apart) -> tuple[Ints, Ints]:
    """The VMs of all sides, and the side of each."""
    side = np.repeat(ints(range(len(rule.sides))), [len(side) for side in rule.sides])
    return np.concatenate(rule.sides), side


def _joined(flat: list[tuple[Ints, Ints]]) -> tuple[Ints, Ints, Ints]:
    """All rules at once: which rule, which VM, which of its sides."""
    if not flat:
        return ints([]), ints([]), ints([])
    rules = np.repeat(ints(range(len(flat))), [len(vms) for vms, _ in flat])
    return rules, np.concatenate([vms for vms, _ in flat]), np.concatenate([side for _, side in flat])


def usable_amounts(arrays: Arrays) -> Amounts:
    """[N, R] capacity of the nodes that may be online in the result, 0 for others."""
    usable = (arrays.node_target != 0) & ~arrays.closed
    return np.where(usable[:, None], arrays.capacity, 0)
