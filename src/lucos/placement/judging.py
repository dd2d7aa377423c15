"""Whether rules hold at an instant, in words; and what of a rule can be told of a part of the cluster."""

from __future__ import annotations

from collections.abc import Container, Iterable
from functools import lru_cache

import msgspec

from lucos.model import Constraint
from lucos.placement.constraints import KINDS
from lucos.placement.moment import Moment

# Rules that VMs and nodes elsewhere cannot break: whoever shares no node with a VM does not concern it.
_LOCAL = frozenset(
    {
        *("spread", "split", "lonely", "ban", "fence", "root", "quarantine", "drain"),
        *("overbook", "preserve", "headroom"),
        *("seq", "before", "precedence", "serialize", "sync", "deadline", "noDelay"),
    }
)
# Rules that say where VMs may be: with none of these nodes at hand, nowhere.
_CONFINING = frozenset({"fence", "among", "splitAmong", "latency"})
# How many VMs (or sets of VMs) a rule needs to say anything, where one is not enough.
_TWO = frozenset({"before", "precedence", "split"})


def broken(rule: Constraint, moment: Moment) -> str:
    """Why `rule` does not hold at `moment`; empty when it does.

    Of VMs and nodes that the moment's cluster does not know nothing is said; kinds that this version does not
    know hold.
    """
    kind = KINDS.get(rule.kind)
    known = narrowed(rule, moment.cluster.vms, moment.cluster.nodes).rule
    if kind is None or known is None:
        return ""
    breach = KINDS[known.kind].broken(known, moment)
    return f"{rule}: {breach.text}" if breach else ""


class Narrowed(msgspec.Struct, frozen=True):
    """What a rule says of a part of the cluster: None when nothing.

    With `blind`, it can be broken together with VMs or nodes that are not of the part.
    """

    rule: Constraint | None
    blind: bool = False


def narrowed(rule: Constraint, vms: Container[str], nodes: Iterable[str]) -> Narrowed:
    """`rule` for those who know these VMs and nodes only, and know that nobody else is on these nodes."""
    here = dict.fromkeys(nodes)
    kept = msgspec.structs.replace(
        rule,
        vms=_of(rule.vms, vms),
        nodes=_of(rule.nodes, here),
        sets=tuple(part for names in rule.sets if (part := _of(names, vms))),
        groups=tuple(part for names in rule.groups if (part := _of(names, here))),
    )
    members = kept.vms or tuple(vm for names in kept.sets for vm in names)
    if (rule.vms or rule.sets) and not members:
        return Narrowed(None)
    if rule.kind in _TWO and max(len(kept.vms), len(kept.sets)) < 2:
        return Narrowed(None)
    blind = rule.kind not in _LOCAL and kept != rule
    if (rule.nodes or rule.groups) and not (kept.nodes or kept.groups):
        if rule.kind not in _CONFINING:
            return Narrowed(None)
        nowhere = Constraint(
            "ban", members, tuple(here), rule.continuous, weight=rule.weight, label=rule.label
        )
        return Narrowed(nowhere, blind)
    return Narrowed(kept, blind)


def _of(names: tuple[str, ...], known: Container[str]) -> tuple[str, ...]:
    return names if all(name in known for name in names) else _one(tuple(n for n in names if n in known))


@lru_cache(maxsize=4096)
def _one(names: tuple[str, ...]) -> tuple[str, ...]:
    """Equal tuples as one: who judges remembers what it made of each."""
    return names


def speaks_of(rule: Constraint, vm: str) -> bool:
    """Whether `vm` is bound by `rule`; a rule that names no VM binds all."""
    named = rule.vms or rule.sets
    return not named or vm in rule.vms or any(vm in names for names in rule.sets)
