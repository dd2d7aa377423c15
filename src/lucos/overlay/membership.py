"""The membership actor: SWIM, sans I/O. Who is in the LUC and who is alive, without any central node.

Each period a node pings a few members; who does not answer is pinged through helpers, then suspected; the
suspect is told and refutes by a higher incarnation, or is declared dead when its time is over. News travel
on these same datagrams, urgent news at once. `MembershipSettings` gives the figures and what they promise.
Each period is one chain of at most three timers (begin, help, accuse) whatever the number of probes.

The parts: `prober` pings, `beliefs` weighs what is said, `finder` keeps the ring, `table` holds the view,
`post` writes the datagrams, `vivaldi` has this node's place.
"""

from __future__ import annotations

from lucos.actors import Actor, Calls, Message, World, address, node_of
from lucos.overlay.beliefs import Beliefs, Parts
from lucos.overlay.finder import Finder
from lucos.overlay.identity import Identity
from lucos.overlay.members import Member, Status, supersedes
from lucos.overlay.messages import (
    MEMBERSHIP,
    Attend,
    HasLeft,
    Leave,
    LookedUp,
    Lookup,
    Remove,
    RingFind,
    RingFound,
    RingHopEnds,
    SetTags,
    SwimAck,
    SwimExchange,
    SwimFarewell,
    SwimGossip,
    SwimPing,
    SwimPingRequest,
    SwimRemovalEnds,
    SwimSuspicionEnds,
    SwimTick,
    Watch,
)
from lucos.overlay.post import Post, at
from lucos.overlay.prober import FIRST_CONTACT, Prober
from lucos.overlay.removal import Removals
from lucos.overlay.ring import ring_position
from lucos.overlay.settings import MembershipSettings
from lucos.overlay.table import MemberTable
from lucos.overlay.vivaldi import Vivaldi
from lucos.overlay.watching import Watching

FAREWELL_S = 0.2
# The least time between two exchanges with nodes met (again): one usually tells what all of them know.
CONTACT_S = 0.5
# A newcomer to a bounded view fills it by exchanges at this interval, then ever longer ones.
FILL_S = 2.0
ACQUAINTANCES_MAX = 64
SEEDS_AT_ONCE = 3


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
        self._vivaldi = Vivaldi(world.random)
        self._identity.place(self._vivaldi.coordinate)
        self._table = MemberTable(self._me, settings)
        self._post = Post(world, settings, self._identity, self._table)
        parts = Parts(world, settings, self._identity, self._table, self._post)
        self._beliefs = Beliefs(parts)
        self._prober = Prober(parts, self._beliefs, self._vivaldi)
        self._finder = Finder(parts, self._beliefs, self._prober.soon)
        self._calls = Calls(world)
        self._watching = Watching(parts, self._beliefs, self._finder)
        self._removals = Removals(parts, self._beliefs, self._prober, self._finder, self._calls)
        self._acquaintances: dict[str, Member] = {}
        self._bounded = False
        self._synchronised = False
        self._awake_s = world.now_s()
        self._fill_s = FILL_S
        self._next_s = {"exchange": self._awake_s + settings.exchange_s}
        self._tick("begin", world.random.uniform(0.0, settings.period_s))

    @property
    def _me(self) -> Member:
        return self._identity.record

    @property
    def members(self) -> dict[str, Member]:
        return self._table.members

    def resolve(self, node: str) -> Member | None:
        """The record of `node`, also of one that only asked something lately: how to answer it."""
        return self.members.get(node) or self._acquaintances.get(node)

    def successors(self) -> list[str]:
        """The names of the present nodes that follow this one on the ring, nearest first."""
        return self._table.successors()

    def receive(self, message: Message, sender: str) -> None:
        if self._me.status is Status.LEFT:
            self._after_leaving(message, sender)
        elif isinstance(message, (SwimPing, SwimPingRequest, SwimAck, SwimGossip)):
            self._receive_datagram(message, sender)
        elif isinstance(message, SwimTick) and node_of(sender) == self.world.node:
            self._step("begin" if self._was_stalled(message.due_s) else message.step)
        else:
            self._receive_rare(message, sender)
        if self._table.changes:
            if any(change.after in (Status.DEAD, Status.LEFT) for change in self._table.changes):
                # It may have been a neighbour on the ring: another must take its place.
                self._finder.hurry()
            self._table.trim(self.world.random)
            self._watching.publish()

    def _receive_rare(self, message: Message, sender: str) -> None:
        match message:
            case SwimExchange():
                self._receive_exchange(message, sender)
            case RingFind():
                self._acquaint(message.asker)
                self._finder.answer(message)
            case RingFound():
                self._finder.answered(message, node_of(sender))
            case Remove():
                self._removals.remove(message, sender)
            case _ if self._calls.settle(message):
                pass
            case _ if node_of(sender) == self.world.node:
                self._receive_local(message, sender)

    def _receive_local(self, message: Message, sender: str) -> None:
        match message:
            case SwimSuspicionEnds():
                self._was_stalled(message.due_s)
                self._beliefs.end_suspicion(message)
            case RingHopEnds():
                self._finder.late(message)
            case SwimRemovalEnds():
                self._removals.go_on(message)
            case Watch():
                self._watching.watch(sender)
            case Attend():
                self._watching.attend(message, sender)
            case Lookup():
                self._look_up(message, sender)
            case SetTags():
                self._identity.set_tags(message.tags)
                self._beliefs.announce()
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
        self._prober.clear()
        self._beliefs.slept(slept_s)
        return True

    def _step(self, step: str) -> None:
        settings = self._settings
        rest_s = settings.period_s - settings.direct_s - settings.indirect_s
        if step == "begin":
            self._place()
            self._prober.begin()
            self._keep_house()
            self._tick("help", settings.direct_s)
        elif step == "help" and self._prober.help():
            self._tick("accuse", settings.indirect_s)
        elif step == "help":
            self._tick("begin", settings.indirect_s + rest_s * self.world.random.random())
        else:
            self._prober.accuse()
            # A random part of the rest keeps nodes that woke together from beating together.
            self._tick("begin", rest_s * self.world.random.random())

    def _place(self) -> None:
        """Say from now on where the measurements of the last period put this node."""
        if self._vivaldi.coordinate is not self._me.coordinate:
            self._identity.place(self._vivaldi.coordinate)
            self.members[self.world.node] = self._me

    def _due(self, what: str, every_s: float) -> bool:
        now_s = self.world.now_s()
        if now_s < self._next_s.get(what, 0.0):
            return False
        self._next_s[what] = now_s + every_s * self.world.random.uniform(0.75, 1.25)
        return True

    def _keep_house(self) -> None:
        """The slow part: unreached seeds, dead members (a cut may have healed), exchanges, forgetting."""
        settings, others = self._settings, self._table.ring.names
        # The more there are, the more rarely each asks: seeds bear the same load at any size.
        crowd = max(1.0, self._table.population() / settings.view_max)
        if self._seeds and (self._due("seed", settings.seed_s * crowd) or not others):
            reached = {at(self.members[node]) for node in others}
            unreached = [seed for seed in self._seeds if seed not in reached]
            # Several at first: were they strangers to one another, their followers would form two rings.
            tried = 1 if others else SEEDS_AT_ONCE
            for seed in self.world.random.sample(unreached, min(tried, len(unreached))):
                self.world.send(seed, SwimPing(FIRST_CONTACT, (self._me,)))
        if self._table.departed:
            self._try_departed()
        if self._table.full and not self._bounded:
            self._begin_bounded()
        if others and self._due("exchange", self._fill_s if self._bounded else settings.exchange_s):
            self._fill_s = min(1.5 * self._fill_s, settings.exchange_s)
            self._exchange(self.world.random.choice(others))
            self._beliefs.forget_strangers()
        if self._bounded:
            self._finder.upkeep()
        if self._identity.watchers and self._due("refresh", settings.refresh_s):
            self._watching.refresh()

    def _try_departed(self) -> None:
        settings = self._settings
        if self._due("reconnect", settings.reconnect_s):
            dead = self._table.dead()
            if dead:
                self._prober.ping(self.world.random.choice(dead))
        self._table.forget(self.world.now_s() - settings.forget_s, settings.departed_max)

    # --- Datagrams ----------------------------------------------------------------------------------

    def _receive_datagram(
        self, message: SwimPing | SwimPingRequest | SwimAck | SwimGossip, sender: str
    ) -> None:
        node = node_of(sender)
        if node == self.world.node or not message.gossip or message.gossip[0].node != node:
            return
        if node in self._removals.pending:
            self._removals.answers(node)
        before = self.members.get(node)
        for record in message.gossip:
            self._beliefs.hear(record)
        self._table.located(node, message.gossip[0].coordinate)
        if isinstance(message, SwimPing):
            if before is None:
                self._acquaint(message.gossip[0])
            self._acknowledge(message, node)
        elif isinstance(message, SwimAck):
            self._prober.acknowledged(message.sequence, node)
            met = before is not None and before.present
            if not (met and self._synchronised) and self._due("contact", CONTACT_S):
                self._acquaint(message.gossip[0])
                self._exchange(node)
        elif isinstance(message, SwimPingRequest):
            self._prober.relay(message)

    def _acknowledge(self, ping: SwimPing, node: str) -> None:
        claim = ping.gossip[0]
        known = self.members.get(node)
        # A node that lost its memory, or came back elsewhere, must learn what is held against it.
        outdated = known is not None and supersedes(known, claim)
        about = (known,) if known is not None and outdated else ()
        to = at(claim) if outdated or known is None else ""
        self._post.send(node, lambda gossip: SwimAck(ping.sequence, gossip), about, to)

    # --- Exchanges ----------------------------------------------------------------------------------

    def _exchange(self, node: str, reply: bool = True) -> None:
        whole = not self._table.full
        told = tuple(self.members.values()) if whole else self._table.choice(node, self.world.random)
        self.world.send(address(node, MEMBERSHIP), SwimExchange(told, reply, whole))

    def _receive_exchange(self, message: SwimExchange, sender: str) -> None:
        if not message.members or message.members[0].node != node_of(sender):
            return
        self._acquaint(message.members[0])
        for record in message.members:
            # The dead of a whole table may be those of the other side of a cut: let them speak first.
            self._beliefs.hear(record, doubted=True, sampled=True, news=self._synchronised)
        if message.reply:
            self._exchange(node_of(sender), reply=False)
        elif not self._synchronised:
            self._synchronised = True
            self._post.broadcast()
        bounded = self._table.full or not message.whole
        if bounded and not self._bounded:
            self._begin_bounded()
        self._bounded = bounded

    def _begin_bounded(self) -> None:
        """There are more members than a view holds: find the place among them, and fill the view."""
        self._bounded = True
        self._fill_s = FILL_S
        self._next_s["exchange"] = self.world.now_s() + FILL_S * self.world.random.random()
        self._finder.hurry()

    def _acquaint(self, member: Member) -> None:
        if member.node not in self.members:
            if len(self._acquaintances) >= ACQUAINTANCES_MAX:
                del self._acquaintances[next(iter(self._acquaintances))]
            self._acquaintances[member.node] = member

    # --- For others on this node --------------------------------------------------------------------

    def _look_up(self, message: Lookup, sender: str) -> None:
        def found(holders: tuple[Member, ...], hops: int) -> None:
            for holder in holders:
                # What they are asked next comes by stream: they must know where to answer.
                if holder.node not in self.members:
                    self._acquaint(holder)
                    self.world.send(at(holder), SwimPing(FIRST_CONTACT, (self._me,)))
            self.world.send(sender, LookedUp(message.call_id, holders, hops))

        self._finder.find(ring_position(message.key), found)

    def _leave(self, asked_by: str) -> None:
        self._identity.leave()
        self.world.emit("member.left", self.world.node, "leaves")
        self._beliefs.announce()
        self.world.after(FAREWELL_S, SwimFarewell(asked_by))

    def _after_leaving(self, message: Message, sender: str) -> None:
        if isinstance(message, SwimFarewell):
            self._post.broadcast()
            self.world.send(message.asked_by, HasLeft())
        elif isinstance(message, Leave):
            self.world.send(sender, HasLeft())
