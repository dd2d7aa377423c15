"""Pre-copy live migration in rounds (SimGrid's model; the seeds' simulations used it). Pure: no time."""

from __future__ import annotations


class PreCopy:
    """The rounds of one migration: a round sends `remaining_mib` while `dirtied_mib` gathers for the next.

    The first round sends all of the memory, each other one what was dirtied during the round before, at most
    `dirty_max_mib`. When that can be sent within the downtime the guest is stopped for it.
    """

    __slots__ = ("dirtied_mib", "dirty_max_mib", "remaining_mib", "rounds")

    def __init__(self, memory_mib: float, dirty_max_mib: float) -> None:
        self.remaining_mib = memory_mib
        self.dirty_max_mib = dirty_max_mib
        self.dirtied_mib = 0.0
        self.rounds = 0

    def advance(self, sent_mib: float, dirtied_mib: float) -> None:
        """Account for a while within a round."""
        self.remaining_mib = max(self.remaining_mib - sent_mib, 0.0)
        self.dirtied_mib = min(self.dirtied_mib + dirtied_mib, self.dirty_max_mib)

    def next_round(self) -> None:
        """All of the round is sent."""
        self.remaining_mib, self.dirtied_mib = self.dirtied_mib, 0.0
        self.rounds += 1
