"""Exploring DVMS: the production trackers `Dvms` and `Host` on a few hosts that must be emptied.

A drained host is a violation that needs no measurement. Around them: hypervisors, a solver that takes as long
as it likes (the production solver's answers) and a membership that is told of deaths (see `hardware`).
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable
from typing import NamedTuple

from lucos.actors import address
from lucos.actors.ports import HYPERVISOR, SOLVER, Warm
from lucos.model import Resources, VmSpec
from lucos.overlay import MEMBERSHIP
from lucos.resources.dvms import Dvms, DvmsSettings
from lucos.resources.dvms.messages import HandOver
from lucos.resources.host import Host
from lucos.resources.host_settings import HostSettings
from lucos.resources.messages import HOST, SCHEDULER, SetDraining
from lucos.simulator.explore.case import Bounds, Case, Told
from lucos.simulator.explore.hardware import Hypervisor, News, Solver
from lucos.simulator.explore.hardware import Told as ToldMembership
from lucos.simulator.explore.node import ExploredNode, Letter

VM_MIB = 1024


class Leads(NamedTuple):
    isp: str
    members: tuple[str, ...]
    executing: bool


class DvmsFacts(NamedTuple):
    """`granted` and `leads` are "" and None when free; `domains` are (vm, how it moves)."""

    name: str
    up: bool
    granted: str
    version: int
    leads: Leads | None
    domains: tuple[tuple[str, str], ...]


class MoveOrder(NamedTuple):
    """A move that an ISP ordered; `bound` are its ends whose agents have lived all along."""

    vm: str
    partition: str
    source: str
    destination: str
    bound: tuple[str, ...]


class Ledger(NamedTuple):
    """`forgot` pairs nodes whose agent crashed with the partitions of that time: it knows no more of them."""

    moves: tuple[MoveOrder, ...] = ()
    absorbed: tuple[tuple[str, str], ...] = ()
    forgot: tuple[tuple[str, str], ...] = ()


class DvmsCase(Case):
    """`rooms` is how many VMs each host holds, `vms` how many it has; those of `drained` shall have none.

    With `solvable` False there may be no way to do that: partitions must end, violations need not.
    """

    inert = (Warm,)

    def __init__(
        self,
        name: str,
        *,
        rooms: tuple[int, ...],
        vms: tuple[int, ...],
        drained: tuple[str, ...],
        bounds: Bounds | None = None,
        solvable: bool = True,
    ) -> None:
        self.name = name
        self.nodes = tuple(f"h{i + 1}" for i in range(len(rooms)))
        self.bounds = bounds or Bounds()
        self._rooms = dict(zip(self.nodes, rooms, strict=True))
        self._vms = {
            host: tuple(VmSpec(f"ve.{host}{'abcdef'[i]}", "ve", "mini", memory_mib=VM_MIB) for i in range(n))
            for host, n in zip(self.nodes, vms, strict=True)
        }
        self._drained = drained
        # Each host has looked at its VMs.
        self.rings_before = len(self.nodes)
        self._solvable = solvable
        # Times that are multiples of each other: else hosts drift into ever new phases, all alike.
        self._settings = DvmsSettings(lease_s=4.0, renew_s=2.0, action_timeout_s=8.0)
        self.ignored = ("Calls._next", "Grant.since_s", "Monitor._since_s", "Violation.since_s")

    def build(self, node: ExploredNode) -> None:
        node.hardware = (HYPERVISOR,)
        node.spawn(HYPERVISOR, lambda world: Hypervisor(world, self._vms[node.name]))

    def boot(self, node: ExploredNode) -> None:
        room = Resources(400.0, float(VM_MIB * self._rooms[node.name]))
        host = HostSettings(room, migration_address=node.name, period_s=2.0)
        node.spawn(SOLVER, Solver)
        node.spawn(MEMBERSHIP, lambda world: ToldMembership(world, self.nodes))
        node.spawn(HOST, lambda world: Host(world, host))
        node.spawn(SCHEDULER, lambda world: Dvms(world, self._settings))

    def orders(self) -> Iterable[tuple[str, Letter]]:
        for name in self._drained:
            yield name, Letter(HOST, address(name, "people"), SetDraining(0, True))

    def news(self, node: str, up: bool) -> Iterable[tuple[str, Letter]]:
        for other in self.nodes:
            if other != node:
                yield other, Letter(MEMBERSHIP, address(other, MEMBERSHIP), News(node, up))

    # --- laws -----------------------------------------------------------------------------------------

    def facts(self, node: ExploredNode) -> DvmsFacts:
        hypervisor, dvms = node.actors.get(HYPERVISOR), node.actors.get(SCHEDULER)
        assert isinstance(hypervisor, Hypervisor)
        domains = tuple((vm, domain.moving) for vm, domain in hypervisor.domains.items())
        if not isinstance(dvms, Dvms):
            return DvmsFacts(node.name, False, "", 0, None, domains)
        leading = dvms.leading
        leads = Leads(str(leading.isp), leading.members, leading.execution is not None) if leading else None
        granted = str(dvms.grant.isp) if dvms.grant else ""
        version = dvms.grant.version if dvms.grant else 0
        return DvmsFacts(node.name, True, granted, version, leads, domains)

    def ledger(self) -> Ledger:
        return Ledger()

    def account(self, ledger: Ledger, told: Told) -> tuple[Hashable, str]:
        moves, absorbed, law = ledger.moves, ledger.absorbed, ""
        for event in told.emitted:
            data = dict(event.data)
            if event.kind == "migration.start":
                if any(m.vm == event.subject and m.source in m.bound for m in moves):
                    law = f"law 2: {event.subject} is moved twice at once"
                ends = data["source"], data["destination"]
                bound = tuple(n for n in ends if (n, data["partition"]) not in ledger.forgot)
                moves = (*moves, MoveOrder(event.subject, data["partition"], *ends, bound))
            elif event.kind in ("migration.end", "migration.failed"):
                moves = tuple(m for m in moves if (m.vm, m.source) != (event.subject, told.node))
        for sent in told.sent:
            if isinstance(sent.letter.message, HandOver):
                pair = str(sent.letter.message.to), str(sent.letter.message.isp)
                if pair[::-1] in absorbed:
                    law = f"law 2: {pair[0]} and {pair[1]} absorb each other"
                absorbed = tuple(sorted({*absorbed, pair}))
        law = law or self._regranted(told, absorbed)
        return ledger._replace(moves=tuple(sorted(moves)), absorbed=absorbed), law

    def _regranted(self, told: Told, absorbed: tuple[tuple[str, str], ...]) -> str:
        """Law 1 across a step: a grant ends, or is handed over, before the next; its version only grows."""
        before, after = told.facts_before, told.facts
        if before.granted == after.granted:
            if after.granted and after.version < before.version:
                return f"law 1: {told.node} goes back to version {after.version} of {after.granted}"
            return ""
        ended = any(e.subject == before.granted for e in told.emitted)
        if before.granted and after.granted and not ended and (after.granted, before.granted) not in absorbed:
            return f"law 1: {told.node} leaves {before.granted} for {after.granted}"
        return ""

    def crashed(self, ledger: Ledger, node: str, facts: tuple[DvmsFacts, ...]) -> Hashable:
        moves = (m._replace(bound=tuple(n for n in m.bound if n != node)) for m in ledger.moves)
        forgot = {(node, f.granted) for f in facts if f.granted}
        return ledger._replace(moves=tuple(sorted(moves)), forgot=tuple(sorted(forgot.union(ledger.forgot))))

    def broken(self, facts: tuple[DvmsFacts, ...], ledger: Ledger) -> str:
        return self._moves_broken(facts, ledger) or self._plans_broken(facts) or self._vms_broken(facts)

    def _moves_broken(self, facts: tuple[DvmsFacts, ...], ledger: Ledger) -> str:
        of = {f.name: f for f in facts}
        for move in ledger.moves:
            here = dict(of[move.destination].domains).get(move.vm) == ""
            for end in move.bound:
                done = end == move.destination and here
                if move.partition and not done and of[end].granted != move.partition:
                    held = f"granted to {of[end].granted}" if of[end].granted else "free"
                    way = f"{move.source} -> {move.destination}"
                    return f"law 1: {move.vm} moves {way} for {move.partition}, {end} is {held}"
        return ""

    def _plans_broken(self, facts: tuple[DvmsFacts, ...]) -> str:
        serves: dict[str, str] = {}
        granted = {f.name: f.granted for f in facts}
        for leader in facts:
            if leader.leads is None or not leader.leads.executing:
                continue
            for member in leader.leads.members:
                if granted[member] == leader.leads.isp:
                    if member in serves:
                        return f"law 1: {member} serves {serves[member]} and {leader.name}"
                    serves[member] = leader.name
        return ""

    def _vms_broken(self, facts: tuple[DvmsFacts, ...]) -> str:
        for vm in (spec.id for specs in self._vms.values() for spec in specs):
            where = [(f.name, how) for f in facts for name, how in f.domains if name == vm]
            if not where or [how for _, how in where].count("") > 1:
                return f"law 4: {vm} is {'nowhere' if not where else f'on {where}'}"
        return ""

    def released(self, facts: tuple[DvmsFacts, ...]) -> bool:
        """Law 3: nobody is granted and nothing moves."""
        return not any(f.granted or any(how for _, how in f.domains) for f in facts)

    def rested(self, facts: tuple[DvmsFacts, ...]) -> bool:
        """Laws 3 and 5: and those drained have no VM, if there is a solution."""
        left = self._solvable and any(f.domains for f in facts if f.name in self._drained)
        return self.released(facts) and all(f.up for f in facts) and not left
