"""`luc demo`: the main job once, on real guests or simulated, told as it happens.

Four hosts on two sites run a shop of 8 VMs. One host becomes overloaded while its neighbour has no room; a
partition grows until it has a solution and VMs migrate. A host is drained, then killed, and all notice.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from contextlib import suppress
from importlib.resources import files
from pathlib import Path

import msgspec

from lucos.agent.client import Client
from lucos.agent.protocol import DrainReport, Info, NodeRow, Outcome, VeRow, VmRow
from lucos.environments.vefile import load_ve
from lucos.errors import EnvironmentMissing, OperationFailed, Unreachable
from lucos.images.mini import build_mini
from lucos.lab.account import Account, Report, Say
from lucos.lab.lab import LabState, lab_down, lab_kill, lab_together, lab_up
from lucos.model import VirtualEnvironment
from lucos.overlay import successor_order

LAB = "demo"
HOSTS, SITES, RTT_MS, CPUS = 4, 2, 20.0, 0.5
# What the VMs of the busy host want together, and one VM of the full one, in percent of a core.
BUSY_PCT, NEAR_FULL_PCT = 54, 28
MINI = Path("/var/lib/luc/images/mini")


def demo_ve() -> VirtualEnvironment:
    """The shop of the demo, as its .luc file says."""
    return load_ve(Path(str(files("lucos.lab") / "demo.luc")))


def run_demo(*, simulated: bool = False, report: Path | None = None, say: Say = print) -> Report:
    """Run the demo; raises classes of lucos.errors when it cannot, or when something did not happen."""
    if simulated:
        from lucos.lab.demo_simulated import run_simulated

        account = run_simulated(say)
    else:
        account = _run_real(say)
    account.close()
    if report is not None:
        report.write_bytes(msgspec.json.format(msgspec.json.encode(account.report), indent=2) + b"\n")
        say(f"The account is in {report}.")
    return account.report


def _run_real(say: Say) -> Account:
    try:
        if not (MINI / "image.toml").exists():
            build_mini(MINI, progress=say)
        ve = demo_ve()
        account = Account(Report(HOSTS, len(ve.vms), {}), say, time.time())
        with account.phase("lab", f"A lab: {HOSTS} hosts on {SITES} sites, {RTT_MS:g} ms apart"):
            lab = lab_up(LAB, nodes=HOSTS, sites=SITES, rtt_ms=RTT_MS, cpus=CPUS, memory_mib=1024, say=say)
    except EnvironmentMissing as error:
        hint = f"{error.hint}; or try luc demo --simulated, which needs neither root nor QEMU"
        raise EnvironmentMissing(error.message, hint=hint.removeprefix("; or ")) from None
    try:
        lab_together(lab)
        _Demo(lab, ve, account, say).play()
    finally:
        with account.phase("down", "Everything is taken down"):
            lab_down(LAB, say=say)
    return account


class _Demo:
    def __init__(self, lab: LabState, ve: VirtualEnvironment, account: Account, say: Say) -> None:
        self._lab = lab
        self._ve = ve
        self._account = account
        self._say = say
        self._client = Client(lab.hosts[0].socket)
        self._news = threading.Condition()

    def play(self) -> None:
        listener = threading.Thread(target=self._listen, daemon=True)
        listener.start()
        self._run_ve()
        self._overload()
        self._drain_and_kill()
        self._finish()

    def _listen(self) -> None:
        def hear(event: object) -> None:
            with self._news:
                self._account.hear(event)  # type: ignore[arg-type]
                self._news.notify_all()

        # Ends when the lab goes down.
        with suppress(Unreachable):
            self._client.call(
                "events",
                object,
                on_event=hear,
                answer_timeout_s=None,
                since_s=self._account.zero_s,
                limit=500,
                follow=True,
            )

    def _wait(self, what: str, done: Callable[[], bool], timeout_s: float) -> None:
        deadline_s = time.monotonic() + timeout_s
        with self._news:
            while not done():
                if not self._news.wait(deadline_s - time.monotonic()):
                    raise OperationFailed(
                        f"{what}: not within {timeout_s:g} s", hint="is the machine busy with other work?"
                    )

    def _places(self) -> dict[str, str]:
        rows = self._client.call("ps", list[VmRow])
        where = {row.id: row.node for row in rows if row.node}
        self._account.check_rules(self._ve.constraints, where)
        for row in rows:
            if row.state == "lost" and row.id not in self._account.report.vms_lost:
                self._account.report.vms_lost.append(row.id)
        return where

    def _run_ve(self) -> None:
        with self._account.phase("run", f"luc run: {len(self._ve.vms)} VMs in three tiers, with rules"):
            described = self._client.call("info", Info, name=self._lab.hosts[0].name)
            facts = described.facts
            self._account.report.hypervisor = {k: facts.get(k) for k in ("kind", "accel", "qemu", "libvirt")}
            for rule in self._ve.constraints:
                self._say(f"  {rule}")
            self._client.call("run", VeRow, answer_timeout_s=120.0, ve=self._ve)
            for vm, node in sorted(self._places().items()):
                self._say(f"  {vm} on {node}")
        with self._account.phase("boot", "The guests boot"):
            for spec in self._ve.vms:
                self._load(spec.id, spec.workload)

    def _load(self, vm: str, workload: str, timeout_s: float = 120.0) -> None:
        """Give the guest a workload; one that is still booting is asked again."""
        deadline_s = time.monotonic() + timeout_s
        while True:
            try:
                self._client.call("load", Outcome, vm=vm, workload=workload, answer_timeout_s=60.0)
            except Unreachable:
                if time.monotonic() > deadline_s:
                    raise
            else:
                return

    def _overload(self) -> None:
        self._wait("calm", lambda: not self._account.open_violations(), 120.0)
        where = self._places()
        names = [host.name for host in self._lab.hosts]
        busiest = max(names, key=lambda n: (sum(h == n for h in where.values()), n))
        neighbour = successor_order(names, busiest)[0]
        text = f"{busiest}'s VMs get busy; {neighbour}, its neighbour on the ring, has no room"
        with self._account.phase("overload", text):
            violations = self._account.report.violations
            before = len(violations)
            full = next(vm for vm, node in sorted(where.items()) if node == neighbour)
            self._load(full, f"tick+cpu:{NEAR_FULL_PCT}")
            busy = sorted(vm for vm, node in where.items() if node == busiest)
            for vm in busy:
                self._load(vm, f"tick+cpu:{BUSY_PCT // len(busy)}")
            self._wait("an overload", lambda: len(violations) > before, 60.0)
            self._wait("relief", lambda: not self._account.open_violations(), 120.0)
            self._places()

    def _drain_and_kill(self) -> None:
        where = self._places()
        for vm in sorted(where):
            self._load(vm, "tick")
        self._wait("calm", lambda: not self._account.open_violations(), 120.0)
        victim = self._lab.hosts[-1].name
        with self._account.phase("drain", f"luc node drain {victim}: its VMs move away"):
            report = self._client.call(
                "drain", DrainReport, answer_timeout_s=150.0, node=victim, timeout_s=120.0
            )
            if report.stuck:
                raise OperationFailed(f"{victim} could not be drained: {report.stuck}")
            self._wait("its relief", lambda: not self._account.open_violations(), 30.0)
            self._until_no_partition()
        with self._account.phase("kill", f"{victim} is killed: agent, libvirtd and all"):
            self._account.killed(victim, time.time())
            lab_kill(LAB, victim)
            survivors = len(self._lab.hosts) - 1
            self._wait("detection", lambda: len(self._account.report.detections) == survivors, 30.0)

    def _until_no_partition(self, timeout_s: float = 30.0) -> None:
        deadline_s = time.monotonic() + timeout_s
        while any(row.partition for row in self._client.call("nodes", list[NodeRow])):
            with self._news:
                self._news.wait(0.5)
            if time.monotonic() > deadline_s:
                raise OperationFailed(f"a partition did not end within {timeout_s:g} s")

    def _finish(self) -> None:
        with self._account.phase("check", "The VMs, once more"):
            where = self._places()
            for row in self._client.call("nodes", list[NodeRow]):
                vms = sorted(vm for vm, node in where.items() if node == row.name)
                self._say(f"  {row.name} ({row.site}, {row.status}): {', '.join(vms) or 'no VMs'}")
            missing = [vm.id for vm in self._ve.vms if vm.id not in where]
            self._account.report.vms_lost += [vm for vm in missing if vm not in self._account.report.vms_lost]
