"""Looking things up in a survey: what a name typed by a person means."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

from lucos.environments.messages import Surveyed
from lucos.errors import AlreadyExists, InputError, Refused, UnknownObject
from lucos.model import VirtualEnvironment


def locations(survey: Surveyed) -> dict[str, str]:
    """VM id -> node, of all VMs that answered for."""
    return {instance.spec.id: node for node, snap in survey.snapshots.items() for instance in snap.instances}


def find_ve(survey: Surveyed, name: str) -> VirtualEnvironment | None:
    return next((ve for ve in survey.ves if ve.name == name), None)


def known_vms(survey: Surveyed) -> list[str]:
    recorded = [vm.id for ve in survey.ves for vm in ve.vms]
    return list(dict.fromkeys([*recorded, *locations(survey)]))


def resolve_vm(survey: Surveyed, name: str) -> str:
    """The full id of the VM called `name` (its id, or its name alone when only one VE has it).

    Raises `UnknownObject` with the nearest names.
    """
    ids = known_vms(survey)
    if name in ids:
        return name
    matches = [vm for vm in ids if vm.partition(".")[2] == name]
    if len(matches) == 1:
        return matches[0]
    if matches:
        raise UnknownObject(f"{name} is ambiguous: {', '.join(matches)}", hint="give the full name")
    raise unknown("VM", name, ids)


def resolve_target(survey: Surveyed, name: str) -> list[str]:
    """The VMs meant by `name`: those of the VE of that name, or one VM."""
    ve = find_ve(survey, name)
    if ve is not None:
        return [vm.id for vm in ve.vms]
    try:
        return [resolve_vm(survey, name)]
    except UnknownObject as error:
        if "ambiguous" in error.message:
            raise
        raise unknown("VM or VE", name, [*known_vms(survey), *(ve.name for ve in survey.ves)]) from None


def unknown(what: str, name: str, known: Iterable[str]) -> UnknownObject:
    """The error for a name nothing bears, suggesting near ones."""
    names = sorted(known)
    near = difflib.get_close_matches(name, names, n=3)
    hint = f"did you mean {' or '.join(near)}?" if near else f"there are: {', '.join(names[:8]) or 'none'}"
    return UnknownObject(f"no {what} is called {name}", hint=hint)


def check_placeable(survey: Surveyed, ve: VirtualEnvironment) -> None:
    """Raise for what no placement can satisfy: no or known VMs, unknown nodes, a VM larger than any host."""
    if not ve.vms:
        raise InputError(f"{ve.name} has no VM", hint="a VE needs at least one")
    where = locations(survey)
    for vm in ve.vms:
        if vm.id in where:
            hint = f"it is left from an earlier {ve.name}; luc kill {vm.id} ends it"
            raise AlreadyExists(f"a VM called {vm.id} runs on {where[vm.id]} already", hint=hint)
    nodes = {name: snap.node for name, snap in survey.snapshots.items()}
    for rule in ve.constraints:
        for node in rule.nodes:
            if node not in nodes and node not in survey.silent:
                raise unknown(f"node (in {rule})", node, nodes)
    for vm in ve.vms:
        largest_mib = max((n.capacity.memory_mib for n in nodes.values()), default=0)
        if vm.memory_mib > largest_mib:
            raise Refused(
                f"{vm.id} asks for {vm.memory_mib} MiB of memory; the largest host has {largest_mib:.0f} MiB"
            )
