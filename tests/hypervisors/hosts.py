"""Hosts for the tests: each its own libvirtd in its own namespaces, all gone when the test is.

A host is a PID, mount, UTS and network namespace whose first process reads a pipe of the test's: when the
test ends in any way, the pipe closes, that process ends, and the kernel ends everything else inside.
"""

from __future__ import annotations

import shutil
import socket
import subprocess
import time
import uuid
from collections.abc import Callable
from pathlib import Path

_MOUNTS = ("etc/libvirt", "run/libvirt", "var/cache/libvirt", "var/lib/libvirt", "var/log/libvirt")
_ENTER = """\
set -e
hostname {name}
for place in {mounts}; do mkdir -p /$place; mount --bind {folder}/$place /$place; done
ip link set lo up
echo ready
cat  # not exec: the first process must be one that collects the orphans which libvirt waits for
exit
"""
_LIBVIRTD = """\
listen_tls = 0
listen_tcp = 1
listen_addr = "{address}"
auth_tcp = "none"
auth_unix_ro = "none"
auth_unix_rw = "none"
unix_sock_group = "root"
host_uuid = "{uuid}"
log_outputs = "3:file:{folder}/libvirtd.log"
keepalive_interval = 2
keepalive_count = 3
"""
_QEMU = """\
user = "root"
group = "root"
dynamic_ownership = 0
remember_owner = 0
security_driver = "none"
cgroup_controllers = []
namespaces = []
stdio_handler = "file"
migration_address = "{address}"
migration_host = "{address}"
keepalive_interval = 1
keepalive_count = 3
"""


class HostUnderTest:
    """`start` the namespaces, then `start_libvirtd`; `stop` leaves nothing."""

    def __init__(self, name: str, address: str, folder: Path) -> None:
        self.name = name
        self.address = address
        self.folder = folder
        self._holder: subprocess.Popen[str] | None = None
        self._libvirtd: subprocess.Popen[bytes] | None = None

    @property
    def uri(self) -> str:
        return f"qemu+unix:///system?socket={self.folder}/run/libvirt/libvirt-sock"

    @property
    def root(self) -> Path:
        return Path(f"/proc/{self.pid}/root")

    def start(self, capabilities: Path) -> None:
        """`capabilities` holds what an earlier libvirtd found out about QEMU: eight seconds saved."""
        for place in _MOUNTS:
            (self.folder / place).mkdir(parents=True)
        if capabilities.exists():
            shutil.copytree(capabilities, self.folder / "var/cache/libvirt", dirs_exist_ok=True)
        values = {"address": self.address, "uuid": uuid.uuid4(), "folder": self.folder}
        (self.folder / "etc/libvirt/libvirtd.conf").write_text(_LIBVIRTD.format(**values))
        (self.folder / "etc/libvirt/qemu.conf").write_text(_QEMU.format(**values))
        script = _ENTER.format(name=self.name, mounts=" ".join(_MOUNTS), folder=self.folder)
        namespaces = ["--mount", "--net", "--uts", "--pid", "--fork", "--kill-child", "--mount-proc"]
        self._holder = subprocess.Popen(
            ["unshare", *namespaces, "sh", "-c", script],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        assert self._holder.stdout is not None
        assert self._holder.stdout.readline() == "ready\n"
        children = Path(f"/proc/{self._holder.pid}/task/{self._holder.pid}/children").read_text()
        self.pid = int(children)

    def start_libvirtd(self) -> None:
        enter = ["nsenter", "--target", str(self.pid), "--mount", "--net", "--uts", "--pid"]
        self._libvirtd = subprocess.Popen(
            [*enter, "libvirtd", "-l", "-p", "/run/libvirt/libvirtd.pid"],
            stdin=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        wait_for(self._accepts, 30.0, f"libvirtd of {self.name}")

    def kill_libvirtd(self) -> None:
        assert self._libvirtd is not None
        children = Path(f"/proc/{self._libvirtd.pid}/task/{self._libvirtd.pid}/children").read_text()
        subprocess.run(["kill", "-9", *children.split()], check=True)
        self._libvirtd.wait(10)

    def run(self, *command: str, namespace: str = "net") -> None:
        """Run a command in the host's namespace of that kind."""
        subprocess.run(["nsenter", "--target", str(self.pid), f"--{namespace}", *command], check=True)

    def link(self, other: HostUnderTest) -> None:
        """A cable between two hosts, both ends named eth0."""
        self.run(*f"ip link add eth0 type veth peer name eth0 netns {other.pid}".split())
        for host in (self, other):
            host.run("ip", "address", "add", f"{host.address}/24", "dev", "eth0")
            host.run("ip", "link", "set", "eth0", "up")

    def stop(self) -> None:
        if self._holder is not None:
            assert self._holder.stdin is not None
            self._holder.stdin.close()
            self._holder.wait(20)
            assert self._holder.stdout is not None
            self._holder.stdout.close()
        if self._libvirtd is not None:
            self._libvirtd.wait(20)

    def _accepts(self) -> bool:
        with socket.socket(socket.AF_UNIX) as probe:
            try:
                probe.connect(str(self.folder / "run/libvirt/libvirt-sock"))
            except OSError:
                return False
        return True


def wait_for(condition: Callable[[], bool], timeout_s: float, what: str) -> None:
    """Poll until `condition` holds; for things that announce themselves to nobody."""
    deadline_s = time.monotonic() + timeout_s
    while not condition():
        if time.monotonic() > deadline_s:
            raise TimeoutError(f"{what} after {timeout_s} s")
        time.sleep(0.02)
