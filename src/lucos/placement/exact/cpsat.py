"""A thin layer over CP-SAT's model: rows of arrays go straight into it.

The usual `CpModel` builds an object per term and imports pandas: 8 times slower here to build and 0.35 s
to import. Variables are numbers in order of their making; the literal "not b" is `-b - 1`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec
from ortools.sat.python import cp_model_helper as cp

from lucos.placement.problem import Status

_INFINITY = 2**62
_STATUS = {
    cp.CpSolverStatus.OPTIMAL: Status.OPTIMAL,
    cp.CpSolverStatus.FEASIBLE: Status.FEASIBLE,
    cp.CpSolverStatus.INFEASIBLE: Status.INFEASIBLE,
    cp.CpSolverStatus.UNKNOWN: Status.UNKNOWN,
}
_BOOLEAN = cp.IntegerVariableProto()
_BOOLEAN.domain.extend((0, 1))

Row = Sequence[int]


class Effort(msgspec.Struct, frozen=True):
    """What one call may spend: seconds, units of deterministic work; and how it searches."""

    time_s: float | None = None
    work: float | None = None
    seed: int = 0
    workers: int = 1

    def without(self, spent: Answer) -> Effort:
        """What is left after a call."""
        time_s = None if self.time_s is None else max(self.time_s - spent.time_s, 0.0)
        work = None if self.work is None else max(self.work - spent.work, 0.0)
        return Effort(time_s, work, self.seed, self.workers)


class Answer(msgspec.Struct, frozen=True):
    """`values` by variable when there is a solution; no solution is better than `bound`."""

    status: Status
    values: Sequence[int] = ()
    objective: int = 0
    bound: int = 0
    work: float = 0.0
    time_s: float = 0.0

    @property
    def solved(self) -> bool:
        return self.status in (Status.OPTIMAL, Status.FEASIBLE)


def negated(literal: int) -> int:
    return -literal - 1


class Model:
    """Variables and rows. `given` are literals: the row binds when all of them are true."""

    def __init__(self) -> None:
        self.proto = cp.CpModelProto()
        self.size = 0

    def booleans(self, count: int) -> range:
        """New 0-1 variables."""
        first = self.size
        self.proto.variables.extend([_BOOLEAN] * count)
        self.size += count
        return range(first, self.size)

    def boolean(self) -> int:
        return self.booleans(1)[0]

    def integer(self, low: int, high: int) -> int:
        self.proto.variables.add().domain.extend((low, high))
        self.size += 1
        return self.size - 1

    def _row(self, given: Row) -> Any:
        row = self.proto.constraints.add()
        if given:
            row.enforcement_literal.extend(given)
        return row

    def at_least_one(self, literals: Row, given: Row = ()) -> None:
        self._row(given).bool_or.literals.extend(literals)

    def all_of(self, literals: Row, given: Row) -> None:
        self._row(given).bool_and.literals.extend(literals)

    def exactly_one(self, literals: Row) -> None:
        self._row(()).exactly_one.literals.extend(literals)

    def at_most_one(self, literals: Row, given: Row = ()) -> None:
        """Each literal once."""
        if not given:
            self._row(()).at_most_one.literals.extend(literals)
            return
        negatives = sum(literal < 0 for literal in literals)
        variables = [max(literal, negated(literal)) for literal in literals]
        signs = [1 if literal >= 0 else -1 for literal in literals]
        self.linear(variables, signs, high=1 - negatives, given=given)

    def linear(
        self, variables: Row, factors: Row, *, low: int = -_INFINITY, high: int = _INFINITY, given: Row = ()
    ) -> None:
        """low <= sum of factors x variables <= high."""
        linear = self._row(given).linear
        linear.vars.extend(variables)
        linear.coeffs.extend(factors)
        linear.domain.extend((low, high))

    def lookup(self, index: int, table: Row, value: int) -> None:
        """value == table[index], for variables `index` and `value`."""
        element = self._row(()).element
        for expression, variable in ((element.linear_index, index), (element.linear_target, value)):
            expression.vars.append(variable)
            expression.coeffs.append(1)
        for entry in table:
            element.exprs.add().offset = entry

    def hint(self, variables: Row, values: Row) -> None:
        """Replaces the hint."""
        self.proto.clear_solution_hint()
        self.proto.solution_hint.vars.extend(variables)
        self.proto.solution_hint.values.extend(values)

    def minimize(self, variables: Row, factors: Row) -> None:
        """Replaces the objective; no variables: any solution will do."""
        self.proto.clear_objective()
        if variables:
            self.proto.objective.vars.extend(variables)
            self.proto.objective.coeffs.extend(factors)

    def solve(self, effort: Effort, **options: Any) -> Answer:
        """Solve it; `options` are CP-SAT's parameters by name. The same answer each time without `time_s`."""
        parameters = cp.SatParameters()
        parameters.num_workers = effort.workers
        parameters.interleave_search = effort.workers > 1
        parameters.random_seed = effort.seed
        if effort.time_s is not None:
            parameters.max_time_in_seconds = effort.time_s
        if effort.work is not None:
            parameters.max_deterministic_time = effort.work
        for name, value in options.items():
            setattr(parameters, name, value)
        solver = cp.SolveWrapper()
        solver.set_parameters(parameters)
        response = solver.solve(self.proto)  # type: ignore[no-untyped-call]
        status = _STATUS[response.status]
        return Answer(
            status,
            list(response.solution),
            round(response.objective_value) if status in (Status.OPTIMAL, Status.FEASIBLE) else 0,
            self._trivial_bound() if status is Status.UNKNOWN else int(response.inner_objective_lower_bound),
            response.deterministic_time,
            response.wall_time,
        )

    def _trivial_bound(self) -> int:
        """CP-SAT says 0 when it had no time to find any bound, whatever the signs."""
        objective, total = self.proto.objective, 0
        for variable, factor in zip(objective.vars, objective.coeffs, strict=True):
            domain = self.proto.variables[variable].domain
            total += factor * (domain[0] if factor > 0 else domain[len(domain) - 1])
        return total
