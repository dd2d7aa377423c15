"""Placement: where VMs may be, which must move, in which order; usable alone as a library.

`solve` answers a `Problem` with a plan that the independent `check` accepted, or with reasons.
"""

from lucos.placement.checker import check
from lucos.placement.problem import Problem, Solution, Status
from lucos.placement.repair import solve
from lucos.placement.rules import KINDS, broken, first_broken

__all__ = ["KINDS", "Problem", "Solution", "Status", "broken", "check", "first_broken", "solve"]
