"""LibvirtHypervisor on real libvirtds and real guests: the port's scenarios, and what only reality has."""

from __future__ import annotations

import asyncio
import os
import re
from collections.abc import Awaitable, Callable, Iterator
from itertools import pairwise
from pathlib import Path

import pytest
from conformance import CREEPING_MIBPS, SCENARIOS, VM, Client, Scenario
from hosts import HostUnderTest

from lucos.actors import Message
from lucos.actors.ports import DomainChanged, Subscribe
from lucos.errors import EnvironmentMissing, Unreachable
from lucos.hypervisors import HypervisorSettings, LibvirtHypervisor
from lucos.hypervisors.connection import libvirt
from lucos.hypervisors.guest_channel import ask_guest
from lucos.model import Boot, Kill, Migrate, Resume, Shutdown, Suspend, VmSpec, VmState

pytestmark = pytest.mark.lab

_DEADLINE_S = 90.0
_TICK = re.compile(r"^tick (\d+) uptime=([\d.]+) boot=(\S+)", re.MULTILINE)


class LibvirtDriver:
    """h1 and h2 by two adapters in one loop; `root` of each is its libvirtd's."""

    def __init__(self, hosts: list[HostUnderTest], images_dir: Path, folder: Path) -> None:
        self.hosts = {host.name: host for host in hosts}
        self.folder = folder
        self._images_dir = images_dir
        self._addresses = {host.name: host.address for host in hosts}
        self.adapters: dict[str, LibvirtHypervisor] = {}
        self.changes: dict[str, list[DomainChanged]] = {host.name: [] for host in hosts}
        self._answers: dict[tuple[str, int], Message] = {}
        self._news = asyncio.Event()

    def settings(self, host: str) -> HypervisorSettings:
        return HypervisorSettings(
            uri=self.hosts[host].uri,
            node=host,
            images_dir=self._images_dir,
            # One folder for both: the path is part of what migrates.
            console_dir=self.folder / "console",
            accel="tcg",
            root=self.hosts[host].root,
        )

    async def start(self, host: str) -> None:
        def deliver(to: str, message: Message) -> None:
            if isinstance(message, DomainChanged):
                self.changes[to].append(message)
            else:
                self._answers[to, message.call_id] = message  # type: ignore[attr-defined]
            self._news.set()

        self.adapters[host] = LibvirtHypervisor(self.settings(host), deliver)
        await self.adapters[host].start()
        self.adapters[host].receive(Subscribe(), host)

    async def close(self) -> None:
        for host in self.hosts:
            client = Client(self)
            client._last_id = 10_000  # apart from the scenario's own calls
            for vm in await client.sample(host):
                await client.done(Kill(vm, host), host)
            await self.adapters[host].close()

    def tell(self, host: str, message: Message) -> None:
        self.adapters[host].receive(message, host)

    async def answer(self, host: str, call_id: int) -> Message:
        await self.until(lambda: (host, call_id) in self._answers, f"answer {call_id} of {host}")
        return self._answers.pop((host, call_id))

    async def until(self, condition: Callable[[], bool], what: str) -> None:
        try:
            async with asyncio.timeout(_DEADLINE_S):
                while not condition():
                    self._news.clear()
                    await self._news.wait()
        except TimeoutError:
            pytest.fail(f"no {what} within {_DEADLINE_S:g} s")

    def address(self, host: str) -> str:
        return self._addresses.get(host, "10.99.0.9")

    # --- What real guests say -----------------------------------------------------------------------

    def console(self) -> str:
        path = self.folder / "console" / f"{VM}.log"
        return path.read_text() if path.exists() else ""

    def ticks(self) -> list[tuple[int, float, str]]:
        return [(int(n), float(up), boot) for n, up, boot in _TICK.findall(self.console())]

    async def console_shows(self, condition: Callable[[], bool], what: str) -> None:
        """A file tells nobody that it grew, so this one polls."""
        async with asyncio.timeout(_DEADLINE_S):
            while not condition():
                await asyncio.sleep(0.05)

    async def guest_up(self) -> None:
        await self.console_shows(lambda: "lucos-guest up" in self.console(), "the guest to come up")

    async def more_ticks(self, count: int = 4) -> None:
        seen = len(self.ticks())
        await self.console_shows(lambda: len(self.ticks()) >= seen + count, "ticks")

    def assert_one_unbroken_life(self) -> None:
        """Every tick there, none twice, one boot, the guest's clock never back nor far ahead."""
        ticks = self.ticks()
        assert [number for number, _, _ in ticks] == list(range(1, len(ticks) + 1))
        assert len({boot for _, _, boot in ticks}) == 1
        gaps_s = [b[1] - a[1] for a, b in pairwise(ticks)]
        assert min(gaps_s) >= 0.0
        assert max(gaps_s) < 3.0


@pytest.fixture(scope="module")
def runner() -> Iterator[asyncio.Runner]:
    with asyncio.Runner() as loop_runner:
        yield loop_runner


Play = Callable[[Callable[[LibvirtDriver], Awaitable[None]]], None]


@pytest.fixture
def play(hosts: list[HostUnderTest], images_dir: Path, tmp_path: Path, runner: asyncio.Runner) -> Play:
    def run(scenario: Callable[[LibvirtDriver], Awaitable[None]]) -> None:
        async def whole() -> None:
            driver = LibvirtDriver(hosts, images_dir, tmp_path)
            for name in driver.hosts:
                await driver.start(name)
            try:
                await scenario(driver)
            finally:
                await driver.close()

        runner.run(whole())

    return run


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.__name__)
def test_conformance(play: Play, scenario: Scenario) -> None:
    play(scenario)  # type: ignore[arg-type]


def test_a_guest_lives_through_load_suspension_migration_and_a_new_agent(play: Play) -> None:
    async def scenario(driver: LibvirtDriver) -> None:
        client = Client(driver)
        await client.boot("tick")
        await driver.guest_up()
        assert (await client.set_workload("tick+cpu:50")).ok
        before = (await client.sample())[VM]
        assert before.workload == "tick+cpu:50"
        await driver.more_ticks(12)
        after = (await client.sample())[VM]
        wanted_s = after.cpu_time_s + after.run_delay_s - before.cpu_time_s - before.run_delay_s
        assert wanted_s > 1.0  # half of the three seconds that twelve ticks take, less what noise may cost
        assert after.run_delay_s > 0.0
        assert 10.0 < after.memory_used_mib <= 96.0
        await client.done(Suspend(VM, "h1"))
        await client.done(Resume(VM, "h1"))
        await client.done(Migrate(VM, "h1", "h2"))
        await driver.more_ticks()

        await driver.adapters["h2"].close()
        await driver.start("h2")
        adopted = (await client.sample("h2"))[VM]
        assert adopted.spec == VmSpec(VM, "ve", "mini", workload="tick+cpu:50")
        driver.assert_one_unbroken_life()
        stopped = await client.done(Shutdown(VM, "h2"), "h2", timeout_s=60.0)
        assert stopped.duration_s < 60.0
        await client.heard(["incoming", "arrived", "stopped"], "h2")

    play(scenario)


def test_guests_outlive_their_libvirtd_and_a_crash_is_noticed(play: Play) -> None:
    async def scenario(driver: LibvirtDriver) -> None:
        client, host = Client(driver), driver.hosts["h1"]
        await client.boot("tick")
        await driver.guest_up()
        host.kill_libvirtd()
        heard = driver.changes["h1"]
        await driver.until(lambda: heard[-1].change == "connection-lost", "connection-lost")
        assert not driver.adapters["h1"].is_alive
        assert (await client.perform(Kill(VM, "h1"))).kind == "Unreachable"
        await driver.more_ticks()
        host.start_libvirtd()
        await driver.until(lambda: heard[-1].change == "connection-restored", "connection-restored")
        assert (await client.sample())[VM].state is VmState.RUNNING
        driver.assert_one_unbroken_life()

        inside = (host.root / f"run/libvirt/qemu/{VM}.pid").read_text().strip()
        host.run("kill", "-9", inside, namespace="pid")
        await driver.until(lambda: heard[-1].change == "crashed", "crashed")
        assert await client.sample() == {}

    play(scenario)


@pytest.mark.parametrize("fault", ["cable", "libvirtd"])
def test_a_destination_lost_in_mid_copy(play: Play, fault: str) -> None:
    async def scenario(driver: LibvirtDriver) -> None:
        client, h1, h2 = Client(driver), driver.hosts["h1"], driver.hosts["h2"]
        await client.boot("tick")
        await driver.guest_up()
        call_id = client.start(Migrate(VM, "h1", "h2"), bandwidth_mibps=CREEPING_MIBPS)
        await driver.until(lambda: bool(driver.changes["h2"]), "the destination to receive it")
        if fault == "cable":
            h1.run("ip", "link", "set", "eth0", "down")
        else:
            h2.kill_libvirtd()
        try:
            failed = await client.end(call_id)
        finally:
            if fault == "cable":
                h1.run("ip", "link", "set", "eth0", "up")
            else:
                h2.start_libvirtd()
        assert (failed.ok, failed.kind) == (False, "Unreachable")
        assert "still here, running" in failed.error
        await driver.more_ticks()
        driver.assert_one_unbroken_life()
        await driver.until(lambda: driver.adapters["h2"].is_alive, "h2 back")
        gone = {"migration-failed", "connection-restored"}
        await driver.until(lambda: driver.changes["h2"][-1].change in gone, "the end of it at h2")
        assert await client.sample("h2") == {}
        await client.done(Migrate(VM, "h1", "h2"))

    play(scenario)


def test_console_both_ways_and_the_guest_port(play: Play) -> None:
    async def scenario(driver: LibvirtDriver) -> None:
        client = Client(driver)
        await client.boot()
        await driver.guest_up()
        console = await driver.adapters["h1"].console(VM)
        try:
            os.write(console, b"\necho $((40 + 2)) from inside\n")
            await driver.console_shows(lambda: "42 from inside" in driver.console(), "the shell's answer")
            assert b"42 from inside" in os.read(console, 65536)
        finally:
            os.close(console)
        channels = driver.hosts["h1"].root / "run/libvirt/qemu/channel"
        (port,) = channels.glob("*/org.lucos.guest.0")
        assert f"name={VM} workload=idle" in await ask_guest(port, VM, "ping")

    play(scenario)


def test_domains_of_others_are_left_alone(play: Play) -> None:
    async def scenario(driver: LibvirtDriver) -> None:
        client = Client(driver)
        connection = libvirt().open(driver.hosts["h1"].uri)
        foreign = connection.createXML(
            "<domain type='qemu'><name>foreign</name><memory unit='MiB'>32</memory>"
            "<os><type machine='pc'>hvm</type></os></domain>"
        )
        try:
            assert await client.sample() == {}
            refused = await client.perform(Kill("foreign", "h1"))
            assert (refused.ok, refused.kind) == (False, "UnknownObject")
            spec = VmSpec("foreign", "ve", "mini")
            assert (await client.perform(Boot("foreign", "h1"), spec=spec)).kind == "AlreadyExists"
            assert foreign.isActive()
        finally:
            foreign.destroy()
            connection.close()
        assert driver.changes["h1"] == []

    play(scenario)


def test_what_is_missing_is_named(play: Play, tmp_path: Path) -> None:
    async def scenario(driver: LibvirtDriver) -> None:
        client = Client(driver)
        unknown = await client.perform(Boot(VM, "h1"), spec=VmSpec(VM, "ve", "maxi"))
        assert unknown.kind == "UnknownObject"
        assert "maxi" in unknown.error
        assert "mini" in unknown.error
        small = await client.perform(Boot(VM, "h1"), spec=VmSpec(VM, "ve", "mini", memory_mib=32))
        assert small.kind == "InputError"
        assert driver.adapters["h1"].describe().keys() >= {"kind", "accel", "accel_reason", "qemu", "libvirt"}
        settings = driver.settings("h1")
        nowhere = LibvirtHypervisor(
            HypervisorSettings(
                uri=f"qemu+unix:///system?socket={tmp_path}/none",
                node="h1",
                images_dir=settings.images_dir,
                console_dir=settings.console_dir,
                accel="tcg",
            ),
            lambda *_: None,
        )
        with pytest.raises(Unreachable, match="none"):
            await nowhere.start()
        await nowhere.close()

    play(scenario)


def test_libvirt_too_old(hosts: list[HostUnderTest], monkeypatch: pytest.MonkeyPatch) -> None:
    from lucos.hypervisors import connection

    monkeypatch.setattr(connection, "LIBVIRT_MIN", 99)
    with pytest.raises(EnvironmentMissing, match="too old"):
        connection.Connection(hosts[0].uri, lambda *_: None, lambda *_: None, lambda: None)
