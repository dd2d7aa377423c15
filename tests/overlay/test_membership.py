"""What the membership actor promises its node and the others, beyond detection."""

from __future__ import annotations

import msgspec
import pytest
from clusters import Cluster

from lucos.actors import Actor, Datagram, Message, World, encode_frame
from lucos.errors import InputError
from lucos.overlay import (
    MEMBERSHIP,
    Change,
    Leave,
    MembersChanged,
    MembershipSettings,
    SetTags,
    Watch,
)
from lucos.overlay.messages import HasLeft


class Watcher(Actor):
    def __init__(self, world: World, heard: list[Message]) -> None:
        super().__init__(world)
        self._heard = heard
        world.send(MEMBERSHIP, Watch())

    def receive(self, message: Message, sender: str) -> None:
        self._heard.append(message)


def ready(count: int, **options: object) -> Cluster:
    cluster = Cluster(1, count, **options)  # type: ignore[arg-type]
    cluster.start()
    cluster.settle()
    return cluster


def watch(cluster: Cluster, node: str) -> list[MembersChanged]:
    heard: list[MembersChanged] = []
    cluster.simulation.nodes[node].spawn("watcher", lambda world: Watcher(world, heard))  # type: ignore[arg-type]
    cluster.pass_time(0.01)
    return heard


def tell(cluster: Cluster, node: str, message: Message) -> None:
    cluster.simulation.transmit(node, "agent", MEMBERSHIP, message)


def test_a_watcher_hears_all_at_once_then_each_change() -> None:
    cluster = ready(4)
    heard = watch(cluster, "n1")
    assert [(len(m.members), m.changed) for m in heard] == [(4, ())]
    cluster.simulation.nodes["n3"].crash()
    cluster.pass_time(4.0)
    changes = [change for message in heard[1:] for change in message.changed]
    assert changes == [Change("n3", "alive", "suspect"), Change("n3", "suspect", "dead")]


def test_watchers_outlive_a_restart_of_the_actor() -> None:
    cluster = ready(3)
    heard = watch(cluster, "n1")
    node = cluster.simulation.nodes["n1"]
    # No message a node can send makes the actor fail, so the failure is reported as the runtime would.
    node._failed(MEMBERSHIP, RuntimeError("a defect"))
    cluster.simulation.failures.clear()
    cluster.pass_time(3.0)
    assert cluster.agree()
    assert {m.node for m in heard[-1].members} == {"n1", "n2", "n3"}


def test_tags_reach_everybody_and_survive_a_restart() -> None:
    cluster = ready(5)
    tell(cluster, "n2", SetTags({"draining": "yes", "migration_address": "10.0.0.2"}))
    cluster.pass_time(1.0)
    assert cluster.membership("n5").members["n2"].tags["draining"] == "yes"
    cluster.simulation.nodes["n2"].crash()
    cluster.simulation.nodes["n2"].start()
    tell(cluster, "n2", SetTags({"migration_address": ""}))
    cluster.pass_time(3.0)
    assert cluster.membership("n5").members["n2"].tags == {"draining": "yes"}


def test_tags_too_big_are_refused_and_change_nothing() -> None:
    cluster = ready(2)
    tell(cluster, "n1", SetTags({"draining": "x" * 300}))
    cluster.simulation.run(cluster.simulation.now_s + 0.1)
    _, _, error = cluster.simulation.failures.pop()
    assert isinstance(error, InputError)
    assert "n1" in error.message
    cluster.pass_time(2.0)
    assert cluster.membership("n2").members["n1"].tags == {}


def test_a_peer_cannot_set_tags_or_make_a_node_leave() -> None:
    cluster = ready(2)
    for message in (SetTags({"draining": "yes"}), Leave(), Watch()):
        cluster.simulation.transmit("n2", MEMBERSHIP, f"n1/{MEMBERSHIP}", message)
    cluster.pass_time(2.0)
    assert cluster.membership("n1").members["n1"].tags == {}
    assert cluster.agree()


def test_leaving_is_told_confirmed_and_final() -> None:
    cluster = ready(4, loss=0.05)
    heard = watch(cluster, "n2")
    watcher = cluster.simulation.nodes["n2"].actor("watcher")
    assert watcher is not None
    watcher.world.send(MEMBERSHIP, Leave())
    cluster.pass_time(5.0)
    assert isinstance(heard[-1], HasLeft)
    assert [cluster.view(name)["n2"] for name in ("n1", "n3", "n4")] == ["left"] * 3
    assert cluster.happened("member.suspected", "n2") == []


def test_an_incarnation_only_grows() -> None:
    cluster = ready(3)
    seen = [cluster.membership("n1").members["n2"].incarnation]
    for _ in range(3):
        cluster.simulation.nodes["n2"].crash()
        cluster.pass_time(0.2)
        cluster.simulation.nodes["n2"].start()
        cluster.pass_time(2.0)
        seen.append(cluster.membership("n1").members["n2"].incarnation)
    assert seen == sorted(set(seen))


def test_a_node_that_lost_its_memory_comes_back() -> None:
    cluster = ready(4)
    node = cluster.simulation.nodes["n3"]
    tell(cluster, "n3", SetTags({"draining": "yes"}))
    node.crash()
    cluster.pass_time(5.0)
    assert cluster.view("n1")["n3"] == "dead"
    node.durable.clear()
    node.start()
    cluster.pass_time(5.0)
    assert cluster.agree()


def test_a_lone_survivor_finds_the_others_again() -> None:
    cluster = ready(5)
    others = [name for name in cluster.names if name != "n4"]
    cluster.simulation.network.cut(["n4"], others)
    cluster.pass_time(10.0)
    assert list(cluster.view("n4").values()).count("dead") == 4
    cluster.simulation.network.heal()
    cluster.pass_time(6.0)
    assert cluster.agree()


@pytest.mark.parametrize("oneway", [True, False])
def test_a_cut_between_two_of_many_hurts_nobody(oneway: bool) -> None:
    cluster = ready(6)
    cluster.simulation.network.cut(["n2"], ["n5"], oneway=oneway)
    cluster.pass_time(60.0)
    assert cluster.happened("member.dead") == []


def test_the_dead_are_forgotten_in_the_end() -> None:
    cluster = ready(3, settings=MembershipSettings(forget_s=10.0))
    cluster.simulation.nodes["n3"].crash()
    cluster.pass_time(20.0)
    assert cluster.view("n1") == {"n1": "alive", "n2": "alive"}


def test_a_newcomer_is_not_told_of_the_dead() -> None:
    cluster = Cluster(1, 4)
    nodes = cluster.simulation.nodes
    for name in ("n1", "n2", "n3"):
        nodes[name].start()
    cluster.pass_time(3.0)
    nodes["n3"].crash()
    cluster.pass_time(5.0)
    nodes["n4"].start()
    cluster.pass_time(5.0)
    assert cluster.view("n4") == {"n1": "alive", "n2": "alive", "n4": "alive"}
    assert cluster.happened("member.suspected", "n4") == []


def test_round_trips_are_measured() -> None:
    cluster = ready(4, sites=2, rtt_ms=50.0)
    cluster.pass_time(30.0)
    members = cluster.membership("n1").members
    assert members["n2"].rtt_s == pytest.approx(0.05, rel=0.15)
    assert members["n3"].rtt_s < 0.002


def test_datagrams_stay_within_their_bytes() -> None:
    cluster = Cluster(3, 32, sites=2, loss=0.05)
    sizes: list[int] = []

    def measure(_: float, to: str, sender: str, message: Message) -> None:
        if isinstance(message, Datagram):
            sizes.append(len(encode_frame(to, sender, message)))

    cluster.simulation.observers.append(measure)
    cluster.start()
    cluster.settle()
    assert 600 < max(sizes) <= MembershipSettings().datagram_bytes


def test_settings_that_cannot_work_are_refused() -> None:
    with pytest.raises(InputError, match=r"direct_s 0\.4"):
        MembershipSettings(direct_s=0.4)
    assert msgspec.structs.replace(MembershipSettings(), direct_s=0.1).direct_s == 0.1


def test_a_node_may_have_itself_as_its_only_seed() -> None:
    cluster = Cluster(1, 1)
    cluster.start()
    cluster.pass_time(5.0)
    assert cluster.view("n1") == {"n1": "alive"}
