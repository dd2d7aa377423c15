"""Nodes of the real world in one process: real sockets on loopback, real certificates, cuttable relays."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path

from conformance_transport import Numbered, NumberedDatagram

from lucos.actors import Actor, Message, World
from lucos.actors.real import GrpcTransport, RealRuntime, SealedDatagrams, Secrets, TransportLimits, Tunnel
from lucos.agent.security import create_authority, issue_certificate
from lucos.model import Event

LOCALHOST = "127.0.0.1"
KEY = b"k" * 32
# Cuts are noticed soon, so that the tests are short.
LIMITS = TransportLimits(
    connect_timeout_s=1.0, backoff_min_s=0.05, backoff_max_s=0.3, keepalive_s=0.3, keepalive_timeout_s=0.5
)

__all__ = [
    "KEY",
    "LIMITS",
    "LOCALHOST",
    "Numbered",
    "NumberedDatagram",
    "RealDriver",
    "RealNode",
    "secrets_of",
]


def secrets_of(directory: Path, node: str) -> Secrets:
    """The certificates of `node` under the authority in `directory`, made when absent."""
    if not (directory / "ca.pem").exists():
        create_authority(directory)
    if not (directory / f"{node}.pem").exists():
        issue_certificate(directory, node, [LOCALHOST])
    names = ("ca.pem", f"{node}.pem", f"{node}.key")
    return Secrets(*((directory / name).read_bytes() for name in names))


async def until(holds: Callable[[], bool], timeout_s: float) -> bool:
    deadline_s = time.monotonic() + timeout_s
    while not holds():
        if time.monotonic() >= deadline_s:
            return False
        await asyncio.sleep(0.01)
    return True


class Mouth(Actor):
    def receive(self, message: Message, sender: str) -> None:
        raise AssertionError("nobody writes to the mouth")


class Inbox(Actor):
    def __init__(self, world: World, got: list[tuple[str, Message]]) -> None:
        super().__init__(world)
        self._got = got

    def receive(self, message: Message, sender: str) -> None:
        self._got.append((sender, message))


class RealNode:
    """A runtime with its transport and datagrams, a `mouth` and an `inbox`."""

    def __init__(
        self,
        node: str,
        secrets: Secrets,
        state_dir: Path,
        *,
        resolve: Callable[[str], str | None],
        resolve_datagram: Callable[[str], tuple[str, int] | None] = lambda _: None,
        keys: tuple[bytes, ...] = (KEY,),
        limits: TransportLimits = LIMITS,
        on_tunnel: Callable[[str, str, Tunnel], Awaitable[None]] | None = None,
    ) -> None:
        log = logging.getLogger(f"lucos.{node}")
        self.name = node
        self.got: list[tuple[str, Message]] = []
        self.events: list[Event] = []
        self.fatal: list[tuple[str, BaseException]] = []
        self.transport = GrpcTransport(node, secrets, resolve, log, on_tunnel=on_tunnel, limits=limits)
        self.datagrams = SealedDatagrams(node, keys, resolve_datagram, log)
        self.runtime = RealRuntime(
            node,
            state_dir=state_dir,
            transport=self.transport,
            datagrams=self.datagrams,
            on_event=self.events.append,
            on_fatal=lambda actor, error: self.fatal.append((actor, error)),
            log=log,
        )
        self.worlds: list[World] = []
        self.runtime.spawn("inbox", lambda world: Inbox(world, self.got))
        self.runtime.spawn("mouth", self._mouth)
        self.port = self.datagram_port = 0

    def _mouth(self, world: World) -> Actor:
        self.worlds.append(world)
        return Mouth(world)

    async def start(self, port: int = 0) -> None:
        self.port = await self.transport.start(LOCALHOST, port, self.runtime.arrive)
        self.datagram_port = await self.datagrams.start(LOCALHOST, 0, self.runtime.arrive)

    def send(self, to: str, message: Message) -> None:
        self.worlds[-1].send(to, message)

    async def close(self) -> None:
        self.runtime.close()
        self.datagrams.close()
        await self.transport.close()


class Relay:
    """A TCP relay to a port that may change; while cut it passes nothing and breaks nothing."""

    def __init__(self, target_port: Callable[[], int]) -> None:
        self._target_port = target_port
        self._open = asyncio.Event()
        self._open.set()
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self.port = 0

    async def start(self) -> None:
        self._server = await asyncio.start_server(self._serve, LOCALHOST, 0)
        self.port = self._server.sockets[0].getsockname()[1]

    def cut(self) -> None:
        self._open.clear()

    def heal(self) -> None:
        self._open.set()

    async def close(self) -> None:
        assert self._server is not None
        self._server.close()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        far_writer = None
        try:
            far_reader, far_writer = await asyncio.open_connection(LOCALHOST, self._target_port())
            pumps = [self._pump(reader, far_writer), self._pump(far_reader, writer)]
            pending = [asyncio.ensure_future(pump) for pump in pumps]
            try:
                await asyncio.wait(pending, return_when=asyncio.FIRST_COMPLETED)
            finally:
                for pump in pending:
                    pump.cancel()
                await asyncio.gather(*pending, return_exceptions=True)
        except (OSError, asyncio.CancelledError):
            pass
        finally:
            self._tasks.discard(task)
            for end in (writer, far_writer):
                if end is not None:
                    end.close()

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            while data := await reader.read(65536):
                await self._open.wait()
                writer.write(data)
                await writer.drain()


class RealDriver:
    """`TransportDriver` on real nodes; each direction of each pair runs through a relay."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._nodes: dict[str, RealNode] = {}
        self._ports: dict[str, int] = {}
        self._relays: dict[tuple[str, str], Relay] = {}
        self._cuts: set[frozenset[str]] = set()

    async def start(self, node: str) -> None:
        for other in self._ports:
            for pair in ((node, other), (other, node)):
                if other != node and pair not in self._relays:
                    self._relays[pair] = Relay(lambda target=pair[1]: self._ports[target])  # type: ignore[misc]
                    await self._relays[pair].start()
        started = RealNode(
            node,
            secrets_of(self._directory / "pki", node),
            self._directory / node,
            resolve=lambda peer: self._resolve(node, peer),
            resolve_datagram=lambda peer: self._resolve_datagram(node, peer),
        )
        self._nodes[node] = started
        await started.start()
        self._ports[node] = started.port

    async def crash(self, node: str) -> None:
        await self._nodes.pop(node).close()

    async def cut(self, a: str, b: str) -> None:
        self._cuts.add(frozenset((a, b)))
        for pair in ((a, b), (b, a)):
            self._relays[pair].cut()

    async def heal(self) -> None:
        self._cuts.clear()
        for relay in self._relays.values():
            relay.heal()

    def bootstrap(self, node: str) -> str:
        return f"@{LOCALHOST}:{self._nodes[node].datagram_port}"

    def send(self, node: str, to: str, message: Message) -> None:
        self._nodes[node].send(to, message)

    def inbox(self, node: str) -> list[tuple[str, Message]]:
        return self._nodes[node].got

    async def until(self, holds: Callable[[], bool], timeout_s: float) -> bool:
        return await until(holds, timeout_s)

    async def close(self) -> None:
        for node in self._nodes.values():
            await node.close()
        for relay in self._relays.values():
            await relay.close()

    def _resolve(self, node: str, peer: str) -> str | None:
        relay = self._relays.get((node, peer))
        return f"{LOCALHOST}:{relay.port}" if relay else None

    def _resolve_datagram(self, node: str, peer: str) -> tuple[str, int] | None:
        if frozenset((node, peer)) in self._cuts or peer not in self._nodes:
            return None
        return LOCALHOST, self._nodes[peer].datagram_port
