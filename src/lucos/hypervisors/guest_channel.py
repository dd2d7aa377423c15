"""Line commands to the guest over its virtio-serial port: one command, one answer line."""

from __future__ import annotations

import asyncio
import secrets
from pathlib import Path

from lucos.errors import InputError, OperationFailed, Unreachable

# How a guest says that it is up: it may come at any moment.
ANNOUNCEMENT = "lucos-guest "


async def ask_guest(socket: Path, vm: str, command: str, timeout_s: float = 8.0) -> str:
    """Send `command` and return what follows `ok` in the guest's answer.

    Raises `Unreachable` when the guest does not answer in time, `InputError` when it answers `error`.
    """
    try:
        async with asyncio.timeout(timeout_s):
            reader, writer = await asyncio.open_unix_connection(str(socket))
            try:
                # Announcements and answers to callers that gave up may still be in the line before ours.
                token = secrets.token_hex(4)
                writer.write(f"ping {token}\n{command}\n".encode())
                while not (await _line(reader)).startswith(f"ok {token}"):
                    pass
                while (answer := await _line(reader)).startswith(ANNOUNCEMENT):
                    pass
            finally:
                writer.close()
    except TimeoutError:
        raise Unreachable(
            f"the guest {vm} did not answer within {timeout_s:g} s",
            hint="is it still booting? see its console",
        ) from None
    except (OSError, EOFError, asyncio.LimitOverrunError) as error:
        raise Unreachable(f"the guest port of {vm} cannot be used: {error}") from None
    verdict, _, rest = answer.partition(" ")
    if verdict == "ok":
        return rest
    if verdict == "error":
        raise InputError(f"the guest {vm} refuses: {rest}")
    raise OperationFailed(f"the guest {vm} answered {answer[:80]!r}")


async def _line(reader: asyncio.StreamReader) -> str:
    return (await reader.readuntil(b"\n")).decode(errors="replace").rstrip("\r\n")
