"""The control loop of one controller, and the part of each node that follows it.

Every `period_s` the controller takes a snapshot of all nodes registered with it, decides whether anything is
wrong, plans, and carries the plan out; no loop begins before the one before it has ended. Hosts take orders
of the highest epoch they know only, so of two controllers at most one can act on a node.
Source: Hermenier, Lorca, Menaud, Muller, Lawall, VEE 2009; period and time limits as in VMPlaceS.
"""

from __future__ import annotations

from collections.abc import Iterable

from lucos.actors import Actor, Calls, Message, World
from lucos.model import Plan
from lucos.overlay import MembersChanged
from lucos.placement.problem import Problem
from lucos.resources.consolidation import ConsolidationSettings
from lucos.resources.election import Claim, Election
from lucos.resources.entropy.packing import Packing
from lucos.resources.messages import InFlight, Snapshot, Violation
from lucos.resources.repair import repair_problem
from lucos.resources.rounds import Allegiance, Result, Round, RoundSettings

# A new controller gives nodes this long to register before its first loop.
GATHER_S = 3.0
# A node that was silent so often in a row is asked only in one loop of RARELY.
SILENT_MAX = 3
RARELY = 8
# A violation that lasts for so many periods makes its node ask whether the controller is still there.
PATIENCE_PERIODS = 3.0


class EntropySettings(RoundSettings, frozen=True, forbid_unknown_fields=True):
    """[scheduler.entropy]: `controller` is the node that shall be the controller, "" to elect any.

    With `consolidate` VMs are packed onto fewer hosts while nothing is wrong. A host is taken to draw
    `watts`, at evenly spaced loads from idle to full.
    """

    period_s: float = 30.0
    controller: str = ""
    consolidate: bool = False
    consolidation: ConsolidationSettings = ConsolidationSettings()
    watts: tuple[float, ...] = (100.0, 200.0)


class _Loop(Message, frozen=True):
    """To oneself: begin the next loop of this claim."""

    claim: Claim


class Entropy(Actor):
    def __init__(self, world: World, settings: EntropySettings | None = None) -> None:
        super().__init__(world)
        self._settings = settings or EntropySettings()
        self._calls = Calls(world)
        self._allegiance = Allegiance(world)
        self._round: Round | None = None
        self._began_s = 0.0
        self._loops = 0
        self._missed: dict[str, int] = {}
        self._verified_s = 0.0
        self._packing = Packing(self._settings.consolidation, self._settings.watts)
        self.election = Election(world, "controller", self._preferred, self._changed)

    def receive(self, message: Message, sender: str) -> None:
        if self._calls.settle(message) or self.election.receive(message, sender):
            return
        if self._round is not None and self._round.receive(message):
            return
        match message:
            case InFlight(counts=counts):
                self._allegiance.in_flight(counts)
            case Violation(since_s=since_s):
                self._still_there(since_s)
            case MembersChanged() if self._round is not None:
                self._round.nodes_died({c.node for c in message.changed if c.after in ("dead", "left")})
            case _Loop(claim=claim) if claim == self.election.claim and self._round is None:
                self._begin()

    @property
    def partition(self) -> str:
        """Whose orders this node's host takes: the name and epoch of a controller."""
        return self._allegiance.partition

    def _preferred(self) -> Iterable[str]:
        return filter(None, (self._settings.controller,))

    def _changed(self) -> None:
        if self._round is not None:
            self._round.stop()
            self._round = None
        claim = self.election.claim
        if claim is None:
            return
        self._allegiance.pledge(str(claim))
        if self.election.leading:
            self._missed = {}
            self.world.after(min(GATHER_S, self._settings.period_s), _Loop(claim))

    def _still_there(self, since_s: float) -> None:
        """This node has been in violation for long: is there a controller at all?"""
        now_s, patience_s = self.world.now_s(), PATIENCE_PERIODS * self._settings.period_s
        if now_s - max(since_s, self._verified_s) > patience_s:
            self._verified_s = now_s
            self.election.verify()

    # --- the loop ---------------------------------------------------------------------------------------

    def _begin(self) -> None:
        self._loops += 1
        self._began_s = self.world.now_s()
        rarely = self._loops % RARELY == 0
        nodes = [n for n in self.election.registered if rarely or self._missed.get(n, 0) < SILENT_MAX]
        self._round = Round(
            self.world,
            self._calls,
            self._settings,
            str(self.election.claim),
            nodes,
            self._decide,
            lambda result: self._ended(nodes, result),
        )

    def _decide(self, snapshots: dict[str, Snapshot]) -> Problem | Plan | None:
        if any(s.violation or any(view.parked for view in s.vms) for s in snapshots.values()):
            return repair_problem(snapshots, policy=self._settings.repair)
        if self._settings.consolidate:
            return self._packing.plan(self.world.now_s(), snapshots)
        return None

    def _ended(self, asked: list[str], result: Result) -> None:
        self._round = None
        for node in asked:
            self._missed[node] = self._missed.get(node, 0) + 1 if node in result.silent else 0
        claim = self.election.claim
        assert claim is not None  # a round is stopped when the claim changes
        spent_s = self.world.now_s() - self._began_s
        self.world.after(max(self._settings.period_s - spent_s, 0.0), _Loop(claim))
