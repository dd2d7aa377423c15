"""At most `amount` VMs run on the nodes together: software licensed per running VM, a limit of a hypervisor.

Discrete: in the result.

Tip: one rule over several nodes limits their sum; for a limit per node write one rule for each.
"""

from __future__ import annotations

from collections.abc import Iterable

from lucos.model import Constraint
from lucos.model.signature import Modes, Role, Signature
from lucos.placement.arrays import Arrays
from lucos.placement.cluster import Cluster
from lucos.placement.constraints.amounts import not_whole
from lucos.placement.constraints.base import Breach, Example, Kind
from lucos.placement.constraints.examples import cluster
from lucos.placement.constraints.lowered import nodes_of
from lucos.placement.moment import Moment
from lucos.placement.primitives import AnyPrimitive, Total

_RULE = Constraint("runningCapacity", nodes=("N1", "N2"), amount=3, continuous=False)


class RunningCapacity(Kind):
    signature = Signature("runningCapacity", (Role.NODES, Role.AMOUNT), Modes.DISCRETE)
    examples = (
        Example("three VMs on N1 and N2", _RULE, cluster({"A": "N1", "B": "N1", "C": "N2", "D": "N3"}), True),
        Example("four VMs on N1 and N2", _RULE, cluster({"A": "N1", "B": "N1", "C": "N2", "D": "N2"}), False),
    )

    def mistakes(self, rule: Constraint, _cluster: Cluster) -> Iterable[str]:
        return not_whole(rule)

    def broken(self, rule: Constraint, moment: Moment) -> Breach | None:
        there = tuple(dict.fromkeys(vm for node in rule.nodes for vm in moment.guests(node)))
        text = f"{len(there)} VMs run there, more than {rule.amount:g}"
        return Breach(text, rule.nodes, there) if len(there) > rule.amount else None

    def lower(self, rule: Constraint, number: int, arrays: Arrays) -> Iterable[AnyPrimitive]:
        nodes = nodes_of(arrays, rule.nodes)
        yield Total(rule=number, weight=rule.weight, nodes=nodes, resource=-1, limit=int(rule.amount))


KIND = RunningCapacity()
