"""The reference: every allowed result of a small problem, and every direct plan to it, looked at.

It knows problems, moments and the checkers of the kinds of constraints; nothing of solver, lowering and
planner. A direct plan acts on each VM and node at most once. Durations must be whole ticks above 0.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import product

import msgspec
from exhaustive_reach import any_plan
from exhaustive_schedule import Schedules, Started, plan_of
from exhaustive_world import Action, Instant, Static, broken
from exhaustive_worth import Worth

from lucos.model import Plan, VmState
from lucos.placement.problem import Objective, Problem

Values = tuple[int, ...]


class Verdict(msgspec.Struct, frozen=True):
    """`allowed`: some result satisfies all rules. `values` are those of the best direct plan; None: no plan.

    `anyhow`: whether any sequence of actions leads to an allowed result when no direct plan does; None: not
    known.
    """

    allowed: bool
    values: tuple[float, ...] | None = None
    plan: Plan | None = None
    anyhow: bool | None = None


def judge(
    problem: Problem,
    objectives: tuple[Objective, ...],
    *,
    timed: bool = True,
    fixed: Mapping[int, int] | None = None,
) -> Verdict:
    """The best that can be done by direct plans; VMs in `fixed` (indexes) run on these nodes in the result.

    Not `timed`: the best result that they may lead to if each action could start as soon as its node is on.
    """
    world = Static(problem)
    if world.clash:
        return Verdict(False)
    search = _Search(world, objectives, timed, fixed or {})
    search.place(0)
    values = None if search.best is None else search.worth.shown(search.best)
    plan = None if search.started is None else plan_of(world, search.started)
    anyhow = any_plan(world) if search.allowed and values is None else None
    return Verdict(search.allowed, values, plan, anyhow)


class _Search:
    """Depth first over the nodes of one VM after the other, cut off by capacities, rules and the best."""

    def __init__(
        self, world: Static, objectives: tuple[Objective, ...], timed: bool, fixed: Mapping[int, int]
    ) -> None:
        self.world, self.timed = world, timed
        self.allowed = False
        self.best: Values | None = None
        self.started: Started | None = None
        hosts: dict[str, frozenset[str]] = {}
        self.hosts = hosts
        self.moment = Instant(hosts, world.problem.cluster, start=world.origin)
        self.moment.allocations = dict(zip(world.vm_names, world.need_named, strict=True))
        self.options = {v: list(self._alone(v)) for v in range(len(world.vms)) if world.runs[v]}
        for vm, node in fixed.items():
            self.options[vm] = [n for n in self.options[vm] if n == node]
        self.order = sorted(self.options, key=lambda v: (len(self.options[v]), v))
        self.worth = Worth(world, objectives, self.order, self.options)
        placed = [r for r in world.hard if r.kind != "maxOnline"]
        self.about = {v: world.about(placed, v) for v in self.order}
        self.soft_about = {
            v: world.about([r for r in world.soft if r.kind != "maxOnline"], v) for v in self.order
        }
        self.limits = [r for r in (*world.hard, *world.soft) if r.kind == "maxOnline"]
        self.images = {world.host[v] for v, s in enumerate(world.want) if s is VmState.SLEEPING}

    def _alone(self, vm: int) -> Iterator[int]:
        """The nodes on which the VM could be were it alone: where it is first."""
        world, name = self.world, self.world.vm_names[vm]
        stays = world.vms[vm].state is VmState.PAUSED
        hard = [rule for rule in world.about(world.hard, vm) if rule.kind != "maxOnline"]
        for node in sorted(range(len(world.nodes)), key=lambda n: (n != world.host[vm], n)):
            on = world.nodes[node].online if world.node_want[node] is None else world.node_want[node]
            may = on or world.node_want[node] is None
            if world.closed[node] or not may or (stays and node != world.host[vm]):
                continue
            self.hosts[name] = world.single[node]
            if not any(broken(rule, self.moment) for rule in hard) and (self.timed or self._direct(vm, node)):
                yield node
            del self.hosts[name]

    def _direct(self, vm: int, node: int) -> bool:
        """Whether one action can take the VM there: while it is migrated it is on both nodes."""
        world, name = self.world, self.world.vm_names[vm]
        self.hosts[name] = world.single[node] | world.origin.of(name)
        sound = [rule for rule in world.about(world.sound, vm) if rule.kind != "maxOnline"]
        return not any(broken(rule, self.moment) for rule in sound)

    def place(self, depth: int) -> None:
        if depth == len(self.order):
            self._result()
            return
        vm, worth, world = self.order[depth], self.worth, self.world
        name, need = world.vm_names[vm], world.need[vm]
        for node in self.options[vm]:
            load = worth.load[node]
            if any(u + n > c for u, n, c in zip(load, need, world.capacity[node], strict=True)):
                continue
            self.hosts[name] = world.single[node]
            if not any(broken(rule, self.moment) for rule in self.about[vm]):
                penalties = [
                    r for r in self.soft_about[vm] if r not in worth.broken and broken(r, self.moment)
                ]
                worth.put(vm, node, penalties)
                if self.best is None or worth.least(depth + 1) < self.best:
                    self.place(depth + 1)
                worth.take(vm, node, penalties)
            del self.hosts[name]

    def _result(self) -> None:
        """All VMs have their place: switch nodes, then look for the best schedule."""
        world, worth = self.world, self.worth
        for online in self._switches():
            self.moment.online = frozenset(n for n, on in zip(world.node_names, online, strict=True) if on)
            over = [r for r in self.limits if broken(r, self.moment)]
            if any(not r.weight for r in over):
                continue
            self.allowed = True
            actions = self._actions(online)
            final = worth.final(online, actions, [*worth.broken, *over])
            if self.best is not None and final >= self.best:
                continue
            if not self.timed:
                self.best = final
                continue
            self._schedule(actions, final)

    def _schedule(self, actions: list[Action], final: Values) -> None:
        def promising(ends: int, last: int) -> bool:
            return self.best is None or self.worth.timed(final, ends, last) < self.best

        def found(ends: int, last: int, started: Started) -> None:
            self.best, self.started = self.worth.timed(final, ends, last), started

        Schedules(self.world, actions, promising).search(found)

    def _switches(self) -> Iterator[tuple[bool, ...]]:
        """Nodes that must be on are; those that are free go off only where that can be of use."""
        world, used = self.world, self.worth.used
        useful = self.limits or Objective.ENERGY in self.worth.objectives
        choices: list[tuple[bool, ...]] = []
        for node, wanted in enumerate(world.node_want):
            now, must = world.nodes[node].online, bool(used[node]) or node in self.images
            if wanted is not None:
                choices.append((wanted,) if wanted or not must else ())
            elif must or not now:
                choices.append((must,))
            else:
                choices.append((True, False) if useful else (True,))
        return product(*choices)

    def _actions(self, online: tuple[bool, ...]) -> list[Action]:
        world = self.world
        found = [world.action(v, self.worth.place[v]) for v in range(len(world.vms))]
        nodes = [world.node_action(n) for n, on in enumerate(online) if on != world.nodes[n].online]
        return [*nodes, *(action for action in found if action is not None)]
