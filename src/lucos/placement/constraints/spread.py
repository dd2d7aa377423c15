"""Running VMs stay on pairwise distinct nodes, so that one node's failure takes at most one of them.

Continuous: at every instant, also while one leaves a node that another is to take.
Discrete: in the result; VMs may share a node for a while on their way.

Tip: a spread needs as many nodes as it has running VMs, and one more to move any of them while it is
continuous and every node is taken.
"""

from __future__ import annotations

from collections.abc import Iterable

from lucos.model import Constraint
from lucos.model.signature import Role, Signature
from lucos.placement.arrays import Arrays
from lucos.placement.constraints.base import Breach, Example, Kind
from lucos.placement.constraints.checked import places
from lucos.placement.constraints.examples import cluster
from lucos.placement.constraints.lowered import lasting, places_now
from lucos.placement.moment import Moment
from lucos.placement.primitives import AnyPrimitive, Apart

_RULE = Constraint("spread", ("A", "B"))


class Spread(Kind):
    signature = Signature("spread", (Role.VMS,))
    examples = (
        Example("each on its own node", _RULE, cluster({"A": "N1", "B": "N2"}), True),
        Example("both on N1", _RULE, cluster({"A": "N1", "B": "N1"}), False),
    )

    def broken(self, rule: Constraint, moment: Moment) -> Breach | None:
        seen: dict[str, str] = {}
        for vm, node in places(rule.vms, moment):
            if node in seen:
                return Breach(f"{vm} and {seen[node]} are both on {node}", (node,), (seen[node], vm))
            seen[node] = vm
        return None

    def lower(self, rule: Constraint, number: int, arrays: Arrays) -> Iterable[AnyPrimitive]:
        vms = arrays.vms_of(rule.vms)
        held = False
        if lasting(rule):
            nodes = places_now(arrays, vms).tolist()
            held = len(set(nodes)) == len(nodes)
        yield Apart(rule=number, continuous=held, weight=rule.weight, sides=tuple(vms.reshape(-1, 1)))


KIND = Spread()
