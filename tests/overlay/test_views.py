"""Bounded views: more nodes than a view holds, and still a right ring, lookups and detection."""

from __future__ import annotations

from random import Random

import pytest
from clusters import Cluster
from questions import ask
from test_membership import watch

from lucos.overlay import (
    Attend,
    Change,
    LookedUp,
    Lookup,
    Member,
    MembershipSettings,
    Remove,
    Removed,
    ring_position,
)
from lucos.overlay.ring import Ring

SMALL = MembershipSettings(view_max=40)


def running(cluster: Cluster) -> list[str]:
    return [name for name in cluster.names if cluster.simulation.nodes[name].up]


def present(cluster: Cluster, node: str) -> list[str]:
    return [n for n, m in cluster.membership(node).members.items() if m.present and n != node]


def check_ring(cluster: Cluster) -> None:
    """Every running node has exactly the running nodes that follow it as its successors."""
    ring = Ring(running(cluster))
    for node in running(cluster):
        true = ring.after(ring_position(node) + 1, SMALL.successors)
        assert cluster.membership(node).successors() == true, f"{node} at {cluster.simulation.now_s}"


def look_up(cluster: Cluster, node: str, key: str) -> LookedUp:
    answer = ask(cluster, node, lambda call_id: Lookup(call_id, key))
    assert isinstance(answer, LookedUp)
    return answer


@pytest.fixture(scope="module")
def crowd() -> Cluster:
    """300 nodes that start at once; each test leaves them settled, though some may have died."""
    cluster = Cluster(5, 300, sites=3, settings=SMALL)
    cluster.start()
    cluster.pass_time(15.0)
    return cluster


def test_the_view_is_bounded_and_the_ring_right(crowd: Cluster) -> None:
    check_ring(crowd)
    views = [len(present(crowd, name)) for name in crowd.names]
    assert max(views) <= SMALL.view_max
    assert min(views) > SMALL.view_max // 2
    # Who is known is spread over all: nobody is known to everybody, nor to nobody.
    known = [sum(name in crowd.membership(other).members for other in crowd.names) for name in crowd.names]
    assert min(known) >= 2 * SMALL.successors
    assert max(known) < len(crowd.names) // 2


def test_traffic_does_not_grow_with_the_number_of_nodes(crowd: Cluster) -> None:
    def rate(cluster: Cluster) -> float:
        before = cluster.simulation.messages_sent
        cluster.pass_time(4.0)
        return (cluster.simulation.messages_sent - before) / 4.0 / len(cluster.names)

    few = Cluster(5, 60, sites=3, settings=SMALL)
    few.start()
    few.pass_time(15.0)
    assert rate(crowd) < 1.15 * rate(few)


def test_a_lookup_finds_the_owner_in_few_hops(crowd: Cluster) -> None:
    ring, random = Ring(running(crowd)), Random("keys")
    hops = []
    for number in range(60):
        key = f"key-{number}"
        answer = look_up(crowd, random.choice(running(crowd)), key)
        assert [h.node for h in answer.holders[:3]] == ring.after(ring_position(key), 3)
        hops.append(answer.hops)
    assert max(hops) <= 10
    assert sum(hops) / len(hops) < 5


def test_a_name_is_found_with_its_address(crowd: Cluster) -> None:
    stranger = next(n for n in running(crowd) if n not in crowd.membership("n1").members)
    owner = look_up(crowd, "n1", stranger).holders[0]
    assert (owner.node, owner.address, owner.membership_port) == (stranger, stranger, 7411)


def test_the_attended_are_held_and_their_death_is_told_within_3_s(crowd: Cluster) -> None:
    node = "n7"
    heard = watch(crowd, node)
    stranger = next(n for n in running(crowd) if n not in crowd.membership(node).members)
    crowd.simulation.transmit(node, "watcher", "membership", Attend((stranger,)))
    crowd.pass_time(2.0)
    assert stranger in crowd.membership(node).members
    crowd.simulation.nodes[stranger].crash()
    killed_s = crowd.simulation.now_s
    crowd.pass_time(3.0)
    assert Change(stranger, "suspect", "dead") in [c for m in heard for c in m.changed]
    assert killed_s + 2.0 < crowd.happened("member.dead", stranger)[0][0]
    crowd.simulation.transmit(node, "watcher", "membership", Attend(()))


def test_attending_to_who_is_gone_tells_so(crowd: Cluster) -> None:
    heard = watch(crowd, "n9")
    crowd.simulation.transmit("n9", "watcher", "membership", Attend(("nobody",)))
    crowd.pass_time(3.0)
    assert Change("nobody", "", "dead") in [c for m in heard for c in m.changed]


def test_crashes_and_joins_are_repaired(crowd: Cluster) -> None:
    random = Random("churn")
    nodes = crowd.simulation.nodes
    killed = random.sample(running(crowd), 20)
    for name in killed:
        nodes[name].crash()
    crowd.pass_time(3.1)
    alive = running(crowd)
    ring = Ring(alive)
    for node in alive:
        assert crowd.membership(node).successors()[:1] == ring.after(ring_position(node) + 1, 1)
    crowd.pass_time(7.0)
    check_ring(crowd)
    for name in killed[:10]:
        nodes[name].start()
    crowd.pass_time(12.0)
    check_ring(crowd)
    assert set(alive) < set(running(crowd))
    ring = Ring(running(crowd))
    for number in range(40):
        answer = look_up(crowd, random.choice(running(crowd)), f"churned-{number}")
        assert [h.node for h in answer.holders[:1]] == ring.after(ring_position(f"churned-{number}"), 1)


def test_a_newcomer_joins_through_any_one_peer() -> None:
    # Of its three seeds only the last one lives.
    cluster = Cluster(3, 90, settings=SMALL, seeds=("n1", "n2", "n3"))
    nodes = cluster.simulation.nodes
    for name in cluster.names[:-1]:
        nodes[name].start()
    cluster.pass_time(10.0)
    for name in ("n1", "n2"):
        nodes[name].crash()
    cluster.pass_time(8.0)
    nodes["n90"].start()
    cluster.pass_time(6.0)
    check_ring(cluster)
    answer = look_up(cluster, "n90", "n45")
    assert answer.holders[0].node == "n45"


def test_two_halves_become_one_ring_again() -> None:
    cluster = Cluster(4, 90, settings=SMALL)
    cluster.start()
    cluster.pass_time(10.0)
    half = cluster.names[::2]
    cluster.simulation.network.cut(half, cluster.names[1::2])
    cluster.pass_time(12.0)
    for names in (half, cluster.names[1::2]):
        ring = Ring(names)
        for node in names:
            assert cluster.membership(node).successors()[:1] == ring.after(ring_position(node) + 1, 1)
    cluster.simulation.network.heal()
    cluster.pass_time(40.0)
    check_ring(cluster)


def test_a_dead_node_is_removed_for_good() -> None:
    cluster = Cluster(1, 6)
    cluster.start()
    cluster.settle()
    refused = ask(cluster, "n1", lambda call_id: Remove(call_id, "n4"))
    assert isinstance(refused, Removed)
    assert not refused.ok
    assert "n4 answers" in refused.error
    cluster.simulation.nodes["n4"].crash()
    removed = ask(cluster, "n1", lambda call_id: Remove(call_id, "n4"))
    assert isinstance(removed, Removed)
    assert removed.ok, removed.error
    cluster.pass_time(1.0)
    assert {cluster.view(name)["n4"] for name in running(cluster)} == {"left"}
    unknown = ask(cluster, "n1", lambda call_id: Remove(call_id, "n77"))
    assert isinstance(unknown, Removed)
    assert unknown.error == "no member is called n77"
    cluster.simulation.nodes["n4"].start()
    cluster.settle()


def test_one_who_never_heard_of_the_dead_has_it_removed(crowd: Cluster) -> None:
    dead = running(crowd)[-1]
    crowd.simulation.nodes[dead].crash()
    crowd.pass_time(4.0)
    asker = next(n for n in running(crowd) if dead not in crowd.membership(n).members)
    removed = ask(crowd, asker, lambda call_id: Remove(call_id, dead))
    assert isinstance(removed, Removed)
    assert removed.ok, removed.error
    owner = Ring(running(crowd)).after(ring_position(dead), 1)[0]
    assert crowd.view(owner)[dead] == "left"


def test_watchers_hear_that_coordinates_moved() -> None:
    cluster = Cluster(2, 5, sites=2, rtt_ms=50.0)
    cluster.start()
    cluster.settle()
    heard = watch(cluster, "n1")
    cluster.pass_time(60.0)
    told = [m for m in heard[1:] if not m.changed]
    assert 1 <= len(told) <= 8
    places: dict[str, Member] = {m.node: m for m in told[-1].members}
    assert places["n2"].coordinate is not None
