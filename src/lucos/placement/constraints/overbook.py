"""Nodes offer `amount` times their physical capacity of a resource, rounded down to whole units.

Most VMs do not use all they are allocated: a ratio of 1.5 sells half as much again.

Continuous and discrete are the same here: as for any capacity, use may not grow above it at any instant, nor
exceed it in the result. Of several ratios for one node and resource the smallest counts.

Tip: overbook CPU rather than memory: a host short of CPU is slow, a host short of memory kills.
"""

from __future__ import annotations

import math
from collections.abc import Iterable

from lucos.model import Constraint
from lucos.model.signature import Role, Signature
from lucos.placement.arrays import Arrays
from lucos.placement.cluster import Cluster, amount_text
from lucos.placement.constraints.amounts import SLACK, virtual
from lucos.placement.constraints.base import Breach, Example, Kind
from lucos.placement.constraints.examples import cluster
from lucos.placement.moment import Moment

_RULE = Constraint("overbook", nodes=("N1",), resource="memory", amount=1.5)


class Overbook(Kind):
    signature = Signature("overbook", (Role.NODES, Role.RESOURCE, Role.AMOUNT), soft=False)
    examples = (
        Example("6 units on a node of 4", _RULE, cluster({"A": "N1", "B": "N1", "C": "N2"}, A=3, B=3), True),
        Example("7 units on a node of 4", _RULE, cluster({"A": "N1", "B": "N1", "C": "N1"}, A=3, B=3), False),
    )

    def mistakes(self, rule: Constraint, _cluster: Cluster) -> Iterable[str]:
        if rule.amount < 1:
            yield f"the ratio {rule.amount:g} is below 1"

    def broken(self, rule: Constraint, moment: Moment) -> Breach | None:
        for node in rule.nodes:
            guests = tuple(moment.guests(node))
            used = sum(moment.allocated(vm, rule.resource, node) for vm in guests)
            offered = virtual(moment.cluster.nodes[node].capacity.get(rule.resource, 0.0), rule.amount)
            if used > offered + SLACK:
                text = f"{node} is used {amount_text(used, rule.resource)}, more than {offered:g}"
                return Breach(text, (node,), guests)
        return None

    def prepare(self, rule: Constraint, number: int, arrays: Arrays) -> None:
        resource = arrays.resource_of(rule.resource)
        for name in rule.nodes:
            node = arrays.node_index[name]
            physical = arrays.problem.cluster.nodes[name].capacity.get(rule.resource, 0.0)
            capacity = math.floor(virtual(physical, rule.amount) * arrays.scale[resource])
            known = arrays.capacity_rules.get((node, resource))
            if known is None or capacity < arrays.capacity[node, resource]:
                arrays.capacity[node, resource] = capacity
                arrays.capacity_rules[node, resource] = [number]


KIND = Overbook()
