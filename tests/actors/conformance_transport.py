"""What every transport promises, as scenarios against a driver; each world's tests run them on its own."""

from __future__ import annotations

import random
from collections.abc import Awaitable, Callable
from typing import Protocol

from lucos.actors import Datagram, Message


class Numbered(Message, frozen=True):
    number: int
    filler: bytes = b""


class NumberedDatagram(Datagram, frozen=True):
    number: int


class TransportDriver(Protocol):
    """Nodes that each run two actors: `mouth`, which sends, and `inbox`, which keeps what comes."""

    async def start(self, node: str) -> None:
        """Start a node, or start it again after `crash` with an empty inbox."""

    async def crash(self, node: str) -> None: ...

    async def cut(self, a: str, b: str) -> None:
        """Nothing passes between the two any more."""

    async def heal(self) -> None: ...

    def bootstrap(self, node: str) -> str:
        """`@IP:PORT`: where the node's datagrams arrive, for who does not know its name."""

    def send(self, node: str, to: str, message: Message) -> None: ...

    def inbox(self, node: str) -> list[tuple[str, Message]]:
        """(sender, message) of all that arrived since the node's start."""

    async def until(self, holds: Callable[[], bool], timeout_s: float) -> bool:
        """Let time pass until `holds()` or the deadline; whether it holds."""


Scenario = Callable[[TransportDriver], Awaitable[None]]
COUNT = 1_000


def numbers(driver: TransportDriver, node: str) -> list[int]:
    return [m.number for _, m in driver.inbox(node) if isinstance(m, Numbered | NumberedDatagram)]


async def order_is_kept_both_ways(driver: TransportDriver) -> None:
    await driver.start("a")
    await driver.start("b")
    for number in range(COUNT):
        driver.send("a", "b/inbox", Numbered(number))
        driver.send("b", "a/inbox", Numbered(number))
    assert await driver.until(lambda: min(len(driver.inbox(n)) for n in "ab") >= COUNT, 20.0)
    await driver.until(lambda: False, 0.05)
    for node, peer in ("ab", "ba"):
        assert numbers(driver, node) == list(range(COUNT))
        assert {sender for sender, _ in driver.inbox(node)} == {f"{peer}/mouth"}


async def unknown_peer_is_no_error(driver: TransportDriver) -> None:
    await driver.start("a")
    await driver.start("b")
    driver.send("a", "nowhere/inbox", Numbered(1))
    driver.send("a", "b/nobody", Numbered(2))
    driver.send("a", "nowhere/inbox", NumberedDatagram(3))
    driver.send("a", "b/inbox", Numbered(4))
    assert await driver.until(lambda: bool(driver.inbox("b")), 10.0)
    assert numbers(driver, "b") == [4]


async def large_message_arrives_whole(driver: TransportDriver) -> None:
    await driver.start("a")
    await driver.start("b")
    filler = random.Random(1).randbytes(3_000_000)
    driver.send("a", "b/inbox", Numbered(1, filler))
    driver.send("a", "b/inbox", Numbered(2))
    assert await driver.until(lambda: len(driver.inbox("b")) == 2, 20.0)
    assert [m for _, m in driver.inbox("b")] == [Numbered(1, filler), Numbered(2)]


async def restarted_peer_gets_later_messages(driver: TransportDriver) -> None:
    await driver.start("a")
    await driver.start("b")
    driver.send("a", "b/inbox", Numbered(0))
    assert await driver.until(lambda: numbers(driver, "b") == [0], 10.0)
    await driver.crash("b")
    for number in range(1, 11):
        driver.send("a", "b/inbox", Numbered(number))
    await driver.start("b")
    await _send_until_one_arrives(driver, first=11)


async def healed_cut_keeps_order_and_makes_no_duplicates(driver: TransportDriver) -> None:
    await driver.start("a")
    await driver.start("b")
    for number in range(50):
        driver.send("a", "b/inbox", Numbered(number))
    assert await driver.until(lambda: len(driver.inbox("b")) == 50, 10.0)
    await driver.cut("a", "b")
    for number in range(50, 100):
        driver.send("a", "b/inbox", Numbered(number))
        await driver.until(lambda: False, 0.03)
    assert len(driver.inbox("b")) == 50, "messages passed the cut"
    await driver.heal()
    await _send_until_one_arrives(driver, first=100)
    assert numbers(driver, "b")[:50] == list(range(50))


async def _send_until_one_arrives(driver: TransportDriver, first: int) -> None:
    """From `first` on, messages to b arrive in the end; all b got is in order and there once."""
    for number in range(first, first + 100):
        driver.send("a", "b/inbox", Numbered(number))
        if await driver.until(lambda: bool(numbers(driver, "b")) and numbers(driver, "b")[-1] >= first, 0.2):
            break
    last = number
    assert await driver.until(lambda: last in numbers(driver, "b"), 10.0)
    got = numbers(driver, "b")
    assert got == sorted(set(got))


async def datagrams_pass_both_ways(driver: TransportDriver) -> None:
    await driver.start("a")
    await driver.start("b")

    async def reaches(source: str, to: str, target: str, number: int) -> bool:
        # Datagrams may be lost: one in twenty must not be.
        for _ in range(20):
            driver.send(source, to, NumberedDatagram(number))
            if await driver.until(lambda: number in numbers(driver, target), 0.3):
                return True
        return False

    assert await reaches("a", "b/inbox", "b", 1)
    assert await reaches("b", "a/inbox", "a", 2)
    assert await reaches("a", f"{driver.bootstrap('b')}/inbox", "b", 3)
    assert {sender for sender, _ in driver.inbox("b")} == {"a/mouth"}
    await driver.cut("a", "b")
    for _ in range(5):
        driver.send("a", "b/inbox", NumberedDatagram(4))
    assert not await driver.until(lambda: 4 in numbers(driver, "b"), 0.3)


SCENARIOS: list[Scenario] = [
    order_is_kept_both_ways,
    unknown_peer_is_no_error,
    large_message_arrives_whole,
    restarted_peer_gets_later_messages,
    healed_cut_keeps_order_and_makes_no_duplicates,
    datagrams_pass_both_ways,
]
