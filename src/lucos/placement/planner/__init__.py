"""Schedules: from where a cluster is to where it should be, every rule holding on the way.

`schedule` orders the actions towards a given target. List scheduling answers almost always at once.
"""

from __future__ import annotations

from lucos.model import Plan
from lucos.placement.arrays import NOWHERE, Arrays, Target
from lucos.placement.planner.actions import Work, work_between
from lucos.placement.planner.bypass import detour, planned
from lucos.placement.planner.deadlock import Deadlock
from lucos.placement.planner.listing import Times, entangled, least_sum_of_ends, list_schedule, tight_only
from lucos.placement.planner.network import Wires
from lucos.placement.planner.plans import plan_of
from lucos.placement.planner.rules import bind_rules
from lucos.placement.planner.sequences import shortest_sequence
from lucos.placement.problem import Objective

__all__ = ["Deadlock", "schedule"]

# How often steps that got stuck are preferred and everything is tried again.
RETRIES = 3
# Steps that depend on each other up to which CP-SAT decides their times, and its share of the work: when
# list scheduling got stuck, and when it did not but some wait.
EXACT_STEPS_MAX, EXACT_SHARE = 500, 0.2
BETTER_STEPS_MAX, BETTER_SHARE = 150, 0.05
# VMs times nodes up to which detours are searched exhaustively, and how many of their places are looked at
# per unit of work, in all configurations together.
SEARCHED_PAIRS_MAX = 160
PLACES_PER_WORK = 100_000


def schedule(arrays: Arrays, target: Target, *, work: float = 1.0, seed: int = 0) -> Plan | Deadlock:
    """A plan that leads from now to `target`, or which VMs wait for each other for ever.

    `work` (about seconds of one core) bounds what breaking deadlocks and shortening waits may cost; with 0
    list scheduling alone decides.
    """
    network = arrays.problem.cluster.network
    wires = Wires(arrays, network) if network is not None else None
    todo = work_between(arrays, target)
    bind_rules(todo)
    stuck = [i for i, step in enumerate(todo.steps) if step.vm in todo.hopeless]
    if wires is not None:
        wires.connect(todo)
    tight_only(todo)
    if todo.hopeless and not (stuck and work):
        names = tuple(arrays.vms[vm] for vm in todo.hopeless)
        return Deadlock(names, "; ".join(todo.hopeless.values()))
    if not stuck:
        times, stuck = _listed(todo, wires)
        if work:
            times, stuck = _bettered(todo, wires, times, stuck, work, seed)
        if not stuck:
            return plan_of(todo, times, target.why)
    if work and (found := _by_detours(arrays, target, stuck, todo, wires, work)) is not None:
        return found
    return Deadlock.of(todo, stuck)


def _listed(todo: Work, wires: Wires | None) -> tuple[Times, list[int]]:
    """Times of the steps and those that are stuck, after a few tries in which these go first."""
    first: frozenset[int] = frozenset()
    for _ in range(RETRIES):
        times = list_schedule(todo, wires, first)
        stuck = times.missing(todo)
        if not stuck or first.issuperset(stuck):
            break
        first = first.union(stuck)
    return times, stuck


def _bettered(
    todo: Work, wires: Wires | None, times: Times, stuck: list[int], work: float, seed: int
) -> tuple[Times, list[int]]:
    """The best times of steps that wait or are stuck, when the exact model of them is small enough."""
    asked = todo.arrays.problem.objective
    timed = [o for o in asked if o in (Objective.SUM_OF_ENDS, Objective.MAKESPAN)]
    last = bool(timed) and timed[0] is Objective.MAKESPAN

    def worth(times: Times) -> tuple[int, int]:
        ends = [end for end, step in zip(times.end, todo.steps, strict=True) if not step.ongoing]
        return max(ends, default=0) if last else 0, sum(ends)

    if not stuck and (wires is not None or worth(times)[1] <= least_sum_of_ends(todo)):
        return times, stuck
    steps_max, share = (EXACT_STEPS_MAX, EXACT_SHARE) if stuck else (BETTER_STEPS_MAX, BETTER_SHARE)
    if len(entangled(todo)) > steps_max:
        return times, stuck
    # Imported late: CP-SAT costs more time and memory than most schedules do.
    from lucos.placement.exact.cpsat import Effort
    from lucos.placement.planner.timing import best_times

    goal = Objective.MAKESPAN if last else Objective.SUM_OF_ENDS
    found = best_times(todo, wires, goal, Effort(work=share * work, seed=seed), times)
    if found is None or found.missing(todo):
        return times, stuck
    return (found, []) if stuck or worth(found) < worth(times) else (times, stuck)


def _by_detours(
    arrays: Arrays, target: Target, stuck: list[int], todo: Work, wires: Wires | None, work: float
) -> Plan | Deadlock | None:
    """A plan in which some VMs take a detour; or the proof that no sequence of actions leads there."""
    path = None
    pairs = len(arrays.vms) * len(arrays.nodes)
    if pairs <= SEARCHED_PAIRS_MAX:
        states_max = int(PLACES_PER_WORK * min(work, 1.0)) // pairs
        found = shortest_sequence(arrays, target, wires, states_max)
        if found.hops is None and found.exhausted:
            return Deadlock.of(todo, stuck, proved=found.exact)
        path = found.hops
    if path is None:
        order = [step.vm for step in todo.steps if step.vm != NOWHERE and not step.ongoing]
        path = detour(arrays, target, wires, order)
    made = planned(arrays, target, path, wires) if path is not None else None
    return plan_of(*made, target.why) if made is not None else None
