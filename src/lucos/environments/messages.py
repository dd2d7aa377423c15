"""What the virtual environments tracker (VET) is asked and answers."""

from __future__ import annotations

from lucos.actors import Message
from lucos.model import Outcome, Plan, VirtualEnvironment
from lucos.model.proposal import Proposal
from lucos.resources.messages import Snapshot

ENVIRONMENTS = "environments"


class RunVe(Message, frozen=True):
    """Place and boot all VMs of a new VE, or none; answered by `Managed`."""

    call_id: int
    ve: VirtualEnvironment


class ManageVms(Message, frozen=True):
    """pause, unpause, shutdown or kill a VM or all VMs of a VE; answered by `Managed`."""

    call_id: int
    verb: str
    target: str


class MoveVm(Message, frozen=True):
    """Migrate one VM to a named node; answered by `Managed`."""

    call_id: int
    vm: str
    node: str
    force: bool = False


class PlanVe(Message, frozen=True):
    """What would it take to have `ve` as described (None: to end all violations)? Answered by `Planned`."""

    call_id: int
    ve: VirtualEnvironment | None


class Planned(Message, frozen=True):
    """The proposal, or `error` (with `kind` and `hint`) when there is none."""

    call_id: int
    proposal: Proposal | None = None
    error: str = ""
    kind: str = ""
    hint: str = ""


class ApplyVe(Message, frozen=True):
    """Make `ve` as described by exactly this plan, if it still holds; answered by `Managed`."""

    call_id: int
    ve: VirtualEnvironment
    plan: Plan


class Managed(Message, frozen=True):
    """`error` (with `kind` and `hint`) when nothing was done or all was undone; else an outcome per VM."""

    call_id: int
    outcomes: tuple[Outcome, ...] = ()
    error: str = ""
    kind: str = ""
    hint: str = ""


class Survey(Message, frozen=True):
    """Ask for the whole LUC as its live nodes tell it; answered by `Surveyed`."""

    call_id: int


class Surveyed(Message, frozen=True):
    """Snapshots of the nodes that answered, those that did not, and the VEs on record."""

    call_id: int
    snapshots: dict[str, Snapshot]
    silent: tuple[str, ...]
    ves: tuple[VirtualEnvironment, ...]
    error: str = ""
