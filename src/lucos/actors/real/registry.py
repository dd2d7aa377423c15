"""The Registry port on one SQLite file that the agents of one machine share.

The agents must see the same directory, not only the same file: SQLite keeps its log beside it. The first use
creates the file. Once it was open, a file that vanishes or cannot be read is an error in every reply and is
never made anew, for an empty registry would give away leases that are still held.
"""

from __future__ import annotations

import asyncio
import os
import sqlite3
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import msgspec

from lucos.actors.message import Message
from lucos.actors.ports import Record, RegistryGet, RegistryReply
from lucos.actors.records import Write, after_write

BUSY_TIMEOUT_S = 2.0
PENDING_MAX = 1_000

_SCHEMA = """CREATE TABLE IF NOT EXISTS records (
    key TEXT PRIMARY KEY, value BLOB NOT NULL, version INTEGER NOT NULL,
    holder TEXT NOT NULL, lease_until_s REAL NOT NULL, epoch INTEGER NOT NULL
) WITHOUT ROWID"""
_SELECT = "SELECT key, value, version, holder, lease_until_s, epoch FROM records"


class SqliteRegistry:
    """Answers registry requests through `deliver(sender, reply)`, in their order, off the loop's thread.

    Several processes may use the file at once; a request waits `BUSY_TIMEOUT_S` for the others at most.
    Whatever goes wrong with the file becomes a reply with `error`. Leases run by the machine's wall clock.
    """

    def __init__(self, path: Path, deliver: Callable[[str, Message], None]) -> None:
        self._file = _File(path)
        self._deliver = deliver
        self._worker = ThreadPoolExecutor(1, thread_name_prefix="registry")
        self._pending = 0

    def receive(self, message: Message, sender: str) -> None:
        if not isinstance(message, RegistryGet | Write):
            return
        if self._pending >= PENDING_MAX:
            busy = RegistryReply(
                message.call_id, False, error=f"the registry has {PENDING_MAX} requests waiting"
            )
            self._deliver(sender, busy)
            return
        self._pending += 1
        work = asyncio.get_running_loop().run_in_executor(self._worker, self._file.answer, message)
        work.add_done_callback(lambda done: self._answered(done, sender))

    def _answered(self, done: asyncio.Future[RegistryReply], sender: str) -> None:
        self._pending -= 1
        if not done.cancelled():
            self._deliver(sender, done.result())

    async def close(self) -> None:
        """Finish what is waiting and close the file."""
        await asyncio.get_running_loop().run_in_executor(self._worker, self._file.close)
        self._worker.shutdown()


class _File:
    """The SQLite file, used from one thread."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._connection: sqlite3.Connection | None = None
        self._inode: int | None = None

    def answer(self, request: RegistryGet | Write) -> RegistryReply:
        try:
            if isinstance(request, RegistryGet):
                return RegistryReply(request.call_id, True, self._list(request.prefix))
            with self._transaction() as connection:
                return _write(connection, request)
        except (sqlite3.Error, OSError) as error:
            self.close()
            return RegistryReply(request.call_id, False, error=f"registry {self._path}: {error}")

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _list(self, prefix: str) -> tuple[Record, ...]:
        query = f"{_SELECT} WHERE key >= ?1 AND substr(key, 1, length(?1)) = ?1 ORDER BY key"
        return tuple(Record(*row) for row in self._open().execute(query, (prefix,)))

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        connection = self._open()
        connection.execute("BEGIN IMMEDIATE")
        try:
            yield connection
            connection.execute("COMMIT")
        finally:
            if connection.in_transaction:
                connection.execute("ROLLBACK")

    def _open(self) -> sqlite3.Connection:
        if self._inode is not None and os.stat(self._path).st_ino != self._inode:
            self.close()
        if self._connection is None:
            mode = "rwc" if self._inode is None else "rw"
            self._connection = sqlite3.connect(
                f"{self._path.absolute().as_uri()}?mode={mode}",
                uri=True,
                timeout=BUSY_TIMEOUT_S,
                isolation_level=None,
            )
            _use_write_ahead_log(self._connection)
            self._connection.execute("PRAGMA synchronous = FULL")
            self._connection.execute(_SCHEMA)
            self._inode = os.stat(self._path).st_ino
        return self._connection


def _use_write_ahead_log(connection: sqlite3.Connection) -> None:
    deadline_s = time.monotonic() + BUSY_TIMEOUT_S
    while True:
        try:
            connection.execute("PRAGMA journal_mode = WAL")
            return
        except sqlite3.OperationalError:
            # SQLite does not wait for a lock here, and agents that start together make the file together.
            if time.monotonic() > deadline_s:
                raise
            time.sleep(0.01)


def _write(connection: sqlite3.Connection, request: Write) -> RegistryReply:
    """Carry out `request` on its record, or refuse it with the record as it is."""
    row = connection.execute(f"{_SELECT} WHERE key = ?", (request.key,)).fetchone()
    allowed, after = after_write(Record(*row) if row else None, request, time.time())
    if allowed and after is None:
        connection.execute("DELETE FROM records WHERE key = ?", (request.key,))
    elif allowed and after is not None:
        connection.execute("REPLACE INTO records VALUES (?, ?, ?, ?, ?, ?)", msgspec.structs.astuple(after))
    return RegistryReply(request.call_id, allowed, (after,) if after else ())
