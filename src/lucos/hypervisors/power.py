"""What hosts draw: watts by CPU load, and their energy, exact between changes of load or power state."""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum


class Power(StrEnum):
    """`FALLING` goes to standby and `WAKING` comes back; both draw what an idle host draws."""

    ON = "on"
    FALLING = "going to standby"
    STANDBY = "in standby"
    WAKING = "waking up"
    OFF = "off"


def watts_at(table: Sequence[float], load: float) -> float:
    """Watts at `load` (0 idle to 1 full): linear between the evenly spaced points of `table`."""
    place = min(max(load, 0.0), 1.0) * (len(table) - 1)
    below = min(int(place), len(table) - 2) if len(table) > 1 else 0
    above = min(below + 1, len(table) - 1)
    return table[below] + (table[above] - table[below]) * (place - below)


class Meter:
    """Counts the energy of one host. `table` is its watts from idle to full."""

    __slots__ = ("_joules", "_since_s", "_watts", "standby_watts", "table")

    def __init__(self, table: Sequence[float], standby_watts: float, now_s: float) -> None:
        self.table = tuple(table)
        self.standby_watts = standby_watts
        self._joules = 0.0
        self._since_s = now_s
        self._watts = self.table[0]

    def turn(self, power: Power, load: float, now_s: float) -> None:
        """From now on the host draws what this state and load make it draw."""
        self._joules = self.energy_j(now_s)
        self._since_s = now_s
        if power is Power.ON:
            self._watts = watts_at(self.table, load)
        elif power is Power.STANDBY:
            self._watts = self.standby_watts
        else:
            self._watts = 0.0 if power is Power.OFF else self.table[0]

    def energy_j(self, now_s: float) -> float:
        """Joules drawn up to now."""
        return self._joules + self._watts * (now_s - self._since_s)
