"""The judge of plans carried out by their dependencies: every order of starts and ends that these allow.

An action starts at any time after what it depends on has ended, and takes as long as it likes. A set of
events (starts and ends) that contains what precedes each of them is an instant of some execution, and every
instant is such a set: the most a node may have to hold is a closure of largest weight, found by a flow. Where
breaking a rule takes two VMs, all pairs of what they may hold together are judged.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from itertools import chain, combinations, pairwise

import msgspec

from lucos.model import Constraint, Plan, Resume
from lucos.placement.cluster import Cluster
from lucos.placement.constraints.base import Breach
from lucos.placement.flow import heaviest_closure
from lucos.placement.judges import (
    NEIGHBOUR_KINDS,
    Capacities,
    Rule,
    exceeds,
    judge_result,
    off,
    rules_of,
)
from lucos.placement.moment import Moment
from lucos.placement.problem import Problem
from lucos.placement.timeline import Fault, Stand, Step, carried_out, nonsense
from lucos.placement.world import World

ORDERED_KINDS = frozenset({"seq", "before", "precedence", "serialize"})
"""Rules about which action comes before which: dependencies must see to it."""
TIMED_KINDS = frozenset({"sync", "deadline", "noDelay"})
"""Rules about times, of which dependencies say nothing."""
SUM_KINDS = frozenset({"resourceCapacity", "maxOnline"})
"""Rules that limit a sum over nodes."""


class Stage(msgspec.Struct, frozen=True):
    """A stage in the life of a VM or node: between two of its steps, or while one is under way.

    `last` is the step that started or ended last, `next` the one that will start or end next; -1: none.
    `nodes` are those that a VM holds, `image` is the node of its image.
    """

    last: int = -1
    next: int = -1
    nodes: frozenset[str] = frozenset()
    image: str = ""

    @property
    def under_way(self) -> bool:
        return self.last == self.next >= 0


def check_orders(problem: Problem, plan: Plan) -> list[Fault]:
    """What may go wrong when a plan is carried out by its dependencies; empty when nothing can.

    Times are not looked at, nor what depends on them (deadlines, limits on parallel migrations, the network;
    synchronised starts are taken for granted). A fault's time is the planned start of an action concerned.
    Raises `UnknownObject` for an unknown kind of rule.
    """
    if faults := nonsense(problem, plan, by_time=False):
        return faults
    steps, faults = carried_out(problem, plan, by_time=False)
    if faults:
        return faults
    orders = _Orders(steps)
    faults += orders.overlaps()
    if faults:
        return faults
    world = World.started(problem.cluster)
    for step in steps:
        if step.ongoing:
            world.begin(step)
    origin = world.snapshot()
    world.start = origin
    rules, capacities = rules_of(problem, origin), Capacities(problem)
    faults += _capacity_faults(orders, origin, capacities)
    faults += _node_faults(orders, origin)
    for rule in rules:
        if rule.sound and not rule.constraint.relocate:
            faults += _instant_faults(rule, orders, origin)
        if rule.constraint.kind not in TIMED_KINDS and not rule.constraint.relocate:
            faults += _plan_faults(rule, orders, plan, problem.cluster)
    for step in steps:
        if not step.ongoing:
            world.begin(step)
        world.finish(step)
    return faults + judge_result(problem, world, rules, capacities, steps, plan.makespan_s)


Event = tuple[int, bool]
"""A step and whether it ends (else it starts)."""


class _Orders:
    """Which step must have ended before which starts: bit i of `_before[j]` says so of step i and step j."""

    def __init__(self, steps: list[Step]) -> None:
        self.steps = steps
        # What takes steps, as (VM, "") or ("", node).
        self.chains: defaultdict[tuple[str, str], list[int]] = defaultdict(list)
        # The last place is for -1, no step: nothing precedes it.
        self._before = [0] * (len(steps) + 1)
        index: dict[int, int] = {}
        for i, step in enumerate(steps):
            for number in step.planned.depends_on if not step.ongoing else ():
                self._before[i] |= self._before[index[number]] | 1 << index[number]
            index[step.planned.number] = i
            self.chains[step.vm, step.node].append(i)
        self.stages = {name: list(self._stages(indexes)) for name, indexes in self.chains.items()}
        self.movers = {vm: stages for (vm, _), stages in self.stages.items() if vm}
        self.visitors: defaultdict[str, dict[str, None]] = defaultdict(dict)
        for vm, stages in self.movers.items():
            for node in dict.fromkeys(chain.from_iterable((*s.nodes, s.image) for s in stages)):
                self.visitors[node][vm] = None
        # (node, resource): what each event adds there, or takes.
        self.changes: defaultdict[tuple[str, str], defaultdict[Event, float]] = defaultdict(_no_change)
        for i, step in enumerate(steps):
            if not step.ongoing:
                self._add_change((i, False), step.before, step.during)
            self._add_change((i, True), step.during, step.after)

    def _add_change(self, event: Event, old: Stand | None, new: Stand | None) -> None:
        for stand, sign in ((old, -1), (new, 1)) if old is not new else ():
            for node, amounts in stand.held if stand is not None else ():
                for resource, amount in amounts.items():
                    self.changes[node, resource][event] += sign * amount

    def _stages(self, indexes: list[int]) -> Iterator[Stage]:
        last = -1
        for i in indexes:
            step = self.steps[i]
            if not step.ongoing:
                yield _stage(last, i, step.before)
            yield _stage(i, i, step.during)
            last = i
        yield _stage(last, -1, self.steps[last].after)

    def precedes(self, i: int, j: int) -> bool:
        """Whether step i has ended whenever step j has started."""
        return i >= 0 and bool(self._before[j] >> i & 1)

    def together(self, p: Stage, q: Stage) -> bool:
        """Whether two VMs or nodes can be in these stages at one instant."""
        return not (self.precedes(p.next, q.last) or self.precedes(q.next, p.last))

    def overlaps(self) -> Iterator[Fault]:
        """Steps on one VM or node that do not wait for each other."""
        for (vm, node), indexes in self.chains.items():
            for i, j in pairwise(indexes):
                if not self.precedes(i, j):
                    a, b = (self.steps[k].planned.number for k in (i, j))
                    text = f"actions {a} and {b} on {vm or node} do not wait for each other"
                    yield Fault(self.steps[j].start_s, text, nodes=(node,) * bool(node), vms=(vm,) * bool(vm))

    def start_s(self, indexes: Iterable[int]) -> float:
        """The planned start of the first of some steps."""
        return min((self.steps[i].start_s for i in indexes if i >= 0), default=0.0)


def _no_change() -> defaultdict[Event, float]:
    return defaultdict(float)


def _stage(last: int, following: int, stand: Stand | None) -> Stage:
    if stand is None:
        return Stage(last, following)
    return Stage(last, following, frozenset(node for node, _ in stand.held), stand.image)


def _peak(orders: _Orders, changes: Mapping[Event, float], room: float) -> tuple[float, list[int]]:
    """The most that a sum may grow by, where that may be more than `room`, and the steps that do."""
    events = list(changes)
    gains = {k: changes[event] for k, event in enumerate(events) if changes[event] > 0}
    if not exceeds(sum(gains.values()), room):
        return 0.0, []
    losses = {k: -changes[event] for k, event in enumerate(events) if changes[event] < 0}
    needs = {
        gain: [
            loss
            for loss in losses
            if orders.precedes(events[loss][0], events[gain][0])
            or (events[loss][0] == events[gain][0] and events[gain][1])
        ]
        for gain in gains
    }
    most, chosen = heaviest_closure(gains, losses, needs)
    return most, sorted({events[gain][0] for gain in chosen})


def _capacity_faults(orders: _Orders, origin: World, capacities: Capacities) -> Iterator[Fault]:
    """Nodes that may come to hold more than they offer (or than they held at first)."""
    for (node, resource), changes in orders.changes.items():
        base = origin.used[node].get(resource, 0.0)
        room = max(capacities.of(node, resource) - base, 0.0)
        more, at_fault = _peak(orders, changes, room)
        if exceeds(more, room):
            vms = [orders.steps[i].vm for i in at_fault]
            yield capacities.fault(node, resource, "may hold", base + more, vms, orders.start_s(at_fault))


def _node_faults(orders: _Orders, origin: World) -> Iterator[Fault]:
    """VMs that may be on a node while it is off, or have their image there when it is shut down."""
    for node in {node: None for _, node in orders.chains} | dict.fromkeys(orders.visitors):
        stages = orders.stages.get(("", node), [Stage()])
        shut = [q for q in stages if q.last >= 0 and not orders.steps[q.last].boots]
        booting = [q for q in stages if q.under_way and q not in shut]
        before = [q for q in stages if q.last < 0 and node not in origin.usable]
        if not node or not (shut or booting or before):
            continue
        users = (*origin.present[node], *origin.images.get(node, ()), *orders.visitors[node])
        for vm in dict.fromkeys(users):
            for p in orders.movers.get(vm) or [_stage(-1, -1, Stand.of(origin.cluster.vms[vm]))]:
                resumes = p.under_way and isinstance(orders.steps[p.last].planned.action, Resume)
                if node in p.nodes or (resumes and p.image == node):
                    why, bad = "may be off while it is needed by", [*before, *booting, *shut]
                else:
                    why, bad = "may be shut down with the image of", shut if p.image == node else []
                if any(orders.together(p, q) for q in bad):
                    yield off(node, [vm], orders.start_s([p.last]), why)
                    break


def _instant_faults(rule: Rule, orders: _Orders, origin: World) -> Iterator[Fault]:
    """At most one fault: how a rule may be broken at some instant."""
    if rule.constraint.kind in SUM_KINDS:
        yield from _sum_faults(rule, orders, origin)
        return
    for breach, step in _breaches(rule, orders, origin):
        text = f"it may be that {breach.text}"
        yield Fault(orders.start_s([step]), text, rule.constraint, breach.nodes, breach.vms)
        return


def _plan_faults(rule: Rule, orders: _Orders, plan: Plan, cluster: Cluster) -> Iterator[Fault]:
    """At most one fault: what a rule about actions says of them, but for their times."""
    constraint, text = rule.constraint, ""
    plans: Iterable[Plan] = [plan]
    if constraint.kind in ORDERED_KINDS:
        plans, text = _pairs_of_steps(constraint, orders), "dependencies do not put its actions in order"
    for one in plans:
        breach = rule.kind.broken_by_plan(constraint, one, cluster)
        if breach is not None:
            at_s = min((step.start_s for step in plan.actions if step.action.vm in breach.vms), default=0.0)
            yield Fault(at_s, text or breach.text, constraint, breach.nodes, breach.vms)
            return


def _pairs_of_steps(constraint: Constraint, orders: _Orders) -> Iterator[Plan]:
    """Pairs of actions of a rule's VMs, at times that show their order: at once when they have none."""
    indexes = [i for vm in constraint.vms for i in orders.chains.get((vm, ""), ())]
    for i, j in combinations(indexes, 2):
        first, second = orders.precedes(i, j), orders.precedes(j, i)
        times = ((i, float(second)), (j, float(first)))
        yield Plan(
            tuple(
                msgspec.structs.replace(orders.steps[k].planned, start_s=start_s, end_s=start_s + 1)
                for k, start_s in times
            )
        )


def _sum_faults(rule: Rule, orders: _Orders, origin: World) -> Iterator[Fault]:
    """Whether a sum over nodes may exceed its limit."""
    constraint, nodes = rule.constraint, dict.fromkeys(rule.nodes)
    changes: defaultdict[Event, float] = defaultdict(float)
    if constraint.kind == "maxOnline":
        base = float(len(nodes.keys() & origin.online))
        for i, step in enumerate(orders.steps):
            if step.node in nodes and not (step.ongoing and step.boots):
                changes[i, not step.boots] = 1.0 if step.boots else -1.0
    else:
        base = sum(origin.used[node].get(constraint.resource, 0.0) for node in nodes)
        for node in nodes:
            for event, amount in orders.changes.get((node, constraint.resource), {}).items():
                changes[event] += amount
    room = max(constraint.amount - base, 0.0)
    more, at_fault = _peak(orders, changes, room)
    if exceeds(more, room):
        text = f"it may come to {base + more:.10g}"
        vms = tuple(orders.steps[i].vm for i in at_fault)
        yield Fault(orders.start_s(at_fault), text, constraint, constraint.nodes, vms)


def _breaches(rule: Rule, orders: _Orders, origin: World) -> Iterator[tuple[Breach, int]]:
    """How one VM that moves, or two together, may break a rule, and during which step.

    To hold more nodes never mends a rule: when it holds though each VM is wherever it may come, all is well.
    """
    movers, hosts = _scope(rule, orders, origin)

    def broken(more: Mapping[str, Iterable[str]]) -> Breach | None:
        held = hosts | {vm: frozenset(nodes) for vm, nodes in more.items()}
        return rule.kind.broken(rule.constraint, Moment(held, origin.cluster, start=origin))

    def reach(vm: str, p: Stage | None = None) -> set[str]:
        return {n for q in orders.movers[vm] if p is None or orders.together(p, q) for n in q.nodes}

    if not movers or broken({vm: reach(vm) for vm in movers}) is None:
        return
    for vm in movers:
        others = [other for other in movers if other != vm]
        for p in orders.movers[vm]:
            if not p.under_way or broken({vm: p.nodes} | {w: reach(w, p) for w in others}) is None:
                continue
            alone = broken({vm: p.nodes})
            if alone is not None:
                yield alone, p.last
            for other in others:
                for q in orders.movers[other]:
                    both = broken({vm: p.nodes, other: q.nodes}) if orders.together(p, q) else None
                    if both is not None:
                        yield both, p.last


def _scope(rule: Rule, orders: _Orders, origin: World) -> tuple[list[str], dict[str, frozenset[str]]]:
    """The VMs that move and may break a rule, and what is held by those that stay and matter to it."""
    named = dict.fromkeys(rule.vms)
    movers = {vm: None for vm in named if vm in orders.movers}
    hosts = {vm: origin.of(vm) for vm in named if vm not in orders.movers}
    places: set[str] = set()
    if not named:
        places.update(rule.nodes)
    elif rule.constraint.kind in NEIGHBOUR_KINDS:
        places.update(*hosts.values(), *(p.nodes for vm in movers for p in orders.movers[vm]))
    for node in sorted(places):
        movers |= orders.visitors[node]
        hosts |= {vm: origin.of(vm) for vm in origin.guests(node) if vm not in orders.movers}
    return list(movers), hosts
