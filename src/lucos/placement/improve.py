"""What repair could not prove or find: the joint model of small problems, models of neighbourhoods for large.

A neighbourhood is a few nodes, the VMs on them now or in the best result, and these nodes as destinations;
what is outside is constant, so that every rule is supported. Neighbourhoods that share no node are solved in
parallel and taken over one after the other, each only if the whole still holds.
"""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from lucos.placement.arrays import NOWHERE, RUNNING, Arrays, Target
from lucos.placement.clock import now_s
from lucos.placement.contradictions import contradictions
from lucos.placement.exact import Effort, PlaceResult, Scope, place
from lucos.placement.exact.core import aggregate_conflict, clash_core, conflict, sentence
from lucos.placement.holding import holds
from lucos.placement.lowering import arrays_of
from lucos.placement.objectives import load_of, unit_of
from lucos.placement.planner import Deadlock
from lucos.placement.planner.timed import solve_timed
from lucos.placement.primitives import Ints, ints
from lucos.placement.problem import Core, Problem, Solution, Status
from lucos.placement.repair import repair
from lucos.placement.solver import JOINT_MAX, WHOLE_MAX, Search
from lucos.placement.state import State

# Rounds without progress after which the search for a better plan ends.
STALE_MAX = 6
# Results whose actions wait for each other that are set aside before giving up.
TARGETS_MAX = 40
# Work and nodes of one neighbourhood.
CHUNK = 0.4
# Work that making the model of one is charged.
BUILDING = 0.02
NODES_PER_CHUNK = 16
VMS_PER_CHUNK = 300
# Contradictions among rules that are named when nothing was found.
REASONS_MAX = 4
# VMs times nodes beyond which no model of everything is built.
MODEL_MAX = 1_000_000
# Work of the model of everything, where it is small enough.
WHOLE_WORK = 2.0
# Work of the joint model.
JOINT_WORK = 2.0
# Work of one question whether a subset of the rules can hold.
QUESTION = 1.0


def prove_or_improve(search: Search) -> Solution:
    """The best answer that the rest of the budget buys."""
    at_s = now_s()
    try:
        return _answer(search)
    finally:
        search.stats["improve_s"] += now_s() - at_s


def _answer(search: Search) -> Solution:
    if search.arrays.clashes:
        return infeasible(search.problem, clash_core(search.arrays))
    if search.best is None and aggregate_conflict(search.arrays) is not None:
        return infeasible(search.problem, conflict(search.problem, _can_hold))
    if search.pairs <= WHOLE_MAX and _whole(search):
        return search.solution(Status.OPTIMAL)
    direct = True
    if search.pairs <= JOINT_MAX and not search.hopeless:
        status = _joint(search)
        if status is Status.OPTIMAL:
            return search.solution(Status.OPTIMAL)
        direct = status is not Status.INFEASIBLE
    if search.best is None or (direct and not search.best.direct):
        refused = _find(search)
        if search.best is None:
            assert refused is not None
            return refused
    if direct and not (search.proved or search.placed_well):
        _improve(search)
    return search.solution(Status.OPTIMAL if direct and search.proved else Status.FEASIBLE)


def infeasible(problem: Problem, core: Core) -> Solution:
    return Solution(Status.INFEASIBLE, core=core, reasons=(sentence(core, problem),))


def _joint(search: Search) -> Status:
    """Placement and schedule in one model. INFEASIBLE: no plan in which each VM acts at most once."""
    result = solve_timed(
        search.arrays,
        search.objectives,
        hint=None if search.best is None else search.best.target,
        effort=_effort(search, JOINT_WORK),
    )
    search.meter.spend(result.work)
    if result.bounds:
        search.raise_first_bound(result.bounds[0] * unit_of(search.objectives[0], search.arrays))
    if result.target is not None and result.plan is not None:
        search.offer(result.target, result.plan, sure=result.status is Status.OPTIMAL)
    return result.status


def _whole(search: Search) -> bool:
    """All VMs in one model without time: what no plan can be better than. True when a plan is as good."""
    hint = None if search.best is None else search.best.target
    result = place(search.arrays, objective=search.objectives, hint=hint, effort=_effort(search, WHOLE_WORK))
    search.meter.spend(result.work)
    search.hopeless = result.status is Status.INFEASIBLE
    if result.target is None:
        return False
    units = [unit_of(o, search.arrays) for o in search.objectives]
    search.raise_first_bound(result.bounds[0] * units[0])
    search.offer(result.target)
    least = [value * unit for value, unit in zip(result.values, units, strict=True)]
    best = search.best
    return result.status is Status.OPTIMAL and best is not None and best.direct and search.reaches(least)


def _effort(search: Search, work: float | None) -> Effort:
    """What is left, at most `work`."""
    left = [w for w in (search.meter.work, work) if w is not None]
    return Effort(search.meter.time_s, min(left, default=None), search.meter.seed)


def _find(search: Search) -> Solution | None:
    """A first plan by models of growing neighbourhoods; a solution when there is or was found none."""
    arrays = search.arrays
    forbidden: list[dict[int, int]] = []
    waits: list[Deadlock] = []
    if search.hopeless:
        return infeasible(search.problem, conflict(search.problem, _can_hold))
    repaired = _repaired(search) if search.pairs > WHOLE_MAX else None
    for nodes in _growing(search, repaired):
        whole, status = nodes is None, Status.UNKNOWN
        while not search.meter.over and len(forbidden) < TARGETS_MAX:
            result = _place_anew(search, nodes, repaired, forbidden)
            status = result.status
            search.meter.spend(result.work + BUILDING)
            if result.target is None:
                break
            if search.offer(result.target) and search.best is not None and search.best.direct:
                return None
            if search.deadlock is not None:
                waits.append(search.deadlock)
            running = np.flatnonzero(arrays.target == RUNNING)
            forbidden.append({int(vm): int(result.target.place[vm]) for vm in running})
        if whole and status is Status.INFEASIBLE and search.best is None:
            return _no_plan(search, waits, len(forbidden))
    text = waits[-1].text if waits else "no result was found within the budget"
    known = contradictions(search.problem.constraints, search.problem.cluster)
    return Solution(
        Status.UNKNOWN, bounds=tuple(search.bounds), reasons=(text, *known[:REASONS_MAX]), stats=search.stats
    )


def _no_plan(search: Search, waits: list[Deadlock], results: int) -> Solution:
    """Every result was looked at: there is none, or none can be reached."""
    if not results:
        return infeasible(search.problem, conflict(search.problem, _can_hold))
    never = len(waits) == results and all(wait.proved for wait in waits)
    why = waits[-1].text if waits else "their actions wait for each other"
    text = f"{results} results satisfy the rules, but none can be reached: {why}"
    return Solution(Status.INFEASIBLE if never else Status.UNKNOWN, reasons=(text,), stats=search.stats)


def _can_hold(problem: Problem) -> bool | None:
    """Whether some result satisfies the rules of `problem`; None when that is not known."""
    arrays = arrays_of(problem)
    if arrays.clashes:
        return False
    state = State(arrays)
    if not repair(state, np.ones(len(arrays.vms), np.int64)) and state.sound():
        return True
    result = place(arrays, objective=(), effort=Effort(work=QUESTION))
    return None if result.status is Status.UNKNOWN else result.target is not None


Repaired = tuple[State, list[int]]
"""What repair made of the start, and the VMs that it could not place."""


def _repaired(search: Search) -> Repaired:
    state = State(search.arrays)
    return state, repair(state, search.costs.amounts, first=search.found)


def _growing(search: Search, repaired: Repaired | None) -> Iterator[Ints | None]:
    """Ever more nodes around what repair could not place, then None for all of them."""
    arrays = search.arrays
    if repaired is not None:
        state, stuck = repaired
        size = NODES_PER_CHUNK * 2
        while stuck and size * 4 < len(arrays.nodes):
            near = [np.flatnonzero(state.allowed(vm)) for vm in stuck[:size]]
            order = state.emptiest(len(arrays.nodes))
            wanted = np.isin(order, np.concatenate(near))
            homes = arrays.host[stuck][arrays.host[stuck] >= 0]
            yield ints(np.unique(np.concatenate([homes, order[wanted][:size]])))
            size *= 3
    if search.pairs <= MODEL_MAX:
        yield None


def _place_anew(
    search: Search, nodes: Ints | None, repaired: Repaired | None, forbidden: list[dict[int, int]]
) -> PlaceResult:
    arrays = search.arrays
    if nodes is None or repaired is None:
        return place(arrays, objective=search.objectives, forbidden=forbidden, effort=_effort(search, None))
    state, stuck = repaired
    free, candidates = _around(arrays, state.target(), nodes, stuck)
    return place(
        arrays,
        objective=search.objectives,
        start=state.target(),
        free=free,
        candidates=candidates,
        forbidden=forbidden,
        effort=_effort(search, CHUNK * 4),
    )


def _around(
    arrays: Arrays, now: Target, nodes: Ints, also: list[int] | None = None
) -> tuple[Ints, list[Ints]]:
    """The VMs on these nodes, now or when the plan begins, and where each may go."""
    runs = arrays.target == RUNNING
    started = np.where(arrays.runs_now, arrays.host, NOWHERE)
    near = np.flatnonzero(runs & (np.isin(now.place, nodes) | np.isin(started, nodes)))
    free = ints(np.unique([*near[:VMS_PER_CHUNK], *(also or ())]))
    keep = now.place[free]
    return free, [ints(np.unique(np.append(nodes, k))) if k >= 0 else nodes for k in keep]


def _improve(search: Search) -> None:
    """Neighbourhood search from the best plan; ends at the bounds, with the budget, or when it is stale."""
    scope, rng = Scope(search.arrays), np.random.default_rng(search.meter.seed)
    stale = 0
    while search.best is not None and stale < STALE_MAX and not (search.meter.over or search.proved):
        if search.placed_well:
            return
        found = _round(search, scope, rng)
        stale = 0 if found else stale + 1


def _round(search: Search, scope: Scope, rng: np.random.Generator) -> bool:
    """Neighbourhoods side by side; True when one of them made the plan better."""
    assert search.best is not None
    start = search.best.target
    parts = _neighbourhoods(search, rng)

    def solved(nodes: Ints) -> PlaceResult:
        free, candidates = _around(search.arrays, start, nodes)
        return place(
            search.arrays,
            objective=search.objectives,
            start=start,
            free=free,
            candidates=candidates,
            hint=start,
            effort=_effort(search, CHUNK),
            scope=scope,
        )

    with ThreadPoolExecutor(max(1, search.meter.workers)) as pool:
        results = list(pool.map(solved, parts))
    better = False
    for result in results:
        search.meter.spend(result.work + BUILDING)
        if result.target is not None:
            better |= search.offer(_merged(search.arrays, start, result.target, search.best.target))
    return better


def _merged(arrays: Arrays, start: Target, found: Target, best: Target) -> Target:
    """What a neighbourhood changed, upon the best so far; as found when the two together break a rule."""
    changed = found.place != start.place
    place_ = np.where(changed, found.place, best.place).astype(np.int32)
    online = np.where(found.online != start.online, found.online, best.online)
    load = load_of(arrays, place_)
    fine = bool((load <= arrays.capacity).all()) and not (online[place_[place_ >= 0]] == 0).any()
    fine = fine and all(holds(r, arrays, place_, online, load) for r in arrays.primitives if not r.weight)
    return Target(place_, online) if fine else found


def _neighbourhoods(search: Search, rng: np.random.Generator) -> list[Ints]:
    """Disjoint sets of nodes: half of each where VMs move or loads are extreme, the rest at random."""
    assert search.best is not None
    arrays, target = search.arrays, search.best.target
    usable = np.flatnonzero((target.online | (arrays.node_target == -1)) & ~arrays.closed)
    moved = np.flatnonzero(arrays.runs & (target.place != arrays.host))
    touched = np.unique(np.concatenate([target.place[moved], arrays.host[moved]]))
    touched = touched[np.isin(touched, np.concatenate([usable, arrays.host]))]
    load = load_of(arrays, target.place)
    full = (load / np.maximum(arrays.capacity, 1)).max(axis=1, initial=0.0)
    used = usable[full[usable] > 0]
    extreme = used[np.argsort(full[used], kind="stable")][: NODES_PER_CHUNK * 2]
    pool = [rng.permutation(touched[touched >= 0]), rng.permutation(extreme), rng.permutation(usable)]
    order = np.concatenate([np.concatenate(_dealt(pool)), usable]) if len(usable) else usable
    order = order[np.sort(np.unique(order, return_index=True)[1])]
    count = min(max(1, search.meter.workers), -(-len(order) // NODES_PER_CHUNK))
    return [order[i : count * NODES_PER_CHUNK : count].astype(np.int32) for i in range(count)]


def _dealt(piles: list[Ints]) -> list[Ints]:
    """One from each pile in turn, while they last."""
    longest = max((len(pile) for pile in piles), default=0)
    return [np.asarray([p[i] for p in piles if i < len(p)], dtype=np.int64) for i in range(longest)] or [
        np.empty(0, np.int64)
    ]
