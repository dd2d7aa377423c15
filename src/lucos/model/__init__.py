"""The vocabulary every other folder speaks: nodes, VMs, VEs, configurations, life cycles, plans, events.

Immutable structs, no I/O, imports nothing of ours but the errors.
"""

from lucos.model.actions import (
    Action,
    AnyAction,
    Boot,
    Detail,
    Event,
    Kill,
    Migrate,
    Outcome,
    Pause,
    Plan,
    PlannedAction,
    Resume,
    Shutdown,
    Suspend,
    Unpause,
)
from lucos.model.entities import (
    Configuration,
    Constraint,
    Instance,
    Node,
    Resources,
    VirtualEnvironment,
    VmSpec,
)
from lucos.model.lifecycle import (
    VE_LIFE,
    VM_LIFE,
    VeState,
    VmState,
    after_ve_event,
    after_vm_event,
    mermaid,
)
from lucos.model.wire import WIRE_VERSION, from_json, to_json

__all__ = [
    "VE_LIFE",
    "VM_LIFE",
    "WIRE_VERSION",
    "Action",
    "AnyAction",
    "Boot",
    "Configuration",
    "Constraint",
    "Detail",
    "Event",
    "Instance",
    "Kill",
    "Migrate",
    "Node",
    "Outcome",
    "Pause",
    "Plan",
    "PlannedAction",
    "Resources",
    "Resume",
    "Shutdown",
    "Suspend",
    "Unpause",
    "VeState",
    "VirtualEnvironment",
    "VmSpec",
    "VmState",
    "after_ve_event",
    "after_vm_event",
    "from_json",
    "mermaid",
    "to_json",
]
