"""What one node knows of another, and how two such records merge.

A record belongs to the node it describes: only that node raises its incarnation. Others may claim, at the
incarnation they know, that it is suspect, dead or left. Of two records the greater (incarnation, status)
wins, with status in the order below, so merging commutes, associates and repeats without effect.
"""

from __future__ import annotations

from enum import StrEnum

import msgspec


class Status(StrEnum):
    ALIVE = "alive"
    SUSPECT = "suspect"
    DEAD = "dead"
    LEFT = "left"


_RANK = {status: rank for rank, status in enumerate(Status)}


class Coordinate(msgspec.Struct, frozen=True, array_like=True):
    """Where a node is in Vivaldi's space: a plane and a height, in seconds, and the relative error of that.

    The round trip between two nodes is estimated as their distance in the plane plus both heights.
    Source: Dabek, Cox, Kaashoek, Morris, SIGCOMM 2004.
    """

    x_s: float = 0.0
    y_s: float = 0.0
    height_s: float = 1e-5
    error: float = 1.5


class Member(msgspec.Struct, frozen=True, array_like=True):
    """One node: `address` is the IP its gRPC (`transport_port`) and datagrams (`membership_port`) reach.

    `tags` are a few short strings it tells everybody. `rtt_s` is the reader's own smoothed estimate of the
    round trip to it, 0 when not measured, and `coordinate` the last one heard: they take no part in merging.
    """

    node: str
    address: str
    transport_port: int
    membership_port: int
    site: str = ""
    incarnation: int = 0
    status: Status = Status.ALIVE
    tags: dict[str, str] = {}
    rtt_s: float = 0.0
    coordinate: Coordinate | None = None

    @property
    def present(self) -> bool:
        """Whether it counts as running: alive or only suspect."""
        return self.status in (Status.ALIVE, Status.SUSPECT)


class Change(msgspec.Struct, frozen=True):
    """A transition of one member's status; `before` is empty for a new one, both equal if only tags changed.

    `after` is empty for one that is not held any more: departed long ago, or without a role in a full view.
    """

    node: str
    before: str
    after: str


def _content(member: Member) -> tuple[object, ...]:
    return (
        member.address,
        member.transport_port,
        member.membership_port,
        member.site,
        sorted(member.tags.items()),
    )


def supersedes(new: Member, old: Member) -> bool:
    """Whether `new` says something about the same node that `old` must give way to."""
    if new.incarnation != old.incarnation:
        return new.incarnation > old.incarnation
    if new.status is not old.status:
        return _RANK[new.status] > _RANK[old.status]
    # Nearly always the same content, told without making it.
    if (
        new.tags == old.tags
        and new.address == old.address
        and new.membership_port == old.membership_port
        and new.transport_port == old.transport_port
        and new.site == old.site
    ):
        return False
    # The content decides among equals, so that the order of arrival never does.
    return _content(new) > _content(old)


def merge(a: Member, b: Member) -> Member:
    """The record that prevails of two about one node."""
    return b if supersedes(b, a) else a
