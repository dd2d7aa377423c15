"""BtrPlace's instances as problems.

Names come from its naming service, without the `@` of nodes; what has no name is `vm#12` or `node#3`. The
numbers are kept, so that plans are written with them. Attributes give durations and the memory to copy; a
whole second is the tick, and what says nothing takes one.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import repeat
from typing import Any

import msgspec
from msgspec import UNSET

from lucos.model import VmState
from lucos.placement.cluster import Cluster, Link, Network, Node, Switch, Vm
from lucos.placement.durations import Durations
from lucos.placement.interchange import btrplace_format as form
from lucos.placement.interchange.btrplace_rules import RuleReader, objective_of
from lucos.placement.interchange.numbers import Numbered
from lucos.placement.interchange.reading import decoded, fault, refuse_repeated_keys, unpacked

DURATIONS = ("boot", "shutdown", "migrate", "suspend", "resume", "kill", "allocate")
MEMORY = {
    "mem_used": "memory_used_mib",
    "hot_dirty_size": "hot_dirty_mib",
    "hot_dirty_duration": "hot_dirty_s",
    "cold_dirty_rate": "cold_dirty_mibps",
    "post_copy": "post_copy",
}
_Place = tuple[VmState, int | None]


def read_instance(data: bytes) -> Numbered:
    """The problem that a BtrPlace instance (JSON, gzipped or not) describes; `InputError` with its place."""
    instance = decoded(unpacked(data), form.Instance)
    model = instance.model
    refuse_repeated_keys(model.mapping, "$.model.mapping")
    mapping = decoded(model.mapping, form.Mapping, "$.model.mapping")
    online = _nodes(mapping)
    placed = _places(mapping)
    views = _Views(model.views, placed, online)
    capacity = views.amounts(online, "nodes", "default_capacity")
    nodes = {
        name: Node(name, capacity[number], online[number], durations_s=_node_durations(number, model))
        for number, name in views.node_names.items()
    }
    cluster = Cluster(nodes, _vms(model.attributes, placed, views), views.network)
    _known(model.attributes.nodes, online, "node", "$.model.attributes.nodes")
    rules = RuleReader(views.vm_names, views.node_names)
    return Numbered(
        cluster,
        rules.read(instance.constraints, "$.constraints"),
        objective_of(instance.objective.id, "$.objective.id"),
        Durations(tick_s=1.0),
        vm_numbers={name: number for number, name in views.vm_names.items()},
        node_numbers={name: number for number, name in views.node_names.items()},
    )


def _nodes(mapping: form.Mapping) -> dict[int, bool]:
    """Numbers of nodes, in order, and whether they are online."""
    for i, number in enumerate(mapping.offline):
        if number in mapping.online or number in mapping.offline[:i]:
            raise fault(f"$.model.mapping.offlineNodes[{i}]", f"node {number} is declared twice")
    return {number: number in mapping.online for number in sorted([*mapping.online, *mapping.offline])}


def _places(mapping: form.Mapping) -> dict[int, _Place]:
    """State and node of each VM, by number, in order."""
    at = "$.model.mapping"
    lists: list[tuple[list[int], _Place, str]] = [(mapping.ready, (VmState.READY, None), f"{at}.readyVMs")]
    for node, host in mapping.online.items():
        here = f"{at}.onlineNodes.{node}"
        lists.append((host.running, (VmState.RUNNING, node), f"{here}.runningVMs"))
        lists.append((host.sleeping, (VmState.SLEEPING, node), f"{here}.sleepingVMs"))
    places: dict[int, _Place] = {}
    for numbers, place, _ in lists:
        places.update(dict.fromkeys(numbers, place))
    if len(places) < sum(len(numbers) for numbers, _, _ in lists):
        _refuse_two_places(lists)
    return dict(sorted(places.items()))


def _refuse_two_places(lists: list[tuple[list[int], _Place, str]]) -> None:
    seen: dict[int, _Place] = {}
    for numbers, place, at in lists:
        for i, number in enumerate(numbers):
            if number in seen:
                raise fault(f"{at}[{i}]", f"VM {number} is already {_words(seen[number])}")
            seen[number] = place


def _words(place: _Place) -> str:
    state, node = place
    return state.value if node is None else f"{state} on node {node}"


def _known(numbers: Mapping[int, Any], known: Mapping[int, Any], what: str, at: str) -> None:
    """Refuse a number that the mapping does not have."""
    if not numbers.keys() <= known.keys():
        number = next(number for number in numbers if number not in known)
        raise fault(f"{at}.{number}", f"there is no {what} {number}")


class _Views:
    """What the views say: names, amounts of resources, the network."""

    def __init__(self, raws: list[msgspec.Raw], vms: Mapping[int, Any], nodes: Mapping[int, Any]) -> None:
        self.vm_names = {number: f"vm#{number}" for number in vms}
        self.node_names = {number: f"node#{number}" for number in nodes}
        self.network: Network | None = None
        self._resources: list[form.Resource] = []
        heads = [decoded(raw, form.ViewHead, f"$.model.views[{i}]").id for i, raw in enumerate(raws)]
        readers = {"ns": self._naming, "shareableResource": self._resource, "net": self._net}
        # Names first: links of the network speak of nodes.
        for i in sorted(range(len(raws)), key=lambda i: heads[i] != "ns"):
            at = f"$.model.views[{i}]"
            if heads[i] not in readers:
                raise fault(f"{at}.id", f"unknown view {heads[i]!r}", f"known are {', '.join(readers)}")
            refuse_repeated_keys(raws[i], at)
            readers[heads[i]](raws[i], at)

    def amounts(self, numbers: Iterable[int], field: str, default: str) -> dict[int, dict[str, float]]:
        """What each VM or node has of each resource."""
        names = [view.rc for view in self._resources]
        columns = [
            [amounts.get(number, absent) for number in numbers]
            for amounts, absent in ((getattr(v, field), getattr(v, default)) for v in self._resources)
        ]
        rows = zip(*columns, strict=True) if columns else repeat(())
        return {
            number: dict(zip(names, row, strict=True)) for number, row in zip(numbers, rows, strict=False)
        }

    def _naming(self, raw: msgspec.Raw, at: str) -> None:
        view = decoded(raw, form.Naming, at)
        if view.type not in ("vm", "node"):
            raise fault(f"{at}.type", f"{view.type!r} is neither vm nor node")
        names, mark = (self.vm_names, "") if view.type == "vm" else (self.node_names, "@")
        given = {number: name.removeprefix(mark) for name, number in view.map.items()}
        _known(given, names, view.type, f"{at}.map")
        names.update(given)
        if len(given) < len(view.map) or len(set(names.values())) < len(names):
            raise fault(f"{at}.map", f"two names of one {view.type}, or two of one name")

    def _resource(self, raw: msgspec.Raw, at: str) -> None:
        view = decoded(raw, form.Resource, at)
        _known(view.vms, self.vm_names, "VM", f"{at}.vms")
        _known(view.nodes, self.node_names, "node", f"{at}.nodes")
        if any(view.rc == other.rc for other in self._resources):
            raise fault(f"{at}.rcId", f"the resource {view.rc!r} is declared twice")
        self._resources.append(view)

    def _net(self, raw: msgspec.Raw, at: str) -> None:
        view = decoded(raw, form.Net, at)
        if self.network is not None:
            raise fault(at, "a second network")
        switches = {
            s.id: Switch(f"switch#{s.id}", None if s.capacity < 0 else s.capacity) for s in view.switches
        }
        links: dict[int, Link] = {}
        for i, link in enumerate(view.links):
            here = f"{at}.links[{i}]"
            ends = {"node": self.node_names, "switch": {n: s.name for n, s in switches.items()}}
            if link.id in links:
                raise fault(f"{here}.id", f"the link {link.id} is declared twice")
            if link.switch not in switches:
                raise fault(f"{here}.switch", f"there is no switch {link.switch}")
            end = ends.get(link.element.type, {}).get(link.element.id)
            if end is None:
                raise fault(f"{here}.physicalElement", f"there is no {link.element.type} {link.element.id}")
            is_node = link.element.type == "node"
            links[link.id] = Link(
                f"link#{link.id}", switches[link.switch].name, end, link.capacity, end_is_node=is_node
            )
        routes = self._routes(view.routing, links, f"{at}.routing")
        if len(switches) < len(view.switches):
            raise fault(f"{at}.switches", "a switch is declared twice")
        self.network = Network(tuple(switches.values()), tuple(links.values()), routes)

    def _routes(
        self, routing: form.Routing, links: Mapping[int, Link], at: str
    ) -> dict[str, dict[str, tuple[str, ...]]]:
        routes: dict[str, dict[str, tuple[str, ...]]] = {}
        if routing.type not in ("default", "static"):
            raise fault(f"{at}.type", f"unknown routing {routing.type!r}", "known are default, static")
        for i, route in enumerate(routing.routes):
            try:
                source, end = self.node_names[route.ends.src], self.node_names[route.ends.dst]
            except KeyError as missing:
                raise fault(f"{at}.routes[{i}].nodes_map", f"there is no node {missing}") from None
            try:
                names = tuple([links[hop.link].name for hop in route.links])
            except KeyError as missing:
                raise fault(f"{at}.routes[{i}].links", f"there is no link {missing}") from None
            routes.setdefault(source, {})[end] = names
        return routes


def _node_durations(number: int, model: form.Model) -> dict[str, float]:
    given = model.attributes.nodes.get(number)
    pairs = {"boot_node": given.boot, "shutdown_node": given.shutdown} if given else {}
    return _set(pairs)


def _vms(attributes: form.Attributes, placed: Mapping[int, _Place], views: _Views) -> dict[str, Vm]:
    """The VMs by name. What equal attributes say is one object, as most VMs share theirs."""
    _known(attributes.vms, placed, "VM", "$.model.attributes.vms")
    said = {given: _said(given) for given in {form.VmAttributes(), *attributes.vms.values()}}
    nothing = said[form.VmAttributes()]
    demand = views.amounts(placed, "vms", "default_consumption")
    vms: dict[str, Vm] = {}
    for number, (state, node) in placed.items():
        given = attributes.vms.get(number)
        durations_s, memory = nothing if given is None else said[given]
        name = views.vm_names[number]
        host = None if node is None else views.node_names[node]
        vms[name] = Vm(name, demand[number], host, state, "", durations_s, **memory)
    return vms


def _said(given: form.VmAttributes) -> tuple[dict[str, float], dict[str, Any]]:
    """Durations, and the fields of `Vm` on memory."""
    durations = {kind: getattr(given, kind) for kind in DURATIONS}
    memory = {ours: getattr(given, theirs) for theirs, ours in MEMORY.items()}
    return _set(durations), _set(memory)


def _set(fields: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in fields.items() if value is not UNSET}
