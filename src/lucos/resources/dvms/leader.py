"""The leader's part of DVMS: visit, collect, solve, apply, or wait, merge and give up.

visiting --Joined by the newcomer--> (the newcomer leads)      visiting --Busy, timeout--> visiting
collecting --all States--> solving --plan--> agreeing --all Applying--> executing --done--> dissolved
solving --no plan--> visiting        nobody left: visiting --> blocked (others in the way) or dissolved
blocked --Freed--> visiting          blocked --HandOver from a higher ISP--> collecting
blocked --Blocked by a lower ISP--> (handed over)
executing --failure--> pausing --> collecting, to plan anew
"""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING

from lucos.actors import Message, address
from lucos.actors.ports import SOLVER, Solve, Solved
from lucos.model import Migrate, Plan, PlannedAction
from lucos.overlay.neighbours import Spiral
from lucos.placement.problem import Budget
from lucos.resources.dvms.messages import (
    Apply,
    Applying,
    Blocked,
    Busy,
    Dissolve,
    Freed,
    HandOver,
    Holder,
    Isp,
    Joined,
    Purpose,
    Renew,
    State,
    Visit,
)
from lucos.resources.execution import Execution, beyond_hosts, nodes_of
from lucos.resources.messages import SCHEDULER, Snapshot
from lucos.resources.repair import ANSWER_MARGIN_S, overloaded, repair_problem, short_of, why_not

if TYPE_CHECKING:
    from lucos.resources.dvms.tracker import Dvms


class Step(StrEnum):
    VISITING = "visiting"
    COLLECTING = "collecting"
    SOLVING = "solving"
    AGREEING = "agreeing"
    EXECUTING = "executing"
    BLOCKED = "blocked"
    PAUSING = "pausing"


class Deadline(Message, frozen=True):
    """To oneself: the step begun as number `turn` of this ISP took too long."""

    isp: Isp
    turn: int


class Leading:
    """One node's leadership of one ISP; dropped when a newcomer takes over or the partition ends."""

    def __init__(
        self,
        tracker: Dvms,
        isp: Isp,
        version: int,
        members: tuple[str, ...],
        reason: str,
        *,
        visited: tuple[str, ...] = (),
        holders: tuple[Holder, ...] = (),
        replans: int = 0,
        purpose: Purpose = Purpose.RELIEVE,
        spiral: Spiral | None = None,
    ) -> None:
        self._tracker = tracker
        self._world = tracker.world
        self._settings = tracker.settings
        self.isp = isp
        self.version = version
        self.members = members
        self.reason = reason
        self.purpose = purpose
        self._spiral = tracker.neighbours.widened(spiral)
        self.step = Step.VISITING
        self._visited = dict.fromkeys(visited)
        self._holders = {h.node: h for h in holders}
        self._replans = replans
        self._target = ""
        self._turn = 0
        self._waits = 0
        self._snapshots: dict[str, Snapshot] = {}
        self._agreed: set[str] = set()
        self._plan = Plan()
        self._rivals: dict[Isp, str] = {}
        self._reasons = ""
        self._woken = self._thorough = False
        self._gone: dict[str, None] = {}
        self.execution: Execution | None = None

    @property
    def committed(self) -> bool:
        """Members have been or are being bound to this leader's plan."""
        return self.step in (Step.AGREEING, Step.EXECUTING, Step.PAUSING)

    # --- growing ------------------------------------------------------------------------------------

    def advance(self) -> None:
        """Visit the next node outwards; with nobody left, wait for those in the way, or give up."""
        self.step = Step.VISITING
        relieving = self.purpose is Purpose.RELIEVE
        most = self._settings.members_max if relieving else self._settings.empty_members_max
        full = len(self.members) >= most
        target = None if full else self._next()
        if target is None and relieving and self._snapshots and not self._thorough:
            self._thorough = True
            self._ask_solver(self._snapshots)
        elif full:
            self.dissolve(False, f"no solution among {most} nodes: {self._reasons}")
        elif target is None:
            self._nobody_left()
        else:
            self._visit(target)

    def _visit(self, target: str) -> None:
        self._target = target
        visit = Visit(
            self.isp,
            self.version,
            self.members,
            tuple(self._visited),
            tuple(self._holders.values()),
            self.reason,
            self._replans,
            self.purpose,
            self._spiral,
        )
        self._world.send(address(target, SCHEDULER), visit)
        self._arm(self._settings.visit_timeout_s)

    def _next(self) -> str | None:
        """The node to visit next, None when nobody is left."""
        order = self._tracker.neighbours.outwards(self._spiral)
        return next((n for n in order if n not in self.members and n not in self._visited), None)

    def on_busy(self, message: Busy) -> None:
        if self.step is Step.VISITING and message.holder.node == self._target:
            if self.purpose is Purpose.EMPTY:
                self.dissolve(False, f"{self._target} is busy, and this can wait")
                return
            self._visited[self._target] = None
            self._visited.update(dict.fromkeys(message.holder.members))
            self._holders[self._target] = message.holder
            self.advance()

    def on_freed(self, message: Freed) -> None:
        """A node found busy is free, and so may be those of its partition: visit them again."""
        holder = self._holders.pop(message.node, None)
        for name in (message.node, *(holder.members if holder else ())):
            self._visited.pop(name, None)
        if self.step is Step.BLOCKED:
            self.advance()

    def _nobody_left(self) -> None:
        reasons = self._reasons or "no other node can help"
        if not self._holders:
            self.dissolve(False, f"no solution anywhere: {reasons}")
            return
        self._waits += 1
        if self._waits > self._settings.waits_max:
            self.dissolve(False, "others were in the way every time")
            return
        self.step = Step.BLOCKED
        others = sorted({str(h.isp) if h.isp else h.node for h in self._holders.values()})
        self._tracker.report(
            "partition.blocked", self.isp, f"waits for {', '.join(others)}", members=list(self.members)
        )
        for holder in self._holders.values():
            if holder.isp is not None:
                self._send_blocked(holder.leader, holder.isp)
        for isp, leader in self._rivals.items():
            self._send_blocked(leader, isp)
        self._arm(self._settings.blocked_timeout_s * (1 + self._world.random.random()))

    def _send_blocked(self, leader: str, holder: Isp) -> None:
        self._world.send(address(leader, SCHEDULER), Blocked(self.isp, self._world.node, holder))

    # --- merging: the lower absorbs the higher, never both ways ------------------------------------------

    def on_blocked(self, message: Blocked) -> bool:
        """Another blocked ISP found us in its way. True when it takes our members over."""
        if self.step is not Step.BLOCKED:
            self._rivals[message.isp] = message.leader
            return False
        if self.isp < message.isp:
            self._send_blocked(message.leader, message.isp)
            return False
        self._world.send(address(message.leader, SCHEDULER), HandOver(message.isp, self.isp, self.members))
        return True

    def on_handover(self, message: HandOver) -> None:
        if self.step not in (Step.BLOCKED, Step.VISITING):
            self._tell(message.members, Dissolve(message.isp, 2**53, False, "the merge came too late"))
            return
        self.members = tuple(dict.fromkeys((*self.members, *message.members)))
        self.version += 1
        self._holders = {n: h for n, h in self._holders.items() if h.isp != message.isp}
        self._visited = {n: None for n in self._visited if n not in self.members}
        self._tracker.report(
            "partition.merged", self.isp, f"absorbed {message.isp}", members=list(self.members)
        )
        self.collect(message.isp)

    # --- solving --------------------------------------------------------------------------------------

    def collect(self, absorbed: Isp | None = None) -> None:
        """Present oneself to all members and gather their states."""
        self.step = Step.COLLECTING
        self._snapshots = {}
        self._woken = self._thorough = False
        self._tracker.regrant(self)
        self._tracker.attend(self.members)
        joined = Joined(self.isp, self.version, self._world.node, self.members, absorbed)
        self._tell(self.members, joined)
        self._tracker.ask_snapshot(self.own_snapshot)
        self._arm(self._settings.state_timeout_s)

    def own_snapshot(self, snapshot: Snapshot) -> None:
        if self._tracker.leading is self:
            self.on_state(self._world.node, State(self.isp, self.version, snapshot))

    def on_state(self, node: str, message: State) -> None:
        if self.step is Step.COLLECTING and message.version == self.version:
            self._snapshots[node] = message.snapshot
            if len(self._snapshots) == len(self.members):
                self._solve()

    def _solve(self) -> None:
        if self.isp.initiator not in self._snapshots or self._world.node not in self._snapshots:
            self.dissolve(False, "the initiator is silent")
            return
        silent = [m for m in self.members if m not in self._snapshots]
        if silent:
            # Left out: their VMs cannot move and they cannot receive. Their grants end with their lease.
            self.members = tuple(m for m in self.members if m in self._snapshots)
            self._visited.update(dict.fromkeys(silent))
        self.step = Step.SOLVING
        awake = {name: s for name, s in self._snapshots.items() if s.node.online}
        self._reasons = short_of(awake)
        if not self._reasons:
            self._ask_solver(awake)
        else:
            self._without_plan()

    def _without_plan(self) -> None:
        """No plan with these nodes: wake those in standby if there are any, else grow."""
        asleep = any(not s.node.online for s in self._snapshots.values())
        if asleep and self.purpose is Purpose.RELIEVE and not self._woken:
            self._woken = True
            self._ask_solver(self._snapshots)
        else:
            self.advance()

    def _ask_solver(self, snapshots: dict[str, Snapshot]) -> None:
        """A first try at first, since one more node makes most problems easy; the last try is thorough."""
        self.step = Step.SOLVING
        self._turn += 1
        work = self._settings.solve_work if self._thorough else 0.0
        emptied = self.isp.initiator if self.purpose is Purpose.EMPTY else ""
        problem = repair_problem(snapshots, policy=self._settings.repair, emptied=emptied)
        turn, limit_s = self._turn, self._settings.solve_timeout_s
        self._tracker.calls.ask(
            SOLVER,
            lambda call_id: Solve(call_id, problem, Budget(work=work), limit_s),
            limit_s + ANSWER_MARGIN_S,
            lambda answer: self._solved(turn, answer),
        )

    def _solved(self, turn: int, answer: Solved | None) -> None:
        if self._tracker.leading is not self or self._turn != turn:
            return
        solution = answer.solution if answer else None
        why = why_not(answer)
        if solution is not None and not why:
            why = beyond_hosts(solution.plan)
        self._reasons = why
        if why or solution is None:
            self._without_plan()
        elif not solution.plan.actions:
            worst = [name for name, snapshot in self._snapshots.items() if overloaded(snapshot)]
            if worst:
                self.dissolve(False, f"{worst[0]} is overloaded whoever moves")
            else:
                self.dissolve(True, "the violation is already over")
        else:
            self._plan = solution.plan
            moves = ", ".join(_in_words(step) for step in solution.plan.actions)
            self._tracker.report("partition.solved", self.isp, moves, members=list(self.members))
            self._agree()

    # --- applying -------------------------------------------------------------------------------------

    def _agree(self) -> None:
        self.step = Step.AGREEING
        self._agreed = set()
        self._arm(self._settings.state_timeout_s)
        self._tell(self.members, Apply(self.isp, self.version))
        self._tracker.enter_applying()
        self.on_applying(self._world.node, Applying(self.isp, self.version, True))

    def on_applying(self, node: str, message: Applying) -> None:
        if self.step is not Step.AGREEING or message.version != self.version:
            return
        if not message.ok:
            self.dissolve(False, f"{node} left the partition")
            return
        self._agreed.add(node)
        if len(self._agreed) == len(self.members):
            self.step = Step.EXECUTING
            self._turn += 1
            self.execution = Execution(
                self._plan,
                str(self.isp),
                self._tracker.calls,
                self._settings.action_timeout_s,
                self._executed,
            )
            self.execution.start()

    def _executed(self, failures: dict[str, str]) -> None:
        self.execution = None
        if not failures:
            moved = dict.fromkeys(step.action.vm for step in self._plan.actions)
            self.dissolve(True, f"{len(moved)} VMs moved")
            return
        text = "; ".join(f"{vm}: {why}" for vm, why in failures.items())
        self._replans += 1
        if self._replans > self._settings.replans_max:
            self.dissolve(False, f"gave up after {self._replans} plans: {text}")
            return
        self._tracker.report("partition.replanned", self.isp, text, members=list(self.members))
        # What refused the action (a guest busy with a command, say) is given time to end.
        self.step = Step.PAUSING
        self._arm(self._settings.replan_s * self._replans)

    # --- ends and accidents ---------------------------------------------------------------------------

    def on_deadline(self, message: Deadline) -> None:
        if message.turn != self._turn:
            return
        match self.step:
            case Step.VISITING:
                # The newcomer may lead by now without our knowing: a version beyond its own keeps us apart.
                self.version += 2
                self._tracker.regrant(self)
                self._visited[self._target] = None
                self.advance()
            case Step.COLLECTING:
                self._solve()
            case Step.AGREEING:
                silent = [m for m in self.members if m not in self._agreed]
                self.dissolve(False, f"{', '.join(silent)} did not agree in time")
            case Step.BLOCKED:
                self.dissolve(False, "blocked for too long")
            case Step.PAUSING:
                self.version += 1
                self.members = tuple(m for m in self.members if m not in self._gone)
                self.collect()

    def on_members_gone(self, gone: set[str]) -> None:
        """Nodes died, or lost their memory of this ISP."""
        self._gone.update(dict.fromkeys(gone))
        if self.execution is not None:
            self.execution.nodes_died(gone)
        elif self.isp.initiator in gone:
            self.dissolve(False, f"its initiator {self.isp.initiator} is gone")
        elif self.step is Step.VISITING and self._target in gone:
            self._visited[self._target] = None
            self.advance()

    def renew(self) -> None:
        self._tell(self.members, Renew(self.isp, self.version))

    def dissolve(self, solved: bool, outcome: str) -> None:
        self._tell(self.members, Dissolve(self.isp, self.version, solved, outcome, self.purpose))
        self._tracker.ended(self, solved, outcome)

    def _tell(self, members: tuple[str, ...], message: Message) -> None:
        for member in members:
            if member != self._world.node:
                self._world.send(address(member, SCHEDULER), message)

    def _arm(self, delay_s: float) -> None:
        self._turn += 1
        self._world.after(delay_s, Deadline(self.isp, self._turn))


def _in_words(step: PlannedAction) -> str:
    kind = type(step.action).__name__.lower()
    verb = "" if isinstance(step.action, Migrate) else f"{kind} on "
    return f"{step.action.vm}: {verb}{' -> '.join(nodes_of(step))}"
