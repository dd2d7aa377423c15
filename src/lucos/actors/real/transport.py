"""Messages between nodes over gRPC with mutual TLS: one ordered stream per peer, opened on demand.

Each node is a server for what comes in and a client for what goes out. Messages must come from the name in
the peer's certificate (its DNS names, else its common name). Delivery is at most once: what was handed to a
stream that then broke is not sent again.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator, Callable
from logging import Logger

import grpc
import grpc.aio

from lucos.actors.message import (
    FRAME_BYTES_MAX,
    Message,
    WireError,
    decode_frame,
    encode_frame,
    node_of,
)
from lucos.actors.real.limits import PeerStatistics, TransportLimits
from lucos.actors.real.link import FRAMES, SERVICE, Dialler, Link, Secrets, common_options
from lucos.actors.real.tunnel import TUNNEL, OnTunnel, Tunnel, open_tunnel, serve_tunnel
from lucos.errors import Refused, UnknownObject

SHUTDOWN_GRACE_S = 0.2

OnMessage = Callable[[str, str, Message], None]
_Context = grpc.aio.ServicerContext[bytes, bytes]


class GrpcTransport:
    """The transport of `node`. `resolve(node)` gives a peer's `ip:port`, None when it is unknown.

    `statistics[peer]` counts what was sent, received and dropped. `on_tunnel(kind, argument, tunnel)` serves
    the byte streams that peers open with `tunnel`.
    """

    def __init__(
        self,
        node: str,
        secrets: Secrets,
        resolve: Callable[[str], str | None],
        log: Logger,
        *,
        on_tunnel: OnTunnel | None = None,
        limits: TransportLimits | None = None,
    ) -> None:
        self.node = node
        self.statistics: defaultdict[str, PeerStatistics] = defaultdict(PeerStatistics)
        self._secrets = secrets
        self._limits = limits or TransportLimits()
        self._dialler = Dialler(secrets, resolve, self._limits)
        self._log = log
        self._on_tunnel = on_tunnel or _no_tunnels
        self._on_message: OnMessage | None = None
        self._links: dict[str, Link] = {}
        self._streams: dict[tuple[str, ...], object] = {}
        self._server: grpc.aio.Server | None = None

    async def start(self, ip: str, port: int, on_message: OnMessage) -> int:
        """Listen and return the port (a free one for 0); raises `Refused` when it cannot be had."""
        self._on_message = on_message
        methods: dict[str, grpc.RpcMethodHandler[bytes, bytes]] = {
            FRAMES: grpc.stream_stream_rpc_method_handler(self._serve_frames),
            TUNNEL: grpc.stream_stream_rpc_method_handler(self._serve_tunnel),
        }
        # The peers' pings are never too many: without this the server would hang up on quiet connections.
        pings = ("grpc.http2.max_ping_strikes", 0)
        options = [*common_options(self._limits), ("grpc.so_reuseport", 0), pings]
        server = grpc.aio.server(options=options)
        server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(SERVICE, methods),))
        pair = (self._secrets.key, self._secrets.certificate)
        try:
            bound = server.add_secure_port(
                f"{ip}:{port}",
                grpc.ssl_server_credentials([pair], self._secrets.ca, require_client_auth=True),
            )
        except RuntimeError:
            raise Refused(
                f"cannot listen on {ip}:{port} for other agents",
                hint="another agent may run here; see agent.listen and agent.transport_port",
            ) from None
        await server.start()
        self._server = server
        return bound

    async def close(self) -> None:
        """Close all connections; what was not sent yet is lost."""
        server, self._server = self._server, None
        await asyncio.gather(*(link.close() for link in list(self._links.values())))
        if server is not None:
            await server.stop(SHUTDOWN_GRACE_S)

    def send(self, to: str, sender: str, message: Message) -> None:
        peer = node_of(to)
        frame = encode_frame(to, sender, message)
        statistics = self.statistics[peer]
        if self._server is None:
            statistics.dropped["closed"] += 1
        elif len(frame) > FRAME_BYTES_MAX:
            statistics.dropped["too large"] += 1
            self._log.error("%s of %d bytes to %s is too large", type(message).__name__, len(frame), to)
        elif peer not in self._links and self._dialler.resolve(peer) is None:
            statistics.dropped["unknown peer"] += 1
        else:
            if peer not in self._links:
                self._links[peer] = Link(peer, self._dialler, statistics, self._link_ended, self._log)
            self._links[peer].offer(frame)

    async def tunnel(self, node: str, kind: str, argument: str) -> Tunnel:
        """A byte stream to `node`'s `on_tunnel`; raises `UnknownObject` or `Unreachable`."""
        return await open_tunnel(self._dialler, node, kind, argument)

    @property
    def connected(self) -> list[str]:
        """The peers to which a connection is open or being opened."""
        return list(self._links)

    def _link_ended(self, link: Link) -> None:
        if self._links.get(link.peer) is link:
            del self._links[link.peer]

    async def _serve_frames(self, frames: AsyncIterator[bytes], context: _Context) -> None:
        names = _names_of(context)
        # What is left of an older stream must not come between the messages of this one.
        this_stream = self._streams[names] = object()
        await context.send_initial_metadata(())
        try:
            async for frame in frames:
                if self._streams.get(names) is not this_stream:
                    return
                if not self._accept(frame, names, context.peer()):
                    await context.abort(
                        grpc.StatusCode.PERMISSION_DENIED,
                        f"{self.node} takes only messages of {', '.join(names)} on this connection",
                    )
        finally:
            if self._streams.get(names) is this_stream:
                del self._streams[names]

    def _accept(self, frame: bytes, names: tuple[str, ...], where: str) -> bool:
        """Pass a frame on; False when its sender is not who the certificate says."""
        try:
            to, sender, message = decode_frame(frame)
        except WireError as error:
            # A newer agent may send what this one does not know; the rest of its stream is still good.
            self._refuse(names[0], "not a message", f"at {where} sent what is not a message: {error}")
            return True
        if node_of(sender) not in names:
            self._refuse(names[0], "false name", f"at {where} claims to be {node_of(sender)}: rejected")
            return False
        if node_of(to) != self.node:
            self.statistics[names[0]].dropped["for another node"] += 1
        elif self._on_message is not None:
            self.statistics[node_of(sender)].received(len(frame))
            self._on_message(to, sender, message)
        return True

    def _refuse(self, peer: str, reason: str, text: str) -> None:
        """Count; log the first of its kind, for a faulty peer repeats itself."""
        dropped = self.statistics[peer].dropped
        if not dropped[reason]:
            self._log.warning("%s %s", peer, text)
        dropped[reason] += 1

    async def _serve_tunnel(self, _: AsyncIterator[bytes], context: _Context) -> None:
        await serve_tunnel(context, self._on_tunnel)


async def _no_tunnels(kind: str, argument: str, _: Tunnel) -> None:
    raise UnknownObject(f"this host serves no {kind} {argument}")


def _names_of(context: _Context) -> tuple[str, ...]:
    """The names a peer's certificate gives it, at least one (gRPC let nobody in without a certificate)."""
    identity = context.auth_context()
    found = identity.get("peer_dns") or identity.get("x509_common_name") or [b""]
    return tuple(name.decode("utf-8", "replace") for name in found)
