"""Vivaldi: each node finds its own place in a space in which distances foretell round trips.

Source: Dabek, Cox, Kaashoek, Morris, SIGCOMM 2004: adaptive timestep, error weights, height. Round trips are
filtered by the median of the last few of a peer, as serf does, so that one late answer moves nobody.
"""

from __future__ import annotations

from math import cos, hypot, pi, sin
from statistics import median_low

from lucos.actors import Random
from lucos.overlay.members import Coordinate

# The weight of a new sample in the error, and the largest step towards it (both 0.25 in the paper).
ERROR_GAIN = 0.25
STEP_GAIN = 0.25
ERROR_MAX = 1.5
HEIGHT_MIN_S = 1e-5
SAMPLES_PER_PEER = 3
PEERS_MAX = 256
RTT_MIN_S = 1e-6
# A measurement longer than this tells of a stall, not of a place.
RTT_MAX_S = 10.0


def distance_s(a: Coordinate, b: Coordinate) -> float:
    """The round trip to expect between two nodes, in seconds."""
    return hypot(a.x_s - b.x_s, a.y_s - b.y_s) + a.height_s + b.height_s


def moved_s(a: Coordinate, b: Coordinate) -> float:
    """How much a round trip to others may change for a node that went from `a` to `b`."""
    return hypot(a.x_s - b.x_s, a.y_s - b.y_s) + abs(a.height_s - b.height_s)


class Vivaldi:
    """`coordinate` is this node's; `measured` moves it. State is bounded by `PEERS_MAX` peers."""

    def __init__(self, random: Random) -> None:
        self.coordinate = Coordinate()
        self._random = random
        self._samples_s: dict[str, list[float]] = {}

    def measured(self, peer: str, rtt_s: float, theirs: Coordinate | None) -> None:
        """Take in a round trip to `peer`, which says it is at `theirs` (None: it does not know yet)."""
        if not 0.0 <= rtt_s <= RTT_MAX_S:
            return
        rtt_s = max(RTT_MIN_S, self._filtered_s(peer, rtt_s))
        if theirs is None:
            return
        mine = self.coordinate
        away_s = distance_s(mine, theirs)
        weight = mine.error / max(mine.error + theirs.error, 1e-6)
        part = ERROR_GAIN * weight
        error = min(ERROR_MAX, abs(away_s - rtt_s) / rtt_s * part + mine.error * (1.0 - part))
        step_s = STEP_GAIN * weight * (rtt_s - away_s)
        dx_s, dy_s = mine.x_s - theirs.x_s, mine.y_s - theirs.y_s
        plane_s = hypot(dx_s, dy_s)
        if plane_s > RTT_MIN_S:
            height_s = max(HEIGHT_MIN_S, mine.height_s + (mine.height_s + theirs.height_s) * step_s / plane_s)
            dx, dy = dx_s / plane_s, dy_s / plane_s
        else:
            # Two at one place part in any direction.
            height_s, angle = mine.height_s, self._random.uniform(0.0, 2 * pi)
            dx, dy = cos(angle), sin(angle)
        self.coordinate = Coordinate(mine.x_s + dx * step_s, mine.y_s + dy * step_s, height_s, error)

    def _filtered_s(self, peer: str, rtt_s: float) -> float:
        samples = self._samples_s.get(peer)
        if samples is None:
            if len(self._samples_s) >= PEERS_MAX:
                del self._samples_s[next(iter(self._samples_s))]
            samples = self._samples_s[peer] = []
        samples.append(rtt_s)
        if len(samples) > SAMPLES_PER_PEER:
            del samples[0]
        return median_low(samples)
