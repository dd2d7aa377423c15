"""VMs sleep in the result: their memory is saved on the node where they ran, and they hold nothing there.

Discrete: in the result. Only VMs that run, or are paused, can be suspended.

Tip: the node that keeps the image has to stay online until the VM is resumed.
"""

from __future__ import annotations

from lucos.model import Constraint, VmState
from lucos.model.signature import Role
from lucos.placement.arrays import SLEEPING
from lucos.placement.constraints.base import Example
from lucos.placement.constraints.examples import asleep, cluster
from lucos.placement.constraints.states import WantedVmState, wanted_signature

_RULE = Constraint("sleeping", ("S",), continuous=False)


class Sleeping(WantedVmState):
    signature = wanted_signature("sleeping", Role.VMS)
    accepted = (VmState.SLEEPING,)
    wanted = SLEEPING
    examples = (
        Example("S sleeps, its image is on N1", _RULE, asleep(B="N1"), True),
        Example("S still runs", _RULE, cluster({"S": "N1", "B": "N1"}), False),
    )


KIND = Sleeping()
