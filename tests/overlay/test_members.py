"""Merging what nodes say of each other: any order, any repetition, the same result."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from lucos.overlay import Member, MembershipSettings, Status, merge
from lucos.overlay.ring import Ring, ring_position
from lucos.overlay.table import MemberTable

MEMBERS = st.builds(
    Member,
    node=st.just("n"),
    address=st.sampled_from(["10.0.0.1", "10.0.0.2"]),
    transport_port=st.just(7410),
    membership_port=st.just(7411),
    site=st.sampled_from(["", "s1"]),
    incarnation=st.integers(0, 3),
    status=st.sampled_from(Status),
    tags=st.dictionaries(st.sampled_from("ab"), st.sampled_from("xy")),
)


@given(MEMBERS, MEMBERS)
def test_merge_commutes(a: Member, b: Member) -> None:
    assert merge(a, b) == merge(b, a)


@given(MEMBERS, MEMBERS, MEMBERS)
def test_merge_associates(a: Member, b: Member, c: Member) -> None:
    assert merge(merge(a, b), c) == merge(a, merge(b, c))


@given(MEMBERS, MEMBERS)
def test_merge_is_idempotent(a: Member, b: Member) -> None:
    assert merge(a, a) == a
    assert merge(merge(a, b), b) == merge(a, b)


@given(MEMBERS, MEMBERS)
def test_the_higher_incarnation_wins(a: Member, b: Member) -> None:
    if a.incarnation > b.incarnation:
        assert merge(a, b) == a


@given(st.lists(MEMBERS, min_size=1, max_size=6), st.randoms())
def test_tables_that_heard_the_same_agree(records: list[Member], random: object) -> None:
    # The departed are not news to who never knew them, so both start from one known record.
    me = Member("me", "10.0.0.9", 7410, 7411)
    first = Member("n", "10.0.0.1", 7410, 7411, incarnation=-1)
    shuffled = records.copy()
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    tables = []
    for order in (records, shuffled):
        table = MemberTable(me, MembershipSettings())
        for record in (first, *order):
            table.put(record, 0.0)
        tables.append(table)
    assert tables[0].members == tables[1].members


def test_the_departed_are_forgotten_in_time_and_beyond_a_number() -> None:
    table = MemberTable(Member("me", "10.0.0.9", 7410, 7411), MembershipSettings())
    for i in range(5):
        for status in (Status.ALIVE, Status.DEAD):
            table.put(Member(f"n{i}", "10.0.0.1", 7410, 7411, status=status), now_s=float(i))
    table.forget(before_s=1.0, keep_max=3)
    assert list(table.members) == ["me", "n2", "n3", "n4"]
    assert table.put(Member("n0", "10.0.0.1", 7410, 7411, status=Status.DEAD), 9.0) is None
    assert [c.node for c in table.take_changes() if c.after == ""] == ["n0", "n1"]


@given(st.lists(st.integers(0, 400), min_size=1, max_size=300), st.randoms())
def test_a_view_keeps_its_bound_and_its_neighbours(numbers: list[int], random: object) -> None:
    settings = MembershipSettings(view_max=40)
    table = MemberTable(Member("me", "10.0.0.9", 7410, 7411), settings)
    for number in numbers:
        table.put(Member(f"n{number}", "10.0.0.1", 7410, 7411), 0.0)
        table.trim(random)  # type: ignore[arg-type]
        assert len(table.ring) <= settings.view_max
    everybody = Ring({f"n{number}" for number in numbers})
    where = ring_position("me")
    assert table.successors() == everybody.after(where, settings.successors)
    assert table.predecessors() == everybody.before(where, settings.successors)
    assert set(table.ring.names) == {m.node for m in table.members.values()} - {"me"}
