"""DVMS: hypervisors that schedule among themselves. Here is one node's part: its grant, and who holds it.

A node in violation starts an ISP that visits nodes outwards until the partition it gathers can resolve the
violation. Laws (checked by the simulator after each event):
 1. a node grants itself to one partition at a time; the grant is a lease the leader renews, and does not end
    while a move it covers is in flight;
 2. a VM is moved by one leader at a time;
 3. every partition ends;
 4. no VM is lost or runs twice;
 5. once faults stop and a solution exists, violations end.
Source: Quesnel, Lebre, Südholt, CCPE 2012, and the seeds; leases, versions and merging by order are ours.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable

from lucos.actors import Actor, Calls, Message, World, address, node_of
from lucos.actors.ports import SOLVER, Warm
from lucos.model import Detail, ShutdownNode
from lucos.overlay.messages import MEMBERSHIP, Attend, MembersChanged, Watch
from lucos.resources.dvms.grant import Grant, Phase
from lucos.resources.dvms.leader import Deadline, Leading
from lucos.resources.dvms.messages import (
    Apply,
    Applying,
    Blocked,
    Busy,
    Dissolve,
    Freed,
    HandOver,
    Holder,
    Isp,
    Joined,
    NotMember,
    Purpose,
    Renew,
    Renewal,
    StandBy,
    State,
    Visit,
)
from lucos.resources.dvms.neighbours import Neighbours
from lucos.resources.dvms.settings import DvmsSettings
from lucos.resources.messages import (
    HOST,
    SCHEDULER,
    Execute,
    Granted,
    InFlight,
    Relief,
    Rising,
    Snapshot,
    TakeSnapshot,
    Underload,
    Violation,
)

ENDED = 2**60
REMEMBERED_MAX = 512
WAITERS_MAX = 64


class Dvms(Actor):
    def __init__(self, world: World, settings: DvmsSettings | None = None) -> None:
        super().__init__(world)
        self.settings = settings or DvmsSettings()
        self.calls = Calls(world)
        self.grant: Grant | None = None
        self.leading: Leading | None = None
        self._sequence = int(world.load() or 0)
        self.neighbours = Neighbours(world.node, self.settings.variant)
        self._renewing = False
        self._violated = False
        self._attended: tuple[str, ...] = ()
        self._in_flight: dict[str, int] | None = None
        self._not_before_s = 0.0
        self._settled_s = 0.0
        self._failures = 0
        self._seen: OrderedDict[Isp, int] = OrderedDict()
        self._waiters: dict[str, None] = {}
        world.send(MEMBERSHIP, Watch())

    def receive(self, message: Message, sender: str) -> None:
        if self.calls.settle(message):
            return
        match message:
            case Violation():
                self._violated = True
                self._violation(message)
            case Relief():
                self._violated = False
                self._failures = 0
            case Underload() if self.settings.consolidate:
                self._underload(message)
            case Rising():
                self._warm_ahead(2)
            case InFlight(counts=counts):
                self._in_flight = counts
                self._expire()
                self._notify_waiters()
            case MembersChanged():
                self._members_changed(message)
            case Renewal():
                self._renewing = False
                self._expire()
                if self.leading is not None:
                    self.leading.renew()
                self._renew_later()
            case StandBy():
                self._stand_by()
            case Visit():
                self._visit(message, node_of(sender))
            case Joined():
                self._joined(message)
            case Renew():
                self._renewed(message, sender)
            case Apply():
                self._apply(message, node_of(sender))
            case Dissolve():
                self._dissolved(message)
            case Blocked():
                self._blocked(message)
            case Freed() if self.leading is None and self.grant is not None and self.grant.leader:
                self.world.send(address(self.grant.leader, SCHEDULER), message)
            case _:
                self._to_leader(message, node_of(sender))

    def _to_leader(self, message: Message, sender: str) -> None:
        leading = self.leading
        if leading is None:
            return
        match message:
            case Deadline(isp=isp) if isp == leading.isp:
                leading.on_deadline(message)
            case Busy(isp=isp) if isp == leading.isp:
                leading.on_busy(message)
            case Freed():
                leading.on_freed(message)
            case State(isp=isp) if isp == leading.isp:
                leading.on_state(sender, message)
            case Applying(isp=isp) if isp == leading.isp:
                leading.on_applying(sender, message)
            case NotMember(isp=isp) if isp == leading.isp:
                leading.on_members_gone({sender})
            case HandOver(to=to) if to == leading.isp:
                leading.on_handover(message)

    # --- for the leader's part --------------------------------------------------------------------------

    def attend(self, members: tuple[str, ...]) -> None:
        """Have the overlay watch the members of the partition led here, as far as it does not anyway."""
        unseen = tuple(m for m in members if m not in self.neighbours.alive)
        if unseen != self._attended:
            self._attended = unseen
            self.world.send(MEMBERSHIP, Attend(unseen))

    def report(self, kind: str, isp: Isp, text: str, **data: Detail) -> None:
        self.world.emit(kind, str(isp), text, **data)

    def ask_snapshot(self, then: Callable[[Snapshot], None]) -> None:
        timeout_s = self.settings.state_timeout_s
        self.calls.ask(HOST, TakeSnapshot, timeout_s, lambda answer: then(answer) if answer else None)

    def regrant(self, leading: Leading) -> None:
        """The leader's own grant follows its version and members."""
        now_s = self.world.now_s()
        since_s = self.grant.since_s if self.grant and self.grant.isp == leading.isp else now_s
        self._set_grant(
            Grant(
                leading.isp,
                leading.version,
                self.world.node,
                leading.members,
                Phase.GROWING,
                now_s + self.settings.lease_s,
                since_s,
            )
        )

    def enter_applying(self) -> None:
        assert self.grant is not None
        self.grant.phase = Phase.APPLYING
        self.world.send(HOST, Granted(str(self.grant.isp)))

    def ended(self, leading: Leading, solved: bool, outcome: str) -> None:
        """The partition this node led is over."""
        kind = "partition.dissolved" if solved else "partition.failed"
        self.report(kind, leading.isp, outcome, members=list(leading.members), reason=leading.reason)
        self._dissolved(Dissolve(leading.isp, leading.version, solved, outcome))

    # --- this node's own violation ------------------------------------------------------------------------

    def _free(self) -> bool:
        return self.grant is None and self._in_flight is not None and not self._in_flight

    def _warm_ahead(self, count: int) -> None:
        """Who is visited next leads and solves, and its solver takes a moment to start."""
        neighbours = self.neighbours
        for node in neighbours.outwards(neighbours.widened(neighbours.spiral()))[:count]:
            self.world.send(address(node, SOLVER), Warm())

    def _violation(self, message: Violation) -> None:
        not_before_s = max(self._not_before_s, self._settled_s if message.measured else 0.0)
        if not self._free() or self.world.now_s() < not_before_s:
            return
        self._begin(message.reason, Purpose.RELIEVE)

    def _underload(self, message: Underload) -> None:
        if self._free() and not self._violated and self.world.now_s() >= self._not_before_s:
            self._begin(message.reason, Purpose.EMPTY)

    def _begin(self, reason: str, purpose: Purpose) -> None:
        self._sequence += 1
        self.world.save(str(self._sequence).encode())
        isp = Isp(self.world.node, self._sequence)
        leading = Leading(
            self, isp, 1, (self.world.node,), reason, purpose=purpose, spiral=self.neighbours.spiral()
        )
        self.leading = leading
        self.regrant(leading)
        self.report("partition.started", isp, reason, members=[self.world.node], purpose=purpose.value)
        leading.advance()

    # --- standby ------------------------------------------------------------------------------------------

    def _stand_by(self) -> None:
        """Put this node, which was emptied a while ago, into standby if it still is empty and free."""
        here = self.world.node

        def look(snapshot: Snapshot) -> None:
            if self._free() and not snapshot.vms and not snapshot.busy and snapshot.node.online:
                self.calls.ask(
                    HOST,
                    lambda call_id: Execute(call_id, ShutdownNode(node=here), "empty: nobody needs it"),
                    self.settings.action_timeout_s,
                    lambda _answer: None,
                )

        if self._free():
            self.ask_snapshot(look)

    # --- this node as a member ------------------------------------------------------------------------------

    def _set_grant(self, grant: Grant) -> None:
        if self.grant is not None and self.grant.phase is Phase.APPLYING:
            self.world.send(HOST, Granted(""))
        self.grant = grant
        self._remember(grant.isp, grant.version)
        self._renew_later()

    def _renew_later(self) -> None:
        """Leases are looked after while there is one: nodes that are free have nothing to do."""
        if self.grant is not None and not self._renewing:
            self._renewing = True
            self.world.after(self.settings.renew_s, Renewal())

    def _remember(self, isp: Isp, version: int) -> None:
        self._seen[isp] = max(version, self._seen.pop(isp, 0))
        while len(self._seen) > REMEMBERED_MAX:
            self._seen.popitem(last=False)

    def _stale(self, isp: Isp, version: int) -> bool:
        return version < self._seen.get(isp, 0)

    def _follows(self, isp: Isp, version: int, leader: str) -> bool:
        grant = self.grant
        return grant is not None and grant.isp == isp and grant.leader == leader and version >= grant.version

    def _visit(self, message: Visit, leader: str) -> None:
        if self._stale(message.isp, message.version + 1):
            return
        # Who wants to be emptied is not to be helped by those that need help themselves.
        if not self._free() or (message.purpose is Purpose.EMPTY and self._violated):
            grant = self.grant
            holder = Holder(
                self.world.node,
                grant.isp if grant else None,
                grant.leader if grant else "",
                grant.members if grant else (),
            )
            if len(self._waiters) < WAITERS_MAX:
                self._waiters[leader] = None
            self.world.send(address(leader, SCHEDULER), Busy(message.isp, message.version, holder))
            return
        members = (*message.members, self.world.node)
        self.world.send(SOLVER, Warm())
        self._warm_ahead(1)
        self.leading = Leading(
            self,
            message.isp,
            message.version + 1,
            members,
            message.reason,
            visited=message.visited,
            holders=message.holders,
            replans=message.replans,
            purpose=message.purpose,
            spiral=message.spiral,
        )
        self.report(
            "partition.grown", message.isp, f"{self.world.node} joins and leads", members=list(members)
        )
        self.leading.collect()

    def _joined(self, message: Joined) -> None:
        grant = self.grant
        if grant is None or self._stale(message.isp, message.version):
            return
        ours = grant.isp == message.isp and message.version > grant.version
        absorbed = grant.isp == message.absorbed
        busy_here = grant.phase is Phase.APPLYING and self._moving(grant.isp)
        if not (ours or absorbed) or busy_here or (self.leading and self.leading.committed):
            return
        if absorbed:
            self._remember(grant.isp, ENDED)
        self.leading = None
        now_s = self.world.now_s()
        self._set_grant(
            Grant(
                message.isp,
                message.version,
                message.leader,
                message.members,
                Phase.GROWING,
                now_s + self.settings.lease_s,
                grant.since_s if ours else now_s,
            )
        )

        def answer(snapshot: Snapshot) -> None:
            if self._follows(message.isp, message.version, message.leader):
                state = State(message.isp, message.version, snapshot)
                self.world.send(address(message.leader, SCHEDULER), state)

        self.ask_snapshot(answer)

    def _renewed(self, message: Renew, sender: str) -> None:
        grant = self.grant
        if grant is None or grant.isp != message.isp:
            self.world.send(sender, NotMember(message.isp))
        elif self._follows(message.isp, message.version, node_of(sender)):
            grant.version = message.version
            grant.expires_s = self.world.now_s() + self.settings.lease_s

    def _apply(self, message: Apply, leader: str) -> None:
        grant = self.grant
        ok = grant is not None and (grant.isp, grant.version, grant.leader) == (
            message.isp,
            message.version,
            leader,
        )
        if ok:
            assert grant is not None
            grant.expires_s = self.world.now_s() + self.settings.lease_s
            self.enter_applying()
        self.world.send(address(leader, SCHEDULER), Applying(message.isp, message.version, ok))

    def _blocked(self, message: Blocked) -> None:
        if self.grant is None or self.grant.isp != message.holder:
            return
        if self.leading is None:
            if self.grant.leader != self.world.node:
                self.world.send(address(self.grant.leader, SCHEDULER), message)
        elif self.leading.on_blocked(message):
            self.report("partition.handed-over", self.grant.isp, f"to {message.isp}")
            # A member from now on: the lease bounds the wait for the absorbing leader.
            self.leading = None
            self.grant.leader = message.leader
            self.grant.expires_s = self.world.now_s() + self.settings.lease_s

    def _dissolved(self, message: Dissolve) -> None:
        if self._stale(message.isp, message.version):
            return
        self._remember(message.isp, ENDED)
        if message.isp.initiator == self.world.node and message.isp.sequence == self._sequence:
            self._pause_before_next(message.solved, message.outcome, message.purpose)
        grant = self.grant
        if grant is None or grant.isp != message.isp:
            return
        if message.solved:
            # The loads have just changed: let the monitors look again before the next attempt.
            self._settled_s = self.world.now_s() + self.settings.cooldown_s
        if self._moving(grant.isp):
            # The leader lost sight of a move that goes on: this node stays bound until it has ended.
            self.leading = None
            grant.leader = ""
            grant.expires_s = self.world.now_s()
        else:
            self._release()

    def _moving(self, isp: Isp) -> bool:
        """Whether a move of `isp` is in flight from or to this node."""
        return bool((self._in_flight or {}).get(str(isp)))

    def _pause_before_next(self, solved: bool, outcome: str, purpose: Purpose = Purpose.RELIEVE) -> None:
        if purpose is Purpose.EMPTY:
            # It serves nobody at once: patience keeps it out of the way.
            wait_s = self.settings.empty_backoff_s * (0.5 + self.world.random.random())
            self._not_before_s = self.world.now_s() + wait_s
            if solved and self.settings.power_save:
                self.world.after(self.settings.standby_after_s, StandBy())
            return
        if solved:
            self._failures = 0
            return
        self._failures += 1
        wait_s = min(self.settings.backoff_s * 2.0 ** (self._failures - 1), self.settings.backoff_max_s)
        wait_s *= 0.5 + self.world.random.random()
        self.world.emit("violation.unresolved", self.world.node, f"{outcome}; next attempt in {wait_s:.1f} s")
        self._not_before_s = self.world.now_s() + wait_s

    def _release(self) -> None:
        assert self.grant is not None
        if self.grant.phase is Phase.APPLYING:
            self.world.send(HOST, Granted(""))
        self.grant = None
        self.leading = None
        self.attend(())
        self._notify_waiters()

    def _notify_waiters(self) -> None:
        if self._waiters and self._free():
            for leader in self._waiters:
                self.world.send(address(leader, SCHEDULER), Freed(self.world.node))
            self._waiters.clear()

    def _expire(self) -> None:
        """Free oneself from a silent leader; never while moves of the partition are in flight here."""
        grant = self.grant
        if grant is None or self.leading is not None or self.world.now_s() < grant.expires_s:
            return
        if self._moving(grant.isp):
            return
        if grant.leader:
            self.report("partition.expired", grant.isp, f"{grant.leader} is silent; {self.world.node} leaves")
            if grant.isp.initiator == self.world.node:
                self._pause_before_next(False, f"the leader {grant.leader} went silent")
        # Its leader may still ask for more: what is older than this version no longer counts.
        self._remember(grant.isp, ENDED)
        self._release()

    def _members_changed(self, message: MembersChanged) -> None:
        gone = self.neighbours.learn(message.members)
        if self.leading is not None and gone:
            self.leading.on_members_gone(gone)
        elif self.grant is not None and self.grant.leader in gone:
            self.grant.expires_s = min(self.grant.expires_s, self.world.now_s())
            self._expire()
