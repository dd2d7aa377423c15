"""The outgoing stream to one peer: a bounded queue, reconnection, and closing when idle."""

from __future__ import annotations

import asyncio
import random
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from logging import Logger
from typing import Any

import grpc
import grpc.aio
from cryptography import x509
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from lucos.actors.message import FRAME_BYTES_MAX
from lucos.actors.real.limits import PeerStatistics, TransportLimits
from lucos.errors import InputError

SERVICE = "lucos.Transport"
FRAMES = "Frames"

Options = list[tuple[str, Any]]
_Call = grpc.aio.StreamStreamCall[bytes, bytes]


@dataclass(frozen=True)
class Secrets:
    """PEM texts: the authority's certificate, and this node's certificate and key; raises `InputError`."""

    ca: bytes
    certificate: bytes
    key: bytes

    def __post_init__(self) -> None:
        # gRPC would only say that it cannot listen.
        try:
            x509.load_pem_x509_certificates(self.ca)
            public = x509.load_pem_x509_certificate(self.certificate).public_key()
            own = load_pem_private_key(self.key, password=None).public_key()
        except (ValueError, TypeError) as error:
            raise InputError(
                f"the certificates of this host cannot be read: {error}",
                hint="see [security] of its configuration",
            ) from None
        if own != public:
            raise InputError(
                "the key of this host does not belong to its certificate", hint="see security.key"
            )


@dataclass(frozen=True)
class Dialler:
    """Opens channels to peers; `resolve(node)` gives `ip:port`, None for an unknown node."""

    secrets: Secrets
    resolve: Callable[[str], str | None]
    limits: TransportLimits

    def dial(self, node: str) -> grpc.aio.Channel | None:
        where = self.resolve(node)
        if where is None:
            return None
        credentials = grpc.ssl_channel_credentials(
            self.secrets.ca, private_key=self.secrets.key, certificate_chain=self.secrets.certificate
        )
        options = [
            *common_options(self.limits),
            ("grpc.ssl_target_name_override", node),
            ("grpc.use_local_subchannel_pool", 1),
            ("grpc.enable_http_proxy", 0),
            ("grpc.enable_retries", 0),
            ("grpc.service_config_disable_resolution", 1),
            # Also the deadline of one attempt to connect.
            ("grpc.min_reconnect_backoff_ms", int(self.limits.connect_timeout_s * 1000)),
        ]
        return grpc.aio.secure_channel(where, credentials, options)


def common_options(limits: TransportLimits) -> Options:
    """Channel options of both ends."""
    return [
        ("grpc.max_receive_message_length", FRAME_BYTES_MAX),
        ("grpc.max_send_message_length", FRAME_BYTES_MAX),
        ("grpc.keepalive_time_ms", int(limits.keepalive_s * 1000)),
        ("grpc.keepalive_timeout_ms", int(limits.keepalive_timeout_s * 1000)),
        # gRPC waits for the answer to a ping by this one, a minute by default, whatever the former says.
        ("grpc.http2.ping_timeout_ms", int(limits.keepalive_timeout_s * 1000)),
        ("grpc.http2.max_pings_without_data", 0),
        ("grpc.enable_channelz", 0),
    ]


class Link:
    """Sends frames to `peer` in their order; `on_end(link)` is called when it has closed.

    A frame waits `message_age_max_s` for a connection at most. One that was handed to a stream is never sent
    again, so none arrives twice.
    """

    def __init__(
        self,
        peer: str,
        dialler: Dialler,
        statistics: PeerStatistics,
        on_end: Callable[[Link], None],
        log: Logger,
    ) -> None:
        self.peer = peer
        self._dialler = dialler
        self._limits = dialler.limits
        self._statistics = statistics
        self._log = log
        self._queue: deque[tuple[float, bytes]] = deque()
        self._queue_bytes = 0
        self._wake = asyncio.Event()
        self._loop = asyncio.get_running_loop()
        self._backoff_s = self._limits.backoff_min_s
        self._last_trouble = ""
        self._on_end = on_end
        self._task = self._loop.create_task(self._run(), name=f"link to {peer}")

    def offer(self, frame: bytes) -> None:
        """Queue a frame, or drop and count it when the queue is full."""
        full = self._queue_bytes + len(frame) > self._limits.queue_bytes_max
        if full or len(self._queue) >= self._limits.queue_messages_max:
            self._statistics.dropped["queue full"] += 1
            return
        self._queue.append((self._loop.time() + self._limits.message_age_max_s, frame))
        self._queue_bytes += len(frame)
        self._wake.set()

    async def close(self) -> None:
        self._task.cancel()
        with suppress(asyncio.CancelledError):
            await self._task

    async def _run(self) -> None:
        """Sessions with pauses between them, until nothing is left to send."""
        try:
            while self._queue:
                trouble = await self._session()
                if trouble and trouble != self._last_trouble:
                    self._log.warning("connection to %s failed: %s", self.peer, trouble)
                self._last_trouble = trouble
                if trouble:
                    # Jitter: peers that lost one host together must not come back to it together.
                    await asyncio.sleep(self._backoff_s * random.uniform(0.5, 1.0))
                    self._backoff_s = min(self._backoff_s * 2, self._limits.backoff_max_s)
                self._drop_old()
        finally:
            # Before any other task runs: a frame offered to an ended link would be lost.
            self._on_end(self)

    async def _session(self) -> str:
        """One connection from its opening to its end: why it failed, "" when it was idle."""
        channel = self._dialler.dial(self.peer)
        if channel is None:
            self._statistics.dropped["unknown peer"] += len(self._queue)
            self._queue.clear()
            self._queue_bytes = 0
            return ""
        connected_s = float("inf")
        try:
            call: _Call = channel.stream_stream(f"/{SERVICE}/{FRAMES}")()
            async with asyncio.timeout(self._limits.connect_timeout_s):
                # The peer says that it accepts us before it reads anything.
                await call.wait_for_connection()
            connected_s = self._loop.time()
            call.add_done_callback(lambda _: self._wake.set())
            await self._pump(call)
            return "" if not call.done() else await call.details() or "closed by the peer"
        except TimeoutError:
            return f"no connection within {self._limits.connect_timeout_s:g} s"
        except grpc.aio.AioRpcError as error:
            return error.details() or error.code().name
        except asyncio.InvalidStateError:
            return "closed by the peer"
        finally:
            # A peer that lets us in only to turn us out at once is no reason to hurry back.
            if self._loop.time() - connected_s > self._limits.backoff_max_s:
                self._backoff_s = self._limits.backoff_min_s
                self._last_trouble = ""
            await channel.close()

    async def _pump(self, call: _Call) -> None:
        """Write what is queued until the call ends or nothing came for `idle_max_s`."""
        while not call.done():
            self._drop_old()
            if self._queue:
                _, frame = self._queue.popleft()
                self._queue_bytes -= len(frame)
                await call.write(frame)
                self._statistics.sent(len(frame))
                continue
            self._wake.clear()
            try:
                async with asyncio.timeout(self._limits.idle_max_s):
                    await self._wake.wait()
            except TimeoutError:
                if not self._queue:
                    await call.done_writing()
                    return

    def _drop_old(self) -> None:
        now_s = self._loop.time()
        while self._queue and self._queue[0][0] < now_s:
            self._queue_bytes -= len(self._queue.popleft()[1])
            self._statistics.dropped["too old"] += 1
