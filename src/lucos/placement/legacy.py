"""What is asked of placement and what it answers."""

from __future__ import annotations

from enum import StrEnum

import msgspec

from lucos.model import Configuration, Constraint, Plan


class Problem(msgspec.Struct, frozen=True):
    """Repair `configuration` under `constraints`.

    `headroom` is the fraction of a receiving node's CPU that stays free, so that a move does not make the
    next violation. VMs in `fixed` may not move. Instances with no node wait to be booted.
    """

    configuration: Configuration
    constraints: tuple[Constraint, ...] = ()
    headroom: float = 0.1
    fixed: frozenset[str] = frozenset()


class Status(StrEnum):
    SOLVED = "solved"
    UNSOLVED = "unsolved"


class Solution(msgspec.Struct, frozen=True):
    """A plan that the checker accepted (empty when all is sound), or the reasons why none was found."""

    status: Status
    plan: Plan = Plan()
    reasons: tuple[str, ...] = ()

    @property
    def solved(self) -> bool:
        return self.status is Status.SOLVED
