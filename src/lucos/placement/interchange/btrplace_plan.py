"""Plans in BtrPlace's JSON: `{"origin": the model, "actions": [...]}`, VMs and nodes by their numbers.

A change of allocation that comes with a move is an `allocate` event in its hooks: after a migration, before a
boot or a resume. In place it is one `allocate` action for each resource. `luc` adds to each action its
number, what it waits for and why it is there.
"""

from __future__ import annotations

from typing import Any

import msgspec
from msgspec import UNSET

from lucos.errors import InputError
from lucos.model import (
    Allocate,
    Amounts,
    AnyAction,
    Boot,
    BootNode,
    Kill,
    Migrate,
    Plan,
    PlannedAction,
    Resume,
    Shutdown,
    ShutdownNode,
    Suspend,
)
from lucos.placement.interchange.btrplace_format import Allocation, Hooks, More, Step, WrittenPlan
from lucos.placement.interchange.btrplace_model import model_of
from lucos.placement.interchange.btrplace_rules import whole
from lucos.placement.interchange.numbers import numbers_of
from lucos.placement.interchange.reading import decoded, fault, refuse_repeated_keys, unpacked
from lucos.placement.problem import Problem
from lucos.placement.traffic import MBPS_PER_MIBPS

_ANY_BANDWIDTH = 2**31 - 1
"""What BtrPlace writes for a migration whose bandwidth nothing limits."""


def read_plan(data: bytes, problem: Problem) -> Plan:
    """The plan that a document tells for `problem`, ordered by times. Its origin is not compared."""
    raw = unpacked(data)
    written = decoded(raw, WrittenPlan)
    refuse_repeated_keys(raw)
    reader = _Reader(problem)
    steps = sorted(enumerate(written.actions), key=lambda pair: (pair[1].start, pair[1].end))
    planned: list[PlannedAction] = []
    places: dict[tuple[Any, ...], int] = {}
    for i, step in steps:
        action = reader.action(step, f"$.actions[{i}]")
        if isinstance(action, Allocate):
            # One allocation in place is an action for each resource there.
            place = places.setdefault((step.vm, step.on, step.start, step.end), len(planned))
            if place < len(planned):
                planned[place] = _joined(planned[place], action)
                continue
        more = More(len(planned)) if step.luc is UNSET else step.luc
        times = {"start_s": step.start, "end_s": step.end}
        planned.append(PlannedAction(more.number, action, tuple(more.depends_on), more.reason, **times))
    return Plan(tuple(planned))


def _joined(one: PlannedAction, other: Allocate) -> PlannedAction:
    assert isinstance(one.action, Allocate)
    both = Allocate(other.vm, other.node, (*one.action.amounts, *other.amounts))
    return msgspec.structs.replace(one, action=both)


class _Reader:
    def __init__(self, problem: Problem) -> None:
        vms, nodes = numbers_of(problem)
        self._vms = {number: name for name, number in vms.items()}
        self._nodes = {number: name for name, number in nodes.items()}
        self._resources = {rc for node in problem.cluster.nodes.values() for rc in node.capacity}

    def action(self, step: Step, at: str) -> AnyAction:
        amounts = self._amounts(step, at)
        match step.id:
            case "bootVM":
                node = "to" if step.on is UNSET else "on"  # `to` in older versions
                return Boot(self._vm(step, at), self._node(step, at, node), amounts)
            case "shutdownVM":
                return Shutdown(self._vm(step, at), self._node(step, at, "on"))
            case "killVM":
                return Kill(self._vm(step, at), "" if step.on is None else self._node(step, at, "on"))
            case "migrateVM":
                ends = self._node(step, at, "from"), self._node(step, at, "to")
                bandwidth = 0.0 if step.bw is UNSET or step.bw >= _ANY_BANDWIDTH else step.bw
                return Migrate(self._vm(step, at), *ends, amounts, bandwidth / MBPS_PER_MIBPS)
            case "suspendVM":
                return Suspend(self._vm(step, at), self._node(step, at, "from"))
            case "resumeVM":
                source, node = self._node(step, at, "from"), self._node(step, at, "to")
                return Resume(self._vm(step, at), node, source if source != node else "", amounts)
            case "allocate":
                if step.rc is UNSET or step.amount is UNSET:
                    raise fault(at, "allocate needs rc and amount")
                amount = self._amount(Allocation(vm=0, rc=step.rc, amount=step.amount), at)
                return Allocate(self._vm(step, at), self._node(step, at, "on"), (amount,))
            case "bootNode":
                return BootNode(node=self._node(step, at, "node"))
            case "shutdownNode":
                return ShutdownNode(node=self._node(step, at, "node"))
            case "forgeVM":
                raise fault(at, "forgeVM makes a VM that the instance does not have")
        raise fault(f"{at}.id", f"unknown action {step.id!r}")

    def _vm(self, step: Step, at: str) -> str:
        if step.vm not in self._vms:
            raise fault(f"{at}.vm", "there is no VM" if step.vm is UNSET else f"there is no VM {step.vm}")
        return self._vms[step.vm]

    def _node(self, step: Step, at: str, field: str) -> str:
        number = getattr(step, "source" if field == "from" else field)
        if number not in self._nodes:
            wrong = f"{step.id} needs a node" if number in (UNSET, None) else f"there is no node {number}"
            raise fault(f"{at}.{field}", wrong)
        return self._nodes[number]

    def _amounts(self, step: Step, at: str) -> Amounts:
        return tuple([self._amount(event, f"{at}.hooks") for event in (*step.hooks.pre, *step.hooks.post)])

    def _amount(self, event: Allocation, at: str) -> tuple[str, float]:
        if event.id != "allocate":
            raise fault(at, f"unknown event {event.id!r}")
        if event.rc not in self._resources:
            raise fault(at, f"there is no resource {event.rc!r}")
        return event.rc, event.amount


def write_plan(problem: Problem, plan: Plan) -> bytes:
    """The plan as BtrPlace reads it; `InputError` for what it cannot say (pauses, fractions)."""
    vms, nodes = numbers_of(problem)
    steps = [step for planned in plan.actions for step in _steps(planned, vms, nodes)]
    return msgspec.json.encode({"origin": model_of(problem), "actions": steps})


def _steps(planned: PlannedAction, vms: dict[str, int], nodes: dict[str, int]) -> list[dict[str, Any]]:
    action = planned.action
    name, kind = f"#{planned.number}", type(action).__name__
    out: dict[str, Any] = {
        "start": whole(planned.start_s, f"the start of {name}"),
        "end": whole(planned.end_s, f"the end of {name}"),
    }
    out["luc"] = More(planned.number, list(planned.depends_on), planned.reason)
    if action.vm:
        out["vm"] = vms[action.vm]
    hooks = Hooks()
    match action:
        case Boot() | Shutdown() | Kill():
            out |= {"id": f"{kind.lower()}VM", "on": nodes[action.node] if action.node else None}
        case Migrate():
            # Rounded down: together, migrations must not ask for more than a link has.
            bandwidth = int(action.bandwidth_mibps * MBPS_PER_MIBPS + 1e-3) or _ANY_BANDWIDTH
            ends = {"from": nodes[action.source], "to": nodes[action.destination]}
            out |= {"id": "migrateVM", **ends, "bw": bandwidth}
        case Suspend():
            out |= {"id": "suspendVM", "from": nodes[action.node], "to": nodes[action.node]}
        case Resume():
            out |= {"id": "resumeVM", "from": nodes[action.source or action.node], "to": nodes[action.node]}
        case Allocate():
            out |= {"id": "allocate", "on": nodes[action.node], "hooks": hooks}
            return [out | {"rc": rc, "amount": whole(n, f"{rc} of {name}")} for rc, n in action.amounts]
        case BootNode() | ShutdownNode():
            out |= {"id": f"{kind[0].lower()}{kind[1:]}", "node": nodes[action.node]}
        case _:
            raise InputError(f"BtrPlace has no action {kind.lower()}", hint="write our own format")
    events = hooks.post if isinstance(action, Migrate) else hooks.pre
    for rc, amount in getattr(action, "amounts", ()):
        events.append(Allocation(vm=vms[action.vm], rc=rc, amount=whole(amount, f"{rc} of {name}")))
    return [out | {"hooks": hooks}]
