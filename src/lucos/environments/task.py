"""One request under way: survey the LUC, then decide and act. Errors of ours become the answer."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, Protocol

from lucos.environments.messages import Managed, Surveyed
from lucos.errors import LucError
from lucos.model import Outcome

if TYPE_CHECKING:
    from lucos.environments.tracker import Environments


class Request(Protocol):
    """A message that is answered."""

    @property
    def call_id(self) -> int: ...


class Task:
    """Begins with a survey that `surveyed` is given. What it has to say in the end goes to `sender`."""

    def __init__(self, tracker: Environments, request: Request, sender: str) -> None:
        self.tracker = tracker
        self.world = tracker.world
        self.calls = tracker.calls
        self.call_id = request.call_id
        self.sender = sender
        self.survey(self.surveyed)

    def surveyed(self, survey: Surveyed) -> None:
        """What the LUC is like now."""
        raise NotImplementedError

    def survey(self, then: Callable[[Surveyed], None]) -> None:
        """`then` is called with a new survey, unless the records cannot be read."""

        def known(survey: Surveyed) -> None:
            if survey.error:
                self.fail(survey.error, "Unreachable")
            else:
                then(survey)

        self.tracker.survey(self.guarded(known))

    def guarded(self, step: Callable[[Any], None]) -> Callable[[Any], None]:
        """`step`, whose errors become the answer."""

        def guarded(argument: Any) -> None:
            try:
                step(argument)
            except LucError as error:
                self.fail(error.message, error.kind, error.hint)

        return guarded

    def answer(self, outcomes: Iterable[Outcome]) -> None:
        self.world.send(self.sender, Managed(self.call_id, tuple(outcomes)))

    def fail(self, error: str, kind: str, hint: str = "") -> None:
        self.world.send(self.sender, Managed(self.call_id, error=error, kind=kind, hint=hint))
