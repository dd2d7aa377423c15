"""The members one node knows, the transitions they make, and which of them a bounded view keeps.

Up to `view_max` present members are held; what is beyond must go. Kept are those with a role (ring
neighbours, fingers, the nearest, the attended); the rest is a random sample, renewed by exchanges.
"""

from __future__ import annotations

from heapq import nsmallest

import msgspec

from lucos.actors import Random
from lucos.overlay.members import Change, Coordinate, Member, Status, supersedes
from lucos.overlay.ring import POSITIONS, Ring, ring_distance, ring_position
from lucos.overlay.settings import MembershipSettings
from lucos.overlay.vivaldi import distance_s

# A newcomer must be this much nearer than the farthest of the nearest, or noise would replace them for ever.
NEARER = 0.8


class MemberTable:
    """`members` has every known node, also the departed; `ring` the present others, `suspects` some of them.

    `changes` gather until `take_changes`. `attended` names nodes to keep whatever the bound.
    """

    def __init__(self, me: Member, settings: MembershipSettings) -> None:
        self.members: dict[str, Member] = {me.node: me}
        self.ring = Ring()
        self.suspects: dict[str, None] = {}
        self.attended: dict[str, None] = {}
        self._me = me.node
        self._position = ring_position(me.node)
        self._settings = settings
        # Below this many, all that is heard of is held: a trim makes room for more than one at a time.
        self._floor = settings.view_max - settings.view_max // 8
        self._departed_s: dict[str, float] = {}
        self.changes: list[Change] = []
        self._near_s = 0.0
        self._watched: list[str] | None = None
        self._limits: tuple[int, int, list[int]] | None = None

    @property
    def full(self) -> bool:
        """Whether the view may not hold all: what is heard of a stranger then needs a reason to be held."""
        return len(self.ring) >= self._floor

    def population(self) -> float:
        """How many nodes there are: those held, or what the ring's density around this node tells."""
        held = len(self.ring)
        if not self.full:
            return held + 1.0
        count = self._settings.successors
        ahead = ring_distance(self._position, ring_position(self.successors()[count - 1]))
        behind = ring_distance(ring_position(self.predecessors()[count - 1]), self._position)
        return max(held + 1.0, 2 * count * POSITIONS / (ahead + behind))

    def choice(self, node: str, random: Random) -> tuple[Member, ...]:
        """What to tell `node` when all is too much: this node, a random sample, and who is near it."""
        count, where = self._settings.successors, ring_position(node)
        known = self.members.get(node)
        chosen = dict.fromkeys([self._me, *random.sample(self.ring.names, min(2 * count, len(self.ring)))])
        chosen.update(dict.fromkeys(self.ring.after(where, count + 1)))
        chosen.update(dict.fromkeys(self.ring.before(where, count)))
        chosen.update(dict.fromkeys(self.nearest(known.coordinate if known else None, 2 * count)))
        chosen.pop(node, None)
        return tuple(self.members[name] for name in chosen)

    def put(self, record: Member, now_s: float) -> Change | None:
        """Adopt `record` if it supersedes what is known; the transition, or None when nothing is new.

        A departed node not known here is not adopted: its memory must be able to fade.
        """
        known = self.members.get(record.node)
        if not (supersedes(record, known) if known else record.present):
            return None
        if known is not None:
            coordinate = record.coordinate or known.coordinate
            record = msgspec.structs.replace(record, rtt_s=known.rtt_s, coordinate=coordinate)
        self.members[record.node] = record
        self._sort(record, now_s)
        change = Change(record.node, known.status if known else "", record.status)
        if known is None or known.status != record.status or known.tags != record.tags:
            self.changes.append(change)
        return change

    def _sort(self, record: Member, now_s: float) -> None:
        node = record.node
        if node == self._me:
            return
        self._watched = None
        self.suspects.pop(node, None)
        if record.present:
            self._departed_s.pop(node, None)
            if self.ring.add(node):
                self._limits = None
            if record.status is Status.SUSPECT:
                self.suspects[node] = None
        else:
            self._departed_s.setdefault(node, now_s)
            self.ring.discard(node)
            self._limits = None

    def measured(self, node: str, rtt_s: float) -> None:
        """Take a round trip into the smoothed estimate (an eighth of weight, as TCP's)."""
        member = self.members[node]
        smoothed = member.rtt_s + (rtt_s - member.rtt_s) / 8 if member.rtt_s else rtt_s
        self.members[node] = msgspec.structs.replace(member, rtt_s=smoothed)

    def located(self, node: str, coordinate: Coordinate | None) -> None:
        """Remember where a known node says that it is."""
        member = self.members.get(node)
        if member is not None and coordinate is not None and member.coordinate is not coordinate:
            self.members[node] = msgspec.structs.replace(member, coordinate=coordinate)

    # --- Roles --------------------------------------------------------------------------------------

    def watched(self) -> list[str]:
        """Those this node must probe each period: its first living successors, and the attended."""
        if self._watched is None:
            alive = [n for n in self.ring.after(self._position, len(self.ring)) if n not in self.suspects]
            chosen = dict.fromkeys(alive[: self._settings.ring_successors])
            chosen.update((n, None) for n in self.attended if n in self.ring and n not in self.suspects)
            self._watched = list(chosen)
        return self._watched

    def attend(self, nodes: list[str]) -> None:
        self.attended = dict.fromkeys(nodes)
        self._watched = None

    def successors(self) -> list[str]:
        """The present nodes that follow this one on the ring, at most `successors` of them."""
        return self.ring.after(self._position, self._settings.successors)

    def predecessors(self) -> list[str]:
        return self.ring.before(self._position, self._settings.successors)

    def finger(self, power: int) -> str:
        """The first node at least 2**power positions on (itself unknown: the table must not be empty)."""
        return self.ring.after(self._position + 2**power, 1)[0]

    def fingers(self) -> dict[int, str]:
        """By power of two, the fingers beyond the successors."""
        successors = self.successors()
        if len(successors) < self._settings.successors:
            return {}
        nearest = ring_distance(self._position, ring_position(successors[-1])).bit_length()
        return {power: self.finger(power) for power in range(nearest, POSITIONS.bit_length() - 1)}

    def nearest(self, where: Coordinate | None, count: int) -> list[str]:
        """The present others that are nearest to `where`, of those whose place is known."""
        if where is None:
            return []
        placed = [
            (distance_s(where, c), n)
            for n in self.ring.names
            if (c := self.members[n].coordinate) is not None
        ]
        return [node for _, node in nsmallest(count, placed)]

    def wants(self, record: Member) -> bool:
        """Whether a stranger that is `record` would have a role here, or there is room for it anyway."""
        if not self.full:
            return True
        if record.status is not Status.ALIVE:
            return False
        if self._limits is None:
            self._limits = self._find_limits()
        ahead = ring_distance(self._position, ring_position(record.node))
        last, first, fingers = self._limits
        if ahead < last or ahead > first or ahead < fingers[ahead.bit_length()]:
            return True
        mine = self.members[self._me].coordinate
        if mine is None or record.coordinate is None:
            return False
        return distance_s(mine, record.coordinate) < self._near_s * NEARER

    def _find_limits(self) -> tuple[int, int, list[int]]:
        """How far on the last successor and the first predecessor are, and the finger of each bit length."""

        def ahead(node: str) -> int:
            return ring_distance(self._position, ring_position(node))

        bits = POSITIONS.bit_length() - 1
        fingers = [0, *(ahead(self.finger(power)) for power in range(bits))]
        return ahead(self.successors()[-1]), ahead(self.predecessors()[-1]), fingers

    def trim(self, random: Random) -> None:
        """Let go of members without a role, at random, when there are more than `view_max`."""
        if len(self.ring) <= self._settings.view_max + len(self.attended):
            return
        mine = self.members[self._me].coordinate
        near = self.nearest(mine, self._settings.view_max // 5)
        if near and mine is not None:
            farthest = self.members[near[-1]].coordinate
            self._near_s = distance_s(mine, farthest) if farthest else 0.0
        kept = {*self.successors(), *self.predecessors(), *self.fingers().values(), *near, *self.attended}
        others = [node for node in self.ring.names if node not in kept]
        surplus = len(self.ring) - self._floor - len(self.attended)
        for node in random.sample(others, min(surplus, len(others))):
            self._drop(node)

    def _drop(self, node: str) -> None:
        self.changes.append(Change(node, self.members[node].status, ""))
        self._departed_s.pop(node, None)
        self.suspects.pop(node, None)
        self.ring.discard(node)
        self._watched = self._limits = None
        del self.members[node]

    # --- The departed -------------------------------------------------------------------------------

    @property
    def departed(self) -> bool:
        return bool(self._departed_s)

    def dead(self) -> list[str]:
        return [node for node in self._departed_s if self.members[node].status is Status.DEAD]

    def forget(self, before_s: float, keep_max: int) -> None:
        """Drop those that departed before `before_s`, and the earliest beyond `keep_max`."""
        surplus = len(self._departed_s) - keep_max
        for rank, (node, at_s) in enumerate(list(self._departed_s.items())):
            if at_s < before_s or rank < surplus:
                self._drop(node)

    def take_changes(self) -> tuple[Change, ...]:
        changes, self.changes = tuple(self.changes), []
        return changes
