"""The parts of the libvirt adapter that need no libvirt: descriptions, counters, events, verdicts."""

from __future__ import annotations

import asyncio
from pathlib import Path

import msgspec
import pytest

from lucos.errors import InputError, Unreachable
from lucos.hypervisors import accel
from lucos.hypervisors.connection import dotted
from lucos.hypervisors.domain_xml import domain_xml, guest_socket, serial_pty, spec_of_domain
from lucos.hypervisors.events import Changes
from lucos.hypervisors.guest_channel import ask_guest
from lucos.hypervisors.statistics import memory_used_mib, parse_schedstat, run_delay_s, state_of
from lucos.images import Image
from lucos.model import Constraint, VmSpec, VmState

SPEC = VmSpec(
    "web.1", "web", "mini", cpu=2, memory_mib=128, workload="tick+cpu:20",
    constraints=(Constraint("ban", ("web.1",), ("<h&1>",)),),
)  # fmt: skip
IMAGE = Image("mini", Path("/images/mini/vmlinuz"), Path("/images/mini/initrd"), "console=ttyS0", 80, "up")
GOLDEN = """\
<domain type="qemu">
  <name>web.1</name>
  <metadata><vm xmlns='urn:lucos:vm:1'>{"lucos":1,"type":"VmSpec","value":{"id":"web.1","ve":"web",\
"image":"mini","cpu":2,"memory_mib":128,"workload":"tick+cpu:20","constraints":[{"kind":"ban",\
"vms":["web.1"],"nodes":["&lt;h&amp;1&gt;"]}]}}</vm></metadata>
  <memory unit='MiB'>128</memory>
  <vcpu>2</vcpu>
  <os>
    <type arch='x86_64' machine='pc'>hvm</type>
    <kernel>/images/mini/vmlinuz</kernel>
    <initrd>/images/mini/initrd</initrd>
    <cmdline>console=ttyS0 luc.name=web.1 luc.workload=tick+cpu:20</cmdline>
  </os>
  <features><acpi/><tcg><tb-cache unit='MiB'>32</tb-cache></tcg></features>
  <clock offset='utc'><timer name='hpet' present='no'/></clock>
  <on_poweroff>destroy</on_poweroff>
  <on_reboot>restart</on_reboot>
  <on_crash>destroy</on_crash>
  <devices>
    <controller type='usb' model='none'/>
    <controller type='virtio-serial' index='0'/>
    <serial type='pty'><log file="/var/console/web.1.log" append='on'/></serial>
    <channel type='unix'><source mode='bind'/><target type='virtio' name='org.lucos.guest.0'/></channel>
    <memballoon model='virtio'><stats period='10'/></memballoon>
  </devices>
</domain>
"""


def test_domain_xml() -> None:
    xml = domain_xml(SPEC, IMAGE, "tcg", Path("/var/console/web.1.log"))
    assert xml == GOLDEN
    assert spec_of_domain(xml) == SPEC
    assert 'type="kvm"' in domain_xml(SPEC, IMAGE, "kvm", Path("/log"))
    assert "tb-cache" not in domain_xml(SPEC, IMAGE, "kvm", Path("/log"))


def test_places_in_a_running_domain() -> None:
    live = """<domain><metadata/><devices>
      <serial type='pty'><source path='/dev/pts/7'/></serial>
      <channel type='unix'><source path='/other'/><target name='org.qemu.guest_agent.0'/></channel>
      <channel type='unix'><source mode='bind' path='/run/x'/><target name='org.lucos.guest.0'/></channel>
    </devices></domain>"""
    assert (serial_pty(live), guest_socket(live)) == ("/dev/pts/7", "/run/x")
    assert spec_of_domain(live) is None
    with pytest.raises(InputError, match="serial line"):
        serial_pty("<domain/>")
    with pytest.raises(InputError, match=r"org\.lucos"):
        guest_socket("<domain/>")


def test_schedstat(tmp_path: Path) -> None:
    assert parse_schedstat("1500000000 250000000 99\n") == (1.5, 0.25)
    threads = (("10", "qemu", 10**9), ("11", "CPU 0/TCG", 250_000_000), ("12", "CPU 1/TCG", 500_000_000))
    for thread, name, delay_ns in threads:
        folder = tmp_path / "10/task" / thread
        folder.mkdir(parents=True)
        (folder / "comm").write_text(name + "\n")
        (folder / "schedstat").write_text(f"1 {delay_ns} 3\n")
    (tmp_path / "10/task/13").mkdir()  # ended between the listing and the reading
    assert run_delay_s(10, tmp_path) == 0.75
    assert run_delay_s(99, tmp_path) == 0.0


def test_statistics() -> None:
    assert state_of({"state.state": 1, "state.reason": 1}) == (VmState.RUNNING, False)
    assert state_of({"state.state": 3, "state.reason": 1}) == (VmState.PAUSED, False)
    assert state_of({"state.state": 3, "state.reason": 2}) == (VmState.PAUSED, True)
    assert state_of({"state.state": 3, "state.reason": 11}) == (None, False)
    assert state_of({"state.state": 4, "state.reason": 1}) == (None, False)
    assert state_of({"state.state": 5, "state.reason": 1}) == (None, False)
    assert memory_used_mib({"balloon.current": 96 * 1024}) == 96.0
    reported = {"balloon.current": 98304, "balloon.available": 65536, "balloon.unused": 40960}
    assert memory_used_mib(reported) == 24.0


@pytest.mark.parametrize(
    ("events", "changes"),
    [
        ([(4, 0), (2, 0), (3, 0), (4, 0), (6, 2), (5, 1)], ["started", "paused", "resumed", "stopped"]),
        ([(2, 2), (4, 2), (5, 4)], ["resumed", "suspended"]),
        ([(2, 1), (3, 1), (4, 1)], ["incoming", "arrived"]),
        ([(2, 1), (6, 2), (5, 5)], ["incoming", "migration-failed"]),
        ([(2, 0), (3, 1), (4, 1), (5, 3)], ["started", "left"]),
        ([(2, 0), (5, 5)], ["started", "crashed"]),
    ],
)
def test_events(events: list[tuple[int, int]], changes: list[str]) -> None:
    told = Changes()
    # A suspended leaving VM (3, 1) is announced to nobody; a received one arrives by its first step.
    named = [told.change("v", event, detail) for event, detail in events]
    assert [change for change in named if change] == changes


def test_a_vm_found_at_the_start_is_known() -> None:
    told = Changes()
    assert told.change("v", 4, 0) == ""
    told.found({"v"})
    assert told.change("v", 4, 0) == "resumed"


def test_guest_port(tmp_path: Path) -> None:
    served: list[asyncio.Task[None] | None] = []

    async def guest(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        served.append(asyncio.current_task())
        writer.write(b"lucos-guest up name=a\nok workload=stale\n")
        token = (await reader.readline()).split()[1]
        command = (await reader.readline()).decode().strip()
        answers = {"workload idle": b"ok workload=idle\n", "dance": b"error unknown command\n"}
        writer.write(b"ok " + token + b" name=a\n" + answers.get(command, b""))
        await reader.read()
        writer.close()
        await writer.wait_closed()

    async def whole() -> None:
        path = tmp_path / "port"
        async with await asyncio.start_unix_server(guest, path):
            assert await ask_guest(path, "a", "workload idle") == "workload=idle"
            with pytest.raises(InputError, match="unknown command"):
                await ask_guest(path, "a", "dance")
            with pytest.raises(Unreachable, match="did not answer"):
                await ask_guest(path, "a", "silence", timeout_s=0.1)
            await asyncio.gather(*(task for task in served if task))
        with pytest.raises(Unreachable, match="cannot be used"):
            await ask_guest(tmp_path / "none", "a", "ping")

    asyncio.run(whole())


def test_accel_is_what_was_configured_or_found_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def version() -> str:
        return "QEMU 10"

    async def works(image: Image) -> str:
        return ""

    async def hangs(image: Image) -> str:
        return "not up after 10 s"

    cache, device = tmp_path / "luc/accel.json", tmp_path / "kvm"
    monkeypatch.setattr(accel, "KVM_DEVICE", device)
    monkeypatch.setattr(accel, "qemu_version", version)

    async def decide(wanted: str = "auto", image: Image | None = IMAGE) -> accel.Verdict | None:
        return await accel.decide(wanted, cache, image)

    async def whole() -> None:
        assert await decide("kvm") == accel.Verdict("kvm", "configured")
        without = await decide()
        assert without is not None
        assert without.accel == "tcg"
        device.touch()
        assert await decide(image=None) is None
        monkeypatch.setattr(accel, "_boot_with_kvm", hangs)
        found = await decide()
        assert found is not None
        assert (found.accel, "10 s" in found.reason) == ("tcg", True)
        monkeypatch.setattr(accel, "_boot_with_kvm", works)
        assert await decide() == found
        cache.write_bytes(msgspec.json.encode(msgspec.structs.replace(found, key="another kernel")))
        again = await decide()
        assert again is not None
        assert again.accel == "kvm"

    asyncio.run(whole())


def test_versions_for_people() -> None:
    assert dotted(11_003_000) == "11.3.0"
