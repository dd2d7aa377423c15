"""Byte streams between nodes, for what is not a message: the serial line of a guest on another host."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any

import grpc
import grpc.aio
import msgspec

from lucos.actors.real.link import SERVICE, Dialler
from lucos.errors import LucError, UnknownObject, Unreachable, from_wire

TUNNEL = "Tunnel"
PIECE_BYTES_MAX = 256 * 1024
CLOSE_TIMEOUT_S = 2.0
_ERROR_KEY = "luc-error-bin"

_opening = msgspec.msgpack.Decoder(tuple[str, str])
_error = msgspec.msgpack.Decoder(tuple[str, str, str])


class Tunnel:
    """One end of a byte stream between two nodes."""

    def __init__(self, stream: Any, close: Callable[[], Awaitable[None]] | None = None) -> None:
        self._stream = stream
        self._close = close

    async def read(self) -> bytes:
        """The next bytes, b"" once the other end closed; raises its `LucError`, or `Unreachable`."""
        try:
            data = await self._stream.read()
        except grpc.aio.AioRpcError as error:
            raise _as_luc_error(error) from None
        return data if isinstance(data, bytes) else b""

    async def write(self, data: bytes) -> None:
        """Send bytes, waiting while the other end is slow; raises as `read` does."""
        try:
            for start in range(0, len(data), PIECE_BYTES_MAX):
                await self._stream.write(data[start : start + PIECE_BYTES_MAX])
        except grpc.aio.AioRpcError as error:
            raise _as_luc_error(error) from None
        except asyncio.InvalidStateError:
            raise Unreachable("the tunnel is closed") from None

    async def close(self) -> None:
        """Close the opener's end; the serving end closes when its `on_tunnel` returns."""
        if self._close is not None:
            await self._close()


OnTunnel = Callable[[str, str, Tunnel], Awaitable[None]]


async def open_tunnel(dialler: Dialler, node: str, kind: str, argument: str) -> Tunnel:
    """A tunnel to `node`; raises `UnknownObject` or `Unreachable`."""
    channel = dialler.dial(node)
    if channel is None:
        raise UnknownObject(f"no host {node} is known", hint="luc node ls shows the hosts")
    call: grpc.aio.StreamStreamCall[bytes, bytes] = channel.stream_stream(f"/{SERVICE}/{TUNNEL}")()

    async def close() -> None:
        with suppress(grpc.aio.AioRpcError, asyncio.InvalidStateError, TimeoutError):
            await call.done_writing()
            # The other end reads what was written before it goes.
            await asyncio.wait_for(call.code(), CLOSE_TIMEOUT_S)
        call.cancel()
        await channel.close()

    try:
        async with asyncio.timeout(dialler.limits.connect_timeout_s):
            await call.wait_for_connection()
            await call.write(msgspec.msgpack.encode((kind, argument)))
    except (grpc.aio.AioRpcError, TimeoutError) as error:
        await channel.close()
        reason = error.details() if isinstance(error, grpc.aio.AioRpcError) else "no answer"
        raise Unreachable(f"cannot reach host {node}: {reason}", hint="luc node ls shows its state") from None
    return Tunnel(call, close)


async def serve_tunnel(context: grpc.aio.ServicerContext[bytes, bytes], on_tunnel: OnTunnel) -> None:
    """Run `on_tunnel(kind, argument, tunnel)`; a `LucError` it raises reaches the opener's `read`."""
    await context.send_initial_metadata(())
    try:
        kind, argument = _opening.decode(await context.read())
        await on_tunnel(kind, argument, Tunnel(context))
    except (msgspec.MsgspecError, TypeError):
        await context.abort(grpc.StatusCode.INVALID_ARGUMENT, "not the opening of a tunnel")
    except LucError as error:
        content = msgspec.msgpack.encode((error.kind, error.message, error.hint))
        await context.abort(
            grpc.StatusCode.FAILED_PRECONDITION, error.kind, trailing_metadata=((_ERROR_KEY, content),)
        )


def _as_luc_error(error: grpc.aio.AioRpcError) -> LucError:
    for key, content in error.trailing_metadata() or ():
        if key == _ERROR_KEY and isinstance(content, bytes):
            with suppress(msgspec.MsgspecError):
                return from_wire(*_error.decode(content))
    return Unreachable(f"the tunnel broke: {error.details() or error.code().name}")
