"""A plain repair heuristic: which VMs must move, where to, in which order.

Only VMs of nodes or rules in violation move. On an overloaded node the smallest VM that ends it is
preferred, then the fewest large ones; destinations are the least loaded that every rule allows (Snooze, but
with the load after the move deciding). A bounded depth-first search backtracks over destinations.
"""

from __future__ import annotations

from collections.abc import Callable

from lucos.model import (
    Boot,
    Constraint,
    Instance,
    Migrate,
    Plan,
    PlannedAction,
    Resources,
)
from lucos.placement.checker import check
from lucos.placement.problem import Problem, Solution, Status
from lucos.placement.rules import Hosts, broken

SEARCH_STEPS_MAX = 20_000
Want = Callable[[list[str], str], bool]
"""Move these VMs for this reason; False, and nothing changed, when no node can take them."""


class _Search:
    """The state of one search: where VMs are, what each node holds, moves made so far."""

    def __init__(self, problem: Problem) -> None:
        self.problem = problem
        self.configuration = problem.configuration
        self.hosts: Hosts = {}
        self.load = {name: Resources() for name in self.configuration.nodes}
        for vm, instance in self.configuration.instances.items():
            self.hosts[vm] = {instance.node} if instance.node else set()
            if instance.node in self.load:
                self.load[instance.node] += instance.demand
        self.rules_of: dict[str, list[Constraint]] = {}
        for rule in problem.constraints:
            for vm in rule.vms:
                self.rules_of.setdefault(vm, []).append(rule)
        self.steps = 0

    def place(self, vm: str, node: str | None) -> None:
        demand = self.configuration.instances[vm].demand
        for old in self.hosts[vm]:
            self.load[old] -= demand
        self.hosts[vm] = {node} if node else set()
        if node:
            self.load[node] += demand

    def candidates(self, vm: str) -> list[str]:
        """Nodes that can take `vm` now, least loaded after the move first."""
        instance = self.configuration.instances[vm]
        scored = []
        for name, node in self.configuration.nodes.items():
            if name == instance.node or node.draining:
                continue
            after = self.load[name] + instance.demand
            room = Resources(node.capacity.cpu_pct * (1 - self.problem.headroom), node.capacity.memory_mib)
            if after.fits(room) and not self._forbidden(vm, name):
                scored.append((after.cpu_pct / max(node.capacity.cpu_pct, 1e-9), name))
        return [name for _, name in sorted(scored)]

    def _forbidden(self, vm: str, node: str) -> bool:
        was = self.hosts[vm]
        self.hosts[vm] = {node}
        # A gather is judged when all its VMs are placed: at the end, by the checker.
        bad = any(broken(r, self.hosts) for r in self.rules_of.get(vm, ()) if r.kind != "gather")
        self.hosts[vm] = was
        return bad

    def assign(self, movers: list[str]) -> bool:
        """Find a node for each of `movers`, depth first; False when none fits within the budget."""
        if not movers:
            return True
        vm, *rest = movers
        together = [
            next(iter(self.hosts[other]))
            for rule in self.rules_of.get(vm, ())
            if rule.kind == "gather"
            for other in rule.vms
            if other != vm and other not in rest and self.hosts.get(other)
        ]
        options = self.candidates(vm)
        if together:
            options = [name for name in options if name == together[0]]
        for name in options:
            self.steps += 1
            if self.steps > SEARCH_STEPS_MAX:
                return False
            was = next(iter(self.hosts[vm]), None)
            self.place(vm, name)
            if self.assign(rest):
                return True
            self.place(vm, was)
        return False


def _by_size(instances: list[Instance]) -> list[Instance]:
    return sorted(instances, key=lambda i: (-i.demand.cpu_pct, i.demand.memory_mib, i.spec.id))


def _excess(search: _Search, name: str) -> Resources:
    node = search.configuration.nodes[name]
    return Resources() if node.draining else search.load[name] - node.capacity


def _relief_sets(search: _Search, name: str) -> list[list[str]]:
    """Sets of VMs whose departure ends the overload of `name`, best first."""
    here = [i for i in search.configuration.on(name) if i.spec.id not in search.problem.fixed]
    if search.configuration.nodes[name].draining:
        return [[i.spec.id for i in _by_size(here)]]
    excess = _excess(search, name)
    enough = [
        i for i in here if i.demand.cpu_pct >= excess.cpu_pct and i.demand.memory_mib >= excess.memory_mib
    ]
    sets = [[i.spec.id] for i in reversed(_by_size(enough))]
    pile: list[str] = []
    gone = Resources()
    for instance in _by_size(here):
        pile.append(instance.spec.id)
        gone += instance.demand
        if excess.fits(gone):
            break
    sets.append(pile)
    # Smaller VMs fit where a large one does not.
    pile, gone = [], Resources()
    for instance in reversed(_by_size(here)):
        if instance.demand.cpu_pct <= 0 and excess.memory_mib <= 0:
            continue
        pile.append(instance.spec.id)
        gone += instance.demand
        if excess.fits(gone):
            break
    sets.append(pile)
    return sets


def _with_gathered(search: _Search, vms: list[str]) -> list[str]:
    wanted = dict.fromkeys(vms)
    for vm in vms:
        for rule in search.rules_of.get(vm, ()):
            if rule.kind == "gather":
                wanted.update(dict.fromkeys(v for v in rule.vms if v in search.hosts))
    return list(wanted)


def _order(search: _Search, movers: list[str], why: dict[str, str]) -> Plan | None:
    """Number the moves; each waits for the departures its destination needs. None on a cycle."""
    configuration = search.configuration
    actions: list[PlannedAction] = []
    now = {name: configuration.load(name) for name in configuration.nodes}
    places: Hosts = {vm: {i.node} for vm, i in configuration.instances.items() if i.node is not None}
    waiting = list(movers)
    while waiting:
        for vm in waiting:
            instance = configuration.instances[vm]
            target = next(iter(search.hosts[vm]))
            during = {**places, vm: places.get(vm, set()) | {target}}
            fits = (now[target] + instance.demand).fits(configuration.nodes[target].capacity)
            rules = [r for r in search.rules_of.get(vm, ()) if r.continuous and r.kind != "gather"]
            if fits and not any(broken(r, during) and not broken(r, places) for r in rules):
                break
        else:
            return None
        waiting.remove(vm)
        earlier = tuple(
            a.number
            for a in actions
            if isinstance(a.action, Migrate)
            and (a.action.source == target or _share_rule(search, vm, a.action.vm))
        )
        step: Boot | Migrate
        if instance.node is None:
            step = Boot(vm, target)
        else:
            step = Migrate(vm, instance.node, target)
            now[instance.node] -= instance.demand
        now[target] += instance.demand
        places[vm] = {target}
        actions.append(PlannedAction(len(actions) + 1, step, earlier, why[vm]))
    return Plan(tuple(actions))


def _share_rule(search: _Search, vm: str, other: str) -> bool:
    return any(other in rule.vms for rule in search.rules_of.get(vm, ()) if rule.kind == "spread")


def solve(problem: Problem) -> Solution:
    """A plan after which every node and rule of `problem` holds, or the reasons why none was found.

    Deterministic. Bounded by `SEARCH_STEPS_MAX` destinations tried.
    """
    search = _Search(problem)
    reasons: list[str] = []
    movers: list[str] = []
    why: dict[str, str] = {}

    def want(vms: list[str], reason: str) -> bool:
        chosen = [vm for vm in _with_gathered(search, vms) if vm not in movers]
        if any(vm in problem.fixed for vm in chosen):
            return False
        origin = {vm: next(iter(search.hosts[vm]), None) for vm in chosen}
        for vm in chosen:
            search.place(vm, None)
        if not search.assign(chosen):
            for vm, node in origin.items():
                search.place(vm, node)
            return False
        movers.extend(chosen)
        why.update(dict.fromkeys(chosen, reason))
        return True

    pending = [i.spec.id for i in _by_size(list(problem.configuration.instances.values())) if not i.node]
    if pending and not want(pending, "to be started"):
        reasons.append(f"no node has room for {', '.join(pending)} under the rules")
    _mend_rules(search, want, reasons)
    for name, node in problem.configuration.nodes.items():
        if node.draining and any(True for _ in problem.configuration.on(name)):
            text = f"{name} is draining"
        elif not node.draining and not search.load[name].fits(node.capacity):
            excess = _excess(search, name)
            short = f"{excess.cpu_pct:.0f} % CPU" if excess.cpu_pct > 0 else f"{excess.memory_mib:.0f} MiB"
            text = f"{name} lacked {short}"
        else:
            continue
        if not any(vms and want(vms, text) for vms in _relief_sets(search, name)):
            reasons.append(f"{text} and no other node can take enough of its VMs")
    if reasons:
        return Solution(Status.UNSOLVED, reasons=tuple(reasons))
    plan = _order(search, movers, why)
    if plan is None:
        return Solution(Status.UNSOLVED, reasons=("the moves wait for each other",))
    faults = check(problem.configuration, problem.constraints, plan)
    return Solution(Status.UNSOLVED, reasons=tuple(faults)) if faults else Solution(Status.SOLVED, plan)


def _mend_rules(search: _Search, want: Want, reasons: list[str]) -> None:
    """Move VMs of rules that are broken at the start, one VM at a time, until each holds."""
    for rule in search.problem.constraints:
        for _ in rule.vms:
            fault = broken(rule, search.hosts)
            if not fault:
                break
            present = [vm for vm in rule.vms if search.hosts.get(vm)]
            if rule.kind == "gather":
                mended = want(present, fault)
            else:
                culprits = [vm for vm in present if _at_fault(rule, vm, search.hosts)]
                mended = any(want([vm], fault) for vm in culprits)
            if not mended:
                reasons.append(f"{fault}, and nothing can be moved to mend it")
                break


def _at_fault(rule: Constraint, vm: str, hosts: Hosts) -> bool:
    return broken(rule, {**hosts, vm: set()}) != broken(rule, hosts)
