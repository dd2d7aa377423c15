"""What every registry promises, as scenarios against a driver; each world's tests run them on its own."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Protocol

from lucos.actors.ports import (
    RegistryDelete,
    RegistryGet,
    RegistryLease,
    RegistryPut,
    RegistryReply,
)


class RegistryDriver(Protocol):
    """Two users, 0 and 1, of one registry that is empty at first."""

    async def call(
        self, user: int, request: RegistryGet | RegistryPut | RegistryDelete | RegistryLease
    ) -> RegistryReply:
        """Ask as `user`; the reply must carry the request's `call_id`."""

    async def pass_time(self, duration_s: float) -> None: ...


class Client:
    """The requests in short, each with a `call_id` of its own."""

    def __init__(self, driver: RegistryDriver, user: int) -> None:
        self._driver = driver
        self._user = user
        self._last_id = 1000 * user

    async def _call(
        self, make: Callable[[int], RegistryGet | RegistryPut | RegistryDelete | RegistryLease]
    ) -> RegistryReply:
        self._last_id += 1
        call_id = self._last_id
        reply = await self._driver.call(self._user, make(call_id))
        assert reply.call_id == call_id
        assert reply.error == ""
        return reply

    async def get(self, prefix: str) -> RegistryReply:
        return await self._call(lambda i: RegistryGet(i, prefix))

    async def put(self, key: str, value: bytes, expected: int) -> RegistryReply:
        return await self._call(lambda i: RegistryPut(i, key, value, expected))

    async def delete(self, key: str, expected: int) -> RegistryReply:
        return await self._call(lambda i: RegistryDelete(i, key, expected))

    async def lease(self, key: str, holder: str, ttl_s: float) -> RegistryReply:
        return await self._call(lambda i: RegistryLease(i, key, holder, ttl_s))


async def put_compares_versions(driver: RegistryDriver) -> None:
    one, two = Client(driver, 0), Client(driver, 1)
    made = await one.put("ve/web", b"first", 0)
    assert made.ok
    assert (made.records[0].value, made.records[0].version) == (b"first", 1)
    again = await two.put("ve/web", b"second", 0)
    assert (again.ok, again.records) == (False, made.records)
    changed = await two.put("ve/web", b"second", 1)
    assert changed.ok
    assert changed.records[0].version == 2
    stale = await one.put("ve/web", b"third", 1)
    assert (stale.ok, stale.records) == (False, changed.records)
    assert (await one.get("ve/web")).records == changed.records
    absent = await one.put("ve/none", b"x", 3)
    assert (absent.ok, absent.records) == (False, ())


async def get_lists_a_prefix_in_order(driver: RegistryDriver) -> None:
    one, two = Client(driver, 0), Client(driver, 1)
    for key in ("vm/b", "ve/web%", "ve/a", "ve/web", "ve_web", "VE/z", "ve/wéb", "ve/wea"):
        assert (await one.put(key, key.encode(), 0)).ok
    found = await two.get("ve/")
    assert [r.key for r in found.records] == ["ve/a", "ve/wea", "ve/web", "ve/web%", "ve/wéb"]
    assert [r.value for r in found.records] == [r.key.encode() for r in found.records]
    assert len((await two.get("")).records) == 8
    nothing = await two.get("x")
    assert (nothing.ok, nothing.records) == (True, ())


async def delete_compares_versions(driver: RegistryDriver) -> None:
    one, two = Client(driver, 0), Client(driver, 1)
    await one.put("k", b"1", 0)
    await one.put("k", b"2", 1)
    refused = await two.delete("k", 1)
    assert not refused.ok
    assert refused.records[0].version == 2
    assert (await two.delete("k", 2)).ok
    assert (await one.get("k")).records == ()
    assert not (await one.delete("k", 2)).ok
    assert (await one.put("k", b"3", 0)).ok


async def lease_is_exclusive_until_it_ends(driver: RegistryDriver) -> None:
    one, two = Client(driver, 0), Client(driver, 1)
    assert not (await one.lease("k", "a", 5.0)).ok, "a lease of a record that does not exist"
    await one.put("k", b"v", 0)
    taken = (await one.lease("k", "a", 0.4)).records[0]
    assert (taken.holder, taken.epoch, taken.version) == ("a", 1, 1)
    refused = await two.lease("k", "b", 5.0)
    assert (refused.ok, refused.records) == (False, (taken,))
    renewed = await one.lease("k", "a", 0.8)
    assert renewed.ok
    assert renewed.records[0].epoch == 1
    assert renewed.records[0].lease_until_s > taken.lease_until_s
    await driver.pass_time(0.5)
    assert not (await two.lease("k", "b", 5.0)).ok, "the renewal did not prolong the lease"
    await driver.pass_time(0.5)
    other = await two.lease("k", "b", 30.0)
    assert other.ok
    assert (other.records[0].holder, other.records[0].epoch) == ("b", 2)
    assert not (await one.lease("k", "a", 30.0)).ok
    written = (await one.put("k", b"w", 1)).records[0]
    assert (written.holder, written.epoch) == ("b", 2)


async def release_frees_a_lease(driver: RegistryDriver) -> None:
    one, two = Client(driver, 0), Client(driver, 1)
    await one.put("k", b"v", 0)
    assert (await one.lease("k", "a", 30.0)).ok
    assert not (await two.lease("k", "b", 0.0)).ok, "only the holder releases"
    released = await one.lease("k", "a", 0.0)
    assert released.ok
    assert released.records[0].holder == ""
    taken = await two.lease("k", "b", 30.0)
    assert taken.ok
    assert taken.records[0].epoch == 2


async def no_increment_is_lost(driver: RegistryDriver) -> None:
    await Client(driver, 0).put("counter", b"0", 0)

    async def increment(user: int, times: int) -> None:
        client = Client(driver, user)
        for _ in range(times):
            record = (await client.get("counter")).records[0]
            while True:
                value = str(int(record.value) + 1).encode()
                reply = await client.put("counter", value, record.version)
                if reply.ok:
                    break
                record = reply.records[0]

    await asyncio.gather(*(increment(user % 2, 10) for user in range(6)))
    record = (await Client(driver, 1).get("counter")).records[0]
    assert (record.value, record.version) == (b"60", 61)


Scenario = Callable[[RegistryDriver], Awaitable[None]]
SCENARIOS: list[Scenario] = [
    put_compares_versions,
    get_lists_a_prefix_in_order,
    delete_compares_versions,
    lease_is_exclusive_until_it_ends,
    release_frees_a_lease,
    no_increment_is_lost,
]
