"""The VEs on record: read, changed and written back by compare-and-swap, so that no change is lost."""

from __future__ import annotations

from collections.abc import Callable

from lucos.actors import Calls, Message
from lucos.actors.ports import REGISTRY, RegistryDelete, RegistryGet, RegistryPut, RegistryReply
from lucos.errors import InputError
from lucos.model import VirtualEnvironment, from_json, to_json

PREFIX = "ve/"
GONE = "it is no longer on record"
REGISTRY_TIMEOUT_S = 5.0
TRIES_MAX = 5


def failure(reply: RegistryReply | None) -> str:
    """Why the registry could not be asked; empty when it answered."""
    why = reply.error if reply else "no answer"
    return f"registry: {why}" if why else ""


def decode(reply: RegistryReply | None) -> tuple[tuple[VirtualEnvironment, ...], str]:
    """The VEs of a registry's answer, and why not all of them."""
    ves, error = [], failure(reply)
    for record in reply.records if reply else ():
        try:
            ves.append(from_json(record.value, VirtualEnvironment))
        except InputError as wrong:
            error = f"registry: {record.key}: {wrong.message}"
    return tuple(ves), error


def amend(
    calls: Calls,
    name: str,
    change: Callable[[VirtualEnvironment], VirtualEnvironment | None],
    then: Callable[[str], None],
    tries: int = TRIES_MAX,
) -> None:
    """Write what `change` makes of the VE's record, or delete it when that is None.

    `then("")` follows, or `then(GONE)` when there is no such record, or `then` with what failed.
    """
    key = PREFIX + name

    def read(reply: RegistryReply | None) -> None:
        # A key is also the prefix of longer ones.
        record = next((r for r in reply.records if r.key == key), None) if reply else None
        if record is None:
            then(failure(reply) or GONE)
            return
        changed = change(from_json(record.value, VirtualEnvironment))
        version = record.version

        def write(call_id: int) -> Message:
            if changed is None:
                return RegistryDelete(call_id, key, version)
            return RegistryPut(call_id, key, to_json(changed), version)

        calls.ask(REGISTRY, write, REGISTRY_TIMEOUT_S, written)

    def written(reply: RegistryReply | None) -> None:
        why = failure(reply)
        if why or (reply is not None and reply.ok):
            then(why)
        elif tries > 1:
            amend(calls, name, change, then, tries - 1)
        else:
            then(f"registry: others kept changing {key}")

    calls.ask(REGISTRY, lambda c: RegistryGet(c, key), REGISTRY_TIMEOUT_S, read)
