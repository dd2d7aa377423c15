"""VMs that run keep their node: they cannot be migrated, because of a local disk, a device or a licence.

Continuous: always; a VM that runs when the plan begins is on that node and no other for as long as it runs.
VMs that start are free to start anywhere.

Tip: root follows the VM: declare it again for where the VM is next time. A fence names the node instead.
"""

from __future__ import annotations

from collections.abc import Iterable

from lucos.model import Constraint, Migrate
from lucos.model.signature import Modes, Role, Signature
from lucos.placement.arrays import RUNNING, Arrays
from lucos.placement.constraints.base import Breach, Example, Kind
from lucos.placement.constraints.checked import places
from lucos.placement.constraints.examples import cluster, plan
from lucos.placement.constraints.lowered import only
from lucos.placement.lazy import np
from lucos.placement.moment import Moment
from lucos.placement.primitives import Allow, AnyPrimitive

_RULE = Constraint("root", ("A",))
_CLUSTER = cluster({"A": "N1", "B": "N1"})


class Root(Kind):
    signature = Signature("root", (Role.VMS,), Modes.CONTINUOUS, soft=False)
    examples = (
        Example("another VM leaves N1", _RULE, _CLUSTER, True, plan((Migrate("B", "N1", "N2"), 0, 3))),
        Example("A leaves N1", _RULE, _CLUSTER, False, plan((Migrate("A", "N1", "N2"), 0, 3))),
    )

    def broken(self, rule: Constraint, moment: Moment) -> Breach | None:
        for vm, node in places(rule.vms, moment):
            home = moment.origin.of(vm)
            if home and node not in home:
                return Breach(f"{vm} is on {node}, it was on {', '.join(sorted(home))}", (node,), (vm,))
        return None

    def lower(self, rule: Constraint, number: int, arrays: Arrays) -> Iterable[AnyPrimitive]:
        vms = arrays.vms_of(rule.vms)
        vms = vms[arrays.state[vms] == RUNNING]
        hosts = arrays.host[vms]
        for host in np.unique(hosts).tolist():
            there = vms[hosts == host]
            yield Allow(rule=number, continuous=True, vms=there, nodes=only(arrays, host))


KIND = Root()
