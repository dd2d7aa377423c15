"""The laws of DESIGN, checked after every simulated event against the physical truth, not against claims."""

from __future__ import annotations

from lucos.simulator.cluster import SimulatedLuc

GRANT_S_MAX = 600.0


class LawBroken(AssertionError):
    """A law does not hold; the message has the seed, the instant and how to replay it."""


class Laws:
    """Watches `luc` from now on. `lost` VMs are those whose host was made to crash (told by `host_crashed`).

    1. Both ends of a move that an ISP ordered are granted to that ISP until it ends (unless their agent was
       restarted meanwhile), and two ISPs being applied share no node that follows both.
    2. A VM is in at most one move.
    3. No grant lasts longer than `GRANT_S_MAX` (`check_ended` asks for none at all).
    4. Each VM runs exactly once, but those whose host crashed.
    5. `check_relieved`: no node is in violation.
    """

    def __init__(self, luc: SimulatedLuc) -> None:
        self._luc = luc
        self._simulation = luc.simulation
        self.vms: set[str] = set()
        self.lost: set[str] = set()
        self.instants_checked = 0
        self._heard = 0
        self._orders: dict[str, tuple[str, tuple[str, ...], tuple[int, ...]]] = {}
        self._simulation.after_each.append(self._after_event)

    def expect(self, vm: str) -> None:
        """`vm` runs now and must never be lost or doubled."""
        self.vms.add(vm)

    def host_crashes(self, node: str) -> None:
        """Call just before a host is made to crash: what runs or stands only there is lost for good."""
        for vm, where in self._luc.fleet.running().items():
            if where == [node]:
                self.lost.add(vm)
        self.lost |= {vm for vm in self.vms if vm not in self._luc.fleet.running()}

    def _fail(self, law: int, text: str) -> None:
        seed, now_s = self._simulation.seed, self._simulation.now_s
        raise LawBroken(
            f"law {law} broken at {now_s:.3f} s: {text}\n"
            f"replay: pytest tests/laws/test_laws.py --law-seed {seed} -s"
        )

    def _after_event(self) -> None:
        self.instants_checked += 1
        self._check_moves()
        if self.instants_checked % 64 == 0:
            self.check_vms()
            self._check_grants()

    def _learn_moves(self) -> None:
        """Who ordered each move, and which incarnations of the agents were there when it began."""
        events = self._simulation.events
        for event in events[self._heard :]:
            if event.kind == "migration.start":
                ends = (str(event.data["source"]), str(event.data["destination"]))
                born = tuple(self._simulation.nodes[node].generation for node in ends)
                self._orders[event.subject] = (str(event.data["partition"]), ends, born)
        self._heard = len(events)

    def _check_moves(self) -> None:
        self._learn_moves()
        moved: set[str] = set()
        for vm, source, destination in self._luc.fleet.migrations():
            if vm in moved:
                self._fail(2, f"{vm} is in two moves at once")
            moved.add(vm)
            partition, ends, born = self._orders.get(vm, ("", (), ()))
            if not partition or ends != (source, destination):
                continue
            for node, generation in zip(ends, born, strict=True):
                dvms = self._luc.dvms(node)
                if dvms is None or self._simulation.nodes[node].generation != generation:
                    continue
                if dvms.grant is None or str(dvms.grant.isp) != partition:
                    held = f"granted to {dvms.grant.isp}" if dvms.grant else "free"
                    self._fail(1, f"{vm} moves {source} -> {destination} for {partition}, {node} is {held}")

    def _check_grants(self) -> None:
        for name in self._luc.names:
            dvms = self._luc.dvms(name)
            if dvms is None or dvms.grant is None:
                continue
            lasted_s = self._simulation.now_s - dvms.grant.since_s
            if lasted_s > GRANT_S_MAX:
                self._fail(3, f"{name} is granted to {dvms.grant.isp} for {lasted_s:.0f} s")
        applying: dict[str, object] = {}
        for name in self._luc.names:
            dvms = self._luc.dvms(name)
            if dvms is None or dvms.leading is None or dvms.leading.execution is None:
                continue
            for member in dvms.leading.members:
                theirs = self._luc.dvms(member)
                follows = theirs and theirs.grant and theirs.grant.isp == dvms.leading.isp
                if follows and member in applying:
                    self._fail(1, f"{member} serves {applying[member]} and {dvms.leading.isp}")
                if follows:
                    applying[member] = dvms.leading.isp

    def check_vms(self) -> None:
        """Law 4."""
        running = self._luc.fleet.running()
        for vm, where in running.items():
            if len(where) > 1:
                self._fail(4, f"{vm} runs on {' and '.join(where)}")
        if self._luc.fleet.broken:
            self._fail(4, self._luc.fleet.broken[0])
        # A VM in its downtime runs nowhere for an instant; it must not for longer.
        in_move = {vm for vm, _, _ in self._luc.fleet.migrations()}
        # One that a plan suspended to make room is resumed by it, or its host is in violation (law 5).
        for vm in self.vms - self.lost - in_move - self._luc.fleet.asleep():
            if vm not in running:
                self._fail(4, f"{vm} is lost")

    def granted(self) -> list[str]:
        """Nodes that are granted to a partition, and which."""
        found = []
        for name in self._luc.names:
            dvms = self._luc.dvms(name)
            if dvms is not None and dvms.grant is not None:
                found.append(f"{name}: {dvms.grant.isp} ({dvms.grant.phase})")
        return found

    def check_ended(self) -> None:
        """Law 3, once faults and violations are over."""
        found = self.granted()
        if found:
            self._fail(3, f"still granted: {'; '.join(found)}")

    def violations(self) -> list[str]:
        """Nodes in violation as their own monitors see it."""
        found = []
        for name in self._luc.names:
            host = self._luc.host(name)
            if host is not None and host.violation:
                found.append(f"{name}: {host.violation}")
        return found

    def check_relieved(self) -> None:
        """Law 5."""
        found = self.violations()
        if found:
            self._fail(5, f"still in violation: {'; '.join(found)}")
