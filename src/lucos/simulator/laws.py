"""The laws of DESIGN, checked against the physical truth of the fleet, not against claims.

`every-event` looks at the whole LUC after each simulated event and raises at once: for tests. `light` looks
at what each emitted event speaks of, sweeps what moves once a simulated second and what is granted once a
minute, and collects what it finds: for runs of thousands of hosts.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, NamedTuple

from lucos.model import Event
from lucos.simulator.cluster import SimulatedLuc

GRANT_S_MAX = 600.0
BROKEN_MAX = 20
MOVES_SWEEP_S = 1.0
GRANTS_SWEEP_S = 60.0

Mode = Literal["every-event", "light"]


class LawBroken(AssertionError):
    """A law does not hold; the message has the seed, the instant and how to replay it."""


class _Order(NamedTuple):
    """Who ordered a move, and which incarnations of the agents at its ends were there when it began."""

    partition: str
    ends: tuple[str, str]
    born: tuple[int, int]


class Laws:
    """Watches `luc` from now on. `lost` VMs are those whose host was made to crash (told by `host_crashes`).

    1. Both ends of a move that an ISP ordered are granted to that ISP until it ends (unless their agent was
       restarted meanwhile), and two ISPs being applied share no node that follows both.
    2. A VM is in at most one move.
    3. No grant lasts longer than `GRANT_S_MAX` (`check_ended` asks for none at all).
    4. Each VM runs exactly once, but those whose host crashed.
    5. `check_relieved`: no node is in violation.

    Laws 1 and 3 speak of grants and so of nodes whose scheduler is DVMS. In `light` mode nothing is raised:
    `broken` holds the first `BROKEN_MAX` findings.
    """

    def __init__(self, luc: SimulatedLuc, mode: Mode = "every-event") -> None:
        self._luc = luc
        self._simulation = luc.simulation
        self._mode = mode
        self.vms: set[str] = set()
        self.lost: set[str] = set()
        self.broken: list[str] = []
        self.instants_checked = 0
        self._orders: dict[str, _Order] = {}
        self._leaders: dict[str, None] = {}
        self._broken_seen = 0
        self._next_moves_s = self._next_grants_s = 0.0
        self._hears: dict[str, Callable[[Event], None]] = {
            "migration.start": self._move_starts,
            "migration.end": self._move_ends,
            "migration.failed": self._move_ends,
            "partition.solved": self._plan_found,
        }
        self._simulation.listeners.append(self._hear)
        if mode == "every-event":
            self._simulation.after_each.append(self._after_event)

    def expect(self, vm: str) -> None:
        """`vm` runs now and must never be lost or doubled."""
        self.vms.add(vm)

    def forget(self, vm: str) -> None:
        """`vm` is about to be stopped on purpose."""
        self.vms.discard(vm)

    def host_crashes(self, node: str) -> None:
        """Call just before a host is made to crash: what runs or stands only there is lost for good."""
        running = self._luc.fleet.running()
        self.lost |= {vm for vm, where in running.items() if where == [node]}
        self.lost |= {vm for vm in self.vms if vm not in running}

    def _fail(self, law: int, text: str) -> None:
        seed, now_s = self._simulation.seed, self._simulation.now_s
        told = f"law {law} broken at {now_s:.3f} s: {text}"
        if self._mode == "light":
            if len(self.broken) < BROKEN_MAX and told not in self.broken:
                self.broken.append(told)
            return
        raise LawBroken(f"{told}\nreplay: pytest tests/laws/test_laws.py --law-seed {seed} -s")

    # --- what is heard ------------------------------------------------------------------------------

    def _hear(self, event: Event) -> None:
        heard = self._hears.get(event.kind)
        if heard is not None:
            heard(event)
        if self._mode == "light":
            self.instants_checked += 1
            if event.time_s >= self._next_moves_s:
                self._next_moves_s = event.time_s + MOVES_SWEEP_S
                self._check_moves()
                self._check_applying()
                self._check_doubled()
            if event.time_s >= self._next_grants_s:
                self._next_grants_s = event.time_s + GRANTS_SWEEP_S
                self._check_grants()

    def _move_starts(self, event: Event) -> None:
        vm, nodes = event.subject, self._simulation.nodes
        source, destination = str(event.data["source"]), str(event.data["destination"])
        before = self._orders.get(vm)
        if before is not None and self._same_agents(before) == [True, True]:
            self._fail(2, f"{vm} leaves {source} while its move {' -> '.join(before.ends)} goes on")
        born = (nodes[source].generation, nodes[destination].generation)
        order = self._orders[vm] = _Order(str(event.data["partition"]), (source, destination), born)
        self._check_order(vm, order)

    def _move_ends(self, event: Event) -> None:
        self._orders.pop(event.subject, None)

    def _plan_found(self, event: Event) -> None:
        self._leaders[event.node] = None

    # --- what is looked at --------------------------------------------------------------------------

    def _after_event(self) -> None:
        self.instants_checked += 1
        self._check_moves()
        if self.instants_checked % 64 == 0:
            self.check_vms()
            self._check_applying()
            self._check_grants()

    def _same_agents(self, order: _Order) -> list[bool]:
        nodes = self._simulation.nodes
        return [
            nodes[node].up and nodes[node].generation == born
            for node, born in zip(order.ends, order.born, strict=True)
        ]

    def _check_order(self, vm: str, order: _Order) -> None:
        """Law 1 for one move: those of its ends that DVMS schedules are granted to who ordered it."""
        if not order.partition:
            return
        for node, same in zip(order.ends, self._same_agents(order), strict=True):
            dvms = self._luc.dvms(node) if same else None
            if dvms is not None and (dvms.grant is None or str(dvms.grant.isp) != order.partition):
                held = f"granted to {dvms.grant.isp}" if dvms.grant else "free"
                text = f"{vm} moves {' -> '.join(order.ends)} for {order.partition}, {node} is {held}"
                self._fail(1, text)

    def _check_moves(self) -> None:
        moved: set[str] = set()
        for vm, source, destination in self._luc.fleet.migrations():
            if vm in moved:
                self._fail(2, f"{vm} is in two moves at once")
            moved.add(vm)
            order = self._orders.get(vm)
            if order is not None and order.ends == (source, destination):
                self._check_order(vm, order)

    def _check_applying(self) -> None:
        """Law 1 for plans: each member of a leader that carries out its plan follows no other such leader."""
        applying: dict[str, object] = {}
        for name in list(self._leaders):
            dvms = self._luc.dvms(name)
            if dvms is None or dvms.leading is None:
                del self._leaders[name]
            elif dvms.leading.execution is not None:
                for member in dvms.leading.members:
                    theirs = self._luc.dvms(member)
                    follows = theirs and theirs.grant and theirs.grant.isp == dvms.leading.isp
                    if follows and member in applying:
                        self._fail(1, f"{member} serves {applying[member]} and {dvms.leading.isp}")
                    if follows:
                        applying[member] = dvms.leading.isp

    def _check_grants(self) -> None:
        for name in self._luc.names:
            dvms = self._luc.dvms(name)
            if dvms is None or dvms.grant is None:
                continue
            lasted_s = self._simulation.now_s - dvms.grant.since_s
            if lasted_s > GRANT_S_MAX:
                self._fail(3, f"{name} is granted to {dvms.grant.isp} for {lasted_s:.0f} s")

    def _check_doubled(self) -> None:
        broken = self._luc.fleet.broken
        for text in broken[self._broken_seen :]:
            self._fail(4, text)
        self._broken_seen = len(broken)

    def check_vms(self) -> None:
        """Law 4."""
        self._check_doubled()
        running = self._luc.fleet.running()
        for vm, where in running.items():
            if len(where) > 1:
                self._fail(4, f"{vm} runs on {' and '.join(where)}")
        # A VM in its downtime runs nowhere for an instant; it must not for longer.
        in_move = {vm for vm, _, _ in self._luc.fleet.migrations()}
        # One that a plan suspended to make room is resumed by it, or its host is in violation (law 5).
        for vm in sorted(self.vms - self.lost - in_move - self._luc.fleet.asleep() - running.keys()):
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
