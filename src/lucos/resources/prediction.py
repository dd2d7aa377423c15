"""Forecasts of a load from its past, each with the margin that its predictor's own mistakes ask for. Pure.

A predictor is fed one value at a time, at instants as uneven as they come. Its margin is `safety` times the
spread of its recent errors, estimated by their median absolute deviation (here: from no error at all), so
that a single peak does not widen it. Beloglazov and Buyya (CCPE 2012) use that measure on loads themselves.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from math import inf
from typing import Annotated, Literal, NamedTuple, Protocol

import msgspec

# Median absolute deviation to standard deviation, where errors are normal.
_SPREAD = 1.4826


class Forecast(NamedTuple):
    """`value` is never negative. `margin` rests on that many past `errors`; none means unknown."""

    value: float
    margin: float
    errors: int


class Predictor(Protocol):
    """What all predictors do; before the first `update` the forecast is 0."""

    def update(self, time_s: float, value: float) -> None:
        """Take the value seen at `time_s`; one that is not later than the one before is ignored."""
        ...

    def predict(self, ahead_s: float) -> Forecast:
        """The forecast for `ahead_s` after the last value."""
        ...


class _Judged:
    """A predictor that remembers how wrong it was. `window` is the number of errors it remembers."""

    def __init__(self, safety: float = 3.0, window: int = 24) -> None:
        self._safety = safety
        self._errors: deque[float] = deque(maxlen=window)
        self._time_s = -inf

    def update(self, time_s: float, value: float) -> None:
        elapsed_s = time_s - self._time_s
        if elapsed_s <= 0:
            return
        if elapsed_s < inf:
            self._errors.append(abs(value - self._estimate(elapsed_s)))
        self._learn(elapsed_s, value)
        self._time_s = time_s

    def predict(self, ahead_s: float) -> Forecast:
        errors = sorted(self._errors)
        count = len(errors)
        median = (errors[(count - 1) // 2] + errors[count // 2]) / 2 if count else 0.0
        return Forecast(max(self._estimate(ahead_s), 0.0), self._safety * _SPREAD * median, count)

    def _learn(self, elapsed_s: float, value: float) -> None:
        """Take a value `elapsed_s` after the last one (infinite for the first)."""
        raise NotImplementedError

    def _estimate(self, ahead_s: float) -> float:
        raise NotImplementedError


class LastValue(_Judged):
    """What was seen last goes on."""

    _value = 0.0

    def _learn(self, _elapsed_s: float, value: float) -> None:
        self._value = value

    def _estimate(self, _ahead_s: float) -> float:
        return self._value


class MovingAverage(_Judged):
    """The mean of the values of the last `span_s`, and of the latest one at least."""

    def __init__(self, span_s: float, safety: float = 3.0, window: int = 24) -> None:
        super().__init__(safety, window)
        self._span_s = span_s
        self._values: deque[tuple[float, float]] = deque()
        self._now_s = 0.0
        self._sum = 0.0

    def _learn(self, elapsed_s: float, value: float) -> None:
        if elapsed_s < inf:
            self._now_s += elapsed_s
        self._values.append((self._now_s, value))
        self._sum += value
        while self._values[0][0] < self._now_s - self._span_s:
            self._sum -= self._values.popleft()[1]

    def _estimate(self, _ahead_s: float) -> float:
        return self._sum / len(self._values) if self._values else 0.0


class Smoothing(_Judged):
    """Exponential smoothing with trend (Holt), for uneven sampling.

    A value weighs half as much after `half_life_s`; `trend_half_life_s` is the same for the slope, and
    infinity leaves the slope out. As long as there is little past, all values weigh alike.
    """

    def __init__(
        self, half_life_s: float, trend_half_life_s: float = inf, safety: float = 3.0, window: int = 24
    ) -> None:
        super().__init__(safety, window)
        self._half_life_s, self._trend_half_life_s = half_life_s, trend_half_life_s
        self._level = self._slope_per_s = 0.0
        self._count = 0

    def _learn(self, elapsed_s: float, value: float) -> None:
        self._count += 1
        if self._count == 1:
            self._level = value
            return
        expected = self._estimate(elapsed_s)
        weight = max(1 - 0.5 ** (elapsed_s / self._half_life_s), 1 / self._count)
        level = expected + weight * (value - expected)
        trend_weight = 1 - 0.5 ** (elapsed_s / self._trend_half_life_s)
        self._slope_per_s += trend_weight * ((level - self._level) / elapsed_s - self._slope_per_s)
        self._level = level

    def _estimate(self, ahead_s: float) -> float:
        return self._level + self._slope_per_s * ahead_s


Kind = Literal["last", "average", "smoothing"]


class PredictionSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """[prediction]: `span_s` belongs to average, the half-lives to smoothing.

    A `trend_half_life_s` of 0 leaves the trend out. The margin is `safety` standard deviations, estimated
    from that many last `errors`.
    """

    kind: Kind = "smoothing"
    span_s: Annotated[float, msgspec.Meta(gt=0)] = 3600.0
    half_life_s: Annotated[float, msgspec.Meta(gt=0)] = 2400.0
    trend_half_life_s: Annotated[float, msgspec.Meta(ge=0)] = 0.0
    safety: Annotated[float, msgspec.Meta(ge=0)] = 3.0
    errors: Annotated[int, msgspec.Meta(ge=1, le=1000)] = 24


_MAKERS: dict[Kind, Callable[[PredictionSettings], Predictor]] = {
    "last": lambda s: LastValue(s.safety, s.errors),
    "average": lambda s: MovingAverage(s.span_s, s.safety, s.errors),
    "smoothing": lambda s: Smoothing(s.half_life_s, s.trend_half_life_s or inf, s.safety, s.errors),
}


def make_predictor(settings: PredictionSettings) -> Predictor:
    """A new predictor as the settings say."""
    return _MAKERS[settings.kind](settings)
