"""What a lab is: its record on disk, and the names, addresses and folders that follow from it.

The record is written before anything it speaks of is made, and every name derives from it, so that a lab of
which any part was killed can still be found and removed whole.
"""

from __future__ import annotations

import errno
import os
import re
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec

from lucos.errors import InputError, OperationFailed, Refused, UnknownObject
from lucos.lab.processes import wait_until

RUNTIME_ROOT = Path("/run/luc-lab")
DATA_ROOT = Path("/var/lib/luc-lab")
NODES_MAX = 32
SITES_MAX = 8
RTT_MS_MAX = 10_000
LOCK_TIMEOUT_S = 10.0

# Kept short: a unix socket's path, which holds the name, has at most 107 bytes.
_NAME = re.compile(r"[a-z0-9]([a-z0-9-]{0,22}[a-z0-9])?")


class Host(msgspec.Struct, frozen=True):
    """One host of a lab; hosts and sites count from 1."""

    lab: str
    number: int
    site_number: int

    @property
    def name(self) -> str:
        return f"h{self.number}"

    @property
    def site(self) -> str:
        return f"s{self.site_number}"

    @property
    def address(self) -> str:
        return f"10.77.{self.site_number}.{self.number}"

    @property
    def mac(self) -> str:
        return f"02:4c:55:43:{self.site_number:02x}:{self.number:02x}"

    @property
    def run_dir(self) -> Path:
        """What the host sees as /run."""
        return RUNTIME_ROOT / self.lab / self.name

    @property
    def root_dir(self) -> Path:
        """Holds what the host sees as its own: `etc/luc` here is its /etc/luc."""
        return DATA_ROOT / self.lab / self.name

    @property
    def agent_socket(self) -> Path:
        return self.run_dir / "luc/agent.sock"

    @property
    def libvirt_socket(self) -> Path:
        return self.run_dir / "libvirt/libvirt-sock"

    @property
    def agent_log(self) -> Path:
        return self.root_dir / "agent.log"

    @property
    def libvirtd_log(self) -> Path:
        return self.root_dir / "libvirtd.log"


class Cut(msgspec.Struct, frozen=True):
    """What `hosts` and `peers` send each other is dropped; with `oneway` only what `hosts` send."""

    hosts: tuple[str, ...]
    peers: tuple[str, ...]
    oneway: bool

    def pairs(self) -> set[tuple[str, str]]:
        """(sender, receiver) of every way that is closed."""
        pairs = {(host, peer) for host in self.hosts for peer in self.peers if host != peer}
        return pairs if self.oneway else pairs | {(peer, host) for host, peer in pairs}


class LabRecord(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What `lab_up` was asked for, and the cuts made since."""

    name: str
    nodes: int
    sites: int
    rtt_ms: float
    cpus: float
    memory_mib: int
    agents: bool
    luc: tuple[str, ...]
    cuts: tuple[Cut, ...] = ()

    @property
    def hosts(self) -> tuple[Host, ...]:
        """Neighbours in number share a site, and sites differ by at most one host."""
        return tuple(
            Host(self.name, number + 1, number * self.sites // self.nodes + 1) for number in range(self.nodes)
        )

    def host(self, name: str) -> Host:
        for host in self.hosts:
            if host.name == name:
                return host
        raise UnknownObject(f"lab {self.name} has no host {name!r}", hint=f"it has h1 to h{self.nodes}")

    def hosts_at(self, site: str) -> list[Host]:
        hosts = [host for host in self.hosts if host.site == site]
        if not hosts:
            raise UnknownObject(f"lab {self.name} has no site {site!r}", hint=f"it has s1 to s{self.sites}")
        return hosts


def check_record(record: LabRecord) -> None:
    """Raise `InputError` naming the number that is out of bounds."""
    cores = os.cpu_count() or 1
    check_name(record.name)
    for what, value, least, most in (
        ("nodes", record.nodes, 1, NODES_MAX),
        ("sites", record.sites, 1, min(SITES_MAX, record.nodes)),
        ("rtt_ms", record.rtt_ms, 0, RTT_MS_MAX),
        ("cpus", record.cpus, 0.05, cores),
        ("memory_mib", record.memory_mib, 64, 1024 * 1024),
    ):
        if not least <= value <= most:
            raise InputError(f"{what} is {value:g}: a lab takes {least:g} to {most:g}")
    if record.rtt_ms and record.sites == 1:
        raise InputError(
            "rtt_ms is the round trip between sites, and there is one site", hint="add --sites 2"
        )


def check_name(name: str) -> None:
    if not _NAME.fullmatch(name):
        raise InputError(
            f"{name!r} is not a lab name", hint="use at most 24 small letters, digits and inner hyphens"
        )


def runtime_dir(name: str) -> Path:
    return RUNTIME_ROOT / name


def data_dir(name: str) -> Path:
    return DATA_ROOT / name


def write_record(record: LabRecord) -> None:
    """Replace the record on disk in one step."""
    path = data_dir(record.name) / "lab.json"
    draft = path.with_suffix(".new")
    with draft.open("wb") as file:
        file.write(msgspec.json.format(msgspec.json.encode(record)))
        file.flush()
        os.fsync(file.fileno())
    draft.rename(path)


def read_record(name: str) -> LabRecord:
    """The record of a lab; raises `UnknownObject` if there is no such lab."""
    check_name(name)
    path = data_dir(name) / "lab.json"
    try:
        return msgspec.json.decode(path.read_bytes(), type=LabRecord)
    except FileNotFoundError:
        if data_dir(name).exists():
            raise OperationFailed(
                f"lab {name} was never finished", hint=f"luc lab down {name} removes it"
            ) from None
        raise UnknownObject(f"no lab {name!r}", hint="luc lab ls shows those that exist") from None
    except msgspec.MsgspecError as error:
        raise OperationFailed(f"{path}: {error}", hint=f"luc lab down {name} removes the lab") from None


@contextmanager
def exclusive(name: str) -> Iterator[None]:
    """Hold the lab against other commands that change it; raises `Refused` if one does not end.

    The kernel frees an abstract socket's name when its holder dies, and there is no file to leave behind.
    """
    with socket.socket(socket.AF_UNIX) as lock:

        def taken() -> bool:
            try:
                lock.bind(f"\0luc-lab/{name}")
            except OSError as error:
                if error.errno != errno.EADDRINUSE:
                    raise
                return False
            return True

        try:
            wait_until(taken, LOCK_TIMEOUT_S, f"waiting for lab {name}")
        except OperationFailed:
            raise Refused(f"another command is changing lab {name}", hint="try again when it ends") from None
        yield
