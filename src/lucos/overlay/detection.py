"""How long it takes until those who watch a node know of its crash, as runs of the real membership showed.

`QUANTILES_S` are those of `measure_detection(1000, seed=1)` in `benchmarks.sim.overlay`, which its part
`quantiles` prints: 1,000 nodes on four sites, 10 to 80 ms apart, default `MembershipSettings`, no loss; 50
crashes, of which all 200 watchers (ring predecessors and those that attended) learned. Evenly spaced, from
the least to the greatest.
"""

from __future__ import annotations

from lucos.actors import Random

# fmt: off
QUANTILES_S = (
    2.320, 2.348, 2.365, 2.376, 2.381, 2.397, 2.414, 2.422, 2.435, 2.451, 2.470,
    2.484, 2.500, 2.516, 2.531, 2.554, 2.594, 2.622, 2.647, 2.718, 2.797,
)
# fmt: on


def draw_detection_s(random: Random) -> float:
    """A delay from that distribution, between two neighbouring quantiles."""
    place = random.random() * (len(QUANTILES_S) - 1)
    below = int(place)
    return QUANTILES_S[below] + (place - below) * (QUANTILES_S[below + 1] - QUANTILES_S[below])
