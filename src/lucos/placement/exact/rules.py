"""Each primitive as rows of the CP-SAT model. VMs that the model does not place are constants."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from lucos.placement.arrays import NOWHERE, Arrays
from lucos.placement.exact.choices import Choices, Indexes, grouped
from lucos.placement.exact.cpsat import Model, negated
from lucos.placement.primitives import (
    Allow,
    AnyPrimitive,
    Apart,
    Distinct,
    Ints,
    Near,
    Online,
    Reserve,
    Together,
    Total,
)

Given = tuple[int, ...]


class Encoder:
    """Adds primitives to a model whose first variables are the pairs of `choices`.

    `online[node]` is the variable that says whether a node is on, or `-1` for off and `-2` for on.
    """

    OFF, ON = -1, -2

    def __init__(self, arrays: Arrays, choices: Choices, model: Model, online: Ints) -> None:
        self.arrays, self.choices, self.model, self.online = arrays, choices, model, online
        self.broken: dict[int, int] = {}
        """The variable of each soft rule that says it is broken."""

    def add(self, primitive: AnyPrimitive) -> None:
        """Rows that hold when the primitive holds in the result, or when its soft rule is given up."""
        given: Given = ()
        if primitive.weight:
            if primitive.rule not in self.broken:
                self.broken[primitive.rule] = self.model.boolean()
            given = (negated(self.broken[primitive.rule]),)
        match primitive:
            case Allow():
                self._allow(primitive, given)
            case Apart():
                self._apart(primitive.sides, given)
            case Together():
                self._groups((primitive.vms,), primitive.group_of, given)
            case Distinct():
                self._groups(primitive.sets, primitive.group_of, given)
            case Near():
                self._near(primitive, given)
            case Total():
                self._total(primitive, given)
            case Reserve():
                self._reserve(primitive, given)
            case Online():
                self._online(primitive, given)

    def _forbid(self, pairs: Iterable[int], given: Given) -> None:
        negatives = [negated(int(pair)) for pair in pairs]
        if negatives:
            self.model.all_of(negatives, given)

    def _impossible(self, given: Given) -> None:
        self.model.at_least_one([negated(literal) for literal in given])

    def any_of(self, literals: list[int]) -> int:
        """A literal that is true when one of these is."""
        if len(literals) == 1:
            return literals[0]
        some = self.model.boolean()
        for literal in literals:
            self.model.at_least_one((negated(literal), some))
        return some

    def _allow(self, rule: Allow, given: Given) -> None:
        """Hard ones were applied when candidates were chosen."""
        if not given:
            return
        if not rule.nodes[self.choices.fixed_nodes(rule.vms)].all():
            self._impossible(given)
        pairs = self.choices.pairs_of(rule.vms)
        self._forbid(pairs[~rule.nodes[self.choices.node[pairs]]], given)

    def _apart(self, sides: tuple[Ints, ...], given: Given) -> None:
        choices = self.choices
        taken: dict[int, int] = {}
        for number, side in enumerate(sides):
            for node in choices.fixed_nodes(side).tolist():
                if taken.setdefault(node, number) != number:
                    self._impossible(given)
        on_node: dict[int, dict[int, list[int]]] = {}
        for number, side in enumerate(sides):
            pairs = choices.pairs_of(side)
            for pair, node in zip(pairs.tolist(), choices.node[pairs].tolist(), strict=True):
                on_node.setdefault(node, {}).setdefault(number, []).append(pair)
        for node, by_side in on_node.items():
            if node in taken:
                mine = taken[node]
                self._forbid([p for s, pairs in by_side.items() if s != mine for p in pairs], given)
            elif len(by_side) > 1:
                once = [self.any_of(pairs) for pairs in by_side.values()]
                if len(set(once)) < len(once):  # a VM of two sides is apart from itself nowhere
                    self._forbid({p for p in once if once.count(p) > 1}, given)
                self.model.at_most_one(list(dict.fromkeys(once)), given)

    def _groups(self, sets: tuple[Ints, ...], group_of: Ints, given: Given) -> None:
        """Each set in one group, each group for one set."""
        users: dict[int, list[int]] = {}
        for vms in sets:
            fixed = group_of[self.choices.fixed_nodes(vms)]
            must = np.unique(fixed).tolist()
            if len(must) > 1 or NOWHERE in must:
                self._impossible(given)
                return
            pairs = self.choices.pairs_of(vms)
            group = group_of[self.choices.node[pairs]]
            self._forbid(pairs[group == NOWHERE], given)
            present = np.union1d(group[group != NOWHERE], fixed).tolist()
            chosen = dict(zip(present, self.model.booleans(len(present)), strict=True))
            for g in must:
                self.model.at_least_one((chosen[g],), given)
            if len(chosen) > 1:
                self.model.at_most_one(list(chosen.values()), given)
            for g, literal in chosen.items():
                users.setdefault(g, []).append(literal)
            per_group = group.astype(np.int64) * len(self.choices.vms) + self.choices.row[pairs]
            for _, mine in grouped(pairs, per_group):
                literal = chosen.get(int(group_of[self.choices.node[mine[0]]]))
                if literal is not None:
                    self.model.at_most_one([*mine.tolist(), negated(literal)])
        for literals in users.values():
            if len(literals) > 1:
                self.model.at_most_one(literals, given)

    def _near(self, rule: Near, given: Given) -> None:
        here = {
            node: self.any_of(pairs.tolist())
            for node, pairs in self.choices.by_node(self.choices.pairs_of(rule.vms))
        }
        fixed = self.choices.fixed_nodes(rule.vms).tolist()
        for node in fixed:
            near = rule.near(node)
            if not near[fixed].all():
                self._impossible(given)
            self._forbid([here[n] for n in here if not near[n]], given)
        for node, literal in here.items():
            near = rule.near(node)
            if not near[fixed].all():
                self._forbid([literal], given)
            far = [negated(other) for n, other in here.items() if n != node and not near[n]]
            if far:
                self.model.all_of(far, (*given, literal))

    def _total(self, rule: Total, given: Given) -> None:
        choices, count = self.choices, rule.resource < 0
        if count:
            others = int(rule.nodes[choices.fixed[choices.fixed != NOWHERE]].sum())
        else:
            others = int(choices.load[rule.nodes, rule.resource].sum())
        pairs = np.flatnonzero(rule.nodes[choices.node])
        amounts = np.ones(len(pairs), np.int64)
        if not count:
            amounts = self.arrays.need[choices.vms[choices.row[pairs]], rule.resource]
        self._at_most(pairs, amounts, rule.limit - others, given)

    def _at_most(self, pairs: Indexes, amounts: Indexes, room: int, given: Given) -> None:
        """Skips rows that nothing can break."""
        pairs, amounts = pairs[amounts > 0], amounts[amounts > 0]
        if amounts.sum() > room:
            self.model.linear(pairs.tolist(), amounts.tolist(), high=room, given=given)

    def capacities(self) -> None:
        """What each node holds fits it, and nobody is on a node that is off."""
        choices, need = self.choices, self.arrays.need[self.choices.vms]
        for node, pairs in choices.by_node(np.arange(len(choices.node))):
            amounts = need[choices.row[pairs]]
            room = self.arrays.capacity[node] - choices.load[node]
            for resource in range(len(room)):
                self._at_most(pairs, amounts[:, resource], int(room[resource]), ())
            on = int(self.online[node])
            if on == self.OFF:
                self._forbid(pairs, ())
            elif on >= 0:
                for pair in pairs.tolist():
                    self.model.at_least_one((negated(pair), on))

    def _reserve(self, rule: Reserve, given: Given) -> None:
        choices, arrays = self.choices, self.arrays
        running_at = np.where(arrays.runs_now, arrays.host, NOWHERE)
        came = (choices.fixed != NOWHERE) & (choices.fixed != running_at)
        receives = np.zeros(len(arrays.nodes), dtype=np.bool_)
        receives[choices.fixed[came]] = True
        over = receives & (choices.load[:, rule.resource] > rule.limit)
        if (over & rule.nodes).any():
            self._impossible(given)
        for node, pairs in choices.by_node(np.flatnonzero(rule.nodes[choices.node])):
            vms = choices.vms[choices.row[pairs]]
            room = int(rule.limit[node] - choices.load[node, rule.resource])
            new = pairs[running_at[vms] != node].tolist()
            amounts = arrays.need[vms, rule.resource]
            if receives[node]:
                self._at_most(pairs, amounts, room, given)
            elif room < 0:
                self._forbid(new, given)
            elif new:
                self._at_most(pairs, amounts, room, (*given, self.any_of(new)))

    def _online(self, rule: Online, given: Given) -> None:
        on = self.online[rule.nodes]
        variables = on[on >= 0].tolist()
        room = rule.limit - int((on == self.ON).sum())
        if len(variables) > room:
            self.model.linear(variables, [1] * len(variables), high=room, given=given)
