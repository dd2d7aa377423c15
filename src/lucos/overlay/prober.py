"""Probes: whom a node pings each period, who helps when no answer comes, and what answers tell."""

from __future__ import annotations

from typing import NamedTuple

from lucos.overlay.beliefs import Beliefs, Parts
from lucos.overlay.members import Member, Status
from lucos.overlay.messages import SwimAck, SwimPing, SwimPingRequest
from lucos.overlay.post import Gossip, at
from lucos.overlay.vivaldi import Vivaldi

# A ping that nobody waits for: a first contact, or a try at a departed member.
FIRST_CONTACT = 0


class _Probe(NamedTuple):
    target: str
    sent_s: float
    helped: bool = False


class _Relay(NamedTuple):
    requester: str
    to: str
    sequence: int
    at_s: float


class Prober:
    def __init__(self, parts: Parts, beliefs: Beliefs, vivaldi: Vivaldi) -> None:
        self._world, self._settings, self._identity, self._table, self._post = parts
        self._beliefs = beliefs
        self._vivaldi = vivaldi
        self._probes: dict[int, _Probe] = {}
        self._relays: dict[int, _Relay] = {}
        # Whose turn it is, the next one last: near ones, and all in random order.
        self._near: list[str] = []
        self._any: list[str] = []
        self._near_turn = False
        self._sequence = FIRST_CONTACT

    def begin(self) -> None:
        """Start the period's probes."""
        self._probes.clear()
        now_s = self._world.now_s()
        for target in self._targets():
            self._sequence += 1
            self._probes[self._sequence] = _Probe(target, now_s)
            self.ping(target, self._sequence)
        if self._relays:
            late_s = now_s - self._settings.period_s
            self._relays = {s: r for s, r in self._relays.items() if r.at_s > late_s}

    def help(self) -> bool:
        """Ping again who has not answered, and ask others to; whether anybody has not."""
        for sequence, probe in list(self._probes.items()):
            member = self._table.members.get(probe.target)
            if member is None:
                del self._probes[sequence]
                continue
            self._probes[sequence] = probe._replace(helped=True)
            self.ping(probe.target, sequence)
            if member.status is Status.ALIVE:
                self._ask_help(member, sequence)
        return bool(self._probes)

    def accuse(self) -> None:
        """Suspect who has not answered at all."""
        for probe in self._probes.values():
            if probe.target in self._table.members:
                self._beliefs.accuse(probe.target, Status.SUSPECT)

    def clear(self) -> None:
        """The probes on their way mean nothing."""
        self._probes.clear()

    def soon(self, node: str) -> None:
        """Probe `node` in the next period: somebody found it silent."""
        self._any.append(node)
        self._near_turn = True

    def _targets(self) -> list[str]:
        """Whom to probe now: the next on the ring and the attended, so that each is surely watched; one near
        and any one by turns, so that places are known at both scales; the suspects, so that they hear of it.
        """
        targets = list(self._table.watched())
        other = self._turn()
        if other and other not in targets:
            targets.append(other)
        suspects = self._table.suspects
        if suspects:
            few = min(len(suspects), self._settings.fanout)
            targets += self._world.random.sample(list(suspects), few)
        return targets

    def _turn(self) -> str:
        self._near_turn = not self._near_turn
        if self._near_turn:
            if not self._near:
                self._near = self._table.nearest(
                    self._identity.record.coordinate, self._settings.view_max // 5
                )
                self._world.random.shuffle(self._near)
            queue = self._near
        else:
            if not self._any:
                self._any = self._table.ring.names.copy()
                self._world.random.shuffle(self._any)
            queue = self._any
        while queue:
            member = self._table.members.get(queue.pop())
            if member is not None and member.status is Status.ALIVE:
                return member.node
        return ""

    def ping(self, target: str, sequence: int = FIRST_CONTACT) -> None:
        member = self._table.members[target]
        about = () if member.status is Status.ALIVE else (member,)
        self._post.send(target, lambda gossip: SwimPing(sequence, gossip), about)

    def _ask_help(self, target: Member, sequence: int) -> None:
        where = at(target)

        def request(gossip: Gossip) -> SwimPingRequest:
            return SwimPingRequest(sequence, target.node, where, gossip)

        for helper in self._post.sample(self._settings.helpers, but=target.node):
            self._post.send(helper, request)

    def relay(self, request: SwimPingRequest) -> None:
        """Ping for another node; its address comes with the request, as this view may not hold the target."""
        self._sequence += 1
        asker = request.gossip[0]
        self._relays[self._sequence] = _Relay(asker.node, at(asker), request.sequence, self._world.now_s())
        if request.target in self._table.members:
            self.ping(request.target, self._sequence)
        else:
            sequence = self._sequence
            self._post.send(request.target, lambda gossip: SwimPing(sequence, gossip), to=request.where)

    def acknowledged(self, sequence: int, node: str) -> None:
        """An answer of `node`: to a probe of this node, or to one that it made for another."""
        probe = self._probes.pop(sequence, None)
        if probe is not None and probe.target == node:
            self._beliefs.answered(node, probe.sent_s)
            if not probe.helped and node in self._table.members:
                rtt_s = self._world.now_s() - probe.sent_s
                self._table.measured(node, rtt_s)
                self._vivaldi.measured(node, rtt_s, self._table.members[node].coordinate)
        relay = self._relays.pop(sequence, None)
        if relay is not None:
            self._post.send(relay.requester, lambda gossip: SwimAck(relay.sequence, gossip), to=relay.to)
