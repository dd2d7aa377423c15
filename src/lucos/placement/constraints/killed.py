"""VMs are gone in the result, whatever they did before: running, sleeping or ready.

Discrete: in the result. Nothing brings a killed VM back.

Tip: ready shuts a VM down cleanly; killed is for what will never be wanted again.
"""

from __future__ import annotations

from lucos.model import Constraint, Kill, VmState
from lucos.model.signature import Role
from lucos.placement.arrays import KILLED
from lucos.placement.constraints.base import Example
from lucos.placement.constraints.examples import cluster, plan
from lucos.placement.constraints.states import WantedVmState, wanted_signature

_RULE = Constraint("killed", ("A",), continuous=False)


class Killed(WantedVmState):
    signature = wanted_signature("killed", Role.VMS)
    accepted = (VmState.KILLED,)
    wanted = KILLED
    examples = (
        Example("A is killed", _RULE, cluster({"A": "N1", "B": "N1"}), True, plan((Kill("A", "N1"), 0, 1))),
        Example("A still runs", _RULE, cluster({"A": "N1", "B": "N1"}), False),
    )


KIND = Killed()
