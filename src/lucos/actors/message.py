"""Messages between actors and the codec that carries them between nodes.

A frame is msgpack `[WIRE_VERSION, to, sender, message]`; `to` and `sender` are addresses `node/actor`.
Every message type is a frozen struct tagged with its class name, so one decoder knows them all and
hostile bytes can only ever become a known message or a `WireError`.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any, Union

import msgspec

WIRE_VERSION = 1
FRAME_BYTES_MAX = 4 * 1024 * 1024


_types: dict[str, type[Message]] = {}


class Message(msgspec.Struct, frozen=True, tag=True):
    """Base of all messages. They are immutable, so the simulated world passes them by reference."""

    def __init_subclass__(cls, **_: Any) -> None:
        super().__init_subclass__()
        known = _types.setdefault(cls.__name__, cls)
        # A class is created twice when msgspec adds slots to it; another of that name would take its frames.
        if known.__module__ != cls.__module__:
            raise TypeError(f"{cls.__module__} and {known.__module__} both call a message {cls.__name__}")
        _types[cls.__name__] = cls


class Datagram(Message, frozen=True):
    """A message that travels by datagram: small, may be lost, duplicated or reordered (membership only)."""


class WireError(ValueError):
    """Bytes from a peer that are not a frame of our version."""


def address(node: str, actor: str) -> str:
    return f"{node}/{actor}"


def node_of(where: str) -> str:
    return where.partition("/")[0]


def actor_of(where: str) -> str:
    return where.partition("/")[2]


@lru_cache(maxsize=4)
def _decoder(count: int) -> msgspec.msgpack.Decoder[Any]:
    # Types imported after the first use change `count` and so make a new decoder.
    assert count == len(_types)
    any_message: Any = Union[tuple(_types[name] for name in sorted(_types))]  # noqa: UP007
    return msgspec.msgpack.Decoder(tuple[int, str, str, any_message])


_encoder = msgspec.msgpack.Encoder()


def encode_frame(to: str, sender: str, message: Message) -> bytes:
    return _encoder.encode((WIRE_VERSION, to, sender, message))


def decode_frame(frame: bytes) -> tuple[str, str, Message]:
    """(to, sender, message) of a frame; raises `WireError`."""
    if len(frame) > FRAME_BYTES_MAX:
        raise WireError(f"frame of {len(frame)} bytes, at most {FRAME_BYTES_MAX}")
    try:
        version, to, sender, message = _decoder(len(_types)).decode(frame)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise WireError(str(error)) from None
    if version != WIRE_VERSION:
        raise WireError(f"wire version {version}, this agent speaks {WIRE_VERSION}")
    return to, sender, message
