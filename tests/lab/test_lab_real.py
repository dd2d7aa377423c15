"""The lab on this machine: real namespaces, libvirtd, guests, delays, cuts, kills; and nothing left of it."""

from __future__ import annotations

import os
import re
import shlex
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from lucos.errors import AlreadyExists, OperationFailed, UnknownObject
from lucos.lab import (
    LabState,
    cgroups,
    host,
    kill_agent,
    kill_libvirtd,
    lab_cut,
    lab_down,
    lab_heal,
    lab_kill,
    lab_list,
    lab_revive,
    lab_shell_argv,
    lab_state,
    lab_up,
    start_agent,
    start_libvirtd,
    stop_agent,
)
from lucos.lab.processes import start, wait_until
from lucos.lab.record import data_dir, read_record, runtime_dir

pytestmark = pytest.mark.lab

RTT_MS = 20.0
TAG = "LUC_LAB_TEST"

# Serves the agent's socket as the real one does, and tells each client who it is.
AGENT = """
import signal, socket, sys
from pathlib import Path
from lucos.agent.config import load_config
from lucos.agent.security import read_keyring

config = load_config(Path(sys.argv[sys.argv.index("--config") + 1]))
assert len(read_keyring(Path(config.security.keyring))) == 1
Path(config.agent.socket).unlink(missing_ok=True)
server = socket.socket(socket.AF_UNIX)
server.bind(config.agent.socket)
server.listen()
def leave(*_):
    print("left cleanly", flush=True)
    sys.exit(0)
signal.signal(signal.SIGTERM, leave)
while True:
    client, _ = server.accept()
    with client:
        try:
            client.sendall(f"{socket.gethostname()} {config.agent.node} {config.agent.site}".encode())
        except OSError:
            pass
"""

# Firmware alone is guest enough to be killed, throttled and migrated.
DOMAIN = """<domain type='qemu'><name>guest</name><memory unit='MiB'>32</memory><vcpu>1</vcpu>
<os><type arch='x86_64' machine='pc'>hvm</type></os>
<devices><emulator>/usr/bin/qemu-system-x86_64</emulator></devices></domain>"""


@pytest.fixture(scope="module")
def name() -> str:
    return f"t{os.getpid()}"


@pytest.fixture(scope="module")
def agent(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    script = tmp_path_factory.mktemp("agent") / "agent.py"
    script.write_text(AGENT)
    return [sys.executable, str(script)]


@pytest.fixture(scope="module")
def lab(name: str, agent: list[str]) -> Iterator[LabState]:
    """Hosts h1 and h2 on site s1, h3 on s2."""
    try:
        yield lab_up(name, nodes=3, sites=2, rtt_ms=RTT_MS, cpus=0.5, luc=agent)
    finally:
        lab_down(name)


def in_host(name: str, where: str, command: str) -> str:
    argv = [*lab_shell_argv(name, where), "-c", command]
    return subprocess.run(argv, capture_output=True, text=True, check=False, timeout=30).stdout


def pings(name: str, where: str, peer: str, count: int = 2) -> float | None:
    """Least round trip in ms of `count` pings, None when none came back."""
    answer = in_host(name, where, f"busybox ping -c {count} -i 0.1 -W 1 {peer}")
    found = re.search(r"round-trip min/avg/max = ([\d.]+)/", answer)
    return float(found[1]) if found else None


def echoes_heard(name: str, where: str) -> int:
    names, values = re.findall(r"^Icmp: (.*)$", in_host(name, where, "cat /proc/net/snmp"), re.MULTILINE)
    return int(values.split()[names.split().index("InEchos")])


def virsh(state: LabState, where: str, *argv: str) -> str:
    command = ["virsh", "-q", "-c", state.host(where).libvirt_uri, *argv]
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout


@pytest.fixture
def guest(lab: LabState, tmp_path: Path) -> int:
    """A guest on h1; its QEMU's pid. Killing the host ends it."""
    (tmp_path / "guest.xml").write_text(DOMAIN)
    virsh(lab, "h1", "create", str(tmp_path / "guest.xml"))
    (pid,) = lab_state(lab.name).host("h1").guests
    return pid


def tagged(name: str) -> list[int]:
    """Every living process that the lab `name` brought about, found by its environment."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            if f"{TAG}={name}\0".encode() in (folder / "environ").read_bytes():
                found.append(int(folder.name))
        except OSError:
            continue
    return found


def namespaces(pids: list[int]) -> set[str]:
    """The namespaces that the processes are in and this one is not."""
    kinds = ("net", "mnt", "uts")

    def of(pid: int | str) -> set[str]:
        try:
            return {os.readlink(f"/proc/{pid}/ns/{kind}") for kind in kinds}
        except OSError:
            return set()

    return set().union(*(of(pid) for pid in pids)) - of("self")


def assert_nothing_left(name: str, spaces: set[str]) -> None:
    # Short commands that a killed command was running end by themselves.
    wait_until(lambda: not tagged(name), 5, "the end of all processes of the lab")
    everyone = [int(folder.name) for folder in Path("/proc").glob("[0-9]*")]
    assert not spaces & namespaces(everyone)
    mounts = Path("/proc/mounts").read_text()
    assert not [line for line in mounts.splitlines() if name in line or line.startswith("nsfs")]
    assert name not in subprocess.run(["ip", "netns"], capture_output=True, text=True, check=True).stdout
    assert not cgroups.tree(name).exists()
    assert not data_dir(name).exists()
    assert not runtime_dir(name).exists()
    assert name not in lab_list()


def test_hosts_are_apart_and_their_agents_answer_from_outside(lab: LabState) -> None:
    assert [(one.name, one.site, one.status) for one in lab.hosts] == [
        ("h1", "s1", "up"),
        ("h2", "s1", "up"),
        ("h3", "s2", "up"),
    ]
    for one in lab.hosts:
        with socket.socket(socket.AF_UNIX) as client:
            client.settimeout(5)
            client.connect(one.socket)
            assert client.recv(100).decode() == f"{one.name} {one.name} {one.site}"
        assert virsh(lab, one.name, "hostname").strip() == one.name
    own = {os.readlink(f"/proc/{one.pids['agent']}/ns/mnt") for one in lab.hosts}
    assert len(own | {os.readlink("/proc/self/ns/mnt")}) == 4
    in_host(lab.name, "h1", "echo shared >/var/lib/luc/registry/note")
    assert in_host(lab.name, "h3", "cat /var/lib/luc/registry/note") == "shared\n"
    assert in_host(lab.name, "h1", "touch /var/lib/luc/images/x || echo refused") == "refused\n"


def test_a_lab_of_the_same_name_is_refused_and_an_unknown_one_named(lab: LabState) -> None:
    with pytest.raises(AlreadyExists, match=lab.name) as caught:
        lab_up(lab.name, nodes=1)
    assert "down" in caught.value.hint
    with pytest.raises(UnknownObject, match="nowhere"):
        lab_state("nowhere")
    with pytest.raises(UnknownObject, match="h9"):
        lab_kill(lab.name, "h9")


def test_the_round_trip_is_there_between_sites_and_not_within(lab: LabState) -> None:
    across, within = pings(lab.name, "h1", "h3", count=5), pings(lab.name, "h1", "h2", count=5)
    assert across is not None
    assert within is not None
    assert RTT_MS <= across < 1.5 * RTT_MS
    assert within < RTT_MS / 4


def test_a_cut_host_hears_nobody_until_healed(lab: LabState) -> None:
    lab_cut(lab.name, ["h1"])
    try:
        assert [one.status for one in lab_state(lab.name).hosts] == ["cut", "up", "up"]
        assert pings(lab.name, "h1", "h2") is None
        assert pings(lab.name, "h3", "h1") is None
        assert pings(lab.name, "h2", "h3") is not None
    finally:
        lab_heal(lab.name)
    assert pings(lab.name, "h1", "h2") is not None
    assert pings(lab.name, "h3", "h1") is not None
    assert lab_state(lab.name).cuts == ()


def test_a_oneway_cut_loses_one_direction_only(lab: LabState) -> None:
    # The hosts know each other's addresses before the cut: its question is what passes, not who can be found.
    assert pings(lab.name, "h1", "h3") is not None
    lab_cut(lab.name, ["h1"], from_site="s2", oneway=True)
    try:
        before = echoes_heard(lab.name, "h3")
        assert pings(lab.name, "h1", "h3") is None
        assert echoes_heard(lab.name, "h3") == before
        before = echoes_heard(lab.name, "h1")
        assert pings(lab.name, "h3", "h1") is None
        assert echoes_heard(lab.name, "h1") == before + 2
        assert pings(lab.name, "h1", "h2") is not None
    finally:
        lab_heal(lab.name)
    assert pings(lab.name, "h1", "h3") is not None


def test_guests_share_the_quota_and_waiting_shows_as_run_delay(lab: LabState) -> None:
    group = host.guests_group(read_record(lab.name).host("h2"))
    before = set(cgroups.pids(group))
    start(group, ["sh", "-c", "exec >/dev/null 2>&1; while :; do :; done"])
    (busy,) = set(cgroups.pids(group)) - before
    try:

        def reading() -> tuple[float, float, float]:
            ran_ns, waited_ns, _ = Path(f"/proc/{busy}/schedstat").read_text().split()
            return time.monotonic(), int(ran_ns) / 1e9, int(waited_ns) / 1e9

        first = reading()
        wait_until(lambda: time.monotonic() - first[0] > 1.5, 5, "the sample")
        elapsed_s, ran_s, waited_s = (later - sooner for later, sooner in zip(reading(), first, strict=True))
    finally:
        cgroups.signal_process(group, busy, signal.SIGKILL)
    assert ran_s < 0.6 * elapsed_s
    assert waited_s > 0.3 * elapsed_s


def test_guests_survive_libvirtd_migrate_and_die_with_their_host(lab: LabState, guest: int) -> None:
    try:
        kill_libvirtd(lab.name, "h1")
        state = lab_state(lab.name).host("h1")
        assert "libvirtd" not in state.pids
        assert state.guests == (guest,)
        start_libvirtd(lab.name, "h1")
        assert virsh(lab, "h1", "list", "--name").strip() == "guest"
        target = f"qemu+tcp://{lab.host('h3').address}/system"
        virsh(lab, "h1", "migrate", "--live", "--p2p", "guest", target)
        after = lab_state(lab.name)
        assert after.host("h1").guests == ()
        assert len(after.host("h3").guests) == 1
    finally:
        for one in ("h1", "h3"):
            lab_kill(lab.name, one)
    killed = lab_state(lab.name)
    assert [(one.status, one.pids, one.guests) for one in (killed.host("h1"), killed.host("h3"))] == [
        ("killed", {}, ()),
        ("killed", {}, ()),
    ]
    for one in ("h1", "h3"):
        lab_revive(lab.name, one)
    assert [one.status for one in lab_state(lab.name).hosts] == ["up"] * 3
    assert virsh(lab, "h3", "list", "--all", "--name").strip() == ""


def test_agents_stop_cleanly_die_and_start_again(lab: LabState) -> None:
    first = lab_state(lab.name).host("h2")
    stop_agent(lab.name, "h2")
    assert Path(first.agent_log).read_text().endswith("left cleanly\n")
    assert list(lab_state(lab.name).host("h2").pids) == ["libvirtd"]
    start_agent(lab.name, "h2")
    again = lab_state(lab.name).host("h2").pids["agent"]
    assert again != first.pids["agent"]
    kill_agent(lab.name, "h2")
    assert list(lab_state(lab.name).host("h2").pids) == ["libvirtd"]
    assert Path(first.agent_log).read_text().count("left cleanly") == 1
    start_agent(lab.name, "h2")


def test_an_agent_that_fails_is_quoted_and_nothing_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    name = f"f{os.getpid()}"
    monkeypatch.setenv(TAG, name)
    with pytest.raises(OperationFailed, match="no such thing"):
        lab_up(name, nodes=1, luc=["sh", "-c", "echo no such thing; exit 3"])
    assert_nothing_left(name, set())


def after_line(text: str) -> Callable[[subprocess.Popen[str], str], None]:
    def wait(up: subprocess.Popen[str], name: str) -> None:
        assert up.stdout is not None
        assert any(text in line for line in up.stdout)

    return wait


def after_first_process(up: subprocess.Popen[str], name: str) -> None:
    switch = cgroups.tree(name) / "switch"
    wait_until(lambda: bool(cgroups.pids(switch)), 10, "the first process", poll_s=0.001)


@pytest.mark.parametrize(
    "moment",
    [after_first_process, after_line("hosts and network"), after_line("libvirtd answers")],
    ids=["first process", "hosts", "libvirtd"],
)
def test_down_removes_what_a_killed_up_left(moment: Callable[[subprocess.Popen[str], str], None]) -> None:
    name = f"k{os.getpid()}"
    code = (
        "import sys; from lucos.lab import lab_up\n"
        f"lab_up({name!r}, nodes=2, sites=2, luc=['sleep', '60'], say=lambda line: print(line, flush=True))"
    )
    environment = {**os.environ, TAG: name}
    with subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, env=environment
    ) as up:
        try:
            moment(up, name)
        finally:
            up.kill()
    try:
        # What was under way when it was killed goes on by itself.
        wait_until(lambda: bool(namespaces(tagged(name))), 5, "a namespace of the lab")
        spaces = namespaces(tagged(name))
        assert cgroups.tree(name).exists()
        with pytest.raises(AlreadyExists):
            lab_up(name, nodes=1)
    finally:
        lab_down(name)
    assert_nothing_left(name, spaces)
    said: list[str] = []
    lab_down(name, said.append)
    assert said == [f"there is no lab {name}"]


def test_a_shell_in_a_host_ends_with_the_lab(agent: list[str]) -> None:
    name = f"s{os.getpid()}"
    try:
        lab_up(name, nodes=1, agents=False)
        argv = [*lab_shell_argv(name, "h1"), "-c", "hostname; exec sleep 60"]
        with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True) as shell:
            assert shell.stdout is not None
            assert shell.stdout.readline() == "h1\n"
            lab_down(name)
            assert shell.wait(10) == -signal.SIGKILL, shlex.join(argv)
    finally:
        lab_down(name)
