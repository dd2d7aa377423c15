"""Sealed datagrams: what opens, what does not, and what is counted."""

from __future__ import annotations

import asyncio
import logging
import os
import socket
from collections.abc import Iterator

import pytest
from real_nodes import KEY, LOCALHOST, NumberedDatagram, until

from lucos.actors import Datagram, Message, WireError
from lucos.actors.real import SealedDatagrams
from lucos.actors.real.datagrams import Keyring
from lucos.errors import InputError, Refused

OTHER_KEY = b"o" * 32


class Long(Datagram, frozen=True):
    text: str


class End:
    """One datagram endpoint and what it got."""

    def __init__(self, node: str, *keys: bytes) -> None:
        self.peers: dict[str, tuple[str, int]] = {}
        self.got: list[tuple[str, str, Message]] = []
        self.datagrams = SealedDatagrams(node, keys, self.peers.get, logging.getLogger("lucos.test"))

    async def __aenter__(self) -> End:
        port = await self.datagrams.start(LOCALHOST, 0, lambda *arrival: self.got.append(arrival))
        self.where = (LOCALHOST, port)
        return self

    async def __aexit__(self, *_: object) -> None:
        self.datagrams.close()

    def send(self, other: End, to: str, message: Message) -> None:
        self.peers.setdefault(to.partition("/")[0], other.where)
        self.datagrams.send(to, "a/membership", message)


def test_only_holders_of_a_key_are_heard() -> None:
    async def main() -> None:
        async with End("a", OTHER_KEY) as stranger, End("a", KEY) as member, End("b", KEY) as b:
            stranger.send(b, "b/membership", NumberedDatagram(1))
            assert await until(lambda: b.datagrams.dropped["not ours"] == 1, 5.0)
            member.send(b, "b/membership", NumberedDatagram(2))
            assert await until(lambda: bool(b.got), 5.0)
            assert b.got == [("b/membership", "a/membership", NumberedDatagram(2))]

    asyncio.run(main())


def test_keys_are_replaced_one_host_at_a_time() -> None:
    async def main() -> None:
        async with End("a", KEY, OTHER_KEY) as old_first, End("b", OTHER_KEY, KEY) as new_first:
            old_first.send(new_first, "b/membership", NumberedDatagram(1))
            assert await until(lambda: len(new_first.got) == 1, 5.0)
            new_first.send(old_first, "a/membership", NumberedDatagram(2))
            assert await until(lambda: len(old_first.got) == 1, 5.0)

    asyncio.run(main())


def test_what_is_not_for_this_node_is_dropped_unless_the_name_was_unknown() -> None:
    async def main() -> None:
        async with End("a", KEY) as a, End("b", KEY) as b:
            a.send(b, "c/membership", NumberedDatagram(1))
            assert await until(lambda: b.datagrams.dropped["for another node"] == 1, 5.0)
            a.datagrams.send(f"@{LOCALHOST}:{b.where[1]}/membership", "a/membership", NumberedDatagram(2))
            assert await until(lambda: bool(b.got), 5.0)
            assert [message for _, _, message in b.got] == [NumberedDatagram(2)]

    asyncio.run(main())


def test_garbage_is_counted_and_harmless() -> None:
    async def main() -> None:
        async with End("a", KEY) as a, End("b", KEY) as b:
            packet = Keyring([KEY]).seal(b"sealed, but not a frame")
            pieces = [b"", b"\x01", os.urandom(64), os.urandom(1400), packet[:20], packet]
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as raw:
                for piece in pieces:
                    raw.sendto(piece, b.where)
            assert await until(lambda: b.datagrams.dropped["not ours"] == len(pieces), 5.0)
            a.send(b, "b/membership", NumberedDatagram(1))
            assert await until(lambda: bool(b.got), 5.0)

    asyncio.run(main())


def test_what_cannot_be_sent_is_counted() -> None:
    async def main() -> None:
        async with End("a", KEY) as a, End("b", KEY) as b:
            a.send(b, "b/membership", Long("x" * 1200))
            a.datagrams.send("nowhere/membership", "a/membership", NumberedDatagram(1))
            a.datagrams.send("@bad/membership", "a/membership", NumberedDatagram(1))
            assert a.datagrams.dropped == {"too large": 1, "unknown peer": 2}
            a.send(b, "b/membership", Long("x" * 1100))
            assert await until(lambda: bool(b.got), 5.0)

    asyncio.run(main())


def test_a_peer_that_is_gone_does_not_stop_the_others() -> None:
    async def main() -> None:
        async with End("a", KEY) as a, End("b", KEY) as b:
            async with End("c", KEY) as c:
                pass
            for number in range(3):
                a.send(c, "c/membership", NumberedDatagram(number))
                # A refusal by ICMP is reported by a later call on the socket.
                a.send(b, "b/membership", NumberedDatagram(number))
            assert await until(lambda: len(b.got) >= 2, 5.0)

    asyncio.run(main())


def packets() -> Iterator[bytes]:
    packet = Keyring([KEY]).seal(b"payload")
    for place in range(len(packet)):
        yield packet[:place] + bytes([packet[place] ^ 1]) + packet[place + 1 :]


def test_every_changed_bit_is_noticed() -> None:
    ring = Keyring([KEY])
    assert ring.open(ring.seal(b"payload")) == b"payload"
    assert ring.seal(b"payload") != ring.seal(b"payload")
    for packet in packets():
        with pytest.raises(WireError):
            ring.open(packet)


def test_a_bad_keyring_is_named() -> None:
    with pytest.raises(InputError, match="no key"):
        Keyring([])
    with pytest.raises(InputError, match="keyring"):
        Keyring([b"short"])


def test_a_port_in_use_is_refused() -> None:
    async def main() -> None:
        async with End("a", KEY) as a:
            with pytest.raises(Refused, match=f"{LOCALHOST}:{a.where[1]}"):
                await End("a", KEY).datagrams.start(*a.where, lambda *_: None)

    asyncio.run(main())
