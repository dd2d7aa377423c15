"""Sets of VMs share no node: two tenants, or two replicas of a service, never meet on one host.

Continuous: at every instant, also while VMs move.
Discrete: in the result; VMs of different sets may meet on the way.

Tip: VMs of one set may share nodes; to keep those apart too, add a spread.
"""

from __future__ import annotations

from collections.abc import Iterable

from lucos.model import Constraint
from lucos.model.signature import Role, Signature
from lucos.placement.arrays import Arrays
from lucos.placement.cluster import Cluster
from lucos.placement.constraints.base import Breach, Example, Kind
from lucos.placement.constraints.checked import overlaps, places
from lucos.placement.constraints.examples import cluster
from lucos.placement.constraints.lowered import lasting, places_now
from lucos.placement.moment import Moment
from lucos.placement.primitives import AnyPrimitive, Apart

_RULE = Constraint("split", sets=(("A", "B"), ("C", "D")))


class Split(Kind):
    signature = Signature("split", (Role.SETS,))
    examples = (
        Example("no node in common", _RULE, cluster({"A": "N1", "B": "N1", "C": "N2", "D": "N3"}), True),
        Example("A and C meet on N1", _RULE, cluster({"A": "N1", "B": "N2", "C": "N1", "D": "N3"}), False),
    )

    def mistakes(self, rule: Constraint, _cluster: Cluster) -> Iterable[str]:
        return overlaps(rule.sets, "set")

    def broken(self, rule: Constraint, moment: Moment) -> Breach | None:
        owner: dict[str, tuple[int, str]] = {}
        for number, vms in enumerate(rule.sets):
            for vm, node in places(vms, moment):
                other, first = owner.setdefault(node, (number, vm))
                if other != number:
                    return Breach(f"{vm} and {first}, of different sets, are on {node}", (node,), (first, vm))
        return None

    def lower(self, rule: Constraint, number: int, arrays: Arrays) -> Iterable[AnyPrimitive]:
        sides = tuple(arrays.vms_of(vms) for vms in rule.sets)
        held = False
        if lasting(rule):
            nodes = [set(places_now(arrays, vms).tolist()) for vms in sides]
            held = len(set().union(*nodes)) == sum(map(len, nodes))
        yield Apart(rule=number, continuous=held, weight=rule.weight, sides=sides)


KIND = Split()
