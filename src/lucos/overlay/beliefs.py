"""What this node believes of the others: hearsay merged with what it knows at first hand, and suspicions."""

from __future__ import annotations

from typing import NamedTuple

import msgspec

from lucos.actors import World
from lucos.overlay.identity import Identity
from lucos.overlay.members import Member, Status, supersedes
from lucos.overlay.messages import SwimSuspicionEnds
from lucos.overlay.post import Post
from lucos.overlay.settings import MembershipSettings
from lucos.overlay.table import MemberTable

_EVENTS = {
    Status.SUSPECT: ("member.suspected", "is under suspicion"),
    Status.DEAD: ("member.dead", "was silent too long"),
    Status.LEFT: ("member.left", "left"),
}


class Parts(NamedTuple):
    """What the parts of one membership actor share."""

    world: World
    settings: MembershipSettings
    identity: Identity
    table: MemberTable
    post: Post


class Beliefs:
    def __init__(self, parts: Parts) -> None:
        self._world, self._settings, self._identity, self._table, self._post = parts
        self._answered_s: dict[str, float] = {}
        self._suspicion_ends_s: dict[str, float] = {}

    def hear(
        self, record: Member, *, doubted: bool = False, sampled: bool = False, news: bool = True
    ) -> None:
        """Take in what another node says of one; who is `doubted` to be dead is only suspected.

        A full view takes a stranger in only for a role, or as part of a new random sample (`sampled`).
        Strangers that are no `news` to others are not told on.
        """
        if record.node == self._world.node:
            self._hear_of_myself(record)
            return
        known = self._table.members.get(record.node)
        if known is None:
            if not record.present or not (sampled or self._table.wants(record)):
                return
        elif not supersedes(record, known):
            return
        elif record.status is Status.DEAD and known.present:
            silent_s = self._world.now_s() - self._answered_s.get(record.node, float("-inf"))
            # What this node knows at first hand is fresher than a claim from the other side of a cut.
            if doubted or silent_s < self._settings.suspicion_s:
                record = msgspec.structs.replace(record, status=Status.SUSPECT)
        self._adopt(record, news)

    def accuse(self, node: str, status: Status) -> None:
        """Claim that `node` is suspect or worse, if that is news, and tell everybody."""
        record = msgspec.structs.replace(self._table.members[node], status=status)
        if self._adopt(record):
            self._post.broadcast(record)

    def announce(self) -> None:
        """Tell everybody what this node now says of itself."""
        self._table.put(self._identity.record, self._world.now_s())
        self._post.broadcast()

    def answered(self, node: str, sent_s: float) -> None:
        """`node` answered a probe that was sent at `sent_s`."""
        self._answered_s[node] = sent_s

    def slept(self, slept_s: float) -> None:
        """This node was stalled: its suspicions last longer by that."""
        for node in self._suspicion_ends_s:
            self._suspicion_ends_s[node] += slept_s

    def end_suspicion(self, message: SwimSuspicionEnds) -> None:
        member = self._table.members.get(message.node)
        if member is None or (member.status, member.incarnation) != (Status.SUSPECT, message.incarnation):
            return
        left_s = self._suspicion_ends_s[member.node] - self._world.now_s()
        if left_s > 1e-6:
            self._await_refutation(member, left_s)
        else:
            self.accuse(member.node, Status.DEAD)

    def forget_strangers(self) -> None:
        """Drop what is known of nodes that the table does not hold any more."""
        for known in (self._answered_s, self._suspicion_ends_s):
            for node in known.keys() - self._table.members.keys():
                del known[node]

    def _hear_of_myself(self, record: Member) -> None:
        me = self._identity.record
        if record.incarnation < me.incarnation or not supersedes(record, me):
            return
        elsewhere = "" if record.address == me.address else f" at {record.address}"
        self._world.emit("member.refuted", record.node, f"said to be {record.status}{elsewhere}: not so")
        self._identity.renew(record.incarnation + 1)
        self.announce()

    def _adopt(self, record: Member, news: bool = True) -> bool:
        now_s = self._world.now_s()
        # In a full view a new face is no event: the node is not new, only this view of it.
        stranger = record.node not in self._table.members
        quiet = stranger and self._table.full
        change = self._table.put(record, now_s)
        if change is None:
            return False
        if not quiet and (news or not stranger):
            self._post.tell(msgspec.structs.replace(record, rtt_s=0.0))
        self._suspicion_ends_s.pop(record.node, None)
        if record.status is Status.SUSPECT:
            self._suspicion_ends_s[record.node] = now_s + self._settings.suspicion_s
            self._await_refutation(record, self._settings.suspicion_s)
        silent_s = now_s - self._answered_s.setdefault(record.node, now_s)
        if change.before != change.after and not quiet:
            self._report(record, change.before, silent_s)
        return True

    def _report(self, member: Member, before: str, silent_s: float) -> None:
        kind, text = _EVENTS.get(member.status, ("member.refuted", "answers again"))
        if before in ("", Status.DEAD, Status.LEFT) and member.present:
            kind, text = ("member.returned", "is back") if before else ("member.joined", "joined")
        data = {"silent_s": round(silent_s, 3)} if kind in ("member.suspected", "member.dead") else {}
        self._world.emit(kind, member.node, text, **data)

    def _await_refutation(self, record: Member, delay_s: float) -> None:
        due_s = self._world.now_s() + delay_s
        self._world.after(delay_s, SwimSuspicionEnds(record.node, record.incarnation, due_s))
