"""Numbers that several kinds check and compare alike."""

from __future__ import annotations

import math
from collections.abc import Iterator

from lucos.model import Constraint

# Sums of amounts that people write with a few decimals may miss a limit by this much.
SLACK = 1e-6


def not_whole(rule: Constraint) -> Iterator[str]:
    """A mistake when the amount counts things and is not a whole number."""
    if rule.amount != math.floor(rule.amount):
        yield f"{rule.amount:g} is not a whole number"


def virtual(physical: float, ratio: float) -> float:
    """A node's capacity when it is overbooked: whole units (0.07 * 100 must not become 6)."""
    return math.floor(physical * ratio + SLACK)
