"""The group manager's part of Snooze: heartbeats with its group, relief of overloads, sleep when idle."""

from __future__ import annotations

from math import ceil

import msgspec

from lucos.actors import Calls, Message, World, address, node_of
from lucos.model import BootNode, Plan, Resources, ShutdownNode
from lucos.placement.problem import Problem
from lucos.resources.messages import HOST, SCHEDULER, Execute, Executed, Snapshot
from lucos.resources.repair import repair_problem
from lucos.resources.rounds import Outcome, Result, Round
from lucos.resources.snooze.messages import (
    Charge,
    Disband,
    Elsewhere,
    GroupBeat,
    Help,
    Join,
    NodeBeat,
    Welcome,
    charge_of,
)
from lucos.resources.snooze.relocation import evacuate, relieve
from lucos.resources.snooze.settings import SnoozeSettings

# What switching a node takes beyond what the settings say of it.
SWITCH_MARGIN_S = 60.0


class _Node(msgspec.Struct):
    """A node of the group. `empty_s` is since when it holds no VM, None while it does."""

    charge: Charge
    heard_s: float
    empty_s: float | None = None
    kept_until_s: float = 0.0


class ManagerTick(Message, frozen=True):
    """To oneself: send the next heartbeats of this group."""

    partition: str


class Manager:
    """Exists while this node is GM of the group `partition`."""

    def __init__(self, world: World, settings: SnoozeSettings, calls: Calls, partition: str) -> None:
        self._world = world
        self._settings = settings
        self._calls = calls
        self.partition = partition
        self.nodes: dict[str, _Node] = {}
        self.round: Round | None = None
        self._switching: dict[str, None] = {}
        self._helped_s = -settings.period_s
        self._tick()

    def receive(self, message: Message, sender: str) -> bool:
        """True when the message was for the GM."""
        if self.round is not None and self.round.receive(message):
            return True
        node = node_of(sender)
        match message:
            case NodeBeat(charge=charge):
                if node in self.nodes:
                    self._heard(node, charge)
            case Join(charge=charge):
                self.nodes[node] = _Node(charge, self._world.now_s())
                self._heard(node, charge)
                self._send(node, Welcome(self.partition))
            case Elsewhere():
                self.nodes.pop(node, None)
            case Help():
                # Not idle: refused. The node asks again.
                if self.round is None and node in self.nodes:
                    self._helped_s = self._world.now_s()
                    self._begin("")
            case ManagerTick(partition=partition) if partition == self.partition:
                self._tick()
            case _:
                return False
        return True

    @property
    def charge(self) -> Charge:
        """That of the whole group."""
        known = [node.charge for node in self.nodes.values()]
        load = sum((charge.load for charge in known), Resources())
        capacity = sum((charge.capacity for charge in known if charge.awake), Resources())
        return Charge(load, capacity, len(known))

    def disband(self) -> None:
        """Resign: start nothing more, and let the nodes find another group."""
        if self.round is not None:
            self.round.stop()
        for node in self.nodes:
            self._send(node, Disband(self.partition))

    # --- heartbeats -----------------------------------------------------------------------------------

    def _tick(self) -> None:
        now_s, settings = self._world.now_s(), self._settings
        self._world.after(settings.beat_s, ManagerTick(self.partition))
        silent = [n for n, node in self.nodes.items() if now_s - node.heard_s > settings.timeout_s]
        for name in silent:
            del self.nodes[name]
        if silent and self.round is not None:
            self.round.nodes_died(set(silent))
        beat = GroupBeat(self.partition)
        for name in self.nodes:
            self._send(name, beat)
        if settings.energy:
            self._save_energy(now_s)

    def _heard(self, name: str, charge: Charge) -> None:
        node, now_s = self.nodes[name], self._world.now_s()
        node.charge, node.heard_s = charge, now_s
        if charge.vms:
            node.empty_s = None
        elif node.empty_s is None:
            node.empty_s = now_s

    # --- relocation -------------------------------------------------------------------------------------

    def _begin(self, emptied: str) -> None:
        """A round over the whole group, to end its violations, or else to empty a node."""

        def decide(snapshots: dict[str, Snapshot]) -> Problem | Plan | None:
            if emptied:
                return self._emptying(snapshots, emptied)
            if not any(s.violation or any(view.parked for view in s.vms) for s in snapshots.values()):
                return None
            if self._settings.engine == "greedy":
                return relieve(snapshots, self._settings.mid_share, self._settings.max_share)
            return repair_problem(snapshots, policy=self._settings.repair)

        self.round = Round(
            self._world,
            self._calls,
            self._settings,
            self.partition,
            self.nodes,
            decide,
            lambda result: self._ended(result, emptied),
        )

    def _emptying(self, snapshots: dict[str, Snapshot], emptied: str) -> Problem | Plan | None:
        # Into nodes that are in use, so that each time one more is empty.
        used = {name: s for name, s in snapshots.items() if s.vms or s.incoming}
        if emptied not in used or any(s.violation for s in used.values()):
            return None
        if charge_of(used[emptied]).share >= self._settings.min_share:
            return None
        if self._settings.engine == "greedy":
            return evacuate(used, emptied, self._settings.mid_share)
        return repair_problem(used, policy=self._settings.repair, emptied=emptied)

    def _ended(self, result: Result, emptied: str) -> None:
        self.round = None
        now_s = self._world.now_s()
        if emptied:
            node = self.nodes.get(emptied)
            if node is not None and result.outcome is Outcome.DONE:
                self._heard(emptied, msgspec.structs.replace(node.charge, vms=0))
            elif node is not None:
                node.kept_until_s = now_s + self._settings.idle_s
        elif self._settings.energy and self._short(result):
            self._wake(result.snapshots)

    def _short(self, result: Result) -> bool:
        """Whether the group lacks room: no plan, or (greedy plans are partial) none that moved anything."""
        wrong = any(snapshot.violation for snapshot in result.snapshots.values())
        return result.outcome is Outcome.UNSOLVED or (wrong and result.outcome is Outcome.NOTHING)

    # --- energy -----------------------------------------------------------------------------------------

    def _save_energy(self, now_s: float) -> None:
        """Put one idle node to sleep, or empty one that is under-used."""
        if self.round is not None or self._switching or now_s - self._helped_s < self._settings.period_s:
            return
        awake = {name: node for name, node in self.nodes.items() if node.charge.awake}
        idle = [(node.empty_s, name) for name, node in awake.items() if node.empty_s is not None]
        idle_longest = min(idle, default=None)
        if idle_longest and len(idle) > self._settings.reserve:
            if now_s - idle_longest[0] >= self._settings.idle_s:
                self._switch(ShutdownNode(node=idle_longest[1]), f"idle for {self._settings.idle_s:g} s")
            return
        under_used = [
            (node.charge.share, name)
            for name, node in awake.items()
            if node.charge.vms and node.charge.share < self._settings.min_share and now_s >= node.kept_until_s
        ]
        if under_used and len(awake) > 1:
            self._begin(min(under_used)[1])

    def _wake(self, snapshots: dict[str, Snapshot]) -> None:
        """As many nodes as hold what is too much for those awake."""
        mid_share = self._settings.mid_share
        beyond = (charge_of(snapshot).share - mid_share for snapshot in snapshots.values())
        wanted = max(1, ceil(sum(max(share, 0.0) for share in beyond)))
        asleep = [n for n, node in self.nodes.items() if not node.charge.awake and n not in self._switching]
        for name in sorted(asleep)[: max(wanted - len(self._switching), 0)]:
            self._switch(BootNode(node=name), "its group lacks room")

    def _switch(self, action: BootNode | ShutdownNode, cause: str) -> None:
        node, settings = action.node, self._settings
        self._switching[node] = None

        def done(answer: Executed | None) -> None:
            self._switching.pop(node, None)
            known = self.nodes.get(node)
            if known is None:
                return
            if answer is not None and answer.ok:
                awake = isinstance(action, BootNode)
                known.charge = msgspec.structs.replace(known.charge, awake=awake)
                known.empty_s = self._world.now_s()
            else:
                known.empty_s = None if known.charge.vms else self._world.now_s()

        self._calls.ask(
            address(node, HOST),
            lambda call_id: Execute(call_id, action, cause, partition=self.partition),
            settings.wake_s + SWITCH_MARGIN_S,
            done,
        )

    def _send(self, node: str, message: Message) -> None:
        self._world.send(address(node, SCHEDULER), message)
