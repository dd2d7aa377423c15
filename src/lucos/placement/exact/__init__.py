"""Exact placement: a CP-SAT model of results without time, and minimal conflicts when there is none."""

from lucos.placement.exact.choices import Scope
from lucos.placement.exact.cpsat import Effort
from lucos.placement.exact.model import PlaceResult, place

__all__ = ["Effort", "PlaceResult", "Scope", "place"]
