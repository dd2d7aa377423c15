"""What running, ready, sleeping, killed, online and offline share: the state wanted in the result."""

from __future__ import annotations

from collections.abc import Iterable
from typing import ClassVar

from lucos.model import Constraint, VmState
from lucos.model.signature import Modes, Role, Signature
from lucos.placement.arrays import KILLED, READY, RUNNING, SLEEPING, Arrays
from lucos.placement.cluster import Cluster
from lucos.placement.constraints.base import Breach, Kind
from lucos.placement.moment import Moment

# What one action can do, beside keeping the state.
_REACHABLE = {
    (READY, RUNNING),
    (READY, KILLED),
    (RUNNING, READY),
    (RUNNING, SLEEPING),
    (RUNNING, KILLED),
    (SLEEPING, RUNNING),
    (SLEEPING, KILLED),
}


def wanted_signature(name: str, role: Role) -> Signature:
    return Signature(name, (role,), Modes.DISCRETE, soft=False)


class WantedVmState(Kind):
    """`accepted` are the states that satisfy the rule, `wanted` is the state in arrays."""

    accepted: ClassVar[tuple[VmState, ...]]
    wanted: ClassVar[int]

    def mistakes(self, rule: Constraint, cluster: Cluster) -> Iterable[str]:
        if self.wanted == READY:
            for vm in rule.vms:
                if cluster.vms[vm].state is VmState.PAUSED:
                    yield f"{vm} is paused and cannot be shut down: unpause it first"

    def broken(self, rule: Constraint, moment: Moment) -> Breach | None:
        wrong = [(vm, moment.state(vm)) for vm in rule.vms if moment.state(vm) not in self.accepted]
        if not wrong:
            return None
        text = ", ".join(f"{vm} is {state}" for vm, state in wrong[:4])
        return Breach(text, (), tuple(vm for vm, _ in wrong))

    def prepare(self, rule: Constraint, number: int, arrays: Arrays) -> None:
        for vm in arrays.vms_of(rule.vms).tolist():
            rules = arrays.target_rules.setdefault(vm, [])
            if rules and arrays.target[vm] != self.wanted:
                arrays.clashes.append((rules[0], number))
                continue
            rules.append(number)
            arrays.target[vm] = self.wanted
            now = int(arrays.state[vm])
            if now != self.wanted and (now, self.wanted) not in _REACHABLE:
                arrays.clashes.append((number,))


class WantedNodeState(Kind):
    """`wanted` is 1 for online, 0 for offline."""

    wanted: ClassVar[int]

    def broken(self, rule: Constraint, moment: Moment) -> Breach | None:
        on = moment.online
        wrong = tuple(name for name in rule.nodes if (on is None or name in on) != bool(self.wanted))
        state = "offline" if self.wanted else "online"
        return Breach(f"{', '.join(wrong[:4])} is {state}", wrong) if wrong else None

    def prepare(self, rule: Constraint, number: int, arrays: Arrays) -> None:
        for name in rule.nodes:
            node = arrays.node_index[name]
            rules = arrays.node_rules.setdefault(node, [])
            if arrays.node_target[node] not in (-1, self.wanted):
                all_rules = arrays.problem.constraints
                arrays.clashes.append(
                    (next(other for other in rules if all_rules[other].kind in ("online", "offline")), number)
                )
                continue
            rules.append(number)
            arrays.node_target[node] = self.wanted
