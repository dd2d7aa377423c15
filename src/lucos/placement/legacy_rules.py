"""The meaning of the placement rules: whether a VM may be on a node given who else is there.

`spread`, `gather`, `ban`, `fence` with BtrPlace's semantics (a continuous spread forbids transient overlap).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from lucos.model import Constraint

Hosts = dict[str, set[str]]
"""VM -> nodes it holds resources on: two while it migrates, none while it holds no node."""


def _spread(rule: Constraint, hosts: Hosts) -> str:
    seen: dict[str, str] = {}
    for vm in rule.vms:
        for node in sorted(hosts.get(vm, ())):
            if node in seen:
                return f"{vm} and {seen[node]} are both on {node}"
            seen[node] = vm
    return ""


def _gather(rule: Constraint, hosts: Hosts) -> str:
    places = {node for vm in rule.vms for node in hosts.get(vm, ())}
    return f"its VMs are on {', '.join(sorted(places))}" if len(places) > 1 else ""


def _ban(rule: Constraint, hosts: Hosts) -> str:
    for vm in rule.vms:
        for node in sorted(hosts.get(vm, ())):
            if node in rule.nodes:
                return f"{vm} is on {node}"
    return ""


def _fence(rule: Constraint, hosts: Hosts) -> str:
    for vm in rule.vms:
        for node in sorted(hosts.get(vm, ())):
            if node not in rule.nodes:
                return f"{vm} is on {node}"
    return ""


KINDS: dict[str, Callable[[Constraint, Hosts], str]] = {
    "spread": _spread,
    "gather": _gather,
    "ban": _ban,
    "fence": _fence,
}


def broken(rule: Constraint, hosts: Hosts) -> str:
    """Why `rule` does not hold where VMs are as in `hosts`; empty when it holds."""
    why = KINDS[rule.kind](rule, hosts)
    return f"{rule}: {why}" if why else ""


def first_broken(rules: Iterable[Constraint], hosts: Hosts) -> str:
    """The first rule that does not hold, with why; empty when all hold."""
    return next((why for rule in rules if (why := broken(rule, hosts))), "")


def broken_by(rule: Constraint, vm: str, hosts: Hosts) -> str:
    """Why `rule` does not hold for `vm`, alone or with one other VM; empty when it does.

    Each kind of rule is broken by one VM or by two, so looking at pairs misses nothing.
    """
    others = rule.vms if rule.kind in ("spread", "gather") else (vm,)
    pairs = ({vm: hosts.get(vm, set()), other: hosts.get(other, set())} for other in others)
    return next((why for pair in pairs if (why := broken(rule, pair))), "")
