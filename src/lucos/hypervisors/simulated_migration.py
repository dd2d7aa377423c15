"""Live migrations of the simulated fleet, by events: ends of rounds, changes of bandwidth, cuts, failures.

A change of bandwidth in the middle of a round is accounted for exactly; between two events nothing happens.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum, auto

from lucos.actors.ports import Perform
from lucos.actors.simulated.runtime import Scheduled
from lucos.errors import LucError, OperationFailed, Unreachable
from lucos.hypervisors.flows import Flow, Flows, Link
from lucos.hypervisors.precopy_rounds import PreCopy
from lucos.hypervisors.simulated_guests import Guests
from lucos.hypervisors.simulated_host import Domain, FleetSettings, Host
from lucos.model import Migrate, VmState, after_vm_event

# Called once at the end of an action: why it failed (None: done), downtime in milliseconds.
Finish = Callable[[LucError | None, float], None]


class _Stage(Enum):
    COPY = auto()  # rounds, the VM runs at its source
    STOP = auto()  # the rest is sent, the VM is stopped
    SWITCH = auto()  # it is being resumed
    FETCH = auto()  # post-copy: it runs at its destination, its memory follows


class _Migration(Flow):
    """A live migration under way, which is the flow of the VM's memory."""

    __slots__ = (
        "arriving",
        "connected",
        "copy",
        "cpu_time_s",
        "deadline",
        "downtime_s",
        "finish",
        "leaving",
        "pace_mibps",
        "request",
        "settled_s",
        "silence",
        "stage",
        "stopped_at_s",
        "timer",
    )

    def __init__(
        self, arriving: Domain, leaving: Domain, links: list[Link], request: Perform, finish: Finish
    ) -> None:
        super().__init__(links, request.bandwidth_mibps)
        self.arriving = arriving
        self.leaving = leaving
        self.request = request
        self.finish = finish
        self.copy: PreCopy
        self.stage = _Stage.COPY
        self.connected = False
        self.pace_mibps = 0.0
        self.settled_s = 0.0
        self.cpu_time_s = leaving.cpu_time_s
        self.stopped_at_s = 0.0
        self.downtime_s = 0.0
        self.timer: Scheduled | None = None
        self.silence: Scheduled | None = None
        self.deadline: Scheduled | None = None

    @property
    def source(self) -> Host:
        return self.leaving.host

    @property
    def destination(self) -> Host:
        return self.arriving.host


class Migrations:
    """The migrations under way. `sent_mib` is all the memory that was sent since the beginning."""

    def __init__(self, guests: Guests, settings: FleetSettings) -> None:
        self.sent_mib = 0.0
        self._guests = guests
        self._simulation = guests.simulation
        self._settings = settings
        self._flows = Flows()
        self._sharing = False
        self._backbones: dict[str, tuple[Link, Link]] = {}
        self._under_way: dict[Domain, _Migration] = {}
        self._simulation.network.listeners.append(self.look)

    def ends(self) -> list[tuple[str, str, str]]:
        """The moves under way: (vm, source, destination)."""
        return [(m.leaving.spec.id, m.source.name, m.destination.name) for m in self._under_way.values()]

    def set_backbone(self, site: str, mibps: float) -> None:
        """What the site's connection to all others carries each way; 0: it does not limit what begins now."""
        if not mibps:
            self._backbones.pop(site, None)
        elif site in self._backbones:
            for link in self._backbones[site]:
                self._flows.resize(link, mibps)
            self._touch()
        else:
            self._backbones[site] = Link(mibps), Link(mibps)

    # --- Beginning and end ----------------------------------------------------------------------------

    def start(self, host: Host, request: Perform, action: Migrate, finish: Finish) -> None:
        """Begin; raises a `LucError` when it cannot."""
        leaving, vm = host.idle_domain(action.vm), action.vm
        after_vm_event(leaving.state, "migrate")
        where = request.destination_address or action.destination
        destination = self._guests.hosts.get(where)
        if destination is None or not self._reach(host, destination):
            raise Unreachable(f"{where} does not answer {host.name}", hint="luc node ls shows who is alive")
        arriving = Domain(destination, leaving.spec, leaving.workload)
        arriving.incoming = True
        self._guests.admit(arriving)
        leaving.settle(self._simulation.now_s)
        m = _Migration(arriving, leaving, self._way(host, destination), request, finish)
        m.settled_s, m.connected = self._simulation.now_s, True
        m.copy = PreCopy(leaving.used_mib, self._settings.dirty_share_max * leaving.spec.memory_mib)
        self._under_way[leaving] = m
        leaving.busy = "migrate"
        leaving.gone = lambda: self._fail(m, f"{vm} died at its source")
        arriving.gone = lambda: self._missed(m)
        host.changed(leaving)
        destination.notify(arriving, "incoming", host.name)
        m.deadline = self._simulation.schedule(request.timeout_s, lambda: self._late(m))
        if self._settings.post_copy:
            self._stop(m)
            self._begin_switch(m)
        else:
            self._send(m)

    def _way(self, source: Host, destination: Host) -> list[Link]:
        links = [source.sending, destination.receiving]
        if source.site != destination.site:
            ends = ((source.site, 0), (destination.site, 1))
            links += [self._backbones[site][way] for site, way in ends if site in self._backbones]
        return links

    def abort(self, host: Host, vm: str) -> None:
        """End the migration of `vm` away from `host`, unless it is past that."""
        m = self._under_way.get(host.domains[vm]) if vm in host.domains else None
        if m is not None and m.stage is _Stage.COPY:
            self._fail(m, "aborted")

    def _late(self, m: _Migration) -> None:
        if m.stage is _Stage.COPY:
            self._fail(m, f"not done within {m.request.timeout_s:g} s: dirtied too fast or cut off")

    def _end(self, m: _Migration) -> None:
        self.settle(m.leaving)
        del self._under_way[m.leaving]
        m.leaving.gone = m.arriving.gone = None
        self._halt(m)
        for timer in (m.deadline, m.silence):
            if timer is not None:
                timer.cancel()

    def _fail(self, m: _Migration, reason: str) -> None:
        """The VM stays at its source, or runs again there, if the source still has it; see `_lose`."""
        vm, guests = m.leaving.spec.id, self._guests
        self._end(m)
        if m.stage is _Stage.FETCH:
            self._lose(m, reason)
        elif m.destination.domains.get(vm) is m.arriving:
            guests.remove(m.arriving, "migration-failed", reason)
        if m.source.domains.get(vm) is m.leaving:
            m.leaving.busy = ""
            if m.stage is not _Stage.COPY:
                guests.enter(m.leaving, VmState.RUNNING)
            m.source.notify(m.leaving, "migration-failed", reason)
        m.finish(OperationFailed(f"migration of {vm} to {m.destination.name}: {reason}"), 0.0)

    def _lose(self, m: _Migration, reason: str) -> None:
        """Half of the VM's memory is on either end: without one of them it is no more."""
        vm = m.leaving.spec.id
        there = m.destination.domains.get(vm) is m.arriving
        if there:
            self._guests.remove(m.arriving, "crashed", reason)
        if m.source.domains.get(vm) is m.leaving:
            self._guests.remove(m.leaving, "left" if there else "crashed", reason)

    def _missed(self, m: _Migration) -> None:
        """The destination has lost the VM: by its own crash, which the source notices late, or otherwise."""
        if m.destination.up or m.stage is _Stage.FETCH:
            self._fail(m, f"{m.destination.name} lost it")
        else:
            self._check(m)

    # --- Cuts -----------------------------------------------------------------------------------------

    def look(self) -> None:
        """Hosts have crashed or returned, or the network was cut or healed."""
        for m in list(self._under_way.values()):
            if m.leaving in self._under_way:
                self._check(m)

    def _reach(self, a: Host, b: Host) -> bool:
        network = self._simulation.network
        return a.up and b.up and not (network.is_cut(a.name, b.name) or network.is_cut(b.name, a.name))

    def _check(self, m: _Migration) -> None:
        connected = self._reach(m.source, m.destination)
        if connected == m.connected:
            return
        m.connected = connected
        if not connected:
            self.settle(m.leaving)
            self._halt(m)
            why = f"{m.destination.name} does not answer"
            m.silence = self._simulation.schedule(self._settings.keepalive_s, lambda: self._fail(m, why))
            return
        if m.silence is not None:
            m.silence.cancel()
        if m.destination.domains.get(m.leaving.spec.id) is not m.arriving:
            self._fail(m, f"{m.destination.name} lost it")
        elif m.stage is _Stage.SWITCH:
            self._begin_switch(m)
        else:
            self._send(m)

    # --- Copying --------------------------------------------------------------------------------------

    def settle(self, leaving: Domain) -> None:
        """Account for what was sent and dirtied since the last change, if the VM is leaving its host."""
        m = self._under_way.get(leaving)
        if m is None:
            return
        now_s = self._simulation.now_s
        elapsed_s, m.settled_s = now_s - m.settled_s, now_s
        sent_mib, dirtied_mib = m.pace_mibps * elapsed_s, 0.0
        if leaving.state is VmState.RUNNING:
            leaving.settle(now_s)
            used_s = leaving.cpu_time_s - m.cpu_time_s
            m.cpu_time_s = leaving.cpu_time_s
            dirtied_mib = leaving.dirty_mibps * elapsed_s + leaving.dirty_intensity * used_s * m.pace_mibps
        m.copy.advance(sent_mib, dirtied_mib)
        self.sent_mib += sent_mib

    def _send(self, m: _Migration) -> None:
        self._flows.start(m)
        self._touch()

    def _halt(self, m: _Migration) -> None:
        """Send no more; what is due at the end of the sending is off."""
        self._flows.stop(m)
        self._touch()
        m.pace_mibps = 0.0
        if m.timer is not None:
            m.timer.cancel()

    def _touch(self) -> None:
        # Once for all that changes at this instant.
        if self._flows.unsettled and not self._sharing:
            self._sharing = True
            self._simulation.schedule(0.0, self._share)

    def _share(self) -> None:
        self._sharing = False
        for flow in self._flows.share():
            assert isinstance(flow, _Migration)
            self.settle(flow.leaving)
            self._pace(flow)

    def _pace(self, m: _Migration) -> None:
        """Say when this round ends with the bandwidth of now."""
        m.pace_mibps = m.rate_mibps
        if m.timer is not None:
            m.timer.cancel()
        m.timer = self._simulation.schedule(m.copy.remaining_mib / m.pace_mibps, lambda: self._sent(m))

    def _sent(self, m: _Migration) -> None:
        """All of the round is at the destination."""
        self.settle(m.leaving)
        if m.stage is _Stage.FETCH:
            self._fetched(m)
            return
        m.copy.next_round()
        if m.stage is _Stage.STOP:
            self._halt(m)
            self._begin_switch(m)
        elif m.copy.remaining_mib <= m.pace_mibps * self._settings.downtime_max_s:
            self._stop(m)
            self._pace(m)
        elif m.copy.rounds >= self._settings.rounds_max:
            self._fail(m, f"not done after {m.copy.rounds} rounds: dirtied too fast")
        else:
            self._pace(m)

    # --- The switch -----------------------------------------------------------------------------------

    def _stop(self, m: _Migration) -> None:
        m.stage, m.stopped_at_s = _Stage.STOP, self._simulation.now_s
        self._guests.enter(m.leaving, VmState.PAUSED)

    def _begin_switch(self, m: _Migration) -> None:
        m.stage = _Stage.SWITCH
        m.timer = self._simulation.schedule(self._settings.switch_s, lambda: self._switch(m))

    def _switch(self, m: _Migration) -> None:
        """The VM runs at its destination."""
        leaving, arriving = m.leaving, m.arriving
        m.downtime_s = self._simulation.now_s - m.stopped_at_s
        leaving.hand_over(arriving)
        arriving.incoming = False
        if self._settings.post_copy:
            m.stage, leaving.busy, arriving.busy = _Stage.FETCH, "post-copy", "post-copy"
            leaving.host.changed(leaving)
        else:
            self._leave(m)
        self._guests.enter(arriving, VmState.RUNNING)
        arriving.host.notify(arriving, "arrived", leaving.host.name)
        if m.stage is _Stage.FETCH:
            self._send(m)
        else:
            m.finish(None, 1000.0 * m.downtime_s)

    def _fetched(self, m: _Migration) -> None:
        m.arriving.busy = ""
        m.arriving.host.changed(m.arriving)
        self._leave(m)
        m.finish(None, 1000.0 * m.downtime_s)

    def _leave(self, m: _Migration) -> None:
        self._end(m)
        self._guests.remove(m.leaving, "left", m.destination.name)
