"""Let it crash: what becomes of an actor that raised, decided by cause and bounded in number.

Source: the seeds' AkkaArc (one-for-one, two retries in a second; decide by the cause of the failure).
"""

from __future__ import annotations

from collections import deque
from enum import StrEnum

from lucos.actors.message import WireError
from lucos.errors import LucError


class Decision(StrEnum):
    RESUME = "resume"  # drop the message, keep the state
    RESTART = "restart"  # new instance from its durable state
    ESCALATE = "escalate"  # the supervisor fails in turn; at the top, the agent does


class Supervisor:
    """Decides for one actor. Errors of input cannot have damaged its state; anything else may have."""

    def __init__(self, restarts_max: int = 3, within_s: float = 10.0) -> None:
        self._restarts_max = restarts_max
        self._within_s = within_s
        self._restarts: deque[float] = deque()

    def decide(self, error: BaseException, now_s: float) -> Decision:
        if isinstance(error, (LucError, WireError)):
            return Decision.RESUME
        while self._restarts and now_s - self._restarts[0] > self._within_s:
            self._restarts.popleft()
        if len(self._restarts) >= self._restarts_max:
            return Decision.ESCALATE
        self._restarts.append(now_s)
        return Decision.RESTART
