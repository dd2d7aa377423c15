"""An agent for tests: speaks agent.protocol on a unix socket, answers from a table, remembers requests."""

from __future__ import annotations

import socket
import threading
from collections import deque
from contextlib import suppress
from pathlib import Path
from typing import Any

import msgspec

from lucos.agent.protocol import DrainReport, Info, NodeRow, Outcome, VeRow, VmRow
from lucos.errors import LucError
from lucos.model import Boot, Constraint, Event, Migrate, Plan, PlannedAction, VmSpec
from lucos.model.proposal import Proposal

WEB1 = VmRow("shop.web1", "shop", "running", "h1", 1, 96, 83.4, 41.0, "mini", "cpu:80")
WEB2 = VmRow("shop.web2", "shop", "running", "h2", 1, 1536, 5.0, 5.0, "mini", "tick+cpu:5", "h3")
DB = VmRow("shop.db", "shop", "paused", "h2", 2, 96, 0.0, 0.0, "mini", "idle")
H1 = NodeRow(
    "h1", "s1", "alive", "10.0.0.1:7410", 50.0, 83.4, 1024.0, 96.0, 1, violation="cpu", partition="h1-7"
)
H2 = NodeRow("h2", "s2", "dead", "10.0.0.2:7410", 50.0, 5.0, 1024.0, 1632.0, 2, draining=True)
SHOP = VeRow("shop", "running", 3, 2, ("h1", "h2"))
SPREAD = Constraint("spread", ("shop.web1", "shop.web2"))
EVENTS = (
    Event(1_700_000_000.25, "h1", "violation.start", "h1", "wants 83 % of 50 %"),
    Event(1_700_000_001.5, "h1", "migration.end", "shop.web1", "h1 -> h3", {"downtime_ms": 61.0}),
)
PLAN = Plan(
    (
        PlannedAction(1, Migrate("old.a", "h1", "h2"), (), "h1 lacked 300 MiB", 0.0, 3.5),
        PlannedAction(2, Boot("shop.db", "h1"), (1,), "asked to run", 3.5, 8.5),
    )
)
PROPOSAL = Proposal(
    "shop",
    PLAN,
    "optimal",
    ("migrations", "balance"),
    (1.0, 4.0),
    (1.0, 4.0),
    added=("shop.db",),
    kept=("shop.web1", "shop.web2"),
    rules_added=(SPREAD,),
)

ANSWERS: dict[str, Any] = {
    "ps": [WEB1, WEB2, DB],
    "nodes": [H1, H2],
    "ves": [SHOP],
    "info": Info(
        "vm",
        "shop.web1",
        WEB1,
        VmSpec("shop.web1", "shop", "mini"),
        (SPREAD,),
        facts={"accel": "tcg", "up": True},
    ),
    "events": None,
    "run": SHOP,
    "plan": PROPOSAL,
    "apply": [Outcome("old.a", True, "running", "h2"), Outcome("shop.db", True, "running", "h1")],
    "pause": [Outcome("shop.db", True, "paused", "h2", duration_s=0.006)],
    "unpause": [Outcome("shop.db", True, "running", "h2")],
    "stop": [Outcome("shop.db", True, "ready", "h2", duration_s=3.21)],
    "kill": [Outcome("shop.db", True, "killed", "h2")],
    "migrate": Outcome("shop.web1", True, "running", "h3", duration_s=2.9, downtime_ms=61.0),
    "load": Outcome("shop.web1", True, "running", "h1"),
    "drain": DrainReport("h2", ("shop.db",)),
    "undrain": None,
    "leave": None,
    "remove": None,
    "console": None,
}


class FakeAgent:
    """Answers each request from `answers`; an exception there is sent as the agent sends errors."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.answers: dict[str, Any] = dict(ANSWERS)
        self.raw: dict[str, bytes] = {}
        self.events = EVENTS
        self.requests: list[dict[str, Any]] = []
        self.typed = b""
        self._server = socket.socket(socket.AF_UNIX)
        self._server.bind(str(path))
        self._server.listen()
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    def close(self) -> None:
        self._server.shutdown(socket.SHUT_RDWR)
        self._thread.join(5)
        self._server.close()

    def asked(self, op: str) -> dict[str, Any]:
        """The arguments of the only request of `op`."""
        (request,) = [r for r in self.requests if r["op"] == op]
        assert request["v"] == 1
        return dict(request["args"])

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._server.accept()
            except OSError:
                return
            connection.settimeout(5)
            with suppress(BrokenPipeError), connection, connection.makefile("rb") as lines:
                line = lines.readline()
                if line:  # else only a look whether we live
                    self._answer(connection, msgspec.json.decode(line), lines)

    def _answer(self, connection: socket.socket, request: dict[str, Any], lines: Any) -> None:
        self.requests.append(request)
        op = request["op"]
        if op in self.raw:
            connection.sendall(self.raw[op])
            return
        answer = self.answers[op]
        if isinstance(answer, deque):  # one after the other, the last one always
            answer = answer.popleft() if len(answer) > 1 else answer[0]
        if op in ("events", "run", "apply", "pause", "migrate", "drain"):
            for event in self.events:
                self._line(connection, {"item": event})
        if isinstance(answer, LucError):
            error = {"kind": answer.kind, "message": answer.message, "hint": answer.hint}
            self._line(connection, {"ok": False, "error": error})
            return
        if op == "console":
            connection.sendall(b'{"ok":true,"result":null}\nwelcome to shop.web1\r\n')
            while not self.typed.endswith(b"\r") and (byte := lines.read(1)):
                self.typed += byte
            connection.sendall(b"you typed " + self.typed)
            return
        self._line(connection, {"ok": True, "result": answer})

    def _line(self, connection: socket.socket, value: Any) -> None:
        connection.sendall(msgspec.json.encode(value) + b"\n")
