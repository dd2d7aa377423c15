"""One round of a scheduler that decides for many nodes: monitor, decide, plan, execute.

All nodes are asked for a snapshot; those whose host obeys the round's partition and has nothing in flight
take part; what was decided is solved and carried out. Rounds always end: by their outcome, or by the
time-outs of their parts.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from enum import StrEnum

import msgspec

from lucos.actors import Calls, Message, World, address
from lucos.actors.ports import SOLVER, Solve, Solved, Warm
from lucos.model import Plan
from lucos.placement.problem import Budget, Problem
from lucos.resources.execution import Execution, beyond_hosts
from lucos.resources.messages import HOST, Granted, Snapshot, TakeSnapshot
from lucos.resources.repair import ANSWER_MARGIN_S, RepairPolicy, short_of, why_not

SOLVE_S_MIN = 0.5

Decide = Callable[[dict[str, Snapshot]], Problem | Plan | None]
"""What to do about these nodes, which are awake: a problem to solve, a plan to carry out, or nothing."""


class RoundSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A round over n nodes may solve for n / `nodes_per_solve_s` seconds, at most `solve_s_max`.

    The two figures are VMPlaceS's.
    """

    snapshot_timeout_s: float = 3.0
    solve_s_max: float = 30.0
    nodes_per_solve_s: float = 8.0
    action_timeout_s: float = 240.0
    repair: RepairPolicy = RepairPolicy()


class Outcome(StrEnum):
    NOTHING = "nothing to do"
    DONE = "done"
    FAILED = "some actions failed"
    UNSOLVED = "no plan"


class Result(msgspec.Struct, frozen=True):
    """How a round ended. `silent` are the nodes that gave no snapshot, `text` says why it failed."""

    outcome: Outcome
    snapshots: dict[str, Snapshot]
    silent: frozenset[str]
    text: str = ""


class _Late(Message, frozen=True):
    """To oneself: the snapshots of this round should be there."""

    question: int


class Round:
    """Begins at once; `ended(result)` follows. Its owner passes what it does not know itself to `receive`."""

    def __init__(
        self,
        world: World,
        calls: Calls,
        settings: RoundSettings,
        partition: str,
        nodes: Iterable[str],
        decide: Decide,
        ended: Callable[[Result], None],
    ) -> None:
        self._world = world
        self._calls = calls
        self._settings = settings
        self._partition = partition
        self._decide = decide
        self._ended = ended
        self._began_s = world.now_s()
        self._question = calls.number()
        self._awaited = dict.fromkeys(nodes)
        self._snapshots: dict[str, Snapshot] = {}
        self._silent: set[str] = set()
        self._monitoring = True
        self._over = False
        self._execution: Execution | None = None
        world.send(SOLVER, Warm())
        for node in self._awaited:
            world.send(address(node, HOST), TakeSnapshot(self._question))
        world.after(settings.snapshot_timeout_s, _Late(self._question))

    def receive(self, message: Message) -> bool:
        """True when the message was this round's."""
        match message:
            case Snapshot(call_id=question) if question == self._question:
                self._heard(message)
            case _Late(question=question) if question == self._question:
                self._monitored()
            case _:
                return False
        return True

    def nodes_died(self, nodes: set[str]) -> None:
        for node in sorted(nodes & self._awaited.keys()):
            del self._awaited[node]
            self._silent.add(node)
        if not self._awaited:
            self._monitored()
        if self._execution is not None:
            self._execution.nodes_died(nodes)

    def stop(self) -> None:
        """Another decides from now on: start nothing more; `ended` is not called."""
        self._over = True
        if self._execution is not None:
            self._execution.abandon()

    # --- monitor ----------------------------------------------------------------------------------------

    def _heard(self, snapshot: Snapshot) -> None:
        if self._monitoring and snapshot.node.name in self._awaited:
            del self._awaited[snapshot.node.name]
            self._snapshots[snapshot.node.name] = snapshot
            if not self._awaited:
                self._monitored()

    def _monitored(self) -> None:
        if self._over or not self._monitoring:
            return
        self._monitoring = False
        self._silent.update(self._awaited)
        self._awaited = {}
        # Whose host obeys another, or is moving VMs for another, is not ours to plan for.
        ours = {
            name: snapshot
            for name, snapshot in sorted(self._snapshots.items())
            if snapshot.partition == self._partition and not snapshot.busy
        }
        self._snapshots = ours
        awake = {name: snapshot for name, snapshot in ours.items() if snapshot.node.online}
        decision = self._decide(awake) if awake else None
        if decision is None:
            self._end(Outcome.NOTHING)
        elif isinstance(decision, Plan):
            self._carry_out(decision)
        elif why := short_of(awake):
            self._end(Outcome.UNSOLVED, why)
        else:
            self._solve(decision)

    # --- plan and execute -------------------------------------------------------------------------------

    def _solve(self, problem: Problem) -> None:
        settings = self._settings
        limit_s = min(settings.solve_s_max, len(self._snapshots) / settings.nodes_per_solve_s)
        limit_s = max(limit_s, SOLVE_S_MIN)
        self._calls.ask(
            SOLVER,
            lambda call_id: Solve(call_id, problem, Budget(work=limit_s), limit_s),
            limit_s + ANSWER_MARGIN_S,
            self._solved,
        )

    def _solved(self, answer: Solved | None) -> None:
        if self._over:
            return
        solution = answer.solution if answer else None
        why = why_not(answer)
        if solution is not None and not why:
            why = beyond_hosts(solution.plan)
        if why or solution is None:
            self._end(Outcome.UNSOLVED, why)
        else:
            self._carry_out(solution.plan)

    def _carry_out(self, plan: Plan) -> None:
        if not plan.actions:
            self._end(Outcome.NOTHING)
            return
        violations = [name for name, snapshot in self._snapshots.items() if snapshot.violation]
        self._world.emit(
            "round.planned",
            self._partition,
            f"{len(plan.actions)} actions for {len(violations)} violations on {len(self._snapshots)} nodes",
            actions=len(plan.actions),
            violations=len(violations),
            nodes=len(self._snapshots),
            took_s=round(self._world.now_s() - self._began_s, 6),
        )
        self._execution = Execution(
            plan, self._partition, self._calls, self._settings.action_timeout_s, self._executed
        )
        self._execution.start()

    def _executed(self, failures: dict[str, str]) -> None:
        text = "; ".join(f"{vm}: {why}" for vm, why in failures.items())
        self._end(Outcome.FAILED if failures else Outcome.DONE, text)

    def _end(self, outcome: Outcome, text: str = "") -> None:
        self._over = True
        if outcome is not Outcome.NOTHING:
            told = f"{outcome}: {text}" if text else str(outcome)
            lasted_s = round(self._world.now_s() - self._began_s, 6)
            self._world.emit("round.ended", self._partition, told, duration_s=lasted_s, outcome=str(outcome))
        self._ended(Result(outcome, self._snapshots, frozenset(self._silent), text))


class Allegiance:
    """Whose orders this node's host takes; it does not change while moves of the former are in flight."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._in_flight: dict[str, int] = {}
        self._wanted = ""
        self.partition = ""

    def pledge(self, partition: str) -> None:
        """Obey `partition` ("": nobody) as soon as the moves of the one obeyed now have ended."""
        self._wanted = partition
        if self._wanted != self.partition and not self._in_flight.get(self.partition):
            self.partition = self._wanted
            self._world.send(HOST, Granted(self.partition))

    def in_flight(self, counts: dict[str, int]) -> None:
        """The host tells how many moves of each partition are in flight."""
        self._in_flight = counts
        self.pledge(self._wanted)
