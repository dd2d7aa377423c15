"""Running VMs stay inside a set of nodes: a site, a cluster with the right processors, a tenant's hosts.

Continuous: at every instant, so VMs may not even pass elsewhere.
Discrete: in the result.

Tip: a fence on one node pins a VM to a named host; root pins it to wherever it is.
"""

from __future__ import annotations

from collections.abc import Iterable

from lucos.model import Constraint
from lucos.model.signature import Role, Signature
from lucos.placement.arrays import Arrays
from lucos.placement.constraints.base import Breach, Example, Kind
from lucos.placement.constraints.checked import names_in, places
from lucos.placement.constraints.examples import cluster
from lucos.placement.constraints.lowered import allow, nodes_of
from lucos.placement.moment import Moment
from lucos.placement.primitives import AnyPrimitive

_RULE = Constraint("fence", ("A", "B"), ("N1", "N2"))


class Fence(Kind):
    signature = Signature("fence", (Role.VMS, Role.NODES))
    examples = (
        Example("both inside", _RULE, cluster({"A": "N1", "B": "N2"}), True),
        Example("B is outside, on N3", _RULE, cluster({"A": "N1", "B": "N3"}), False),
    )

    def broken(self, rule: Constraint, moment: Moment) -> Breach | None:
        allowed = names_in(rule.nodes)
        for vm, node in places(rule.vms, moment):
            if node not in allowed:
                return Breach(f"{vm} is on {node}", (node,), (vm,))
        return None

    def lower(self, rule: Constraint, number: int, arrays: Arrays) -> Iterable[AnyPrimitive]:
        yield allow(rule, number, arrays, nodes_of(arrays, rule.nodes))


KIND = Fence()
