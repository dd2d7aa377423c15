"""Nodes under quarantine: the VMs they host stay there, and no other VM enters. A host to be examined, say.

Continuous: always. VMs inside may still be stopped or suspended where they are.

Tip: to let VMs out but none in, use drain.
"""

from __future__ import annotations

from collections.abc import Iterable

from lucos.model import Constraint, Migrate
from lucos.model.signature import Modes, Role, Signature
from lucos.placement.arrays import RUNNING, Arrays
from lucos.placement.constraints.base import Breach, Example, Kind
from lucos.placement.constraints.examples import cluster, plan
from lucos.placement.constraints.lowered import excluding, nodes_of, only
from lucos.placement.lazy import np
from lucos.placement.moment import Moment
from lucos.placement.primitives import Allow, AnyPrimitive, ints

_RULE = Constraint("quarantine", nodes=("N1",))
_CLUSTER = cluster({"A": "N1", "B": "N2"})


class Quarantine(Kind):
    signature = Signature("quarantine", (Role.NODES,), Modes.CONTINUOUS, soft=False)
    examples = (
        Example("B moves elsewhere", _RULE, _CLUSTER, True, plan((Migrate("B", "N2", "N3"), 0, 3))),
        Example("B enters N1", _RULE, _CLUSTER, False, plan((Migrate("B", "N2", "N1"), 0, 3))),
        Example("A leaves N1", _RULE, _CLUSTER, False, plan((Migrate("A", "N1", "N3"), 0, 3))),
    )

    def broken(self, rule: Constraint, moment: Moment) -> Breach | None:
        for node in rule.nodes:
            inside = moment.origin.guests(node)
            for vm in moment.guests(node):
                if vm not in inside:
                    return Breach(f"{vm} entered {node}", (node,), (vm,))
            for vm in inside:
                for other in sorted(moment.of(vm) - moment.origin.of(vm)):
                    return Breach(f"{vm} left {node} for {other}", (node,), (vm,))
        return None

    def lower(self, rule: Constraint, number: int, arrays: Arrays) -> Iterable[AnyPrimitive]:
        closed = nodes_of(arrays, rule.nodes)
        inside = (arrays.state == RUNNING) & closed[arrays.host]
        for host in np.unique(arrays.host[inside]).tolist():
            there = np.flatnonzero(inside & (arrays.host == host))
            yield Allow(rule=number, continuous=True, vms=ints(there), nodes=only(arrays, host))
        outside = ints(np.flatnonzero(~inside))
        yield Allow(rule=number, continuous=True, vms=outside, nodes=excluding(arrays, rule.nodes))


KIND = Quarantine()
