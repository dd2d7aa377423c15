"""Carrying out a plan by its dependency graph, from wherever the leader is."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from lucos.actors import Calls, address
from lucos.model import Allocate, Migrate, Plan, PlannedAction, Resume, VmSpec
from lucos.resources.messages import HOST, Execute, Executed

PER_NODE_MAX = 2


def nodes_of(step: PlannedAction) -> tuple[str, ...]:
    """The nodes an action touches, the one that carries it out first."""
    action = step.action
    return (action.source, action.destination) if isinstance(action, Migrate) else (action.node,)


def beyond_hosts(plan: Plan) -> str:
    """What in the plan hosts cannot do, in words; empty when they can do all of it."""
    for step in plan.actions:
        match step.action:
            case Resume(vm=vm, node=node, source=source) if source not in ("", node):
                return f"{vm} would be resumed on {node}, and its memory is saved on {source}"
            case Allocate(vm=vm):
                return f"{vm} would be given another share, and hosts give each VM what it wants"
    return ""


class Execution:
    """Starts each action when what it depends on has ended, at most `PER_NODE_MAX` at once on a node.

    After a failure nothing new starts; `finished(failures)` is called once nothing is in flight any more.
    `specs` describe the VMs to boot.
    """

    def __init__(
        self,
        plan: Plan,
        partition: str,
        calls: Calls,
        timeout_s: float,
        finished: Callable[[dict[str, str]], None],
        specs: Mapping[str, VmSpec] | None = None,
        *,
        rest: bool = False,
    ) -> None:
        self._plan = plan
        self._rest = rest
        self._partition = partition
        self._calls = calls
        self._timeout_s = timeout_s
        self._finished = finished
        self._specs = specs or {}
        self._done: set[int] = set()
        self._started: dict[int, PlannedAction] = {}
        self.outcomes: dict[int, Executed | None] = {}
        self._failures: dict[str, str] = {}
        self._busy: dict[str, int] = {}
        self._ended = False

    @property
    def nodes(self) -> set[str]:
        """The nodes that carry out the plan's actions."""
        return {nodes_of(step)[0] for step in self._plan.actions}

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

    def abandon(self) -> None:
        """Start nothing more and say nothing at the end; what is in flight goes on."""
        self._failures[""] = "abandoned"
        self._ended = True

    def nodes_died(self, nodes: set[str]) -> None:
        """Nodes that carry out actions are gone: these failed, and what their VMs are now is not known."""
        for step in self.in_flight:
            if nodes_of(step)[0] in nodes:
                self._settle(step, Executed(0, False, f"{nodes_of(step)[0]} is gone"))

    def _has_slot(self, step: PlannedAction) -> bool:
        return all(self._busy.get(node, 0) < PER_NODE_MAX for node in nodes_of(step))

    def _launch(self, step: PlannedAction) -> None:
        self._started[step.number] = step
        for node in nodes_of(step):
            self._busy[node] = self._busy.get(node, 0) + 1
        self._calls.ask(
            address(nodes_of(step)[0], HOST),
            lambda call_id: Execute(
                call_id,
                step.action,
                step.reason,
                self._specs.get(step.action.vm),
                self._partition,
                rest=self._rest,
            ),
            self._timeout_s,
            lambda answer: self._settle(step, answer),
        )

    def _settle(self, step: PlannedAction, answer: Executed | None) -> None:
        if step.number in self._done:
            return
        self._done.add(step.number)
        for node in nodes_of(step):
            self._busy[node] -= 1
        self.outcomes[step.number] = answer
        if answer is None:
            self._failures[step.action.vm] = "no answer in time"
        elif not answer.ok:
            self._failures[step.action.vm] = answer.error
        self.start()
