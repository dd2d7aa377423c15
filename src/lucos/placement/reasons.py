"""Why a VM is acted on and why it goes where it goes: told from start and result, not from the search."""

from __future__ import annotations

import numpy as np

from lucos.model import Constraint
from lucos.placement.arrays import NOWHERE, RUNNING, SLEEPING, Arrays, Target
from lucos.placement.cluster import amount_text
from lucos.placement.holding import holds
from lucos.placement.objectives import objectives_of
from lucos.placement.primitives import Allow, Apart, Ints
from lucos.placement.state import State

# Rules and VMs named in one reason.
NAMED_MAX = 2


def add_reasons(start: State, target: Target) -> None:
    """Fill `target.why` for every VM whose place or state changes."""
    arrays = start.arrays
    teller = _Teller(start, target)
    arrives = (target.place >= 0) & ((target.place != arrays.host) | ~arrays.runs_now)
    for vm in np.flatnonzero(arrives):
        text = teller.why_it_goes(int(vm))
        target.why[int(vm)] = f"{text}; {teller.why_there(int(vm))}"
    for vm in np.flatnonzero((arrays.target != arrays.state) & (arrays.target != RUNNING)):
        target.why[int(vm)] = teller.wanted(int(vm))
    for asked in arrays.need_rules:
        if target.place[asked[0]] == arrays.host[asked[0]] and arrays.need[asked] != arrays.use[asked]:
            target.why[asked[0]] = teller.needs(*asked)


def name_of(rule: Constraint) -> str:
    """A rule in a reason: `spread web.luc:12`, or how it is written when it has no label."""
    return f"{rule.kind} {rule.label}" if rule.label else str(rule)


class _Teller:
    def __init__(self, start: State, target: Target) -> None:
        self.start = start
        self.arrays: Arrays = start.arrays
        self.target = target
        self.rules = self.arrays.problem.constraints
        place = np.where(self.arrays.runs_now & (self.arrays.target == RUNNING), self.arrays.host, NOWHERE)
        self.before: Ints = place.astype(np.int32)
        after = np.zeros_like(self.arrays.capacity)
        there = target.place >= 0
        np.add.at(after, target.place[there], self.arrays.need[there])
        self.full = (after / np.maximum(self.arrays.capacity, 1)).max(axis=1, initial=0.0)
        self.newcomers: dict[int, int] = {}
        for vm in np.flatnonzero(there & (target.place != self.before))[::-1]:
            self.newcomers[int(target.place[vm])] = int(vm)

    def wanted(self, vm: int) -> str:
        """Which rules ask for the state it will have."""
        rules = [name_of(self.rules[i]) for i in self.arrays.target_rules.get(vm, ())[:NAMED_MAX]]
        return f"asked for by {', '.join(rules)}" if rules else "waits to run"

    def needs(self, vm: int, resource: int) -> str:
        """Which rule asks for more of a resource."""
        return f"asked for by {name_of(self.rules[self.arrays.need_rules[vm, resource][-1]])}"

    def why_it_goes(self, vm: int) -> str:
        arrays = self.arrays
        if arrays.state[vm] != RUNNING:
            return self.wanted(vm)
        node = int(arrays.host[vm])
        name = arrays.nodes[node]
        if arrays.closed[node]:
            asked = arrays.node_rules.get(node, ())[:NAMED_MAX]
            return f"{name} must be empty ({', '.join(name_of(self.rules[i]) for i in asked)})"
        for rule in self.start.rules_of[vm]:
            if isinstance(rule, Allow) and rule.rule >= 0 and not rule.nodes[node]:
                return f"{name} is not allowed by {name_of(self.rules[rule.rule])}"
        lack = self.start.load_at_start[node] - self.start.capacity[node]
        if (lack > 0).any():
            r = int((lack / np.maximum(arrays.capacity[node], 1)).argmax())
            return f"{name} lacked {amount_text(int(lack[r]) / arrays.scale[r], arrays.resources[r])}"
        for rule in self.start.rules_of[vm]:
            if isinstance(rule, Apart):
                others = [int(o) for o in self.start.others(rule, vm) if self.before[o] == node]
                if others:
                    return (
                        f"shared {name} with {arrays.vms[others[0]]} against {name_of(self.rules[rule.rule])}"
                    )
        if node in self.newcomers:
            return f"makes room on {name} for {arrays.vms[self.newcomers[node]]}"
        bound = [rule for rule in self.start.rules_of[vm] if rule.rule >= 0]
        for rule in bound:
            if not holds(rule, arrays, self.before, arrays.online, self.start.load_at_start):
                return f"{name_of(self.rules[rule.rule])} did not hold"
        if bound:
            return f"for {name_of(self.rules[bound[0].rule])}"
        return f"for a lower {objectives_of(arrays.problem)[0].replace('_', ' ')}"

    def why_there(self, vm: int) -> str:
        """How the chosen node ranks among those that the rules leave."""
        arrays, node = self.arrays, int(self.target.place[vm])
        rules = [rule for rule in self.start.rules_of[vm] if isinstance(rule, Allow)]
        mask = self.target.online & ~arrays.closed
        for rule in rules:
            mask = mask & rule.nodes
        if arrays.state[vm] == RUNNING:
            mask[arrays.host[vm]] = False
        named = list(dict.fromkeys(name_of(self.rules[rule.rule]) for rule in rules if rule.rule >= 0))
        allowed = f" allowed by {', '.join(named[:NAMED_MAX])}" if named else ""
        name, count = arrays.nodes[node], int(mask.sum())
        if count <= 1:
            return f"{name} is the only node{allowed}"
        if arrays.state[vm] == SLEEPING and node == arrays.host[vm]:
            return f"its image is on {name}"
        emptier = int((self.full[mask] < self.full[node]).sum())
        if emptier == 0:
            return f"{name} was the least loaded of the {count} nodes{allowed}"
        return f"{name} had room; of the {count} nodes{allowed} {emptier} ended up emptier"
