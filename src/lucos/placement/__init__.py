"""Placement: where VMs may be, which must move, in which order; usable alone as a library.

`solve` answers a `Problem` with a plan that the independent `check` accepted, or with reasons.
"""

from lucos.placement.legacy import Problem, Solution, Status
from lucos.placement.legacy_checker import check
from lucos.placement.legacy_repair import solve
from lucos.placement.legacy_rules import KINDS, broken, first_broken

__all__ = ["KINDS", "Problem", "Solution", "Status", "broken", "check", "first_broken", "solve"]
