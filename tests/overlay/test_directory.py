"""The directory: what is written anywhere is read anywhere, and outlives crashes one after the other."""

from __future__ import annotations

from random import Random

import pytest
from clusters import Cluster
from questions import ask

from lucos.overlay import DIRECTORY, Directory, DirectorySettings, MembershipSettings, ring_position
from lucos.overlay.directory import DirectoryGet, DirectoryPut, DirectoryReply
from lucos.overlay.ring import Ring


class Keepers(Cluster):
    """A cluster whose nodes have a directory each."""

    directory = DirectorySettings(repair_s=5.0)

    def _boot(self, node):  # type: ignore[no-untyped-def]
        super()._boot(node)
        node.spawn(DIRECTORY, lambda world: Directory(world, self.directory))

    def keeper(self, name: str) -> Directory:
        actor = self.simulation.nodes[name].actor(DIRECTORY)
        assert isinstance(actor, Directory)
        return actor

    def holders(self, key: str) -> list[str]:
        return [n for n in self.names if self.simulation.nodes[n].up and key in self.keeper(n).held]


def keepers(count: int, **options: object) -> Keepers:
    cluster = Keepers(2, count, **options)  # type: ignore[arg-type]
    cluster.start()
    cluster.pass_time(8.0)
    return cluster


def get(cluster: Cluster, node: str, key: str) -> DirectoryReply:
    answer = ask(cluster, node, lambda call_id: DirectoryGet(call_id, key), DIRECTORY)
    assert isinstance(answer, DirectoryReply)
    return answer


def put(
    cluster: Cluster, node: str, key: str, value: bytes | None, expected: int | None = None
) -> DirectoryReply:
    answer = ask(cluster, node, lambda call_id: DirectoryPut(call_id, key, value, expected), DIRECTORY)
    assert isinstance(answer, DirectoryReply)
    return answer


def test_what_one_writes_another_reads_and_deletes() -> None:
    cluster = keepers(6)
    written = put(cluster, "n1", "k", b"v")
    assert (written.ok, written.version) == (True, 1)
    read = get(cluster, "n5", "k")
    assert (read.ok, read.value, read.version) == (True, b"v", 1)
    assert cluster.holders("k") == sorted(Ring(cluster.names).after(ring_position("k"), 3))
    assert put(cluster, "n2", "k", None).ok
    gone = get(cluster, "n6", "k")
    assert (gone.ok, gone.value, gone.version) == (True, None, 2)


def test_a_write_that_expects_another_version_is_refused() -> None:
    cluster = keepers(4)
    assert put(cluster, "n1", "k", b"1", expected=0).ok
    refused = put(cluster, "n2", "k", b"2", expected=0)
    assert not refused.ok
    assert "k is at version 1, not 0" in refused.error
    assert put(cluster, "n2", "k", b"2", expected=1).version == 2


def test_keys_survive_crashes_of_holders_one_after_the_other() -> None:
    cluster = keepers(60, settings=MembershipSettings(view_max=40))
    random = Random("crashes")
    keys = [f"key-{i}" for i in range(20)]
    for key in keys:
        assert put(cluster, random.choice(cluster.names), key, key.encode()).ok
    for _ in range(2):
        cluster.simulation.nodes[cluster.holders("key-3")[0]].crash()
        # The time in which it is found dead and its neighbours have repaired.
        cluster.pass_time(8.0)
    assert len(cluster.holders("key-3")) == 3
    up = [n for n in cluster.names if cluster.simulation.nodes[n].up]
    for key in keys:
        read = get(cluster, random.choice(up), key)
        assert (read.ok, read.value) == (True, key.encode())


def test_newcomers_take_their_share_and_others_let_go() -> None:
    cluster = Keepers(2, 12)
    late = cluster.names[8:]
    for name in cluster.names[:8]:
        cluster.simulation.nodes[name].start()
    cluster.pass_time(5.0)
    keys = [f"key-{i}" for i in range(15)]
    for key in keys:
        assert put(cluster, "n1", key, b"x").ok
    for name in late:
        cluster.simulation.nodes[name].start()
    cluster.pass_time(25.0)
    ring = Ring(cluster.names)
    for key in keys:
        assert cluster.holders(key) == sorted(ring.after(ring_position(key), 3), key=cluster.names.index)
    assert any(cluster.keeper(name).held for name in late)


def test_bounds_are_kept() -> None:
    cluster = keepers(3)
    cluster.directory = DirectorySettings()
    refused = put(cluster, "n1", "k", b"x" * 5000)
    assert (refused.ok, refused.error) == (False, "k: a value of more than 4096 bytes")
    assert "a key of more than 256 bytes" in put(cluster, "n1", "k" * 300, b"x").error
    small = keepers(1)
    small.directory = DirectorySettings(entries_max=2)
    small.simulation.nodes["n1"].crash()
    small.simulation.nodes["n1"].start()
    small.pass_time(1.0)
    assert [put(small, "n1", f"k{i}", b"x").ok for i in range(3)] == [True, True, False]
    assert "2 entries" in put(small, "n1", "k9", b"x").error


@pytest.mark.parametrize("lost", [0.0, 0.05])
def test_a_deleted_key_does_not_come_back(lost: float) -> None:
    cluster = keepers(6, loss=lost)
    assert put(cluster, "n1", "k", b"v").ok
    absent = cluster.holders("k")[0]
    others = [n for n in cluster.names if n != absent]
    cluster.simulation.network.cut([absent], others)
    cluster.pass_time(5.0)
    assert put(cluster, others[0], "k", None).ok
    cluster.simulation.network.heal()
    cluster.pass_time(25.0)
    assert {get(cluster, name, "k").value for name in cluster.names} == {None}
