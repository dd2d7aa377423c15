"""Direct plans of the exhaustive reference: every action starts at 0 or when another one ends."""

from __future__ import annotations

from collections.abc import Callable

from exhaustive_world import NOWHERE, Action, Now, Static

from lucos.model import (
    Allocate,
    AnyAction,
    Boot,
    BootNode,
    Kill,
    Migrate,
    Plan,
    PlannedAction,
    Resume,
    Shutdown,
    ShutdownNode,
    Suspend,
)
from lucos.placement.constraints import KINDS

Started = tuple[tuple[Action, int], ...]
"""Actions with the tick at which each starts."""


def real(world: Static, action: Action) -> AnyAction:
    """The action as plans have it."""
    kind, vm, node, source, _ = action
    where, origin = world.node_names[node], world.node_names[source] if source != NOWHERE else ""
    if vm == NOWHERE:
        return BootNode(node=where) if kind == "boot_node" else ShutdownNode(node=where)
    name, changed = world.vm_names[vm], world.need[vm] != world.use[vm]
    amounts = tuple(world.need_named[vm].items()) if changed else ()
    match kind:
        case "boot":
            return Boot(name, where, amounts)
        case "resume":
            return Resume(name, where, origin if origin != where else "", amounts)
        case "migrate":
            return Migrate(name, origin, where, amounts)
        case "allocate":
            return Allocate(name, where, amounts)
        case "suspend":
            return Suspend(name, origin)
        case "shutdown":
            return Shutdown(name, origin)
        case _:
            return Kill(name, origin)


def plan_of(world: Static, started: Started) -> Plan:
    tick_s = world.problem.durations.tick_s
    return Plan(
        tuple(
            PlannedAction(i, real(world, a), start_s=at * tick_s, end_s=(at + a.ticks) * tick_s)
            for i, (a, at) in enumerate(started)
        )
    )


class Schedules:
    """The best start times of a set of actions. `promising(sum of ends, makespan)` says what is worth it."""

    def __init__(self, world: Static, actions: list[Action], promising: Callable[[int, int], bool]) -> None:
        self.world, self.promising = world, promising
        self.actions = sorted(actions)
        self.horizon = round(world.problem.horizon_s / world.problem.durations.tick_s)
        self.on_found: Callable[[int, int, Started], None]

    def search(self, on_found: Callable[[int, int, Started], None]) -> None:
        """Calls back with each better schedule; the caller's `promising` is to know of it."""
        self.on_found = on_found
        simultaneous = self.world.relocating or any(r.kind == "sync" for r in self.world.timing)
        if simultaneous or self._in_some_order(Now(self.world), frozenset(range(len(self.actions))), set()):
            self._at(0, Now(self.world), tuple(self.actions), (), ())

    def _in_some_order(self, now: Now, left: frozenset[int], dead: set[frozenset[int]]) -> bool:
        """Whether the actions can be carried out one by one: with less under way all the more is allowed."""
        if not left:
            return True
        for i in sorted(left):
            rest = left - {i}
            if rest in dead:
                continue
            then = now.copy()
            if then.begin(self.actions[i]):
                then.finish(self.actions[i])
                if self._in_some_order(then, rest, dead):
                    return True
                dead.add(rest)
        return False

    def _at(self, at: int, now: Now, waiting: tuple[Action, ...], busy: Started, done: Started) -> None:
        """All ways to go on at an instant at which what ended has ended."""
        ends = [start + a.ticks for a, start in (*done, *busy)]
        least = [at + a.ticks for a in waiting]
        longest = max((*ends, *least), default=0)
        if longest > self.horizon or not self.promising(sum(ends) + sum(least), longest):
            return
        if not waiting and not busy:
            if not now.settled() or not self._on_time(done):
                return
            self.on_found(sum(ends), longest, done)
            return
        self._choose(at, now, waiting, 0, (), busy, done)

    def _choose(
        self,
        at: int,
        now: Now,
        waiting: tuple[Action, ...],
        position: int,
        later: tuple[Action, ...],
        busy: Started,
        done: Started,
    ) -> None:
        if position == len(waiting):
            if busy and now.settled() and self._on_time((*done, *busy)):
                self._go_on(now, later, busy, done)
            return
        action = waiting[position]
        then = now.copy()
        if then.begin(action):
            self._choose(at, then, waiting, position + 1, later, (*busy, (action, at)), done)
        self._choose(at, now, waiting, position + 1, (*later, action), busy, done)

    def _go_on(self, now: Now, waiting: tuple[Action, ...], busy: Started, done: Started) -> None:
        at = min(start + a.ticks for a, start in busy)
        then = now.copy()
        over = tuple(pair for pair in busy if pair[0].ticks + pair[1] == at)
        for action, _ in over:
            then.finish(action)
        self._at(at, then, waiting, tuple(pair for pair in busy if pair not in over), (*done, *over))

    def _on_time(self, started: Started) -> bool:
        """What rules about times say of the actions that have started: more actions only break more."""
        rules = self.world.by_plan
        if not rules:
            return True
        plan = plan_of(self.world, started)
        cluster = self.world.problem.cluster
        return not any(KINDS[r.kind].broken_by_plan(r, plan, cluster) for r in rules)
