"""Actions on VMs, plans of them, and events: what happened and why."""

from __future__ import annotations

import msgspec

Detail = str | int | float | bool | None | list[str]


class Action(msgspec.Struct, frozen=True, tag=True):
    """One step on one VM. Subclasses are the kinds of DESIGN's planner."""

    vm: str


class Boot(Action, frozen=True, tag="boot"):
    node: str


class Shutdown(Action, frozen=True, tag="shutdown"):
    node: str


class Kill(Action, frozen=True, tag="kill"):
    node: str


class Pause(Action, frozen=True, tag="pause"):
    node: str


class Unpause(Action, frozen=True, tag="unpause"):
    node: str


class Suspend(Action, frozen=True, tag="suspend"):
    node: str


class Resume(Action, frozen=True, tag="resume"):
    node: str


class Migrate(Action, frozen=True, tag="migrate"):
    source: str
    destination: str


AnyAction = Boot | Shutdown | Kill | Pause | Unpause | Suspend | Resume | Migrate


class PlannedAction(msgspec.Struct, frozen=True):
    """An action with its number in the plan, what must end before it starts, and why it is there."""

    number: int
    action: AnyAction
    depends_on: tuple[int, ...] = ()
    reason: str = ""


class Plan(msgspec.Struct, frozen=True):
    """Actions ordered by their dependencies; `depends_on` refers to numbers in the same plan."""

    actions: tuple[PlannedAction, ...] = ()

    def ready(self, done: set[int], started: set[int]) -> list[PlannedAction]:
        """Actions whose dependencies are all in `done` and that are not in `started`."""
        return [a for a in self.actions if a.number not in started and all(d in done for d in a.depends_on)]


class Outcome(msgspec.Struct, frozen=True):
    """How one action on one VM ended."""

    vm: str
    ok: bool
    state: str = ""
    node: str = ""
    error: str = ""
    duration_s: float = 0.0
    downtime_ms: float = 0.0


class Event(msgspec.Struct, frozen=True):
    """Something that happened on a node, for people and for traces.

    `time_s` is the node's clock (Unix time in the real world, virtual time in the simulated one),
    `kind` a dotted word such as `violation.start`, `subject` the VM, node or partition concerned.
    """

    time_s: float
    node: str
    kind: str
    subject: str
    text: str
    data: dict[str, Detail] = {}
