"""VMs share their nodes only with VMs of the same set: dedicated hosts for a tenant or for licensed software.

Continuous: at every instant, also while VMs move.
Discrete: in the result; others may be there until then.

Tip: the rule binds all other VMs of the cluster too; fence the set if its hosts are known.
"""

from __future__ import annotations

from collections.abc import Iterable

from lucos.model import Constraint
from lucos.model.signature import Role, Signature
from lucos.placement.arrays import Arrays
from lucos.placement.constraints.base import Breach, Example, Kind
from lucos.placement.constraints.checked import names_in, places
from lucos.placement.constraints.examples import cluster
from lucos.placement.constraints.lowered import lasting, places_now
from lucos.placement.lazy import np
from lucos.placement.moment import Moment
from lucos.placement.primitives import AnyPrimitive, Apart, ints

_RULE = Constraint("lonely", ("A", "B"))


class Lonely(Kind):
    signature = Signature("lonely", (Role.VMS,))
    neighbours = True
    examples = (
        Example("A and B alone on N1", _RULE, cluster({"A": "N1", "B": "N1", "C": "N2"}), True),
        Example("C is with B on N2", _RULE, cluster({"A": "N1", "B": "N2", "C": "N2"}), False),
    )

    def broken(self, rule: Constraint, moment: Moment) -> Breach | None:
        members = names_in(rule.vms)
        for vm, node in places(rule.vms, moment):
            for guest in moment.guests(node):
                if guest not in members:
                    return Breach(f"{guest} is on {node} with {vm}", (node,), (vm, guest))
        return None

    def lower(self, rule: Constraint, number: int, arrays: Arrays) -> Iterable[AnyPrimitive]:
        vms = arrays.vms_of(rule.vms)
        others = ints(np.delete(np.arange(len(arrays.vms)), vms))
        held = lasting(rule) and not np.isin(places_now(arrays, others), places_now(arrays, vms)).any()
        yield Apart(rule=number, continuous=held, weight=rule.weight, sides=(vms, others))


KIND = Lonely()
