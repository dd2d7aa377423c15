"""What the local API can do: each operation asks the trackers and shapes the answer for people."""

from __future__ import annotations

import asyncio
import inspect
import os
import time
from collections.abc import Awaitable, Callable
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

import msgspec

import lucos
from lucos.actors import address
from lucos.agent.description import AGENT, Describe, Description
from lucos.agent.events import EVENTS, Events, QueryEvents
from lucos.agent.protocol import DrainReport, Info, NodeRow, Outcome, VeRow, VmRow
from lucos.agent.rows import node_rows, ve_rows, vm_rows
from lucos.environments.messages import (
    ENVIRONMENTS,
    ApplyVe,
    Managed,
    ManageVms,
    MoveVm,
    Planned,
    PlanVe,
    RunVe,
    Survey,
    Surveyed,
)
from lucos.environments.placing import SOLVE_TIMEOUT_S
from lucos.environments.survey import find_ve, known_vms, locations, resolve_vm, unknown
from lucos.errors import OperationFailed, Refused, Unreachable, from_wire
from lucos.model import Event, Plan, VirtualEnvironment
from lucos.model.proposal import Proposal
from lucos.model.workload import check_workload
from lucos.overlay.messages import MEMBERSHIP, Remove, Removed
from lucos.resources.messages import HOST, Executed, SetDraining, SetLoad

if TYPE_CHECKING:
    from lucos.agent.service import Agent

SURVEY_TIMEOUT_S = 6.0
REMOVAL_TIMEOUT_S = 10.0
T = TypeVar("T")
Emit = Callable[[Event], Awaitable[None]]


class Operations:
    """One method per operation of the protocol; those with items to send take `emit`."""

    def __init__(self, agent: Agent) -> None:
        self._agent = agent

    async def _survey(self) -> Surveyed:
        answer = await self._agent.runtime.ask(ENVIRONMENTS, Survey, SURVEY_TIMEOUT_S)
        assert isinstance(answer, Surveyed)
        if answer.error:
            raise Unreachable(answer.error, hint="registry.path in the agent's configuration names it")
        return answer

    async def ping(self) -> dict[str, Any]:
        return {"node": self._agent.node, "version": lucos.__version__, "pid": os.getpid()}

    async def ps(self, ve: str = "") -> list[VmRow]:
        survey = await self._survey()
        if ve and find_ve(survey, ve) is None:
            raise unknown("VE", ve, (v.name for v in survey.ves))
        return vm_rows(survey, ve)

    async def nodes(self) -> list[NodeRow]:
        return node_rows(await self._survey(), self._agent.members())

    async def ves(self) -> list[VeRow]:
        return ve_rows(await self._survey())

    async def info(self, name: str) -> Info:
        survey = await self._survey()
        rows = vm_rows(survey)
        nodes = {row.name: row for row in node_rows(survey, self._agent.members())}
        ve = find_ve(survey, name)
        if ve is not None:
            row = next(r for r in ve_rows(survey) if r.name == name)
            mine = tuple(r for r in rows if r.ve == name)
            return Info("ve", name, row, constraints=ve.constraints, vms=mine)
        if name in nodes:
            facts = {}
            if name in survey.snapshots:
                described = await self._agent.runtime.ask(address(name, AGENT), Describe, 3.0)
                assert isinstance(described, Description)
                facts = described.facts
            here = tuple(r for r in rows if r.node == name)
            return Info("node", name, nodes[name], vms=here, facts=facts)
        known = [*known_vms(survey), *nodes, *(v.name for v in survey.ves)]
        if name not in known and not any(vm.partition(".")[2] == name for vm in known):
            raise unknown("VM, VE or node", name, known)
        vm = resolve_vm(survey, name)
        vm_row = next(r for r in rows if r.id == vm)
        specs = {i.spec.id: i.spec for s in survey.snapshots.values() for i in s.instances}
        specs |= {v.id: v for e in survey.ves for v in e.vms if v.id not in specs}
        return Info("vm", vm, vm_row, specs[vm], specs[vm].constraints)

    # --- events -----------------------------------------------------------------------------------------

    async def events(self, emit: Emit, since_s: float = 0.0, limit: int = 100, follow: bool = False) -> None:
        log, runtime = self._agent.events, self._agent.runtime
        queue = log.follow()
        try:
            if follow:
                log.ask_peers(self._agent.present())
            asked = [
                runtime.ask(address(n, EVENTS), lambda c: QueryEvents(c, since_s, limit), 2.0)
                for n in self._agent.present()
            ]
            answers = await asyncio.gather(*asked, return_exceptions=True)
            past = [e for a in answers if isinstance(a, Events) for e in a.events]
            for event in sorted(past, key=lambda e: e.time_s)[-limit:] if limit else ():
                await emit(event)
            seen = {(e.time_s, e.node, e.kind, e.subject) for e in past}
            while follow:
                event = await queue.get()
                if (event.time_s, event.node, event.kind, event.subject) not in seen:
                    await emit(event)
        finally:
            log.unfollow(queue)

    async def _narrated(self, emit: Emit, work: Awaitable[Any], about: set[str]) -> Any:
        """Await `work` while the events of its subjects go to the client."""
        log = self._agent.events
        queue = log.follow()
        log.ask_peers(self._agent.present())
        task = asyncio.ensure_future(work)
        try:
            while not task.done() or not queue.empty():
                getter = asyncio.ensure_future(queue.get())
                await asyncio.wait({task, getter}, return_when=asyncio.FIRST_COMPLETED)
                if getter.done():
                    event = getter.result()
                    if event.subject in about:
                        await emit(event)
                else:
                    getter.cancel()
            return await task
        finally:
            task.cancel()
            log.unfollow(queue)

    # --- acting ------------------------------------------------------------------------------------------

    async def _managed(
        self, emit: Emit, question: Callable[[int], Any], timeout_s: float, about: set[str]
    ) -> list[Outcome]:
        asked = self._agent.runtime.ask(ENVIRONMENTS, question, timeout_s)
        answer = await self._narrated(emit, asked, about)
        assert isinstance(answer, Managed)
        if answer.error:
            raise from_wire(answer.kind, answer.error, answer.hint)
        return list(answer.outcomes)

    async def run(self, emit: Emit, ve: VirtualEnvironment, timeout_s: float = 300.0) -> VeRow:
        self._check_images(ve)
        about = {ve.name, *(vm.id for vm in ve.vms)}
        outcomes = await self._managed(emit, lambda c: RunVe(c, ve), timeout_s, about)
        nodes = tuple(sorted({o.node for o in outcomes}))
        return VeRow(ve.name, "running", len(ve.vms), len(outcomes), nodes)

    async def plan(self, ve: VirtualEnvironment | None = None) -> Proposal:
        self._check_images(ve)
        asked = self._agent.runtime.ask(
            ENVIRONMENTS, lambda c: PlanVe(c, ve), SURVEY_TIMEOUT_S + SOLVE_TIMEOUT_S
        )
        answer = await asked
        assert isinstance(answer, Planned)
        if answer.proposal is None:
            raise from_wire(answer.kind, answer.error, answer.hint)
        return answer.proposal

    async def apply(
        self, emit: Emit, ve: VirtualEnvironment, plan: Plan, timeout_s: float = 900.0
    ) -> list[Outcome]:
        self._check_images(ve)
        about = {ve.name, *(vm.id for vm in ve.vms), *(step.action.vm for step in plan.actions)}
        return await self._managed(emit, lambda c: ApplyVe(c, ve, plan), timeout_s, about)

    def _check_images(self, ve: VirtualEnvironment | None) -> None:
        for image in dict.fromkeys(vm.image for vm in ve.vms) if ve else ():
            self._agent.check_image(image)

    async def _manage(self, emit: Emit, verb: str, target: str) -> list[Outcome]:
        vms = {target}
        survey = await self._survey()
        vms |= {vm for vm in known_vms(survey) if vm.partition(".")[0] == target or vm.endswith(target)}
        return await self._managed(emit, lambda c: ManageVms(c, verb, target), 330.0, vms)

    async def pause(self, emit: Emit, target: str) -> list[Outcome]:
        return await self._manage(emit, "pause", target)

    async def unpause(self, emit: Emit, target: str) -> list[Outcome]:
        return await self._manage(emit, "unpause", target)

    async def stop(self, emit: Emit, target: str) -> list[Outcome]:
        return await self._manage(emit, "shutdown", target)

    async def kill(self, emit: Emit, target: str) -> list[Outcome]:
        return await self._manage(emit, "kill", target)

    async def migrate(self, emit: Emit, vm: str, node: str, force: bool = False) -> Outcome:
        full = resolve_vm(await self._survey(), vm)
        return (await self._managed(emit, lambda c: MoveVm(c, full, node, force), 330.0, {full}))[0]

    async def load(self, vm: str, workload: str) -> Outcome:
        check_workload(workload)
        survey = await self._survey()
        full = resolve_vm(survey, vm)
        node = locations(survey).get(full)
        if node is None:
            raise OperationFailed(f"{full} runs on no host that answers")
        answer = await self._executed(node, lambda c: SetLoad(c, full, workload), 30.0)
        return Outcome(full, answer.ok, "running", node, answer.error)

    async def _executed(self, node: str, question: Callable[[int], Any], timeout_s: float) -> Executed:
        answer = await self._agent.runtime.ask(address(node, HOST), question, timeout_s)
        assert isinstance(answer, Executed)
        if not answer.ok:
            raise from_wire(answer.kind, answer.error)
        return answer

    # --- nodes -------------------------------------------------------------------------------------------

    async def drain(self, emit: Emit, node: str, wait: bool = True, timeout_s: float = 300.0) -> DrainReport:
        survey = await self._survey()
        if node not in survey.snapshots:
            raise unknown("live node", node, survey.snapshots)
        before = {i.spec.id for i in survey.snapshots[node].instances}
        work = self._drained(node, before, wait, timeout_s)
        report: DrainReport = await self._narrated(emit, work, {node, *before})
        return report

    async def _drained(self, node: str, before: set[str], wait: bool, timeout_s: float) -> DrainReport:
        queue = self._agent.events.follow()
        why = "still waits for its turn"
        try:
            await self._executed(node, lambda c: SetDraining(c, True), 5.0)
            deadline_s = time.monotonic() + timeout_s
            left = before
            while wait and left and time.monotonic() < deadline_s:
                try:
                    event = await asyncio.wait_for(queue.get(), 1.0)
                    if event.kind == "violation.unresolved" and event.subject == node:
                        why = event.text
                    if event.kind not in ("migration.end", "vm.left"):
                        continue
                except TimeoutError:
                    pass
                survey = await self._survey()
                if node in survey.snapshots:
                    left = {i.spec.id for i in survey.snapshots[node].instances}
        finally:
            self._agent.events.unfollow(queue)
        stuck = dict.fromkeys(sorted(left), why) if wait else {}
        return DrainReport(node, tuple(sorted(before - left)), stuck)

    async def undrain(self, node: str) -> None:
        survey = await self._survey()
        if node not in survey.snapshots:
            raise unknown("live node", node, survey.snapshots)
        await self._executed(node, lambda c: SetDraining(c, False), 5.0)

    async def leave(self) -> None:
        survey = await self._survey()
        mine = survey.snapshots.get(self._agent.node)
        if mine is not None and mine.vms:
            raise Refused(
                f"{self._agent.node} still runs {len(mine.vms)} VMs",
                hint=f"luc node drain {self._agent.node} moves them first",
            )
        self._agent.stop_soon()

    async def remove(self, node: str) -> None:
        members = {member.node for member in self._agent.members()}
        if node not in members:
            raise unknown("host", node, members)
        if node == self._agent.node:
            raise Refused(f"{node} is the asked agent's own host", hint="luc node leave takes it out")
        answer = await self._agent.runtime.ask(MEMBERSHIP, lambda c: Remove(c, node), REMOVAL_TIMEOUT_S)
        assert isinstance(answer, Removed)
        if not answer.ok:
            raise Refused(
                answer.error, hint=f"luc node drain {node} and luc node leave there are for live hosts"
            )

    async def locate(self, vm: str) -> tuple[str, str]:
        """(full id, node) of a running VM, for `console`."""
        survey = await self._survey()
        full = resolve_vm(survey, vm)
        node = locations(survey).get(full)
        if node is None:
            raise OperationFailed(f"{full} runs on no host that answers")
        return full, node


_ARGUMENT_TYPES = {
    "str": str,
    "float": float,
    "int": int,
    "bool": bool,
    "VirtualEnvironment": VirtualEnvironment,
    "VirtualEnvironment | None": VirtualEnvironment | None,
    "Plan": Plan,
}


def bind(operation: Callable[..., T], raw: dict[str, msgspec.Raw], emit: Emit) -> Callable[[], T]:
    """`operation` with the request's arguments, each of its parameter's type.

    Raises `TypeError` for an unknown or missing argument, `msgspec.MsgspecError` for a mistyped one.
    """
    hints = {k: v for k, v in operation.__annotations__.items() if k != "return"}
    given: dict[str, Any] = {"emit": emit} if hints.pop("emit", None) else {}
    for name, value in raw.items():
        if name not in hints:
            raise TypeError(f"unknown argument {name}")
        given[name] = msgspec.json.decode(value, type=_ARGUMENT_TYPES[hints[name]])
    inspect.signature(operation).bind(**given)
    return partial(operation, **given)
