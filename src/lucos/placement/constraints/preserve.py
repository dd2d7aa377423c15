"""VMs that run are allocated at least `amount` of a resource; what they have is never reduced.

It says what a VM is about to need: the engine then gives it that, in place if the node has room, elsewhere if
not.

Discrete: in the result, which VMs that do not run there cannot break.

Tip: feed it with the predicted demand, so that VMs move before their node is overloaded.
"""

from __future__ import annotations

import math

from lucos.model import Constraint
from lucos.model.signature import Modes, Role, Signature
from lucos.placement.arrays import Arrays
from lucos.placement.cluster import amount_text
from lucos.placement.constraints.amounts import SLACK
from lucos.placement.constraints.base import Breach, Example, Kind
from lucos.placement.constraints.examples import cluster
from lucos.placement.moment import Moment

_RULE = Constraint("preserve", ("A",), resource="memory", amount=2, continuous=False)


class Preserve(Kind):
    signature = Signature("preserve", (Role.VMS, Role.RESOURCE, Role.AMOUNT), Modes.DISCRETE, soft=False)
    examples = (
        Example("A is allocated 3 units", _RULE, cluster({"A": "N1", "B": "N2"}, A=3), True),
        Example("A is allocated 1 unit", _RULE, cluster({"A": "N1", "B": "N2"}), False),
    )

    def broken(self, rule: Constraint, moment: Moment) -> Breach | None:
        for vm in rule.vms:
            if moment.of(vm) and (has := moment.allocated(vm, rule.resource)) < rule.amount - SLACK:
                text = f"{vm} is allocated {amount_text(has, rule.resource)}, less than {rule.amount:g}"
                return Breach(text, tuple(sorted(moment.of(vm))), (vm,))
        return None

    def prepare(self, rule: Constraint, number: int, arrays: Arrays) -> None:
        resource = arrays.resource_of(rule.resource)
        wanted = math.ceil(rule.amount * arrays.scale[resource] - SLACK)
        for vm in arrays.vms_of(rule.vms).tolist():
            if wanted > arrays.need[vm, resource]:
                arrays.need[vm, resource] = wanted
                arrays.need_rules[vm, resource] = [number]


KIND = Preserve()
