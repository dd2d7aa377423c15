"""The action on the first VM ends before the action on the second one starts, whatever the actions are.

Continuous: over the whole plan. A VM that is left alone, or only allocated more, does not hold the other up.

Tip: use it to make room for one VM only after another has left; seq orders many VMs. It is also called
precedence.
"""

from __future__ import annotations

from lucos.model import Allocate, Constraint, Plan
from lucos.model.signature import Modes, Role, Signature
from lucos.placement.cluster import Cluster
from lucos.placement.constraints.base import Breach, Example
from lucos.placement.constraints.examples import plan
from lucos.placement.constraints.schedules import WORLD, A, B, Scheduled, out_of_order, spans
from lucos.placement.primitives import When

_RULE = Constraint("before", ("A", "B"))


class Before(Scheduled):
    signature = Signature("before", (Role.VM, Role.VM), Modes.CONTINUOUS, soft=False)
    when = When.SEQUENCE
    examples = (
        Example("B starts when A ends", _RULE, WORLD, True, plan((A, 0, 3), (B, 3, 5))),
        Example("B starts too early", _RULE, WORLD, False, plan((A, 0, 3), (B, 2, 4))),
    )

    def broken_by_plan(self, rule: Constraint, plan: Plan, _cluster: Cluster) -> Breach | None:
        return out_of_order(spans(rule, plan, Allocate))


KIND = Before()
