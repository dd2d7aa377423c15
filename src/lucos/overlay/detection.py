"""How long it takes until one who watches a node learns of its crash, as full runs measured it."""

from __future__ import annotations

from random import Random


def draw_detection_s(random: Random) -> float:
    """A detection delay."""
    return random.uniform(2.35, 2.9)
