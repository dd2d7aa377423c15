"""Running VMs stay on pairwise distinct nodes, so that one node's failure takes at most one of them.

Continuous: at every instant, also while one leaves a node that another is to take.
"""

from __future__ import annotations

from collections.abc import Iterable

from lucos.model import Constraint
from lucos.model.signature import Role, Signature
from lucos.placement.arrays import Arrays
from lucos.placement.cluster import Cluster, Node, Vm
from lucos.placement.constraints.base import Breach, Example, Kind
from lucos.placement.moment import Moment
from lucos.placement.primitives import AnyPrimitive, Apart, ints

_NODES = [Node(name, {"memory": 4}) for name in ("N1", "N2")]
_RULE = Constraint("spread", ("A", "B"))


def _two(a: str, b: str) -> Cluster:
    return Cluster.of(_NODES, [Vm("A", {"memory": 1}, a), Vm("B", {"memory": 1}, b)])


class Spread(Kind):
    signature = Signature("spread", (Role.VMS,))
    examples = (
        Example("each on its own node", _RULE, _two("N1", "N2"), True),
        Example("both on N1", _RULE, _two("N1", "N1"), False),
    )

    def broken(self, rule: Constraint, moment: Moment) -> Breach | None:
        seen: dict[str, str] = {}
        for vm in rule.vms:
            for node in sorted(moment.of(vm)):
                if node in seen:
                    return Breach(f"{vm} and {seen[node]} are both on {node}", (node,), (seen[node], vm))
                seen[node] = vm
        return None

    def lower(self, rule: Constraint, number: int, arrays: Arrays) -> Iterable[AnyPrimitive]:
        sides = tuple(ints([vm]) for vm in arrays.vms_of(rule.vms))
        yield Apart(rule=number, continuous=rule.continuous, weight=rule.weight, sides=sides)


KIND = Spread()
