"""From a survey of the LUC to problems of placement: to start a VE, or to change one that runs."""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from lucos.actors import Calls
from lucos.actors.ports import SOLVER, Solve, Solved
from lucos.environments.messages import Surveyed
from lucos.errors import InputError, Refused
from lucos.model import (
    Configuration,
    Constraint,
    Instance,
    Node,
    Resources,
    VirtualEnvironment,
    VmSpec,
    VmState,
)
from lucos.placement.judging import broken, speaks_of
from lucos.placement.live import NOT_LIVE, judged, moment_of, overbooked, problem_of
from lucos.placement.problem import Budget, Objective, Problem
from lucos.resources.demand import expected_cpu_pct
from lucos.resources.repair import ANSWER_MARGIN_S, holding

SOLVE_TIMEOUT_S = 20.0
SOLVE_WORK = 1.0
# Where VMs boot is free of cost, so the load decides.
STARTING = (Objective.MIGRATIONS, Objective.BALANCE)
_IN_TROUBLE = "in trouble"


def ask_solver(calls: Calls, problem: Problem, then: Callable[[Solved | None], None]) -> None:
    """Have this node's solver find a plan."""
    calls.ask(
        SOLVER,
        lambda call_id: Solve(call_id, problem, Budget(work=SOLVE_WORK), SOLVE_TIMEOUT_S),
        SOLVE_TIMEOUT_S + ANSWER_MARGIN_S,
        then,
    )


def with_rules(ve: VirtualEnvironment) -> VirtualEnvironment:
    """The VE, each VM with the rules that bind it, so that they travel with it.

    Raises `InputError` for rules that have no place in the live system.
    """
    for rule in ve.constraints:
        if rule.kind in NOT_LIVE:
            raise InputError(f"{rule} has no meaning in a running VE", hint=NOT_LIVE[rule.kind])
    vms = tuple(
        msgspec.structs.replace(vm, constraints=tuple(r for r in ve.constraints if speaks_of(r, vm.id)))
        for vm in ve.vms
    )
    return msgspec.structs.replace(ve, vms=vms)


def start_problem(survey: Surveyed, ve: VirtualEnvironment) -> Problem:
    """Boot what does not run of `ve`; nobody moves, and nodes in any trouble take no newcomer."""
    configuration, rules = _known(survey, ve, any_trouble=True)
    running = (vm for vm, instance in configuration.instances.items() if instance.node is not None)
    return problem_of(configuration, rules, fixed=running, objective=STARTING)


class Difference(msgspec.Struct, frozen=True):
    """A VE as described against what runs of it. `before` are the VMs of its name that exist, by id."""

    before: dict[str, VmSpec]
    added: tuple[str, ...]
    removed: tuple[str, ...]
    kept: tuple[str, ...]
    rules_added: tuple[Constraint, ...]
    rules_removed: tuple[Constraint, ...]


def difference(survey: Surveyed, ve: VirtualEnvironment) -> Difference:
    """What has to change. Raises `Refused` for what only a restart of a VM can change."""
    before = {
        i.spec.id: i.spec
        for snapshot in survey.snapshots.values()
        for i in snapshot.instances
        if i.spec.ve == ve.name
    }
    wanted = {vm.id: vm for vm in ve.vms}
    record = next((known for known in survey.ves if known.name == ve.name), None)
    recorded = {vm.id for vm in record.vms} if record else set()
    unseen = sorted(recorded - before.keys())
    if unseen and survey.silent:
        hosts = ", ".join(survey.silent)
        raise Refused(
            f"{unseen[0]} may run on {hosts}, which does not answer", hint="wait until it is dead or back"
        )
    for vm in sorted(wanted.keys() & before.keys()):
        _same_machine(before[vm], wanted[vm])
    old = dict.fromkeys(record.constraints if record else ())
    old |= dict.fromkeys(rule for spec in before.values() for rule in spec.constraints)
    new = dict.fromkeys(ve.constraints)
    # Where in a file a rule is written changes nothing.
    known = {_unlabelled(rule) for rule in old}
    asked = {_unlabelled(rule) for rule in new}
    return Difference(
        before,
        tuple(vm for vm in wanted if vm not in before),
        tuple(vm for vm in before if vm not in wanted),
        tuple(vm for vm in wanted if vm in before),
        tuple(rule for rule in new if _unlabelled(rule) not in known),
        tuple(rule for rule in old if _unlabelled(rule) not in asked),
    )


def change_problem(survey: Surveyed, ve: VirtualEnvironment, change: Difference) -> Problem:
    """Have `ve` as described. Others move only to make room; violations of others are left to their hosts."""
    configuration, rules = _known(survey, ve, any_trouble=False)
    return problem_of(configuration, rules, ended=change.removed, objective=STARTING)


def nodes_left_out(problem: Problem) -> str:
    """In words, the nodes that get no VM because they are in trouble; empty when there are none."""
    shut = [node for rule in problem.constraints if rule.label == _IN_TROUBLE for node in rule.nodes]
    return f"in trouble, and so not considered: {', '.join(shut)}; luc node ls tells more" if shut else ""


def _same_machine(old: VmSpec, new: VmSpec) -> None:
    for field in ("image", "cpu", "memory_mib"):
        was, wanted = getattr(old, field), getattr(new, field)
        if was != wanted:
            raise Refused(
                f"{old.id} runs with {field} {was}, and the file says {wanted}",
                hint=f"luc stop {old.id} ends it; luc apply then starts it anew",
            )


def _unlabelled(rule: Constraint) -> Constraint:
    return msgspec.structs.replace(rule, label="")


def _known(
    survey: Surveyed, ve: VirtualEnvironment, *, any_trouble: bool
) -> tuple[Configuration, list[Constraint]]:
    """What runs, and the rules that bind it and `ve`.

    VMs of `ve` that are nowhere wait to be booted. Nodes in trouble take no VM that is not there: draining
    and overloaded ones, with `any_trouble` all that are in violation.
    """
    nodes: dict[str, Node] = {}
    instances: dict[str, Instance] = {}
    shut: list[str] = []
    for name, snapshot in sorted(survey.snapshots.items()):
        here = {i.spec.id: i for i in snapshot.instances}
        room = snapshot.node.capacity - snapshot.reserved
        load = holding(here.values())
        fits = load.fits(overbooked(room, name, (r for i in here.values() for r in i.spec.constraints)))
        if snapshot.node.draining or not fits or (any_trouble and snapshot.violation):
            room = Resources(max(room.cpu_pct, load.cpu_pct), max(room.memory_mib, load.memory_mib))
            shut.append(name)
        nodes[name] = msgspec.structs.replace(snapshot.node, capacity=room, draining=False)
        instances.update(here)
    instances |= {vm.id: _waiting(vm) for vm in ve.vms if vm.id not in instances}
    configuration = Configuration(nodes, instances)
    foreign = [r for i in instances.values() if i.spec.ve != ve.name for r in i.spec.constraints]
    moment = moment_of(configuration)
    hard = set(judged(foreign))
    rules = dict.fromkeys(rule for rule in foreign if rule not in hard or not broken(rule, moment))
    rules |= dict.fromkeys(ve.constraints)
    for name in shut:
        elsewhere = tuple(vm for vm, instance in instances.items() if instance.node != name)
        if elsewhere:
            rules[Constraint("ban", elsewhere, (name,), label=_IN_TROUBLE)] = None
    return configuration, list(rules)


def _waiting(spec: VmSpec) -> Instance:
    demand = Resources(expected_cpu_pct(spec.workload), float(spec.memory_mib))
    return Instance(spec, None, VmState.READY, demand)
