"""What a kind of constraint is. To add one, add one module here that ends with `KIND = ...`.

The module says: its signature (how it is written), its meaning (the docstring), the checker (`broken`, for
instants, or `broken_by_plan`, for when actions run), and its lowering (`prepare`, `lower`): the form in
which repair, exact solver and planner understand it. The checker works on names and instants, the lowering
on arrays; neither uses the other. `examples` make the pictures of its page and its first tests.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import ClassVar

import msgspec

from lucos.model import Constraint, Plan
from lucos.model.signature import Signature
from lucos.placement.arrays import Arrays
from lucos.placement.cluster import Cluster
from lucos.placement.moment import Moment
from lucos.placement.primitives import AnyPrimitive


class Breach(msgspec.Struct, frozen=True):
    """Why a rule does not hold, and the nodes and VMs at fault."""

    text: str
    nodes: tuple[str, ...] = ()
    vms: tuple[str, ...] = ()


class Example(msgspec.Struct, frozen=True):
    """A small cluster in which the rule holds or does not; with a plan for rules about when things happen."""

    caption: str
    rule: Constraint
    cluster: Cluster
    holds: bool
    plan: Plan | None = None


class Kind:
    """One kind of constraint; stateless."""

    signature: ClassVar[Signature]
    examples: ClassVar[tuple[Example, ...]] = ()
    neighbours: ClassVar[bool] = False
    """Whether VMs that the rule does not name can break it, by being on a node of those it names."""

    def mistakes(self, _rule: Constraint, _cluster: Cluster) -> Iterable[str]:
        """What is wrong with a rule beyond its signature (groups that overlap, a ratio below 1, ...)."""
        return ()

    def broken(self, _rule: Constraint, _moment: Moment) -> Breach | None:
        """Why the rule does not hold at an instant; None when it does."""
        return None

    def broken_by_plan(self, _rule: Constraint, _plan: Plan, _cluster: Cluster) -> Breach | None:
        """Why the times of a plan break the rule; None when they do not."""
        return None

    def prepare(self, _rule: Constraint, _number: int, _arrays: Arrays) -> None:
        """Write into the arrays what the rule fixes: states, allocations, capacities."""

    def lower(self, _rule: Constraint, _number: int, _arrays: Arrays) -> Iterable[AnyPrimitive]:
        """The rule (index `number` of the problem) in primitive forms."""
        return ()
