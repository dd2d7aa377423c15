"""Messages of Snooze: group leader (GL), group managers (GM), local controllers (LC, on every node)."""

from __future__ import annotations

import msgspec

from lucos.actors import Message
from lucos.model import Resources
from lucos.resources.election import Claim
from lucos.resources.messages import Snapshot
from lucos.resources.repair import holding


class Charge(msgspec.Struct, frozen=True):
    """What VMs want of a node, or of a group of `nodes`, and what it has.

    Of a node also: how many VMs it holds or expects, and whether it is awake.
    """

    load: Resources = Resources()
    capacity: Resources = Resources()
    nodes: int = 1
    vms: int = 0
    awake: bool = True

    @property
    def share(self) -> float:
        """The fullest resource, as a share of what there is."""
        cpu = self.load.cpu_pct / self.capacity.cpu_pct if self.capacity.cpu_pct else 0.0
        memory = self.load.memory_mib / self.capacity.memory_mib if self.capacity.memory_mib else 0.0
        return max(cpu, memory)


def charge_of(snapshot: Snapshot) -> Charge:
    """That of one node, with what it has promised to VMs on their way in."""
    load = holding(snapshot.instances) + snapshot.reserved
    vms = len(snapshot.vms) + len(snapshot.incoming)
    return Charge(load, snapshot.node.capacity, 1, vms, snapshot.node.online)


# --- GL and GM -----------------------------------------------------------------------------------------


class Appoint(Message, frozen=True):
    """GL to a node: manage a group, whose orders carry `partition`."""

    claim: Claim
    partition: str


class Dismiss(Message, frozen=True):
    """GL to GM: there are too many groups; disband yours."""


class LeaderBeat(Message, frozen=True):
    """GL to GM, answered by `ManagerBeat`. `heirs` shall lead next, in this order."""

    claim: Claim
    heirs: tuple[str, ...]


class ManagerBeat(Message, frozen=True):
    """GM to GL: the charge of its group."""

    charge: Charge


class NoManager(Message, frozen=True):
    """To who takes the sender for a GM: it is not (any more)."""


# --- LC and GL ------------------------------------------------------------------------------------------


class AskManager(Message, frozen=True):
    """LC to GL: which group shall I join? `silent` is a GM that did not answer."""

    silent: str = ""


class Assigned(Message, frozen=True):
    """GL to LC: join the group of `manager`."""

    manager: str


# --- LC and GM ------------------------------------------------------------------------------------------


class Join(Message, frozen=True):
    """LC to GM; answered by `Welcome`, or `NoManager`."""

    charge: Charge


class Welcome(Message, frozen=True):
    partition: str


class GroupBeat(Message, frozen=True):
    """GM to LC, answered by `NodeBeat`, or `Elsewhere`."""

    partition: str


class NodeBeat(Message, frozen=True):
    charge: Charge


class Elsewhere(Message, frozen=True):
    """LC to GM: it is in another group."""


class Help(Message, frozen=True):
    """LC to GM: this node is in violation. A GM that is not idle refuses by silence: ask again."""

    reason: str


class Disband(Message, frozen=True):
    """GM to LC: the group is no more; ask the GL for another."""

    partition: str
