"""One leader that all nodes follow, chosen without any node knowing them all.

A claim is an epoch and the node that leads in it; the higher epoch wins, then the lower place on the ring.
Who has no leader asks the lowest node it knows, which asks the lowest it knows, and so on; the one that knows
none lower leads in the next epoch, once another node has answered it. Claims spread as gossip, and whoever
takes one up registers with its leader. The highest claim ever heard of is durable, so an outdated leader is
never followed again: a leader that hears of a higher epoch whose leader is gone takes a still higher one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

import msgspec

from lucos.actors import Message, World, address, node_of
from lucos.overlay import MEMBERSHIP, Member, MembersChanged, Status, Watch, ring_position, successor_order

# A starting node gives its membership this long to find others before it looks for a leader.
START_S = 2.0
# How long one waits for an answer, and between two rounds of asking when nobody answers.
TRY_S = 1.5
RETRY_S = 5.0
FANOUT = 8
ASKERS_MAX = 1024


class Claim(msgspec.Struct, frozen=True):
    """`leader` leads in `epoch`."""

    epoch: int
    leader: str

    @property
    def rank(self) -> tuple[int, int]:
        """Of two claims the one of the higher rank holds."""
        return self.epoch, -ring_position(self.leader)

    def __str__(self) -> str:
        return f"{self.leader}#{self.epoch}"


class Seek(Message, frozen=True):
    """Who leads? `seen` is the highest claim the sender knows; `lost` says that its leader is silent."""

    seen: Claim | None
    lost: bool


class Follow(Message, frozen=True):
    """The claim the sender follows; None when it looks for one itself, and will tell once it has one."""

    claim: Claim | None


class Register(Message, frozen=True):
    """To the leader of `claim`: the sender follows it. Answered by `Registered`, or by `Follow`."""

    claim: Claim


class Registered(Message, frozen=True):
    claim: Claim


class _Again(Message, frozen=True):
    """To oneself: the answers awaited since `turn` are late."""

    turn: int


class Election:
    """One node's part. `role` is what a leader is called in events.

    `preferred()` names nodes to be asked, and to lead, before others. `changed()` is called whenever `claim`
    is another one. The owner passes every message it receives to `receive`.
    """

    def __init__(
        self,
        world: World,
        role: str,
        preferred: Callable[[], Iterable[str]],
        changed: Callable[[], None],
    ) -> None:
        self._world = world
        self._role = role
        self._preferred = preferred
        self._changed = changed
        saved = world.load()
        self._seen = msgspec.msgpack.decode(saved, type=Claim) if saved else None
        self._following = False
        self._lost = False
        self._members: tuple[Member, ...] = ()
        self._others: list[str] | None = None
        self._asked: dict[str, None] = {}
        self._silent: dict[str, None] = {}
        self._answered = False
        self._askers: dict[str, None] = {}
        self._turn = 0
        # The nodes that follow this one, while it leads.
        self.registered: dict[str, None] = {}
        world.send(MEMBERSHIP, Watch())
        self._arm(START_S)

    @property
    def claim(self) -> Claim | None:
        """What this node follows; None while it has no leader."""
        return self._seen if self._following else None

    @property
    def leading(self) -> bool:
        return self._following and self._seen is not None and self._seen.leader == self._world.node

    def present(self) -> list[str]:
        """The other nodes of this node's view that run, in ring order from this one on."""
        if self._others is None:
            self._others = successor_order((m.node for m in self._members if m.present), self._world.node)
        return self._others

    def receive(self, message: Message, sender: str) -> bool:
        """True when the message was about the election and nothing else."""
        match message:
            case Seek():
                self._sought(message, node_of(sender))
            case Follow(claim=claim):
                self._told(claim, node_of(sender))
            case Register(claim=claim):
                self._register(claim, node_of(sender))
            case Registered(claim=claim):
                if claim == self._seen and self._following:
                    self._arm(None)
                    self._answer_askers()
            case _Again(turn=turn):
                if turn == self._turn:
                    self._late()
            case MembersChanged():
                self._members_changed(message)
                return False
            case _:
                return False
        return True

    def lose(self) -> None:
        """The leader is gone: look for another."""
        if self._following and not self.leading:
            self._following, self._lost = False, True
            self._changed()
            self._seek_anew()

    def verify(self) -> None:
        """Ask the leader whether it still leads, and lose it when it does not answer."""
        if self._seen is not None and self._following and not self.leading:
            self._send(self._seen.leader, Register(self._seen))
            self._arm(TRY_S)

    # --- looking for a leader -------------------------------------------------------------------------

    def _arm(self, delay_s: float | None) -> None:
        """Wait for answers that long; None: for none."""
        self._turn += 1
        if delay_s is not None:
            self._world.after(delay_s, _Again(self._turn))

    def _late(self) -> None:
        if self._following:
            self.lose()
            return
        self._silent.update(self._asked)
        candidates = self._candidates()
        if self._answered and candidates[0] == self._world.node:
            self._lead((self._seen.epoch if self._seen else 0) + 1)
        elif len(candidates) > 1:
            self._seek()
        else:
            self._silent.clear()
            self._asked = {}
            self._arm(RETRY_S)

    def _seek_anew(self) -> None:
        self._silent.clear()
        self._answered = False
        self._seek()

    def _seek(self) -> None:
        """Ask who leads: the first candidate, or, where that is this node, those that would be next."""
        here, candidates = self._world.node, self._candidates()
        others = [name for name in candidates if name != here]
        targets = others[:2] if candidates[0] == here else others[:1]
        self._asked = dict.fromkeys(targets)
        for target in targets:
            self._send(target, Seek(self._seen, self._lost))
        self._arm(TRY_S)

    def _candidates(self) -> list[str]:
        """Who may lead, the likeliest first: those preferred, then all known by their place on the ring."""
        names = sorted((*self.present(), self._world.node), key=ring_position)
        gone = {self._seen.leader} if self._lost and self._seen else set[str]()
        wanted = dict.fromkeys((*self._preferred(), *names))
        left = [name for name in wanted if name not in self._silent and name not in gone]
        return left if self._world.node in left else [*left, self._world.node]

    # --- what others say --------------------------------------------------------------------------------

    def _higher(self, claim: Claim) -> bool:
        return self._seen is None or claim.rank > self._seen.rank

    def _told(self, claim: Claim | None, sender: str) -> None:
        if sender in self._asked:
            del self._asked[sender]
            self._answered = True
        if claim is None:
            return
        if claim.leader == self._world.node:
            # Followers of a former life of this node, which no longer knows who they were.
            if (claim == self._seen and not self.leading) or self._higher(claim):
                self._lead(claim.epoch + 1)
        elif self._higher(claim):
            self._adopt(claim, sender)
        elif claim == self._seen:
            self._told_again(claim, sender)
        elif self._following:
            self._send(sender, Follow(self._seen))
        else:
            # The leader there does not know of a higher epoch, which is over.
            self._send(claim.leader, Seek(self._seen, self._lost))

    def _told_again(self, claim: Claim, sender: str) -> None:
        if self._following:
            if sender == claim.leader:
                self.verify()
        elif sender == claim.leader or not self._lost:
            self._adopt(claim, sender)
        else:
            self._send(claim.leader, Seek(claim, True))

    def _sought(self, message: Seek, sender: str) -> None:
        seen = message.seen
        if seen is not None and self._higher(seen):
            if not message.lost and seen.leader != self._world.node:
                self._adopt(seen, sender)
            elif self.leading or seen.leader == self._world.node:
                self._lead(seen.epoch + 1)
        elif seen == self._seen and message.lost:
            self.verify()
            if not self.leading:
                self._remember(sender)
                self._send(sender, Follow(None))
                return
        if not self._following:
            self._remember(sender)
        self._send(sender, Follow(self.claim))

    def _register(self, claim: Claim, sender: str) -> None:
        if self.leading and claim == self._seen:
            self.registered[sender] = None
            self._send(sender, Registered(claim))
        else:
            self._told(claim, sender)
            self._send(sender, Follow(self.claim))

    def _remember(self, asker: str) -> None:
        if len(self._askers) < ASKERS_MAX:
            self._askers[asker] = None

    def _answer_askers(self) -> None:
        for asker in self._askers:
            self._send(asker, Follow(self.claim))
        self._askers.clear()

    # --- taking a claim up --------------------------------------------------------------------------------

    def _lead(self, epoch: int) -> None:
        claim = Claim(epoch, self._world.node)
        self.registered = {self._world.node: None}
        self._world.emit(f"{self._role}.elected", claim.leader, f"in epoch {epoch}", epoch=epoch)
        self._take(claim)
        self._arm(None)

    def _adopt(self, claim: Claim, sender: str) -> None:
        self.registered = {}
        self._take(claim, but=sender)
        self.verify()

    def _take(self, claim: Claim, but: str = "") -> None:
        """Follow it, durably, and spread it."""
        self._seen, self._following, self._lost = claim, True, False
        self._world.save(msgspec.msgpack.encode(claim))
        self._asked, self._silent = {}, {}
        others = self.present()
        told = dict.fromkeys(others[:2])
        told.update(dict.fromkeys(self._world.random.sample(others, min(FANOUT, len(others)))))
        for name in told:
            if name not in (but, claim.leader):
                self._send(name, Follow(claim))
        self._answer_askers()
        self._changed()

    def _members_changed(self, message: MembersChanged) -> None:
        self._members, self._others = message.members, None
        for change in message.changed:
            departed = change.after in (Status.DEAD, Status.LEFT)
            if departed:
                self.registered.pop(change.node, None)
                if self._seen is not None and change.node == self._seen.leader:
                    self.lose()
            elif change.before in ("", Status.DEAD, Status.LEFT) and self._following:
                self._greet(change.node)

    def _greet(self, node: str) -> None:
        """Tell a newcomer whom to follow: the leader does, and the node before it on the ring."""
        if node != self._world.node and (self.leading or self.present()[:1] == [node]):
            self._send(node, Follow(self._seen))

    def _send(self, node: str, message: Message) -> None:
        if node != self._world.node:
            self._world.send(address(node, self._world.name), message)
