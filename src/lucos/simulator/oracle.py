"""The overlay answered by the platform: what `Membership` would tell, without its messages.

For simulations of so many nodes that their pings would be most of the work. Each node has a bounded view, as
with the real membership: its successors and predecessors on the ring, its nearest nodes and a few at random.
Who watches a node that crashes learns of it after a delay drawn from what full runs measured
(`overlay.detection`), who watches one that returns learns that too. Coordinates are the platform's latencies.
Cuts are not seen: scenarios that cut networks need the full overlay.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from random import Random

import msgspec

from lucos.actors import Actor, Message, World
from lucos.overlay.members import Change, Member, Status
from lucos.overlay.messages import Attend, MembersChanged, Watch
from lucos.overlay.ring import Ring

RING_SUCCESSORS = 24
RING_PREDECESSORS = 8
NEAREST = 32
RANDOM = 16

Draw = Callable[[Random], float]


class OracleDeath(Message, frozen=True):
    """To the overlay of a watching node, from the platform: `node` was found dead, or is back."""

    node: str
    back: bool


class OraclePlatform:
    """What all oracles of one simulation share: the members, who watches whom, and the ring.

    `members` are all nodes with their coordinates. `draw_detection_s` gives the delay after which one
    watcher learns of a crash. `tell(node, delay_s, message)` carries a message to a node's oracle.
    """

    def __init__(
        self,
        members: Mapping[str, Member],
        draw_detection_s: Draw,
        tell: Callable[[str, float, Message], None],
        seed: int,
    ) -> None:
        self.members = members
        self.random = Random(f"{seed}/oracle")
        self._draw = draw_detection_s
        self._tell = tell
        self.down: dict[str, None] = {}
        self._watchers: dict[str, dict[str, None]] = {name: {} for name in members}
        self._ring = Ring(members).names
        self._rank = {name: rank for rank, name in enumerate(self._ring)}
        self._by_place = _Places(members)

    def view_of(self, node: str) -> list[str]:
        """The nodes that `node` knows: bounded, the same each time."""
        count, rank = len(self._ring), self._rank[node]
        around = range(-RING_PREDECESSORS, RING_SUCCESSORS + 1)
        view = dict.fromkeys(self._ring[(rank + step) % count] for step in around)
        view.update(dict.fromkeys(self._by_place.nearest(node, NEAREST)))
        chance = Random(f"view/{node}")
        view.update(dict.fromkeys(chance.choice(self._ring) for _ in range(RANDOM)))
        view.pop(node, None)
        return list(view)

    def watch(self, watcher: str, node: str) -> None:
        """`watcher` is told of the deaths and returns of `node` from now on."""
        self._watchers[node][watcher] = None

    def unwatch(self, watcher: str, node: str) -> None:
        self._watchers[node].pop(watcher, None)

    def crashed(self, node: str) -> None:
        """The host or its agent is gone: those that watch it will find out."""
        self.down[node] = None
        for watcher in self._watchers[node]:
            self._tell(watcher, self._draw(self.random), OracleDeath(node, False))

    def returned(self, node: str) -> None:
        """It is up again, and pings."""
        self.down.pop(node, None)
        for watcher in self._watchers[node]:
            self._tell(watcher, self.random.uniform(0.1, 1.0), OracleDeath(node, True))


class _Places:
    """Nodes by place: those of one site are at one coordinate but for their number, so order is by site."""

    def __init__(self, members: Mapping[str, Member]) -> None:
        self._members = members
        self._sites: dict[str, list[str]] = {}
        for name, member in members.items():
            self._sites.setdefault(member.site, []).append(name)
        self._rank = {name: i for names in self._sites.values() for i, name in enumerate(names)}

    def nearest(self, node: str, count: int) -> list[str]:
        """Half as many neighbours on each side within the site; the random part knows the other sites."""
        names = self._sites[self._members[node].site]
        first = self._rank[node] - count // 2
        return [names[i % len(names)] for i in range(first, first + min(count, len(names)))]


class OracleMembership(Actor):
    """Answers `Watch` and `Attend` as `Membership` does, from the platform."""

    def __init__(self, world: World, platform: OraclePlatform) -> None:
        super().__init__(world)
        self._platform = platform
        self._dead = {node: None for node in platform.down if node != world.node}
        self._watchers: dict[str, None] = {}
        self._attended: dict[str, tuple[str, ...]] = {}
        self._view = platform.view_of(world.node)
        self._known = set(self._view)
        for node in self._view:
            platform.watch(world.node, node)

    @property
    def members(self) -> dict[str, Member]:
        """This node's view, itself first."""
        mine = self.world.node
        names = dict.fromkeys((mine, *self._view, *(n for a in self._attended.values() for n in a)))
        return {name: self._record(name) for name in names}

    def receive(self, message: Message, sender: str) -> None:
        match message:
            case Watch():
                self._watchers[sender] = None
                self.world.send(sender, MembersChanged(tuple(self.members.values())))
            case Attend(nodes=nodes):
                self._attend(sender, nodes)
            case OracleDeath(node=node, back=back):
                self._changed(node, back)

    def _record(self, name: str) -> Member:
        member = self._platform.members[name]
        return msgspec.structs.replace(member, status=Status.DEAD) if name in self._dead else member

    def _attend(self, sender: str, nodes: tuple[str, ...]) -> None:
        here = self.world.node
        before = self._attended.pop(sender, ())
        wanted = tuple(n for n in dict.fromkeys(nodes) if n not in self._known and n != here)
        for node in wanted:
            self._platform.watch(here, node)
        for node in before:
            self._platform.unwatch(here, node)
        if wanted:
            self._attended[sender] = wanted

    def _changed(self, node: str, back: bool) -> None:
        before = Status.DEAD if node in self._dead else Status.ALIVE
        if back:
            self._dead.pop(node, None)
        else:
            self._dead[node] = None
        after = Status.ALIVE if back else Status.DEAD
        if before is after:
            return
        kind, text = ("member.returned", "is back") if back else ("member.dead", "was silent too long")
        self.world.emit(kind, node, text)
        change = (Change(node, before, after),)
        everybody = tuple(self.members.values())
        for watcher in self._watchers:
            self.world.send(watcher, MembersChanged(everybody, change))
