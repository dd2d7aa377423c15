"""The queue on record: one record per vjob, and the head. No change is lost: all are by compare-and-swap."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TypeVar

import msgspec

from lucos.actors import Calls, Message
from lucos.actors.ports import REGISTRY, Record, RegistryDelete, RegistryGet, RegistryPut, RegistryReply
from lucos.errors import InputError, LucError, Unreachable
from lucos.resources.queue.vjob import Head, VjobRecord

PREFIX = "queue/"
HEAD = "queue/head"
VJOBS = "queue/vjob/"
TIMEOUT_S = 5.0
TRIES_MAX = 5

T = TypeVar("T", Head, VjobRecord)


def _decoded(record: Record, kind: type[T]) -> T:
    """The value of a record; raises `InputError` naming the record."""
    try:
        return msgspec.json.decode(record.value, type=kind)
    except msgspec.MsgspecError as error:
        raise InputError(f"registry: {record.key}: {error}") from None


def failure(reply: RegistryReply | None) -> str:
    """Why the registry could not be asked; empty when it answered."""
    why = reply.error if reply else "no answer"
    return f"registry: {why}" if why else ""


class Shelf:
    """What the registry answered: the head and the vjobs, each with its version."""

    def __init__(self, reply: RegistryReply | None) -> None:
        self.error = failure(reply)
        self.head: Head | None = None
        self.vjobs: dict[str, VjobRecord] = {}
        self.versions: dict[str, int] = {}
        for record in reply.records if reply else ():
            try:
                if record.key == HEAD:
                    self.head = _decoded(record, Head)
                else:
                    self.vjobs[record.key.removeprefix(VJOBS)] = _decoded(record, VjobRecord)
            except InputError as wrong:
                self.error = wrong.message
            self.versions[record.key] = record.version

    def in_order(self) -> list[VjobRecord]:
        """As submitted."""
        return sorted(self.vjobs.values(), key=lambda record: record.rank)


def read(calls: Calls, then: Callable[[Shelf], None]) -> None:
    """All of the queue."""
    calls.ask(REGISTRY, lambda c: RegistryGet(c, PREFIX), TIMEOUT_S, lambda reply: then(Shelf(reply)))


def amend(
    calls: Calls,
    key: str,
    kind: type[T],
    change: Callable[[T | None], T | None],
    then: Callable[[LucError | None, T | None], None],
    tries: int = TRIES_MAX,
) -> None:
    """Write what `change` makes of a record (None: there is none), or delete it when that is None.

    `then(error, record)` follows; what `change` raises is the error.
    """

    def found(reply: RegistryReply | None) -> None:
        # A key is also the prefix of longer ones.
        record = next((r for r in reply.records if r.key == key), None) if reply else None
        try:
            if why := failure(reply):
                raise Unreachable(why)
            after = change(_decoded(record, kind) if record else None)
        except LucError as error:
            then(error, None)
            return
        if after is None and record is None:
            then(None, None)
            return
        version = record.version if record else 0
        calls.ask(REGISTRY, write(key, after, version), TIMEOUT_S, lambda reply: written(reply, after))

    def written(reply: RegistryReply | None, after: T | None) -> None:
        why = failure(reply)
        if reply is not None and reply.ok:
            then(None, after)
        elif not why and tries > 1:
            amend(calls, key, kind, change, then, tries - 1)
        else:
            then(Unreachable(why or f"registry: others kept changing {key}"), None)

    calls.ask(REGISTRY, lambda c: RegistryGet(c, key), TIMEOUT_S, found)


def write(key: str, value: Head | VjobRecord | None, version: int) -> Callable[[int], Message]:
    """The request to put (None: to delete) a record of this version."""

    def request(call_id: int) -> Message:
        if value is None:
            return RegistryDelete(call_id, key, version)
        return RegistryPut(call_id, key, msgspec.json.encode(value), version)

    return request


def write_all(
    calls: Calls,
    shelf: Shelf,
    records: Iterable[VjobRecord],
    gone: Iterable[str],
    then: Callable[[str], None],
) -> None:
    """Write these records of `shelf` and delete those `gone`; `then` gets what failed, or an empty string."""
    values: dict[str, VjobRecord | None] = {VJOBS + record.vjob.name: record for record in records}
    values |= {VJOBS + name: None for name in gone}

    def written(replies: dict[str, RegistryReply | None]) -> None:
        for key, reply in replies.items():
            if why := failure(reply):
                then(why)
                return
            if reply is not None and not reply.ok:
                then(f"registry: {key} was changed meanwhile")
                return
            shelf.versions[key] = _version(reply)
            name, value = key.removeprefix(VJOBS), values[key]
            if value is None:
                del shelf.vjobs[name]
            else:
                shelf.vjobs[name] = value
        then("")

    asked = {key: (REGISTRY, write(key, value, shelf.versions[key])) for key, value in values.items()}
    calls.ask_all(asked, TIMEOUT_S, written)


def _version(reply: RegistryReply | None) -> int:
    records: tuple[Record, ...] = reply.records if reply else ()
    return records[0].version if records else 0
