"""`solve`: from a problem to a plan that the independent checker accepted, or to a proof that there is none.

Repair gives a first plan in milliseconds and bounds say how far it can be from the best. Small problems are
then solved to the optimum with placement and schedule in one model; large ones are improved neighbourhood by
neighbourhood, several in parallel, until the bound, the budget or the end of progress is reached.
"""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from lucos.errors import OperationFailed
from lucos.model import Plan
from lucos.placement.arrays import RUNNING, Arrays, Target
from lucos.placement.bounds import busy_ticks, costs_of, leavers, lower_bound
from lucos.placement.checker import check, check_orders
from lucos.placement.clock import now_s
from lucos.placement.lowering import arrays_of
from lucos.placement.objectives import objectives_of, unit_of, value_of
from lucos.placement.planner import Deadlock, schedule
from lucos.placement.problem import Budget, Objective, Problem, Solution, Status
from lucos.placement.reasons import add_reasons
from lucos.placement.repair import Style, repair
from lucos.placement.shaping import shape
from lucos.placement.state import State, usable_amounts
from lucos.placement.validation import validate

# What may be spent when nothing is said: seconds of deterministic work.
WORK_DEFAULT = 5.0
# VMs times nodes up to which placement and schedule are one model, which proves the optimum.
JOINT_MAX = 1200
# VMs times nodes up to which one model places all VMs.
WHOLE_MAX = 60_000
# What one schedule may cost beyond list scheduling.
SCHEDULING = 0.5
PLAIN = Budget()
UNPROVED = Solution(Status.UNKNOWN, reasons=("a first try found no plan, and more was not to be spent",))
# Two values are the same within this.
CLOSE = 1e-6

Progress = Callable[[str, "Solution"], None]


class Incumbent(msgspec.Struct, frozen=True):
    """The best so far."""

    plan: Plan
    target: Target
    values: tuple[float, ...]

    @property
    def direct(self) -> bool:
        """No VM acts twice: bounds speak of such plans only."""
        acting = [step.action.vm for step in self.plan.actions if step.action.vm]
        return len(acting) == len(set(acting))

    def beats(self, other: Incumbent) -> bool:
        """A direct plan before one that is not, then the first objective that differs."""
        if self.direct != other.direct:
            return self.direct
        for a, b in zip(self.values, other.values, strict=True):
            if abs(a - b) > CLOSE:
                return a < b
        return False


class Meter:
    """What is left of a budget."""

    def __init__(self, budget: Budget) -> None:
        plain = budget.time_s is None and budget.work is None
        self.work: float | None = WORK_DEFAULT if plain else budget.work
        self._end_s = None if budget.time_s is None else now_s() + budget.time_s
        self.seed = budget.seed
        self.workers = budget.workers

    def spend(self, work: float) -> None:
        if self.work is not None:
            self.work = max(self.work - work, 0.0)

    @property
    def time_s(self) -> float | None:
        return None if self._end_s is None else max(self._end_s - now_s(), 0.0)

    @property
    def over(self) -> bool:
        return self.work == 0.0 or self.time_s == 0.0


class Search:
    """One run of the solver: the arrays, the start, the bounds and the best plan so far."""

    def __init__(self, problem: Problem, budget: Budget, on_progress: Progress | None) -> None:
        self.began_s = now_s()
        self.problem = problem
        self.meter = Meter(budget)
        self.arrays: Arrays = arrays_of(problem)
        self.objectives = objectives_of(problem)
        self.start = State(self.arrays)
        self.costs = costs_of(self.arrays)
        self.found = leavers(self.start, self.costs.amounts, self.costs.unit)
        self.bounds = [self._bound(objective) for objective in self.objectives]
        self.best: Incumbent | None = None
        self.deadlock: Deadlock | None = None
        # A model of everything showed that no result satisfies the rules.
        self.hopeless = False
        self.stats = dict.fromkeys(("repair_s", "improve_s", "plan_s", "check_s", "first_plan_s"), 0.0)
        self._on_progress = on_progress
        self._seen: dict[bytes, Deadlock | None] = {}

    def _bound(self, objective: Objective) -> float:
        least = lower_bound(objective, self.start, self.costs, self.found)
        return least * unit_of(objective, self.arrays)

    @property
    def pairs(self) -> int:
        """VMs that run in the result times nodes: the size of a model of everything."""
        return int((self.arrays.target == RUNNING).sum()) * len(self.arrays.nodes)

    @property
    def has_room(self) -> bool:
        """The nodes together offer what all VMs need; else nothing needs to be tried."""
        needed = self.arrays.need[self.arrays.runs].sum(axis=0)
        return bool((needed <= usable_amounts(self.arrays).sum(axis=0)).all())

    @property
    def proved(self) -> bool:
        """The best plan reaches the bound of every objective."""
        return self.best is not None and self.best.direct and self.reaches(self.bounds)

    def reaches(self, least: list[float]) -> bool:
        """The best plan is worth no more than this, objective by objective."""
        assert self.best is not None
        return all(v <= b + CLOSE for v, b in zip(self.best.values, least, strict=True))

    @property
    def placed_well(self) -> bool:
        """No other places can be better: what misses a bound is waiting, which places do not show."""
        if self.best is None:
            return False
        for objective, value, bound in zip(self.objectives, self.best.values, self.bounds, strict=True):
            if objective is Objective.SUM_OF_ENDS:
                value = busy_ticks(self.arrays, self.best.target.place) * unit_of(objective, self.arrays)
            if value > bound + CLOSE and objective is not Objective.MAKESPAN:
                return False
        return True

    def raise_first_bound(self, bound: float) -> None:
        """A model proved more than was known; of later objectives it only knows what the first leaves."""
        self.bounds[0] = max(self.bounds[0], bound)

    def offer(self, target: Target, plan: Plan | None = None, *, sure: bool = False) -> bool:
        """Schedule a result (unless its plan is given), check it, and keep it when it is the best.

        `sure`: it is the proved optimum, and replaces what may be better only because a VM acts twice.
        """
        key = target.place.tobytes() + target.online.tobytes()
        if plan is None and key in self._seen:
            self.deadlock = self._seen[key]
            return False
        at_s = now_s()
        if plan is None:
            add_reasons(self.start, target)
            most = SCHEDULING if self.meter.work is None else min(SCHEDULING, self.meter.work)
            made = schedule(self.arrays, target, work=most, seed=self.meter.seed)
            self.stats["plan_s"] += now_s() - at_s
            self.deadlock = self._seen[key] = made if isinstance(made, Deadlock) else None
            if isinstance(made, Deadlock):
                return False
            plan = made
        values = tuple(
            float(value_of(o, self.arrays, plan, target.place, target.online)) for o in self.objectives
        )
        found = Incumbent(plan, target, values)
        if self.best is not None and not (sure or found.beats(self.best)):
            return False
        self._check(plan)
        self.best = found
        if not self.stats["first_plan_s"]:
            self.stats["first_plan_s"] = now_s() - self.began_s
        if self._on_progress is not None:
            self._on_progress("plan", self.solution(Status.FEASIBLE))
        return True

    def _check(self, plan: Plan) -> None:
        """A plan that the checker refuses is a defect of the solver: never shown, always told."""
        at_s = now_s()
        faults = [str(fault) for fault in (*check(self.problem, plan), *check_orders(self.problem, plan))]
        self.stats["check_s"] += now_s() - at_s
        if faults:
            raise OperationFailed(
                f"the solver made a plan that does not hold: {faults[0]}",
                hint="this is a defect of luc; please report it with the instance",
            )

    def solution(self, status: Status) -> Solution:
        assert self.best is not None
        values = self.best.values
        bounds = values if status is Status.OPTIMAL else tuple(map(float, self.bounds))
        return Solution(status, self.best.plan, values, bounds, stats=dict(self.stats))


def solve(problem: Problem, budget: Budget = PLAIN, on_progress: Progress | None = None) -> Solution:
    """The best plan for `problem` within `budget` (5 units of work when it says nothing).

    Statuses: optimal (over plans in which a VM takes at most one action), feasible (with the bound),
    infeasible (with a conflict core, or in words when no order of actions leads to any result), unknown.
    Raises `InputError` for names, amounts and rules that make no sense.
    """
    validate(problem)
    search = Search(problem, budget, on_progress)
    if not search.arrays.clashes and search.has_room:
        _repair(search)
        if search.proved:
            return search.solution(Status.OPTIMAL)
        if search.meter.work == 0.0:
            return search.solution(Status.FEASIBLE) if search.best is not None else UNPROVED
    # Imported late: CP-SAT costs more time and memory than most problems do.
    from lucos.placement.improve import prove_or_improve

    return prove_or_improve(search)


def _repair(search: Search) -> None:
    """A first result, or a second one of another style when the first has no schedule or misses the bound."""
    for style in Style:
        at_s = now_s()
        state = State(search.arrays)
        stuck = repair(state, search.costs.amounts, style, search.found)
        search.stats["repair_s"] += now_s() - at_s
        if not stuck and state.sound():
            search.offer(state.target())
            if not search.placed_well and shape(state, search.objectives) and state.sound():
                search.offer(state.target())
            if search.placed_well:
                break
