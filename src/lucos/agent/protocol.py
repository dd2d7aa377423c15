"""The local API's contract: what crosses the agent's unix socket, and nothing else does.

One connection, one request: a line of JSON `{"v": 1, "op": NAME, "args": {...}}`. The answer is any number of
lines `{"item": ...}` and one last line `{"ok": true, "result": ...}` or
`{"ok": false, "error": {"kind", "message", "hint"}}`. After the `ok` of `console` the socket carries the raw
serial line both ways. Any agent answers for the whole LUC.

| op       | args                                   | items          | result                     |
|----------|----------------------------------------|----------------|----------------------------|
| ps       | ve?                                    |                | list[VmRow]                |
| nodes    |                                        |                | list[NodeRow]              |
| ves      |                                        |                | list[VeRow]                |
| info     | name (VM, VE or node)                  |                | Info                       |
| events   | since_s, limit, follow                 | Event          | null                       |
| run      | ve: VirtualEnvironment, timeout_s      | Event          | VeRow                      |
| plan     | ve? (none: end all violations)         |                | Proposal                   |
| apply    | ve, plan (of the Proposal), timeout_s  | Event          | list[Outcome]              |
| pause, unpause, stop, kill | target (VM or VE)    | Event          | list[Outcome]              |
| migrate  | vm, node, force                        | Event          | Outcome                    |
| load     | vm, workload                           |                | Outcome                    |
| drain    | node, wait, timeout_s                  | Event          | DrainReport                |
| undrain  | node                                   |                | null                       |
| leave    |                                        |                | null                       |
| remove   | node                                   |                | null                       |
| console  | vm                                     |                | null, then raw bytes       |
| ping     |                                        |                | {"node", "version", "pid"} |
"""

from __future__ import annotations

import msgspec

from lucos.model import Constraint, Detail, Outcome, VmSpec
from lucos.model.proposal import Proposal

__all__ = [
    "API_VERSION",
    "DrainReport",
    "Info",
    "NodeRow",
    "Outcome",
    "Proposal",
    "Request",
    "VeRow",
    "VmRow",
]

API_VERSION = 1


class Request(msgspec.Struct, frozen=True):
    op: str
    args: dict[str, msgspec.Raw] = {}
    v: int = API_VERSION


class VmRow(msgspec.Struct, frozen=True, tag="vm"):
    """`cpu_demand_pct` is what the VM wants, `cpu_used_pct` what it gets, in percent of a core."""

    id: str
    ve: str
    state: str
    node: str
    cpu: int
    memory_mib: int
    cpu_demand_pct: float
    cpu_used_pct: float
    image: str
    workload: str
    migrating_to: str = ""


class NodeRow(msgspec.Struct, frozen=True, tag="node"):
    """`status`: alive, suspect, dead, left. `partition` names the ISP that holds the node, "" when free."""

    name: str
    site: str
    status: str
    address: str
    cpu_capacity_pct: float = 0.0
    cpu_demand_pct: float = 0.0
    memory_capacity_mib: float = 0.0
    memory_used_mib: float = 0.0
    vms: int = 0
    draining: bool = False
    violation: str = ""
    partition: str = ""


class VeRow(msgspec.Struct, frozen=True, tag="ve"):
    name: str
    state: str
    vms: int
    running: int
    nodes: tuple[str, ...] = ()


class Info(msgspec.Struct, frozen=True):
    """Everything known of one object; `kind` says which of the optional parts are there."""

    kind: str
    name: str
    row: VmRow | NodeRow | VeRow | None = None
    spec: VmSpec | None = None
    constraints: tuple[Constraint, ...] = ()
    vms: tuple[VmRow, ...] = ()
    facts: dict[str, Detail] = {}


class DrainReport(msgspec.Struct, frozen=True):
    """`moved` left, `stuck` could not, each with why."""

    node: str
    moved: tuple[str, ...] = ()
    stuck: dict[str, str] = {}
