"""Messages of DVMS. A partition is the nodes that an iterative scheduling procedure (ISP) has gathered."""

from __future__ import annotations

from enum import StrEnum

import msgspec

from lucos.actors import Message
from lucos.overlay.neighbours import Spiral
from lucos.resources.messages import Snapshot


class Isp(msgspec.Struct, frozen=True, order=True):
    """The name of an ISP. Order decides who absorbs whom: the lower wins."""

    initiator: str
    sequence: int

    def __str__(self) -> str:
        return f"{self.initiator}#{self.sequence}"


class Holder(msgspec.Struct, frozen=True):
    """Why a visited node was not free: the ISP that holds it, or None when it has actions of its own."""

    node: str
    isp: Isp | None
    leader: str
    members: tuple[str, ...]


class Purpose(StrEnum):
    """What a partition is gathered for: to end violations, or to empty its initiator."""

    RELIEVE = "relieve"
    EMPTY = "empty"


class Visit(Message, frozen=True):
    """The leader asks a node to join and take over the lead.

    In the locality variant it carries what the leaders so far know of the nodes around the initiator.
    """

    isp: Isp
    version: int
    members: tuple[str, ...]
    visited: tuple[str, ...]
    holders: tuple[Holder, ...]
    reason: str
    replans: int
    purpose: Purpose = Purpose.RELIEVE
    spiral: Spiral | None = None


class Busy(Message, frozen=True):
    """Answer to `Visit`: not free. The sender goes on behind the whole partition (the shortcut)."""

    isp: Isp
    version: int
    holder: Holder


class Freed(Message, frozen=True):
    """To those who found this node busy: it no longer is."""

    node: str


class Joined(Message, frozen=True):
    """The new leader presents itself; members answer with `State`. `absorbed` is an ISP handed over to it."""

    isp: Isp
    version: int
    leader: str
    members: tuple[str, ...]
    absorbed: Isp | None = None


class State(Message, frozen=True):
    """A member's fresh snapshot, and its promise to follow this leader at this version."""

    isp: Isp
    version: int
    snapshot: Snapshot


class Renew(Message, frozen=True):
    """The leader is alive: the lease of the receiver's grant starts anew."""

    isp: Isp
    version: int


class NotMember(Message, frozen=True):
    """Answer to `Renew`: the sender is not, or no longer, in this ISP (its agent was restarted, say)."""

    isp: Isp


class Apply(Message, frozen=True):
    """A plan was found: members enter applying, or refuse; nothing starts before all have agreed."""

    isp: Isp
    version: int


class Applying(Message, frozen=True):
    isp: Isp
    version: int
    ok: bool


class Dissolve(Message, frozen=True):
    """The partition ends. `solved` says whether the violation was resolved, `outcome` how, in words."""

    isp: Isp
    version: int
    solved: bool
    outcome: str
    purpose: Purpose = Purpose.RELIEVE


class Blocked(Message, frozen=True):
    """To the leader of an ISP in the way: `isp`, led by `leader`, has nowhere left to go."""

    isp: Isp
    leader: str
    holder: Isp


class HandOver(Message, frozen=True):
    """A blocked leader hands its members over to the lower blocked ISP `to`."""

    to: Isp
    isp: Isp
    members: tuple[str, ...]


# --- to oneself ---------------------------------------------------------------------------------


class Renewal(Message, frozen=True):
    """It is time to renew leases, or to end one that its leader does not renew."""


class StandBy(Message, frozen=True):
    """This node was emptied a while ago."""
