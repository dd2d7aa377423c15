"""What judges of plans by time and by order share: when rules bind, what nodes offer, what must be kept."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence

from lucos.errors import UnknownObject
from lucos.model import Constraint
from lucos.model.signature import Modes
from lucos.placement.cluster import amount_text
from lucos.placement.constraints import KINDS
from lucos.placement.constraints.base import Kind
from lucos.placement.problem import Problem
from lucos.placement.timeline import Fault, Step
from lucos.placement.world import World

STATE_KINDS = frozenset({"running", "ready", "sleeping", "killed"})
"""Rules that want a state of VMs; without one, a VM keeps its own."""

NEIGHBOUR_KINDS = frozenset({"lonely"})
"""Rules about VMs that others break by sharing their nodes."""

ROUNDING = 1e-6


class Rule:
    """A hard rule with its kind. `sound`: it binds every instant of a plan, not only its result."""

    def __init__(self, constraint: Constraint, origin: World) -> None:
        kind = KINDS.get(constraint.kind)
        if kind is None:
            raise UnknownObject(
                f"{constraint}: there is no kind of rule {constraint.kind!r}",
                hint=f"the kinds are {', '.join(sorted(KINDS))}",
            )
        self.constraint = constraint
        self.kind: Kind = kind
        modes = kind.signature.modes
        always = constraint.continuous if modes is Modes.BOTH else modes is Modes.CONTINUOUS
        # What nodes offer is judged with overbooking, instant by instant: not twice.
        judged = constraint.kind != "overbook" and type(kind).broken is not Kind.broken
        self.sound = judged and always and kind.broken(constraint, origin) is None
        self.in_result = judged and not self.sound

    @property
    def vms(self) -> Iterator[str]:
        """The VMs it names."""
        yield from self.constraint.vms
        for names in self.constraint.sets:
            yield from names

    @property
    def nodes(self) -> Iterator[str]:
        """The nodes it names."""
        yield from self.constraint.nodes
        for names in self.constraint.groups:
            yield from names

    def judge(self, world: World, at_s: float, when: str = "") -> Iterator[Fault]:
        """At most one fault: why it does not hold now."""
        breach = self.kind.broken(self.constraint, world)
        if breach is not None:
            yield Fault(at_s, breach.text + when, self.constraint, breach.nodes, breach.vms)


def rules_of(problem: Problem, origin: World) -> list[Rule]:
    """The hard rules, in their order."""
    return [Rule(constraint, origin) for constraint in problem.constraints if not constraint.weight]


class Capacities:
    """What each node offers, overbooking included: the strictest rule about it counts."""

    def __init__(self, problem: Problem) -> None:
        self._nodes = problem.cluster.nodes
        self._overbooked: dict[tuple[str, str], Constraint] = {}
        for rule in problem.constraints:
            for node in rule.nodes if rule.kind == "overbook" else ():
                known = self._overbooked.get((node, rule.resource))
                if known is None or rule.amount < known.amount:
                    self._overbooked[node, rule.resource] = rule

    def of(self, node: str, resource: str) -> float:
        """The most that VMs may take of a resource on a node."""
        physical = self._nodes[node].capacity.get(resource, 0.0)
        rule = self._overbooked.get((node, resource))
        return physical if rule is None else math.floor(physical * rule.amount + ROUNDING)

    def fault(
        self, node: str, resource: str, verb: str, amount: float, who: Sequence[str], at_s: float
    ) -> Fault:
        """`N1 would hold 12 of 10 cpu: V1, V5`."""
        room = amount_text(self.of(node, resource), resource)
        text = f"{node} {verb} {amount:.10g} of {room}: {listed(who)}"
        return Fault(at_s, text, self._overbooked.get((node, resource)), (node,), tuple(who))

    def judge_result(self, world: World, at_s: float) -> Iterator[Fault]:
        """Nodes that hold more than they offer when all is done, or are off and hold somebody."""
        for node, used in world.used.items():
            for resource, amount in used.items():
                if exceeds(amount, self.of(node, resource)):
                    yield self.fault(
                        node, resource, "holds in the result", amount, takers(world, node, resource), at_s
                    )
            if node not in world.usable and world.present[node]:
                yield off(node, world.guests(node), at_s)


def exceeds(amount: float, limit: float) -> bool:
    """Whether an amount is above a limit by more than the rounding of sums and of scaled amounts."""
    return amount > limit + ROUNDING + 1e-9 * limit


def takers(world: World, node: str, resource: str) -> list[str]:
    """The VMs that hold some of a resource on a node."""
    return [vm for vm, amounts in world.present[node].items() if amounts.get(resource)]


def listed(names: Sequence[str], shown_max: int = 8) -> str:
    """`V1, V2, 3 more`."""
    more = [f"{len(names) - shown_max} more"] if len(names) > shown_max else []
    return ", ".join([*names[:shown_max], *more])


def off(node: str, vms: Sequence[str], at_s: float, why: str = "is not online") -> Fault:
    """VMs are where nobody may be."""
    return Fault(at_s, f"{node} {why}: {listed(vms)}", nodes=(node,), vms=tuple(vms))


def judge_result(
    problem: Problem,
    world: World,
    rules: Iterable[Rule],
    capacities: Capacities,
    steps: list[Step],
    at_s: float,
) -> list[Fault]:
    """What does not hold when all is done."""
    faults = list(capacities.judge_result(world, at_s))
    for rule in rules:
        if rule.in_result:
            faults += rule.judge(world, at_s, " in the result")
    return faults + list(_unasked(problem, steps, at_s))


def _unasked(problem: Problem, steps: Iterable[Step], at_s: float) -> Iterator[Fault]:
    """VMs whose state no rule asked to change, and allocations that shrank unasked."""
    first = {step.vm: step.before for step in reversed([s for s in steps if s.vm and not s.ongoing])}
    last = {step.vm: step.after for step in steps if step.vm}
    wanted: set[str] = set()
    preserved: set[tuple[str, str]] = set()
    for rule in problem.constraints:
        if rule.kind in STATE_KINDS:
            wanted.update(rule.vms)
        elif rule.kind == "preserve":
            preserved.update((vm, rule.resource) for vm in rule.vms)
    for vm, before in first.items():
        after = last[vm]
        assert before is not None
        assert after is not None
        if after.state is not before.state and vm not in wanted:
            text = f"{vm} ends {after.state}, it was {before.state}: no rule asks for that"
            yield Fault(at_s, text, vms=(vm,))
        for resource, amount in before.amounts.items():
            left = after.amounts.get(resource, 0.0)
            if left < amount and (vm, resource) not in preserved:
                text = f"{vm} ends with {left:.10g} of its {amount_text(amount, resource)}, unasked"
                yield Fault(at_s, text, vms=(vm,))
