"""The independent judge of plans: every instant, rule and capacity. It shares nothing with the solver.

Actions hold what `timeline` says. At each instant at which actions start or end, what ended comes first; then
those nodes and rules are judged that are concerned by what changed.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from itertools import groupby

from lucos.model import Plan, Resume
from lucos.placement.constraints.base import Kind
from lucos.placement.judges import (
    NEIGHBOUR_KINDS,
    Capacities,
    Rule,
    exceeds,
    judge_result,
    off,
    rules_of,
    takers,
)
from lucos.placement.orders import check_orders
from lucos.placement.problem import Problem
from lucos.placement.timeline import Fault, Step, carried_out, nonsense
from lucos.placement.traffic import Traffic
from lucos.placement.world import World

__all__ = ["Fault", "check", "check_orders"]

Happened = list[tuple[Step, bool]]
"""Steps that start (True) or end at one instant, in the order in which they do."""


def check(problem: Problem, plan: Plan) -> list[Fault]:
    """What is wrong with a plan carried out at its times, sorted by time; empty when it holds.

    Each rule, and each resource of a node, is reported at the first instant at which it is broken; what does
    not hold in the result, at the end of the plan. Raises `UnknownObject` for an unknown kind of rule.
    """
    if faults := nonsense(problem, plan):
        return sorted(faults, key=_by_time)
    steps, faults = carried_out(problem, plan)
    world, traffic = World.started(problem.cluster), Traffic(problem)
    ongoing = [(step, True) for step in steps if step.ongoing]
    traffic.take(ongoing)
    touched = {node: None for step, _ in ongoing for node in world.begin(step)}
    origin = world.snapshot()
    world.start = origin
    capacities = Capacities(problem)
    nodes = _Nodes(capacities, origin)
    rules = rules_of(problem, origin)
    watch = _Watch(rules, steps, origin)
    at_s = 0.0
    for at_s, happened in _instants(steps):
        for step, begins in happened:
            touched |= dict.fromkeys(world.begin(step) if begins else world.finish(step))
        faults += nodes.judge(world, touched, happened, at_s)
        for rule in watch.concerned(world, touched, happened):
            breach = list(rule.judge(world, at_s))
            faults += breach
            watch.broken |= {rule} if breach else set()
        faults += traffic.judge(happened, at_s)
        touched = {}
    faults += judge_result(problem, world, rules, capacities, steps, at_s)
    faults += _by_plan(problem, plan, rules)
    return sorted(faults, key=_by_time)


def _by_time(fault: Fault) -> float:
    return fault.at_s


def _instants(steps: list[Step]) -> Iterator[tuple[float, Happened]]:
    """What happens at 0 and at each instant later on: first what ends, then what starts.

    What takes no time starts and ends among what starts, in the order of the steps.
    """
    events = [(step.start_s, True, i, False) for i, step in enumerate(steps) if not step.ongoing]
    events += [(s.end_s, s.end_s == s.start_s and not s.ongoing, i, True) for i, s in enumerate(steps)]
    events.sort()
    if not events or events[0][0] > 0:
        yield 0.0, []
    for at_s, together in groupby(events, key=lambda event: event[0]):
        yield at_s, [(steps[i], not ends) for _, _, i, ends in together]


class _Nodes:
    """Judges what nodes hold: nobody while they are off, and no more than they offer."""

    def __init__(self, capacities: Capacities, origin: World) -> None:
        self._capacities = capacities
        self._origin = origin
        self._limits: dict[tuple[str, str], float] = {}
        self._told: set[tuple[str, str]] = set()

    def judge(self, world: World, touched: Iterable[str], happened: Happened, at_s: float) -> Iterator[Fault]:
        """What is wrong on the nodes where something changed."""
        for step, begins in happened:
            action = step.planned.action
            if begins and isinstance(action, Resume) and action.source and action.source not in world.usable:
                yield off(action.source, [step.vm], at_s, "is not online, it has the image of")
        for node in touched:
            if node not in world.usable:
                guests, images = world.guests(node), list(world.images.get(node, ()))
                if guests and self._first(node, "off"):
                    yield off(node, guests, at_s)
                if images and node in world.shut and self._first(node, "image"):
                    yield off(node, images, at_s, "is shut down with the image of")
            for resource, used in world.used[node].items():
                if exceeds(used, self._limit(node, resource)) and self._first(node, "of " + resource):
                    who = takers(world, node, resource)
                    yield self._capacities.fault(node, resource, "would hold", used, who, at_s)

    def _limit(self, node: str, resource: str) -> float:
        limit = self._limits.get((node, resource))
        if limit is None:
            first = self._origin.used[node].get(resource, 0.0)
            limit = self._limits[node, resource] = max(self._capacities.of(node, resource), first)
        return limit

    def _first(self, node: str, what: str) -> bool:
        known = (node, what) in self._told
        self._told.add((node, what))
        return not known


class _Watch:
    """Which rules to judge again when VMs and nodes change: those that bind every instant, until broken."""

    def __init__(self, rules: list[Rule], steps: list[Step], origin: World) -> None:
        moved = {step.vm for step in steps if step.vm}
        self.broken: set[Rule] = set()
        self._by_vm: defaultdict[str, list[Rule]] = defaultdict(list)
        self._by_node: defaultdict[str, list[Rule]] = defaultdict(list)
        self._by_guest: defaultdict[str, list[Rule]] = defaultdict(list)
        for rule in rules:
            if not rule.sound:
                continue
            named = list(rule.vms)
            if rule.constraint.kind in NEIGHBOUR_KINDS:
                for vm in named:
                    self._by_guest[vm].append(rule)
            for node in () if named else rule.nodes:
                self._by_node[node].append(rule)
                # Rules about those who are there at first (quarantine) follow them elsewhere.
                named += origin.guests(node)
            for vm in moved.intersection(named):
                self._by_vm[vm].append(rule)

    def concerned(self, world: World, touched: Iterable[str], happened: Happened) -> list[Rule]:
        """The rules to judge now, each once."""
        found: dict[Rule, None] = {}
        for step, _ in happened:
            found |= dict.fromkeys(self._by_vm.get(step.vm, ()))
        for node in touched:
            found |= dict.fromkeys(self._by_node.get(node, ()))
            if self._by_guest:
                for vm in world.present[node]:
                    found |= dict.fromkeys(self._by_guest.get(vm, ()))
        return [rule for rule in found if rule not in self.broken]


def _by_plan(problem: Problem, plan: Plan, rules: list[Rule]) -> Iterator[Fault]:
    """Rules about when actions run. A fault's time is the start of the first action on its VMs.

    A rule that what is ongoing breaks already is judged for the actions of the plan alone.
    """
    ongoing, whole = Plan(problem.ongoing), Plan((*problem.ongoing, *plan.actions))
    for rule in rules:
        if type(rule.kind).broken_by_plan is Kind.broken_by_plan:
            continue
        lost = rule.kind.broken_by_plan(rule.constraint, ongoing, problem.cluster)
        judged = plan if lost is not None else whole
        breach = rule.kind.broken_by_plan(rule.constraint, judged, problem.cluster)
        if breach is not None:
            starts_s = [step.start_s for step in judged.actions if step.action.vm in breach.vms]
            at_s = max(0.0, min(starts_s, default=0.0))
            yield Fault(at_s, breach.text, rule.constraint, breach.nodes, breach.vms)
