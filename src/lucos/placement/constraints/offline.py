"""Nodes are offline in the result: VMs that run there are moved away, then the nodes are shut down.

Discrete: in the result. A node that keeps the image of a VM that stays asleep cannot be shut down.

Tip: drain empties a node and leaves it on, for work that needs it running.
"""

from __future__ import annotations

from collections.abc import Iterable

from lucos.model import Constraint
from lucos.model.signature import Role
from lucos.placement.arrays import SLEEPING, Arrays
from lucos.placement.constraints.base import Example
from lucos.placement.constraints.examples import cluster
from lucos.placement.constraints.lowered import nodes_of
from lucos.placement.constraints.states import WantedNodeState, wanted_signature
from lucos.placement.lazy import np
from lucos.placement.primitives import AnyPrimitive

_RULE = Constraint("offline", nodes=("N2",), continuous=False)


class Offline(WantedNodeState):
    signature = wanted_signature("offline", Role.NODES)
    wanted = 0
    examples = (
        Example("N2 is offline", _RULE, cluster({"A": "N1"}, offline="N2"), True),
        Example("N2 is online", _RULE, cluster({"A": "N1"}), False),
    )

    def lower(self, rule: Constraint, number: int, arrays: Arrays) -> Iterable[AnyPrimitive]:
        """No primitive; images that stay on these nodes are noted as clashes, now that targets are final."""
        stay = (arrays.state == SLEEPING) & (arrays.target == SLEEPING)
        for vm in np.flatnonzero(stay & nodes_of(arrays, rule.nodes)[arrays.host]).tolist():
            arrays.clashes.append((*arrays.target_rules.get(vm, ())[:1], number))
        return ()


KIND = Offline()
