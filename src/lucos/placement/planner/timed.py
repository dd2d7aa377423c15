"""Placement and schedule in one CP-SAT model: what proves the optimum over plans of one action per VM.

The placement is that of `exact`, its rows unchanged; `timeline` and `instants` add when everything happens.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
import numpy as np

from lucos.model import BootNode, Pause, Plan, ShutdownNode, Unpause
from lucos.placement.arrays import NOWHERE, READY, RUNNING, SLEEPING, Arrays, Target
from lucos.placement.exact.choices import Choices, Scope, choices_of, images
from lucos.placement.exact.cpsat import Answer, Effort, negated
from lucos.placement.exact.goals import Goals, Sum
from lucos.placement.exact.model import node_states
from lucos.placement.exact.rules import Encoder
from lucos.placement.planner.actions import ticks_of, vm_ticks, work_between
from lucos.placement.planner.instants import bind_instants
from lucos.placement.planner.listing import Times, tight_only
from lucos.placement.planner.network import Wires
from lucos.placement.planner.plans import plan_of
from lucos.placement.planner.rules import bind_rules
from lucos.placement.planner.timeline import Timeline
from lucos.placement.planner.timing import TimedModel, common_unit
from lucos.placement.planner.vjobs import together_asleep
from lucos.placement.primitives import Amounts, Ints, Mask, Timing, ints
from lucos.placement.problem import Objective, Status

_OPTIONS = {"linearization_level": 2, "cp_model_probing_level": 0, "symmetry_level": 0}


class TimedResult(msgspec.Struct, frozen=True):
    """`values` and `bounds` by objective, in arrays' units. Infeasible: no plan of one action per VM exists.

    Optimal: each objective is least, given those before it, among such plans. Bounds after the first that is
    not proved hold for the values before it only. Over a network, links are taken as if each migration were
    alone: then there are bounds and a target, but no plan.
    """

    status: Status
    target: Target | None = None
    plan: Plan | None = None
    values: tuple[int, ...] = ()
    bounds: tuple[int, ...] = ()
    work: float = 0.0


def solve_timed(
    arrays: Arrays,
    objective: Sequence[Objective],
    *,
    candidates: Sequence[Ints | None] | None = None,
    fixed: Target | None = None,
    hint: Target | None = None,
    effort: Effort = Effort(),  # noqa: B008
) -> TimedResult:
    """The best plan. `candidates[vm]`: nodes where it may run in the result (None: all that rules allow).

    With `fixed`, the result is given and only times are sought. Sum of ends decides among equals.
    """
    if fixed is not None:
        candidates = [ints([node]) if node != NOWHERE else None for node in fixed.place.tolist()]
    choices = _choices(arrays, candidates)
    if (np.diff(choices.first) == 0).any():
        return TimedResult(Status.INFEASIBLE)
    pair_ticks, carried = _pair_ticks(arrays, choices)
    unit, horizon = _scale(arrays, pair_ticks)
    model = TimedModel(unit, horizon)
    model.booleans(len(choices.node))
    if fixed is None:
        online = node_states(arrays, choices, model, set(objective))
    else:
        online = np.where(fixed.online, Encoder.ON, Encoder.OFF).astype(np.int32)
    if (online[images(arrays)] == Encoder.OFF).any():
        return TimedResult(Status.INFEASIBLE)
    encoder = Encoder(arrays, choices, model, online)
    for row in range(len(choices.vms)):
        model.exactly_one(range(int(choices.first[row]), int(choices.first[row + 1])))
    if not carried.all():
        model.all_of([negated(p) for p in np.flatnonzero(~carried).tolist()], ())
    encoder.capacities()
    for primitive in arrays.primitives:
        if not isinstance(primitive, Timing) and (not primitive.weight or Objective.PENALTY in objective):
            encoder.add(primitive)
    timeline = Timeline(encoder, model, pair_ticks.tolist())
    bind_instants(timeline)
    stages = [_stage(timeline, Goals(encoder), name) for name in objective]
    if Objective.SUM_OF_ENDS not in objective:
        stages.append(_stage(timeline, Goals(encoder), Objective.SUM_OF_ENDS))
    if hint is not None:
        at = hint.place[choices.vms[choices.row]] == choices.node
        model.hint(range(len(at)), at.astype(int).tolist())
    return _solve(timeline, stages, objective, effort)


def _choices(arrays: Arrays, candidates: Sequence[Ints | None] | None) -> Choices:
    """All VMs are placed by the model, also those with one candidate: so all is judged."""
    if candidates is None:
        return choices_of(arrays, None, None, None, Scope(arrays))
    everywhere = np.arange(len(arrays.nodes), dtype=np.int32)
    free = np.flatnonzero(arrays.runs)
    allowed = [everywhere if (nodes := candidates[vm]) is None else nodes for vm in free.tolist()]
    return choices_of(arrays, None, ints(free), allowed, Scope(arrays))


def _pair_ticks(arrays: Arrays, choices: Choices) -> tuple[Amounts, Mask]:
    """How long the action of each pair takes at least (0: there is none), and whether it can be done."""
    vms, nodes = choices.vms[choices.row], choices.node
    state, stays = arrays.state[vms], arrays.host[vms] == nodes
    changed = np.any(arrays.need[vms] != arrays.use[vms], axis=1)
    local = stays | (arrays.host[vms] == NOWHERE)
    ticks = np.select(
        [state == RUNNING, state == SLEEPING, state == READY],
        [
            np.where(stays, np.where(changed, arrays.allocate_ticks[vms], 0), arrays.migrate_ticks[vms]),
            np.where(local, arrays.resume_local_ticks[vms], arrays.resume_remote_ticks[vms]),
            arrays.change_ticks[vms],
        ],
        0,
    ).astype(np.int64)
    carried = np.ones(len(ticks), dtype=np.bool_)
    if arrays.problem.cluster.network is not None:
        wires = Wires(arrays, arrays.problem.cluster.network)
        for pair in np.flatnonzero((state == RUNNING) & ~stays).tolist():
            vm, names = int(vms[pair]), arrays.nodes
            fastest = wires.fastest(vm, names[arrays.host[vm]], names[nodes[pair]])
            carried[pair] = fastest is not None
            ticks[pair] = fastest or ticks[pair]
    return ticks, carried


def _scale(arrays: Arrays, pair_ticks: Amounts) -> tuple[int, int]:
    """The unit of time, and when the last action ends at the latest when nobody waits in vain."""
    stops = arrays.change_ticks[~arrays.runs & (arrays.target != arrays.state)].tolist()
    switches = arrays.node_ticks[~arrays.online | (arrays.node_target != 1)].tolist()
    paused = [
        vm_ticks(arrays, kind, vm)
        for groups in together_asleep(arrays)
        for vms in groups
        for vm in vms
        for kind in ("pause", "unpause")
    ]
    under_way = [ticks_of(arrays, step.end_s) for step in arrays.problem.ongoing]
    longest = int(pair_ticks.max(initial=0)) * len(arrays.vms)
    length = longest + sum(stops) + sum(switches) + sum(paused) + max(under_way, default=0)
    unit = common_unit([*pair_ticks.tolist(), *stops, *switches, *paused, *under_way])
    return unit, min(arrays.horizon, length)


def _stage(timeline: Timeline, goals: Goals, objective: Objective) -> Sum:
    """The objective over the variables; times in units of the model."""
    ends = [act.end for act in timeline.acts.values()]
    ends += [switch.end for node, switch in timeline.switches.items() if node not in timeline.booting]
    ends += [end for _, end in timeline.pauses.values()]
    if objective is Objective.SUM_OF_ENDS:
        return Sum(ends, [1] * len(ends))
    if objective is not Objective.MAKESPAN:
        return goals.of(objective)
    last = timeline.model.time()
    for instant in ends:
        timeline.model.after(last, instant)
    return Sum([last], [1])


def _solve(
    timeline: Timeline, stages: list[Sum], objective: Sequence[Objective], effort: Effort
) -> TimedResult:
    """One stage after the other, each with the values before it fixed."""
    model = timeline.model
    best: Answer | None = None
    proved, work = True, 0.0
    values, bounds = list[int](), list[int]()
    for number, stage in enumerate(stages):
        model.minimize(stage.variables, stage.factors)
        answer = model.solve(effort, **_OPTIONS)
        work, effort = work + answer.work, effort.without(answer)
        if answer.solved:
            best = answer
            model.hint(range(len(answer.values)), answer.values)
        elif best is None:
            return TimedResult(answer.status, work=work)
        value = stage.value(best.values)
        model.linear(stage.variables, stage.factors, high=value - stage.constant)
        if number < len(objective):
            factor = model.unit if objective[number] in (Objective.SUM_OF_ENDS, Objective.MAKESPAN) else 1
            proved = proved and answer.status is Status.OPTIMAL
            values.append(value * factor)
            bounds.append((answer.bound + stage.constant) * factor if stage.variables else value * factor)
    assert best is not None, "there is at least one stage"
    target, plan = _result(timeline, best)
    if timeline.arrays.problem.cluster.network is not None:
        # Links were not shared in the model: it gives a bound, and a target whose plan is made elsewhere.
        return TimedResult(Status.FEASIBLE, target, None, (), tuple(bounds), work)
    status = Status.OPTIMAL if proved else Status.FEASIBLE
    return TimedResult(status, target, plan, tuple(values), tuple(bounds), work)


def _result(timeline: Timeline, answer: Answer) -> tuple[Target, Plan]:
    """The target and the plan of the answer's times."""
    arrays, choices, model = timeline.arrays, timeline.choices, timeline.model
    place = choices.fixed.copy()
    chosen = np.flatnonzero(np.asarray(answer.values[: len(choices.node)], dtype=np.int64))
    place[choices.vms[choices.row[chosen]]] = choices.node[chosen]
    online = timeline.encoder.online
    on = [answer.values[o] == 1 if o >= 0 else o == Encoder.ON for o in online.tolist()]
    target = Target(place, np.asarray(on, dtype=np.bool_))
    work = work_between(arrays, target)
    bind_rules(work)
    tight_only(work)
    start = []
    for step in work.steps:
        if step.ongoing:
            at = 0
        elif isinstance(step.action, Pause | Unpause):
            kind = "pause" if isinstance(step.action, Pause) else "unpause"
            at = answer.values[timeline.pauses[step.vm, kind][0]]
        elif step.vm != NOWHERE:
            at = answer.values[timeline.acts[step.vm].start]
        else:
            assert isinstance(step.action, BootNode | ShutdownNode)
            at = answer.values[timeline.switches[arrays.node_index[step.action.node]].start]
        start.append(at * model.unit)
    end = [at + step.ticks for at, step in zip(start, work.steps, strict=True)]
    times = Times(start, end, [0] * len(start))
    return target, plan_of(work, times, {})
