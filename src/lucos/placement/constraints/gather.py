"""Running VMs stay on one node, so that they talk to each other without a network.

Continuous: at every instant, so the group cannot be moved: those that run stay, those that start join them.
A relocatable group may leave for one other node, all migrations starting at the same instant.
Discrete: in the result; VMs may be apart while they move one by one.

Tip: leave it discrete, or allow it to relocate, unless the VMs really fail when they are apart for some
seconds.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator

from lucos.model import Constraint, Migrate
from lucos.model.signature import Role, Signature
from lucos.placement.arrays import Arrays
from lucos.placement.constraints.base import Example
from lucos.placement.constraints.examples import cluster, plan
from lucos.placement.constraints.lowered import each_node, inside_one, only
from lucos.placement.constraints.together import Together
from lucos.placement.primitives import AnyPrimitive

_RULE = Constraint("gather", ("A", "B"))
_MOVABLE = Constraint("gather", ("A", "B"), relocate=True)
_BOTH = cluster({"A": "N1", "B": "N1"})
_MOVE_A, _MOVE_B = Migrate("A", "N1", "N2"), Migrate("B", "N1", "N2")


class Gather(Together):
    signature = Signature("gather", (Role.VMS,), relocates=True)
    apart = ""
    examples = (
        Example("both on N1", _RULE, _BOTH, True),
        Example("on two nodes", _RULE, cluster({"A": "N1", "B": "N2"}), False),
        Example(
            "relocatable, both leave at one instant",
            _MOVABLE,
            _BOTH,
            True,
            plan((_MOVE_A, 0, 3), (_MOVE_B, 0, 2)),
        ),
        Example(
            "relocatable, one leaves after the other",
            _MOVABLE,
            _BOTH,
            False,
            plan((_MOVE_A, 0, 3), (_MOVE_B, 1, 3)),
        ),
    )

    def group(self, _rule: Constraint, node: str) -> Hashable:
        return node

    def lower(self, rule: Constraint, number: int, arrays: Arrays) -> Iterator[AnyPrimitive]:
        yield from inside_one(rule, number, arrays, each_node(arrays), lambda node: only(arrays, node))


KIND = Gather()
