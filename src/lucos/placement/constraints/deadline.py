"""The actions on these VMs have ended `amount` seconds after the plan begins: the maintenance window closes.

Continuous: over the whole plan. Changes of allocation do not count.

Tip: durations are estimates; leave a margin, above all for migrations of busy VMs.
"""

from __future__ import annotations

import math
from collections.abc import Iterable

from lucos.model import Allocate, Constraint, Plan
from lucos.model.signature import Modes, Role, Signature
from lucos.placement.arrays import Arrays
from lucos.placement.cluster import Cluster
from lucos.placement.constraints.amounts import SLACK
from lucos.placement.constraints.base import Breach, Example
from lucos.placement.constraints.examples import plan
from lucos.placement.constraints.schedules import SAME_INSTANT_S, WORLD, A, B, Scheduled, spans
from lucos.placement.primitives import AnyPrimitive, Timing, When

_RULE = Constraint("deadline", ("A",), amount=4)


class Deadline(Scheduled):
    signature = Signature("deadline", (Role.VMS, Role.AMOUNT), Modes.CONTINUOUS, soft=False)
    when = When.DEADLINE
    examples = (
        Example("A is done at 3 s", _RULE, WORLD, True, plan((A, 0, 3), (B, 3, 5))),
        Example("A is done at 5 s", _RULE, WORLD, False, plan((B, 0, 2), (A, 2, 5))),
    )

    def broken_by_plan(self, rule: Constraint, plan: Plan, _cluster: Cluster) -> Breach | None:
        for span in spans(rule, plan, Allocate):
            if span.end_s > rule.amount + SAME_INSTANT_S:
                return Breach(f"{span.vm} is done at {span.end_s:g} s", (), (span.vm,))
        return None

    def lower(self, rule: Constraint, number: int, arrays: Arrays) -> Iterable[AnyPrimitive]:
        at = math.floor(rule.amount / arrays.problem.durations.tick_s + SLACK)
        vms = arrays.vms_of(rule.vms)
        yield Timing(rule=number, continuous=True, when=self.when, vms=vms, at=at)


KIND = Deadline()
