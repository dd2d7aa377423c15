"""One round of the leader's loop: look, settle, decide, plan, switch.

looking --read, surveyed--> settling --nothing to settle--> deciding --somebody turns--> solving --plan-->
recording --on record--> switching --done--> over        nothing left to do, or something failed --> over
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from functools import partial
from math import inf
from typing import TYPE_CHECKING, TypeVar

import msgspec

from lucos.actors import Message, address
from lucos.actors.ports import SOLVER, Solve, Solved
from lucos.model import AnyAction, Kill, Plan, PlannedAction, Resources, Unpause, VeState, VmState
from lucos.placement.problem import Budget
from lucos.resources.execution import Execution, beyond_hosts
from lucos.resources.messages import HOST, Snapshot, TakeSnapshot
from lucos.resources.queue.packing import Need
from lucos.resources.queue.policy import Candidate, Decision, decide, never_fits
from lucos.resources.queue.records import HEAD, Shelf, amend, read, write_all
from lucos.resources.queue.survey import Sight, Survey, candidate
from lucos.resources.queue.switch import (
    Target,
    begun_switch,
    counted,
    ended_switch,
    goal_of,
    overfull,
    switch_problem,
)
from lucos.resources.queue.vjob import Head, VjobRecord
from lucos.resources.repair import ANSWER_MARGIN_S, why_not

if TYPE_CHECKING:
    from lucos.resources.queue.tracker import Queue

T = TypeVar("T")

SURVEY_TIMEOUT_S = 2.0
# How soon the queue is looked at again when something is still settling.
SOON_S = 5.0
RESTARTS_MAX = 3
# After so many rounds in a row without a plan, somebody who runs has to give way.
STUCK_MAX = 3


class Kept:
    """What a leader remembers from round to round; its successor does without."""

    def __init__(self) -> None:
        self.missed: set[str] = set()
        self.read_s = inf
        self.now_s = 0.0
        self.crowded_since_s: float | None = None
        self.stuck = 0


class Round:
    def __init__(self, queue: Queue, kept: Kept) -> None:
        self._queue = queue
        self._kept = kept
        self._world = queue.world
        self._calls = queue.calls
        self._settings = queue.settings
        self._now_s = 0.0
        self._shelf: Shelf
        self._survey: Survey
        self._fresh: set[str] = set()
        self._candidates: dict[str, Candidate] = {}
        self._decision = Decision(())
        self._execution: Execution | None = None
        self.over = False
        read(self._calls, self._while_on(self._read))

    def members_changed(self, alive: Collection[str]) -> None:
        if self._execution is not None:
            self._execution.nodes_died(self._execution.nodes - set(alive))

    def abandon(self) -> None:
        """This node leads no longer: start nothing more. What is under way goes on, and is on record."""
        self.over = True
        if self._execution is not None:
            self._execution.abandon()

    def _while_on(self, then: Callable[[T], None]) -> Callable[[T], None]:
        """`then`, unless the round is over by that time."""

        def called(answer: T) -> None:
            if not self.over:
                then(answer)

        return called

    def _end(self, again_s: float | None = None) -> None:
        self.over = True
        self._queue.ended(self._settings.period_s if again_s is None else again_s)

    # --- looking --------------------------------------------------------------------------------------

    def _read(self, shelf: Shelf) -> None:
        if shelf.error or shelf.head is None:
            self._world.emit(
                "queue.blind", self._world.node, shelf.error or "registry: the queue has no head"
            )
            self._end(SOON_S)
            return
        self._shelf = shelf
        read_s, kept = self._world.now_s(), self._kept
        self._now_s = max(shelf.head.now_s, kept.now_s + max(read_s - kept.read_s, 0.0))
        kept.now_s, kept.read_s = self._now_s, read_s
        questions: dict[str, tuple[str, Callable[[int], Message]]] = {
            node: (address(node, HOST), TakeSnapshot) for node in self._queue.alive
        }
        self._calls.ask_all(questions, SURVEY_TIMEOUT_S, self._while_on(self._surveyed))

    def _surveyed(self, answers: Mapping[str, Snapshot | None]) -> None:
        found = {node: snapshot for node, snapshot in answers.items() if snapshot is not None}
        missed = self._kept.missed
        self._survey = Survey(found, self._shelf.in_order(), missed)
        self._kept.missed = set(self._survey.missing)
        self._fresh = self._survey.missing - missed
        if self._survey.busy and any(s.record.switching for s in self._survey.sights):
            # Hosts still do what the leader before told them: what is true now will not be true then.
            self._end(SOON_S)
        else:
            self._settle()

    # --- settling: what has ended, crashed, was cancelled or left half done -------------------------------

    def _settle(self) -> None:
        updates: dict[str, VjobRecord] = {}
        gone: dict[str, str] = {}
        actions: list[AnyAction] = []
        for sight in self._survey.sights:
            record, name = sight.record, sight.record.vjob.name
            if record.cancelled or record.crashed:
                actions += [Kill(vm, instance.node or "") for vm, instance in sight.present.items()]
                if not (sight.present or sight.held):
                    self._killed(record, updates, gone)
            elif sight.ended:
                gone[name] = "finished"
                self._tell_end(record)
            elif record.switching and sight.whole:
                # A switch that did not end as planned may have left some of them paused.
                paused = [i for i in sight.present.values() if i.state is VmState.PAUSED]
                actions += [Unpause(i.spec.id, i.node or "") for i in paused]
                updates[name] = msgspec.structs.replace(record, switching=False)
            if name not in updates and name not in gone and record != self._shelf.vjobs[name]:
                updates[name] = record
        # Who is missing for the first time may be on its way: a second look tells, before anybody decides.
        settled = not (gone or actions or self._fresh)
        self._write(updates, gone, self._decide if settled else partial(self._act, actions))

    def _killed(self, record: VjobRecord, updates: dict[str, VjobRecord], gone: dict[str, str]) -> None:
        """Nothing is left of a vjob that was cancelled, or has to begin anew."""
        name = record.vjob.name
        if record.cancelled:
            gone[name] = "cancelled"
        elif record.restarts >= RESTARTS_MAX:
            gone[name] = "failed"
            self._world.emit("vjob.failed", name, f"a VM was lost {record.restarts + 1} times")
        else:
            updates[name] = VjobRecord(
                record.vjob,
                record.rank,
                record.submitted_s,
                changed_s=self._now_s,
                waited_s=self._now_s - record.submitted_s,
                restarts=record.restarts + 1,
            )
            self._world.emit("vjob.restarted", name, "a VM was lost: all begin anew")

    def _tell_end(self, record: VjobRecord) -> None:
        age_s = self._now_s - record.submitted_s
        late = 0.0 < record.vjob.deadline_s < age_s
        text = f"after {age_s:.0f} s{', too late' if late else ''}"
        self._world.emit("vjob.finished", record.vjob.name, text, age_s=age_s, late=late)

    def _write(
        self, updates: Mapping[str, VjobRecord], gone: Collection[str], then: Callable[[], None]
    ) -> None:
        """Put these on record; the round goes on only if that worked."""

        def written(error: str) -> None:
            if error:
                self._end(SOON_S)
            else:
                then()

        write_all(self._calls, self._shelf, updates.values(), gone, self._while_on(written))

    def _act(self, actions: list[AnyAction]) -> None:
        """Do what needs no plan, and look again."""
        steps = (PlannedAction(i, action, reason="settled by the queue") for i, action in enumerate(actions))
        self._execute(Plan(tuple(steps)), lambda _failures: self._end(SOON_S))

    def _execute(self, plan: Plan, then: Callable[[dict[str, str]], None]) -> None:
        specs = {spec.id: spec for record in self._shelf.vjobs.values() for spec in record.vjob.vms}
        timeout_s = self._settings.action_timeout_s
        self._execution = Execution(plan, "", self._calls, timeout_s, then, specs, rest=True)
        self._execution.start()

    # --- deciding ---------------------------------------------------------------------------------------

    def _decide(self) -> None:
        survey, settings, kept = self._survey, self._settings, self._kept
        room = survey.room()
        why: dict[str, str] = {}
        for sight in survey.sights:
            vjob = candidate(sight, self._now_s, room, settings.assumptions)
            if sight.held:
                why[vjob.name] = sight.held
            elif vjob.state is VeState.WAITING and never_fits(vjob, _emptied(survey)):
                why[vjob.name] = "it does not fit on these nodes even when they are empty"
            else:
                self._candidates[vjob.name] = vjob
        since_s = kept.crowded_since_s
        crowded_s = 0.0 if since_s is None else self._now_s - since_s
        decision = decide(list(self._candidates.values()), room, settings.policy, crowded_s)
        kept.crowded_since_s = (since_s if since_s is not None else self._now_s) if decision.crowded else None
        self._decision = decision
        self._note(why | decision.why_not)
        self._plan(decision.run)

    def _note(self, why_not_run: dict[str, str]) -> None:
        """The clock goes on, and people are told why who does not run."""
        now_s = self._now_s

        def noted(head: Head | None) -> Head:
            return msgspec.structs.replace(head or Head(), now_s=now_s, why_not=why_not_run)

        amend(self._calls, HEAD, Head, noted, lambda _error, _head: None)

    def _turning(self, run: Collection[str]) -> list[Sight]:
        """The vjobs that are not yet what they shall be."""
        return [
            sight
            for sight in self._survey.sights
            if not sight.held and (goal_of(sight, run) is not sight.record.state or not sight.whole)
        ]

    # --- planning ---------------------------------------------------------------------------------------

    def _plan(self, run: tuple[str, ...]) -> None:
        taken = [self._candidates[name] for name in run]
        static = self._decision.static
        needs = {
            need.vm: need
            for vjob in self._candidates.values()
            for need in (vjob.declared if static else vjob.needs)
        }
        drained = any(
            node.draining and any(i.node == name for s in self._survey.sights for i in s.present.values())
            for name, node in self._survey.nodes.items()
        )
        fed = [needs[need.vm] for vjob in taken for need in vjob.needs]
        misplaced = not self._decision.crowded and not static and overfull(self._survey, fed)
        if not (self._turning(run) or drained or misplaced):
            self._end()
            return
        places = {vm: node for vm, node in self._decision.places.items() if static and vm in needs}
        target = Target(frozenset(run), needs, places, reserved=static)
        problem, limit_s = switch_problem(self._survey, target), self._settings.solve_timeout_s
        budget = Budget(work=self._settings.solve_work)
        self._calls.ask(
            SOLVER,
            lambda call_id: Solve(call_id, problem, budget, limit_s),
            limit_s + ANSWER_MARGIN_S,
            self._while_on(partial(self._solved, run, needs)),
        )

    def _solved(self, run: tuple[str, ...], needs: Mapping[str, Need], answer: Solved | None) -> None:
        solution = answer.solution if answer else None
        why = why_not(answer) or (beyond_hosts(solution.plan) if solution else "")
        if why or solution is None:
            self._without(run, why)
            return
        self._kept.stuck = 0
        plan = solution.plan
        turning = self._turning(run)
        acting = {step.action.vm for step in plan.actions}
        changed = {
            sight.record.vjob.name: begun_switch(sight, goal_of(sight, run), plan, needs, self._now_s)
            for sight in self._survey.sights
            if sight in turning or acting & sight.present.keys()
        }
        before = {sight.record.vjob.name: sight.record.state for sight in turning}
        self._write(changed, (), lambda: self._switch(plan, before, changed))

    def _without(self, run: tuple[str, ...], why: str) -> None:
        """No plan leads there: try with one less to begin, or, when that happens again and again, to run."""
        begins = [name for name in run if self._candidates[name].state is not VeState.RUNNING]
        if not begins:
            self._kept.stuck += 1
            self._world.emit("switch.failed", self._world.node, why)
        victim = begins[-1] if begins else run[-1] if run and self._kept.stuck >= STUCK_MAX else ""
        if victim:
            self._plan(tuple(name for name in run if name != victim))
        else:
            self._end()

    # --- switching --------------------------------------------------------------------------------------

    def _switch(self, plan: Plan, before: Mapping[str, VeState], records: Mapping[str, VjobRecord]) -> None:
        for name, state in before.items():
            goal = records[name].state
            if goal is not state:
                self._tell_turn(records[name], state)
        counts = counted(plan)
        if not plan.actions:
            self._switched(plan, records, {})
            return
        text = ", ".join(f"{count} {kind}" for kind, count in counts.items() if count)
        self._world.emit("switch.start", self._world.node, text, **counts)
        self._execute(plan, lambda failures: self._switched(plan, records, failures))

    def _tell_turn(self, record: VjobRecord, before: VeState) -> None:
        name = record.vjob.name
        if record.state is VeState.RUNNING:
            kind = "vjob.resumed" if before is VeState.SLEEPING else "vjob.started"
            self._world.emit(kind, name, f"after {record.waited_s:.0f} s of waiting")
        elif record.state is VeState.SLEEPING:
            self._world.emit(
                "vjob.suspended", name, self._decision.why_not.get(name, "nothing else was possible")
            )

    def _switched(self, plan: Plan, records: Mapping[str, VjobRecord], failures: Mapping[str, str]) -> None:
        outcomes = self._execution.outcomes if self._execution else {}
        if plan.actions:
            text = "; ".join(f"{vm}: {why}" for vm, why in failures.items()) or "done"
            took_s = self._world.now_s() - self._kept.read_s
            self._world.emit("switch.end", self._world.node, text, duration_s=took_s, failed=len(failures))
        clean = {s.record.vjob.name for s in self._survey.sights if not (failures or s.record.switching)}
        ended = {n: ended_switch(record, plan, outcomes, n in clean) for n, record in records.items()}
        self._write(ended, (), self._end)


def _emptied(survey: Survey) -> dict[str, Resources]:
    """What the nodes offer when no VM is there."""
    return {name: node.capacity for name, node in survey.nodes.items()}
