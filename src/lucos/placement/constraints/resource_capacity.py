"""The VMs that run on the nodes are allocated at most `amount` of a resource together.

It caps what a tenant or a rack takes (its power, its share of a storage array), below the sum of capacities.

Continuous: at every instant; a VM that migrates between two of the nodes counts on both.
Discrete: in the result.

Tip: on one node it is a softer capacity, which may be declared and lifted while the node keeps its own.
"""

from __future__ import annotations

import math
from collections.abc import Iterable

from lucos.model import Constraint
from lucos.model.signature import Role, Signature
from lucos.placement.arrays import Arrays
from lucos.placement.cluster import amount_text
from lucos.placement.constraints.amounts import SLACK
from lucos.placement.constraints.base import Breach, Example, Kind
from lucos.placement.constraints.examples import cluster
from lucos.placement.constraints.lowered import lasting, nodes_of, usage_now
from lucos.placement.moment import Moment
from lucos.placement.primitives import AnyPrimitive, Total

_RULE = Constraint("resourceCapacity", nodes=("N1", "N2"), resource="memory", amount=5)


class ResourceCapacity(Kind):
    signature = Signature("resourceCapacity", (Role.NODES, Role.RESOURCE, Role.AMOUNT))
    examples = (
        Example("5 units on N1 and N2", _RULE, cluster({"A": "N1", "B": "N2", "C": "N3"}, A=3, B=2), True),
        Example("6 units on N1 and N2", _RULE, cluster({"A": "N1", "B": "N2", "C": "N2"}, A=3, B=2), False),
    )

    def broken(self, rule: Constraint, moment: Moment) -> Breach | None:
        there = [(vm, node) for node in rule.nodes for vm in moment.guests(node)]
        total = sum(moment.allocated(vm, rule.resource, node) for vm, node in there)
        if total <= rule.amount + SLACK:
            return None
        text = f"{amount_text(total, rule.resource)} are allocated there, more than {rule.amount:g}"
        return Breach(text, rule.nodes, tuple(dict.fromkeys(vm for vm, _ in there)))

    def lower(self, rule: Constraint, number: int, arrays: Arrays) -> Iterable[AnyPrimitive]:
        nodes, resource = nodes_of(arrays, rule.nodes), arrays.resource_of(rule.resource)
        limit = math.floor(rule.amount * arrays.scale[resource] + SLACK)
        held = lasting(rule) and int(usage_now(arrays)[nodes, resource].sum()) <= limit
        yield Total(
            rule=number, continuous=held, weight=rule.weight, nodes=nodes, resource=resource, limit=limit
        )


KIND = ResourceCapacity()
