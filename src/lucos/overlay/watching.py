"""Those on this node who follow the membership: what they are told, and whom they have it attend to."""

from __future__ import annotations

from lucos.overlay.beliefs import Beliefs, Parts
from lucos.overlay.finder import Finder
from lucos.overlay.members import Change, Coordinate, Member, Status
from lucos.overlay.messages import Attend, MembersChanged
from lucos.overlay.ring import ring_position
from lucos.overlay.vivaldi import distance_s, moved_s

# A place that moved by this much, and by this part of its distance, is worth telling.
MOVED_S = 0.0005
MOVED_PART = 0.1


class Watching:
    def __init__(self, parts: Parts, beliefs: Beliefs, finder: Finder) -> None:
        self._world, self._settings, self._identity, self._table, _ = parts
        self._beliefs = beliefs
        self._finder = finder
        self._attended: dict[str, tuple[str, ...]] = {}
        self._told: dict[str, Coordinate] = {}

    def watch(self, watcher: str) -> None:
        self._identity.add_watcher(watcher)
        self._world.send(watcher, MembersChanged(tuple(self._table.members.values())))

    def publish(self) -> None:
        """Tell the changes since the last time, if any."""
        changes = self._table.take_changes()
        watchers = dict.fromkeys([*self._identity.watchers, *self._attended])
        if changes and watchers:
            message = MembersChanged(tuple(self._table.members.values()), changes)
            for watcher in watchers:
                self._world.send(watcher, message)

    def refresh(self) -> None:
        """Tell where members are now, if some have moved since this was told."""
        members = self._table.members
        mine = self._identity.record.coordinate
        moved = False
        for node, member in members.items():
            now, told = member.coordinate, self._told.get(node)
            if now is None or mine is None:
                continue
            least_s = max(MOVED_S, MOVED_PART * distance_s(mine, now))
            moved = moved or told is None or moved_s(told, now) > least_s
        if moved:
            self._told = {n: m.coordinate for n, m in members.items() if m.coordinate is not None}
            message = MembersChanged(tuple(members.values()))
            for watcher in self._identity.watchers:
                self._world.send(watcher, message)

    def attend(self, message: Attend, sender: str) -> None:
        """Hold and probe the nodes; those that the view does not hold are looked up."""
        self._attended.pop(sender, None)
        if message.nodes:
            self._attended[sender] = message.nodes
        mine = self._identity.record.node
        wanted = dict.fromkeys(n for nodes in self._attended.values() for n in nodes if n != mine)
        self._table.attend(list(wanted)[: self._settings.attended_max])
        for node in message.nodes:
            known = self._table.members.get(node)
            if node in self._table.attended and (known is None or not known.present):
                self._look_for(node, sender)

    def _look_for(self, node: str, sender: str) -> None:
        def found(holders: tuple[Member, ...], _: int) -> None:
            if holders and holders[0].node == node:
                self._beliefs.hear(holders[0], sampled=True)
            elif node in self._table.attended and node not in self._table.members:
                # Nobody is there any more: that is what the sender wants to hear in time.
                gone = Change(node, "", Status.DEAD)
                self._world.send(sender, MembersChanged(tuple(self._table.members.values()), (gone,)))

        self._finder.find(ring_position(node), found)
