"""Snooze's actor: the local controller of each node, which may also be group manager, or the group leader.

A local controller (LC) belongs to the group of one manager (GM), answers its heartbeats with its load, and
asks it for help in a violation. The leader (GL), elected among the managers, knows all groups. Who loses its
manager asks the leader for another; its VMs run on meanwhile.
Source: Feller, Rilling, Morin, CCGrid 2012; the number of managers as in VMPlaceS.
"""

from __future__ import annotations

from collections.abc import Iterable

from lucos.actors import Actor, Calls, Message, World, address, node_of
from lucos.overlay import MembersChanged
from lucos.resources.election import Election
from lucos.resources.messages import (
    HOST,
    SCHEDULER,
    InFlight,
    Relief,
    Snapshot,
    TakeSnapshot,
    Underload,
    Violation,
)
from lucos.resources.rounds import Allegiance
from lucos.resources.snooze.leader import Leader
from lucos.resources.snooze.manager import Manager, ManagerTick
from lucos.resources.snooze.messages import (
    Appoint,
    AskManager,
    Assigned,
    Charge,
    Disband,
    Dismiss,
    Elsewhere,
    GroupBeat,
    Help,
    Join,
    LeaderBeat,
    ManagerBeat,
    NodeBeat,
    NoManager,
    Welcome,
    charge_of,
)
from lucos.resources.snooze.settings import SnoozeSettings

ANSWER_S = 2.0


class _Check(Message, frozen=True):
    """To oneself: is the manager still there, or the answer? Only the last `turn` counts."""

    turn: int


class Snooze(Actor):
    def __init__(self, world: World, settings: SnoozeSettings | None = None) -> None:
        super().__init__(world)
        self._settings = settings or SnoozeSettings()
        self._calls = Calls(world)
        self._allegiance = Allegiance(world)
        self._charge = Charge()
        self._measured_s = float("-inf")
        self._asking = ""
        self._turn = 0
        self._heard_s = 0.0
        self._helped_s = float("-inf")
        self._leader_heard_s = 0.0
        self._heirs: tuple[str, ...] = ()
        self.manager = ""
        self.leader: Leader | None = None
        self.managing: Manager | None = None
        self.election = Election(world, "leader", self._preferred, self._changed)

    def receive(self, message: Message, sender: str) -> None:
        if self._calls.settle(message) or self.election.receive(message, sender):
            return
        if self.leader is not None and self.leader.receive(message, sender):
            return
        if isinstance(message, ManagerTick):
            self._check_leader()
        if self.managing is not None and self.managing.receive(message, sender):
            return
        node = node_of(sender)
        match message:
            case GroupBeat(partition=partition):
                self._group_beat(partition, node)
            case Violation(reason=reason):
                self._in_violation(reason)
            case InFlight(counts=counts):
                self._measured_s = float("-inf")
                self._allegiance.in_flight(counts)
            case Relief():
                self._measured_s = self._helped_s = float("-inf")
            case Underload():
                self._measured_s = float("-inf")
            case _Check(turn=turn) if turn == self._turn:
                self._check()
            case Assigned(manager=manager) if not self.manager:
                self._asking = manager
                self._send(manager, Join(self._charge))
                self._arm(ANSWER_S)
            case Welcome(partition=partition):
                self._joined(partition, node)
            case Disband(partition=partition) if partition == self.partition:
                self._find_manager()
            case MembersChanged() if self.managing is not None and self.managing.round is not None:
                gone = {c.node for c in message.changed if c.after in ("dead", "left")}
                self.managing.round.nodes_died(gone)
            case _:
                self._as_manager(message, node)

    @property
    def partition(self) -> str:
        """The group whose orders this node's host takes."""
        return self._allegiance.partition

    # --- who leads ----------------------------------------------------------------------------------------

    def _preferred(self) -> Iterable[str]:
        """Managers lead before other nodes."""
        return self._heirs if self.managing is not None else filter(None, (self.manager,))

    def _changed(self) -> None:
        claim = self.election.claim
        self.leader = None
        self._leader_heard_s = self.world.now_s()
        if self.election.leading:
            # The one who is promoted gives its group up.
            self._manage("")
            self.leader = Leader(self.world, self._settings, self.election)
        elif self.managing is not None and claim is not None:
            self._send(claim.leader, ManagerBeat(self.managing.charge))
        if not self.manager:
            self._find_manager()

    def _as_manager(self, message: Message, sender: str) -> None:
        """What the leader asks of managers, or an LC of one that is none."""
        match message:
            case Appoint(claim=claim, partition=partition) if claim == self.election.claim:
                self._leader_heard_s = self.world.now_s()
                self._manage(partition)
            case Dismiss():
                self._manage("")
            case LeaderBeat(claim=claim, heirs=heirs) if claim == self.election.claim:
                self._leader_heard_s, self._heirs = self.world.now_s(), heirs
                if self.managing is None:
                    self._send(sender, NoManager())
                else:
                    self._send(sender, ManagerBeat(self.managing.charge))
            case Join():
                self._send(sender, NoManager())
            case NoManager() if sender == self._asking and not self.manager:
                self._find_manager(sender)

    def _manage(self, partition: str) -> None:
        """Be the manager of this group, and of none before; "" to be none."""
        if self.managing is not None:
            self.managing.disband()
        here = (self.world, self._settings, self._calls)
        self.managing = Manager(*here, partition) if partition else None

    def _check_leader(self) -> None:
        silent_s = self.world.now_s() - self._leader_heard_s
        if self.managing is not None and silent_s > self._settings.timeout_s:
            self._leader_heard_s = self.world.now_s()
            self.election.lose()

    # --- this node in its group ---------------------------------------------------------------------------

    def _arm(self, delay_s: float) -> None:
        self._turn += 1
        self.world.after(delay_s, _Check(self._turn))

    def _find_manager(self, silent: str = "") -> None:
        self.manager = self._asking = ""
        claim = self.election.claim
        if claim is not None:
            self._send(claim.leader, AskManager(silent))
            self._arm(self._settings.timeout_s)

    def _check(self) -> None:
        if not self.manager:
            self._find_manager(self._asking)
            return
        left_s = self._heard_s + self._settings.timeout_s - self.world.now_s()
        if left_s > 0.0:
            self._arm(left_s)
        else:
            self.world.emit("group.left", self.world.node, f"{self.manager} is silent", group=self.partition)
            self._find_manager(self.manager)

    def _joined(self, partition: str, manager: str) -> None:
        if self.manager not in ("", manager):
            self._send(manager, Elsewhere())
            return
        self.manager, self._heard_s = manager, self.world.now_s()
        self._helped_s = float("-inf")
        self._allegiance.pledge(partition)
        self._arm(self._settings.timeout_s)
        self.world.emit("group.joined", self.world.node, f"group {partition}", group=partition)

    def _group_beat(self, partition: str, manager: str) -> None:
        if manager != self.manager:
            self._joined(partition, manager)
            return
        self._heard_s = self.world.now_s()
        if self._heard_s - self._measured_s < self._settings.measure_s:
            self._send(manager, NodeBeat(self._charge))
        else:
            self._calls.ask(HOST, TakeSnapshot, ANSWER_S, self._measured)

    def _measured(self, snapshot: Snapshot | None) -> None:
        if snapshot is not None:
            self._measured_s = self.world.now_s()
            self._charge = charge_of(snapshot)
            asleep = next((view.instance.spec.id for view in snapshot.vms if view.parked), "")
            if asleep and not snapshot.busy:
                # Hosts that obey a group take this for a part of its plan, and do not complain.
                self._in_violation(f"{asleep} was suspended to make room and must be resumed")
        if self.manager:
            self._send(self.manager, NodeBeat(self._charge))

    def _in_violation(self, reason: str) -> None:
        now_s = self.world.now_s()
        self._measured_s = float("-inf")
        if self.manager and now_s - self._helped_s >= self._settings.period_s:
            self._helped_s = now_s
            self._send(self.manager, Help(reason))

    def _send(self, node: str, message: Message) -> None:
        self.world.send(address(node, SCHEDULER), message)
