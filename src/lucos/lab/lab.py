"""The lab as a whole: up, down, cut, heal, kill, revive, and what state it is in."""

from __future__ import annotations

import functools
import os
import shutil
import sys
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import msgspec

from lucos.agent.client import Client
from lucos.agent.protocol import NodeRow
from lucos.agent.security import create_authority, create_keyring
from lucos.errors import AlreadyExists, OperationFailed, UnknownObject
from lucos.lab import cgroups, host, network
from lucos.lab.record import (
    DATA_ROOT,
    RUNTIME_ROOT,
    Cut,
    Host,
    LabRecord,
    check_name,
    check_record,
    data_dir,
    exclusive,
    read_record,
    runtime_dir,
    write_record,
)
from lucos.lab.requirements import check_machine, require_root

Say = Callable[[str], None]


def _quiet(_line: str) -> None:
    pass


class HostState(msgspec.Struct, frozen=True):
    """One host. `status` is up, cut (named in a cut) or killed (neither agent nor libvirtd runs).

    `pids` holds `agent` and `libvirtd` when they run, `guests` its QEMU processes. `socket` is the
    agent's and `libvirt_uri` libvirtd's, both as reached from outside the lab.
    """

    name: str
    site: str
    address: str
    status: str
    pids: dict[str, int]
    guests: tuple[int, ...]
    socket: str
    libvirt_uri: str
    agent_log: str


class LabState(msgspec.Struct, frozen=True):
    """A lab at one moment."""

    name: str
    sites: int
    rtt_ms: float
    cpus: float
    memory_mib: int
    hosts: tuple[HostState, ...]
    cuts: tuple[Cut, ...]

    def host(self, name: str) -> HostState:
        """The host of that name; raises `UnknownObject`."""
        for state in self.hosts:
            if state.name == name:
                return state
        raise UnknownObject(f"lab {self.name} has no host {name!r}")


def lab_up(
    name: str = "lab",
    *,
    nodes: int,
    sites: int = 1,
    rtt_ms: float = 0,
    cpus: float = 0.5,
    memory_mib: int = 1024,
    agents: bool = True,
    luc: list[str] | None = None,
    say: Say = _quiet,
) -> LabState:
    """Make `nodes` hosts on `sites` sites `rtt_ms` apart, each with `cpus` cores for its guests.

    `luc` is the command that starts the CLI, with an absolute path; agents run it. When anything fails, what
    was made is removed. Raises `InputError`, `EnvironmentMissing`, `AlreadyExists`, `OperationFailed`.
    """
    command = tuple(luc or [sys.executable, "-m", "lucos.cli"])
    record = LabRecord(name, nodes, sites, rtt_ms, cpus, memory_mib, agents, command)
    check_record(record)
    check_machine(sites=sites)
    with exclusive(name):
        if _exists(name):
            raise AlreadyExists(f"lab {name} exists", hint=f"luc lab down {name} removes it")
        try:
            _build(record, say)
        except BaseException:
            _destroy(name)
            raise
    return lab_state(name)


def lab_together(state: LabState, timeout_s: float = 20.0) -> None:
    """Wait until the agent of every host knows all others alive; raises `OperationFailed` otherwise."""
    deadline_s = time.monotonic() + timeout_s
    for one in state.hosts:
        client = Client(one.socket)
        while sum(row.status == "alive" for row in client.call("nodes", list[NodeRow])) < len(state.hosts):
            if time.monotonic() > deadline_s:
                raise OperationFailed(
                    f"{one.name} does not see all hosts of lab {state.name} after {timeout_s:g} s",
                    hint=f"its log: {one.agent_log}",
                )
            time.sleep(0.1)


def _build(record: LabRecord, say: Say) -> None:
    started_s = time.monotonic()
    data_dir(record.name).mkdir(parents=True, mode=0o700)
    write_record(record)
    (data_dir(record.name) / "registry").mkdir()
    pki = data_dir(record.name) / "pki"
    create_authority(pki)
    create_keyring(pki / "keyring")
    network.create_switch(record)
    first, *rest = record.hosts
    with ThreadPoolExecutor(max_workers=2 * (os.cpu_count() or 1)) as pool:

        def each(step: Callable[[LabRecord, Host], None], hosts: Iterable[Host]) -> None:
            for _ in pool.map(functools.partial(step, record), hosts):
                pass

        if record.agents:
            host.learn_acceleration()
        each(host.create_host, record.hosts)
        say("hosts and network made")
        # One alone first: what it learns about QEMU in 8 s the others are given.
        host.start_libvirtd(record, first)
        host.keep_capabilities(first)
        each(host.start_libvirtd, rest)
        say("libvirtd answers on every host")
        if record.agents:
            each(host.start_agent, record.hosts)
            say("an agent answers on every host")
    say(f"lab {record.name} is up after {time.monotonic() - started_s:.1f} s")


def lab_state(name: str = "lab") -> LabState:
    """The lab as it is now; raises `UnknownObject`."""
    require_root()
    record = read_record(name)
    cut = {name for one in record.cuts for name in one.hosts}
    hosts = tuple(_host_state(one, cut=one.name in cut) for one in record.hosts)
    return LabState(
        name, record.sites, record.rtt_ms, record.cpus, record.memory_mib, hosts, cuts=record.cuts
    )


def _host_state(one: Host, *, cut: bool) -> HostState:
    found = {"agent": host.agent_pid(one), "libvirtd": host.libvirtd_pid(one)}
    pids = {role: pid for role, pid in found.items() if pid is not None}
    return HostState(
        name=one.name,
        site=one.site,
        address=one.address,
        status="killed" if not pids else "cut" if cut else "up",
        pids=pids,
        guests=tuple(host.guest_pids(one)),
        socket=str(one.agent_socket),
        libvirt_uri=host.libvirt_uri(one),
        agent_log=str(one.agent_log),
    )


def lab_list() -> list[str]:
    """The names of the labs of this machine, also of those half made."""
    return sorted(path.name for path in DATA_ROOT.glob("*") if path.is_dir())


def lab_down(name: str = "lab", say: Say = _quiet) -> None:
    """Kill and remove all of a lab, whole or in pieces; harmless when there is none."""
    check_name(name)
    require_root()
    with exclusive(name):
        existed = _exists(name)
        _destroy(name)
    say(f"lab {name} is down, nothing of it is left" if existed else f"there is no lab {name}")


def _exists(name: str) -> bool:
    return any(path.exists() for path in (data_dir(name), runtime_dir(name), cgroups.tree(name)))


def _destroy(name: str) -> None:
    # Namespaces, their mounts and links live only in the processes that the cgroups own.
    cgroups.destroy(name)
    # The record goes last: until then the lab is listed and `lab_up` refuses its name.
    for path in (runtime_dir(name), data_dir(name)):
        if path.exists():
            shutil.rmtree(path)
    for root in (RUNTIME_ROOT, DATA_ROOT):
        _remove_if_empty(root)


def _remove_if_empty(folder: Path) -> None:
    try:
        folder.rmdir()
    except OSError:
        return


def lab_cut(
    name: str,
    hosts: Iterable[str],
    *,
    peers: Iterable[str] = (),
    from_site: str = "",
    oneway: bool = False,
) -> None:
    """Cut each of `hosts` from `peers` and the hosts of `from_site`; with neither, from every other host.

    With `oneway` only what `hosts` send is lost, and they still hear the others. Cuts add up until healed.
    """
    require_root()
    with exclusive(name):
        record = read_record(name)
        cut = network.plan_cut(record, hosts, peers, from_site, oneway=oneway)
        _apply_cuts(record, (*record.cuts, cut))


def lab_heal(name: str = "lab") -> None:
    """End all cuts."""
    require_root()
    with exclusive(name):
        _apply_cuts(read_record(name), ())


def _apply_cuts(record: LabRecord, cuts: tuple[Cut, ...]) -> None:
    record = msgspec.structs.replace(record, cuts=cuts)
    write_record(record)
    network.apply_cuts(record)


def _find(name: str, host_name: str) -> tuple[LabRecord, Host]:
    require_root()
    record = read_record(name)
    return record, record.host(host_name)


def lab_kill(name: str, host_name: str) -> None:
    """SIGKILL agent, libvirtd and guests of a host."""
    host.kill_host(_find(name, host_name)[1])


def lab_revive(name: str, host_name: str) -> None:
    """Start libvirtd and the agent of a killed host again."""
    host.revive_host(*_find(name, host_name))


def lab_shell_argv(name: str, host_name: str) -> list[str]:
    """The command of a shell inside a host."""
    return host.shell_argv(_find(name, host_name)[1])


def start_agent(name: str, host_name: str) -> None:
    """Start a host's agent if it does not run, and wait until it accepts connections."""
    host.start_agent(*_find(name, host_name))


def stop_agent(name: str, host_name: str) -> None:
    """Ask a host's agent to end (SIGTERM) and wait for it."""
    host.stop_agent(_find(name, host_name)[1])


def kill_agent(name: str, host_name: str) -> None:
    """SIGKILL a host's agent; libvirtd and guests keep running."""
    host.kill_agent(_find(name, host_name)[1])


def kill_libvirtd(name: str, host_name: str) -> None:
    """SIGKILL a host's libvirtd; agent and guests keep running."""
    host.kill_libvirtd(_find(name, host_name)[1])


def start_libvirtd(name: str, host_name: str) -> None:
    """Start a host's libvirtd if it does not run, and wait until it answers."""
    host.start_libvirtd(*_find(name, host_name))
