"""VMs run in the result: those that are ready are booted, those that sleep are resumed.

Discrete: in the result. A paused VM counts as running.

Tip: say on which hosts with fence, and give room with preserve; running alone lets the engine choose.
"""

from __future__ import annotations

from lucos.model import Constraint, VmState
from lucos.model.signature import Role
from lucos.placement.arrays import RUNNING
from lucos.placement.constraints.base import Example
from lucos.placement.constraints.examples import cluster
from lucos.placement.constraints.states import WantedVmState, wanted_signature

_RULE = Constraint("running", ("A",), continuous=False)


class Running(WantedVmState):
    signature = wanted_signature("running", Role.VMS)
    accepted = (
        VmState.RUNNING,
        VmState.PAUSED,
    )
    wanted = RUNNING
    examples = (
        Example("A runs", _RULE, cluster({"A": "N1"}), True),
        Example("A does not run yet", _RULE, cluster({"A": None}), False),
    )


KIND = Running()
