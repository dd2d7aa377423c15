"""Whether KVM really works here. A device that opens proves nothing under some nested virtualisation, so a
guest is booted once; the verdict is kept for as long as kernel and QEMU stay the same.
"""

from __future__ import annotations

import asyncio
import platform
from pathlib import Path

import msgspec

from lucos.errors import EnvironmentMissing
from lucos.images import Image

QEMU = "qemu-system-x86_64"
KVM_DEVICE = Path("/dev/kvm")
_PROBE_S = 10.0  # a working KVM boots the mini guest in about one second


class Verdict(msgspec.Struct, frozen=True):
    """`accel` is kvm or tcg, `reason` how that was decided; `key` the kernel and QEMU it was found on."""

    accel: str
    reason: str
    key: str = ""


async def qemu_version() -> str:
    """First line of `qemu --version`; raises `EnvironmentMissing` without QEMU."""
    try:
        process = await asyncio.create_subprocess_exec(QEMU, "--version", stdout=asyncio.subprocess.PIPE)
    except FileNotFoundError:
        raise EnvironmentMissing(f"{QEMU} is absent", hint="apt-get install qemu-system-x86") from None
    output, _ = await process.communicate()
    return output.decode(errors="replace").partition("\n")[0]


async def decide(wanted: str, cache: Path, image: Image | None) -> Verdict | None:
    """The verdict for `wanted` (auto, kvm, tcg); None when only a boot can tell and there is no `image` yet.

    `image` must have a `ready` word. Takes up to ten seconds the first time, then reads `cache`.
    """
    if wanted != "auto":
        return Verdict(wanted, "configured")
    if not KVM_DEVICE.exists():
        return Verdict("tcg", f"no {KVM_DEVICE}")
    key = f"{platform.release()} {await qemu_version()}"
    cached = _read(cache)
    if cached is not None and cached.key == key:
        return cached
    if image is None or not image.ready:
        return None
    failure = await _boot_with_kvm(image)
    verdict = (
        Verdict("tcg", f"KVM does not work here: {failure}", key)
        if failure
        else Verdict("kvm", f"a guest of image {image.name} booted with KVM", key)
    )
    cache.parent.mkdir(parents=True, exist_ok=True)
    fresh = cache.with_suffix(".tmp")
    fresh.write_bytes(msgspec.json.encode(verdict))
    fresh.rename(cache)
    return verdict


def _read(cache: Path) -> Verdict | None:
    try:
        return msgspec.json.decode(cache.read_bytes(), type=Verdict)
    except (FileNotFoundError, msgspec.MsgspecError):
        return None


async def _boot_with_kvm(image: Image) -> str:
    """Boot `image` with KVM; "" when it came up, else what went wrong."""
    machine = ("-machine", "pc,accel=kvm", "-m", "128", "-nodefaults", "-no-reboot")
    devices = ("-display", "none", "-serial", "stdio")
    kernel = ("-kernel", str(image.kernel), "-initrd", str(image.initrd), "-append", image.cmdline)
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(
        QEMU, *machine, *devices, *kernel, stdin=asyncio.subprocess.DEVNULL, stdout=pipe, stderr=pipe
    )
    assert process.stdout is not None
    assert process.stderr is not None
    try:
        async with asyncio.timeout(_PROBE_S):
            seen = b""
            while chunk := await process.stdout.read(4096):
                seen = (seen + chunk)[-65536:]
                if image.ready.encode() in seen:
                    return ""
            message = (await process.stderr.read()).decode(errors="replace").strip()
            return message.splitlines()[-1] if message else "the guest stopped while booting"
    except TimeoutError:
        return f"a guest of image {image.name} was not up after {_PROBE_S:g} s"
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()
