"""Membership's datagrams: UDP packets sealed with the cluster's keyring.

A packet is `version (1 byte) | key id (4) | nonce (12) | AES-GCM of the frame`; version and key id are
associated data. The first key of the ring seals, all open, so keys are replaced one host at a time. Whoever
holds a key is a member: the sender's name is not proved, and a recorded packet can be replayed; membership
bears both duplicates and old news.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
from collections import Counter
from collections.abc import Callable, Sequence
from logging import Logger
from typing import Any

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from lucos.actors.message import Message, WireError, decode_frame, encode_frame, node_of
from lucos.actors.real.limits import PeerStatistics
from lucos.errors import InputError, Refused

PAYLOAD_BYTES_MAX = 1200
_VERSION = b"\x01"
_KEY_ID_BYTES = 4
_NONCE_BYTES = 12
_HEADER_BYTES = len(_VERSION) + _KEY_ID_BYTES

OnMessage = Callable[[str, str, Message], None]
ResolveDatagram = Callable[[str], tuple[str, int] | None]


class Keyring:
    """AES keys of 16, 24 or 32 bytes; the first seals, all open."""

    def __init__(self, keys: Sequence[bytes]) -> None:
        try:
            ciphers = {hashlib.blake2s(key, digest_size=_KEY_ID_BYTES).digest(): AESGCM(key) for key in keys}
        except ValueError as error:
            raise InputError(f"keyring: {error}", hint="luc init writes a good one") from None
        if not ciphers:
            raise InputError("the keyring holds no key", hint="luc init writes one")
        self._ciphers = ciphers
        self._sealing = next(iter(ciphers.items()))

    def seal(self, payload: bytes) -> bytes:
        key_id, cipher = self._sealing
        header, nonce = _VERSION + key_id, os.urandom(_NONCE_BYTES)
        return header + nonce + cipher.encrypt(nonce, payload, header)

    def open(self, packet: bytes) -> bytes:
        """The payload; raises `WireError` if no key of ours sealed it."""
        header = packet[:_HEADER_BYTES]
        nonce = packet[_HEADER_BYTES : _HEADER_BYTES + _NONCE_BYTES]
        cipher = self._ciphers.get(header[len(_VERSION) :])
        if header[: len(_VERSION)] != _VERSION or cipher is None or len(nonce) < _NONCE_BYTES:
            raise WireError("not sealed by a key of the ring")
        try:
            return cipher.decrypt(nonce, packet[_HEADER_BYTES + _NONCE_BYTES :], header)
        except (InvalidTag, ValueError):
            raise WireError("not sealed by a key of the ring") from None


class SealedDatagrams(asyncio.DatagramProtocol):
    """The UDP end of `node`. `resolve(node)` gives a peer's `(ip, port)`.

    An address `@IP:PORT/actor` reaches whoever listens there: so a node finds its first peers, whose names it
    does not know. All that cannot be sent or opened is counted in `dropped`, by reason.
    """

    def __init__(self, node: str, keys: Sequence[bytes], resolve: ResolveDatagram, log: Logger) -> None:
        self.node = node
        self.statistics = PeerStatistics()
        self._keyring = Keyring(keys)
        self._resolve = resolve
        self._log = log
        self._on_message: OnMessage | None = None
        self._transport: asyncio.DatagramTransport | None = None
        self._paused = False

    @property
    def dropped(self) -> Counter[str]:
        return self.statistics.dropped

    async def start(self, ip: str, port: int, on_message: OnMessage) -> int:
        """Listen and return the port (a free one for 0); raises `Refused` when it cannot be had."""
        self._on_message = on_message
        loop = asyncio.get_running_loop()
        try:
            self._transport, _ = await loop.create_datagram_endpoint(lambda: self, local_addr=(ip, port))
        except OSError as error:
            raise Refused(
                f"cannot listen on {ip}:{port} for membership: {error.strerror or error}",
                hint="another agent may run here; see agent.listen and agent.membership_port",
            ) from None
        bound: int = self._transport.get_extra_info("sockname")[1]
        return bound

    def close(self) -> None:
        if self._transport is not None:
            self._transport.abort()
            self._transport = None

    def send(self, to: str, sender: str, message: Message) -> None:
        payload = encode_frame(to, sender, message)
        where = self._where(node_of(to))
        if self._transport is None:
            self.dropped["closed"] += 1
        elif where is None:
            self.dropped["unknown peer"] += 1
        elif len(payload) > PAYLOAD_BYTES_MAX:
            self.dropped["too large"] += 1
        elif self._paused:
            self.dropped["send buffer full"] += 1
        else:
            self.statistics.sent(len(payload))
            self._transport.sendto(self._keyring.seal(payload), where)

    def _where(self, node: str) -> tuple[str, int] | None:
        if not node.startswith("@"):
            return self._resolve(node)
        ip, _, port = node[1:].rpartition(":")
        return (ip, int(port)) if ip and port.isdecimal() else None

    def datagram_received(self, data: bytes, addr: tuple[str | Any, int]) -> None:
        try:
            payload = self._keyring.open(data)
            to, sender, message = decode_frame(payload)
        except WireError as error:
            self.dropped["not ours"] += 1
            self._log.debug("datagram from %s refused: %s", addr, error)
            return
        if node_of(to) != self.node and not to.startswith("@"):
            self.dropped["for another node"] += 1
        elif self._on_message is not None:
            self.statistics.received(len(payload))
            self._on_message(to, sender, message)

    def pause_writing(self) -> None:
        self._paused = True

    def resume_writing(self) -> None:
        self._paused = False

    def error_received(self, exc: Exception) -> None:
        # What ICMP says of a peer (nobody listens there) is for membership to find out by silence.
        self.dropped["network error"] += 1
        self._log.debug("datagram: %s", exc)
