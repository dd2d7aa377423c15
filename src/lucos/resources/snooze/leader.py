"""The group leader's part of Snooze: how many groups there are, who manages them, who joins which."""

from __future__ import annotations

import msgspec

from lucos.actors import Message, World, address, node_of
from lucos.overlay import ring_position
from lucos.resources.election import Election
from lucos.resources.messages import SCHEDULER
from lucos.resources.snooze.messages import (
    Appoint,
    AskManager,
    Assigned,
    Charge,
    Dismiss,
    LeaderBeat,
    ManagerBeat,
    NoManager,
)
from lucos.resources.snooze.settings import SnoozeSettings

# How many of the managers are told to be next in line.
HEIRS = 8


class _Manager(msgspec.Struct):
    """A GM: its charge as it last told, and who was sent to it since."""

    heard_s: float
    charge: Charge = Charge(nodes=0)
    sent: int = 0


class LeaderTick(Message, frozen=True):
    """To oneself: send the next heartbeats as leader of this epoch."""

    epoch: int


class Leader:
    """Exists while this node is GL. It says nothing for one beat: managers and nodes report first."""

    def __init__(self, world: World, settings: SnoozeSettings, election: Election) -> None:
        assert election.claim is not None
        self._world = world
        self._settings = settings
        self._election = election
        self._claim = election.claim
        self._appointments = 0
        self._ready = False
        self._waiting: dict[str, str] = {}
        self._failed: dict[str, None] = {}
        self.managers: dict[str, _Manager] = {}
        world.after(settings.beat_s, LeaderTick(self._claim.epoch))

    def receive(self, message: Message, sender: str) -> bool:
        """True when the message was for the GL alone."""
        node = node_of(sender)
        match message:
            case AskManager(silent=silent):
                self._failed.pop(node, None)
                self._waiting[node] = silent
                self._doubt(silent)
                self._assign()
            case ManagerBeat(charge=charge):
                self.managers[node] = _Manager(self._world.now_s(), charge)
                self._assign()
            case NoManager():
                if self.managers.pop(node, None) is not None:
                    self._appoint()
                return False
            case LeaderTick(epoch=epoch) if epoch == self._claim.epoch:
                self._beat()
            case _:
                return False
        return True

    def _beat(self) -> None:
        self._ready = True
        self._world.after(self._settings.beat_s, LeaderTick(self._claim.epoch))
        for node in list(self.managers):
            self._drop_silent(node, self._settings.timeout_s)
        self._appoint()
        self._dismiss()
        beat = LeaderBeat(self._claim, tuple(sorted(self.managers, key=ring_position)[:HEIRS]))
        for node in self.managers:
            self._send(node, beat)
        self._assign()

    def _doubt(self, silent: str) -> None:
        """A node of its group heard no more of a manager: if it missed a beat here too, it is gone."""
        if silent in self.managers and self._drop_silent(silent, 2.0 * self._settings.beat_s):
            self._appoint()

    def _drop_silent(self, node: str, timeout_s: float) -> bool:
        silent_s = self._world.now_s() - self.managers[node].heard_s
        if silent_s <= timeout_s:
            return False
        del self.managers[node]
        self._failed[node] = None
        self._world.emit("manager.lost", node, f"silent for {silent_s:.1f} s")
        return True

    def _appoint(self) -> None:
        """Let there be as many groups as the number of nodes asks for."""
        missing = self._wanted() - len(self.managers)
        if missing <= 0:
            return
        nodes = self._election.registered
        free = [n for n in nodes if n not in self.managers and n not in self._failed]
        # This node manages a group only when there is nobody else.
        order = sorted(free, key=lambda n: (n == self._world.node, ring_position(n)))
        if self.managers or len(order) > 1:
            order = [n for n in order if n != self._world.node]
        for node in order[:missing]:
            self._appointments += 1
            partition = f"{node}#{self._claim.epoch}.{self._appointments}"
            self.managers[node] = _Manager(self._world.now_s())
            self._world.emit("manager.appointed", node, f"group {partition}", group=partition)
            self._send(node, Appoint(self._claim, partition))

    def _dismiss(self) -> None:
        """Too many groups (a manager came back into sight, or nodes left): the smallest goes."""
        if len(self.managers) > self._wanted():
            smallest = min(self.managers, key=self._charge)
            del self.managers[smallest]
            self._world.emit("manager.dismissed", smallest, f"{len(self.managers)} groups are enough")
            self._send(smallest, Dismiss())

    def _wanted(self) -> int:
        nodes = len(self._election.registered)
        return self._settings.managers or max(1, nodes // self._settings.nodes_per_manager)

    def _assign(self) -> None:
        """Send those who wait to the least charged managers."""
        for node, silent in list(self._waiting.items()) if self._ready else ():
            candidates = [m for m in self.managers if m != silent]
            if candidates:
                chosen = min(candidates, key=self._charge)
                self.managers[chosen].sent += 1
                del self._waiting[node]
                self._send(node, Assigned(chosen))

    def _charge(self, node: str) -> tuple[int, float, int]:
        manager = self.managers[node]
        return manager.charge.nodes + manager.sent, manager.charge.share, ring_position(node)

    def _send(self, node: str, message: Message) -> None:
        self._world.send(address(node, SCHEDULER), message)
