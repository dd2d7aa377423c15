"""Changes of state run one after the other, in the order of the VMs: the database is up before what needs it.

Continuous: each VM is booted, shut down, suspended, resumed or killed only after the one before it is done.
VMs that keep their state, migrations included, have no place in the order.

Tip: for migrations use before; when the order does not matter, serialize.
"""

from __future__ import annotations

from collections.abc import Iterable

from lucos.model import Allocate, Boot, Constraint, Migrate, Pause, Plan, Unpause
from lucos.model.signature import Modes, Role, Signature
from lucos.placement.arrays import Arrays
from lucos.placement.cluster import Cluster
from lucos.placement.constraints.base import Breach, Example
from lucos.placement.constraints.examples import cluster, plan
from lucos.placement.constraints.schedules import Scheduled, out_of_order, spans
from lucos.placement.primitives import AnyPrimitive, Timing, When

_RULE = Constraint("seq", ("A", "B"))
_WORLD = cluster({"A": None, "B": None})


class Seq(Scheduled):
    signature = Signature("seq", (Role.VMS,), Modes.CONTINUOUS, soft=False)
    examples = (
        Example("B after A", _RULE, _WORLD, True, plan((Boot("A", "N1"), 0, 3), (Boot("B", "N2"), 3, 5))),
        Example(
            "B before A is done", _RULE, _WORLD, False, plan((Boot("A", "N1"), 0, 3), (Boot("B", "N2"), 1, 3))
        ),
    )

    def broken_by_plan(self, rule: Constraint, plan: Plan, _cluster: Cluster) -> Breach | None:
        return out_of_order(spans(rule, plan, Migrate, Allocate, Pause, Unpause))

    def lower(self, rule: Constraint, number: int, arrays: Arrays) -> Iterable[AnyPrimitive]:
        vms = arrays.vms_of(rule.vms)
        changing = vms[arrays.state[vms] != arrays.target[vms]]
        if len(changing) > 1:
            yield Timing(rule=number, continuous=True, when=When.SEQUENCE, vms=changing)


KIND = Seq()
