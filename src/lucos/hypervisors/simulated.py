"""The adapter by which a simulated agent reaches its own hypervisor in the simulated fleet."""

from __future__ import annotations

from collections.abc import Callable
from math import ceil

import msgspec

from lucos.actors import Actor, Message, World
from lucos.actors.ports import (
    AbortMigration,
    DomainChanged,
    Perform,
    Performed,
    Sample,
    Sampled,
    SetSpec,
    SetWorkload,
    Subscribe,
)
from lucos.errors import LucError
from lucos.hypervisors.simulated_fleet import SimulatedFleet

__all__ = ["SimulatedFleet", "SimulatedHypervisor", "SimulatedSampleDue"]


class SimulatedSampleDue(Message, frozen=True):
    """To oneself: it is time to tell `sender`, if its `Sample` of that `call_id` is still its last."""

    sender: str
    call_id: int


class _Waiting(msgspec.Struct):
    """Who asked for readings whenever something differs, and when it had the last; `due` when it does."""

    call_id: int
    since_s: float
    period_s: float
    due: bool = False


class _Told(msgspec.Struct):
    """The version of the last reading that somebody had, and the VMs known by it (a dict, for its order)."""

    version: int
    vms: dict[str, None]


class SimulatedHypervisor(Actor):
    """The Hypervisor port (`actors.ports`) of one simulated node."""

    def __init__(self, world: World, fleet: SimulatedFleet) -> None:
        super().__init__(world)
        self._fleet = fleet
        self._subscribers: list[str] = []
        self._waiting: dict[str, _Waiting] = {}
        # What each sender had last: the version of that reading, and the VMs known from it.
        self._told: dict[str, _Told] = {}
        self._host = fleet.attach(world.node, self._changed)

    def _changed(self, change: DomainChanged) -> None:
        for subscriber in self._subscribers:
            self.world.send(subscriber, change)

    def receive(self, message: Message, sender: str) -> None:
        match message:
            case Sample():
                self._sample(message, sender)
            case SimulatedSampleDue(sender=asker, call_id=call_id):
                waiting = self._waiting.get(asker)
                if waiting is not None and waiting.call_id == call_id:
                    waiting.due, waiting.since_s = False, self.world.now_s()
                    self._tell_changes(asker, call_id)
                    self._host.watcher = self._look
            case Perform():
                self._fleet.perform(self.world.node, message, lambda done: self.world.send(sender, done))
            case AbortMigration(vm=vm):
                self._fleet.abort_migration(self.world.node, vm)
            case SetWorkload(call_id=call_id, vm=vm, workload=workload):
                self._attempt(
                    call_id, sender, lambda: self._fleet.set_workload(self.world.node, vm, workload)
                )
            case SetSpec(call_id=call_id, spec=spec):
                self._attempt(call_id, sender, lambda: self._fleet.set_spec(self.world.node, spec))
            case Subscribe():
                # Who subscribes (again) has just begun: it knows nothing yet.
                self._told.pop(sender, None)
                self._waiting.pop(sender, None)
                if sender not in self._subscribers:
                    self._subscribers.append(sender)

    def _attempt(self, call_id: int, sender: str, call: Callable[[], None]) -> None:
        try:
            call()
        except LucError as error:
            self.world.send(sender, Performed(call_id, False, error.message, error.kind))
        else:
            self.world.send(sender, Performed(call_id, True))

    # --- Readings -------------------------------------------------------------------------------------

    def _tell(self, asker: str, request: Sample) -> None:
        """All VMs; what they want only to who waits for changes: others measure it, as on real hosts."""
        call_id, vms = request.call_id, self._fleet.sample(self.world.node)
        if not request.period_s:
            vms = tuple(msgspec.structs.replace(vm, wanted_pct=-1.0) for vm in vms)
        self._told[asker] = _Told(self._host.version, {vm.spec.id: None for vm in vms})
        self.world.send(asker, Sampled(call_id, self.world.now_s(), vms))

    def _tell_changes(self, asker: str, call_id: int) -> None:
        """The VMs that are not as they were at the last reading."""
        told, present = self._told[asker], self._host.domains
        vms = self._fleet.sample(self.world.node, told.version)
        gone = tuple(vm for vm in told.vms if vm not in present)
        told.version = self._host.version
        for vm in gone:
            del told.vms[vm]
        told.vms.update((vm.spec.id, None) for vm in vms)
        answer = Sampled(call_id, self.world.now_s(), vms, partial=True, gone=gone)
        self.world.send(asker, answer)

    def _sample(self, request: Sample, sender: str) -> None:
        if request.period_s <= 0.0 or sender not in self._told:
            self._tell(sender, request)
        if request.period_s > 0.0:
            self._waiting[sender] = _Waiting(request.call_id, self.world.now_s(), request.period_s)
            self._look()

    def _look(self) -> None:
        """Answer at their next period those for whom something differs; be called when it does for others."""
        for asker, waiting in self._waiting.items():
            if waiting.due or self._told[asker].version == self._host.version:
                continue
            waiting.due = True
            waited = (self.world.now_s() - waiting.since_s) / waiting.period_s
            periods = max(ceil(waited - 1e-9), 1)
            delay_s = (periods - waited) * waiting.period_s
            self.world.after(delay_s, SimulatedSampleDue(asker, waiting.call_id))
        if not all(waiting.due for waiting in self._waiting.values()):
            self._host.watcher = self._look
