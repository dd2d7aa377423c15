"""The actions on these VMs run one at a time, in any order: they would share a link, a disk or a licence.

Continuous: over the whole plan. Changes of allocation do not count.

Tip: limits on parallel migrations of the whole cluster, or per node, are options of the planner, not rules.
"""

from __future__ import annotations

from lucos.model import Allocate, Constraint, Plan
from lucos.model.signature import Modes, Role, Signature
from lucos.placement.cluster import Cluster
from lucos.placement.constraints.base import Breach, Example
from lucos.placement.constraints.examples import plan
from lucos.placement.constraints.schedules import WORLD, A, B, Scheduled, acts, out_of_order
from lucos.placement.primitives import When

_RULE = Constraint("serialize", ("A", "B"))


class Serialize(Scheduled):
    signature = Signature("serialize", (Role.VMS,), Modes.CONTINUOUS, soft=False)
    when = When.SERIALIZE
    examples = (
        Example("one after the other", _RULE, WORLD, True, plan((B, 0, 2), (A, 2, 5))),
        Example("both at once", _RULE, WORLD, False, plan((A, 0, 3), (B, 0, 2))),
    )

    def broken_by_plan(self, rule: Constraint, plan: Plan, _cluster: Cluster) -> Breach | None:
        return out_of_order(sorted(acts(rule, plan, Allocate), key=lambda span: (span.start_s, span.end_s)))


KIND = Serialize()
