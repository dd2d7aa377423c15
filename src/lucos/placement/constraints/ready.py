"""VMs are ready in the result, which means stopped: those that run are shut down.

Discrete: in the result. Only VMs that run can become ready; a sleeping VM has to be resumed first.

Tip: what matters may be that the memory is kept: then use sleeping.
"""

from __future__ import annotations

from lucos.model import Constraint, VmState
from lucos.model.signature import Role
from lucos.placement.arrays import READY
from lucos.placement.constraints.base import Example
from lucos.placement.constraints.examples import cluster
from lucos.placement.constraints.states import WantedVmState, wanted_signature

_RULE = Constraint("ready", ("A",), continuous=False)


class Ready(WantedVmState):
    signature = wanted_signature("ready", Role.VMS)
    accepted = (VmState.READY,)
    wanted = READY
    examples = (
        Example("A is ready", _RULE, cluster({"A": None, "B": "N1"}), True),
        Example("A still runs", _RULE, cluster({"A": "N1", "B": "N1"}), False),
    )


KIND = Ready()
