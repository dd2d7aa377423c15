"""What is said when steps wait for each other for ever."""

from __future__ import annotations

import msgspec

from lucos.placement.planner.actions import Work

SHOWN_MAX = 8


class Deadlock(msgspec.Struct, frozen=True):
    """No plan: the VMs that cannot make their step, and why in words.

    `proved`: no sequence of actions at all leads to the target, bypasses included.
    """

    stuck: tuple[str, ...]
    text: str
    proved: bool = False

    @classmethod
    def of(cls, work: Work, steps: list[int], *, proved: bool = False) -> Deadlock:
        """Of steps (by position) that never start."""
        names = tuple(dict.fromkeys(work.steps[i].action.vm for i in steps if work.steps[i].vm >= 0))
        shown = ", ".join(names[:SHOWN_MAX]) + (
            f" and {len(names) - SHOWN_MAX} more" if len(names) > SHOWN_MAX else ""
        )
        waits = "wait for each other" if len(names) > 1 else "cannot act"
        ends = "no sequence of actions leads there" if proved else "no order of their actions was found"
        return cls(names, f"{shown} {waits}: {ends}", proved)
