"""CP-SAT models with intervals, and the best times of steps whose actions are known.

What a pool holds is kept by one cumulative: who gives holds it from 0 to his end, who takes from his start
to the horizon. Times are divided by what all durations have in common, which makes domains small.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from math import gcd

from lucos.placement.exact.cpsat import Effort, Model
from lucos.placement.planner.actions import Work
from lucos.placement.planner.listing import Times, entangled
from lucos.placement.planner.network import Wires
from lucos.placement.problem import Objective

Span = tuple[int, int]
"""A number of an interval and the amount it holds."""


Affine = tuple[int | None, int, int]
"""A variable, its factor, and what is added."""


class TimedModel(Model):
    """A model with intervals; `unit` ticks are one unit of its time."""

    def __init__(self, unit: int, horizon: int) -> None:
        super().__init__()
        self.unit, self.horizon = max(unit, 1), horizon // max(unit, 1)

    def time(self, earliest: int = 0) -> int:
        """A variable for an instant."""
        return self.integer(min(self.units_up(earliest), self.horizon), self.horizon)

    def units_up(self, ticks: int) -> int:
        return -(-ticks // self.unit)

    def units_down(self, ticks: int) -> int:
        return ticks // self.unit

    def until(self, end: int, given: Sequence[int] = ()) -> int:
        """A new interval from 0 to the instant `end`; like all, present when the literal given is true."""
        return self._interval((None, 0, 0), (end, 1, 0), (end, 1, 0), given)

    def since(self, start: int, given: Sequence[int] = ()) -> int:
        """A new interval from the instant `start` to the horizon."""
        return self._interval((start, 1, 0), (start, -1, self.horizon), (None, 0, self.horizon), given)

    def always(self, given: Sequence[int] = ()) -> int:
        """A new interval from 0 to the horizon."""
        return self._interval((None, 0, 0), (None, 0, self.horizon), (None, 0, self.horizon), given)

    def between(self, start: int, end: int, given: Sequence[int] = ()) -> int:
        """A new interval between two instants."""
        size = self.integer(0, self.horizon)
        self.linear((end, start, size), (1, -1, -1), low=0, high=0)
        return self._interval((start, 1, 0), (size, 1, 0), (end, 1, 0), given)

    def _interval(self, start: Affine, size: Affine, end: Affine, given: Sequence[int]) -> int:
        row = self._row(given)
        parts = (row.interval.start, row.interval.size, row.interval.end)
        for expression, (variable, factor, offset) in zip(parts, (start, size, end), strict=True):
            expression.offset = offset
            if variable is not None:
                expression.vars.append(variable)
                expression.coeffs.append(factor)
        return len(self.proto.constraints) - 1

    def cumulative(self, spans: Iterable[Span], room: int) -> None:
        """At no instant do the spans hold more than `room`."""
        cumulative = self._row(()).cumulative
        cumulative.capacity.offset = room
        for interval, amount in spans:
            cumulative.intervals.append(interval)
            cumulative.demands.add().offset = amount

    def after(self, later: int, earlier: int, given: Sequence[int] = ()) -> None:
        """The instant `later` is not before `earlier`."""
        self.linear((later, earlier), (1, -1), low=0, given=given)

    def at(self, instant: int, value: int, given: Sequence[int] = ()) -> None:
        self.linear((instant,), (1,), low=value, high=value, given=given)


def common_unit(ticks: Iterable[int]) -> int:
    """What all of these are multiples of: schedules in which nobody waits needlessly have such times."""
    unit = 0
    for value in ticks:
        unit = gcd(unit, value)
    return unit or 1


def best_times(
    work: Work, wires: Wires | None, objective: Objective, effort: Effort, known: Times | None = None
) -> Times | None:
    """The times of least sum of ends or makespan; None when there is no order, or none was found.

    Migrations over a network take all that their path can give.
    """
    chosen = entangled(work)
    ticks = [step.ticks for step in work.steps]
    model = TimedModel(common_unit(ticks), min(work.arrays.horizon, sum(ticks)))
    start, end = _variables(model, work, chosen)
    _bind_pools(model, work, wires, chosen, start, end)
    for members in work.together:
        for other in members[1:]:
            model.linear((start[members[0]], start[other]), (1, -1), low=0, high=0)
    ends = [end[i] for i in chosen if not work.steps[i].ongoing]
    if objective is Objective.MAKESPAN:
        last = model.time(max((step.ticks for step in work.steps), default=0))
        for instant in ends:
            model.after(last, instant)
        # Among plans that end at once, the one in which the others wait least.
        model.minimize([last, *ends], [len(ends) * model.horizon + 1, *[1] * len(ends)])
    else:
        model.minimize(ends, [1] * len(ends))
    if known is not None:
        hinted = [i for i in chosen if known.start[i] >= 0]
        model.hint(
            [v for i in hinted for v in (start[i], end[i])],
            [t // model.unit for i in hinted for t in (known.start[i], known.end[i])],
        )
    answer = model.solve(effort)
    if not answer.solved:
        return None
    times = Times([0] * len(work.steps), [], [0] * len(work.steps))
    for i in chosen:
        times.start[i] = answer.values[start[i]] * model.unit
    times.end = [at + step.ticks for at, step in zip(times.start, work.steps, strict=True)]
    if wires is not None:
        times.rate = [wires.top(step) for step in work.steps]
    return times


def _variables(model: TimedModel, work: Work, chosen: list[int]) -> tuple[dict[int, int], dict[int, int]]:
    start, end = dict[int, int](), dict[int, int]()
    for i in chosen:
        step = work.steps[i]
        start[i], end[i] = model.time(), model.time()
        length = model.units_up(step.ticks)
        model.linear((end[i], start[i]), (1, -1), low=length, high=length)
        if step.ongoing or step.latest is not None:
            model.at(start[i], 0)
        if step.deadline is not None:
            model.linear((end[i],), (1,), high=model.units_down(step.deadline))
    for i in chosen:
        for before in work.steps[i].after:
            model.after(start[i], end[before])
    return start, end


def _bind_pools(
    model: TimedModel,
    work: Work,
    wires: Wires | None,
    chosen: list[int],
    start: dict[int, int],
    end: dict[int, int],
) -> None:
    """One cumulative for each pool; where limits and links are concerned, of the actions themselves."""
    spans: dict[int, list[Span]] = {}
    room = dict[int, int]()

    def hold(pool: int, interval: int, amount: int) -> None:
        spans.setdefault(pool, []).append((interval, amount))
        room.setdefault(pool, work.free[pool])

    for i in chosen:
        step = work.steps[i]
        during: list[tuple[int, int]] = []
        if wires is not None and step.path:
            rate = wires.kept(step) if step.ongoing else wires.top(step)
            during = [(pool, rate) for pool in step.path]
        both = [entry for entry in step.takes if entry in step.gives]
        during += both
        if during:
            own = model.between(start[i], end[i])
            for pool, amount in during:
                hold(pool, own, amount)
        enters = [entry for entry in step.takes if entry not in both]
        if enters:
            stay = model.since(start[i])
            for pool, amount in enters:
                hold(pool, stay, amount)
        leaves = [entry for entry in step.gives if entry not in both]
        if leaves:
            held = model.until(end[i])
            for pool, amount in leaves:
                hold(pool, held, amount)
                room[pool] += amount
    for pool, held_by in spans.items():
        model.cumulative(held_by, room[pool])
