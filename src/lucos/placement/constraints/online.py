"""Nodes are online in the result: those that are off are booted.

Discrete: in the result.

Tip: the engine boots nodes by itself when room is needed; online is for nodes that must be on anyway.
"""

from __future__ import annotations

from lucos.model import Constraint
from lucos.model.signature import Role
from lucos.placement.constraints.base import Example
from lucos.placement.constraints.examples import cluster
from lucos.placement.constraints.states import WantedNodeState, wanted_signature

_RULE = Constraint("online", nodes=("N2",), continuous=False)


class Online(WantedNodeState):
    signature = wanted_signature("online", Role.NODES)
    wanted = 1
    examples = (
        Example("N2 is online", _RULE, cluster({"A": "N1"}), True),
        Example("N2 is offline", _RULE, cluster({"A": "N1"}, offline="N2"), False),
    )


KIND = Online()
