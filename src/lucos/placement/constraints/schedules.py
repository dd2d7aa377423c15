"""What the rules about when actions run share: what a plan does to each VM, and from when to when."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import pairwise
from typing import ClassVar, NamedTuple

from lucos.model import Boot, Constraint, Migrate, Plan
from lucos.placement.arrays import Arrays
from lucos.placement.constraints.base import Breach, Kind
from lucos.placement.constraints.checked import names_in
from lucos.placement.constraints.examples import cluster
from lucos.placement.primitives import AnyPrimitive, Timing, When

SAME_INSTANT_S = 1e-6

# For examples: B boots (2 s), A is migrated (3 s).
WORLD = cluster({"A": "N1", "B": None})
A, B = Migrate("A", "N1", "N2"), Boot("B", "N2")


class Span(NamedTuple):
    """When a VM is acted upon."""

    vm: str
    start_s: float
    end_s: float


def acts(rule: Constraint, plan: Plan, *but: type) -> list[Span]:
    """One for each action on the rule's VMs, in the plan's order; types `but` do not count."""
    members = names_in(rule.vms)
    return [
        Span(step.action.vm, step.start_s, step.end_s)
        for step in plan.actions
        if step.action.vm in members and not isinstance(step.action, but)
    ]


def spans(rule: Constraint, plan: Plan, *but: type) -> list[Span]:
    """From the first action on a VM to the end of its last one, in the rule's order."""
    found = dict[str, Span]()
    for act in acts(rule, plan, *but):
        known = found.get(act.vm, act)
        found[act.vm] = Span(act.vm, min(known.start_s, act.start_s), max(known.end_s, act.end_s))
    return [found[vm] for vm in rule.vms if vm in found]


def out_of_order(found: list[Span]) -> Breach | None:
    """Why these spans do not follow each other."""
    for first, second in pairwise(found):
        if second.start_s < first.end_s - SAME_INSTANT_S:
            text = f"{second.vm} starts at {second.start_s:g} s, before {first.vm} ends at {first.end_s:g} s"
            return Breach(text, (), (first.vm, second.vm))
    return None


class Scheduled(Kind):
    """Lowers to one `Timing`."""

    when: ClassVar[When]

    def lower(self, rule: Constraint, number: int, arrays: Arrays) -> Iterable[AnyPrimitive]:
        yield Timing(rule=number, continuous=True, when=self.when, vms=arrays.vms_of(rule.vms))
