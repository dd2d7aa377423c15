"""The Solver port as a process (`lucos.placement.worker`), which is there only while it is of use.

Solving takes memory and CPU that an idle agent must not hold. The process is started for the first problem,
or when told that one may come, and ended after `idle_s` without any. One that takes too long is killed, one
that dies is replaced, and whoever waited for it is told so.
"""

from __future__ import annotations

import asyncio
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import Callable, Sequence
from contextlib import suppress

import msgspec

from lucos.actors.message import Message
from lucos.actors.ports import Solve, Solved, Warm
from lucos.placement.worker import LENGTH_BYTES, Reply, Request, frame

IDLE_S = 120.0
PENDING_MAX = 16
COMMAND = (sys.executable, "-m", "lucos.placement.worker")

_REPLY = msgspec.msgpack.Decoder(Reply)


class _Waiting(msgspec.Struct):
    """A problem and when its asker gives up, on the loop's clock."""

    request: Solve
    sender: str
    until_s: float


class SolverProcess:
    """Answers through `deliver(sender, reply)`; `command` starts the worker."""

    def __init__(
        self,
        deliver: Callable[[str, Message], None],
        *,
        idle_s: float = IDLE_S,
        command: Sequence[str] = COMMAND,
    ) -> None:
        self._deliver = deliver
        self._idle_s = idle_s
        self._command = command
        self._queue: asyncio.Queue[_Waiting | None] = asyncio.Queue(PENDING_MAX)
        self._serving: asyncio.Task[None] | None = None
        self._process: Process | None = None

    @property
    def pid(self) -> int | None:
        """The process, while there is one."""
        return self._process.pid if self._process else None

    def receive(self, message: Message, sender: str) -> None:
        """Take one message of the Solver port."""
        match message:
            case Warm() if self._process is None and self._queue.empty():
                self._queue.put_nowait(None)
            case Solve() if self._queue.full():
                error = f"{PENDING_MAX} problems wait for the solver already"
                self._deliver(sender, Solved(message.call_id, error=error, kind="Refused"))
                return
            case Solve():
                until_s = asyncio.get_running_loop().time() + message.deadline_s
                self._queue.put_nowait(_Waiting(message, sender, until_s))
            case _:
                return
        if self._serving is None or self._serving.done():
            self._serving = asyncio.get_running_loop().create_task(self._serve())

    async def close(self) -> None:
        """End the process; what still waits is not answered."""
        if self._serving is not None:
            self._serving.cancel()
            with suppress(asyncio.CancelledError):
                await self._serving
        await self._end()

    async def _serve(self) -> None:
        """One problem after the other, until none has come for `idle_s`."""
        while not self._queue.empty():  # one may come while the process ends
            with suppress(TimeoutError):
                while True:
                    waiting = await asyncio.wait_for(self._queue.get(), self._idle_s)
                    if waiting is not None:
                        self._deliver(waiting.sender, await self._answer(waiting))
                    else:
                        with suppress(OSError):  # the first problem will tell
                            await self._started()
            await self._end()

    async def _answer(self, waiting: _Waiting) -> Solved:
        request = waiting.request
        left_s = max(waiting.until_s - asyncio.get_running_loop().time(), 0.001)
        reply: Reply | None = None
        try:
            async with asyncio.timeout(left_s):
                reply = await self._exchange(Request(request.problem, request.budget, left_s))
        except TimeoutError:
            error, kind = f"it did not answer within {request.deadline_s:g} s", "Unreachable"
        except (OSError, asyncio.IncompleteReadError, msgspec.MsgspecError) as why:
            error, kind = f"its process failed: {why}", "OperationFailed"
        finally:
            if reply is None:  # what it says next would answer a question nobody asks any more
                await self._end()
        if reply is None:
            return Solved(request.call_id, error=error, kind=kind)
        return Solved(request.call_id, reply.solution, reply.error, reply.kind)

    async def _exchange(self, request: Request) -> Reply:
        process = await self._started()
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(frame(request))
        await process.stdin.drain()
        length = int.from_bytes(await process.stdout.readexactly(LENGTH_BYTES), "big")
        return _REPLY.decode(await process.stdout.readexactly(length))

    async def _started(self) -> Process:
        if self._process is not None and self._process.returncode is not None:
            await self._end()
        if self._process is None:
            self._process = await asyncio.create_subprocess_exec(*self._command, stdin=PIPE, stdout=PIPE)
        return self._process

    async def _end(self) -> None:
        process = self._process
        if process is not None:
            with suppress(ProcessLookupError):
                process.kill()
            assert process.stdin is not None
            process.stdin.close()
            await process.communicate()
            self._process = None
