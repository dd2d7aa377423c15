"""Plans replayed in the plainest way: at each instant who holds what is worked out from scratch, and judged.

Nothing here is shared with the checker: neither what actions do nor what rules mean.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import combinations

from lucos.model import Constraint, Plan, PlannedAction
from lucos.placement.problem import Problem

Amounts = dict[str, float]
RESULT_ONLY = {
    "running",
    "ready",
    "sleeping",
    "killed",
    "online",
    "offline",
    "preserve",
    "runningCapacity",
    "drain",
}
ALWAYS = {"root", "quarantine"}


@dataclass
class Now:
    """An instant: `where[vm][node]` is what a VM holds there, `image[vm]` where a sleeping VM's memory is."""

    where: dict[str, dict[str, Amounts]] = field(default_factory=dict)
    state: dict[str, str] = field(default_factory=dict)
    share: dict[str, Amounts] = field(default_factory=dict)
    image: dict[str, str] = field(default_factory=dict)
    online: set[str] = field(default_factory=set)
    usable: set[str] = field(default_factory=set)
    shut: set[str] = field(default_factory=set)
    resuming_from: dict[str, str] = field(default_factory=dict)

    def nodes(self, vm: str) -> set[str]:
        return set(self.where[vm])

    def all_nodes(self, vms: Iterable[str]) -> set[str]:
        return set().union(*(self.nodes(vm) for vm in vms))

    def guests(self, node: str) -> set[str]:
        return {vm for vm in self.where if node in self.where[vm]}

    def used(self, node: str, resource: str) -> float:
        return sum(held[node].get(resource, 0) for held in self.where.values() if node in held)


class Impossible(Exception):
    """An action that its VM or node cannot take."""


def beginning(problem: Problem) -> Now:
    now = Now()
    for vm in problem.cluster.vms.values():
        now.state[vm.name] = str(vm.state)
        now.share[vm.name] = dict(vm.demand)
        now.where[vm.name] = {vm.node: dict(vm.demand)} if vm.state in ("running", "paused") else {}
        if vm.state == "sleeping":
            now.image[vm.name] = vm.node
    now.online = {node.name for node in problem.cluster.nodes.values() if node.online}
    now.usable = set(now.online)
    return now


def start(now: Now, step: PlannedAction) -> None:
    """What changes when an action starts; raises `Impossible`."""
    action, kind = step.action, type(step.action).__name__
    vm = action.vm
    if kind == "BootNode":
        require(action.node not in now.online)
        now.online.add(action.node)
        return
    if kind == "ShutdownNode":
        require(action.node in now.online)
        now.usable.discard(action.node)
        now.shut.add(action.node)
        return
    state, here = now.state[vm], set(now.where[vm])
    share = now.share[vm] | dict(getattr(action, "amounts", ()))
    if kind == "Boot":
        require(state == "ready")
        now.state[vm], now.share[vm], now.where[vm] = "running", share, {action.node: share}
    elif kind == "Resume":
        require(state == "sleeping" and now.image[vm] == (action.source or action.node))
        now.state[vm], now.share[vm], now.where[vm] = "running", share, {action.node: share}
        if action.source:
            now.resuming_from[vm] = action.source
    elif kind == "Migrate":
        require(state == "running" and here == {action.source} != {action.destination})
        now.where[vm] = now.where[vm] | {action.destination: share}
    elif kind == "Allocate":
        require(state in ("running", "paused") and here == {action.node})
        old = now.share[vm]
        now.where[vm] = {action.node: {r: max(old.get(r, 0), share.get(r, 0)) for r in share}}
    elif kind == "Kill":
        require(state != "killed")
        place = here or {now.image.get(vm, "")}
        require({action.node} == place or (not here and not action.node))
    else:
        wanted = {"Unpause": ("paused",), "Suspend": ("running", "paused")}.get(kind, ("running",))
        require(state in wanted and here == {action.node})


def end(now: Now, step: PlannedAction) -> None:
    """What changes when an action that was started ends."""
    action, kind = step.action, type(step.action).__name__
    vm = action.vm
    if kind == "BootNode":
        now.usable.add(action.node)
        now.shut.discard(action.node)
    elif kind == "ShutdownNode":
        now.online.discard(action.node)
    elif kind == "Resume":
        now.image.pop(vm)
        now.resuming_from.pop(vm, None)
    elif kind in ("Migrate", "Allocate"):
        now.share[vm] = now.share[vm] | dict(action.amounts)
        now.where[vm] = {action.destination if kind == "Migrate" else action.node: now.share[vm]}
    elif kind == "Suspend":
        now.state[vm], now.where[vm], now.image[vm] = "sleeping", {}, action.node
    elif kind in ("Shutdown", "Kill"):
        now.state[vm], now.where[vm] = "ready" if kind == "Shutdown" else "killed", {}
        now.image.pop(vm, None)
    elif kind in ("Pause", "Unpause"):
        now.state[vm] = "paused" if kind == "Pause" else "running"


def require(condition: bool) -> None:
    if not condition:
        raise Impossible


def room(problem: Problem, node: str, resource: str) -> float:
    physical = problem.cluster.nodes[node].capacity.get(resource, 0)
    ratios = [
        rule.amount
        for rule in problem.constraints
        if rule.kind == "overbook" and node in rule.nodes and rule.resource == resource
    ]
    return float(int(physical * min(ratios) + 1e-6)) if ratios else physical


def resources(problem: Problem) -> list[str]:
    of_nodes = (node.capacity for node in problem.cluster.nodes.values())
    return sorted({name for amounts in of_nodes for name in amounts} | {"cpu"})


def holds(rule: Constraint, now: Now, first: Now) -> bool:
    """Whether a rule holds at an instant, `first` being the one at which the plan began."""
    vms, nodes, sets = rule.vms, set(rule.nodes), rule.sets
    match rule.kind:
        case "spread":
            return all(now.nodes(a).isdisjoint(now.nodes(b)) for a, b in combinations(vms, 2))
        case "gather":
            return len(now.all_nodes(vms)) <= 1
        case "ban":
            return now.all_nodes(vms).isdisjoint(nodes)
        case "fence":
            return now.all_nodes(vms) <= nodes
        case "among":
            return any(now.all_nodes(vms) <= set(group) for group in (*rule.groups, ()))
        case "split":
            return all(now.all_nodes(a).isdisjoint(now.all_nodes(b)) for a, b in combinations(sets, 2))
        case "splitAmong":
            places = [now.all_nodes(part) for part in sets]
            groups = [[g for g in rule.groups if not p.isdisjoint(g)] for p in places]
            inside = all(len(g) <= 1 and p <= set().union(*g) for p, g in zip(places, groups, strict=True))
            taken = [g[0] for g in groups if g]
            return inside and len(set(taken)) == len(taken)
        case "lonely":
            return all(now.guests(n) <= set(vms) for n in now.all_nodes(vms))
        case "root":
            return all(not first.nodes(vm) or now.nodes(vm) <= first.nodes(vm) for vm in vms)
        case "quarantine":
            inside = [vm for vm in now.where if first.nodes(vm) & nodes]
            stay = all(now.nodes(vm) <= first.nodes(vm) for vm in inside)
            return stay and all(now.guests(n) <= first.guests(n) for n in nodes)
        case "maxOnline":
            return len(now.online & nodes) <= rule.amount
        case "resourceCapacity":
            return sum(now.used(n, rule.resource) for n in nodes) <= rule.amount + 1e-6
        case "runningCapacity":
            return sum(bool(now.nodes(vm) & nodes) for vm in now.where) <= rule.amount
        case "preserve":
            short = (now.share[vm].get(rule.resource, 0) < rule.amount - 1e-6 for vm in vms if now.nodes(vm))
            return not any(short)
        case "running":
            return all(now.state[vm] in ("running", "paused") for vm in vms)
        case "ready" | "sleeping" | "killed":
            return all(now.state[vm] == rule.kind for vm in vms)
        case "online" | "offline":
            return all((node in now.online) == (rule.kind == "online") for node in nodes)
        case "overbook":
            return True
        case "drain":
            return not any(now.guests(n) for n in nodes)
    raise NotImplementedError(rule.kind)


def always(problem: Problem, first: Now) -> list[Constraint]:
    """The rules that bind every instant."""
    continuous = [
        r for r in problem.constraints if r.kind in ALWAYS or (r.continuous and r.kind not in RESULT_ONLY)
    ]
    return [rule for rule in continuous if not rule.weight and holds(rule, first, first)]


def wrong_now(problem: Problem, now: Now, first: Now) -> bool:
    """Whether an instant in a plan is faulty."""
    for node in problem.cluster.nodes:
        if node not in now.usable and (now.guests(node) or node in now.resuming_from.values()):
            return True
        if node in now.shut and node in now.image.values():
            return True
        for resource in resources(problem):
            if (
                now.used(node, resource)
                > max(room(problem, node, resource), first.used(node, resource)) + 1e-6
            ):
                return True
    return not all(holds(rule, now, first) for rule in always(problem, first))


def wrong_at_last(problem: Problem, now: Now, first: Now) -> bool:
    """Whether a result is faulty, `first` being the instant at which the plan began."""
    for node in problem.cluster.nodes:
        full = any(now.used(node, r) > room(problem, node, r) + 1e-6 for r in resources(problem))
        if full or (now.guests(node) and node not in now.usable):
            return True
    if not all(holds(rule, now, first) for rule in problem.constraints if not rule.weight):
        return True
    wanted = {
        vm
        for r in problem.constraints
        if r.kind in ("running", "ready", "sleeping", "killed")
        for vm in r.vms
    }
    preserved = {(vm, r.resource) for r in problem.constraints if r.kind == "preserve" for vm in r.vms}
    before = after_ongoing(problem)
    for vm in now.state:
        if now.state[vm] != before.state[vm] and vm not in wanted:
            return True
        for name, amount in before.share[vm].items():
            if now.share[vm].get(name, 0) < amount and (vm, name) not in preserved:
                return True
    return False


def after_ongoing(problem: Problem) -> Now:
    """The cluster once what is ongoing has ended."""
    now = beginning(problem)
    for step in problem.ongoing:
        start(now, step)
        end(now, step)
    return now


def out_of_time(problem: Problem, plan: Plan) -> list[float]:
    """When actions start before what they depend on has ended, or end after the horizon."""
    ends_s = {step.number: step.end_s for step in (*problem.ongoing, *plan.actions)}
    early = [s.start_s for s in plan.actions if any(ends_s[n] > s.start_s for n in s.depends_on)]
    return early + [s.end_s for s in plan.actions if s.end_s > problem.horizon_s]


def possible(problem: Problem, plan: Plan) -> tuple[list[PlannedAction], list[float]]:
    """The actions that can be carried out at their times, ordered; and when others would have started."""
    now, kept, impossible_s = beginning(problem), [], []
    for step in problem.ongoing:
        start(now, step)
        end(now, step)
    free_s = {subject(step): step.end_s for step in problem.ongoing}
    for step in sorted(plan.actions, key=lambda step: (step.start_s, step.end_s)):
        try:
            require(free_s.get(subject(step), 0) <= step.start_s)
            start(now, step)
        except Impossible:
            impossible_s.append(step.start_s)
            continue
        end(now, step)
        free_s[subject(step)] = step.end_s
        kept.append(step)
    return kept, impossible_s


def subject(step: PlannedAction) -> str:
    return step.action.vm or step.action.node


def situation(problem: Problem, steps: list[PlannedAction], at_s: float) -> Now:
    """The instant `at_s`, from the beginning: a step is under way from its start on, over from its end on."""
    now = beginning(problem)
    for step in problem.ongoing:
        start(now, step)
        if step.end_s <= at_s:
            end(now, step)
    for step in steps:
        if step.start_s <= at_s:
            start(now, step)
        if step.end_s <= at_s:
            end(now, step)
    return now


def first_fault_s(problem: Problem, plan: Plan) -> float | None:
    """The first instant at which a plan carried out at its times goes wrong; None when it holds."""
    if late := out_of_time(problem, plan):
        return min(late)
    steps, wrong_s = possible(problem, plan)
    first = situation(problem, [], -1.0)
    times = {
        t for s in (*problem.ongoing, *steps) for e in (s.start_s, s.end_s) for t in (e - 0.01, e, e + 0.01)
    }
    last_s = max((s.end_s for s in (*problem.ongoing, *steps)), default=0.0)
    times |= {k / 2 for k in range(int(2 * last_s) + 1)}
    for at_s in sorted(t for t in times if 0 <= t <= last_s):
        now = situation(problem, steps, at_s)
        if wrong_now(problem, now, first) or too_many(problem, steps, at_s):
            wrong_s.append(at_s)
            break
    if wrong_at_last(problem, situation(problem, steps, last_s), first):
        wrong_s.append(last_s)
    return min(wrong_s, default=None)


def too_many(problem: Problem, steps: list[PlannedAction], at_s: float) -> bool:
    """Whether a migration starts while too many others are under way."""
    every = [s for s in (*problem.ongoing, *steps) if type(s.action).__name__ == "Migrate"]
    moving = [s.action for s in every if s.start_s <= at_s < s.end_s]
    begun = [s.action for s in steps if s.start_s == at_s < s.end_s and s in every]
    limits = problem.limits
    for action in begun:
        out = sum(other.source == action.source for other in moving)
        into = sum(other.destination == action.destination for other in moving)
        for count, limit in (
            (len(moving), limits.migrations),
            (out, limits.out_per_node),
            (into, limits.in_per_node),
        ):
            if limit is not None and count > limit:
                return True
    return False


def goes_wrong_in_some_order(problem: Problem, plan: Plan) -> bool:
    """Whether some order of starts and ends that the dependencies allow goes wrong."""
    first = situation(problem, [], -1.0)
    known = {step.number: step for step in (*problem.ongoing, *plan.actions)}
    under_way = frozenset(step.number for step in problem.ongoing)
    todo = [((), under_way, frozenset())]  # what happened: (number, whether it ended); started; ended
    seen = {(under_way, frozenset())}
    while todo:
        happened, started, ended = todo.pop()
        now = situation(problem, [], -1.0)
        for number, ends in happened:
            (end if ends else start)(now, known[number])
        if wrong_now(problem, now, first):
            return True
        if len(ended) == len(known) and wrong_at_last(problem, now, first):
            return True
        busy = {subject(known[n]) for n in started - ended}
        ready = [s for s in plan.actions if s.number not in started and set(s.depends_on) <= ended]
        for step in ready:
            if subject(step) in busy:
                return True
            try:
                start(copy.deepcopy(now), step)
            except Impossible:
                return True
            after = ((*happened, (step.number, False)), started | {step.number}, ended)
            if after[1:] not in seen:
                seen.add(after[1:])
                todo.append(after)
        for number in sorted(started - ended):
            after = ((*happened, (number, True)), started, ended | {number})
            if after[1:] not in seen:
                seen.add(after[1:])
                todo.append(after)
    return False
