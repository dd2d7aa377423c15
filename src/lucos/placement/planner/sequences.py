"""The shortest sequence of single actions to a target, bypasses included; or the proof that there is none.

Best-first search over configurations: each action moves one VM (or a group that relocates as one) while all
others stand still. What can be done at all can be done one by one, so that a search that ends without
success proves that nothing leads to the target.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from heapq import heappop, heappush
from itertools import count

import msgspec
import numpy as np

from lucos.placement.arrays import KILLED, NOWHERE, READY, RUNNING, SLEEPING, Arrays, Target
from lucos.placement.constraints.lowered import usage_now
from lucos.placement.planner.actions import vm_ticks
from lucos.placement.planner.network import Wires
from lucos.placement.planner.rules import conflict, sets_of, standing
from lucos.placement.primitives import Allow, Apart, Distinct, Near, Online, Together, Total

Place = tuple[int, int, bool]
"""A VM's state, its node (running on, or image kept on; NOWHERE) and whether it has what it is to get."""
State = tuple[Place, ...]
"""The places of all VMs; then, as (ON or OFF, node, False), the nodes that the target switches."""
Hop = tuple[int, Place, Place]
"""A VM (or the position of a node in the state), its place before and after."""

ON, OFF = 10, 11

# One action more weighs more than any duration.
ONE = 1 << 40


class Found(msgspec.Struct, frozen=True):
    """`hops` lead to the target, or are None; `exhausted`: all configurations in reach were looked at.

    `exact`: what was searched is all that could be done, so that exhausting it proves that there is no way.
    """

    hops: list[list[Hop]] | None
    exhausted: bool
    exact: bool


def shortest_sequence(arrays: Arrays, target: Target, wires: Wires | None, states_max: int) -> Found:
    """The fewest actions that lead to `target`, among these the shortest; each entry at one instant."""
    search = Moves(arrays, target, wires)
    start = search.start()
    cost = {start: 0}
    before: dict[State, tuple[State, list[Hop]]] = {}
    order = count()
    queue = [(search.missing(start) * ONE, next(order), start)]
    done: set[State] = set()
    while queue and len(done) < states_max:
        _, _, state = heappop(queue)
        if state in done:
            continue
        done.add(state)
        if not search.missing(state):
            return Found(_path(before, state), False, search.exact)
        for hops, price in search.hops(state):
            after = list(state)
            for vm, _, place in hops:
                after[vm] = place
            there = tuple(after)
            total = cost[state] + price
            if there not in done and total < cost.get(there, total + 1):
                cost[there] = total
                before[there] = (state, hops)
                heappush(queue, (total + search.missing(there) * ONE, next(order), there))
    return Found(None, not queue, search.exact)


def _path(before: dict[State, tuple[State, list[Hop]]], state: State) -> list[list[Hop]]:
    path = []
    while state in before:
        state, hops = before[state]
        path.append(hops)
    return path[::-1]


class Held(msgspec.Struct):
    """What nodes hold in a configuration: load[N][R], and the VMs that run on each."""

    load: list[list[int]]
    guests: list[list[int]]

    def add(self, vm: int, node: int, amounts: list[int]) -> None:
        self.load[node] = [a + b for a, b in zip(self.load[node], amounts, strict=True)]
        self.guests[node].append(vm)

    def remove(self, vm: int, node: int, amounts: list[int]) -> None:
        self.load[node] = [a - b for a, b in zip(self.load[node], amounts, strict=True)]
        self.guests[node].remove(vm)


class Moves:
    """What one action, or a group that relocates, can do in a configuration on the way to a target."""

    def __init__(self, arrays: Arrays, target: Target, wires: Wires | None) -> None:
        self.arrays, self.wires = arrays, wires
        self.use, self.need = arrays.use.tolist(), arrays.need.tolist()
        same = np.all(arrays.need == arrays.use, axis=1)
        # On a detour a VM has the less of what it had and what it is to get, when one of them is the less.
        self.light = np.all(arrays.need <= arrays.use, axis=1)
        comparable = same | self.light | np.all(arrays.use <= arrays.need, axis=1)
        now = usage_now(arrays)[:, :-1]
        self.room = np.maximum(arrays.capacity, now).tolist()
        self.switched = np.flatnonzero(arrays.online != target.online).tolist()
        self.switch_of = {node: len(arrays.vms) + k for k, node in enumerate(self.switched)}
        self.nodes = [n for n in range(len(arrays.nodes)) if arrays.online[n] or target.online[n]]
        self.goal = self._goal(target)
        self.same = same.tolist()
        always = standing(arrays)
        self.masks: list[np.ndarray | None] = [None] * len(arrays.vms)
        for rule in arrays.primitives:
            if isinstance(rule, Allow) and rule.continuous and not rule.weight:
                for vm in rule.vms.tolist():
                    known = self.masks[vm]
                    self.masks[vm] = rule.nodes if known is None else known & rule.nodes
        self.groups = [p for p in always if isinstance(p, Together) and p.relocate]
        self.onlines = [p for p in always if isinstance(p, Online)]
        self.totals = [p for p in always if isinstance(p, Total)]
        # Whether only VMs of the same node can clash, the VMs concerned, and which places do.
        self.clashes: list[tuple[bool, frozenset[int], Callable[..., bool]]] = [
            (isinstance(p, Apart), frozenset(vm for part in sets_of(p) for vm in part.tolist()), conflict(p))
            for p in always
            if isinstance(p, Apart | Together | Distinct | Near)
        ]
        self.exact = bool(comparable.all()) and not self.groups and self._settled(target)

    def _settled(self, target: Target) -> bool:
        """Whether nothing can be done but what is searched.

        Paused VMs could be put to sleep and come back running, nodes be switched for a while only.
        """
        arrays = self.arrays
        idle = ~arrays.online & ~target.online
        counted = any(bool((rule.nodes & arrays.online & target.online).any()) for rule in self.onlines)
        return not (arrays.leaving or counted or idle.any() or (arrays.pinned & arrays.runs).any())

    def start(self) -> State:
        arrays = self.arrays
        rows = zip(arrays.state.tolist(), arrays.host.tolist(), strict=True)
        vms = [(state, host, same) for (state, host), same in zip(rows, self.same, strict=True)]
        nodes = [(ON if arrays.online[node] else OFF, node, False) for node in self.switched]
        return (*vms, *nodes)

    def _goal(self, target: Target) -> list[tuple[int, int]]:
        vms = list(zip(self.arrays.target.tolist(), target.place.tolist(), strict=True))
        return [*vms, *((ON if target.online[node] else OFF, node) for node in self.switched)]

    def there(self, vm: int, place: Place) -> bool:
        state, node = self.goal[vm]
        return place[0] == state and (state != RUNNING or (place[1] == node and place[2]))

    def missing(self, state: State) -> int:
        """How many VMs and nodes are not as they are to be: each needs an action of its own at least."""
        return sum(not self.there(vm, place) for vm, place in enumerate(state))

    def amounts(self, vm: int, place: Place) -> list[int]:
        amounts: list[int] = self.need[vm] if place[2] else self.use[vm]
        return amounts

    def held(self, state: Sequence[Place]) -> Held:
        held = Held(
            [[0] * len(self.arrays.resources) for _ in self.arrays.nodes], [[] for _ in self.arrays.nodes]
        )
        for vm, place in enumerate(state):
            if place[0] == RUNNING:
                held.add(vm, place[1], self.amounts(vm, place))
        return held

    def hops(self, state: State) -> Iterator[tuple[list[Hop], int]]:
        """What can be done next, and what it costs."""
        held = self.held(state)
        for vm, place in enumerate(state):
            for after, ticks in self.options(vm, place):
                hop = (vm, place, after)
                if self.possible(state, held, [hop]):
                    yield [hop], ONE + ticks
        for group in self.groups:
            hops = self.relocation(group, state)
            if len(hops) > 1 and self.possible(state, held, hops):
                yield hops, ONE * len(hops)

    def relocation(self, group: Together, state: Sequence[Place]) -> list[Hop]:
        """The migrations of all of the group that run and are not where they are to be."""
        return [
            (vm, state[vm], (RUNNING, self.goal[vm][1], True))
            for vm in group.vms.tolist()
            if state[vm][0] == RUNNING and self.goal[vm][0] == RUNNING and state[vm][1] != self.goal[vm][1]
        ]

    def options(self, vm: int, place: Place) -> Iterator[tuple[Place, int]]:
        """Places that one action leads to, with its duration; whether there is room is not asked."""
        arrays = self.arrays
        now, node, fitted = place
        if vm >= len(arrays.vms):
            if now != self.goal[vm][0]:
                yield (self.goal[vm][0], node, False), int(arrays.node_ticks[node])
            return
        wanted, home = self.goal[vm]
        if now == RUNNING:
            if not fitted and node == home:
                yield (RUNNING, node, True), int(arrays.allocate_ticks[vm])
            if not arrays.pinned[vm]:
                for there in self.nodes:
                    if there != node and self._carried(vm, node, there):
                        yield from self._running(vm, there, int(arrays.migrate_ticks[vm]), fitted)
            if wanted == SLEEPING or (wanted == RUNNING and not arrays.pinned[vm]):
                yield (SLEEPING, node, fitted), vm_ticks(arrays, "suspend", vm)
            elif wanted in (READY, KILLED):
                yield (wanted, NOWHERE, fitted), int(arrays.change_ticks[vm])
        elif now == SLEEPING and wanted == RUNNING:
            for there in self.nodes:
                local = there == node
                ticks = arrays.resume_local_ticks if local else arrays.resume_remote_ticks
                yield from self._running(vm, there, int(ticks[vm]), fitted)
        elif now == READY and wanted == RUNNING:
            for there in self.nodes:
                yield from self._running(vm, there, int(arrays.change_ticks[vm]), fitted)
        elif now in (READY, SLEEPING) and wanted == KILLED:
            yield (KILLED, NOWHERE, fitted), int(arrays.change_ticks[vm])

    def _carried(self, vm: int, here: int, there: int) -> bool:
        """Whether the network, if there is one, can migrate the VM."""
        names = self.arrays.nodes
        return self.wires is None or self.wires.fastest(vm, names[here], names[there]) is not None

    def _running(self, vm: int, node: int, ticks: int, fitted: bool) -> Iterator[tuple[Place, int]]:
        mask = self.masks[vm]
        if mask is None or mask[node]:
            arrives = fitted or bool(self.light[vm]) or self.goal[vm][1] == node
            yield (RUNNING, node, arrives), ticks

    def possible(self, state: Sequence[Place], held: Held, hops: list[Hop]) -> bool:
        """Whether these hops can run now, all starting at one instant; several are a group that relocates."""
        if hops[0][0] >= len(self.arrays.vms):
            return self._switches(state, hops[0][2])
        extra: dict[int, list[int]] = {}
        moving = {vm for vm, _, _ in hops}
        for vm, place, after in hops:
            if after[0] != RUNNING:
                continue
            gets = self.amounts(vm, after)
            if place[0] == RUNNING and place[1] == after[1]:
                gets = [max(g - h, 0) for g, h in zip(gets, self.amounts(vm, place), strict=True)]
            sums = extra.setdefault(after[1], [0] * len(gets))
            for r, amount in enumerate(gets):
                sums[r] += amount
        if any(state[self.switch_of[node]][0] == OFF for node in extra if node in self.switch_of):
            return False
        for node, more in extra.items():
            rooms = zip(more, held.load[node], self.room[node], strict=True)
            if any(m and h + m > room for m, h, room in rooms):
                return False
        return all(self._within(total, held, extra, hops) for total in self.totals) and all(
            self._apart(state, held, vm, after[1], moving)
            for vm, place, after in hops
            if after[0] == RUNNING and (place[0] != RUNNING or place[1] != after[1])
        )

    def _within(self, total: Total, held: Held, extra: dict[int, list[int]], hops: list[Hop]) -> bool:
        """Whether a sum may grow by this much."""
        r, nodes = total.resource, np.flatnonzero(total.nodes).tolist()
        if r >= 0:
            more = sum(amounts[r] for node, amounts in extra.items() if total.nodes[node])
            return not more or sum(held.load[node][r] for node in nodes) + more <= total.limit
        more = sum(bool(total.nodes[b[1]]) for _, a, b in hops if b[0] == RUNNING and a[1] != b[1])
        return not more or sum(len(held.guests[node]) for node in nodes) + more <= total.limit

    def _switches(self, state: Sequence[Place], after: Place) -> bool:
        """Whether a node can go on, or off, now."""
        new, node, _ = after
        if new == OFF:
            return all(place[1] != node or place[0] not in (RUNNING, SLEEPING) for place in state)
        for rule in self.onlines:
            if rule.nodes[node]:
                kept = int((rule.nodes & self.arrays.online).sum())
                kept -= sum(bool(rule.nodes[n]) for n, at in self.switch_of.items() if self.arrays.online[n])
                on = sum(bool(rule.nodes[n]) for n, at in self.switch_of.items() if state[at][0] == ON)
                if kept + on >= rule.limit:
                    return False
        return True

    def _apart(self, state: Sequence[Place], held: Held, vm: int, node: int, moving: set[int]) -> bool:
        """Whether `vm` may come to `node` with the others where they are (its own node included)."""
        for local, members, clash in self.clashes:
            if vm not in members:
                continue
            for other in held.guests[node] if local else members:
                place = state[other]
                if other not in members or place[0] != RUNNING or (other == vm and place[1] == node):
                    continue
                if len(moving) > 1 and other in moving:
                    continue
                if clash((vm, node), (other, place[1])):
                    return False
        return True
