"""Detours that break cycles: over a pivot node, or asleep for a while; and the plan of any sequence of hops.

Small problems are searched exhaustively (`sequences.py`). In large ones everything that can move does, one by
one; when nothing can, the cheapest detour that lets another VM move is taken.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

from lucos.placement.arrays import NOWHERE, RUNNING, SLEEPING, Arrays, Target
from lucos.placement.planner.actions import Step, Work, amounts_of, start_together, step_of, work_of
from lucos.placement.planner.listing import Times, list_schedule, tight_only
from lucos.placement.planner.network import Wires
from lucos.placement.planner.plans import dependencies
from lucos.placement.planner.rules import bind_rules
from lucos.placement.planner.sequences import Hop, Moves, Place

# Pivots tried for one VM.
PIVOTS_MAX = 12


def detour(arrays: Arrays, target: Target, wires: Wires | None, order: list[int]) -> list[list[Hop]] | None:
    """Hops that lead to `target`, VMs tried in this order; None when no detour helps. One detour per VM."""
    return _Greedy(arrays, target, wires).run(order)


class _Greedy:
    def __init__(self, arrays: Arrays, target: Target, wires: Wires | None) -> None:
        self.arrays, self.moves = arrays, Moves(arrays, target, wires)
        self.state: list[Place] = list(self.moves.start())
        self.held = self.moves.held(self.state)
        self.path: list[list[Hop]] = []

    def run(self, order: list[int]) -> list[list[Hop]] | None:
        pending = [vm for vm in (*self.moves.switch_of.values(), *order) if self._direct(vm)]
        bypassed: set[int] = set()
        while pending:
            moved = [vm for vm in pending if self._step(vm)]
            pending = [vm for vm in pending if self._direct(vm)]
            if moved or not pending:
                continue
            hop = self._helpful(pending, bypassed)
            if hop is None:
                return None
            bypassed.add(hop[0])
            self._do([hop])
        return self.path

    def _direct(self, vm: int) -> list[Hop]:
        """What brings the VM where it is to be, its group included; empty when it is there."""
        place, (state, node) = self.state[vm], self.moves.goal[vm]
        if self.moves.there(vm, place):
            return []
        if vm in self.moves.switch_of.values():
            return [(vm, place, (state, node, False))]
        for group in self.moves.groups:
            if vm in group.vms and len(hops := self.moves.relocation(group, self.state)) > 1:
                return hops
        if state == RUNNING:
            return [(vm, place, (RUNNING, node, True))]
        return [(vm, place, (state, place[1] if state == SLEEPING else NOWHERE, place[2]))]

    def _step(self, vm: int) -> bool:
        hops = self._direct(vm)
        if not hops or not self.moves.possible(self.state, self.held, hops):
            return False
        self._do(hops)
        return True

    def _do(self, hops: list[Hop]) -> None:
        self.path.append(hops)
        for hop in hops:
            self._apply(hop)

    def _apply(self, hop: Hop) -> None:
        vm, before, after = hop
        for place, change in ((before, self.held.remove), (after, self.held.add)):
            if place[0] == RUNNING:
                change(vm, place[1], self.moves.amounts(vm, place))
        self.state[vm] = after

    def _helpful(self, pending: list[int], bypassed: set[int]) -> Hop | None:
        """The cheapest hop after which another pending VM can do its step."""
        running = [vm for vm in pending if self.state[vm][0] == RUNNING and vm not in bypassed]
        for vm in sorted(running, key=lambda vm: (int(self.arrays.migrate_ticks[vm]), vm)):
            for after in self._places(vm):
                hop = (vm, self.state[vm], after)
                if not self.moves.possible(self.state, self.held, [hop]):
                    continue
                self._apply(hop)
                helps = any(
                    other != vm and self.moves.possible(self.state, self.held, self._direct(other))
                    for other in pending
                )
                self._apply((vm, after, hop[1]))
                if helps:
                    return hop
        return None

    def _places(self, vm: int) -> Iterator[Place]:
        """Where a detour may lead: the emptiest nodes, then asleep."""
        here = self.state[vm]
        places = [place for place, _ in self.moves.options(vm, here)]
        pivots = [p for p in places if p[0] == RUNNING and p[1] not in (here[1], self.moves.goal[vm][1])]

        def fullness(place: Place) -> float:
            node = place[1]
            pairs = zip(self.held.load[node], self.moves.room[node], strict=True)
            return max((held / max(room, 1) for held, room in pairs), default=0.0)

        yield from sorted(pivots, key=fullness)[:PIVOTS_MAX]
        yield from (p for p in places if p[0] == SLEEPING)


def planned(
    arrays: Arrays, target: Target, path: list[list[Hop]], wires: Wires | None
) -> tuple[Work, Times] | None:
    """The steps of these hops, as early as their order allows; None when other rules (timings) forbid it."""
    moves = Moves(arrays, target, wires)
    steps: list[Step] = []
    sets: list[list[int]] = []
    last: dict[int, int] = {}
    for hops in path:
        if hops[0][0] in moves.switch_of.values():
            continue
        sets.append([len(steps) + k for k in range(len(hops))])
        for hop in hops:
            vm, before, after = hop
            had, gets = moves.amounts(vm, before), moves.amounts(vm, after)
            amounts = amounts_of(arrays, vm) if after[2] and not before[2] else ()
            step = step_of(arrays, vm, before[:2], after[:2], had, gets, amounts)
            if vm in last:
                step.after = [last[vm]]
            last[vm] = len(steps)
            steps.append(step)
    work = work_of(arrays, target, steps, ordered=True)
    bind_rules(work)
    for members in sets:
        start_together(work, members)
    if wires is not None:
        wires.connect(work)
    if work.hopeless:
        return None
    tight_only(work)
    return pressed(work, wires, sets)


def pressed(work: Work, wires: Wires | None, sets: list[list[int]]) -> tuple[Work, Times] | None:
    """Times of steps that could run one set after the other, as early as that order allows.

    What each step depends on in that order makes any execution safe, so also the earliest.
    """
    own = [list(step.after) for step in work.steps]
    for before, then in pairwise(sets):
        for i in then:
            work.steps[i].after = [*work.steps[i].after, *before]
    serial = list_schedule(work, wires)
    if serial.missing(work):
        return None
    for step, after in zip(work.steps, own, strict=True):
        step.after = after
    order = sorted(range(len(work.steps)), key=lambda i: (serial.start[i], serial.end[i], i))
    for i, before in dependencies(work, serial, order).items():
        work.steps[i].after = [b for b in before if b != i]
    early = list_schedule(work, wires)
    return work, serial if early.missing(work) else early
