"""gRPC transport: the port's scenarios, who is let in, bounds, tunnels."""

from __future__ import annotations

import asyncio
import logging
import os
import subprocess
import sys
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from conformance_transport import SCENARIOS, Numbered, Scenario
from real_nodes import LIMITS, LOCALHOST, RealDriver, RealNode, secrets_of, until

from lucos.actors import encode_frame
from lucos.actors.real import GrpcTransport, Secrets, TransportLimits, Tunnel
from lucos.actors.real.link import FRAMES, SERVICE, Dialler
from lucos.errors import InputError, Refused, UnknownObject, Unreachable


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda s: s.__name__)
def test_conformance(scenario: Scenario, tmp_path: Path) -> None:
    async def main() -> None:
        driver = RealDriver(tmp_path)
        try:
            await asyncio.wait_for(scenario(driver), 60.0)
        finally:
            await driver.close()

    asyncio.run(main())


class Pair:
    """Nodes a and b that resolve each other directly."""

    def __init__(
        self,
        tmp_path: Path,
        *,
        secrets_b: Secrets | None = None,
        name_b: str = "b",
        limits: TransportLimits = LIMITS,
        on_tunnel: Callable[[str, str, Tunnel], Awaitable[None]] | None = None,
    ) -> None:
        pki = tmp_path / "pki"
        self.where: dict[str, str] = {}
        self.a = RealNode("a", secrets_of(pki, "a"), tmp_path / "a", resolve=self.where.get, limits=limits)
        self.b = RealNode(
            name_b,
            secrets_b or secrets_of(pki, "b"),
            tmp_path / "b",
            resolve=self.where.get,
            limits=limits,
            on_tunnel=on_tunnel,
        )

    async def __aenter__(self) -> Pair:
        for node in (self.a, self.b):
            await node.start()
            self.where[node.name] = f"{LOCALHOST}:{node.port}"
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.a.close()
        await self.b.close()


def test_a_peer_of_another_authority_is_rejected_and_the_reason_logged(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    own, other = secrets_of(tmp_path / "pki", "a"), secrets_of(tmp_path / "other", "b")
    # It trusts our authority, so that only our side can refuse it.
    rogue = replace(other, ca=own.ca)

    async def main() -> None:
        async with Pair(tmp_path, secrets_b=rogue) as pair:
            pair.b.send("a/inbox", Numbered(1))
            assert await until(lambda: "lucos.b" in {r.name for r in caplog.records}, 5.0)
            pair.a.send("b/inbox", Numbered(2))
            assert await until(lambda: "lucos.a" in {r.name for r in caplog.records}, 5.0)
            assert pair.a.got == []
            assert pair.b.got == []

    asyncio.run(main())
    ours = [r.getMessage() for r in caplog.records if r.name == "lucos.a"]
    assert "CERTIFICATE_VERIFY_FAILED" in ours[0]
    assert "CERTIFICATE_VERIFY_FAILED" in capfd.readouterr().err


def test_a_peer_with_anothers_name_is_rejected_and_the_reason_logged(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async def main() -> None:
        # Holds b's certificate and says it is c.
        async with Pair(tmp_path, name_b="c") as pair:
            pair.b.send("a/inbox", Numbered(1))
            assert await until(lambda: pair.a.transport.statistics["b"].dropped["false name"] > 0, 5.0)
            assert await until(lambda: any(r.name == "lucos.c" for r in caplog.records), 5.0)
            assert pair.a.got == []

    asyncio.run(main())
    messages = {r.name: r.getMessage() for r in caplog.records}
    assert "claims to be c: rejected" in messages["lucos.a"]
    assert "takes only messages of b" in messages["lucos.c"]


def test_a_peer_at_anothers_address_is_not_spoken_to(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async def main() -> None:
        async with Pair(tmp_path) as pair:
            pair.where["c"] = pair.where["b"]
            pair.a.send("c/inbox", Numbered(1))
            assert await until(lambda: bool(caplog.records), 5.0)
            assert pair.b.got == []

    asyncio.run(main())
    assert "Hostname Verification" in caplog.records[0].getMessage()


def test_what_is_left_of_an_older_stream_is_not_mixed_with_the_newer(tmp_path: Path) -> None:
    def frame(number: int) -> bytes:
        return encode_frame("b/inbox", "a/mouth", Numbered(number))

    async def main() -> None:
        async with Pair(tmp_path) as pair:
            dialler = Dialler(secrets_of(tmp_path / "pki", "a"), pair.where.get, LIMITS)
            channels = [dialler.dial("b"), dialler.dial("b")]
            calls: list[Any] = []
            for number, channel in enumerate(channels):
                assert channel is not None
                calls.append(channel.stream_stream(f"/{SERVICE}/{FRAMES}")())
                await calls[-1].write(frame(number))
                assert await until(lambda: len(pair.b.got) == number + 1, 5.0)  # noqa: B023
            await calls[0].write(frame(2))
            assert await until(calls[0].done, 5.0)
            await calls[1].write(frame(3))
            assert await until(lambda: len(pair.b.got) == 3, 5.0)
            assert [m for _, m in pair.b.got] == [Numbered(0), Numbered(1), Numbered(3)]
            for channel in channels:
                assert channel is not None
                await channel.close()

    asyncio.run(main())


def test_messages_wait_for_a_peer_only_so_long_and_so_many(tmp_path: Path) -> None:
    limits = replace(LIMITS, queue_messages_max=5, message_age_max_s=0.3)

    async def main() -> None:
        async with Pair(tmp_path, limits=limits) as pair:
            await pair.b.close()
            for number in range(8):
                pair.a.send("b/inbox", Numbered(number))
            dropped = pair.a.transport.statistics["b"].dropped
            assert dropped["queue full"] == 3
            assert await until(lambda: dropped["too old"] == 5, 5.0)

    asyncio.run(main())


def test_a_message_sent_while_the_peer_is_down_arrives_when_it_comes_up(tmp_path: Path) -> None:
    async def main() -> None:
        async with Pair(tmp_path) as pair:
            late = RealNode(
                "late", secrets_of(tmp_path / "pki", "late"), tmp_path / "late", resolve=pair.where.get
            )
            # A port that is free again: nobody listens there until `late` does.
            port = pair.b.port
            await pair.b.close()
            pair.where["late"] = f"{LOCALHOST}:{port}"
            for number in range(3):
                pair.a.send("late/inbox", Numbered(number))
            assert await until(lambda: pair.a.transport.statistics["late"].messages_sent == 0, 0.3)
            await late.start(port)
            try:
                assert await until(lambda: len(late.got) == 3, 10.0)
                assert late.got == [("a/mouth", Numbered(n)) for n in range(3)]
            finally:
                await late.close()

    asyncio.run(main())


def test_a_cut_is_noticed_and_new_messages_do_not_go_into_the_void(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async def main() -> None:
        driver = RealDriver(tmp_path)
        try:
            await driver.start("a")
            await driver.start("b")
            driver.send("a", "b/inbox", Numbered(1))
            assert await until(lambda: bool(driver.inbox("b")), 5.0)
            await driver.cut("a", "b")
            noticed_s = LIMITS.keepalive_s + LIMITS.keepalive_timeout_s
            assert await until(lambda: "connection to b failed" in caplog.text, noticed_s + 3.0)
            driver.send("a", "b/inbox", Numbered(2))
            assert not await until(lambda: len(driver.inbox("b")) > 1, 0.1)
            await driver.heal()
            assert await until(lambda: len(driver.inbox("b")) == 2, 10.0)
        finally:
            await driver.close()

    asyncio.run(main())


def test_an_idle_connection_is_closed_and_opened_again(tmp_path: Path) -> None:
    async def main() -> None:
        async with Pair(tmp_path, limits=replace(LIMITS, idle_max_s=0.1)) as pair:
            for number in range(3):
                pair.a.send("b/inbox", Numbered(number))
                assert await until(lambda: len(pair.b.got) == number + 1, 5.0)  # noqa: B023
                assert await until(lambda: pair.a.transport.connected == [], 5.0)
            sent = pair.a.transport.statistics["b"]
            received = pair.b.transport.statistics["a"]
            assert sent.messages_sent == received.messages_received == 3
            assert sent.bytes_sent == received.bytes_received > 0

    asyncio.run(main())


def test_a_message_beyond_the_limit_is_dropped_and_logged(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async def main() -> None:
        async with Pair(tmp_path) as pair:
            pair.a.send("b/inbox", Numbered(1, bytes(5 * 1024 * 1024)))
            pair.a.send("b/inbox", Numbered(2))
            assert await until(lambda: bool(pair.b.got), 5.0)
            assert pair.b.got == [("a/mouth", Numbered(2))]
            assert pair.a.transport.statistics["b"].dropped["too large"] == 1

    asyncio.run(main())
    assert "Numbered" in caplog.text


async def serve(kind: str, argument: str, tunnel: Tunnel) -> None:
    if kind != "echo":
        raise UnknownObject(f"no {kind} {argument}", hint="there is an echo")
    await tunnel.write(argument.encode())
    while data := await tunnel.read():
        await tunnel.write(data[::-1])


def test_a_tunnel_carries_bytes_both_ways(tmp_path: Path) -> None:
    async def main() -> None:
        async with Pair(tmp_path, on_tunnel=serve) as pair:
            tunnel = await pair.a.transport.tunnel("b", "echo", "hello")
            assert await tunnel.read() == b"hello"
            await tunnel.write(b"abc")
            assert await tunnel.read() == b"cba"
            await tunnel.write(bytes(600_000))
            size = 0
            while size < 600_000:
                size += len(await tunnel.read())
            await tunnel.close()

    asyncio.run(main())


def test_a_tunnels_error_reaches_its_opener(tmp_path: Path) -> None:
    async def main() -> None:
        async with Pair(tmp_path, on_tunnel=serve) as pair:
            tunnel = await pair.a.transport.tunnel("b", "console", "web.x")
            with pytest.raises(UnknownObject, match=r"no console web\.x") as caught:
                await tunnel.read()
            assert caught.value.hint == "there is an echo"
            await tunnel.close()
            with pytest.raises(UnknownObject, match="no host nowhere"):
                await pair.a.transport.tunnel("nowhere", "echo", "")
            await pair.b.close()
            with pytest.raises(Unreachable, match="host b"):
                await pair.a.transport.tunnel("b", "echo", "")

    asyncio.run(main())


def test_a_tunnel_ends_when_its_peer_goes(tmp_path: Path) -> None:
    async def main() -> None:
        async with Pair(tmp_path, on_tunnel=serve) as pair:
            tunnel = await pair.a.transport.tunnel("b", "echo", "x")
            assert await tunnel.read() == b"x"
            await pair.b.close()
            with pytest.raises(Unreachable):
                await asyncio.wait_for(tunnel.read(), 5.0)
            await tunnel.close()

    asyncio.run(main())


def test_a_port_in_use_is_refused(tmp_path: Path) -> None:
    async def main() -> None:
        async with Pair(tmp_path) as pair:
            second = GrpcTransport(
                "a", secrets_of(tmp_path / "pki", "a"), pair.where.get, logging.getLogger()
            )
            with pytest.raises(Refused, match=f"{LOCALHOST}:{pair.a.port}"):
                await second.start(LOCALHOST, pair.a.port, pair.a.runtime.arrive)
            await second.close()

    asyncio.run(main())


def test_bad_certificates_are_named(tmp_path: Path) -> None:
    a, b = secrets_of(tmp_path / "pki", "a"), secrets_of(tmp_path / "pki", "b")
    with pytest.raises(InputError, match="does not belong"):
        Secrets(a.ca, a.certificate, b.key)
    with pytest.raises(InputError, match="cannot be read"):
        Secrets(a.ca, b"rubbish", a.key)


QUIET_END = """
import asyncio, logging, os, subprocess, sys
from pathlib import Path
from typing import Any
from real_nodes import RealDriver, Numbered

async def main():
    driver = RealDriver(Path(sys.argv[1]))
    await driver.start("a")
    await driver.start("b")
    driver.send("a", "b/inbox", Numbered(1))
    assert await driver.until(lambda: bool(driver.inbox("b")), 10.0)
    subprocess.run([sys.executable, "-c", "print(1)"], check=True)
    child = os.fork()
    if child == 0:
        os._exit(0)
    os.waitpid(child, 0)
    driver.send("b", "a/inbox", Numbered(2))
    assert await driver.until(lambda: bool(driver.inbox("a")), 10.0)
    logging.disable()
    await driver.close()

asyncio.run(main())
"""


def test_children_and_the_end_of_the_process_make_no_noise(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", QUIET_END, str(tmp_path)],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "1\n", "")
