"""What goes out by datagram: this node's own record, then what it is about, then news that still fit."""

from __future__ import annotations

from collections.abc import Callable

from lucos.actors import Datagram, World, address, encode_frame
from lucos.overlay.gossip import GossipQueue
from lucos.overlay.identity import Identity
from lucos.overlay.members import Member
from lucos.overlay.messages import MEMBERSHIP, SwimGossip
from lucos.overlay.ring import ring_position
from lucos.overlay.settings import MembershipSettings
from lucos.overlay.table import MemberTable

Gossip = tuple[Member, ...]


def at(member: Member) -> str:
    """The address of a member's membership by IP and port: it needs no table to be reached."""
    return f"@{member.address}:{member.membership_port}/{MEMBERSHIP}"


class Post:
    def __init__(
        self, world: World, settings: MembershipSettings, identity: Identity, table: MemberTable
    ) -> None:
        self._world = world
        self._settings = settings
        self._identity = identity
        self._table = table
        self._news = GossipQueue(settings.retransmit_factor)

    def tell(self, record: Member) -> None:
        """Let `record` ride on what is sent from now on."""
        self._news.add(record)

    def send(self, node: str, build: Callable[[Gossip], Datagram], about: Gossip = (), to: str = "") -> None:
        """Send `build(gossip)` to `node`: my record, `about`, and what news still fits in a datagram.

        Who is not present gets no news: after a cut they would be old ones.
        """
        to = to or address(node, MEMBERSHIP)
        message = build((self._identity.record, *about))
        if len(self._news):
            known = self._table.members.get(node)
            if known is not None and known.present:
                used = len(encode_frame(to, address(self._world.node, self._world.name), message))
                # Two bytes for the head of a longer array.
                room = self._settings.datagram_bytes - used - 2
                said = {node, *(member.node for member in about)}
                news = self._news.take(room, len(self._table.members), said)
                message = build((self._identity.record, *about, *news))
        self._world.send(to, message)

    def broadcast(self, *about: Member) -> None:
        """Urgent news to `fanout` members: any, or in a full view first those that probably know the node."""
        chosen: dict[str, None] = {}
        if self._table.full and about:
            ring, position = self._table.ring, ring_position(about[0].node)
            neighbours = ring.after(position, self._settings.successors + 1)
            neighbours += ring.before(position, self._settings.successors)
            chosen = dict.fromkeys(node for node in neighbours if node != about[0].node)
        for node in self.sample(self._settings.fanout):
            if len(chosen) < self._settings.fanout:
                chosen[node] = None
        for node in chosen:
            self.send(node, SwimGossip, about)

    def sample(self, count: int, but: str = "") -> list[str]:
        """Random present members."""
        names = self._table.ring.names
        if but and but in self._table.ring:
            names = [name for name in names if name != but]
        return self._world.random.sample(names, min(count, len(names)))
