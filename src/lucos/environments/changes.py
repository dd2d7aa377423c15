"""Plan, show, apply: what it would take to have a VE as its file says, and doing exactly that.

A plan is made of the whole LUC as its hosts tell it and shown to people. What is applied is the plan that was
shown: it is judged again by what is then true, and refused if it no longer holds.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

import msgspec

from lucos.actors import Message, address
from lucos.actors.ports import REGISTRY, RegistryPut, RegistryReply, Solved
from lucos.environments.messages import ApplyVe, Planned, PlanVe, Surveyed
from lucos.environments.placing import (
    Difference,
    ask_solver,
    change_problem,
    difference,
    nodes_left_out,
    with_rules,
)
from lucos.environments.records import PREFIX, REGISTRY_TIMEOUT_S, amend, failure
from lucos.environments.survey import check_placeable, find_ve, locations
from lucos.environments.task import Task
from lucos.errors import Refused, from_wire
from lucos.model import (
    Boot,
    Kill,
    Outcome,
    PlannedAction,
    Shutdown,
    Suspend,
    VeState,
    VirtualEnvironment,
    VmSpec,
    VmState,
    to_json,
)
from lucos.model.proposal import Proposal
from lucos.placement.checker import check
from lucos.placement.problem import Problem
from lucos.resources.execution import beyond_hosts, nodes_of
from lucos.resources.messages import HOST, Executed, Redescribe
from lucos.resources.repair import repair_problem, why_not

if TYPE_CHECKING:
    from lucos.environments.tracker import Environments

DESCRIBE_TIMEOUT_S = 15.0
CHANGED = "the LUC has changed since the plan was made"


class Planning(Task):
    """Answers `PlanVe` with `Planned`."""

    def __init__(self, tracker: Environments, request: PlanVe, sender: str) -> None:
        self._ve = request.ve
        super().__init__(tracker, request, sender)

    def surveyed(self, survey: Surveyed) -> None:
        change: Difference | None = None
        if self._ve is None:
            rules = tuple(dict.fromkeys(rule for ve in survey.ves for rule in ve.constraints))
            problem, what = repair_problem(survey.snapshots, rules), "the violations cannot be ended"
        else:
            ve = with_rules(self._ve)
            change = _checked_difference(survey, ve)
            problem, what = change_problem(survey, ve, change), f"{ve.name} cannot be placed"
        ask_solver(self.calls, problem, self.guarded(partial(self._solved, problem, change, what)))

    def _solved(self, problem: Problem, change: Difference | None, what: str, answer: Solved | None) -> None:
        why = why_not(answer)
        if why or answer is None or answer.solution is None:
            kind = answer.kind or "Refused" if answer else "Unreachable"
            raise from_wire(kind, f"{what}: {why}", nodes_left_out(problem))
        solution = answer.solution
        if beyond := beyond_hosts(solution.plan):
            raise Refused(f"{what} by what hosts can do: {beyond}")
        proposal = Proposal(
            self._ve.name if self._ve else "",
            solution.plan,
            solution.status,
            tuple(map(str, problem.objective)),
            solution.values[-len(problem.objective) :],
            solution.bounds[-len(problem.objective) :],
        )
        if change is not None:
            proposal = msgspec.structs.replace(
                proposal,
                added=change.added,
                removed=change.removed,
                kept=change.kept,
                rules_added=change.rules_added,
                rules_removed=change.rules_removed,
            )
        self.world.send(self.sender, Planned(self.call_id, proposal))

    def fail(self, error: str, kind: str, hint: str = "") -> None:
        self.world.send(self.sender, Planned(self.call_id, None, error, kind, hint))


class Applying(Task):
    """Answers `ApplyVe`: record what shall be, loosen old rules, act, bind everybody by the new rules."""

    def __init__(self, tracker: Environments, request: ApplyVe, sender: str) -> None:
        self._request = request
        self._plan = request.plan
        super().__init__(tracker, request, sender)

    def surveyed(self, survey: Surveyed) -> None:
        self._ve = ve = with_rules(self._request.ve)
        self._change = change = _checked_difference(survey, ve)
        problem = change_problem(survey, ve, change)
        faults = check(problem, self._plan)
        if faults:
            raise Refused(f"{CHANGED}: {faults[0]}", hint="luc plan shows what would be done now")
        if beyond := beyond_hosts(self._plan):
            raise Refused(f"not what hosts can do: {beyond}")
        self._where = locations(survey)
        known = find_ve(survey, ve.name)
        self._new = known is None and not change.before
        self._record(known, lambda: self._describe(self._loosened(), self._act))

    # --- records ----------------------------------------------------------------------------------------

    def _record(self, known: VirtualEnvironment | None, then: Callable[[], None]) -> None:
        """Put on record all VMs that are or shall be, so that none is ever unknown."""
        ve = self._ve
        leaving = tuple(spec for vm, spec in self._change.before.items() if vm in self._change.removed)
        shall = msgspec.structs.replace(
            ve, vms=(*ve.vms, *leaving), state=known.state if known else VeState.WAITING
        )

        def claimed(reply: RegistryReply | None) -> None:
            if why := failure(reply):
                self.fail(why, "Unreachable")
            elif reply is not None and not reply.ok:
                self.fail(f"{CHANGED}: somebody else has started {ve.name}", "Refused")
            else:
                then()

        def amended(error: str) -> None:
            if error:
                self.fail(f"{ve.name}: {error}", "Unreachable")
            else:
                then()

        self.world.emit("ve.submitted", ve.name, f"{len(self._plan.actions)} actions")
        if known is None:
            put = partial(RegistryPut, key=PREFIX + ve.name, value=to_json(shall), expected_version=0)
            self.calls.ask(REGISTRY, put, REGISTRY_TIMEOUT_S, claimed)
        else:
            amend(self.calls, ve.name, lambda _: shall, amended)

    # --- rules ------------------------------------------------------------------------------------------

    def _loosened(self) -> dict[str, VmSpec]:
        """VMs that exist, without the rules that shall no longer bind them: those must not be in the way."""
        over = set(self._change.rules_removed)
        found = {}
        for vm, spec in self._change.before.items():
            kept = tuple(rule for rule in spec.constraints if rule not in over)
            if kept != spec.constraints:
                found[vm] = msgspec.structs.replace(spec, constraints=kept)
        return found

    def _describe(self, specs: dict[str, VmSpec], then: Callable[[], None]) -> None:
        """Tell the hosts of these VMs what they are from now on."""

        def told(answers: dict[str, Executed | None]) -> None:
            for vm, answer in answers.items():
                if answer is None or not answer.ok:
                    why = answer.error if answer else f"{self._where[vm]} does not answer"
                    self.fail(f"{vm} was not given its rules: {why}", "OperationFailed", _AGAIN)
                    return
            then()

        questions: dict[str, tuple[str, Callable[[int], Message]]] = {
            vm: (address(self._where[vm], HOST), partial(Redescribe, spec=spec)) for vm, spec in specs.items()
        }
        self.calls.ask_all(questions, DESCRIBE_TIMEOUT_S, told)

    # --- actions ----------------------------------------------------------------------------------------

    def _act(self) -> None:
        specs = {vm.id: vm for vm in self._ve.vms}
        if not self._new:
            # As the plan does: a rule that does not hold yet binds when all is done.
            pending = set(self._change.rules_added)
            specs = {
                vm: msgspec.structs.replace(
                    spec, constraints=tuple(r for r in spec.constraints if r not in pending)
                )
                for vm, spec in specs.items()
            }
        self.tracker.carry_out(self._plan, specs, self._acted)

    def _acted(self, answers: dict[int, Executed | None]) -> None:
        outcomes = [_outcome(step, answers) for step in self._plan.actions]
        failed = [outcome for outcome in outcomes if not outcome.ok]
        for outcome in outcomes:
            if outcome.ok:
                self._where[outcome.vm] = outcome.node
        if not failed:
            bound = {} if self._new else {vm.id: vm for vm in self._ve.vms}
            self._describe(bound, lambda: self._finish(outcomes))
        elif self._new:
            self._undo(outcomes, failed[0])
        else:
            self.world.emit("ve.unfinished", self._ve.name, f"{failed[0].vm}: {failed[0].error}")
            self.answer(outcomes)

    def _finish(self, outcomes: list[Outcome]) -> None:
        def done(record: VirtualEnvironment) -> VirtualEnvironment:
            state = VeState.RUNNING if record.state is VeState.WAITING else record.state
            return msgspec.structs.replace(self._ve, state=state)

        def recorded(error: str) -> None:
            if error:
                self.fail(f"{self._ve.name} is as described, but {error}", "Unreachable", _AGAIN)
                return
            self.world.emit("ve.running", self._ve.name, f"{len(self._ve.vms)} VMs as described")
            self.answer(outcomes)

        amend(self.calls, self._ve.name, done, recorded)

    def _undo(self, outcomes: list[Outcome], first: Outcome) -> None:
        """Half a VE is no VE: of a new one whose plan failed only VMs on hosts that do not answer stay."""
        boots = {
            step.action.vm: step.action.node
            for step, outcome in zip(self._plan.actions, outcomes, strict=True)
            if isinstance(step.action, Boot) and (outcome.ok or outcome.state == UNSURE)
        }

        def undone(answers: dict[str, Executed | None]) -> None:
            alive = self.tracker.alive
            left = {vm for vm, answer in answers.items() if answer is None and boots[vm] in alive}
            self.world.emit("ve.refused", self._ve.name, first.error)

            def kept(record: VirtualEnvironment) -> VirtualEnvironment | None:
                vms = tuple(vm for vm in record.vms if vm.id in left)
                return msgspec.structs.replace(record, vms=vms) if vms else None

            amend(self.calls, self._ve.name, kept, lambda _: self.answer(outcomes))

        kills = {vm: Kill(vm, node) for vm, node in boots.items()}
        self.tracker.act(kills, boots, f"{self._ve.name} failed to start", undone)


_AGAIN = "luc apply goes on from here"
UNSURE = "unsure"


def _checked_difference(survey: Surveyed, ve: VirtualEnvironment) -> Difference:
    change = difference(survey, ve)
    added = tuple(vm for vm in ve.vms if vm.id in change.added)
    if added:
        check_placeable(survey, msgspec.structs.replace(ve, vms=added))
    return change


def _outcome(step: PlannedAction, answers: dict[int, Executed | None]) -> Outcome:
    vm, node = step.action.vm, nodes_of(step)[-1]
    if step.number not in answers:
        return Outcome(vm, False, "", node, "not begun: an action before it failed")
    answer = answers[step.number]
    if answer is None:
        return Outcome(vm, False, UNSURE, node, f"{nodes_of(step)[0]} did not answer")
    state = {Shutdown: VmState.READY, Suspend: VmState.SLEEPING}.get(type(step.action), VmState.RUNNING)
    done = (answer.error, answer.duration_s, answer.downtime_ms)
    return Outcome(vm, answer.ok, state if answer.ok else "", node, *done)
