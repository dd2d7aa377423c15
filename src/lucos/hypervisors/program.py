"""What a simulated guest does when it has a job: phases of work and of waiting, then it stops by itself."""

from __future__ import annotations

import msgspec

from lucos.actors.simulated.runtime import Scheduled
from lucos.errors import InputError


class Phase(msgspec.Struct, frozen=True):
    """The guest wants `cpu_pct` of a core until it was given `cpu_s` seconds of CPU, or for `duration_s`.

    Exactly one of the two is set. Neither passes while the guest does not run.
    """

    cpu_pct: float
    cpu_s: float = 0.0
    duration_s: float = 0.0

    def __post_init__(self) -> None:
        if self.cpu_pct < 0.0 or (self.cpu_s > 0.0) == (self.duration_s > 0.0):
            raise InputError(f"{self}: a phase has work (cpu_s) or a duration (duration_s), above 0")
        if self.cpu_s and not self.cpu_pct:
            raise InputError(f"{self}: work is never done with cpu_pct 0")


class Program(msgspec.Struct, frozen=True):
    """Phases one after the other; at the end of the last one the guest stops."""

    phases: tuple[Phase, ...]

    def __post_init__(self) -> None:
        if not self.phases:
            raise InputError("a program without phases", hint="give it at least one")


class Run:
    """How far a guest is in its program. It belongs to the guest, and moves with it."""

    __slots__ = ("_per_s", "_rest", "_since_s", "left_s", "phase", "timer")

    def __init__(self, program: Program) -> None:
        self._rest = list(program.phases)
        self._since_s = self._per_s = 0.0
        self.timer: Scheduled | None = None
        self.next()

    def next(self) -> bool:
        """Go on to the next phase; False when there is none."""
        self.cancel()
        if not self._rest:
            return False
        self.phase = self._rest.pop(0)
        # Seconds: of CPU when it works, of running when it waits.
        self.left_s = self.phase.cpu_s or self.phase.duration_s
        return True

    def pace(self, now_s: float, cores: float) -> float | None:
        """From now on the guest is given `cores` (below 0: it does not run).

        Returns in how many seconds the phase ends then, for the caller to set `timer`; None when it never
        does, or when the timer that is set is right.
        """
        per_s = max(cores, 0.0) if self.phase.cpu_s else float(cores >= 0.0)
        if per_s == self._per_s:
            return None
        self.left_s = max(self.left_s - self._per_s * (now_s - self._since_s), 0.0)
        self.cancel()
        self._since_s, self._per_s = now_s, per_s
        return self.left_s / per_s if per_s > 0.0 else None

    def cancel(self) -> None:
        """Stop the clock."""
        self._per_s = 0.0
        if self.timer is not None:
            self.timer.cancel()
            self.timer = None
