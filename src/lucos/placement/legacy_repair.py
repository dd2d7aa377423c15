"""A plain repair heuristic: which VMs must move, where to, in which order.

Only VMs of nodes or rules in violation move, and one more that makes room where need be, each at most once.
On an overloaded node the smallest VM that ends it is preferred, then the fewest large ones; destinations are
the least loaded that every rule allows (Snooze, but with the load after the move deciding). A bounded search
backtracks over destinations, and what could not be mended at first is tried again after other moves.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from lucos.model import (
    Boot,
    Constraint,
    Instance,
    Migrate,
    Plan,
    PlannedAction,
    Resources,
)
from lucos.placement.legacy import Problem, Solution, Status
from lucos.placement.legacy_checker import check
from lucos.placement.legacy_rules import Hosts, broken, broken_by

# Destinations tried for one set of VMs, beyond one for each of them.
SEARCH_STEPS_MAX = 500
# Other VMs that may be asked to make room for a set.
PUSHED_MAX = 20
# Sets of destinations for one set of VMs that are dropped because the moves would wait for each other.
ORDERS_MAX = 20


class _Search:
    """The state of one search: where VMs are, what each node holds, the moves found and their reasons.

    With `ordered`, destinations are taken only if all moves found so far can be put in an order.
    """

    def __init__(self, problem: Problem, ordered: bool) -> None:
        self.problem = problem
        self._ordered = ordered
        self.configuration = problem.configuration
        self.hosts: Hosts = {}
        self.load = {name: Resources() for name in self.configuration.nodes}
        self.why: dict[str, str] = {}
        self._room = {
            name: Resources(node.capacity.cpu_pct * (1 - problem.headroom), node.capacity.memory_mib)
            for name, node in self.configuration.nodes.items()
            if not node.draining
        }
        for vm, instance in self.configuration.instances.items():
            self.hosts[vm] = {instance.node} if instance.node else set()
            if instance.node in self.load:
                self.load[instance.node] += instance.demand
        self.rules_of: dict[str, list[Constraint]] = {}
        self.immovable = set(problem.fixed)
        for rule in problem.constraints:
            for vm in rule.vms:
                self.rules_of.setdefault(vm, []).append(rule)
            # VMs that must be together at every instant cannot leave, not even together.
            if rule.kind == "gather" and rule.continuous and not broken(rule, self.hosts):
                self.immovable.update(vm for vm in rule.vms if self.hosts.get(vm))

    def place(self, vm: str, node: str | None) -> None:
        demand = self.configuration.instances[vm].demand
        for old in self.hosts[vm]:
            self.load[old] -= demand
        self.hosts[vm] = {node} if node else set()
        if node:
            self.load[node] += demand

    def on(self, node: str) -> list[Instance]:
        """What is on `node` after the moves found so far, and may still move; the largest first."""
        here = [i for i in self.configuration.on(node) if i.spec.id not in self.immovable | self.why.keys()]
        return _by_size(here)

    def want(self, vms: list[str], reason: str) -> bool:
        """Move these VMs for this reason; False, and nothing changed, when no node can take them."""
        chosen = [vm for vm in vms if vm not in self.why]
        if not chosen or not self.immovable.isdisjoint(chosen):
            return False
        origin = {vm: next(iter(self.hosts[vm]), None) for vm in chosen}
        for vm in chosen:
            self.place(vm, None)
        if not self._assign(chosen):
            for vm, node in origin.items():
                self.place(vm, node)
            return False
        self.why.update(dict.fromkeys(chosen, reason))
        return True

    def want_any(self, sets: Iterable[list[str]], reason: str) -> bool:
        """Move the first of these sets that can move, if need be with one more VM that makes room."""
        alone = [vms for vms in sets if vms]
        tries = [*alone, *(_with_gathered(self, vms) for vms in alone)]
        if any(self.want(vms, reason) for vms in tries):
            return True
        others = [vm for name in self.load for vm in _ids(self.on(name))][:PUSHED_MAX]
        pushed = [vm for vm in others if self._candidates(vm)]
        return any(self.want([*vms, vm], reason) for vms in tries for vm in pushed if vm not in vms)

    def _candidates(self, vm: str) -> list[str]:
        """Nodes that can take `vm` now, least loaded after the move first."""
        instance = self.configuration.instances[vm]
        scored = []
        for name, room in self._room.items():
            after = self.load[name] + instance.demand
            if name != instance.node and after.fits(room) and not self._forbidden(vm, name):
                scored.append((after.cpu_pct / max(room.cpu_pct, 1e-9), name))
        return [name for _, name in sorted(scored)]

    def _forbidden(self, vm: str, node: str) -> bool:
        was = self.hosts[vm]
        self.hosts[vm] = {node}
        bad = any(broken_by(rule, vm, self.hosts) for rule in self.rules_of.get(vm, ()))
        self.hosts[vm] = was
        return bad

    def _assign(self, movers: list[str]) -> bool:
        """Find a node for each of `movers`, which have none, depth first; False when none is found."""
        if not all(self._candidates(vm) for vm in movers[1:]):
            return False
        budget = SEARCH_STEPS_MAX + len(movers)
        orders_left = ORDERS_MAX
        options = [iter(self._candidates(movers[0]))]
        while options:
            vm = movers[len(options) - 1]
            self.place(vm, None)
            name = next(options[-1], None)
            budget -= 1
            if name is None or budget < 0 or orders_left <= 0:
                options.pop()
                continue
            self.place(vm, name)
            if len(options) < len(movers):
                options.append(iter(self._candidates(movers[len(options)])))
            elif not self._ordered or _order(self, [*self.why, *movers]) is not None:
                return True
            else:
                orders_left -= 1
        return False


def _by_size(instances: list[Instance]) -> list[Instance]:
    return sorted(instances, key=lambda i: (-i.demand.cpu_pct, -i.demand.memory_mib, i.spec.id))


def _ids(instances: list[Instance]) -> list[str]:
    return [i.spec.id for i in instances]


def _until(instances: list[Instance], excess: Resources) -> list[str]:
    """The first of `instances` whose departure together ends the excess."""
    pile: list[str] = []
    gone = Resources()
    for instance in instances:
        if excess.fits(gone):
            break
        pile.append(instance.spec.id)
        gone += instance.demand
    return pile


def _relief_sets(search: _Search, name: str) -> Iterator[list[str]]:
    """Sets of VMs whose departure ends the overload of `name`, or empties it to drain it, best first."""
    node, here = search.configuration.nodes[name], search.on(name)
    if node.draining:
        yield _ids(here)
        return
    excess = search.load[name] - node.capacity
    for instance in reversed(here):
        if excess.fits(instance.demand):
            yield [instance.spec.id]
    yield _until(here, excess)
    # Smaller VMs fit where a large one does not.
    yield _until([i for i in reversed(here) if i.demand.cpu_pct > 0 or excess.memory_mib > 0], excess)


def _with_gathered(search: _Search, vms: list[str]) -> list[str]:
    wanted = dict.fromkeys(vms)
    for vm in vms:
        for rule in search.rules_of.get(vm, ()):
            if rule.kind == "gather":
                wanted.update(dict.fromkeys(v for v in rule.vms if v in search.hosts))
    return list(wanted)


def _start_waiting(search: _Search) -> Iterator[str]:
    """Give a node to each VM that has none; yields why not."""
    waiting = [
        i for i in _by_size(list(search.configuration.instances.values())) if not search.hosts[i.spec.id]
    ]
    if waiting and not search.want_any([_ids(waiting)], "to be started"):
        yield f"no node has room for {', '.join(_ids(waiting))} under the rules"


def _mend_rules(search: _Search) -> Iterator[str]:
    """Move VMs of broken rules one at a time, gathered ones to one of theirs or elsewhere; yields why not."""
    for rule in sorted(search.problem.constraints, key=lambda rule: rule.kind == "gather"):
        for _ in rule.vms:
            fault = broken(rule, search.hosts)
            if not fault:
                break
            present = [vm for vm in rule.vms if search.hosts.get(vm)]
            if rule.kind == "gather":
                anchors = dict.fromkeys(node for vm in present for node in search.hosts[vm])
                tries = [[vm for vm in present if node not in search.hosts[vm]] for node in anchors]
                tries = [*sorted(tries, key=len), present]
            else:
                tries = [[vm] for vm in present if broken_by(rule, vm, search.hosts)]
            if not search.want_any(tries, fault):
                yield f"{fault}, and nothing can be moved to mend it"
                break


def _relieve_nodes(search: _Search) -> Iterator[str]:
    """Move VMs away from overloaded and draining nodes; yields why not."""
    for name, node in search.configuration.nodes.items():
        left = [vm for vm, nodes in search.hosts.items() if name in nodes]
        excess = search.load[name] - node.capacity
        if node.draining and left:
            text = f"{name} is draining"
        elif not node.draining and not search.load[name].fits(node.capacity):
            text = f"{excess.cpu_pct:.0f} % CPU" if excess.cpu_pct > 0 else f"{excess.memory_mib:.0f} MiB"
            text = f"{name} lacked {text}"
        else:
            continue
        if not search.want_any(_relief_sets(search, name), text):
            stays = search.immovable.intersection(left)
            stuck = f" ({', '.join(sorted(stays))} may not move)" if stays else ""
            yield f"{text} and no other node can take enough of its VMs{stuck}"


def _order(search: _Search, movers: Iterable[str]) -> Plan | None:
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
        actions.append(PlannedAction(len(actions) + 1, step, earlier, search.why.get(vm, "")))
    return Plan(tuple(actions))


def _share_rule(search: _Search, vm: str, other: str) -> bool:
    return any(other in rule.vms for rule in search.rules_of.get(vm, ()) if rule.kind == "spread")


_Part = Callable[[_Search], Iterator[str]]


def _repair(search: _Search, parts: tuple[_Part, ...]) -> list[str]:
    """Do all `parts` until they have nothing left to do; the reasons why something could not be done."""
    while True:
        found = len(search.why)
        reasons = [reason for part in parts for reason in part(search)]
        if not reasons or len(search.why) == found:
            return reasons


def _attempt(problem: Problem, parts: tuple[_Part, ...], ordered: bool) -> Solution:
    search = _Search(problem, ordered)
    reasons = _repair(search, parts)
    if reasons:
        return Solution(Status.UNSOLVED, reasons=tuple(reasons))
    plan = _order(search, search.why)
    if plan is None:
        moves = ", ".join(f"{vm} to {next(iter(search.hosts[vm]))}" for vm in search.why)
        return Solution(Status.UNSOLVED, reasons=(f"the moves wait for each other: {moves}",))
    faults = check(problem.configuration, problem.constraints, plan)
    return Solution(Status.UNSOLVED, reasons=tuple(faults)) if faults else Solution(Status.SOLVED, plan)


def solve(problem: Problem) -> Solution:
    """A plan after which every node and rule of `problem` holds, or the reasons why none was found.

    Deterministic. Bounded by `SEARCH_STEPS_MAX` destinations tried for each set of VMs that could move.
    """
    parts: tuple[_Part, ...] = (_start_waiting, _mend_rules, _relieve_nodes)
    # What is done first may be in the way of the rest; and moves that wait for each other may be set free by
    # later ones, so the last attempts do not ask for an order on the way. Their reasons say most.
    for order, ordered in ((parts, True), (parts[::-1], True), (parts[::-1], False), (parts, False)):
        solution = _attempt(problem, order, ordered)
        if solution.solved:
            break
    return solution
