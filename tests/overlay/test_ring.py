"""The ring of names."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from lucos.overlay import ring_position, successor_order
from lucos.overlay.ring import Ring

NAMES = st.lists(st.text("abc123-", min_size=1, max_size=6), unique=True, min_size=1, max_size=20)


def test_positions_are_frozen() -> None:
    # Nodes of different versions must agree, so this value can never change.
    assert ring_position("h1") == 0xC3FB698E1F35ABB1


@given(NAMES)
def test_going_round_meets_everybody_once(names: list[str]) -> None:
    for start in names:
        order = successor_order(names, start)
        assert sorted([*order, start]) == sorted(names)
        positions = [ring_position(name) for name in (start, *order)]
        wraps = sum(a > b for a, b in zip(positions, [*positions[1:], positions[0]], strict=True))
        assert wraps == (len(names) > 1)


@given(NAMES)
def test_all_nodes_see_one_ring(names: list[str]) -> None:
    after = {name: successor_order(names, name)[:1] for name in names}
    walked, at = [names[0]], names[0]
    while after[at] and after[at][0] != names[0]:
        at = after[at][0]
        walked.append(at)
    assert sorted(walked) == sorted(names)


def test_a_start_that_is_not_on_the_ring() -> None:
    names = ["h1", "h2", "h3"]
    assert sorted(successor_order(names, "elsewhere")) == names
    assert successor_order(["h1", "h1"], "h1") == []


@given(NAMES, st.lists(st.text("abc", min_size=1, max_size=3), max_size=20), st.integers(0, 2**64 - 1))
def test_a_ring_that_changed_is_as_if_made_at_once(names: list[str], changed: list[str], key: int) -> None:
    ring, truth = Ring(names), set(names)
    for name in changed:
        assert (ring.discard if name in truth else ring.add)(name)
        truth ^= {name}
    fresh = Ring(truth)
    assert ring.names == fresh.names
    after = ring.after(key, len(truth))
    assert sorted(after) == sorted(truth)
    assert ring.before(key, len(truth)) == after[::-1]
    assert after == sorted(truth, key=lambda name: ((ring_position(name) - key) % 2**64, name))
