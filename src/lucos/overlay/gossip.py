"""News to piggyback on datagrams: each a bounded number of times, the least sent first, within a budget."""

from __future__ import annotations

from math import ceil, log2

import msgspec

from lucos.overlay.members import Member

_encoder = msgspec.msgpack.Encoder()


def record_bytes(member: Member) -> int:
    """What a record takes in a message."""
    return len(_encoder.encode(member))


class _Update:
    __slots__ = ("bytes", "member", "sent")

    def __init__(self, member: Member) -> None:
        self.member = member
        self.bytes = record_bytes(member)
        self.sent = 0


class GossipQueue:
    """At most one update per node: a newer one replaces its predecessor."""

    def __init__(self, retransmit_factor: int) -> None:
        self._factor = retransmit_factor
        self._updates: dict[str, _Update] = {}

    def __len__(self) -> int:
        return len(self._updates)

    def add(self, member: Member) -> None:
        self._updates[member.node] = _Update(member)

    def take(self, budget_bytes: int, members: int, skip: set[str]) -> list[Member]:
        """Updates that fit a datagram, none about `skip`; `members` bounds how often each is sent."""
        limit = self._factor * ceil(log2(members + 1))
        chosen: list[Member] = []
        for update in sorted(self._updates.values(), key=lambda u: u.sent):
            if update.member.node in skip or update.bytes > budget_bytes:
                continue
            budget_bytes -= update.bytes
            chosen.append(update.member)
            update.sent += 1
            if update.sent >= limit:
                del self._updates[update.member.node]
        return chosen
