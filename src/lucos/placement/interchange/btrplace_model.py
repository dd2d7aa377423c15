"""Problems as BtrPlace's instances: the model (mapping, attributes, views) and what is asked of it."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from typing import Any

import msgspec

from lucos.model import VmState
from lucos.placement.cluster import Link, Network, Node, Switch, Vm
from lucos.placement.interchange import btrplace_format as form
from lucos.placement.interchange.btrplace import DURATIONS, MEMORY
from lucos.placement.interchange.btrplace_format import UNLIMITED
from lucos.placement.interchange.btrplace_rules import objective_id, whole, written
from lucos.placement.interchange.numbers import numbers_of
from lucos.placement.problem import Problem

_PLAIN = Vm("", {})
_TOLD = re.compile(r"\w+#(\d+)")


def write_instance(problem: Problem) -> bytes:
    """The problem as BtrPlace reads it; `InputError` for what it cannot say (soft rules, fractions)."""
    vms, nodes = numbers_of(problem)
    return msgspec.json.encode(
        {
            "model": model_of(problem),
            "constraints": [written(rule, vms, nodes) for rule in problem.constraints],
            "objective": {"id": objective_id(problem.objective)},
        }
    )


def model_of(problem: Problem) -> dict[str, Any]:
    """The cluster. Killed VMs are left out, paused ones run: BtrPlace has neither."""
    vms, nodes = numbers_of(problem)
    cluster = problem.cluster
    hosts = {name: form.Host() for name, node in cluster.nodes.items() if node.online}
    mapping = form.Mapping({nodes[name]: host for name, host in hosts.items()})
    mapping.offline += [nodes[name] for name in cluster.nodes if name not in hosts]
    kept = {name: vm for name, vm in cluster.vms.items() if vm.state is not VmState.KILLED}
    for name, vm in kept.items():
        match vm.state:
            case VmState.READY:
                mapping.ready.append(vms[name])
            case VmState.SLEEPING:
                hosts[str(vm.node)].sleeping.append(vms[name])
            case _:
                hosts[str(vm.node)].running.append(vms[name])
    attributes = form.Attributes(
        {nodes[name]: _node_attributes(problem, node) for name, node in cluster.nodes.items()},
        {vms[name]: _vm_attributes(problem, vm) for name, vm in kept.items()},
    )
    views = [*_resources(problem, vms, nodes), *_names(vms, "vm"), *_names(nodes, "node")]
    if cluster.network is not None:
        views.append(_network(cluster.network, nodes))
    return {"mapping": mapping, "attributes": attributes, "views": views}


def _vm_attributes(problem: Problem, vm: Vm) -> form.VmAttributes:
    """Durations; that of migrations only where no network decides it."""
    network = problem.cluster.network is not None
    seconds = {
        kind: _whole_s(problem, problem.durations.of_vm(kind, vm))
        for kind in DURATIONS
        if kind in vm.durations_s or not (kind == "migrate" and network)
    }
    memory = {
        theirs: value
        for theirs, ours in MEMORY.items()
        if (value := getattr(vm, ours)) != getattr(_PLAIN, ours)
    }
    return form.VmAttributes(**_not_one(seconds, vm.durations_s), **memory)


def _node_attributes(problem: Problem, node: Node) -> form.NodeAttributes:
    seconds = {
        kind.removesuffix("_node"): _whole_s(problem, problem.durations.of_node(kind, node))
        for kind in ("boot_node", "shutdown_node")
    }
    said = {kind.removesuffix("_node"): value for kind, value in node.durations_s.items()}
    return form.NodeAttributes(**_not_one(seconds, said))


def _not_one(seconds: dict[str, Any], said: dict[str, float]) -> dict[str, Any]:
    """What BtrPlace does not take for granted: an action it knows nothing of takes one second."""
    return {kind: value for kind, value in seconds.items() if value != 1 or kind in said}


def _whole_s(problem: Problem, seconds: float) -> int:
    """Whole seconds, rounded up as ticks are."""
    tick_s = problem.durations.tick_s
    return math.ceil(math.ceil(seconds / tick_s - 1e-9) * tick_s - 1e-9)


def _resources(problem: Problem, vms: dict[str, int], nodes: dict[str, int]) -> list[form.Resource]:
    cluster = problem.cluster
    views: dict[str, form.Resource] = {}
    for node in cluster.nodes.values():
        for rc, amount in node.capacity.items():
            view = views.setdefault(rc, form.Resource(rc))
            view.nodes[nodes[node.name]] = whole(amount, f"{rc} of {node.name}")
    for vm in cluster.vms.values():
        for rc, amount in vm.demand.items() if vm.state is not VmState.KILLED else ():
            view = views.setdefault(rc, form.Resource(rc))
            view.vms[vms[vm.name]] = whole(amount, f"{rc} of {vm.name}")
    return [*views.values()]


def _names(numbers: dict[str, int], kind: str) -> list[form.Naming]:
    """The naming view, of what is not just called by its number."""
    mark = "@" if kind == "node" else ""
    names = {f"{mark}{name}": n for name, n in numbers.items() if name != f"{kind}#{n}"}
    return [form.Naming(kind, names)] if names else []


def _network(network: Network, nodes: dict[str, int]) -> form.Net:
    switches, links = _numbered(network.switches), _numbered(network.links)
    return form.Net(
        [
            form.Switch(switches[s.name], UNLIMITED if s.capacity_mbps is None else s.capacity_mbps)
            for s in network.switches
        ],
        [
            form.Link(
                links[link.name],
                link.capacity_mbps,
                switches[link.switch],
                form.Element("node", nodes[link.end])
                if link.end_is_node
                else form.Element("switch", switches[link.end]),
            )
            for link in network.links
        ],
        form.Routing(
            "static" if network.routes else "default",
            [
                form.Route(form.Ends(nodes[source], nodes[end]), _hops(network, links, source, names))
                for source, ends in network.routes.items()
                for end, names in ends.items()
            ],
        ),
    )


def _hops(network: Network, numbers: dict[str, int], source: str, names: Sequence[str]) -> list[form.Hop]:
    """The links of a route from `source` on, with the direction in which each is passed."""
    links = {link.name: link for link in network.links}
    hops, at = [], source
    for name in names:
        link = links[name]
        up = at == link.end
        hops.append(form.Hop(numbers[name], "true" if up else "false"))
        at = link.switch if up else link.end
    return hops


def _numbered(things: Sequence[Switch | Link]) -> dict[str, int]:
    """Those that names like `link#3` tell, if all do; else in order."""
    told = [_TOLD.fullmatch(thing.name) for thing in things]
    if all(told):
        return {found[0]: int(found[1]) for found in told if found}
    return {thing.name: number for number, thing in enumerate(things)}
