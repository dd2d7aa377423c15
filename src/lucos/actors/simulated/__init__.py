"""The simulated world: virtual time, a network with faults, one seed."""

from lucos.actors.simulated.network import Link, Network
from lucos.actors.simulated.runtime import SimulatedNode, SimulatedWorld, Simulation

__all__ = ["Link", "Network", "SimulatedNode", "SimulatedWorld", "Simulation"]
