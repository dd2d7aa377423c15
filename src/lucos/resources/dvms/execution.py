"""Carrying out a plan by its dependency graph, from wherever the leader is."""

from __future__ import annotations

from collections.abc import Callable

from lucos.actors import Calls, address
from lucos.model import Boot, Migrate, Plan, PlannedAction
from lucos.resources.messages import HOST, Execute, Executed

PER_NODE_MAX = 2


def nodes_of(step: PlannedAction) -> tuple[str, ...]:
    """The nodes an action touches, the one that carries it out first."""
    match step.action:
        case Migrate(source=source, destination=destination):
            return (source, destination)
        case Boot(node=node):
            return (node,)
        case other:
            raise ValueError(f"{type(other).__name__} is not in plans of DVMS")


class Execution:
    """Starts each action when what it depends on has ended, at most `PER_NODE_MAX` at once on a node.

    After a failure nothing new starts; `finished(failures)` is called once nothing is in flight any more.
    """

    def __init__(
        self,
        plan: Plan,
        partition: str,
        calls: Calls,
        timeout_s: float,
        finished: Callable[[dict[str, str]], None],
    ) -> None:
        self._plan = plan
        self._partition = partition
        self._calls = calls
        self._timeout_s = timeout_s
        self._finished = finished
        self._done: set[int] = set()
        self._started: dict[int, PlannedAction] = {}
        self._failures: dict[str, str] = {}
        self._ended = False

    @property
    def in_flight(self) -> list[PlannedAction]:
        return [s for n, s in self._started.items() if n not in self._done]

    def start(self) -> None:
        """Start all that can start; ends the execution when nothing can."""
        if not self._failures:
            for step in self._plan.ready(self._done, set(self._started)):
                if self._has_slot(step):
                    self._launch(step)
        if not self.in_flight and not self._ended:
            self._ended = True
            self._finished(self._failures)

    def nodes_died(self, nodes: set[str]) -> None:
        """Nodes that carry out actions are gone: these failed, and what their VMs are now is not known."""
        for step in self.in_flight:
            if nodes_of(step)[0] in nodes:
                self._settle(step, Executed(0, False, f"{nodes_of(step)[0]} is gone"))

    def _has_slot(self, step: PlannedAction) -> bool:
        busy = [node for other in self.in_flight for node in nodes_of(other)]
        return all(busy.count(node) < PER_NODE_MAX for node in nodes_of(step))

    def _launch(self, step: PlannedAction) -> None:
        self._started[step.number] = step
        self._calls.ask(
            address(nodes_of(step)[0], HOST),
            lambda call_id: Execute(call_id, step.action, step.reason, partition=self._partition),
            self._timeout_s,
            lambda answer: self._settle(step, answer),
        )

    def _settle(self, step: PlannedAction, answer: Executed | None) -> None:
        if step.number in self._done:
            return
        self._done.add(step.number)
        if answer is None:
            self._failures[step.action.vm] = "no answer in time"
        elif not answer.ok:
            self._failures[step.action.vm] = answer.error
        self.start()
