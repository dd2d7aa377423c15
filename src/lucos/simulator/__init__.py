"""The simulator: whole LUCs of the production trackers in virtual time, faults injected, laws checked."""

from lucos.simulator.cluster import SimulatedLuc
from lucos.simulator.laws import LawBroken, Laws

__all__ = ["LawBroken", "Laws", "SimulatedLuc"]
