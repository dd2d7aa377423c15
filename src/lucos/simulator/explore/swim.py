"""Exploring the production `Membership`: its failure detector, its refutations and the ring it gives."""

from __future__ import annotations

from collections.abc import Hashable
from typing import NamedTuple

from lucos.overlay import MEMBERSHIP, Member, Membership, MembershipSettings, Status
from lucos.simulator.explore.case import Bounds, Case, Told
from lucos.simulator.explore.node import ExploredNode

RANKS = {status: rank for rank, status in enumerate(Status)}
PORT = 7411


class View(NamedTuple):
    """One node of another's view."""

    node: str
    incarnation: int
    status: Status


class SwimFacts(NamedTuple):
    name: str
    up: bool
    incarnation: int
    view: tuple[View, ...]


class SwimCase(Case):
    """`count` nodes that know each other when exploration begins, or with `joining` have all just started."""

    ends_at_rest = False
    # How far away others are has no part in who is alive; numbers of probes only tell them apart.
    ignored = (
        "Member.rtt_s",
        "Member.coordinate",
        "Vivaldi.coordinate",
        "Vivaldi._samples_s",
        "Membership._vivaldi",
    )

    def __init__(
        self,
        name: str,
        count: int,
        *,
        bounds: Bounds,
        joining: bool = False,
        settings: MembershipSettings | None = None,
    ) -> None:
        self.name = name
        self.nodes = tuple(f"n{i + 1}" for i in range(count))
        self.bounds = bounds
        self._joining = joining
        self._settings = settings or MembershipSettings(exchange_s=1e6, seed_s=5.0, refresh_s=1e6)
        self.memory_s = self._settings.suspicion_s + self._settings.period_s

    def boot(self, node: ExploredNode) -> None:
        me = Member(node.name, node.name, 7410, PORT)
        seeds = tuple(f"{name}:{PORT}" for name in self.nodes[:2])
        node.spawn(MEMBERSHIP, lambda world: Membership(world, self._settings, me, seeds))

    def ready(self, facts: tuple[SwimFacts, ...]) -> bool:
        return self._joining or self._agreed(facts)

    # --- laws -----------------------------------------------------------------------------------------

    def facts(self, node: ExploredNode) -> SwimFacts:
        actor = node.actors.get(MEMBERSHIP)
        if not isinstance(actor, Membership):
            return SwimFacts(node.name, False, 0, ())
        view = tuple(View(m.node, m.incarnation, m.status) for m in sorted_members(actor))
        return SwimFacts(node.name, True, actor.members[node.name].incarnation, view)

    def ledger(self) -> Hashable:
        """The highest incarnation that each node ever had."""
        return tuple(0 for _ in self.nodes)

    def account(self, ledger: tuple[int, ...], told: Told) -> tuple[Hashable, str]:
        after, before = told.facts, told.facts_before
        if not after.up:
            return ledger, ""
        index, law = self.nodes.index(told.node), ""
        highest = ledger[index]
        if after.incarnation < highest or (not before.up and after.incarnation == highest):
            law = f"incarnations: {told.node} has {after.incarnation} after {highest}"
        known = {v.node: v for v in before.view}
        for view in after.view:
            old = known.get(view.node)
            if old and (view.incarnation, RANKS[view.status]) < (old.incarnation, RANKS[old.status]):
                law = f"merging: {told.node} falls back from {old} to {view}"
        return (*ledger[:index], max(highest, after.incarnation), *ledger[index + 1 :]), law

    def broken(self, facts: tuple[SwimFacts, ...], _ledger: Hashable) -> str:
        up = {f.name: f.incarnation for f in facts if f.up}
        for f in facts:
            for view in f.view:
                if view.status is Status.DEAD and view.incarnation >= up.get(view.node, view.incarnation + 1):
                    return f"false death: {f.name} holds {view.node} for dead, which is up"
        return ""

    def released(self, facts: tuple[SwimFacts, ...]) -> bool:
        """Deaths are found out: nobody who is up holds a dead node for present."""
        return all(f.up or not _present(other, f.name) for f in facts for other in facts if other.up)

    def _agreed(self, facts: tuple[SwimFacts, ...]) -> bool:
        return all(f.up for f in facts) and all(
            {v.node: v.status for v in f.view} == dict.fromkeys(self.nodes, Status.ALIVE) for f in facts
        )

    def rested(self, facts: tuple[SwimFacts, ...]) -> bool:
        """All are up and all hold all for alive: every suspicion was refuted, every return noticed."""
        return self._agreed(facts)


def sorted_members(actor: Membership) -> list[Member]:
    return [actor.members[name] for name in sorted(actor.members)]


def _present(facts: SwimFacts, node: str) -> bool:
    return any(v.node == node and v.status in (Status.ALIVE, Status.SUSPECT) for v in facts.view)
