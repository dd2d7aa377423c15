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
    """`members` is this node's view, itself first, the departed included: all nodes while they fit in it.

    `changed` is empty the first time, and when only coordinates have moved.
    """

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


class Lookup(Message, frozen=True):
    """Which nodes hold `key`? Answered by `LookedUp` to the sender. A node's name is the key that it owns."""

    call_id: int
    key: str


class LookedUp(Message, frozen=True):
    """`holders` are the owner of the key, which answered, and up to three successors that it told of.

    Nobody when no way was found in time. `hops` counts the questions to others.
    """

    call_id: int
    holders: tuple[Member, ...]
    hops: int


class Remove(Message, frozen=True):
    """Declare `node` left for good, as a human knows that it will not come back; answered by `Removed`.

    Refused for a node that answers a probe. A node that is started again joins anew all the same.
    """

    call_id: int
    node: str


class Removed(Message, frozen=True):
    call_id: int
    ok: bool
    error: str = ""


# --- Between nodes ------------------------------------------------------------------------------


class SwimPing(Datagram, frozen=True):
    """Answer with `SwimAck`. Sequence 0 is a first contact or a try at a departed member: nobody waits."""

    sequence: int
    gossip: tuple[Member, ...]


class SwimPingRequest(Datagram, frozen=True):
    """Ping `target`, at `ip:port`, for me and pass its acknowledgement on under my `sequence`."""

    sequence: int
    target: str
    where: str
    gossip: tuple[Member, ...]


class SwimAck(Datagram, frozen=True):
    sequence: int
    gossip: tuple[Member, ...]


class SwimGossip(Datagram, frozen=True):
    """Urgent news, not answered."""

    gossip: tuple[Member, ...]


class SwimExchange(Message, frozen=True):
    """What the sender knows, itself first, over the reliable stream; `reply` asks for the same in return.

    Unless it is the `whole` of it, it is a choice for the receiver: a random sample and who is near it.
    """

    members: tuple[Member, ...]
    reply: bool
    whole: bool = True


class RingFind(Datagram, frozen=True):
    """Who is next to position `key` on the ring? Answered by `RingFound` under `sequence`."""

    sequence: int
    key: int
    asker: Member


class RingFound(Datagram, frozen=True):
    """The sender, and whom it knows at or `after` the key and `before` it, nearest first, as many as fit."""

    sequence: int
    me: Member
    after: tuple[Member, ...]
    before: tuple[Member, ...]


# --- To itself ----------------------------------------------------------------------------------


class SwimTick(Message, frozen=True):
    """Next step of the protocol period, expected at `due_s`. Steps: begin, help (ask others), accuse."""

    step: str
    due_s: float


class SwimSuspicionEnds(Message, frozen=True):
    node: str
    incarnation: int
    due_s: float


class RingHopEnds(Message, frozen=True):
    """The answer to the `RingFind` of this `sequence` is late."""

    sequence: int


class SwimRemovalEnds(Message, frozen=True):
    """The node under removal was asked `tries` times."""

    node: str
    tries: int


class SwimFarewell(Message, frozen=True):
    """The second and last round of goodbyes."""

    asked_by: str
