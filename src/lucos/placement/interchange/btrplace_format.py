"""BtrPlace's JSON as types: what its instances may contain. Names of fields are BtrPlace's own.

Numbers identify VMs and nodes. Attributes that are not named here (`halt`, `entropy_id`, `clone`, `template`,
anything users add) are ignored; everywhere else an unknown field is an error.
"""

from __future__ import annotations

from typing import Annotated

from msgspec import UNSET, Meta, Raw, Struct, UnsetType, field

from lucos.placement.interchange.reading import AMOUNT_MAX

Amount = Annotated[float, Meta(ge=0, le=AMOUNT_MAX)]
Number = Annotated[int, Meta(ge=0, le=2**31 - 1)]
Bandwidth = Annotated[float, Meta(ge=-1, le=AMOUNT_MAX)]
UNLIMITED = -1
"""The capacity of a switch that blocks nothing."""


class Host(Struct, forbid_unknown_fields=True):
    running: list[Number] = field(name="runningVMs", default_factory=list)
    sleeping: list[Number] = field(name="sleepingVMs", default_factory=list)


class Mapping(Struct, forbid_unknown_fields=True):
    online: dict[Number, Host] = field(name="onlineNodes", default_factory=dict)
    offline: list[Number] = field(name="offlineNodes", default_factory=list)
    ready: list[Number] = field(name="readyVMs", default_factory=list)


class NodeAttributes(Struct, omit_defaults=True, gc=False):
    """Seconds."""

    boot: Amount | UnsetType = UNSET
    shutdown: Amount | UnsetType = UNSET


class VmAttributes(Struct, omit_defaults=True, frozen=True, gc=False):
    """Seconds that actions take; MB and MB/s of the memory that a migration copies."""

    boot: Amount | UnsetType = UNSET
    shutdown: Amount | UnsetType = UNSET
    migrate: Amount | UnsetType = UNSET
    suspend: Amount | UnsetType = UNSET
    resume: Amount | UnsetType = UNSET
    kill: Amount | UnsetType = UNSET
    allocate: Amount | UnsetType = UNSET
    mem_used: Amount | UnsetType = field(name="memUsed", default=UNSET)
    hot_dirty_size: Amount | UnsetType = field(name="hotDirtySize", default=UNSET)
    hot_dirty_duration: Amount | UnsetType = field(name="hotDirtyDuration", default=UNSET)
    cold_dirty_rate: Amount | UnsetType = field(name="coldDirtyRate", default=UNSET)
    post_copy: bool | UnsetType = field(name="postCopy", default=UNSET)


class Attributes(Struct, forbid_unknown_fields=True):
    nodes: dict[Number, NodeAttributes] = field(default_factory=dict)
    vms: dict[Number, VmAttributes] = field(default_factory=dict)


class Model(Struct, forbid_unknown_fields=True):
    mapping: Raw
    attributes: Attributes = field(default_factory=Attributes)
    views: list[Raw] = field(default_factory=list)


class Objective(Struct, forbid_unknown_fields=True):
    id: str = "minimizeMTTR"


class Instance(Struct, forbid_unknown_fields=True):
    model: Model
    constraints: Raw = Raw(b"[]")
    objective: Objective = field(default_factory=Objective)


# --- Views, told apart by their `id`.


class ViewHead(Struct):
    id: str


class Resource(Struct, forbid_unknown_fields=True):
    rc: str = field(name="rcId")
    default_capacity: Amount = field(name="defCapacity", default=0)
    default_consumption: Amount = field(name="defConsumption", default=0)
    nodes: dict[Number, Amount] = field(default_factory=dict)
    vms: dict[Number, Amount] = field(default_factory=dict)
    id: str = "shareableResource"


class Naming(Struct, forbid_unknown_fields=True):
    type: str
    map: dict[str, Number]
    id: str = "ns"


class Switch(Struct, forbid_unknown_fields=True):
    id: Number
    capacity: Bandwidth = UNLIMITED


class Element(Struct, forbid_unknown_fields=True):
    type: str
    id: Number


class Link(Struct, forbid_unknown_fields=True):
    id: Number
    capacity: Amount
    switch: Number
    element: Element = field(name="physicalElement")


class Ends(Struct, forbid_unknown_fields=True):
    src: Number
    dst: Number


class Hop(Struct, forbid_unknown_fields=True):
    """`direction` is "true" from the element to the switch. Ends of routes tell it, so reading ignores it."""

    link: Number
    direction: bool | str = "true"


class Route(Struct, forbid_unknown_fields=True):
    ends: Ends = field(name="nodes_map")
    links: list[Hop]


class Routing(Struct, forbid_unknown_fields=True):
    type: str = "default"
    routes: list[Route] = field(default_factory=list)


class Net(Struct, forbid_unknown_fields=True):
    switches: list[Switch]
    links: list[Link]
    routing: Routing = field(default_factory=Routing)
    id: str = "net"


# --- Constraints. `Raw` parts are shared by many rules and decoded once.


class Rule(Struct, forbid_unknown_fields=True, omit_defaults=True, gc=False):
    id: str
    vm: Number | UnsetType = UNSET
    vms: list[Number] | UnsetType = UNSET
    vm1: Number | UnsetType = UNSET
    vm2: Number | UnsetType = UNSET
    node: Number | UnsetType = UNSET
    nodes: list[Number] | UnsetType = UNSET
    parts: Raw | UnsetType = UNSET
    vm_parts: Raw | UnsetType = field(name="vParts", default=UNSET)
    node_parts: Raw | UnsetType = field(name="pParts", default=UNSET)
    rc: str | UnsetType = UNSET
    amount: Amount | UnsetType = UNSET
    ratio: Amount | UnsetType = UNSET
    nb: Amount | UnsetType = UNSET
    timestamp: str | Amount | UnsetType = UNSET
    continuous: bool | UnsetType = UNSET


# --- Plans.


class Allocation(Struct, forbid_unknown_fields=True, kw_only=True):
    """What happens with an action: only `allocate` is known."""

    id: str = "allocate"
    vm: Number
    rc: str
    amount: Amount


class Hooks(Struct, forbid_unknown_fields=True, omit_defaults=False):
    pre: list[Allocation] = field(default_factory=list)
    post: list[Allocation] = field(default_factory=list)


class More(Struct, forbid_unknown_fields=True, omit_defaults=True):
    """What we say of an action beyond BtrPlace, which passes over it."""

    number: Number
    depends_on: list[Number] = field(name="dependsOn", default_factory=list)
    reason: str = ""


class Step(Struct, forbid_unknown_fields=True, omit_defaults=True, kw_only=True):
    """An action. `on` is the node of what stays, `source` and `to` those of what moves."""

    id: str
    start: Amount
    end: Amount
    vm: Number | UnsetType = UNSET
    node: Number | UnsetType = UNSET
    on: Number | UnsetType | None = UNSET
    source: Number | UnsetType = field(name="from", default=UNSET)
    to: Number | UnsetType = UNSET
    bw: Amount | UnsetType = UNSET
    rc: str | UnsetType = UNSET
    amount: Amount | UnsetType = UNSET
    hooks: Hooks = field(default_factory=Hooks)
    luc: More | UnsetType = UNSET


class WrittenPlan(Struct, forbid_unknown_fields=True):
    origin: Raw
    actions: list[Step]
