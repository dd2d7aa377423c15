"""The directory: small values by key, each kept by the first `replicas` successors of the key's position.

Any node reads and writes: it looks the key up, asks all holders, and takes the newest stamp it hears of; a
write counts when most holders have it. Holders compare what they hold with the other holders of each key, at
each change of their neighbourhood and every `repair_s`: so values reach newcomers and outlive crashes, one
after the other. Concurrent writes of one key are ordered (version, then writer), not prevented: locks are the
registry's.
"""

from __future__ import annotations

from collections import defaultdict
from typing import Any

import msgspec

from lucos.actors import Actor, Calls, Message, World, address, node_of
from lucos.overlay.members import Member
from lucos.overlay.messages import MEMBERSHIP, LookedUp, Lookup, MembersChanged, Watch
from lucos.overlay.ring import Ring, ring_position

DIRECTORY = "directory"


class DirectorySettings(msgspec.Struct, frozen=True):
    """Times in seconds; the same on all nodes. A deleted key is remembered for `forget_s`, so that no holder
    that missed the deletion brings it back. A node holds at most `entries_max` entries.
    """

    replicas: int = 3
    timeout_s: float = 3.0
    repair_s: float = 30.0
    settle_s: float = 0.5
    forget_s: float = 3600.0
    key_bytes_max: int = 256
    value_bytes_max: int = 4096
    entries_max: int = 10_000


class Entry(msgspec.Struct, frozen=True, array_like=True):
    """`value` is None when the key was deleted. Of two entries of a key the greater stamp prevails."""

    key: str
    value: bytes | None
    version: int
    writer: str

    @property
    def stamp(self) -> tuple[int, str]:
        return self.version, self.writer


# --- Local interface ----------------------------------------------------------------------------------


class DirectoryGet(Message, frozen=True):
    """Read `key`; answered by `DirectoryReply` to the sender."""

    call_id: int
    key: str


class DirectoryPut(Message, frozen=True):
    """Write `value`, None to delete; answered by `DirectoryReply`.

    With `expected_version` it is refused when the newest version is another (0: there is none).
    """

    call_id: int
    key: str
    value: bytes | None
    expected_version: int | None = None


class DirectoryReply(Message, frozen=True):
    """`value` and `version` are the newest: of a deleted key None and the version of that, of one that was
    never written None and 0. `ok` False with `error`: it was not read, or not written for sure.
    """

    call_id: int
    ok: bool
    value: bytes | None = None
    version: int = 0
    error: str = ""


# --- Between nodes ------------------------------------------------------------------------------------


class DirectoryFetch(Message, frozen=True):
    """What do you hold of `key`? Answered by `DirectoryHeld`."""

    call_id: int
    key: str


class DirectoryStore(Message, frozen=True):
    """Hold `entry` unless you have a newer one; answered by `DirectoryHeld` with what you hold then."""

    call_id: int
    entry: Entry


class DirectoryHeld(Message, frozen=True):
    """`error` says why an entry was refused."""

    call_id: int
    entry: Entry | None
    error: str = ""


class DirectoryCompare(Message, frozen=True):
    """The keys and stamps that the sender holds and the receiver should hold too."""

    stamps: tuple[tuple[str, int, str], ...]


class DirectorySend(Message, frozen=True):
    """Send me your entries of these keys."""

    keys: tuple[str, ...]


class DirectoryEntries(Message, frozen=True):
    entries: tuple[Entry, ...]


class DirectoryHave(Message, frozen=True):
    """The sender holds these keys with at least these stamps: who is no holder any more may drop them."""

    stamps: tuple[tuple[str, int, str], ...]


# --- To itself ----------------------------------------------------------------------------------------


class DirectoryTick(Message, frozen=True):
    """Time to compare what is held."""


# Keys and entries per message between holders.
BATCH = 256


class Directory(Actor):
    """Actor `directory` of each node. Entries live in memory: they outlive crashes as long as not all holders
    of a key crash within the time of a repair. `held` maps keys to entries; only read it.
    """

    def __init__(self, world: World, settings: DirectorySettings | None = None) -> None:
        super().__init__(world)
        self._settings = settings or DirectorySettings()
        self._calls = Calls(world)
        self._ring = Ring([world.node])
        self.held: dict[str, Entry] = {}
        self._deleted_s: dict[str, float] = {}
        # Who has confirmed to hold a key that this node should not hold any more.
        self._confirmed: dict[str, dict[str, None]] = {}
        self._neighbours: list[str] = []
        self._soon = False
        world.send(MEMBERSHIP, Watch())
        world.after(self._settings.repair_s * world.random.random(), DirectoryTick())

    def receive(self, message: Message, sender: str) -> None:
        local = node_of(sender) == self.world.node
        match message:
            case DirectoryFetch():
                self.world.send(sender, DirectoryHeld(message.call_id, self.held.get(message.key)))
            case DirectoryStore():
                self._store(message, sender)
            case DirectoryCompare():
                self._compare(message, sender)
            case DirectorySend():
                entries = tuple(self.held[key] for key in message.keys[:BATCH] if key in self.held)
                self.world.send(sender, DirectoryEntries(entries))
            case DirectoryEntries():
                taken = [entry for entry in message.entries if not self._take(entry)]
                self._confirm(sender, [entry.key for entry in taken])
            case DirectoryHave():
                self._had(message, node_of(sender))
            case MembersChanged() if local:
                self._members_changed(message)
            case DirectoryTick() if local:
                self._repair()
            case DirectoryGet() if local:
                self._get(message, sender)
            case DirectoryPut() if local:
                self._put(message, sender)
            case _:
                self._calls.settle(message)

    # --- Reading and writing ------------------------------------------------------------------------

    def _get(self, message: DirectoryGet, asker: str) -> None:
        def read(_holders: list[str], newest: Entry | None, error: str) -> None:
            version, value = (newest.version, newest.value) if newest else (0, None)
            self.world.send(asker, DirectoryReply(message.call_id, not error, value, version, error))

        self._gather(message.key, read)

    def _put(self, message: DirectoryPut, asker: str) -> None:
        limits, too_long = self._settings, ""
        if len(message.key.encode()) > limits.key_bytes_max:
            too_long = f"a key of more than {limits.key_bytes_max} bytes"
        elif message.value is not None and len(message.value) > limits.value_bytes_max:
            too_long = f"{message.key}: a value of more than {limits.value_bytes_max} bytes"
        if too_long:
            self.world.send(asker, DirectoryReply(message.call_id, False, None, 0, too_long))
            return

        def read(holders: list[str], newest: Entry | None, error: str) -> None:
            version = newest.version if newest else 0
            value = newest.value if newest else None
            if not error and message.expected_version not in (None, version):
                error = f"{message.key} is at version {version}, not {message.expected_version}"
            if error:
                self.world.send(asker, DirectoryReply(message.call_id, False, value, version, error))
                return
            self._write(
                Entry(message.key, message.value, version + 1, self.world.node), holders, message, asker
            )

        self._gather(message.key, read)

    def _write(self, entry: Entry, holders: list[str], message: DirectoryPut, asker: str) -> None:
        def stored(answers: dict[str, Any]) -> None:
            have = [a for a in answers.values() if isinstance(a, DirectoryHeld) and a.entry == entry]
            errors = [a.error for a in answers.values() if isinstance(a, DirectoryHeld) and a.error]
            ok = 2 * len(have) > len(holders)
            error = "" if ok else (errors or [f"{len(have)} of {len(holders)} holders have it"])[0]
            self.world.send(asker, DirectoryReply(message.call_id, ok, entry.value, entry.version, error))

        self._ask(holders, lambda call_id: DirectoryStore(call_id, entry), stored)

    def _gather(self, key: str, then: Any) -> None:
        """`then(holders, newest entry, error)` follows."""

        def found(answer: LookedUp | None) -> None:
            members: tuple[Member, ...] = answer.holders if answer else ()
            holders = [member.node for member in members[: self._settings.replicas]]
            if not holders:
                then([], None, f"no way to the holders of {key} was found")
                return

            def fetched(answers: dict[str, Any]) -> None:
                heard = [a.entry for a in answers.values() if isinstance(a, DirectoryHeld)]
                newest = max((e for e in heard if e is not None), key=lambda e: e.stamp, default=None)
                error = (
                    "" if 2 * len(heard) > len(holders) else f"{len(heard)} of {len(holders)} holders answer"
                )
                then(holders, newest, error)

            self._ask(holders, lambda call_id: DirectoryFetch(call_id, key), fetched)

        self._calls.ask(MEMBERSHIP, lambda call_id: Lookup(call_id, key), 4 * self._settings.timeout_s, found)

    def _ask(self, holders: list[str], question: Any, then: Any) -> None:
        asked = {node: (address(node, DIRECTORY), question) for node in holders}
        self._calls.ask_all(asked, self._settings.timeout_s, then)

    # --- Holding ------------------------------------------------------------------------------------

    def _take(self, entry: Entry) -> str:
        """Hold `entry` unless a newer one is held; why not, if so."""
        known = self.held.get(entry.key)
        if known is not None and known.stamp >= entry.stamp:
            return ""
        limits = self._settings
        if entry.value is not None and len(entry.value) > limits.value_bytes_max:
            return f"{self.world.node} takes no value of more than {limits.value_bytes_max} bytes"
        if known is None and len(self.held) >= limits.entries_max:
            return f"{self.world.node} holds {limits.entries_max} entries already"
        self.held[entry.key] = entry
        self._confirmed.pop(entry.key, None)
        if entry.value is None:
            self._deleted_s[entry.key] = self.world.now_s()
        else:
            self._deleted_s.pop(entry.key, None)
        return ""

    def _store(self, message: DirectoryStore, sender: str) -> None:
        error = self._take(message.entry)
        held = self.held.get(message.entry.key)
        self.world.send(sender, DirectoryHeld(message.call_id, held, error))

    # --- Repair -------------------------------------------------------------------------------------

    def _members_changed(self, message: MembersChanged) -> None:
        self._ring = Ring([self.world.node, *(m.node for m in message.members if m.present)])
        where, count = ring_position(self.world.node), self._settings.replicas
        neighbours = [*self._ring.before(where, count), *self._ring.after(where + 1, count)]
        if neighbours != self._neighbours:
            self._neighbours = neighbours
            if self.held and not self._soon:
                self._soon = True
                self.world.after(self._settings.settle_s, DirectoryTick())

    def holders(self, key: str) -> list[str]:
        """Who holds `key` as far as this node sees: right for keys near its own position."""
        return self._ring.after(ring_position(key), self._settings.replicas)

    def _repair(self) -> None:
        """Compare with the other holders of each key; forget what was deleted long ago."""
        if not self._soon:
            self.world.after(self._settings.repair_s, DirectoryTick())
        self._soon = False
        now_s = self.world.now_s()
        for key in [key for key, at_s in self._deleted_s.items() if now_s - at_s > self._settings.forget_s]:
            del self._deleted_s[key], self.held[key]
        by_peer: defaultdict[str, list[tuple[str, int, str]]] = defaultdict(list)
        for key, entry in self.held.items():
            for node in self.holders(key):
                if node != self.world.node:
                    by_peer[node].append((key, entry.version, entry.writer))
        for node, stamps in by_peer.items():
            for start in range(0, len(stamps), BATCH):
                batch = tuple(stamps[start : start + BATCH])
                self.world.send(address(node, DIRECTORY), DirectoryCompare(batch))

    def _compare(self, message: DirectoryCompare, sender: str) -> None:
        """Ask for what is newer there, send what is newer here, confirm the rest."""
        wanted, newer, same = [], [], []
        for key, version, writer in message.stamps[:BATCH]:
            known = self.held.get(key)
            if known is None or known.stamp < (version, writer):
                wanted.append(key)
            else:
                same.append(key)
                if known.stamp > (version, writer):
                    newer.append(known)
        if wanted:
            self.world.send(sender, DirectorySend(tuple(wanted)))
        if newer:
            self.world.send(sender, DirectoryEntries(tuple(newer)))
        self._confirm(sender, same)

    def _confirm(self, sender: str, keys: list[str]) -> None:
        stamps = [(key, *self.held[key].stamp) for key in keys if key in self.held]
        if stamps:
            self.world.send(sender, DirectoryHave(tuple(stamps)))

    def _had(self, message: DirectoryHave, node: str) -> None:
        """Drop what this node should not hold and all its holders do."""
        for key, version, writer in message.stamps[:BATCH]:
            entry = self.held.get(key)
            holders = self.holders(key)
            if entry is None or entry.stamp > (version, writer) or self.world.node in holders:
                continue
            confirmed = self._confirmed.setdefault(key, {})
            confirmed[node] = None
            if all(holder in confirmed for holder in holders):
                del self.held[key], self._confirmed[key]
                self._deleted_s.pop(key, None)
