"""Predictors: what they forecast, and how sure they say they are."""

from __future__ import annotations

from random import Random

import pytest

from lucos.resources.prediction import (
    Forecast,
    LastValue,
    MovingAverage,
    PredictionSettings,
    Predictor,
    Smoothing,
    make_predictor,
)

SIGMA_OF_MAD = 1.4826


def fed(predictor: Predictor, values: list[float], step_s: float = 10.0) -> Predictor:
    for n, value in enumerate(values):
        predictor.update(n * step_s, value)
    return predictor


@pytest.mark.parametrize("make", [LastValue, lambda: MovingAverage(60), lambda: Smoothing(60)])
def test_before_and_after_the_first_value(make) -> None:
    predictor = make()
    assert predictor.predict(10) == Forecast(0, 0, 0)
    predictor.update(5, 42)
    assert predictor.predict(10) == Forecast(42, 0, 0)


def test_last_value_goes_on() -> None:
    # Errors 20, 10, 40: the median is 20.
    forecast = fed(LastValue(safety=2), [10, 30, 20, 60]).predict(100)
    assert forecast == (60, pytest.approx(2 * SIGMA_OF_MAD * 20), 3)


def test_even_number_of_errors_takes_the_middle() -> None:
    assert fed(LastValue(safety=1), [0, 10, 40]).predict(1).margin == pytest.approx(SIGMA_OF_MAD * 20)


def test_average_forgets_what_is_older_than_its_span() -> None:
    predictor = MovingAverage(span_s=30)
    for time_s, value in ((0, 1000), (10, 10), (35, 20), (40, 60)):
        predictor.update(time_s, value)
    assert predictor.predict(5).value == 30
    predictor.update(500, 7)
    assert predictor.predict(5).value == 7


def test_smoothing_halves_the_distance_in_a_half_life() -> None:
    predictor = fed(Smoothing(half_life_s=100), [0.0] * 1000)
    predictor.update(9990 + 100, 80)
    assert predictor.predict(0).value == pytest.approx(40)


def test_smoothing_takes_early_values_alike() -> None:
    assert fed(Smoothing(half_life_s=1e9), [10, 20, 60]).predict(0).value == pytest.approx(30)


def test_uneven_sampling_changes_nothing_for_a_steady_load() -> None:
    predictor, random, time_s = Smoothing(60, 120), Random(1), 0.0
    for _ in range(50):
        time_s += random.uniform(0.1, 100)
        predictor.update(time_s, 33)
    assert predictor.predict(1000) == (pytest.approx(33), pytest.approx(0, abs=1e-9), 24)


def test_trend_follows_a_ramp_sampled_unevenly() -> None:
    predictor, flat, random, time_s = Smoothing(60, 60), Smoothing(60), Random(2), 0.0
    for _ in range(300):
        time_s += random.uniform(1, 20)
        predictor.update(time_s, 5 + 0.25 * time_s)
        flat.update(time_s, 5 + 0.25 * time_s)
    truth = 5 + 0.25 * (time_s + 40)
    assert predictor.predict(40).value == pytest.approx(truth, rel=1e-3)
    assert flat.predict(40).value < truth - 20


def test_forecasts_are_never_negative() -> None:
    predictor = fed(Smoothing(10, 10), [100, 80, 60, 40, 20, 0])
    assert predictor.predict(100).value == 0


def test_a_peak_does_not_widen_the_margin_but_wilder_noise_does() -> None:
    calm, wild = [50.0, 52.0] * 10, [50.0, 70.0] * 10
    margin = fed(Smoothing(300), calm).predict(10).margin
    assert fed(Smoothing(300), [*calm[:-1], 100.0]).predict(10).margin <= 1.5 * margin
    assert fed(Smoothing(300), wild).predict(10).margin > 5 * margin


def test_old_errors_are_forgotten() -> None:
    predictor = fed(LastValue(window=3), [0, 90, 0, 90, 50, 50, 50, 50])
    assert predictor.predict(1) == (50, 0, 3)


def test_what_comes_late_is_ignored() -> None:
    predictor = fed(LastValue(), [10, 20])
    predictor.update(10, 99)
    predictor.update(3, 99)
    assert predictor.predict(1).value == 20


@pytest.mark.parametrize("kind", ["average", "smoothing"])
def test_the_margin_covers_normal_errors_as_it_says(kind) -> None:
    """Three standard deviations: 0.3 % outside, if they were known and not estimated from 24 errors."""
    predictor, random = make_predictor(PredictionSettings(kind=kind, safety=3)), Random(3)
    outside = 0
    for n in range(4000):
        value = random.gauss(50, 5)
        forecast = predictor.predict(300)
        outside += n > 30 and abs(value - forecast.value) > forecast.margin
        predictor.update(n * 300, value)
    assert outside / 4000 < 0.03


def test_settings_choose_the_predictor() -> None:
    assert isinstance(make_predictor(PredictionSettings(kind="last")), LastValue)
    ramp = [float(n) for n in range(200)]
    with_trend = PredictionSettings(half_life_s=60, trend_half_life_s=60)
    without = PredictionSettings(half_life_s=60)
    assert fed(make_predictor(with_trend), ramp).predict(100).value == pytest.approx(209, rel=0.01)
    assert fed(make_predictor(without), ramp).predict(100).value < 199
