"""The client of the agent's socket (agent.protocol): plain blocking sockets, one connection a request."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from lucos.agent.protocol import API_VERSION
from lucos.errors import OperationFailed, Unreachable, from_wire
from lucos.model import Event

DEFAULT_SOCKET = Path("/run/luc/agent.sock")
# Where lucos.lab puts its agents' sockets; importing it would cost `luc ps` more than all the rest.
LAB_SOCKETS = (Path("/run/luc-lab"), "*/*/luc/agent.sock")
LINE_BYTES_MAX = 64 * 1024 * 1024
ANSWER_TIMEOUT_S = 10.0

T = TypeVar("T")
OnEvent = Callable[[Event], None]


class _Failure(msgspec.Struct):
    kind: str = "LucError"
    message: str = ""
    hint: str = ""


class _Line(msgspec.Struct):
    item: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET
    ok: bool | None = None
    result: msgspec.Raw = msgspec.Raw(b"null")
    error: _Failure = msgspec.field(default_factory=_Failure)


class Client:
    """Requests to one agent. `path` empty means the agent that `find_socket` finds."""

    def __init__(self, path: str = "") -> None:
        self.path = path or find_socket()

    def call(
        self,
        op: str,
        result: type[T],
        *,
        on_event: OnEvent | None = None,
        answer_timeout_s: float | None = ANSWER_TIMEOUT_S,
        **args: Any,
    ) -> T:
        """The result of one request; `on_event` is told each item as it comes.

        `answer_timeout_s` bounds each wait for a line (None: no bound). Raises `Unreachable`, or what the
        agent raised.
        """
        with _Connection(self.path, answer_timeout_s) as connection:
            return connection.ask(op, args, on_event, result)

    def console(self, vm: str) -> tuple[socket.socket, bytes]:
        """The open line to a VM's console, and what it said already. The caller closes it."""
        connection = _Connection(self.path, ANSWER_TIMEOUT_S)
        try:
            connection.ask("console", {"vm": vm}, None, object)
        except BaseException:
            connection.close()
            raise
        connection.socket.settimeout(None)
        return connection.socket, bytes(connection.pending)


class _Connection:
    def __init__(self, path: str, timeout_s: float | None) -> None:
        self._path = path
        self.pending = bytearray()
        self.socket = _connect(path)
        self.socket.settimeout(timeout_s)

    def __enter__(self) -> _Connection:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self.socket.close()

    def ask(self, op: str, args: dict[str, Any], on_event: OnEvent | None, result: type[T]) -> T:
        with self._explained(op):
            self.socket.sendall(msgspec.json.encode({"v": API_VERSION, "op": op, "args": args}) + b"\n")
        while (line := self._line(op)).ok is None:
            if on_event and line.item is not msgspec.UNSET:
                on_event(self._decoded(op, line.item, Event))
        if not line.ok:
            raise from_wire(line.error.kind, line.error.message, line.error.hint)
        return self._decoded(op, line.result, result)

    def _line(self, op: str) -> _Line:
        searched = 0
        while (end := self.pending.find(b"\n", searched)) < 0:
            searched = len(self.pending)
            with self._explained(op):
                data = self.socket.recv(65536)
            if not data or searched > LINE_BYTES_MAX:
                raise Unreachable(
                    f"the agent at {self._path} ended the connection before it answered {op}",
                    hint="see its log; it may just have stopped",
                )
            self.pending += data
        line = bytes(self.pending[:end])
        del self.pending[: end + 1]
        return self._decoded(op, line, _Line)

    @contextmanager
    def _explained(self, op: str) -> Iterator[None]:
        """Errors of the socket as errors for people; not those of what is done with an answer."""
        try:
            yield
        except TimeoutError:
            raise Unreachable(
                f"the agent at {self._path} did not answer {op} within {self.socket.gettimeout():g} s",
                hint="luc events shows what it is doing",
            ) from None
        except OSError as error:
            raise Unreachable(f"the agent at {self._path} went away: {error.strerror}") from None

    def _decoded(self, op: str, data: bytes | msgspec.Raw, kind: type[T]) -> T:
        try:
            return msgspec.json.decode(data, type=kind)
        except msgspec.MsgspecError as error:
            raise OperationFailed(
                f"the answer to {op} is not of API version {API_VERSION}: {error}",
                hint="luc and the agent must be of one version: restart the agent",
            ) from None


def _connect(path: str) -> socket.socket:
    connection = socket.socket(socket.AF_UNIX)
    try:
        connection.connect(path)
    except OSError as error:
        connection.close()
        # A path too long for a socket address has no error number, only a message.
        reason = error.strerror or str(error)
        hint = {
            PermissionError: "run luc as root, or as a member of the socket's group",
            FileNotFoundError: "start one: luc agent --config /etc/luc/agent.toml, or luc lab up",
        }.get(type(error), "start it again: luc agent --config /etc/luc/agent.toml")
        raise Unreachable(f"no agent answers at {path}: {reason}", hint=hint) from None
    return connection


def find_socket() -> str:
    """The agent to talk to: $LUC_SOCKET, else this host's, else the first live one of the only lab."""
    if chosen := os.environ.get("LUC_SOCKET"):
        return chosen
    if DEFAULT_SOCKET.exists():
        return str(DEFAULT_SOCKET)
    root, pattern = LAB_SOCKETS
    live: dict[str, str] = {}
    for path in sorted(root.glob(pattern)):
        lab = path.relative_to(root).parts[0]
        if lab not in live and _answers(path):
            live[lab] = str(path)
    if len(live) == 1:
        return next(iter(live.values()))
    if live:
        first = next(iter(live.values()))
        raise Unreachable(
            f"several labs run ({', '.join(live)}) and none was chosen",
            hint=f"choose an agent: export LUC_SOCKET={first}",
        )
    raise Unreachable(
        "no agent runs here",
        hint="start a lab with luc lab up, or this host's agent with luc init and luc agent; "
        "--socket names another agent's socket",
    )


def _answers(path: Path) -> bool:
    try:
        _connect(str(path)).close()
    except Unreachable:
        return False
    return True
