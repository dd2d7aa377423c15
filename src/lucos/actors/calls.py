"""Requests with deadlines on top of one-way messages: the one place that matches answers to questions."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from lucos.actors.message import Message
from lucos.actors.world import Timer, World


class CallTimeout(Message, frozen=True):
    """To oneself: the call's deadline passed."""

    call_id: int


Then = Callable[[Any], None]


class Calls:
    """Open calls of one actor. The answer (or None at the deadline) goes to `then`, exactly once.

    The question and its answer carry `call_id`; the owner passes every message it receives to `settle`
    first, which says whether it was an answer. Open calls are bounded by their deadlines.
    """

    def __init__(self, world: World) -> None:
        self._world = world
        # Ids start at random so that an answer to a predecessor (before a restart) is not mistaken for ours.
        self._next = world.random.randrange(2**31) * 2**16
        self._open: dict[int, tuple[Timer, Then]] = {}

    def number(self) -> int:
        """A call id of its own, for a question whose answer has no deadline and is not awaited here."""
        self._next += 1
        return self._next

    def ask(self, to: str, question: Callable[[int], Message], timeout_s: float, then: Then) -> int:
        """Send `question(call_id)` to `to`; `then(answer | None)` follows."""
        call_id = self.number()
        timer = self._world.after(timeout_s, CallTimeout(call_id))
        self._open[call_id] = (timer, then)
        self._world.send(to, question(call_id))
        return call_id

    def ask_all(
        self,
        questions: dict[str, tuple[str, Callable[[int], Message]]],
        timeout_s: float,
        then: Callable[[dict[str, Any]], None],
    ) -> dict[str, int]:
        """Ask several, each `key: (to, question)`; `then({key: answer | None})` follows when all is known.

        Returns the ids of the calls.
        """
        answers: dict[str, Any] = {}
        if not questions:
            then(answers)

        def collector(key: str) -> Then:
            def answered(answer: Any) -> None:
                answers[key] = answer
                if len(answers) == len(questions):
                    then({name: answers[name] for name in questions})

            return answered

        return {
            key: self.ask(to, question, timeout_s, collector(key))
            for key, (to, question) in questions.items()
        }

    def give_up(self, call_id: int) -> None:
        """Settle an open call as if its deadline had passed; harmless when it is settled already."""
        self.settle(CallTimeout(call_id))

    def settle(self, message: Message) -> bool:
        """True when `message` was an answer or a deadline of ours (also of a call already settled)."""
        call_id = getattr(message, "call_id", None)
        if call_id is None:
            return False
        entry = self._open.pop(call_id, None)
        if entry is None:
            return isinstance(message, CallTimeout)
        timer, then = entry
        timer.cancel()
        then(None if isinstance(message, CallTimeout) else message)
        return True
