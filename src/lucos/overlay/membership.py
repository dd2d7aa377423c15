"""The membership actor: SWIM, sans I/O. Who is in the LUC and who is alive, without any central node.

Each period a node pings a few members; who does not answer is pinged through helpers, then suspected; the
suspect is told and refutes by a higher incarnation, or is declared dead when its time is over. News travel
on these same datagrams, urgent news at once. `MembershipSettings` gives the figures and what they promise.
Each period is one chain of three timers (begin, help, accuse) whatever the number of probes.
"""

from __future__ import annotations

from collections.abc import Callable
from math import log
from typing import NamedTuple

import msgspec

from lucos.actors import Actor, Datagram, Message, World, address, encode_frame, node_of
from lucos.overlay.gossip import GossipQueue
from lucos.overlay.identity import Identity
from lucos.overlay.members import Member, Status, supersedes
from lucos.overlay.messages import (
    MEMBERSHIP,
    HasLeft,
    Leave,
    MembersChanged,
    SetTags,
    SwimAck,
    SwimExchange,
    SwimFarewell,
    SwimGossip,
    SwimPing,
    SwimPingRequest,
    SwimSuspicionEnds,
    SwimTick,
    Watch,
)
from lucos.overlay.ring import successor_order
from lucos.overlay.settings import MembershipSettings
from lucos.overlay.table import MemberTable

FAREWELL_S = 0.2
# The least time between two exchanges with nodes met (again): one usually tells what all of them know.
CONTACT_S = 0.5
FIRST_CONTACT = 0

Gossip = tuple[Member, ...]

_EVENTS = {
    Status.SUSPECT: ("member.suspected", "is under suspicion"),
    Status.DEAD: ("member.dead", "was silent too long"),
    Status.LEFT: ("member.left", "left"),
}


class _Probe(NamedTuple):
    target: str
    sent_s: float
    helped: bool = False


class _Relay(NamedTuple):
    requester: str
    sequence: int
    at_s: float


class Membership(Actor):
    """`me` describes this node (its incarnation and status are set here); `seeds` are `address:port` of any
    members' datagrams. `members` maps names to records, this node and the departed included; only read it.
    """

    def __init__(
        self, world: World, settings: MembershipSettings, me: Member, seeds: tuple[str, ...]
    ) -> None:
        super().__init__(world)
        self._settings = settings
        own = f"{me.address}:{me.membership_port}"
        self._seeds = [f"@{seed}/{MEMBERSHIP}" for seed in seeds if seed != own]
        self._identity = Identity(world, me)
        self._table = MemberTable(self._me)
        self._gossip = GossipQueue(settings.retransmit_factor)
        self._answered_s: dict[str, float] = {}
        self._probes: dict[int, _Probe] = {}
        self._relays: dict[int, _Relay] = {}
        self._suspicion_ends_s: dict[str, float] = {}
        self._rotation: list[str] = []
        self._sequence = FIRST_CONTACT
        self._synchronised = False
        self._awake_s = world.now_s()
        self._next_s = {"exchange": self._awake_s + settings.exchange_s}
        self._tick("begin", world.random.uniform(0.0, settings.period_s))

    @property
    def _me(self) -> Member:
        return self._identity.record

    @property
    def members(self) -> dict[str, Member]:
        return self._table.members

    def receive(self, message: Message, sender: str) -> None:
        if self._me.status is Status.LEFT:
            self._after_leaving(message, sender)
        elif isinstance(message, (SwimPing, SwimPingRequest, SwimAck, SwimGossip)):
            self._receive_datagram(message, sender)
        elif isinstance(message, SwimExchange):
            self._receive_exchange(message, sender)
        elif node_of(sender) == self.world.node:
            self._receive_local(message, sender)
        self._publish()

    def _receive_local(self, message: Message, sender: str) -> None:
        match message:
            case SwimTick():
                self._step("begin" if self._was_stalled(message.due_s) else message.step)
            case SwimSuspicionEnds():
                self._was_stalled(message.due_s)
                self._end_suspicion(message)
            case Watch():
                self._identity.add_watcher(sender)
                self.world.send(sender, MembersChanged(tuple(self.members.values())))
            case SetTags():
                self._identity.set_tags(message.tags)
                self._announce()
            case Leave():
                self._leave(sender)

    # --- The protocol period ------------------------------------------------------------------------

    def _tick(self, step: str, delay_s: float) -> None:
        self.world.after(delay_s, SwimTick(step, self.world.now_s() + delay_s))

    def _was_stalled(self, due_s: float) -> bool:
        """Whether a timer due at `due_s` says that this node slept: then the silence of others means nothing.

        Probes are void, and suspicions last longer by what was slept, counted once for all late timers.
        """
        now_s = self.world.now_s()
        if now_s - due_s <= self._settings.late_s:
            return False
        slept_s = now_s - max(due_s, self._awake_s)
        self._awake_s = now_s
        self._probes.clear()
        for node in self._suspicion_ends_s:
            self._suspicion_ends_s[node] += slept_s
        return True

    def _step(self, step: str) -> None:
        settings = self._settings
        if step == "begin":
            self._probes.clear()
            for target in self._targets():
                self._sequence += 1
                self._probes[self._sequence] = _Probe(target, self.world.now_s())
                self._ping(target, self._sequence)
            self._keep_house()
            self._tick("help", settings.direct_s)
        elif step == "help":
            self._ask_helpers()
            self._tick("accuse", settings.indirect_s)
        else:
            for probe in self._probes.values():
                self._accuse(probe.target, Status.SUSPECT)
            # A random part of the rest keeps nodes that woke together from beating together.
            rest_s = settings.period_s - settings.direct_s - settings.indirect_s
            self._tick("begin", rest_s * self.world.random.random())

    def _targets(self) -> list[str]:
        """Whom to probe now: the next on the ring, so that each member is surely watched; one in random
        order, so that in time all pairs meet and measure; the suspects, so that they hear of it."""
        others = self._table.others()
        alive = [member.node for member in others if member.status is Status.ALIVE]
        suspects = [member.node for member in others if member.status is Status.SUSPECT]
        targets = successor_order(alive, self.world.node)[: self._settings.ring_successors]
        if not self._rotation:
            self._rotation = alive.copy()
            self.world.random.shuffle(self._rotation)
        while self._rotation:
            candidate = self._rotation.pop()
            if candidate in alive and candidate not in targets:
                targets.append(candidate)
                break
        share = self._settings.fanout / max(len(others), 1)
        return targets + [node for node in suspects if self.world.random.random() < share]

    def _ping(self, target: str, sequence: int) -> None:
        member = self.members[target]
        about = () if member.status is Status.ALIVE else (member,)
        self._send(target, lambda gossip: SwimPing(sequence, gossip), about)

    def _ask_helpers(self) -> None:
        for sequence, probe in list(self._probes.items()):
            if self.members[probe.target].status is not Status.ALIVE:
                continue
            self._probes[sequence] = probe._replace(helped=True)
            self._ping(probe.target, sequence)
            self._ask_help(probe.target, sequence)

    def _ask_help(self, target: str, sequence: int) -> None:
        for helper in self._sample(self._settings.helpers, but=target):
            self._send(helper, lambda gossip: SwimPingRequest(sequence, target, gossip))

    def _sample(self, count: int, but: str = "") -> list[str]:
        names = [member.node for member in self._table.others() if member.node != but]
        return self.world.random.sample(names, min(count, len(names)))

    def _due(self, what: str, every_s: float) -> bool:
        now_s = self.world.now_s()
        if now_s < self._next_s.get(what, 0.0):
            return False
        self._next_s[what] = now_s + every_s * self.world.random.uniform(0.75, 1.25)
        return True

    def _keep_house(self) -> None:
        """The slow part: unreached seeds, dead members (a cut may have healed), exchanges, forgetting."""
        settings, now_s = self._settings, self.world.now_s()
        others = self._table.others()
        reached = {f"@{m.address}:{m.membership_port}/{MEMBERSHIP}" for m in others}
        unreached = [seed for seed in self._seeds if seed not in reached]
        if unreached and (not others or self._due("seed", settings.seed_s)):
            self.world.send(self.world.random.choice(unreached), SwimPing(FIRST_CONTACT, (self._me,)))
        dead = self._table.dead()
        if dead and self._due("reconnect", settings.reconnect_s):
            self._ping(self.world.random.choice(dead), FIRST_CONTACT)
        if others and self._due("exchange", settings.exchange_s):
            self._exchange(self.world.random.choice(others).node)
        self._relays = {s: r for s, r in self._relays.items() if now_s - r.at_s < settings.period_s}
        self._table.forget(now_s - settings.forget_s, settings.departed_max)
        for node in self._answered_s.keys() - self.members.keys():
            del self._answered_s[node]

    # --- Datagrams ----------------------------------------------------------------------------------

    def _send(self, node: str, build: Callable[[Gossip], Datagram], about: Gossip = (), to: str = "") -> None:
        """Send `build(gossip)` to `node`: my record, `about`, and what news still fits in a datagram.

        Who is not present gets no news: after a cut they would be old ones.
        """
        to = to or address(node, MEMBERSHIP)
        message = build((self._me, *about))
        known = self.members.get(node)
        if len(self._gossip) and known is not None and known.present:
            used = len(encode_frame(to, address(self.world.node, self.world.name), message))
            room = self._settings.datagram_bytes - used
            said = {node, *(member.node for member in about)}
            message = build((self._me, *about, *self._gossip.take(room, len(self.members), said)))
        self.world.send(to, message)

    def _broadcast(self, *about: Member) -> None:
        for node in self._sample(self._settings.fanout):
            self._send(node, SwimGossip, about)

    def _receive_datagram(
        self, message: SwimPing | SwimPingRequest | SwimAck | SwimGossip, sender: str
    ) -> None:
        node = node_of(sender)
        if node == self.world.node or not message.gossip or message.gossip[0].node != node:
            return
        before = self.members.get(node)
        for record in message.gossip:
            self._hear(record)
        match message:
            case SwimPing():
                self._acknowledge(message, node)
            case SwimPingRequest() if message.target in self.members:
                self._sequence += 1
                self._relays[self._sequence] = _Relay(node, message.sequence, self.world.now_s())
                self._ping(message.target, self._sequence)
            case SwimAck():
                self._acknowledged(message.sequence, node)
                met = before is not None and before.present
                if not (met and self._synchronised) and self._due("contact", CONTACT_S):
                    self._exchange(node)

    def _acknowledge(self, ping: SwimPing, node: str) -> None:
        claim = ping.gossip[0]
        known = self.members.get(node, claim)
        # A node that lost its memory, or came back elsewhere, must learn what is held against it.
        outdated = supersedes(known, claim)
        to = f"@{claim.address}:{claim.membership_port}/{MEMBERSHIP}" if outdated else ""
        self._send(node, lambda gossip: SwimAck(ping.sequence, gossip), (known,) if outdated else (), to)

    def _acknowledged(self, sequence: int, node: str) -> None:
        probe = self._probes.pop(sequence, None)
        if probe is not None and probe.target == node:
            self._answered_s[node] = probe.sent_s
            if not probe.helped:
                self._table.measured(node, self.world.now_s() - probe.sent_s)
        relay = self._relays.pop(sequence, None)
        if relay is not None:
            self._send(relay.requester, lambda gossip: SwimAck(relay.sequence, gossip))

    # --- Full exchanges -----------------------------------------------------------------------------

    def _exchange(self, node: str, reply: bool = True) -> None:
        self.world.send(address(node, MEMBERSHIP), SwimExchange(tuple(self.members.values()), reply))

    def _receive_exchange(self, message: SwimExchange, sender: str) -> None:
        for record in message.members:
            # The dead of a whole table may be those of the other side of a cut: let them speak first.
            self._hear(record, doubted=True)
        if message.reply:
            self._exchange(node_of(sender), reply=False)
        elif not self._synchronised:
            self._synchronised = True
            self._broadcast()

    # --- What is known ------------------------------------------------------------------------------

    def _hear(self, record: Member, doubted: bool = False) -> None:
        """Take in what another node says of one; who is `doubted` to be dead is only suspected."""
        if record.node == self.world.node:
            self._hear_of_myself(record)
            return
        known = self.members.get(record.node)
        if known is not None and not supersedes(record, known):
            return
        if record.status is Status.DEAD and known is not None and known.present:
            silent_s = self.world.now_s() - self._answered_s.get(record.node, float("-inf"))
            # What this node knows at first hand is fresher than a claim from the other side of a cut.
            if doubted or silent_s < self._settings.suspicion_s:
                record = msgspec.structs.replace(record, status=Status.SUSPECT)
        self._adopt(record)

    def _hear_of_myself(self, record: Member) -> None:
        if record.incarnation < self._me.incarnation or not supersedes(record, self._me):
            return
        elsewhere = "" if record.address == self._me.address else f" at {record.address}"
        self.world.emit("member.refuted", record.node, f"said to be {record.status}{elsewhere}: not so")
        self._identity.renew(record.incarnation + 1)
        self._announce()

    def _adopt(self, record: Member) -> bool:
        change = self._table.put(record, self.world.now_s())
        if change is None:
            return False
        self._gossip.add(msgspec.structs.replace(record, rtt_s=0.0))
        self._suspicion_ends_s.pop(record.node, None)
        if record.status is Status.SUSPECT:
            crowd = log(len(self.members) + 1) / log(self._settings.fanout + 1)
            lasts_s = self._settings.suspicion_s * max(1.0, crowd)
            self._suspicion_ends_s[record.node] = self.world.now_s() + lasts_s
            self._await_refutation(record, lasts_s)
        silent_s = self.world.now_s() - self._answered_s.setdefault(record.node, self.world.now_s())
        if change.before != change.after:
            self._report(record, change.before, silent_s)
        return True

    def _report(self, member: Member, before: str, silent_s: float) -> None:
        kind, text = _EVENTS.get(member.status, ("member.refuted", "answers again"))
        if before in ("", Status.DEAD, Status.LEFT) and member.present:
            kind, text = ("member.returned", "is back") if before else ("member.joined", "joined")
        data = {"silent_s": round(silent_s, 3)} if kind in ("member.suspected", "member.dead") else {}
        self.world.emit(kind, member.node, text, **data)

    def _accuse(self, node: str, status: Status) -> None:
        """Claim that `node` is suspect or dead, if that is news, and tell everybody."""
        record = msgspec.structs.replace(self.members[node], status=status)
        if self._adopt(record):
            self._broadcast(record)

    def _await_refutation(self, record: Member, delay_s: float) -> None:
        due_s = self.world.now_s() + delay_s
        self.world.after(delay_s, SwimSuspicionEnds(record.node, record.incarnation, due_s))

    def _end_suspicion(self, message: SwimSuspicionEnds) -> None:
        member = self.members.get(message.node)
        if member is None or (member.status, member.incarnation) != (Status.SUSPECT, message.incarnation):
            return
        left_s = self._suspicion_ends_s[member.node] - self.world.now_s()
        if left_s > 1e-6:
            self._await_refutation(member, left_s)
        else:
            self._accuse(member.node, Status.DEAD)

    # --- This node ----------------------------------------------------------------------------------

    def _announce(self) -> None:
        self._table.put(self._me, self.world.now_s())
        self._broadcast()

    def _publish(self) -> None:
        changes = self._table.take_changes()
        if changes:
            for watcher in self._identity.watchers:
                self.world.send(watcher, MembersChanged(tuple(self.members.values()), changes))

    def _leave(self, asked_by: str) -> None:
        self._identity.leave()
        self.world.emit("member.left", self.world.node, "leaves")
        self._announce()
        self.world.after(FAREWELL_S, SwimFarewell(asked_by))

    def _after_leaving(self, message: Message, sender: str) -> None:
        if isinstance(message, SwimFarewell):
            self._broadcast()
            self.world.send(message.asked_by, HasLeft())
        elif isinstance(message, Leave):
            self.world.send(sender, HasLeft())
