"""Why a plan treats a VM as it does, and why there is no plan, in words.

Told from names and from the checker's world: what would be wrong in the result if the VM had stayed, which
rules and capacities leave which nodes, and what each action waits for.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator

import msgspec

from lucos.errors import UnknownObject
from lucos.model import Constraint, Plan, PlannedAction
from lucos.placement.cluster import amount_text
from lucos.placement.constraints import KINDS
from lucos.placement.gantt import where
from lucos.placement.judges import STATE_KINDS, Capacities, exceeds, listed, takers
from lucos.placement.judging import speaks_of
from lucos.placement.problem import Problem, Solution
from lucos.placement.timeline import HOLDING, Stand, Step, kind_of, read
from lucos.placement.world import World

LINES_MAX = 8
_NODE_STATES = frozenset({"online", "offline", "maxOnline"})
_TOTALS = frozenset({"runningCapacity", "resourceCapacity"})


def explain(problem: Problem, plan: Plan, vm: str) -> str:
    """Several lines on what `plan` does to `vm` and why; raises `UnknownObject`."""
    if vm not in problem.cluster.vms:
        raise UnknownObject(f"there is no VM {vm!r}", hint=_close(vm, problem.cluster.vms))
    return "\n".join(_Story(problem, plan, vm).lines())


def conflict(problem: Problem, solution: Solution) -> list[str]:
    """Lines on why there is no plan: the rules and capacities that cannot hold together, or the reasons."""
    lines = list(solution.reasons)
    core = solution.core
    if core is not None and (core.constraints or core.capacities):
        lines.append("these cannot hold together; without any one of them, the others can:")
        lines += [f"  - {_rule(rule)}" for rule in core.constraints]
        for room in core.capacities:
            amount = problem.cluster.nodes[room.node].capacity.get(room.resource, 0.0)
            lines.append(f"  - {room.node} offers {amount_text(amount, room.resource)}")
    return lines or ["no plan was found, and none was proved impossible; a larger --budget may find one"]


def _close(name: str, known: Iterable[str]) -> str:
    import difflib

    close = difflib.get_close_matches(name, known, n=3)
    return f"did you mean {', '.join(close)}?" if close else ""


def _rule(rule: Constraint) -> str:
    return f"{rule} [{rule.label}]" if rule.label else str(rule)


class _Story:
    """One VM in one plan. `world` is the result; the VM is put elsewhere in it to see what would be wrong."""

    def __init__(self, problem: Problem, plan: Plan, vm: str) -> None:
        self.problem = problem
        self.plan = plan
        self.vm = vm
        steps, self.faults = read(problem, plan)
        self.steps: list[Step] = steps
        self.world = World.started(problem.cluster)
        self.world.start = self.world.snapshot()
        for step in steps:
            self.world.begin(step)
            self.world.finish(step)
        self.own = [step for step in steps if step.vm == vm]
        self.first = Stand.of(problem.cluster.vms[vm])
        self.last = self.own[-1].after or self.first if self.own else self.first
        self.capacities = Capacities(problem)
        rules = [rule for rule in problem.constraints if not rule.weight and rule.kind not in _NODE_STATES]
        self.naming = [rule for rule in rules if (rule.vms or rule.sets) and speaks_of(rule, vm)]
        self.of_node: dict[str, list[Constraint]] = {}
        for rule in rules:
            for node in () if rule.vms or rule.sets else rule.nodes:
                self.of_node.setdefault(node, []).append(rule)
        self._totals: dict[int, bool] = {}

    def lines(self) -> list[str]:
        lines = [self._now(), *self._actions()]
        if self.faults:
            lines += ["This plan does not hold; luc check tells why."]
        lines += self._stay() + self._choice() + self._waits()
        bound = [f"  - {_rule(rule)}" for rule in self.naming]
        return lines + _titled("Rules that name it:", bound)

    def _now(self) -> str:
        amounts = ", ".join(amount_text(n, rc) for rc, n in sorted(self.first.amounts.items()))
        place = {True: f" on {self.first.place}", False: ""}[bool(self.first.place)]
        return f"{self.vm} is {self.first.state}{place}" + (f" with {amounts}" if amounts else "") + "."

    def _actions(self) -> list[str]:
        if not self.own:
            return ["The plan leaves it alone."]
        return [_told(step.planned, first=i == 0) for i, step in enumerate(self.own)]

    def _stay(self) -> list[str]:
        """What would be wrong if it had stayed where it was."""
        moved = self.first.state in HOLDING and self.last.held and self.last.place != self.first.place
        if not moved:
            asked = [rule for rule in self.naming if rule.kind in STATE_KINDS]
            changed = self.own and self.last.state is not self.first.state
            return (
                _titled("That state is asked for by", [f"  - {_rule(r)}" for r in asked]) if changed else []
            )
        home = self.first.place
        wrong = [f"  - {text}" for text in self._wrong_at(home)]
        if not wrong:
            return [
                f"It could have stayed on {home}: it moves for the objective, or to make room on the way."
            ]
        return [f"If it stayed on {home}, and all else went as planned:", *_short(wrong)]

    def _wrong_at(self, node: str) -> list[str]:
        """What does not hold in the result with the VM on `node`."""
        stand = self._put(node)
        found = []
        if node not in self.world.usable:
            found.append(f"{node} is not online")
        for resource, used in self.world.used[node].items():
            if stand.amounts.get(resource) and exceeds(used, self.capacities.of(node, resource)):
                who = takers(self.world, node, resource)
                found.append(str(self.capacities.fault(node, resource, "would hold", used, who, 0.0).text))
        for rule in [*self.naming, *self.of_node.get(node, ())]:
            breach = KINDS[rule.kind].broken(self._at(rule, node), self.world)
            if breach is not None:
                found.append(f"{_rule(rule)}: {breach.text}")
        self._put_back(stand)
        return found

    def _choice(self) -> list[str]:
        """Which nodes the rules and capacities leave, and how the chosen one ranks among them."""
        chosen = self.last.place
        if not self.last.held or not self.own or chosen == self.first.place:
            return []
        nodes = sorted(self.world.usable)
        by_rule: Counter[str] = Counter()
        lacking: Counter[str] = Counter()
        left: dict[str, float] = {}
        for node in nodes:
            rules, resources, load = self._forbids(node)
            by_rule.update(rules)
            lacking.update(resources)
            if not rules and not resources:
                left[node] = load
        lines = [f"Of {len(nodes)} nodes that are on in the result:"]
        lines += _short([f"  - {count} not allowed by {rule}" for rule, count in by_rule.most_common()])
        lines += [f"  - {count} without room for its {resource}" for resource, count in lacking.most_common()]
        ranked = sorted(left, key=lambda node: (left[node], node))
        if chosen not in left:
            return lines
        others = [node for node in ranked if node != chosen]
        place = ranked.index(chosen) + 1
        here = f"{chosen} ({left[chosen]:.0%} full then)"
        lines.append(f"  - {len(left)} left; {here} is number {place} from the emptiest")
        if others:
            lines.append(f"    others: {', '.join(f'{n} ({left[n]:.0%})' for n in others[:LINES_MAX])}")
        return lines

    def _forbids(self, node: str) -> tuple[list[str], list[str], float]:
        """Rules that forbid `node`, resources that it lacks, and how full it would be with the VM."""
        stand = self._put(node)
        used = self.world.used[node]
        room = {resource: self.capacities.of(node, resource) for resource in used}
        lacks = [rc for rc, n in stand.amounts.items() if n and exceeds(used.get(rc, 0.0), room[rc])]
        rules = [rule for rule in self.naming if self._breaks(rule, node)]
        rules += [rule for rule in self.of_node.get(node, ()) if self._breaks(rule, node)]
        load = max((used[rc] / room[rc] for rc in used if room[rc]), default=0.0)
        self._put_back(stand)
        return [_rule(rule) for rule in rules], lacks, load

    def _breaks(self, rule: Constraint, node: str) -> bool:
        if rule.kind not in _TOTALS:
            return KINDS[rule.kind].broken(self._at(rule, node), self.world) is not None
        # The total is the same wherever in its nodes the VM is: thousands of nodes ask once.
        if id(rule) not in self._totals:
            self._totals[id(rule)] = KINDS[rule.kind].broken(rule, self.world) is not None
        return self._totals[id(rule)]

    def _at(self, rule: Constraint, node: str) -> Constraint:
        """The rule where it concerns this VM: one about nodes alone, on this node."""
        alone = not rule.vms and not rule.sets and rule.kind not in _TOTALS
        return msgspec.structs.replace(rule, nodes=(node,)) if alone else rule

    def _put(self, node: str) -> Stand:
        """The VM on `node` in the result; how it stands there."""
        stand = Stand(self.last.state, self.last.amounts, ((node, self.last.amounts),))
        self._change(self.last, stand)
        return stand

    def _put_back(self, stand: Stand) -> None:
        self._change(stand, self.last)

    def _change(self, now: Stand, then: Stand) -> None:
        step = Step(self.own[-1].planned, 0.0, 0.0, False, during=now, after=then)
        self.world.finish(step)

    def _waits(self) -> list[str]:
        """What each of its actions waits for."""
        steps = {step.planned.number: step.planned for step in self.steps}
        lines: list[str] = []
        for own in self.own:
            planned = own.planned
            waited = [steps[number] for number in planned.depends_on if number in steps]
            if own.start_s > 0 and not waited:
                waited = [
                    s.planned for s in self.steps if s.end_s == own.start_s and _touch(s.planned, planned)
                ]
            if waited:
                lines.append(f"#{planned.number} starts at {own.start_s:.6g} s, after")
                lines += _short([f"  - {_waited(other, planned)}" for other in waited])
        return lines


def _told(planned: PlannedAction, *, first: bool) -> str:
    action, verb = planned.action, kind_of(planned.action).replace("_", " ")
    when = f"from {planned.start_s:.6g} to {planned.end_s:.6g} s"
    said = f"{'The plan' if first else 'Then it'} does #{planned.number}: {verb} {where(planned)}, {when}"
    amounts = ", ".join(amount_text(n, rc) for rc, n in getattr(action, "amounts", ()))
    said += f", with {amounts}" if amounts else ""
    return f"{said}.\n  {planned.reason}" if planned.reason else f"{said}."


def _nodes(planned: PlannedAction) -> Iterator[str]:
    for field in ("source", "destination", "node"):
        if node := getattr(planned.action, field, ""):
            yield node


def _touch(one: PlannedAction, other: PlannedAction) -> bool:
    return one is not other and bool(set(_nodes(one)) & set(_nodes(other)))


def _waited(other: PlannedAction, planned: PlannedAction) -> str:
    verb = kind_of(other.action).replace("_", " ")
    shared = [node for node in _nodes(other) if node in set(_nodes(planned))]
    what = " ".join(part for part in (verb, other.action.vm, where(other)) if part)
    return f"#{other.number} {what} ends at {other.end_s:.6g} s" + (
        f" (both use {listed(shared)})" if shared else ""
    )


def _titled(title: str, lines: list[str]) -> list[str]:
    return [title, *_short(lines)] if lines else []


def _short(lines: list[str]) -> list[str]:
    more = len(lines) - LINES_MAX
    return [*lines[:LINES_MAX], f"  ... {more} more"] if more > 0 else lines
