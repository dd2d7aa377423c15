"""Builds the mini guest: Debian's cloud kernel and a busybox initramfs, a few megabytes, up in seconds."""

from __future__ import annotations

import lzma
import re
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

from lucos.errors import EnvironmentMissing, InputError, OperationFailed
from lucos.images.cpio import Cpio
from lucos.images.image import DESCRIPTOR

META_PACKAGE = "linux-image-cloud-amd64"
BUSYBOX = Path("/bin/busybox")
GUEST_INIT = Path(__file__).with_name("guest") / "init.sh"

_MODULES_BASE = ("virtio_pci", "virtio_console", "virtio_balloon", "button", "evdev")
_MODULES_NETWORK = ("virtio_net",)
_APPLETS_START = ("cat", "dd", "hostname", "insmod", "ip", "mkdir", "mount", "poweroff", "rm", "setsid", "sh")
_APPLETS_CONSOLE = ("cttyhack", "dmesg", "free", "kill", "ls", "ps", "top")

_IMAGE_TOML = """\
name = "mini"
kernel = "vmlinuz"
initrd = "initrd"
cmdline = "console=ttyS0 quiet panic=-1 mitigations=off tsc=reliable no_timer_check cryptomgr.notests"
memory_min_mib = 80
ready = "lucos-guest up"
"""

Progress = Callable[[str], None]


def build_mini(destination: Path, *, kernel_package: Path | None = None, progress: Progress) -> None:
    """Make the image folder `destination` (its last part is the image's name), all or nothing.

    Needs no root. `kernel_package` is a Debian kernel package file; without one it is downloaded with
    apt-get. `progress` is told each step in a few words. An image already there is replaced.
    Raises `EnvironmentMissing`, `InputError` (not a kernel package) or `OperationFailed`.
    """
    busybox = _static_busybox()
    destination.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".mini-", dir=destination.parent) as name:
        work = Path(name)
        if kernel_package is None:
            kernel_package = _download(work, progress)
        progress(f"unpacking {kernel_package.name}")
        tree = work / "tree"
        _run("dpkg", "-x", str(kernel_package.absolute()), str(tree), cwd=work)
        kernels = list(tree.glob("boot/vmlinuz-*"))
        if len(kernels) != 1:
            raise InputError(f"{kernel_package} is not a Debian kernel package: no boot/vmlinuz-* in it")
        progress("packing the guest's initramfs")
        image = work / "image"
        image.mkdir(mode=0o755)
        shutil.copyfile(kernels[0], image / "vmlinuz")
        (image / "initrd").write_bytes(_initramfs(busybox, tree))
        (image / DESCRIPTOR).write_text(_IMAGE_TOML)
        if destination.exists():
            destination.rename(work / "replaced")
        image.rename(destination)
    progress(f"image {destination.name} is ready in {destination}")


def _static_busybox() -> bytes:
    try:
        busybox = BUSYBOX.read_bytes()
    except FileNotFoundError:
        busybox = b""
    # A dynamic executable names its loader near its beginning.
    if not busybox or b"/ld-linux" in busybox[:4096]:
        raise EnvironmentMissing(f"{BUSYBOX} is not a static busybox", hint="apt-get install busybox-static")
    return busybox


def _download(work: Path, progress: Progress) -> Path:
    record = _run("apt-cache", "show", "--no-all-versions", META_PACKAGE, cwd=work)
    depends = re.search(r"^Depends:.*?(linux-image-[^\s,]+)", record, re.MULTILINE)
    if depends is None:
        raise OperationFailed(f"the package {META_PACKAGE} is not known to apt", hint="run apt-get update")
    progress(f"downloading {depends[1]}")
    _run("apt-get", "download", "-q", depends[1], cwd=work)
    return next(work.glob("linux-image-*.deb"))


def _run(*command: str, cwd: Path) -> str:
    try:
        done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=300, check=False)
    except FileNotFoundError:
        raise EnvironmentMissing(
            f"the program {command[0]} is absent",
            hint="the mini image is built from Debian packages, on Debian",
        ) from None
    except subprocess.TimeoutExpired:
        raise OperationFailed(f"{' '.join(command[:2])} did not end within 300 s") from None
    if done.returncode != 0:
        last = (done.stderr.strip() or "no message").splitlines()[-1]
        raise OperationFailed(
            f"{' '.join(command[:2])} failed: {last}", hint="run apt-get update, then try again"
        )
    return done.stdout


def _initramfs(busybox: bytes, tree: Path) -> bytes:
    archive = Cpio()
    for name in ("bin", "dev", "modules", "proc"):
        archive.directory(name)
    archive.character_device("dev/console", 5, 1)
    archive.fifo("never")
    archive.file("bin/busybox", busybox, executable=True)
    for applet in _APPLETS_START + _APPLETS_CONSOLE:
        archive.link(f"bin/{applet}", "busybox")
    archive.file("init", GUEST_INIT.read_bytes(), executable=True)
    packed: list[str] = []
    for group, wanted in (("base", _MODULES_BASE), ("network", _MODULES_NETWORK)):
        order = [name for module in wanted for name in _with_dependencies(tree, module)]
        fresh = [name for name in dict.fromkeys(order) if name not in packed]
        for name in fresh:
            archive.file(f"modules/{name}.ko", _module(tree, name))
        archive.file(f"modules/{group}", " ".join(f"{name}.ko" for name in fresh).encode())
        packed += fresh
    return archive.finish()


def _with_dependencies(tree: Path, module: str) -> Iterator[str]:
    """`module` and what it needs, in the order to load them in."""
    depends = re.search(rb"\0depends=([^\0]*)", _module(tree, module))
    for name in depends[1].decode().split(",") if depends and depends[1] else ():
        yield from _with_dependencies(tree, name)
    yield module


def _module(tree: Path, name: str) -> bytes:
    for path in tree.glob(f"**/{name}.ko*"):
        data = path.read_bytes()
        return lzma.decompress(data) if path.suffix == ".xz" else data
    raise InputError(
        f"the kernel package has no module {name}", hint="use a Debian linux-image-cloud package"
    )
