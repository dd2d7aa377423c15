"""The queue of vjobs: any node takes submissions; one of them decides who runs, and carries out the switch.

The queue is in the registry, so it survives its leader. The leader is the lowest name that is present, and
only while it holds the lease of the queue's head: two never lead at once. Each period it
reads the queue and asks all hosts what runs -> settles what has ended, crashed or was cancelled -> decides
who shall run -> has the solver plan the switch -> records what it is about to do -> does it -> records that
it is done. A leader that takes over finds on record what its predecessor was doing, waits until hosts have
finished what they were told, and goes on from what is true then.
Source: Hermenier, Lebre, Menaud, Cluster-Wide Context Switch of Virtualized Jobs, VTDC 2010.
"""

from __future__ import annotations

from functools import partial

import msgspec

from lucos.actors import Actor, Calls, Message, World
from lucos.actors.ports import HYPERVISOR, REGISTRY, DomainChanged, RegistryLease, RegistryReply, Subscribe
from lucos.actors.world import Timer
from lucos.overlay.messages import MEMBERSHIP, MembersChanged, Watch
from lucos.resources.queue.desk import Desk
from lucos.resources.queue.policy import PolicySettings
from lucos.resources.queue.records import HEAD, amend
from lucos.resources.queue.round import Kept, Round
from lucos.resources.queue.survey import Assumptions
from lucos.resources.queue.vjob import CancelVjob, Head, ListVjobs, SubmitVjob

# So many of the lowest names that a node knows try to lead: the first may not reach the registry.
CANDIDATES = 3


class QueueSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """[scheduler.queue]: the leader decides each `period_s`, and renews its lease thrice in `lease_s`.

    `solve_work` is what a solver may spend on one switch, in about seconds of a core.
    """

    policy: PolicySettings = PolicySettings()
    assumptions: Assumptions = Assumptions()
    period_s: float = 30.0
    lease_s: float = 15.0
    action_timeout_s: float = 400.0
    solve_timeout_s: float = 20.0
    solve_work: float = 0.5


class _Beat(Message, frozen=True):
    """To oneself: take or renew the lease."""


class _Look(Message, frozen=True):
    """To oneself: look at the queue."""


class Queue(Actor):
    def __init__(self, world: World, settings: QueueSettings | None = None) -> None:
        super().__init__(world)
        self.settings = settings or QueueSettings()
        self.calls = Calls(world)
        self._desk = Desk(world, self.calls)
        self.alive: list[str] = [world.node]
        self._beating = False
        self._led_until_s = -1.0
        self._timer: Timer | None = None
        self._round: Round | None = None
        self._kept = Kept()
        world.send(MEMBERSHIP, Watch())
        world.send(HYPERVISOR, Subscribe())

    def receive(self, message: Message, sender: str) -> None:
        if self.calls.settle(message):
            return
        match message:
            case MembersChanged(members=members):
                self.alive = sorted({self.world.node} | {m.node for m in members if m.present})
                if self._round is not None:
                    self._round.members_changed(set(self.alive))
                self._beat()
            case _Beat():
                self._beating = False
                self._beat()
            case _Look():
                self._look()
            case SubmitVjob():
                self._desk.submit(message, sender)
            case CancelVjob():
                self._desk.cancel(message, sender)
            case ListVjobs():
                self._desk.list(message, sender)
            case DomainChanged(vm=vm, change="crashed"):
                self._desk.crashed(vm)

    # --- who leads -------------------------------------------------------------------------------------

    @property
    def leads(self) -> bool:
        """Whether this node decides for all."""
        return self.world.now_s() < self._led_until_s

    def _beat(self) -> None:
        """Take or renew the lease, if that is this node's to do; others wait until it is."""
        if not self.leads and self._round is not None:
            self._round.abandon()
            self._round = None
        if self._beating or not (self.leads or self.world.node in self.alive[:CANDIDATES]):
            return
        self._beating = True
        lease_s = self.settings.lease_s
        self.world.after(lease_s / 3, _Beat())
        lease = partial(RegistryLease, key=HEAD, holder=self.world.node, ttl_s=lease_s)
        asked_s = self.world.now_s()
        self.calls.ask(REGISTRY, lease, lease_s / 3, lambda reply: self._leased(asked_s, reply))

    def _leased(self, asked_s: float, reply: RegistryReply | None) -> None:
        if reply is None or reply.error:
            return
        if reply.ok:
            led = self.leads
            # Who cannot renew it has stopped at the next beat, before anybody else can have it.
            self._led_until_s = asked_s + 0.6 * self.settings.lease_s
            if not led:
                self._kept = Kept()
                self.world.emit("queue.leader", self.world.node, "leads the queue")
                self._look_in(0.0)
        elif reply.records:
            self._led_until_s = -1.0
        else:
            amend(self.calls, HEAD, Head, lambda head: head or Head(), lambda _error, _head: None)

    # --- the loop --------------------------------------------------------------------------------------

    def _look_in(self, delay_s: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self.world.after(delay_s, _Look())

    def _look(self) -> None:
        if not self.leads or (self._round is not None and not self._round.over):
            return
        self._round = Round(self, self._kept)

    # --- for a round -----------------------------------------------------------------------------------

    def ended(self, again_s: float) -> None:
        """A round is over; the next one comes `again_s` later."""
        if self.leads:
            self._look_in(again_s)
