"""The SQLite registry: the port's scenarios, and files that fail."""

from __future__ import annotations

import asyncio
import multiprocessing
import sqlite3
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from conformance_registry import SCENARIOS, Client, Scenario

from lucos.actors import Message
from lucos.actors.ports import RegistryGet, RegistryPut, RegistryReply
from lucos.actors.real import SqliteRegistry


class Driver:
    """Two registries on one file, as two agents have them."""

    def __init__(self, path: Path) -> None:
        self._waiting: dict[str, asyncio.Future[Message]] = {}
        self._calls = 0
        self.users = [SqliteRegistry(path, self._deliver) for _ in range(2)]

    def _deliver(self, to: str, message: Message) -> None:
        self._waiting.pop(to).set_result(message)

    async def call(self, user: int, request: Message) -> RegistryReply:
        self._calls += 1
        sender = f"n{user}/caller-{self._calls}"
        answer = self._waiting[sender] = asyncio.get_running_loop().create_future()
        self.users[user].receive(request, sender)
        reply = await asyncio.wait_for(answer, 10.0)
        assert isinstance(reply, RegistryReply)
        return reply

    async def pass_time(self, duration_s: float) -> None:
        await asyncio.sleep(duration_s)


def run(path: Path, scenario: Callable[[Driver], Awaitable[None]]) -> None:
    async def main() -> None:
        driver = Driver(path)
        try:
            await scenario(driver)
        finally:
            for user in driver.users:
                await user.close()

    asyncio.run(main())


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda s: s.__name__)
def test_conformance(scenario: Scenario, tmp_path: Path) -> None:
    run(tmp_path / "registry.db", scenario)


def test_records_survive(tmp_path: Path) -> None:
    async def write(driver: Driver) -> None:
        await Client(driver, 0).put("k", b"v", 0)

    async def read(driver: Driver) -> None:
        assert (await Client(driver, 1).get("k")).records[0].value == b"v"

    run(tmp_path / "registry.db", write)
    run(tmp_path / "registry.db", read)


def test_a_file_that_is_no_database_is_an_error_in_the_reply(tmp_path: Path) -> None:
    path = tmp_path / "registry.db"
    path.write_bytes(b"this is no database at all, whatever its name says" * 20)

    async def scenario(driver: Driver) -> None:
        for request in (RegistryGet(7, "k"), RegistryPut(7, "k", b"v", 0)):
            reply = await driver.call(0, request)
            assert (reply.call_id, reply.ok, reply.records) == (7, False, ())
            assert str(path) in reply.error
            assert "not a database" in reply.error

    run(path, scenario)
    assert path.read_bytes().startswith(b"this is no database"), "the file was overwritten"


def test_an_absent_directory_is_an_error_in_the_reply(tmp_path: Path) -> None:
    path = tmp_path / "absent" / "registry.db"

    async def scenario(driver: Driver) -> None:
        reply = await driver.call(0, RegistryGet(1, "k"))
        assert not reply.ok
        assert str(path) in reply.error
        path.parent.mkdir()
        assert (await driver.call(0, RegistryGet(2, "k"))).ok, "it does not recover"

    run(path, scenario)


def test_a_file_that_vanishes_is_not_made_anew(tmp_path: Path) -> None:
    path = tmp_path / "registry.db"

    async def scenario(driver: Driver) -> None:
        await Client(driver, 0).put("k", b"v", 0)
        hidden = path.rename(tmp_path / "hidden.db")
        reply = await driver.call(0, RegistryGet(1, "k"))
        assert not reply.ok
        assert str(path) in reply.error
        assert not path.exists()
        hidden.rename(path)
        assert (await Client(driver, 0).get("k")).records[0].value == b"v"

    run(path, scenario)


def test_a_file_locked_by_another_for_too_long_is_an_error_in_the_reply(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lucos.actors.real.registry.BUSY_TIMEOUT_S", 0.2)
    path = tmp_path / "registry.db"

    async def scenario(driver: Driver) -> None:
        await Client(driver, 0).put("k", b"v", 0)
        other = sqlite3.connect(path, isolation_level=None)
        try:
            other.execute("BEGIN IMMEDIATE")
            reply = await driver.call(0, RegistryPut(1, "k", b"w", 1))
            assert "locked" in reply.error
        finally:
            other.close()
        assert (await Client(driver, 0).put("k", b"w", 1)).ok

    run(path, scenario)


def test_users_that_start_together_make_the_file_together(tmp_path: Path) -> None:
    async def main(path: Path) -> None:
        drivers = [Driver(path) for _ in range(4)]
        try:
            puts = [
                Client(d, user).put(f"{n}-{user}", b"v", 0) for n, d in enumerate(drivers) for user in (0, 1)
            ]
            assert all(reply.ok for reply in await asyncio.gather(*puts))
        finally:
            for driver in drivers:
                for user in driver.users:
                    await user.close()

    for number in range(10):
        asyncio.run(main(tmp_path / f"registry-{number}.db"))


def increment_from_a_process(path: Path, times: int) -> None:
    async def scenario(driver: Driver) -> None:
        client = Client(driver, 0)
        for _ in range(times):
            while True:
                found = (await client.get("counter")).records
                value, version = (int(found[0].value), found[0].version) if found else (0, 0)
                if (await client.put("counter", str(value + 1).encode(), version)).ok:
                    break

    run(path, scenario)


def test_processes_that_share_the_file_lose_no_increment(tmp_path: Path) -> None:
    path = tmp_path / "registry.db"
    processes = [
        multiprocessing.get_context("spawn").Process(target=increment_from_a_process, args=(path, 40))
        for _ in range(3)
    ]
    try:
        for process in processes:
            process.start()
        for process in processes:
            process.join(30)
        assert [process.exitcode for process in processes] == [0, 0, 0]
    finally:
        for process in processes:
            if process.is_alive():
                process.kill()
                process.join()

    async def check(driver: Driver) -> None:
        assert (await Client(driver, 0).get("counter")).records[0].value == b"120"

    run(path, check)
