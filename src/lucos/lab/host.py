"""One host of a lab: its namespaces, its libvirtd and its agent."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import socket
import uuid
from contextlib import suppress
from pathlib import Path

from lucos.agent.config import (
    MEMBERSHIP_PORT,
    AgentConfig,
    HypervisorConfig,
    Identity,
    RegistryConfig,
    dump_config,
)
from lucos.agent.config import Host as Capacity
from lucos.agent.security import issue_certificate
from lucos.errors import OperationFailed, UnknownObject
from lucos.hypervisors.accel import decide
from lucos.images import load_image
from lucos.lab import cgroups
from lucos.lab.network import connect_host, holder_pid
from lucos.lab.processes import JOIN, run, start, wait_until
from lucos.lab.record import Host, LabRecord, data_dir

IMAGES = Path("/var/lib/luc/images")
# Asking QEMU what it can do takes libvirt 8 s, and finding out whether KVM works up to 10 s: the answers are
# kept for the hosts and labs to come.
CAPABILITIES = Path("/var/cache/luc-lab/capabilities")
ACCELERATION = Path("/var/cache/luc-lab/accel.json")
LIBVIRTD_TIMEOUT_S = 60.0
AGENT_TIMEOUT_S = 30.0
STOP_TIMEOUT_S = 15.0

_SCRIPT = Path(__file__).with_name("host.sh")
_PLACES = ("etc/libvirt", "etc/luc", "var/cache/libvirt", "var/lib/libvirt", "var/log/libvirt")
_LEARNT = "var/cache/libvirt/qemu/capabilities"
_LUC_PLACES = ("var/lib/luc/images", "var/lib/luc/registry")

_LIBVIRTD_CONF = """listen_tls = 0
listen_tcp = 1
listen_addr = "{address}"
auth_tcp = "none"
auth_unix_ro = "none"
auth_unix_rw = "none"
unix_sock_group = "root"
host_uuid = "{uuid}"
log_outputs = "3:stderr"
keepalive_interval = 2
keepalive_count = 4
"""
_QEMU_CONF = """user = "root"
group = "root"
dynamic_ownership = 0
remember_owner = 0
security_driver = "none"
cgroup_controllers = []
namespaces = []
stdio_handler = "file"
migration_address = "{address}"
migration_host = "{address}"
keepalive_interval = 2
keepalive_count = 3
"""


def agent_group(host: Host) -> Path:
    """The agent's cgroup: no quota, for the agent governs the host rather than being its guest."""
    return cgroups.tree(host.lab) / f"{host.name}-agent"


def guests_group(host: Host) -> Path:
    """The cgroup of libvirtd and the guests, whose CPU is the host's."""
    return cgroups.tree(host.lab) / f"{host.name}-guests"


def create_host(record: LabRecord, host: Host) -> None:
    """Make the host's files, namespaces and link; nothing runs in it yet."""
    for place in (*_PLACES, *_LUC_PLACES):
        (host.root_dir / place).mkdir(parents=True)
    _make_run_dir(host)
    for shared in (IMAGES, Path("/etc/luc")):
        shared.mkdir(parents=True, exist_ok=True)
    names = "".join(f"{other.address} {other.name}\n" for other in record.hosts)
    (host.root_dir / "etc/hosts").write_text(f"127.0.0.1 localhost\n{names}")
    libvirt = host.root_dir / "etc/libvirt"
    libvirtd_conf = _LIBVIRTD_CONF.format(address=host.address, uuid=uuid.uuid4())
    (libvirt / "libvirtd.conf").write_text(libvirtd_conf)
    (libvirt / "qemu.conf").write_text(_QEMU_CONF.format(address=host.address))
    _write_agent_files(record, host)
    for leaf in (host.name, f"{host.name}-agent", f"{host.name}-guests"):
        cgroups.create(host.lab, leaf)
    registry = data_dir(host.lab) / "registry"
    shell = ["sh", str(_SCRIPT), host.name, *map(str, (host.root_dir, host.run_dir, IMAGES, registry))]
    start(cgroups.tree(host.lab) / host.name, ["unshare", "--mount", "--uts", "--net", *shell])
    connect_host(host)


def inside(host: Host, *argv: str) -> list[str]:
    """The command that runs `argv` in the host."""
    pid = holder_pid(host.lab, host.name)
    return ["nsenter", f"--target={pid}", "--mount", "--uts", "--net", "--", *argv]


def shell_argv(host: Host) -> list[str]:
    """The command of a shell in the host; the shell belongs to the lab and ends with it."""
    return ["sh", "-c", JOIN, str(cgroups.tree(host.lab) / host.name), *inside(host, "bash")]


def agent_pid(host: Host) -> int | None:
    return cgroups.main_pid(agent_group(host))


def guest_pids(host: Host) -> list[int]:
    """The QEMU processes of the host."""
    return [pid for pid in cgroups.pids(guests_group(host)) if _command(pid).startswith("qemu")]


def libvirtd_pid(host: Host) -> int | None:
    for pid in cgroups.pids(guests_group(host)):
        if _command(pid) == "libvirtd" and os.getsid(pid) == pid:
            return pid
    return None


def start_libvirtd(record: LabRecord, host: Host) -> None:
    """Start libvirtd if it does not run, and wait until it has answered a client."""
    group = guests_group(host)
    if libvirtd_pid(host) is None:
        _copy_capabilities(CAPABILITIES, host.root_dir / _LEARNT)
        command = ["libvirtd", "-l", "-f", "/etc/libvirt/libvirtd.conf", "-p", "/run/libvirtd.pid"]
        start(group, inside(host, *command), log=host.libvirtd_log)
        what = f"libvirtd of {host.name}"
        _wait_for_socket(host.libvirt_socket, group, LIBVIRTD_TIMEOUT_S, what, host.libvirtd_log)
        # Answered only when libvirtd knows what QEMU can do, so the first guest does not wait for it.
        run(["virsh", "-q", "-c", libvirt_uri(host), "capabilities"])
    cgroups.limit_cpu(group, record.cpus)


def keep_capabilities(host: Host) -> None:
    """Keep what libvirtd of this host learnt about QEMU for those started later."""
    _copy_capabilities(host.root_dir / _LEARNT, CAPABILITIES)


def learn_acceleration() -> None:
    """Find out once for all hosts whether KVM works here; without the mini image each does by itself."""
    with suppress(UnknownObject):
        asyncio.run(decide("auto", ACCELERATION, load_image(IMAGES, "mini")))


def _copy_capabilities(source: Path, target: Path) -> None:
    target.mkdir(parents=True, exist_ok=True)
    for learnt in source.glob("*.xml"):
        # Another lab may be reading or writing the same file.
        draft = target / f"{learnt.name}.{os.getpid()}"
        shutil.copy(learnt, draft)
        draft.rename(target / learnt.name)


def libvirt_uri(host: Host) -> str:
    """How libvirt's clients outside the lab reach this host."""
    return f"qemu+unix:///system?socket={host.libvirt_socket}"


def kill_libvirtd(host: Host) -> None:
    """SIGKILL libvirtd; the guests keep running."""
    pid = libvirtd_pid(host)
    if pid is not None:
        group = guests_group(host)
        cgroups.signal_process(group, pid, signal.SIGKILL)
        wait_until(lambda: pid not in cgroups.pids(group), STOP_TIMEOUT_S, f"killing {pid}")


def start_agent(record: LabRecord, host: Host) -> None:
    """Start the host's agent if it does not run, and wait until its socket accepts."""
    if agent_pid(host) is not None:
        return
    command = inside(host, *record.luc, "agent", "--config", "/etc/luc/agent.toml")
    start(agent_group(host), command, log=host.agent_log)
    what = f"the agent of {host.name}"
    _wait_for_socket(host.agent_socket, agent_group(host), AGENT_TIMEOUT_S, what, host.agent_log)


def stop_agent(host: Host) -> None:
    """SIGTERM, as the system would, and wait for its end; an agent that does not end in time is killed."""
    group, pid = agent_group(host), agent_pid(host)
    if pid is None:
        return
    cgroups.signal_process(group, pid, signal.SIGTERM)
    try:
        wait_until(lambda: not cgroups.pids(group), STOP_TIMEOUT_S, f"stopping the agent of {host.name}")
    finally:
        cgroups.kill_all(group)


def kill_agent(host: Host) -> None:
    """SIGKILL the agent and its children; guests keep running."""
    cgroups.kill_all(agent_group(host))


def kill_host(host: Host) -> None:
    """SIGKILL agent, libvirtd and guests, as if the host lost power."""
    cgroups.kill_all(agent_group(host))
    cgroups.kill_all(guests_group(host))


def revive_host(record: LabRecord, host: Host) -> None:
    """Start what does not run of libvirtd and the agent; a host without either starts with an empty /run."""
    if not cgroups.pids(guests_group(host)) and agent_pid(host) is None:
        for path in host.run_dir.iterdir():
            shutil.rmtree(path) if path.is_dir() else path.unlink()
        _make_run_dir(host)
    start_libvirtd(record, host)
    if record.agents:
        start_agent(record, host)


def _make_run_dir(host: Host) -> None:
    for place in ("libvirt", "luc", "lock"):
        (host.run_dir / place).mkdir(parents=True)


def _write_agent_files(record: LabRecord, host: Host) -> None:
    others = [other for other in record.hosts if other != host]
    config = AgentConfig(
        agent=Identity(
            node=host.name,
            listen=host.address,
            site=host.site,
            seeds=tuple(f"{other.address}:{MEMBERSHIP_PORT}" for other in others),
        ),
        host=Capacity(cpus=record.cpus, memory_mib=record.memory_mib),
        hypervisor=HypervisorConfig(migration_address=host.address),
        registry=RegistryConfig(path="/var/lib/luc/registry/registry.db"),
    )
    if ACCELERATION.exists():
        shutil.copy(ACCELERATION, host.root_dir / "var/lib/luc" / ACCELERATION.name)
    luc, pki = host.root_dir / "etc/luc", data_dir(host.lab) / "pki"
    (luc / "agent.toml").write_text(dump_config(config))
    certificate, key = issue_certificate(pki, host.name, [host.address])
    for source, name in (
        (certificate, "host.pem"),
        (key, "host.key"),
        (pki / "ca.pem", "ca.pem"),
        (pki / "keyring", "keyring"),
    ):
        shutil.copy(source, luc / name)


def _command(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/comm").read_text().strip()
    except OSError:
        return ""


def _wait_for_socket(path: Path, group: Path, timeout_s: float, what: str, log: Path) -> None:
    def accepts() -> bool:
        if not cgroups.pids(group):
            raise OperationFailed(f"{what} ended before it answered; it said:\n{_last_lines(log)}")
        with socket.socket(socket.AF_UNIX) as client:
            return client.connect_ex(str(path)) == 0

    wait_until(accepts, timeout_s, f"{what} accepting connections")


def _last_lines(log: Path) -> str:
    return "\n".join(log.read_text(errors="replace").splitlines()[-10:]) or "nothing"
