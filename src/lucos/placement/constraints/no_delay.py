"""Actions on these VMs start at once, when the plan begins: what is urgent waits for nothing.

Discrete. Changes of allocation count too: a VM that is to get more gets it at once.

Tip: room that has to be made first makes the rule impossible; deadline says how long it may take.
"""

from __future__ import annotations

from lucos.model import Constraint, Plan
from lucos.model.signature import Modes, Role, Signature
from lucos.placement.cluster import Cluster
from lucos.placement.constraints.base import Breach, Example
from lucos.placement.constraints.examples import plan
from lucos.placement.constraints.schedules import SAME_INSTANT_S, WORLD, A, B, Scheduled, spans
from lucos.placement.primitives import When

_RULE = Constraint("noDelay", ("A",), continuous=False)


class NoDelay(Scheduled):
    signature = Signature("noDelay", (Role.VMS,), Modes.DISCRETE, soft=False)
    when = When.NO_DELAY
    examples = (
        Example("A starts at 0", _RULE, WORLD, True, plan((A, 0, 3), (B, 3, 5))),
        Example("A waits for B", _RULE, WORLD, False, plan((B, 0, 2), (A, 2, 5))),
    )

    def broken_by_plan(self, rule: Constraint, plan: Plan, _cluster: Cluster) -> Breach | None:
        for span in spans(rule, plan):
            if span.start_s > SAME_INSTANT_S:
                return Breach(f"{span.vm} starts at {span.start_s:g} s", (), (span.vm,))
        return None


KIND = NoDelay()
