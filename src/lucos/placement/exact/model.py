"""Where VMs run in the result, decided by CP-SAT: every rule and capacity, no time.

What is continuous binds here only as far as the result shows it; the planner answers for every instant.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec
import numpy as np

from lucos.placement.arrays import NOWHERE, Arrays, Target
from lucos.placement.exact.choices import Choices, Scope, choices_of, images
from lucos.placement.exact.cpsat import Answer, Effort, Model, negated
from lucos.placement.exact.goals import Goals, Sum
from lucos.placement.exact.rules import Encoder
from lucos.placement.primitives import Ints, Online
from lucos.placement.problem import Objective, Status

# Objectives that any needless action makes worse; after others, needless actions are taken away.
_THRIFTY = (Objective.SUM_OF_ENDS, Objective.MIGRATIONS, Objective.MIGRATED_MEMORY)
_UNLIMITED = Effort()
# Measured on overloaded clusters: a strong relaxation proves in 0.1 s what the defaults do not in 6 s;
# probing and symmetry only cost. Presolve pays beyond this many pairs.
_SMALL = 1000
_OPTIONS = {"linearization_level": 2, "cp_model_probing_level": 0, "symmetry_level": 0}


class PlaceResult(msgspec.Struct, frozen=True):
    """`values` and `bounds` by objective, in arrays' units (see `objectives`); what it cost.

    Optimal: each objective is proved least given those before it. Bounds after the first that is not proved
    are those of its own stage, so only valid for the values fixed before.
    """

    status: Status
    target: Target | None = None
    values: tuple[int, ...] = ()
    bounds: tuple[int, ...] = ()
    work: float = 0.0


def place(
    arrays: Arrays,
    *,
    objective: Sequence[Objective],
    start: Target | None = None,
    free: Ints | None = None,
    candidates: Sequence[Ints] | None = None,
    at_most: Mapping[Objective, int] | None = None,
    hint: Target | None = None,
    forbidden: Sequence[Mapping[int, int]] = (),
    effort: Effort = _UNLIMITED,
    scope: Scope | None = None,
) -> PlaceResult:
    """The best result in which only `free` VMs (None: all) may differ from `start` (None: as it is now).

    `candidates[i]`: nodes allowed to `free[i]` (None: all). `at_most`: objectives that may not exceed.
    `forbidden`: results that contain all of these (VM -> node) are none. Rules that speak of no free VM,
    and nodes that none may reach, are taken as they are; soft rules bind when PENALTY is an objective.
    Give `scope` (made once) when arrays are large and calls are many.
    """
    scope = scope or Scope(arrays)
    choices = choices_of(arrays, start, free, candidates, scope)
    if (np.diff(choices.first) == 0).any() or (arrays.node_target[images(arrays)] == 0).any():
        return PlaceResult(Status.INFEASIBLE)
    wanted = {*objective, *(at_most or {})}
    model = Model()
    model.booleans(len(choices.node))
    encoder = Encoder(arrays, choices, model, node_states(arrays, choices, model, wanted))
    _encode(encoder, scope, forbidden, Objective.PENALTY in wanted)
    goals = Goals(encoder)
    for name, limit in (at_most or {}).items():
        terms = goals.of(name)
        model.linear(terms.variables, terms.factors, high=limit - terms.constant)
    stages = [goals.of(name) for name in objective]
    if not objective or objective[-1] not in _THRIFTY:
        stages.append(_needless(goals))
    elif objective[-1] is not Objective.SUM_OF_ENDS and (encoder.online >= 0).any():
        stages.append(goals.node_changes())
    _give_hint(encoder, hint)
    return _solve(encoder, stages, len(objective), effort)


def node_states(arrays: Arrays, choices: Choices, model: Model, wanted: set[Objective]) -> Ints:
    """For each node on or off, or the variable that says so where that is free and matters."""
    on = np.where(arrays.online, Encoder.ON, Encoder.OFF).astype(np.int32)
    free = (arrays.node_target == -1) & arrays.online & (Objective.ENERGY in wanted)
    for rule in arrays.primitives:
        if isinstance(rule, Online) and (not rule.weight or Objective.PENALTY in wanted):
            free |= rule.nodes & arrays.online & (arrays.node_target == -1)
    free[choices.node] |= (arrays.node_target == -1)[choices.node] & ~arrays.online[choices.node]
    kept = np.concatenate([choices.fixed[choices.fixed != NOWHERE], images(arrays)])
    on[kept] = Encoder.ON
    free[kept] = False
    on[arrays.node_target == 1] = Encoder.ON
    on[arrays.node_target == 0] = Encoder.OFF
    on[free] = model.booleans(int(free.sum()))
    return on


def _encode(encoder: Encoder, scope: Scope, forbidden: Sequence[Mapping[int, int]], soft: bool) -> None:
    arrays, choices, model = encoder.arrays, encoder.choices, encoder.model
    for row in range(len(choices.vms)):
        model.exactly_one(range(int(choices.first[row]), int(choices.first[row + 1])))
    encoder.capacities()
    for number in (*scope.touching(choices.vms), *(scope.soft if soft else ())):
        encoder.add(arrays.primitives[number])
    named = {vm for result in forbidden for vm in result}
    for result in forbidden:
        _forbid(choices, model, result)
    if arrays.problem.cluster.network is None:
        _order_alike(arrays, choices, model, scope, named)


def _forbid(choices: Choices, model: Model, result: Mapping[int, int]) -> None:
    literals: list[int] = []
    for vm, node in result.items():
        row = int(choices.row_of[vm])
        if row < 0:
            if choices.fixed[vm] != node:
                return
            continue
        mine = choices.node[choices.first[row] : choices.first[row + 1]]
        at = np.flatnonzero(mine == node)
        if not at.size:
            return
        literals.append(negated(int(choices.first[row] + at[0])))
    model.at_least_one(literals)


def _order_alike(arrays: Arrays, choices: Choices, model: Model, scope: Scope, named: set[int]) -> None:
    """Of VMs that are alike on one node, the first ones stay: other results are renamings of these."""
    last: dict[tuple[object, ...], int] = {}
    for row in np.flatnonzero(arrays.runs_now[choices.vms]).tolist():
        vm = int(choices.vms[row])
        nodes = choices.node[choices.first[row] : choices.first[row + 1]]
        at = np.flatnonzero(nodes == arrays.host[vm])
        if vm in named or not at.size or len(nodes) == 1:
            continue
        stays = int(choices.first[row] + at[0])
        key = (
            arrays.need[vm].tobytes(),
            arrays.use[vm].tobytes(),
            nodes.tobytes(),
            int(arrays.host[vm]),
            int(arrays.migrate_ticks[vm]),
            int(arrays.allocate_ticks[vm]),
            scope.slots(vm).tobytes(),
        )
        if key in last:
            model.at_least_one((negated(stays), last[key]))
        last[key] = stays


def _needless(goals: Goals) -> Sum:
    """Migrations and switched nodes that the objectives do not count."""
    total, nodes = goals.of(Objective.MIGRATIONS), goals.node_changes()
    total.add(nodes.variables, nodes.factors)
    return total


def _give_hint(encoder: Encoder, hint: Target | None) -> None:
    if hint is None:
        return
    choices = encoder.choices
    at = hint.place[choices.vms[choices.row]] == choices.node
    nodes = np.flatnonzero(encoder.online >= 0)
    encoder.model.hint(
        [*range(len(at)), *encoder.online[nodes].tolist()],
        [*at.astype(int).tolist(), *hint.online[nodes].astype(int).tolist()],
    )


def _solve(encoder: Encoder, stages: list[Sum], counted: int, effort: Effort) -> PlaceResult:
    """One stage after the other, each with the values before it fixed."""
    model = encoder.model
    presolve = {"cp_model_presolve": len(encoder.choices.node) > _SMALL, "max_presolve_iterations": 1}
    best: Answer | None = None
    proved, bounds, work = True, [], 0.0
    for number, stage in enumerate(stages):
        if best is not None and not stage.variables:
            bounds.append(stage.constant)
            continue
        model.minimize(stage.variables, stage.factors)
        answer = model.solve(effort, **_OPTIONS, **presolve)
        work, effort = work + answer.work, effort.without(answer)
        if answer.solved:
            best = answer
            model.hint(range(len(answer.values)), answer.values)
        elif best is None:
            return PlaceResult(answer.status, work=work)
        proved = proved and (answer.status is Status.OPTIMAL or number >= counted)
        bounds.append(answer.bound + stage.constant)
        if stage.variables:
            model.linear(stage.variables, stage.factors, high=stage.value(best.values) - stage.constant)
    assert best is not None, "there is at least one stage"
    values = tuple(stage.value(best.values) for stage in stages[:counted])
    return PlaceResult(
        Status.OPTIMAL if proved else Status.FEASIBLE,
        _target(encoder, best),
        values,
        tuple(bounds[:counted]),
        work,
    )


def _target(encoder: Encoder, answer: Answer) -> Target:
    choices, online = encoder.choices, encoder.online
    values = np.asarray(answer.values, dtype=np.int64)
    place = choices.fixed.copy()
    chosen = np.flatnonzero(values[: len(choices.node)])
    place[choices.vms[choices.row[chosen]]] = choices.node[chosen]
    on = np.where(online >= 0, values[np.maximum(online, 0)] if values.size else 0, online == Encoder.ON)
    return Target(place, on.astype(np.bool_))
