"""What would be done to have things as somebody wants them, before it is done."""

from __future__ import annotations

import msgspec

from lucos.model.actions import Plan
from lucos.model.entities import Constraint


class Proposal(msgspec.Struct, frozen=True):
    """A plan, and how good it is: `values` of the `objectives`, none of which can be below its bound.

    `ve` is empty when the violations of the whole LUC are concerned. VMs are `added` (booted), `removed`
    (shut down) or `kept`. Of the rules told are those in which the VE as described differs from what runs.
    """

    ve: str
    plan: Plan
    status: str
    objectives: tuple[str, ...] = ()
    values: tuple[float, ...] = ()
    bounds: tuple[float, ...] = ()
    added: tuple[str, ...] = ()
    removed: tuple[str, ...] = ()
    kept: tuple[str, ...] = ()
    rules_added: tuple[Constraint, ...] = ()
    rules_removed: tuple[Constraint, ...] = ()

    @property
    def changes(self) -> bool:
        """Whether anything would be done."""
        return bool(self.plan.actions or self.rules_added or self.rules_removed)
