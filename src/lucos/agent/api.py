"""The local API's server: one unix socket, one request a connection (see agent.protocol)."""

from __future__ import annotations

import asyncio
import logging
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from lucos.agent.console import pump_console
from lucos.agent.operations import Operations, bind
from lucos.agent.protocol import API_VERSION, Request
from lucos.errors import InputError, LucError, Refused
from lucos.model import Event

if TYPE_CHECKING:
    from lucos.agent.service import Agent

REQUEST_BYTES_MAX = 4 * 1024 * 1024
CONNECTIONS_MAX = 64

log = logging.getLogger("lucos.api")

_OPERATIONS = frozenset(name for name in vars(Operations) if not name.startswith("_") and name != "locate")


class Api:
    def __init__(self, agent: Agent, socket: Path) -> None:
        self._agent = agent
        self._socket = socket
        self._operations = Operations(agent)
        self._open: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None

    async def start(self) -> None:
        """Listen; a socket file left by a dead agent is replaced, a living one refused."""
        self._socket.parent.mkdir(parents=True, exist_ok=True)
        if self._socket.exists():
            try:
                _, writer = await asyncio.open_unix_connection(str(self._socket))
                writer.close()
            except OSError:
                self._socket.unlink()
            else:
                raise Refused(
                    f"an agent already listens on {self._socket}",
                    hint="stop it first, or give this one another agent.socket",
                )
        old = os.umask(0o177)
        try:
            self._server = await asyncio.start_unix_server(
                self._connected, str(self._socket), limit=REQUEST_BYTES_MAX
            )
        finally:
            os.umask(old)

    async def close(self) -> None:
        if self._server is not None:
            self._server.close()
        for task in list(self._open):
            task.cancel()
        await asyncio.gather(*self._open, return_exceptions=True)
        self._socket.unlink(missing_ok=True)

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._open.add(task)
        try:
            await self._answer(reader, writer)
        except (ConnectionError, asyncio.CancelledError):
            pass
        finally:
            self._open.discard(task)
            writer.close()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        async def line(value: Any) -> None:
            writer.write(msgspec.json.encode(value) + b"\n")
            await writer.drain()

        async def emit(event: Event) -> None:
            await line({"item": event})

        try:
            if len(self._open) > CONNECTIONS_MAX:
                raise Refused(f"the agent already serves {CONNECTIONS_MAX} clients", hint="try again")
            request = await self._read(reader)
            if request.op == "console":
                vm = msgspec.json.decode(request.args.get("vm", msgspec.Raw(b"null")), type=str)
                full, node = await self._operations.locate(vm)
                await pump_console(self._agent, full, node, reader, writer)
                return
            result = await self._dispatch(request, reader, emit)
        except LucError as error:
            await line({"ok": False, "error": _described(error)})
        except ConnectionError:
            raise
        except Exception as error:
            log.exception("request failed")
            hint = "the agent's log has the details; this is a defect worth reporting"
            failure = LucError(f"internal error: {type(error).__name__}: {error}", hint=hint)
            await line({"ok": False, "error": _described(failure)})
        else:
            await line({"ok": True, "result": result})

    async def _read(self, reader: asyncio.StreamReader) -> Request:
        try:
            raw = await asyncio.wait_for(reader.readline(), 10.0)
            request = msgspec.json.decode(raw, type=Request)
        except (ValueError, TimeoutError) as error:
            raise InputError(f"not a request: {error}") from None
        if request.v != API_VERSION:
            raise InputError(f"API version {request.v}; this agent speaks {API_VERSION}")
        return request

    async def _dispatch(self, request: Request, reader: asyncio.StreamReader, emit: Any) -> Any:
        if request.op not in _OPERATIONS:
            raise InputError(f"no operation {request.op!r}")
        operation = getattr(self._operations, request.op)
        try:
            call = bind(operation, request.args, emit)
        except (TypeError, msgspec.MsgspecError) as error:
            raise InputError(f"{request.op}: {error}") from None
        work = asyncio.ensure_future(call())
        # A client that goes away ends what only it was waiting for.
        gone = asyncio.ensure_future(reader.read(1))
        try:
            await asyncio.wait({work, gone}, return_when=asyncio.FIRST_COMPLETED)
            if not work.done():
                raise ConnectionResetError
            return await work
        finally:
            work.cancel()
            gone.cancel()


def _described(error: LucError) -> dict[str, str]:
    return {"kind": error.kind, "message": error.message, "hint": error.hint}
