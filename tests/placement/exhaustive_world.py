"""What the exhaustive reference knows of a problem, and an instant of it that actions change.

Amounts are those of the problem, times are ticks. Nodes and VMs are indexes in their cluster's order.
"""

from __future__ import annotations

import math
from typing import Literal, NamedTuple

from lucos.model import Constraint, VmState
from lucos.model.signature import Modes
from lucos.placement.constraints import KINDS
from lucos.placement.constraints.base import Kind
from lucos.placement.moment import Moment
from lucos.placement.problem import Problem

STATES = {s.value: s for s in (VmState.RUNNING, VmState.READY, VmState.SLEEPING, VmState.KILLED)}
HOLDING = (VmState.RUNNING, VmState.PAUSED)
ABOUT_STATES = (*STATES, "online", "offline", "preserve", "overbook", "drain")
"""Kinds that say what is wanted: read once, not judged instant by instant."""
NOWHERE = -1
ActionKind = Literal[
    "boot", "resume", "migrate", "allocate", "suspend", "shutdown", "kill", "boot_node", "shutdown_node"
]
# What one action does to a VM: (state, state wanted) -> action.
CHANGES: dict[tuple[VmState, VmState], ActionKind] = {
    (VmState.READY, VmState.RUNNING): "boot",
    (VmState.SLEEPING, VmState.RUNNING): "resume",
    (VmState.RUNNING, VmState.SLEEPING): "suspend",
    (VmState.PAUSED, VmState.SLEEPING): "suspend",
    (VmState.RUNNING, VmState.READY): "shutdown",
    **{(s, VmState.KILLED): "kill" for s in VmState if s is not VmState.KILLED},
}


class Action(NamedTuple):
    """`node` is where it leads (or happens), `source` where the VM or its image is; `vm` is -1 for nodes."""

    kind: ActionKind
    vm: int
    node: int
    source: int
    ticks: int


class Instant(Moment):
    """A moment that knows what a VM holds on each node: two amounts while it is migrated."""

    there: dict[tuple[str, str], dict[str, float]] = {}

    def allocated(self, vm: str, resource: str, node: str = "") -> float:
        held = self.there.get((vm, node))
        return super().allocated(vm, resource) if held is None else held.get(resource, 0.0)


class Static:
    """The problem, read once. `clash`: its rules want what no action does."""

    def __init__(self, problem: Problem) -> None:
        self.problem = problem
        self.vms, self.nodes = list(problem.cluster.vms.values()), list(problem.cluster.nodes.values())
        self.vm_names, self.node_names = [v.name for v in self.vms], [n.name for n in self.nodes]
        self.resources = sorted({r for n in self.nodes for r in n.capacity})
        self.single = [frozenset((name,)) for name in self.node_names]
        at = {name: i for i, name in enumerate(self.node_names)}
        self.host = [NOWHERE if v.node is None else at[v.node] for v in self.vms]
        self.clash = False
        self.want = [v.state for v in self.vms]
        self.node_want: list[bool | None] = [None] * len(self.nodes)
        self.closed, self.drained = [False] * len(self.nodes), [False] * len(self.nodes)
        self._read_wanted()
        self.runs = [state in HOLDING for state in self.want]
        self.capacity = [self._capacity(i) for i in range(len(self.nodes))]
        self.use = [[v.demand.get(r, 0) for r in self.resources] for v in self.vms]
        self.need = [self._need(i) for i in range(len(self.vms))]
        self.need_named = [dict(zip(self.resources, need, strict=True)) for need in self.need]
        self.origin = Moment(
            {v.name: self.single[h] for v, h in zip(self.vms, self.host, strict=True) if v.state in HOLDING},
            problem.cluster,
            {v.name: v.state for v in self.vms},
            frozenset(n.name for n in self.nodes if n.online),
        )
        judged = [r for r in problem.constraints if r.kind not in ABOUT_STATES]
        self.hard = [r for r in judged if not r.weight and self._has(r, "broken")]
        self.soft = [r for r in judged if r.weight]
        self.sound = [r for r in self.hard if _always(r) and not broken(r, self.origin)]
        by_plan = [r for r in judged if self._has(r, "broken_by_plan")]
        self.timing = [r for r in by_plan if not self._has(r, "broken")]
        self.relocating = [r for r in self.sound if r.relocate]
        self.by_plan = [*self.timing, *self.relocating]
        used = [0] * len(self.resources)
        self.limit = []
        for node in range(len(self.nodes)):
            there = [i for i, v in enumerate(self.vms) if v.state in HOLDING and self.host[i] == node]
            used = [sum(self.use[i][r] for i in there) for r in range(len(self.resources))]
            self.limit.append([max(pair) for pair in zip(self.capacity[node], used, strict=True)])

    @staticmethod
    def _has(rule: Constraint, method: str) -> bool:
        return getattr(type(KINDS[rule.kind]), method) is not getattr(Kind, method)

    def _read_wanted(self) -> None:
        cluster = self.problem.cluster
        vm_at = {name: i for i, name in enumerate(cluster.vms)}
        node_at = {name: i for i, name in enumerate(cluster.nodes)}
        wanted: dict[int, VmState] = {}
        for rule in self.problem.constraints:
            for vm in (vm_at[name] for name in rule.vms if rule.kind in STATES):
                self.clash |= wanted.setdefault(vm, STATES[rule.kind]) is not STATES[rule.kind]
            for node in (node_at[name] for name in rule.nodes):
                if rule.kind in ("online", "offline"):
                    on = rule.kind == "online"
                    self.clash |= self.node_want[node] not in (None, on)
                    self.node_want[node] = on
                self.closed[node] |= rule.kind in ("drain", "offline")
                self.drained[node] |= rule.kind == "drain"
        for vm, state in wanted.items():
            now = self.vms[vm].state
            if now is VmState.PAUSED and state is VmState.RUNNING:
                continue
            self.clash |= now is not state and (now, state) not in CHANGES
            self.want[vm] = state

    def _capacity(self, node: int) -> list[float]:
        offered = []
        for resource in self.resources:
            physical = self.nodes[node].capacity.get(resource, 0)
            ratios = [
                rule.amount
                for rule in self.problem.constraints
                if rule.kind == "overbook"
                and rule.resource == resource
                and self.node_names[node] in rule.nodes
            ]
            offered.append(math.floor(physical * min(ratios) + 1e-6) if ratios else physical)
        return offered

    def _need(self, vm: int) -> list[float]:
        need = list(self.use[vm])
        for rule in self.problem.constraints:
            if rule.kind == "preserve" and self.vm_names[vm] in rule.vms:
                r = self.resources.index(rule.resource)
                need[r] = max(need[r], rule.amount)
        return need

    def ticks(self, kind: str, vm: int) -> int:
        durations = self.problem.durations
        return round(durations.of_vm(kind, self.vms[vm]) / durations.tick_s)

    def node_action(self, node: int) -> Action:
        """The action that switches a node."""
        kind: ActionKind = "shutdown_node" if self.nodes[node].online else "boot_node"
        durations = self.problem.durations
        ticks = round(durations.of_node(kind, self.nodes[node]) / durations.tick_s)
        return Action(kind, NOWHERE, node, node, ticks)

    def action(self, vm: int, node: int) -> Action | None:
        """What brings a VM to the state wanted, at `node` when it runs then; None: nothing is to be done."""
        now, want, host = self.vms[vm].state, self.want[vm], self.host[vm]
        if now is want:
            if now is not VmState.RUNNING or (node == host and self.need[vm] == self.use[vm]):
                return None
            kind: ActionKind = "allocate" if node == host else "migrate"
        else:
            kind = CHANGES[now, want]
        named = "resume_remote" if kind == "resume" and node != host else kind
        return Action(kind, vm, node if want is VmState.RUNNING else host, host, self.ticks(named, vm))

    def about(self, rules: list[Constraint], vm: int) -> list[Constraint]:
        """Those that the place of a VM can break."""
        name, found = self.vm_names[vm], []
        for rule in rules:
            named = [*rule.vms, *(n for names in rule.sets for n in names)]
            if not named or name in named or KINDS[rule.kind].neighbours:
                found.append(rule)
        return found


def _always(rule: Constraint) -> bool:
    modes = KINDS[rule.kind].signature.modes
    return rule.continuous if modes is Modes.BOTH else modes is Modes.CONTINUOUS


def broken(rule: Constraint, moment: Moment) -> bool:
    return KINDS[rule.kind].broken(rule, moment) is not None


class Now:
    """An instant that actions change. `begin` says whether an action may start; after False it is spoilt."""

    def __init__(self, world: Static) -> None:
        self.world = world
        self.used = [[0.0] * len(world.resources) for _ in world.nodes]
        self.moment = Instant(dict(world.origin.hosts), world.problem.cluster, there={}, start=world.origin)
        self.moment.online = set(world.origin.online or ())
        self.usable = set(self.moment.online)
        self.images: dict[int, int] = {}
        self.out, self.into, self.migrating = [0] * len(world.nodes), [0] * len(world.nodes), 0
        for vm, state in enumerate(v.state for v in world.vms):
            if state in HOLDING:
                self._add(vm, world.host[vm], world.use[vm])
            elif state is VmState.SLEEPING:
                self.images[vm] = world.host[vm]

    def copy(self) -> Now:
        other = object.__new__(Now)
        other.world, moment = self.world, self.moment
        other.used = [list(row) for row in self.used]
        other.moment = Instant(
            dict(moment.hosts), moment.cluster, there=dict(moment.there), start=moment.start
        )
        other.moment.online = set(moment.online or ())
        other.usable, other.images = set(self.usable), dict(self.images)
        other.out, other.into, other.migrating = list(self.out), list(self.into), self.migrating
        return other

    def _add(self, vm: int, node: int, amounts: list[float], sign: int = 1) -> None:
        row = self.used[node]
        for r, amount in enumerate(amounts):
            row[r] += sign * amount

    def _hold(self, vm: int, node: int) -> None:
        names = self.world.vm_names[vm], self.world.node_names[node]
        hosts = self.moment.hosts
        assert isinstance(hosts, dict)
        hosts[names[0]] = self.world.single[node] | hosts.get(names[0], frozenset())
        self.moment.there[names] = self.world.need_named[vm]

    def begin(self, action: Action) -> bool:
        """Whether it may start beside all that is under way (rules that relocate are judged by `settled`)."""
        world, (kind, vm, node, source, _) = self.world, action
        name = world.node_names[node]
        online = self.moment.online
        assert isinstance(online, set)
        if kind == "boot_node":
            online.add(name)
            return self._holds([r for r in world.sound if not (r.vms or r.sets)])
        if kind == "shutdown_node":
            self.usable.discard(name)
            return not self.moment.guests(name) and node not in self.images.values()
        if kind in ("boot", "resume", "migrate"):
            if name not in self.usable or (kind == "resume" and world.node_names[source] not in self.usable):
                return False
            self._add(vm, node, world.need[vm])
            self._hold(vm, node)
            if kind == "migrate" and not self._may_migrate(source, node):
                return False
        elif kind == "allocate":
            self._add(vm, node, [n - u for n, u in zip(world.need[vm], world.use[vm], strict=True)])
            self._hold(vm, node)
        else:
            return True
        fits = all(u <= limit for u, limit in zip(self.used[node], world.limit[node], strict=True))
        return fits and self._holds([r for r in world.about(world.sound, vm) if not r.relocate])

    def _may_migrate(self, source: int, node: int) -> bool:
        limits = self.world.problem.limits
        self.out[source] += 1
        self.into[node] += 1
        self.migrating += 1
        pairs = (
            (self.migrating, limits.migrations),
            (self.out[source], limits.out_per_node),
            (self.into[node], limits.in_per_node),
        )
        return all(most is None or count <= most for count, most in pairs)

    def _holds(self, rules: list[Constraint]) -> bool:
        return not any(broken(rule, self.moment) for rule in rules)

    def settled(self) -> bool:
        """Whether the rules hold that are judged once all that starts at an instant has started."""
        return self._holds(self.world.relocating)

    def finish(self, action: Action) -> None:
        world, (kind, vm, node, source, _) = self.world, action
        hosts, online = self.moment.hosts, self.moment.online
        assert isinstance(hosts, dict)
        assert isinstance(online, set)
        name = world.node_names[node]
        if kind == "boot_node":
            self.usable.add(name)
        elif kind == "shutdown_node":
            online.discard(name)
        elif kind == "resume":
            del self.images[vm]
        elif kind == "migrate":
            self._add(vm, source, world.use[vm], -1)
            hosts[world.vm_names[vm]] = world.single[node]
            self.out[source] -= 1
            self.into[node] -= 1
            self.migrating -= 1
        elif kind in ("suspend", "shutdown", "kill"):
            if hosts.pop(world.vm_names[vm], None):
                self._add(vm, source, world.use[vm], -1)
            self.images.pop(vm, None)
            if kind == "suspend":
                self.images[vm] = source
