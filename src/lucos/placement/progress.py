"""Replanning: the problem that is left when a plan is partly carried out."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from msgspec.structs import replace

from lucos.errors import InputError, UnknownObject
from lucos.model import BootNode, Plan, PlannedAction, ShutdownNode
from lucos.placement.cluster import Vm
from lucos.placement.problem import Problem
from lucos.placement.timeline import Stand, outcome


def remaining(
    problem: Problem, plan: Plan, ended: Iterable[int], failed: Iterable[int], running: Mapping[int, float]
) -> Problem:
    """The problem from the middle of a plan: its rules, objective and horizon, from the cluster as it is now.

    Actions that have `ended` (numbers) changed the cluster; those that `failed` or were not started did not.
    Those still `running` (number -> seconds to go) become `ongoing`: until they end, their VMs are in the
    cluster what they were before, and they count where they are going too. What was ongoing in `problem` goes
    by its number as well. Raises `UnknownObject` for other numbers, `InputError` for an action of which too
    much or nothing is said, for seconds below 0, and for one that ended though its VM could not take it.
    """
    actions = {step.number: step for step in (*problem.ongoing, *plan.actions)}
    done, lost = set(ended), set(failed)
    for number in (*done, *lost, *running):
        if number not in actions:
            raise UnknownObject(f"there is no action {number} in the plan")
        if (number in done) + (number in lost) + (number in running) > 1:
            raise InputError(f"action {number} cannot have ended, have failed and be running at once")
        if not running.get(number, 0.0) >= 0:
            raise InputError(f"action {number} cannot end in {running[number]:g} s")
    for step in problem.ongoing:
        if step.number not in done | lost | running.keys():
            raise InputError(
                f"action {step.number} was under way, and nothing is said of it",
                hint="say whether it ended, failed or is still running",
            )
    nodes, vms = dict(problem.cluster.nodes), dict(problem.cluster.vms)
    for step in sorted((actions[number] for number in done), key=lambda step: (step.start_s, step.end_s)):
        action = step.action
        if isinstance(action, (BootNode, ShutdownNode)):
            nodes[action.node] = replace(nodes[action.node], online=isinstance(action, BootNode))
        else:
            vms[action.vm] = _after(step, vms[action.vm])
    ongoing = tuple(
        replace(actions[number], depends_on=(), start_s=0.0, end_s=to_go_s)
        for number, to_go_s in sorted(running.items())
    )
    cluster = replace(problem.cluster, nodes=nodes, vms=vms)
    return replace(problem, cluster=cluster, ongoing=ongoing)


def _after(step: PlannedAction, vm: Vm) -> Vm:
    then = outcome(step.action, Stand.of(vm))
    if isinstance(then, str):
        raise InputError(f"action {step.number} cannot have ended: {then}")
    stand = then[1]
    return replace(vm, state=stand.state, node=stand.place or None, demand=stand.amounts)
