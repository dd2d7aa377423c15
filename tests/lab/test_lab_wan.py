"""The switch between sites: order, delay, learning and its bound, over socket pairs in place of TAPs."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Iterator

import pytest

from lucos.lab import wan
from lucos.lab.wan import Switch

BROADCAST = b"\xff" * 6
A, B, C = (bytes([2, 0, 0, 0, 0, last]) for last in (1, 2, 3))
HEADER = b"\0" * 10


def frame(receiver: bytes, sender: bytes, text: bytes = b"") -> bytes:
    return HEADER + receiver + sender + text


class Wires:
    """Three ports; `inner` belong to the switch, `outer` to the sites."""

    def __init__(self) -> None:
        pairs = [socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET) for _ in range(3)]
        self.sockets = [end for pair in pairs for end in pair]
        for end in self.sockets:
            end.setblocking(False)
        self.inner = [inner.fileno() for inner, _ in pairs]
        self.outer = [outer.fileno() for _, outer in pairs]

    def received(self, site: int) -> list[bytes]:
        frames = []
        while True:
            try:
                frames.append(os.read(self.outer[site], 65536))
            except BlockingIOError:
                return frames


@pytest.fixture
def wires() -> Iterator[Wires]:
    made = Wires()
    yield made
    for end in made.sockets:
        end.close()


def test_frames_arrive_in_order_and_not_before_the_delay(wires: Wires) -> None:
    switch = Switch(wires.inner, 0.5, header_bytes=10)
    for number in range(3):
        switch.accept(wires.inner[0], frame(BROADCAST, A, b"%d" % number), 10.0 + number / 10)
    assert switch.wait_s(10.25) == pytest.approx(0.25)
    switch.deliver(10.49)
    assert wires.received(1) == []
    switch.deliver(10.61)
    assert [text[-1:] for text in wires.received(1)] == [b"0", b"1"]
    switch.deliver(10.71)
    assert [text[-1:] for text in wires.received(1)] == [b"2"]
    assert switch.wait_s(11.0) is None


def test_known_addresses_go_to_their_site_only_and_may_move(wires: Wires) -> None:
    switch = Switch(wires.inner, 0.0, header_bytes=10)
    switch.accept(wires.inner[1], frame(BROADCAST, B), 1.0)
    switch.deliver(1.0)
    assert [len(wires.received(site)) for site in range(3)] == [1, 0, 1]
    switch.accept(wires.inner[0], frame(B, A), 2.0)
    switch.deliver(2.0)
    assert [len(wires.received(site)) for site in range(3)] == [0, 1, 0]
    switch.accept(wires.inner[2], frame(A, B), 3.0)
    switch.accept(wires.inner[0], frame(B, A), 3.0)
    switch.deliver(3.0)
    assert [len(wires.received(site)) for site in range(3)] == [1, 0, 1]


def test_what_stays_within_a_site_is_not_sent_back(wires: Wires) -> None:
    switch = Switch(wires.inner, 0.0, header_bytes=10)
    switch.accept(wires.inner[0], frame(A, B), 1.0)
    switch.deliver(1.0)
    for site in range(3):
        wires.received(site)
    switch.accept(wires.inner[0], frame(B, A), 2.0)
    switch.deliver(2.0)
    assert [wires.received(site) for site in range(3)] == [[], [], []]


def test_frames_beyond_the_bound_are_dropped_and_room_returns(
    wires: Wires, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = frame(B, A, b"x" * 78)
    monkeypatch.setattr(wan, "QUEUE_BYTES_MAX", 3 * len(one))
    switch = Switch(wires.inner[:2], 1.0, header_bytes=10)
    for _ in range(5):
        switch.accept(wires.inner[0], one, 1.0)
    switch.deliver(2.0)
    assert len(wires.received(1)) == 3
    switch.accept(wires.inner[0], one, 2.0)
    switch.deliver(3.0)
    assert len(wires.received(1)) == 1


def test_learnt_addresses_are_bounded(wires: Wires, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wan, "ADDRESSES_MAX", 2)
    switch = Switch(wires.inner, 0.0, header_bytes=10)
    for sender in (A, B, C):
        switch.accept(wires.inner[0], frame(BROADCAST, sender), 1.0)
    switch.deliver(1.0)
    for site in range(3):
        wires.received(site)
    # A was forgotten, so a frame to it is flooded again.
    switch.accept(wires.inner[1], frame(A, B), 2.0)
    switch.deliver(2.0)
    assert [len(wires.received(site)) for site in range(3)] == [1, 0, 1]


def test_a_step_reads_and_delivers_after_the_real_delay(wires: Wires) -> None:
    switch = Switch(wires.inner[:2], 0.02, header_bytes=10)
    started_s = time.monotonic()
    os.write(wires.outer[0], frame(B, A, b"hello"))
    while not (arrived := wires.received(1)):
        switch.step()
    assert arrived == [frame(B, A, b"hello")]
    assert time.monotonic() - started_s >= 0.02
