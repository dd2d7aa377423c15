"""The actions on these VMs start at the same instant: parts of one service that must move together.

Continuous: over the whole plan. VMs that are left alone, or only allocated more, do not count.

Tip: they need room at their destinations at the same time; before or serialize is easier to satisfy.
"""

from __future__ import annotations

from lucos.model import Allocate, Constraint, Plan
from lucos.model.signature import Modes, Role, Signature
from lucos.placement.cluster import Cluster
from lucos.placement.constraints.base import Breach, Example
from lucos.placement.constraints.examples import plan
from lucos.placement.constraints.schedules import SAME_INSTANT_S, WORLD, A, B, Scheduled, spans
from lucos.placement.primitives import When

_RULE = Constraint("sync", ("A", "B"))


class Sync(Scheduled):
    signature = Signature("sync", (Role.VMS,), Modes.CONTINUOUS, soft=False)
    when = When.SYNC
    examples = (
        Example("both start at 0", _RULE, WORLD, True, plan((A, 0, 3), (B, 0, 2))),
        Example("B starts later", _RULE, WORLD, False, plan((A, 0, 3), (B, 1, 3))),
    )

    def broken_by_plan(self, rule: Constraint, plan: Plan, _cluster: Cluster) -> Breach | None:
        found = sorted(spans(rule, plan, Allocate), key=lambda span: span.start_s)
        if not found or found[-1].start_s - found[0].start_s <= SAME_INSTANT_S:
            return None
        first, last = found[0], found[-1]
        text = f"{first.vm} starts at {first.start_s:g} s, {last.vm} at {last.start_s:g} s"
        return Breach(text, (), (first.vm, last.vm))


KIND = Sync()
