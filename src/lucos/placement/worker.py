"""The solver as a process of its own: `python -m lucos.placement.worker`, problems in, solutions out.

Standard input and output carry frames: 4 bytes of length (big endian) and msgpack, a `Request` one way and a
`Reply` the other, one at a time. It runs at a low priority, and ends itself when a problem takes longer than
its asker waits or when its input ends.
"""

from __future__ import annotations

import os
import select
import signal
import sys
from typing import BinaryIO

import msgspec

from lucos.errors import LucError
from lucos.placement.problem import Budget, Problem, Solution

# Behind the guests, but not last: on a host full of busy guests the last would get nothing at all, and its
# plan is what ends that.
NICENESS = 10
LENGTH_BYTES = 4


class Request(msgspec.Struct, frozen=True):
    """`limit_s` is how long the asker waits from now on."""

    problem: Problem
    budget: Budget
    limit_s: float


class Reply(msgspec.Struct, frozen=True):
    """The solution, or the error (`kind` is its class in lucos.errors) that kept it from being found."""

    solution: Solution | None = None
    error: str = ""
    kind: str = ""


def frame(message: Request | Reply) -> bytes:
    """A message as it goes over the pipe."""
    body = msgspec.msgpack.encode(message)
    return len(body).to_bytes(LENGTH_BYTES, "big") + body


def answer(request: Request) -> Reply:
    """Solve; errors of input become the reply."""
    from lucos.placement.solver import solve

    try:
        return Reply(solve(request.problem, request.budget))
    except LucError as error:
        return Reply(error=error.message, kind=error.kind)


def main() -> None:
    """Serve standard input until it ends."""
    os.nice(NICENESS)
    source, sink = sys.stdin.buffer, os.fdopen(os.dup(1), "wb")
    # Whatever a library prints must not get between the frames.
    os.dup2(2, 1)
    requests = msgspec.msgpack.Decoder(Request)
    if not select.select([source], [], [], 0.0)[0]:
        # Nobody waits yet: load now what a hard problem needs.
        import ortools.sat.python.cp_model  # noqa: F401

        import lucos.placement.solver  # noqa: F401
    while body := _read(source):
        request = requests.decode(body)
        # Also when the asker is gone, and in the midst of native code.
        signal.setitimer(signal.ITIMER_REAL, request.limit_s)
        reply = answer(request)
        signal.setitimer(signal.ITIMER_REAL, 0.0)
        sink.write(frame(reply))
        sink.flush()


def _read(source: BinaryIO) -> bytes:
    """The body of the next frame; empty at the end of input."""
    length = int.from_bytes(source.read(LENGTH_BYTES), "big")
    body = source.read(length)
    return body if len(body) == length else b""


if __name__ == "__main__":
    main()
