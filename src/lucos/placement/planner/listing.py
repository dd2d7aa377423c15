"""List scheduling: every step starts as soon as what it waits for has happened and its room is free.

Driven by events. A step that lacks room waits in the queue of the first pool that lacks it and is looked at
again only when that pool is given something, so that time goes with the steps that wait, not with all.
"""

from __future__ import annotations

from heapq import heappop, heappush

import msgspec

from lucos.placement.planner.actions import Work
from lucos.placement.planner.network import Wires

NEVER = -1


class Times(msgspec.Struct, eq=False):
    """When each step starts and ends (ticks; NEVER when it does not), and the bandwidth it takes (bit/s)."""

    start: list[int]
    end: list[int]
    rate: list[int]

    def missing(self, work: Work) -> list[int]:
        """The steps that never start, start too late or end too late."""
        horizon = work.arrays.horizon
        return [
            i
            for i, step in enumerate(work.steps)
            if not step.ongoing
            and (
                self.start[i] == NEVER
                or self.end[i] > (horizon if step.deadline is None else min(step.deadline, horizon))
                or (step.latest is not None and self.start[i] > step.latest)
            )
        ]


def tight_only(work: Work) -> None:
    """Forget the pools that can take everything that comes, whatever leaves when: nobody waits for them."""
    asked: dict[int, int] = {}
    for step in work.steps:
        for pool, amount in step.takes:
            asked[pool] = asked.get(pool, 0) + amount
    tight = {pool for pool, amount in asked.items() if amount > work.free[pool]}
    for step in work.steps:
        step.takes = [(pool, amount) for pool, amount in step.takes if pool in tight]
        step.gives = [(pool, amount) for pool, amount in step.gives if pool in tight]


def entangled(work: Work) -> list[int]:
    """The steps whose times depend on others; all others start as early as they can."""
    waited = {before for step in work.steps for before in step.after}
    grouped = {i for members in work.together for i in members}
    return [
        i
        for i, step in enumerate(work.steps)
        if step.takes or step.gives or step.after or step.path or i in waited or i in grouped
    ]


def least_sum_of_ends(work: Work) -> int:
    """What the ends of the steps sum up to at least (ticks), after `tight_only`; O(takes log takes).

    Each waits for what it comes after; of those that enter one pool, all but as many of the smallest as fit
    at first wait for the first departure. A step counts in one of the pools of its node: that adds up.
    """
    earliest = [0] * len(work.steps)
    for i, step in enumerate(work.steps):
        earliest[i] = max((work.steps[b].ticks for b in step.after), default=0)
    resources, nodes = len(work.arrays.resources), len(work.arrays.nodes)
    entering: dict[int, dict[int, list[tuple[int, int]]]] = {}
    first: dict[int, int] = {}
    for i, step in enumerate(work.steps):
        for pool, amount in step.takes:
            if pool < resources * nodes and not earliest[i]:
                entering.setdefault(pool // resources, {}).setdefault(pool, []).append((amount, i))
        for pool, _ in step.gives:
            first[pool] = min(first.get(pool, step.ticks), step.ticks)
    total = sum(at + step.ticks for at, step in zip(earliest, work.steps, strict=True) if not step.ongoing)
    for pools in entering.values():
        waits = [0]
        for pool, takers in pools.items():
            room, late = work.free[pool], 0
            for amount, _ in sorted(takers):
                room -= amount
                late += room < 0
            waits.append(late * first.get(pool, 0))
        total += max(waits)
    return total


def list_schedule(work: Work, wires: Wires | None = None, first: frozenset[int] = frozenset()) -> Times:
    """Times of the steps, those in `first` preferred; those that wait for each other never start.

    O((steps + waits) log steps).
    """
    return _Run(work, wires, first).times()


class _Run:
    def __init__(self, work: Work, wires: Wires | None, first: frozenset[int]) -> None:
        self.work, self.steps, self.wires = work, work.steps, wires
        self.free = list(work.free)
        count = len(self.steps)
        self.start, self.end, self.rate = [NEVER] * count, [NEVER] * count, [0] * count
        self.waits = [len(step.after) for step in self.steps]
        self.followers: dict[int, list[int]] = {}
        for i, step in enumerate(self.steps):
            for before in step.after:
                self.followers.setdefault(before, []).append(i)
        self.group = {i: members for members in work.together for i in members}
        self.queues: dict[int, list[tuple[int, int]]] = {}
        self.events: list[tuple[int, int]] = []
        self.rank = self._ranks(first)

    def _ranks(self, first: frozenset[int]) -> list[int]:
        """Steps bound in time, then those that make room for others, then small and short ones."""

        def key(i: int) -> tuple[bool, bool, bool, float, int, int]:
            step = self.steps[i]
            bound = step.latest is not None or step.deadline is not None
            helps = bool(step.gives) or i in self.followers
            share = sum(amount / (self.free[pool] + amount) for pool, amount in step.takes)
            return (i not in first, not bound, not helps, share, step.ticks, i)

        rank = [0] * len(self.steps)
        for position, i in enumerate(sorted(range(len(self.steps)), key=key)):
            rank[i] = position
        return rank

    def times(self) -> Times:
        fresh: list[int] = []
        for i, step in enumerate(self.steps):
            if step.ongoing:
                if step.path and self.wires is not None:
                    self.rate[i] = self.wires.kept(step)
                self._begin(i, 0)
            elif not self.waits[i]:
                fresh.append(i)
        self._start_what_fits(fresh, set(), 0)
        while self.events:
            now = self.events[0][0]
            fresh, given = [], set[int]()
            while self.events and self.events[0][0] == now:
                _, i = heappop(self.events)
                self._end(i, fresh, given)
            self._start_what_fits(fresh, given, now)
        return Times(self.start, self.end, self.rate)

    def _end(self, i: int, fresh: list[int], given: set[int]) -> None:
        """The end of a step: what it gives, and who waited for nothing else."""
        step = self.steps[i]
        for pool, amount in step.gives:
            self.free[pool] += amount
            given.add(pool)
        for pool in step.path:
            self.free[pool] += self.rate[i]
            given.add(pool)
        for other in self.followers.get(i, []):
            self.waits[other] -= 1
            if not self.waits[other]:
                fresh.append(other)

    def _start_what_fits(self, fresh: list[int], given: set[int], now: int) -> None:
        for i in sorted(fresh, key=self.rank.__getitem__):
            self._try(i, now)
        for pool in sorted(given):
            queue = self.queues.pop(pool, [])
            while queue and self.free[pool] > 0:
                self._try(heappop(queue)[1], now)
            for entry in queue:
                heappush(self.queues.setdefault(pool, []), entry)

    def _try(self, i: int, now: int) -> None:
        """Start the step and those that start with it, or let it wait for the first pool without room."""
        members = self.group.get(i, [i])
        if any(self.waits[m] or self.start[m] != NEVER for m in members):
            return
        missing = self._lacking(members)
        if missing is not None:
            heappush(self.queues.setdefault(missing, []), (self.rank[i], i))
            return
        for member in members:
            self._begin(member, now)

    def _lacking(self, members: list[int]) -> int | None:
        """The first pool without room for these steps; None when all fit, then bandwidths are set."""
        asked: dict[int, int] = {}
        for i in members:
            for pool, amount in self.steps[i].takes:
                asked[pool] = asked.get(pool, 0) + amount
        for pool, amount in asked.items():
            if amount > self.free[pool]:
                return pool
        for i in members:
            step = self.steps[i]
            if not step.path or self.wires is None:
                continue
            sharing = {pool: sum(pool in self.steps[m].path for m in members) for pool in step.path}
            narrow = min(step.path, key=lambda pool: self.free[pool] // sharing[pool])
            rate = self.free[narrow] // sharing[narrow]
            if not self.wires.useful(step, rate, sharing[narrow]):
                return narrow
            self.rate[i] = rate
        return None

    def _begin(self, i: int, now: int) -> None:
        step = self.steps[i]
        for pool, amount in step.takes:
            self.free[pool] -= amount
        for pool in step.path:
            self.free[pool] -= self.rate[i]
        ticks = step.ticks
        if step.path and self.wires is not None:
            ticks = self.wires.ticks(step, self.rate[i])
        self.start[i], self.end[i] = now, now + ticks
        heappush(self.events, (self.end[i], i))
