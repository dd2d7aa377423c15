"""The host actor: it alone touches this node's VMs. It monitors, admits newcomers, carries out actions.

It is where concurrent wishes meet: a VM has at most one action in flight, and a destination admits a VM only
if capacity and the rules of all VMs concerned hold with everything already promised. What runs here is what
the hypervisor says; nothing about VMs is kept elsewhere, so a restarted agent finds them again.
"""

from __future__ import annotations

from lucos.actors import Actor, Calls, Message, World, address
from lucos.actors.ports import (
    HYPERVISOR,
    DomainChanged,
    Perform,
    Performed,
    Sample,
    Sampled,
    SetSpec,
    SetWorkload,
    Subscribe,
)
from lucos.model import (
    Boot,
    BootNode,
    Migrate,
    Node,
    Resources,
    Resume,
    ShutdownNode,
    Suspend,
    VmSpec,
    VmState,
)
from lucos.resources.demand import expected_cpu_pct
from lucos.resources.flights import Flight, Flights
from lucos.resources.host_settings import HostSettings
from lucos.resources.inventory import Inventory, Reservation
from lucos.resources.messages import (
    HOST,
    SCHEDULER,
    Execute,
    Executed,
    Granted,
    InFlight,
    Redescribe,
    Reserve,
    Reserved,
    SetDraining,
    SetLoad,
    Snapshot,
    TakeSnapshot,
    Unreserve,
    VmView,
)
from lucos.resources.monitor import Monitor

# Time for the parts of an action that are not the action: admission, libvirt's own calls, an abort.
MARGIN_S = 30.0
# How long room is kept for a VM whose arrival the hypervisor has not begun to see.
RESERVATION_S = 20.0


class _Tick(Message, frozen=True):
    pass


class Host(Actor):
    def __init__(self, world: World, settings: HostSettings) -> None:
        super().__init__(world)
        self._settings = settings
        self._calls = Calls(world)
        self._flights = Flights()
        self._told: dict[str, int] | None = None
        self._granted = ""
        self._inventory = Inventory(Node(world.node, settings.capacity, settings.site))
        self._monitor = Monitor(world, self._inventory, settings.monitor)
        self._waiting = 0
        self._ticking = True
        world.send(HYPERVISOR, Subscribe())
        world.after(0.0, _Tick())

    def receive(self, message: Message, sender: str) -> None:
        if self._calls.settle(message):
            return
        match message:
            case Sampled(call_id=call_id) if call_id == self._waiting:
                self._noticed(message)
            case _Tick() if self._settings.notices:
                self._ticking = False
                self._inventory.expire(self.world.now_s())
                self._look()
                self._tell_flights()
                self._wait()
            case _Tick():
                self.world.after(self._settings.period_s, _Tick())
                self._calls.ask(HYPERVISOR, Sample, 10.0, self._sampled)
            case TakeSnapshot(call_id=call_id):
                self.world.send(sender, self._snapshot(call_id))
            case Execute():
                self._execute(message, sender)
            case Reserve():
                self._reserve(message, sender)
            case Unreserve(vm=vm):
                if self._inventory.reservations.pop(vm, None):
                    self._tell_flights()
            case SetDraining():
                self._set_draining(message, sender)
            case SetLoad():
                self._set_load(message, sender)
            case Redescribe():
                self._redescribe(message, sender)
            case Granted(partition=partition):
                self._granted = partition
            case DomainChanged():
                self._domain_changed(message)

    @property
    def violation(self) -> str:
        """What is wrong with the node now, "" when nothing."""
        return self._monitor.violation

    # --- what is here ------------------------------------------------------------------------------

    def _snapshot(self, call_id: int) -> Snapshot:
        now_s = self.world.now_s()
        views = []
        for sample in self._inventory.samples():
            if not sample.incoming:
                _, used = self._inventory.demands.of(sample.spec.id, now_s)
                flight = self._flights.get(sample.spec.id)
                views.append(
                    VmView(
                        self._inventory.instance(sample, now_s),
                        used,
                        sample.workload or sample.spec.workload,
                        flight.destination if flight else "",
                        self._monitor.is_parked(sample.spec.id),
                    )
                )
        return Snapshot(
            call_id,
            self._inventory.node,
            tuple(views),
            self._inventory.reserved(),
            sum(self._flights.counts(self._inventory).values()),
            self._monitor.violation,
            self._granted,
            tuple(sorted(self._inventory.reservations)),
        )

    # --- monitoring ----------------------------------------------------------------------------------

    def _sampled(self, answer: Sampled | None) -> None:
        if answer is None or answer.error:
            why = "the hypervisor did not answer in time" if answer is None else answer.error
            self.world.emit("hypervisor.silent", self.world.node, why)
            return
        self._inventory.update(answer, self.world.now_s())
        self._look()
        self._tell_flights()

    def _wait(self) -> None:
        """Let the port notice what changes; look each period while time alone can change something."""
        if not self._waiting:
            self._waiting = self._calls.number()
            self.world.send(HYPERVISOR, Sample(self._waiting, self._settings.period_s))
        if not self._ticking and not (self._monitor.calm and not self._inventory.reservations):
            self._ticking = True
            self.world.after(self._settings.period_s, _Tick())

    def _noticed(self, reading: Sampled) -> None:
        self._sampled(reading)
        self._wait()

    def _look(self) -> None:
        self._monitor.look(self._flights, bool(self._granted))

    def _domain_changed(self, message: DomainChanged) -> None:
        vm = message.vm
        match message.change:
            case "arrived":
                self._inventory.arrived(vm, message.spec, self.world.now_s())
            case "left" | "stopped" | "crashed":
                self._inventory.gone(vm, self.world.now_s())
                self._monitor.park(vm, False)
            case "migration-failed":
                self._inventory.never_came(vm, self.world.now_s())
        if message.change == "crashed":
            self.world.emit("vm.crashed", vm, message.detail or "its hypervisor process died")
        elif message.change == "migration-failed" and self._inventory.get(vm) and vm not in self._flights:
            self.world.emit("migration.failed", vm, message.detail)
        elif message.change.startswith("connection"):
            self.world.emit(f"hypervisor.{message.change}", self.world.node, message.detail)
        self._tell_flights()

    # --- actions in flight ---------------------------------------------------------------------------

    def _tell_flights(self) -> None:
        counts = self._flights.counts(self._inventory)
        if counts != self._told:
            self._told = counts
            self.world.send(SCHEDULER, InFlight(counts))

    def _execute(self, order: Execute, sender: str) -> None:
        vm = order.action.vm
        refusal = self._objection(order)
        if refusal:
            self.world.send(sender, Executed(order.call_id, False, refusal, "Refused"))
            return
        destination = order.action.destination if isinstance(order.action, Migrate) else ""
        what = type(order.action).__name__.lower()
        self._flights[vm] = Flight(what, order.partition, destination)
        self._tell_flights()
        if isinstance(order.action, Migrate):
            self._migrate(order, order.action, sender)
        else:
            waking = isinstance(order.action, BootNode)
            timeout_s = self._settings.wake_timeout_s if waking else self._settings.action_timeout_s
            self._perform(order, sender, timeout_s)

    def _objection(self, order: Execute) -> str:
        """Why the action cannot start now; empty when it can."""
        vm = order.action.vm
        flight = self._flights.get(vm)
        if flight is not None:
            return f"{vm} is busy: {flight.what} is under way"
        if self._outside(order.partition):
            return f"{self.world.node} is no longer in partition {order.partition}"
        if isinstance(order.action, BootNode | ShutdownNode):
            return self._switching_objection(order.action)
        sample = self._inventory.get(vm)
        if isinstance(order.action, Boot):
            if sample is not None or vm in self._inventory.reservations:
                return f"{vm} is already on {self.world.node}"
            if order.spec is None:
                return f"{vm} cannot boot without its description"
            expected = Resources(expected_cpu_pct(order.spec.workload), order.spec.memory_mib)
            return self._no_room(order.spec, expected)
        if sample is None or sample.incoming:
            return f"{vm} is not on {self.world.node}"
        if isinstance(order.action, Migrate) and order.action.destination == self.world.node:
            return f"{vm} is on {self.world.node} already"
        if isinstance(order.action, Resume):
            return self._no_room(sample.spec, self._inventory.instance(sample, self.world.now_s()).demand)
        return ""

    def _switching_objection(self, action: BootNode | ShutdownNode) -> str:
        here, wanted = self.world.node, isinstance(action, BootNode)
        if self._inventory.node.online is wanted:
            return f"{here} is {'awake' if wanted else 'in standby'} already"
        if not wanted and (self._inventory.samples() or self._inventory.reservations):
            return f"{here} holds VMs, or expects some"
        return ""

    def _outside(self, partition: str) -> bool:
        return partition not in ("", self._granted)

    def _no_room(self, spec: VmSpec, demand: Resources) -> str:
        return self._inventory.no_room(spec, demand, self.world.now_s())

    def _migrate(self, order: Execute, action: Migrate, sender: str) -> None:
        sample = self._inventory.get(action.vm)
        assert sample is not None  # _objection looked
        demand = self._inventory.instance(sample, self.world.now_s()).demand

        def reserved(answer: Reserved | None) -> None:
            if answer is None:
                refusal = f"{action.destination} does not answer"
            elif not answer.ok:
                refusal = answer.error
            else:
                text = f"{action.source} -> {action.destination}: {order.cause}"
                self.world.emit(
                    "migration.start",
                    action.vm,
                    text,
                    source=action.source,
                    destination=action.destination,
                    reason=order.cause,
                    partition=order.partition,
                )
                timeout_s = self._settings.migration_timeout_s
                self._perform(order, sender, timeout_s, answer.migration_address)
                return
            self._finish(order, sender, Performed(order.call_id, False, refusal, "Refused"))

        self._calls.ask(
            address(action.destination, HOST),
            lambda call_id: Reserve(
                call_id, sample.spec, demand, self.world.node, order.partition, RESERVATION_S
            ),
            self._settings.reserve_timeout_s,
            reserved,
        )

    def _perform(self, order: Execute, sender: str, timeout_s: float, destination_address: str = "") -> None:
        if isinstance(order.action, Boot) and order.spec is not None:
            self._inventory.demands.booted(order.spec, self.world.now_s())
        self._calls.ask(
            HYPERVISOR,
            lambda call_id: Perform(
                call_id,
                order.action,
                order.spec,
                destination_address,
                self._settings.bandwidth_mibps,
                self._settings.migration_timeout_s
                if isinstance(order.action, Migrate)
                else self._settings.action_timeout_s,
                order.force,
            ),
            timeout_s + MARGIN_S,
            lambda answer: self._finish(order, sender, answer),
        )

    def _finish(self, order: Execute, sender: str, answer: Performed | None) -> None:
        vm, action = order.action.vm, order.action
        self._flights.pop(vm, None)
        if answer is None:
            answer = Performed(
                order.call_id, False, "the hypervisor gave no answer in time", "OperationFailed"
            )
        what = type(action).__name__.lower()
        if isinstance(action, Migrate):
            if answer.ok:
                self._inventory.gone(vm, self.world.now_s())
                text = f"on {action.destination} after {answer.duration_s:.1f} s"
                text += f", frozen for {answer.downtime_ms:.0f} ms"
            else:
                self.world.send(address(action.destination, HOST), Unreserve(vm))
                text = f"{action.source} -> {action.destination}: {answer.error}"
            self.world.emit(
                "migration.end" if answer.ok else "migration.failed",
                vm,
                text,
                source=action.source,
                destination=action.destination,
                reason=order.cause,
                duration_s=answer.duration_s,
                downtime_ms=answer.downtime_ms,
                partition=order.partition,
            )
        else:
            if answer.ok and what in ("kill", "shutdown"):
                self._inventory.gone(vm, self.world.now_s())
            elif answer.ok and isinstance(action, Suspend | Resume):
                asleep = isinstance(action, Suspend)
                self._inventory.turned(
                    vm, VmState.SLEEPING if asleep else VmState.RUNNING, self.world.now_s()
                )
                # Only plans suspend: people pause, or stop.
                self._monitor.park(vm, asleep and not order.rest)
            elif answer.ok and isinstance(action, Boot) and order.spec is not None:
                self._inventory.booted(order.spec, self.world.now_s())
            elif answer.ok and isinstance(action, BootNode | ShutdownNode):
                self._monitor.switch(isinstance(action, BootNode))
                self.world.emit(
                    "node.awake" if isinstance(action, BootNode) else "node.standby",
                    self.world.node,
                    order.cause,
                )
            text = f"{order.cause}{'' if answer.ok else ': ' + answer.error}"
            if vm:
                self.world.emit(f"vm.{what}" if answer.ok else f"vm.{what}-failed", vm, text)
        self.world.send(
            sender,
            Executed(
                order.call_id,
                answer.ok,
                answer.error,
                answer.kind,
                answer.duration_s,
                answer.downtime_ms,
            ),
        )
        self._tell_flights()

    # --- requests of others ----------------------------------------------------------------------------

    def _reserve(self, request: Reserve, sender: str) -> None:
        vm = request.spec.id
        if self._outside(request.partition):
            error = f"{self.world.node} is no longer in partition {request.partition}"
        elif vm in self._inventory.reservations or self._inventory.get(vm) is not None:
            error = f"{vm} is already on its way to or on {self.world.node}"
        else:
            error = self._no_room(request.spec, request.demand)
        if not error:
            self._inventory.reservations[vm] = Reservation(
                request.spec,
                request.demand,
                request.partition,
                self.world.now_s() + request.lease_s,
            )
            self._tell_flights()
        answer = Reserved(request.call_id, not error, error, self._settings.migration_address)
        self.world.send(sender, answer)

    def _set_draining(self, order: SetDraining, sender: str) -> None:
        if order.draining != self._inventory.node.draining:
            self._monitor.drain(order.draining)
            kind = "node.draining" if order.draining else "node.undrained"
            text = "all its VMs shall leave" if order.draining else "takes VMs again"
            self.world.emit(kind, self.world.node, text)
        self.world.send(sender, Executed(order.call_id, True))
        self._look()

    def _redescribe(self, order: Redescribe, sender: str) -> None:
        def done(answer: Performed | None) -> None:
            if answer is None:
                answer = Performed(order.call_id, False, "the hypervisor did not answer", "OperationFailed")
            elif answer.ok:
                self._inventory.redescribed(order.spec)
            self.world.send(sender, Executed(order.call_id, answer.ok, answer.error, answer.kind))

        self._calls.ask(HYPERVISOR, lambda call_id: SetSpec(call_id, order.spec), 10.0, done)

    def _set_load(self, order: SetLoad, sender: str) -> None:
        if self._inventory.get(order.vm) is None:
            error = f"{order.vm} is not on {self.world.node}"
            self.world.send(sender, Executed(order.call_id, False, error, "UnknownObject"))
            return

        def done(answer: Performed | None) -> None:
            if answer is None:
                answer = Performed(order.call_id, False, "the guest did not answer", "OperationFailed")
            elif answer.ok:
                # The warm-up assumption was about the former workload.
                self._inventory.demands.assume(order.vm, 0.0, 0.0)
                self.world.emit("vm.workload", order.vm, f"workload {order.workload}")
            self.world.send(sender, Executed(order.call_id, answer.ok, answer.error, answer.kind))

        self._calls.ask(
            HYPERVISOR, lambda call_id: SetWorkload(call_id, order.vm, order.workload), 20.0, done
        )
