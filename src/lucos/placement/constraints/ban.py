"""Running VMs stay off some nodes: hosts that lack a licence, a device, or the operator's trust.

Continuous: at every instant, so VMs may not even pass there.
Discrete: in the result.

Tip: to empty a node for maintenance use drain, which also keeps out VMs that are declared later.
"""

from __future__ import annotations

from collections.abc import Iterable

from lucos.model import Constraint
from lucos.model.signature import Role, Signature
from lucos.placement.arrays import Arrays
from lucos.placement.constraints.base import Breach, Example, Kind
from lucos.placement.constraints.checked import names_in, places
from lucos.placement.constraints.examples import cluster
from lucos.placement.constraints.lowered import allow, excluding
from lucos.placement.moment import Moment
from lucos.placement.primitives import AnyPrimitive

_RULE = Constraint("ban", ("A", "B"), ("N1",))


class Ban(Kind):
    signature = Signature("ban", (Role.VMS, Role.NODES))
    examples = (
        Example("both elsewhere", _RULE, cluster({"A": "N2", "B": "N3"}), True),
        Example("A is on N1", _RULE, cluster({"A": "N1", "B": "N3"}), False),
    )

    def broken(self, rule: Constraint, moment: Moment) -> Breach | None:
        banned = names_in(rule.nodes)
        for vm, node in places(rule.vms, moment):
            if node in banned:
                return Breach(f"{vm} is on {node}", (node,), (vm,))
        return None

    def lower(self, rule: Constraint, number: int, arrays: Arrays) -> Iterable[AnyPrimitive]:
        yield allow(rule, number, arrays, excluding(arrays, rule.nodes))


KIND = Ban()
