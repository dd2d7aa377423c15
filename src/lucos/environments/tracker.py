"""The virtual environments tracker (VET): starts VEs whole or not at all, changes them, acts on their VMs.

Any node's tracker can do it for any VE. The registry keeps one record per VE (its name is unique by
compare-and-swap); where VMs run is asked of the hosts themselves.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial

import msgspec

from lucos.actors import Actor, Calls, Message, World, address
from lucos.actors.ports import REGISTRY, RegistryGet, RegistryPut, RegistryReply, Solved
from lucos.environments.changes import Applying, Planning
from lucos.environments.messages import (
    ApplyVe,
    ManageVms,
    MoveVm,
    PlanVe,
    RunVe,
    Survey,
    Surveyed,
)
from lucos.environments.placing import ask_solver, nodes_left_out, start_problem, with_rules
from lucos.environments.records import GONE, PREFIX, REGISTRY_TIMEOUT_S, amend, decode, failure
from lucos.environments.survey import (
    check_placeable,
    find_ve,
    locations,
    resolve_target,
    resolve_vm,
    unknown,
)
from lucos.environments.task import Task
from lucos.errors import InputError, LucError
from lucos.model import (
    AnyAction,
    Boot,
    Kill,
    Migrate,
    Outcome,
    Pause,
    Plan,
    Shutdown,
    Unpause,
    VeState,
    VirtualEnvironment,
    VmSpec,
    VmState,
    after_ve_event,
    to_json,
)
from lucos.overlay.messages import MEMBERSHIP, MembersChanged, Watch
from lucos.resources.execution import Execution
from lucos.resources.messages import HOST, Execute, Executed, Snapshot, TakeSnapshot
from lucos.resources.repair import why_not

SURVEY_TIMEOUT_S = 2.0
ACTION_TIMEOUT_S = 300.0
PLACEMENTS_MAX = 3
LOST = "lost"

_VERBS: dict[str, tuple[Callable[[str, str], AnyAction], str, str]] = {
    # verb: action, event of the VE's life, state of the VM afterwards
    "pause": (Pause, "pause", VmState.PAUSED),
    "unpause": (Unpause, "unpause", VmState.RUNNING),
    "shutdown": (Shutdown, "stop", VmState.READY),
    "kill": (Kill, "stop", VmState.KILLED),
}


class Environments(Actor):
    def __init__(self, world: World) -> None:
        super().__init__(world)
        self.calls = Calls(world)
        self.alive: list[str] = [world.node]
        self._asked: dict[int, str] = {}
        self._executions: list[Execution] = []
        world.send(MEMBERSHIP, Watch())

    def receive(self, message: Message, sender: str) -> None:
        if self.calls.settle(message):
            return
        match message:
            case MembersChanged(members=members):
                self.alive = sorted({self.world.node} | {m.node for m in members if m.present})
                self._give_up_on_the_dead()
                for execution in list(self._executions):
                    execution.nodes_died(execution.nodes - set(self.alive))
            case Survey(call_id=call_id):
                self.survey(lambda s: self.world.send(sender, msgspec.structs.replace(s, call_id=call_id)))
            case PlanVe():
                Planning(self, message, sender)
            case ApplyVe():
                Applying(self, message, sender)
            case RunVe() | ManageVms() | MoveVm():
                _Task(self, message, sender)

    def act(
        self,
        actions: Mapping[str, AnyAction],
        where: Mapping[str, str],
        cause: str,
        then: Callable[[dict[str, Executed | None]], None],
        *,
        force: bool = False,
        specs: Mapping[str, VmSpec] | None = None,
    ) -> None:
        """Have the hosts of these VMs carry out an action on each; one that dies gives no answer (None)."""

        def ended(answers: dict[str, Executed | None]) -> None:
            for call_id in calls.values():
                self._asked.pop(call_id, None)
            then(answers)

        calls: dict[str, int] = {}
        questions: dict[str, tuple[str, Callable[[int], Message]]] = {
            vm: (
                address(where[vm], HOST),
                partial(Execute, action=action, cause=cause, spec=(specs or {}).get(vm), force=force),
            )
            for vm, action in actions.items()
        }
        calls.update(self.calls.ask_all(questions, ACTION_TIMEOUT_S, ended))
        self._asked.update({call_id: where[vm] for vm, call_id in calls.items()})
        self._give_up_on_the_dead()

    def carry_out(
        self, plan: Plan, specs: Mapping[str, VmSpec], then: Callable[[dict[int, Executed | None]], None]
    ) -> None:
        """Have hosts do what a plan says, by its dependencies; `then` gets the outcomes by number of action.

        After a failure nothing new begins: what the plan rested on is no longer true.
        """

        def finished(_failures: dict[str, str]) -> None:
            self._executions.remove(execution)
            then(execution.outcomes)

        execution = Execution(plan, "", self.calls, ACTION_TIMEOUT_S, finished, specs)
        self._executions.append(execution)
        execution.start()

    def _give_up_on_the_dead(self) -> None:
        for call_id in [c for c, node in self._asked.items() if node not in self.alive]:
            self.calls.give_up(call_id)

    def survey(self, then: Callable[[Surveyed], None]) -> None:
        questions: dict[str, tuple[str, Callable[[int], Message]]] = {
            node: (address(node, HOST), TakeSnapshot) for node in self.alive
        }

        def registry(reply: RegistryReply | None) -> None:
            def hosts(answers: dict[str, Snapshot | None]) -> None:
                found = {n: s for n, s in answers.items() if s is not None}
                silent = tuple(n for n, s in answers.items() if s is None)
                ves, error = decode(reply)
                then(Surveyed(0, found, silent, ves, error))

            self.calls.ask_all(questions, SURVEY_TIMEOUT_S, hosts)

        self.calls.ask(REGISTRY, lambda c: RegistryGet(c, PREFIX), SURVEY_TIMEOUT_S, registry)


class _Task(Task):
    """`luc run`, and what is done to VMs that run."""

    def __init__(self, tracker: Environments, request: RunVe | ManageVms | MoveVm, sender: str) -> None:
        self._request = request
        self._booted: dict[str, str] = {}
        self._placements = 0
        super().__init__(tracker, request, sender)

    def surveyed(self, survey: Surveyed) -> None:
        match self._request:
            case RunVe(ve=given):
                ve = with_rules(given)
                if find_ve(survey, ve.name):
                    hint = f"luc info {ve.name} shows it; choose another name, or stop it first"
                    self.fail(f"a VE called {ve.name} exists already", "AlreadyExists", hint)
                    return
                check_placeable(survey, ve)
                self._claim(ve, survey)
            case ManageVms(verb=verb, target=target):
                self._manage(verb, target, survey)
            case MoveVm(vm=name, node=node, force=force):
                self._move(name, node, force, survey)

    # --- run --------------------------------------------------------------------------------------------

    def _claim(self, ve: VirtualEnvironment, survey: Surveyed) -> None:
        def claimed(reply: RegistryReply | None) -> None:
            if why := failure(reply):
                self.fail(why, "Unreachable")
            elif reply is not None and not reply.ok:
                self.fail(f"a VE called {ve.name} exists already", "AlreadyExists")
            else:
                self.world.emit("ve.submitted", ve.name, f"{len(ve.vms)} VMs")
                self._place(ve, survey)

        key = PREFIX + ve.name
        put = partial(RegistryPut, key=key, value=to_json(ve), expected_version=0)
        self.calls.ask(REGISTRY, put, REGISTRY_TIMEOUT_S, claimed)

    def _place(self, ve: VirtualEnvironment, survey: Surveyed) -> None:
        self._placements += 1
        running = locations(survey)
        lost = [vm for vm in self._booted if vm not in running]
        if lost:
            self._undo(ve, f"{lost[0]} was lost on {self._booted[lost[0]]}", "OperationFailed")
            return
        problem = start_problem(survey, ve)

        def placed(answer: Solved | None) -> None:
            why = why_not(answer)
            if why or answer is None or answer.solution is None:
                kind = answer.kind if answer else "Unreachable"
                hint = nodes_left_out(problem)
                self._undo(ve, f"{ve.name} cannot be placed: {why}", kind or "Refused", hint=hint)
            else:
                specs = {vm.id: vm for vm in ve.vms}
                self._boot(ve, {s.action.vm: s.action for s in answer.solution.plan.actions}, specs)

        ask_solver(self.calls, problem, placed)

    def _boot(self, ve: VirtualEnvironment, boots: dict[str, AnyAction], specs: dict[str, VmSpec]) -> None:
        def ended(answers: dict[str, Executed | None]) -> None:
            failed = {vm: a for vm, a in answers.items() if a is None or not a.ok}
            self._booted.update({vm: where[vm] for vm in answers if vm not in failed})
            if not failed:
                self._booted_all(ve)
            elif self._placements < PLACEMENTS_MAX and all(
                a is not None and a.kind == "Refused" for a in failed.values()
            ):
                # A host promised its room to others meanwhile: place what is left with what is true now.
                self.tracker.survey(lambda survey: self._place(ve, survey))
            else:
                vm, first = next(iter(failed.items()))
                why = first.error if first else f"{where[vm]} did not answer"
                unsure = {vm: where[vm] for vm, answer in failed.items() if answer is None}
                self._undo(ve, f"{vm}: {why}", first.kind if first else "OperationFailed", unsure)

        where = {vm: action.node for vm, action in boots.items() if isinstance(action, Boot)}
        self.tracker.act(boots, where, "asked to run", ended, specs=specs)

    def _booted_all(self, ve: VirtualEnvironment) -> None:
        def recorded(error: str) -> None:
            if error:
                self._undo(ve, f"{ve.name} was started, but {error}", "OperationFailed")
                return
            self.world.emit("ve.running", ve.name, f"{len(ve.vms)} VMs run")
            self.answer([Outcome(vm, True, VmState.RUNNING, node) for vm, node in self._booted.items()])

        def started(record: VirtualEnvironment) -> VirtualEnvironment:
            return msgspec.structs.replace(record, state=after_ve_event(VeState.WAITING, "run"))

        amend(self.calls, ve.name, started, recorded)

    def _undo(
        self,
        ve: VirtualEnvironment,
        error: str,
        kind: str,
        unsure: Mapping[str, str] | None = None,
        hint: str = "",
    ) -> None:
        """Half a VE is no VE: kill what was booted or may have been, forget the record, then say why.

        VMs that may still run on a host that is alive but does not answer stay on record.
        """
        where = {**self._booted, **(unsure or {})}

        def undone(answers: dict[str, Executed | None]) -> None:
            left = {
                vm for vm, answer in answers.items() if answer is None and where[vm] in self.tracker.alive
            }
            hosts = ", ".join(sorted({where[vm] for vm in left}))
            then = f"luc kill {ve.name} once {hosts} answers" if left else hint
            self.world.emit("ve.refused", ve.name, error)
            amend(self.calls, ve.name, partial(_keep, kept=left), lambda _: self.fail(error, kind, then))

        kills = {vm: Kill(vm, node) for vm, node in where.items()}
        self.tracker.act(kills, where, f"{ve.name} failed to start", undone)

    # --- act on what runs -------------------------------------------------------------------------------

    def _manage(self, verb: str, target: str, survey: Surveyed) -> None:
        if verb not in _VERBS:
            raise InputError(f"no such action: {verb}", hint=f"there are: {', '.join(_VERBS)}")
        vms = resolve_target(survey, target)
        where = locations(survey)
        make, event, state = _VERBS[verb]
        here = {vm: make(vm, where[vm]) for vm in vms if vm in where}
        ve = find_ve(survey, target)

        def ended(answers: dict[str, Executed | None]) -> None:
            outcomes = [_outcome(vm, where.get(vm, ""), answers.get(vm), state, survey.silent) for vm in vms]
            done = {o.vm for o in outcomes if o.ok or o.state == LOST}

            def recorded(error: str) -> None:
                if error and error != GONE:
                    hint = "ask for it again when the registry answers"
                    self.fail(f"{target}: done on its hosts, but {error}", "Unreachable", hint)
                else:
                    self.answer(outcomes)

            if ve is not None and len(done) == len(vms):
                self._live_on(ve.name, event, recorded)
            elif event == "stop" and done:
                self._shrink(vms[0].partition(".")[0], done, recorded)
            else:
                self.answer(outcomes)

        self.tracker.act(here, where, f"asked to {verb}", ended)

    def _shrink(self, name: str, gone: set[str], then: Callable[[str], None]) -> None:
        """VMs ended one by one leave the VE's record, and the last one ends the VE."""

        def without(ve: VirtualEnvironment) -> VirtualEnvironment | None:
            left = _keep(ve, {vm.id for vm in ve.vms} - gone)
            if left is None:
                self.world.emit("ve.terminated", name, "its last VM ended")
            return left

        amend(self.calls, name, without, then)

    def _live_on(self, name: str, event: str, then: Callable[[str], None]) -> None:
        """Record the VE's next state; a VE that has ended is forgotten and its name free again."""

        def next_state(ve: VirtualEnvironment) -> VirtualEnvironment | None:
            try:
                state = after_ve_event(ve.state, event)
            except LucError:
                state = ve.state
            self.world.emit(f"ve.{state}", name, f"after {event}")
            return None if state is VeState.TERMINATED else msgspec.structs.replace(ve, state=state)

        amend(self.calls, name, next_state, then)

    def _move(self, name: str, node: str, force: bool, survey: Surveyed) -> None:
        vm = resolve_vm(survey, name)
        where = locations(survey)
        if node not in survey.snapshots:
            if node in survey.silent:
                self.fail(f"{node} does not answer", "Unreachable")
                return
            raise unknown("node", node, survey.snapshots)
        if vm not in where:
            self.fail(f"{vm} runs on no host that answers", "OperationFailed")
            return

        def ended(answers: dict[str, Executed | None]) -> None:
            outcome = _outcome(vm, node, answers[vm], VmState.RUNNING)
            self.answer([outcome if outcome.ok else msgspec.structs.replace(outcome, node=where[vm])])

        action = {vm: Migrate(vm, where[vm], node)}
        self.tracker.act(action, where, "asked to migrate", ended, force=force)


def _keep(ve: VirtualEnvironment, kept: set[str]) -> VirtualEnvironment | None:
    """The VE with only these VMs; None when none is left."""
    left = tuple(vm for vm in ve.vms if vm.id in kept)
    return msgspec.structs.replace(ve, vms=left) if left else None


def _outcome(
    vm: str, node: str, answer: Executed | None, state: str, silent: tuple[str, ...] = ()
) -> Outcome:
    if not node and silent:
        return Outcome(vm, False, "", "", f"it may run on {' or '.join(silent)}, which does not answer")
    if not node:
        return Outcome(vm, False, LOST, "", "it runs on no host")
    if answer is None:
        return Outcome(vm, False, "", node, f"{node} did not answer in time")
    return Outcome(
        vm,
        answer.ok,
        state if answer.ok else "",
        node,
        answer.error,
        answer.duration_s,
        answer.downtime_ms,
    )
