"""The action on the first VM ends before the action on the second one starts: another name for before.

Continuous: over the whole plan.

Tip: BtrPlace's name; instances and plans are exchanged under it.
"""

from __future__ import annotations

from lucos.model import Constraint
from lucos.model.signature import Modes, Role, Signature
from lucos.placement.constraints.base import Example
from lucos.placement.constraints.before import Before
from lucos.placement.constraints.examples import plan
from lucos.placement.constraints.schedules import WORLD, A, B

_RULE = Constraint("precedence", ("A", "B"))


class Precedence(Before):
    signature = Signature("precedence", (Role.VM, Role.VM), Modes.CONTINUOUS, soft=False)
    examples = (
        Example("B starts when A ends", _RULE, WORLD, True, plan((A, 0, 3), (B, 3, 5))),
        Example("B starts too early", _RULE, WORLD, False, plan((A, 0, 3), (B, 2, 4))),
    )


KIND = Precedence()
