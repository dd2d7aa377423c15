"""What this node says of itself, durable so that a restarted node is believed and finds its watchers."""

from __future__ import annotations

import msgspec

from lucos.actors import World
from lucos.errors import InputError, Refused
from lucos.overlay.members import Coordinate, Member, Status

TAGS_BYTES_MAX = 256
WATCHERS_MAX = 64


class _Saved(msgspec.Struct):
    incarnation: int = 0
    tags: dict[str, str] = {}
    watchers: list[str] = []


class Identity:
    """`record` is this node's own; it starts alive, one incarnation above the last it ever had."""

    def __init__(self, world: World, me: Member) -> None:
        self._world = world
        state = world.load()
        self._saved = msgspec.msgpack.decode(state, type=_Saved) if state else _Saved()
        self._base_tags = me.tags
        self.record = msgspec.structs.replace(me, status=Status.ALIVE, rtt_s=0.0)
        self.renew(self._saved.incarnation + 1)

    @property
    def watchers(self) -> list[str]:
        return self._saved.watchers

    def renew(self, incarnation: int) -> None:
        """Take a higher incarnation, durable before anybody can hear of it."""
        tags = {name: value for name, value in (self._base_tags | self._saved.tags).items() if value}
        self.record = msgspec.structs.replace(self.record, incarnation=incarnation, tags=tags)
        self._saved.incarnation = incarnation
        self._save()

    def place(self, coordinate: Coordinate) -> None:
        """Tell from now on that this node is at `coordinate`: no news, so no new incarnation."""
        self.record = msgspec.structs.replace(self.record, coordinate=coordinate)

    def leave(self) -> None:
        self.record = msgspec.structs.replace(self.record, status=Status.LEFT)

    def set_tags(self, tags: dict[str, str]) -> None:
        """Raises `InputError` when they take too many bytes."""
        wanted = self._saved.tags | tags
        if len(msgspec.msgpack.encode(self._base_tags | wanted)) > TAGS_BYTES_MAX:
            raise InputError(
                f"the tags of {self.record.node} take more than {TAGS_BYTES_MAX} bytes",
                hint="tags travel on every datagram: keep them few and short",
            )
        self._saved.tags = wanted
        self.renew(self.record.incarnation + 1)

    def add_watcher(self, watcher: str) -> None:
        """Raises `Refused` beyond `WATCHERS_MAX`."""
        if watcher in self._saved.watchers:
            return
        if len(self._saved.watchers) >= WATCHERS_MAX:
            raise Refused(f"{watcher} cannot watch the membership: {WATCHERS_MAX} actors already do")
        self._saved.watchers.append(watcher)
        self._save()

    def _save(self) -> None:
        self._world.save(msgspec.msgpack.encode(self._saved))
