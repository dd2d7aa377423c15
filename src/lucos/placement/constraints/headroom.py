"""Nodes that receive a VM in this plan keep the fraction `amount` of their capacity of a resource free.

It is hysteresis: a host that was just filled to the brim is the next one to be overloaded.

Discrete: in the result. Nodes that receive nobody may be fuller. The fraction is of the physical capacity,
whatever is overbooked.

Tip: 0.1 to 0.2 for CPU; declare it soft so that a move that leaves less is still better than none.
"""

from __future__ import annotations

from collections.abc import Iterable

from lucos.model import Constraint, Migrate
from lucos.model.signature import Modes, Role, Signature
from lucos.placement.arrays import Arrays
from lucos.placement.cluster import Cluster, amount_text
from lucos.placement.constraints.amounts import SLACK
from lucos.placement.constraints.base import Breach, Example, Kind
from lucos.placement.constraints.examples import cluster, plan
from lucos.placement.constraints.lowered import nodes_of
from lucos.placement.lazy import np
from lucos.placement.moment import Moment
from lucos.placement.primitives import AnyPrimitive, Reserve

_RULE = Constraint("headroom", nodes=("N2", "N3"), resource="memory", amount=0.25, continuous=False)
_CLUSTER = cluster({"A": "N1", "B": "N2", "C": "N3"}, A=2, C=2)


class Headroom(Kind):
    signature = Signature("headroom", (Role.NODES, Role.RESOURCE, Role.AMOUNT), Modes.DISCRETE)
    examples = (
        Example(
            "1 of 4 units stays free on N2", _RULE, _CLUSTER, True, plan((Migrate("A", "N1", "N2"), 0, 3))
        ),
        Example("nothing stays free on N3", _RULE, _CLUSTER, False, plan((Migrate("A", "N1", "N3"), 0, 3))),
    )

    def mistakes(self, rule: Constraint, _cluster: Cluster) -> Iterable[str]:
        if rule.amount > 1:
            yield f"the fraction {rule.amount:g} is above 1"

    def broken(self, rule: Constraint, moment: Moment) -> Breach | None:
        for node in rule.nodes:
            before, guests = moment.origin.guests(node), moment.guests(node)
            received = [vm for vm in guests if vm not in before]
            if not received:
                continue
            used = sum(moment.allocated(vm, rule.resource, node) for vm in guests)
            capacity = moment.cluster.nodes[node].capacity.get(rule.resource, 0.0)
            if used > (1 - rule.amount) * capacity + SLACK:
                free = amount_text(capacity - used, rule.resource)
                text = f"{node} received {received[0]} and has {free} free"
                return Breach(f"{text}, less than {rule.amount:g} of its capacity", (node,), tuple(received))
        return None

    def lower(self, rule: Constraint, number: int, arrays: Arrays) -> Iterable[AnyPrimitive]:
        resource = arrays.resource_of(rule.resource)
        nodes = arrays.problem.cluster.nodes.values()
        physical = np.asarray([node.capacity.get(rule.resource, 0.0) for node in nodes])
        limit = np.floor((1 - rule.amount) * physical * arrays.scale[resource] + SLACK).astype(np.int64)
        mask = nodes_of(arrays, rule.nodes)
        yield Reserve(rule=number, weight=rule.weight, nodes=mask, resource=resource, limit=limit)


KIND = Headroom()
