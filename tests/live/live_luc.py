"""A LUC of real hosts and guests: what its agents tell, what its guests say, and what its hypervisors run."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import threading
import time
from contextlib import suppress
from itertools import pairwise
from typing import NamedTuple

from lucos.agent.client import Client
from lucos.agent.protocol import NodeRow, Outcome, VmRow
from lucos.errors import LucError, Unreachable
from lucos.lab import HostState, lab_state
from lucos.lab.processes import environment, wait_until
from lucos.lab.record import read_record
from lucos.model import Event, VirtualEnvironment

TICK_S = 0.25  # what the guest's `tick` workload counts in
LUC = [sys.executable, "-m", "lucos.cli"]
_TICK = re.compile(r"^tick (\d+) uptime=(\d+\.\d+) boot=([0-9a-f-]{36})\r?$", re.MULTILINE)
_RECONNECT_S = 0.2

# What the tests measured, told at the end of the run.
figures: list[str] = []


class Tick(NamedTuple):
    number: int
    uptime_s: float
    boot: str
    host: str


class News:
    """The events of all agents as they happen, each once, also of agents that go away and come back."""

    def __init__(self, sockets: list[str]) -> None:
        self._events: dict[tuple[float, str, str, str], Event] = {}
        self._came = threading.Condition()
        self._over = threading.Event()
        self._ears = [threading.Thread(target=self._listen, args=(path,), daemon=True) for path in sockets]
        for ear in self._ears:
            ear.start()

    def _listen(self, path: str) -> None:
        since_s = time.time()
        while not self._over.is_set():
            with suppress(LucError):  # its agent does not run, or ends
                Client(path).call(
                    "events",
                    object,
                    on_event=self._hear,
                    answer_timeout_s=None,
                    since_s=since_s,
                    limit=1000,
                    follow=True,
                )
                since_s = time.time() - 1.0
            self._over.wait(_RECONNECT_S)

    def _hear(self, event: Event) -> None:
        with self._came:
            self._events.setdefault((event.time_s, event.node, event.kind, event.subject), event)
            self._came.notify_all()

    def close(self) -> None:
        """Call it when the agents are gone: their ends of the connections end the listening."""
        self._over.set()
        for ear in self._ears:
            ear.join(10)

    def past(self, kind: str, subject: str = "", *, since_s: float, node: str = "") -> list[Event]:
        """The events of a kind since `since_s` (Unix time), oldest first; "" stands for any."""
        with self._came:
            events = list(self._events.values())
        return sorted(
            (
                e
                for e in events
                if e.time_s >= since_s
                and e.kind == kind
                and subject in ("", e.subject)
                and node in ("", e.node)
            ),
            key=lambda e: e.time_s,
        )

    def wait(
        self, kind: str, subject: str = "", *, since_s: float, node: str = "", timeout_s: float = 30.0
    ) -> Event:
        """The first such event, which must come within `timeout_s`."""
        deadline_s = time.monotonic() + timeout_s
        with self._came:
            while not (found := self.past(kind, subject, since_s=since_s, node=node)):
                if not self._came.wait(deadline_s - time.monotonic()):
                    raise AssertionError(f"no {kind} of {subject or 'anything'} within {timeout_s:g} s")
        return found[0]


class LiveLuc:
    """The lab `name`, on which the VE `ve` runs."""

    def __init__(self, name: str, ve: VirtualEnvironment) -> None:
        self.name = name
        self.ve = ve
        self.vms = sorted(vm.id for vm in ve.vms)
        self.hosts = [host.name for host in read_record(name).hosts]
        self.news = News([self.host(name).socket for name in self.hosts])

    # --- asking -------------------------------------------------------------------------------------

    def host(self, name: str) -> HostState:
        return lab_state(self.name).host(name)

    def client(self, host: str = "h1") -> Client:
        return Client(str(read_record(self.name).host(host).agent_socket))

    def ps(self, host: str = "h1") -> dict[str, VmRow]:
        return {row.id: row for row in self.client(host).call("ps", list[VmRow])}

    def nodes(self, host: str = "h1") -> dict[str, NodeRow]:
        return {row.name: row for row in self.client(host).call("nodes", list[NodeRow])}

    def where(self, host: str = "h1") -> dict[str, str]:
        return {vm: row.node for vm, row in self.ps(host).items()}

    def load(self, vm: str, workload: str, timeout_s: float = 60.0) -> None:
        """Give a guest a workload; one that boots or starves is asked again."""
        deadline_s = time.monotonic() + timeout_s
        while True:
            try:
                self.client().call("load", Outcome, vm=vm, workload=workload, answer_timeout_s=40.0)
            except Unreachable:
                if time.monotonic() > deadline_s:
                    raise
            else:
                return

    def start(self, *arguments: str, host: str = "h1", **others: str) -> subprocess.Popen[str]:
        """Start `luc` as people do, with the agent of `host` to ask; `others` go to its environment."""
        return subprocess.Popen(
            [*LUC, *arguments],
            env={**environment(), "LUC_SOCKET": self.client(host).path, **others},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def luc(self, *arguments: str, host: str = "h1", **others: str) -> subprocess.CompletedProcess[str]:
        """`start`, and wait for its end."""
        with self.start(*arguments, host=host, **others) as process:
            try:
                said = process.communicate(timeout=120)
            finally:
                process.kill()
        return subprocess.CompletedProcess(arguments, process.returncode, *said)

    # --- what is true -------------------------------------------------------------------------------

    def virsh(self, host: str, *arguments: str) -> str:
        command = ["virsh", "-q", "-c", self.host(host).libvirt_uri, *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=True, timeout=30).stdout

    def running(self, hosts: list[str] | None = None) -> dict[str, list[str]]:
        """VM -> the hosts whose hypervisor says that it runs there."""
        found: dict[str, list[str]] = {}
        for host in hosts or self.hosts:
            for vm in self.virsh(host, "list", "--state-running", "--name").split():
                found.setdefault(vm, []).append(host)
        return found

    def assert_each_runs_once(self, asked: str = "h1") -> None:
        """Each VM runs on one host, and the agent of `asked` knows on which."""
        rows = self.ps(asked)
        assert {vm: row.state for vm, row in rows.items()} == dict.fromkeys(self.vms, "running")
        assert {vm: [row.node] for vm, row in rows.items()} == self.running()

    def wait_calm(self, timeout_s: float = 60.0) -> None:
        """Wait until every agent sees all hosts alive, none in violation or held, and all VMs run."""

        def calm() -> bool:
            try:
                views = [list(self.nodes(host).values()) for host in self.hosts]
                rows = self.ps().values()
            except LucError:
                return False
            return (
                all(row.status == "alive" for view in views for row in view)
                and not any(row.violation or row.partition for view in views for row in view)
                and all(len(view) == len(self.hosts) for view in views)
                and [row.id for row in rows if row.state == "running" and not row.migrating_to] == self.vms
            )

        wait_until(calm, timeout_s, "calm", poll_s=0.2)

    # --- what guests say ----------------------------------------------------------------------------

    def ticks(self, vm: str) -> list[Tick]:
        """What the guest counted aloud in all its life, on whatever host, by number."""
        found = []
        for host in read_record(self.name).hosts:
            log = host.root_dir / f"var/lib/luc/console/{vm}.log"
            if log.exists():
                said = _TICK.findall(log.read_text(errors="replace"))
                found += [Tick(int(n), float(up), boot, host.name) for n, up, boot in said]
        return sorted(found)

    def boots(self) -> dict[str, set[str]]:
        """VM -> the boot ids it ever had: one, unless it was started twice."""
        return {vm: {tick.boot for tick in self.ticks(vm)} for vm in self.vms}

    def wait_ticks(self, vms: list[str] | None = None, count: int = 2, timeout_s: float = 60.0) -> None:
        """Wait until each guest has said `count` more numbers than now."""
        before = {vm: len(self.ticks(vm)) for vm in vms or self.vms}
        wait_until(
            lambda: all(len(self.ticks(vm)) >= said + count for vm, said in before.items()),
            timeout_s,
            f"{count} ticks of {', '.join(before)}",
            poll_s=0.1,
        )

    def assert_one_life(self, vm: str) -> list[Tick]:
        """The guest booted once and said every number once, its clock always going on.

        A number may be missing from the logs only where one host's ends and another's begins: its line was
        cut in two by the switch, and is whole in neither.
        """
        ticks = self.ticks(vm)
        assert len({tick.boot for tick in ticks}) == 1, f"{vm} was started twice"
        assert ticks[0].number == 1
        for one, other in pairwise(ticks):
            step = other.number - one.number
            assert step == 1 or (step == 2 and one.host != other.host), f"{vm}: {one} then {other}"
            assert other.uptime_s >= one.uptime_s, f"{vm}: {one} then {other}"
        return ticks


class Pulse:
    """Notes when each number of one guest comes out, to some 10 ms, while the `with` block lasts."""

    def __init__(self, luc: LiveLuc, vm: str) -> None:
        self._luc = luc
        self._vm = vm
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._heard: dict[int, tuple[float, Tick]] = {}

    def __enter__(self) -> Pulse:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join(10)

    def _watch(self) -> None:
        known = {tick.number for tick in self._luc.ticks(self._vm)}
        while not self._over.wait(0.01):
            for tick in self._luc.ticks(self._vm):
                if tick.number not in known:
                    known.add(tick.number)
                    self._heard[tick.number] = (time.monotonic(), tick)

    def gaps(self) -> list[tuple[float, float, Tick]]:
        """Between each number and the next: seconds on the wall, seconds in the guest, and the next."""
        heard = [self._heard[number] for number in sorted(self._heard)]
        return [
            (later_s - sooner_s, later.uptime_s - sooner.uptime_s, later)
            for (sooner_s, sooner), (later_s, later) in pairwise(heard)
        ]


def figure(text: str) -> None:
    """Keep a measured figure for the end of the run."""
    test = os.environ["PYTEST_CURRENT_TEST"].partition("::")[2].rpartition(" (")[0]
    figures.append(f"{test}: {text}")
