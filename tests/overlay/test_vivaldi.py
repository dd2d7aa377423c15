"""Coordinates foretell round trips; the order of the near; spirals that merge alike in any order."""

from __future__ import annotations

from random import Random
from statistics import median

from clusters import Cluster
from hypothesis import given
from hypothesis import strategies as st

from lucos.overlay import (
    Coordinate,
    Member,
    Spiral,
    Spot,
    Status,
    Vivaldi,
    distance_s,
    nearest_outside,
    spots,
)
from lucos.overlay.neighbours import SPIRAL_MAX

MATRIX_MS = {
    ("s1", "s2"): 10.0,
    ("s1", "s3"): 50.0,
    ("s1", "s4"): 80.0,
    ("s2", "s3"): 45.0,
    ("s2", "s4"): 75.0,
    ("s3", "s4"): 40.0,
}
SECONDS = st.floats(-0.1, 0.1)
COORDINATES = st.builds(Coordinate, SECONDS, SECONDS, st.floats(1e-5, 0.01), st.floats(0.0, 1.5))
SPOTS = st.lists(st.builds(Spot, st.integers(0, 90).map("n{}".format), COORDINATES), max_size=90)


def test_four_sites_are_known_within_15_percent_after_a_minute() -> None:
    cluster = Cluster(1, 24, sites=4, matrix_ms=MATRIX_MS)
    cluster.start()
    cluster.pass_time(60.0)
    errors = []
    for a in cluster.names:
        for b in cluster.names:
            if a < b:
                link = cluster.simulation.network.link(a, b)
                true_s = link.rtt_ms / 1000.0 * (1.0 + link.jitter / 2)
                mine, theirs = (cluster.membership(n).members[n].coordinate for n in (a, b))
                assert mine is not None
                assert theirs is not None
                errors.append(abs(distance_s(mine, theirs) - true_s) / true_s)
    assert median(errors) < 0.15


def test_one_late_answer_moves_nobody() -> None:
    vivaldi = Vivaldi(Random(1))
    other = Coordinate(0.02, 0.0, 1e-5, 0.1)
    for _ in range(50):
        vivaldi.measured("n2", 0.02, other)
    before = vivaldi.coordinate
    vivaldi.measured("n2", 2.0, other)
    assert distance_s(vivaldi.coordinate, other) - distance_s(before, other) < 0.001
    vivaldi.measured("n2", -1.0, other)
    vivaldi.measured("n2", 1e9, other)
    assert abs(distance_s(vivaldi.coordinate, other) - 0.02) < 0.002


def test_who_does_not_know_its_place_moves_nobody() -> None:
    vivaldi = Vivaldi(Random(1))
    vivaldi.measured("n2", 0.5, None)
    assert vivaldi.coordinate == Coordinate()


def member(node: str, x_s: float | None, status: Status = Status.ALIVE) -> Member:
    place = None if x_s is None else Coordinate(x_s)
    return Member(node, "10.0.0.1", 7410, 7411, status=status, coordinate=place)


def test_the_nearest_outside_come_first_and_the_unplaced_last() -> None:
    members = [
        member("far", 0.09),
        member("lost", None),
        member("near", 0.01),
        member("inside", 0.0),
        member("dead", 0.0, Status.DEAD),
    ]
    assert nearest_outside(Coordinate(), members, {"inside"}) == ["near", "far", "lost"]
    assert [spot.node for spot in spots(members)] == ["far", "near", "inside"]


@given(SPOTS, SPOTS, SPOTS)
def test_tables_merge_alike_in_any_order(a: list[Spot], b: list[Spot], c: list[Spot]) -> None:
    start = Spiral(Coordinate())
    one = start.merged(a).merged(b).merged(c)
    assert one == start.merged(c).merged([*b, *a])
    assert one == one.merged(one.spots)
    assert len(one.spots) <= SPIRAL_MAX


@given(SPOTS, st.sets(st.integers(0, 90).map("n{}".format)))
def test_a_spiral_goes_outwards(told: list[Spot], outside: set[str]) -> None:
    spiral = Spiral(Coordinate()).merged(told)
    away = [distance_s(spiral.origin, spot.coordinate) for spot in spiral.spots]
    assert away == sorted(away)
    following = spiral.next_outside(outside)
    free = [spot.node for spot in spiral.spots if spot.node not in outside]
    assert following == (free[0] if free else None)
    assert all(s.node not in outside for s in spiral.merged([], outside).spots)
