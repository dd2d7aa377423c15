"""Finding one's way on the ring: lookups, and keeping the neighbours right by asking them for theirs.

Every question is the same, who is next to a position, and so is every answer. A lookup asks ever closer
predecessors of a key, then its owner; a newcomer's upkeep asks ever closer neighbours of its own position.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import chain, zip_longest

import msgspec

from lucos.actors import Timer
from lucos.overlay.beliefs import Beliefs, Parts
from lucos.overlay.gossip import record_bytes
from lucos.overlay.members import Member, Status
from lucos.overlay.messages import RingFind, RingFound, RingHopEnds, SwimGossip
from lucos.overlay.post import at
from lucos.overlay.ring import POSITIONS, ring_distance, ring_position

# Bytes of a frame beside its records: version, addresses, tags, sequence.
FRAME_BYTES = 256
TRIES = 2
# An owner is told of with so many successors at most.
HOLDERS = 4

Then = Callable[[tuple[Member, ...], int], None]


class _Search:
    """A lookup under way; `after` has what those who answered told of who follows the key."""

    def __init__(self, key: int, then: Then) -> None:
        self.key = key
        self.then = then
        self.hops = 0
        self.known: dict[str, Member] = {}
        self.after: dict[str, tuple[Member, ...]] = {}
        self.silent: set[str] = set()

    def told(self, by: Member, after: Sequence[Member], before: Sequence[Member]) -> None:
        self.after[by.node] = tuple(after)
        for member in (by, *after, *before):
            self.known.setdefault(member.node, member)

    def frontier(self) -> tuple[str, str]:
        """The closest known before the key, and the closest at or after it."""
        names = [name for name in self.known if name not in self.silent]
        before = min(names, key=lambda name: ring_distance(ring_position(name) + 1, self.key))
        return before, min(names, key=lambda name: ring_distance(self.key, ring_position(name)))

    def holders(self, owner: str) -> tuple[Member, ...]:
        """The owner and those it said to follow."""
        others = [m for m in self.after[owner] if m.node != owner and m.node not in self.silent]
        return (self.known[owner], *others[: HOLDERS - 1])


class _Question:
    """One hop: `search` is None for upkeep."""

    def __init__(self, member: Member, key: int, search: _Search | None) -> None:
        self.member = member
        self.key = key
        self.search = search
        self.tries = 0
        self.timer: Timer


def _bare(member: Member) -> Member:
    """A record without its place: coordinates are for exchanges, and so both sides of a neighbourhood fit."""
    return msgspec.structs.replace(member, rtt_s=0.0, coordinate=None)


class Finder:
    """`silent(node)` is told of nodes that do not answer."""

    def __init__(self, parts: Parts, beliefs: Beliefs, silent: Callable[[str], None]) -> None:
        self._world, self._settings, self._identity, self._table, self._post = parts
        self._beliefs = beliefs
        self._silent = silent
        self._position = ring_position(parts.world.node)
        self._open: dict[int, _Question] = {}
        self._sequence = 0
        self._upkeep_s = self._settings.upkeep_s
        self._next_s = 0.0
        self._turns = 0
        self._greeted: dict[str, None] = {}

    # --- Lookups ------------------------------------------------------------------------------------

    def find(self, key: int, then: Then) -> None:
        """`then(holders, hops)` follows: the owner of position `key` and its successors, or nobody."""
        search = _Search(key, then)
        search.told(self._identity.record, *self._around(key))
        self._go_on(search)

    def _go_on(self, search: _Search) -> None:
        before, after = search.frontier()
        for node in (before, after):
            if node not in search.after:
                if search.hops >= self._settings.hops_max:
                    search.then((), search.hops)
                else:
                    search.hops += 1
                    self._ask(_Question(search.known[node], search.key, search))
                return
        search.then(search.holders(after), search.hops)

    def _around(self, key: int) -> tuple[list[Member], list[Member]]:
        """The living others at or after `key`, and those before it, nearest first, nobody in both."""
        count, members = self._settings.successors, self._table.members
        after = self._table.ring.after(key, count)
        before = [node for node in self._table.ring.before(key, count) if node not in after]
        alive = [
            [members[node] for node in side if members[node].status is Status.ALIVE]
            for side in (after, before)
        ]
        return alive[0], alive[1]

    # --- Upkeep -------------------------------------------------------------------------------------

    def hurry(self) -> None:
        """The neighbourhood changed: look after it soon."""
        self._upkeep_s = self._settings.upkeep_s
        self._next_s = min(self._next_s, self._world.now_s() + self._upkeep_s)

    def upkeep(self) -> None:
        """If it is time, ask ring neighbours for theirs, and a finger for a better one."""
        now_s = self._world.now_s()
        if now_s < self._next_s or not len(self._table.ring):
            return
        self._next_s = now_s + self._upkeep_s * self._world.random.uniform(0.75, 1.25)
        self._upkeep_s = min(2 * self._upkeep_s, self._settings.upkeep_max_s)
        self._turns += 1
        self._greet()
        neighbours = self._table.successors() if self._turns % 2 else self._table.predecessors()
        self._ask(_Question(self._table.members[neighbours[0]], self._position, None))
        fingers = self._table.fingers()
        if fingers:
            power = self._world.random.choice(list(fingers))
            finger = self._table.members[fingers[power]]
            self._ask(_Question(finger, (self._position + 2**power) % POSITIONS, None))

    def _greet(self) -> None:
        """Make this node known to new neighbours: it is in their lists if they are in its own."""
        now = dict.fromkeys([*self._table.successors(), *self._table.predecessors()])
        for node in now:
            if node not in self._greeted:
                self._post.send(node, SwimGossip)
        self._greeted = now

    def _upkept(self, question: _Question, told: tuple[Member, ...]) -> None:
        before = self._table.successors(), self._table.predecessors()
        for member in told:
            self._beliefs.hear(member)
        after = self._table.successors(), self._table.predecessors()
        if before == after or question.key != self._position:
            return
        self.hurry()
        self._greet()
        # A newcomer walks to its place at once: each new closest neighbour may know closer ones.
        for was, now in zip(before, after, strict=True):
            if was[:1] != now[:1]:
                self._ask(_Question(self._table.members[now[0]], self._position, None))

    # --- Questions and answers ----------------------------------------------------------------------

    def _ask(self, question: _Question) -> None:
        self._sequence += 1
        self._open[self._sequence] = question
        self._try(self._sequence, question)

    def _try(self, sequence: int, question: _Question) -> None:
        question.tries += 1
        question.timer = self._world.after(self._settings.hop_s, RingHopEnds(sequence))
        self._world.send(at(question.member), RingFind(sequence, question.key, self._identity.record))

    def answer(self, message: RingFind) -> None:
        """Tell who is next to the key. The asker is reached by its address: this view need not hold it."""
        self._beliefs.hear(message.asker)
        after, before = self._around(message.key)
        me = _bare(self._identity.record)
        room = self._settings.datagram_bytes - FRAME_BYTES - record_bytes(me)
        told: tuple[list[Member], list[Member]] = ([], [])
        # Successors first: they hold what the key's owner holds.
        for side, member in chain(
            ((0, member) for member in after[: HOLDERS - 1]),
            chain.from_iterable(
                zip_longest(
                    ((1, m) for m in before), ((0, m) for m in after[HOLDERS - 1 :]), fillvalue=(2, me)
                )
            ),
        ):
            if side < 2:
                bare = _bare(member)
                room -= record_bytes(bare)
                if room < 0:
                    break
                told[side].append(bare)
        found = RingFound(message.sequence, me, tuple(told[0]), tuple(told[1]))
        self._world.send(at(message.asker), found)

    def answered(self, message: RingFound, node: str) -> None:
        question = self._open.get(message.sequence)
        if question is None or question.member.node != node:
            return
        del self._open[message.sequence]
        question.timer.cancel()
        if question.search is None:
            self._upkept(question, (message.me, *message.after, *message.before))
        else:
            question.search.told(message.me, message.after, message.before)
            self._go_on(question.search)

    def late(self, message: RingHopEnds) -> None:
        """Try again, then go on without the silent one."""
        question = self._open.get(message.sequence)
        if question is None:
            return
        if question.tries < TRIES:
            self._try(message.sequence, question)
            return
        del self._open[message.sequence]
        self._silent(question.member.node)
        if question.search is not None:
            question.search.silent.add(question.member.node)
            self._go_on(question.search)
        elif question.key == self._position:
            self.hurry()
