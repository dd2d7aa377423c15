"""The serial line of a guest, carried raw between a client's socket and the host where the guest runs."""

from __future__ import annotations

import asyncio
import os
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from lucos.agent.service import Agent

READ_BYTES = 4096


class ByteStream(Protocol):
    async def read(self) -> bytes: ...
    async def write(self, data: bytes) -> None: ...
    async def close(self) -> None: ...


class _Terminal:
    """The open pty of a guest's serial line."""

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self._loop = asyncio.get_running_loop()
        os.set_blocking(fd, False)

    async def read(self) -> bytes:
        while True:
            try:
                return os.read(self._fd, READ_BYTES)
            except BlockingIOError:
                await self._ready(self._loop.add_reader, self._loop.remove_reader)
            except OSError:  # the guest is gone
                return b""

    async def write(self, data: bytes) -> None:
        while data:
            try:
                data = data[os.write(self._fd, data) :]
            except BlockingIOError:
                await self._ready(self._loop.add_writer, self._loop.remove_writer)

    async def _ready(self, add, remove) -> None:  # type: ignore[no-untyped-def]
        ready = asyncio.Event()
        add(self._fd, ready.set)
        try:
            await ready.wait()
        finally:
            remove(self._fd)

    async def close(self) -> None:
        os.close(self._fd)


class _Client:
    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    async def read(self) -> bytes:
        return await self._reader.read(READ_BYTES)

    async def write(self, data: bytes) -> None:
        self._writer.write(data)
        await self._writer.drain()

    async def close(self) -> None:
        self._writer.close()


async def _copy(source: ByteStream, sink: ByteStream) -> None:
    while data := await source.read():
        await sink.write(data)


async def join(one: ByteStream, other: ByteStream) -> None:
    """Carry bytes both ways until either end closes, then close `other`."""
    copies = {asyncio.ensure_future(_copy(one, other)), asyncio.ensure_future(_copy(other, one))}
    try:
        done, _ = await asyncio.wait(copies, return_when=asyncio.FIRST_COMPLETED)
        for copy in done:
            copy.result()
    finally:
        for copy in copies:
            copy.cancel()
        await asyncio.gather(*copies, return_exceptions=True)
        await other.close()


async def open_terminal(agent: Agent, vm: str) -> ByteStream:
    return _Terminal(await agent.hypervisor.console(vm))


async def pump_console(
    agent: Agent, vm: str, node: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
) -> None:
    """Answer `console`: the line `ok`, then the raw serial line of `vm` on `node`."""
    if node == agent.node:
        line = await open_terminal(agent, vm)
    else:
        line = await agent.transport.tunnel(node, "console", vm)
    client = _Client(reader, writer)
    await client.write(b'{"ok": true, "result": null}\n')
    await join(client, line)
