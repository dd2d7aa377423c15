"""The frozen wire format of the model: JSON for people and files, with a version number.

A document is `{"lucos": 1, "type": "VmSpec", "value": {...}}`. Readers refuse a version they do not
know and ignore fields they do not know, so fields may be added within a version, never removed or retyped.
"""

from __future__ import annotations

from typing import Any, TypeVar

import msgspec

from lucos.errors import InputError
from lucos.model import actions, entities

WIRE_VERSION = 1

_TYPES: dict[str, Any] = {
    cls.__name__: cls
    for cls in (
        entities.VmSpec,
        entities.Node,
        entities.Configuration,
        entities.VirtualEnvironment,
        actions.Plan,
        actions.Event,
    )
}

T = TypeVar("T")


def to_json(value: msgspec.Struct) -> bytes:
    """Encode a model object as one JSON document."""
    name = type(value).__name__
    if name not in _TYPES:
        raise TypeError(f"{name} is not a document type")
    return msgspec.json.encode({"lucos": WIRE_VERSION, "type": name, "value": value})


def from_json(document: bytes, expected: type[T]) -> T:
    """Decode a document of type `expected`; raises `InputError` naming the field at fault."""
    try:
        head = msgspec.json.decode(document, type=dict[str, msgspec.Raw])
        version = msgspec.json.decode(head.get("lucos", msgspec.Raw(b"null")))
        name = msgspec.json.decode(head.get("type", msgspec.Raw(b"null")))
        if type(version) is not int or version != WIRE_VERSION:
            raise InputError(
                f"document version {version!r} is not supported",
                hint=f"this version of luc reads version {WIRE_VERSION}",
            )
        if name != expected.__name__:
            raise InputError(f"expected a {expected.__name__} document, found {name!r}")
        return msgspec.json.decode(head.get("value", msgspec.Raw(b"null")), type=expected)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise InputError(f"not a valid {expected.__name__} document: {error}") from None
