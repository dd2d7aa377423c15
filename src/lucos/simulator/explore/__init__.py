"""Exhaustive exploration of small worlds of production actors: every order of messages, timers and a crash.

`Explorer(case).explore()` sees all states of a case within its bounds, or finds the shortest way to one that
breaks a law; `tell` makes a story of it. `docs/laws.md` says what is covered and what is not.
"""

from lucos.simulator.explore.case import Bounds, Case, Told
from lucos.simulator.explore.cases import CASES, LONG, QUICK
from lucos.simulator.explore.explorer import Explorer, Finding, Report
from lucos.simulator.explore.transcript import decode, encode, story, tell

__all__ = [
    "CASES",
    "LONG",
    "QUICK",
    "Bounds",
    "Case",
    "Explorer",
    "Finding",
    "Report",
    "Told",
    "decode",
    "encode",
    "story",
    "tell",
]
