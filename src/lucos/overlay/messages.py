"""Messages of the membership actor: those between nodes, those to itself, and its local interface.

The first record of every datagram's gossip is the sender's own.
"""

from __future__ import annotations

from lucos.actors import Datagram, Message
from lucos.overlay.members import Change, Member

MEMBERSHIP = "membership"

# --- Local interface ----------------------------------------------------------------------------


class Watch(Message, frozen=True):
    """Send `MembersChanged` to the sender (an actor of this node) at once and at each change from now on.

    Watchers survive restarts of the membership actor.
    """


class MembersChanged(Message, frozen=True):
    """`members` are all known, this node and the departed included; `changed` is empty the first time."""

    members: tuple[Member, ...]
    changed: tuple[Change, ...] = ()


class Attend(Message, frozen=True):
    """Keep `nodes` in view and probe them each period, as the sender needs them now; () ends it.

    Each sender attends to the nodes of its last message. Their deaths come to it by `MembersChanged`, also of
    those that the view would not hold otherwise.
    """

    nodes: tuple[str, ...]


class SetTags(Message, frozen=True):
    """Set these tags of this node and tell everybody; an empty value removes a tag, others stay."""

    tags: dict[str, str]


class Leave(Message, frozen=True):
    """Tell everybody that this node leaves for good; `HasLeft` follows to the sender, then silence."""


class HasLeft(Message, frozen=True):
    """The farewell is sent: the agent may exit."""


# --- Between nodes ------------------------------------------------------------------------------


class SwimPing(Datagram, frozen=True):
    """Answer with `SwimAck`. Sequence 0 is a first contact or a try at a departed member: nobody waits."""

    sequence: int
    gossip: tuple[Member, ...]


class SwimPingRequest(Datagram, frozen=True):
    """Ping `target` for me and pass its acknowledgement on under my `sequence`."""

    sequence: int
    target: str
    gossip: tuple[Member, ...]


class SwimAck(Datagram, frozen=True):
    sequence: int
    gossip: tuple[Member, ...]


class SwimGossip(Datagram, frozen=True):
    """Urgent news, not answered."""

    gossip: tuple[Member, ...]


class SwimExchange(Message, frozen=True):
    """All that the sender knows, over the reliable stream; `reply` asks for the same in return."""

    members: tuple[Member, ...]
    reply: bool


# --- To itself ----------------------------------------------------------------------------------


class SwimTick(Message, frozen=True):
    """Next step of the protocol period, expected at `due_s`. Steps: begin, help (ask others), accuse."""

    step: str
    due_s: float


class SwimSuspicionEnds(Message, frozen=True):
    node: str
    incarnation: int
    due_s: float


class SwimFarewell(Message, frozen=True):
    """The second and last round of goodbyes."""

    asked_by: str
