"""Virtual jobs: what is submitted, what is kept of each on record, and the queue's own messages."""

from __future__ import annotations

import msgspec

from lucos.actors import Message
from lucos.model import VeState, VmSpec


class Vjob(msgspec.Struct, frozen=True):
    """A job in VMs that run, sleep and end together. Its VMs are called `NAME.vm`.

    Each VM carries the rules that bind it. `cpu_pct` is what each declares to take while it computes, in
    percent of a core. The greater `priority` goes first. `duration_s` is how long the vjob runs at the
    longest (0: not said), `deadline_s` how long after its submission it shall have ended (0: whenever).
    """

    name: str
    vms: tuple[VmSpec, ...]
    cpu_pct: float = 100.0
    priority: int = 0
    duration_s: float = 0.0
    deadline_s: float = 0.0


class VjobRecord(msgspec.Struct, frozen=True):
    """What the registry keeps of a vjob, in seconds of the queue's clock (`Head`).

    `state` is what the last switch made, or is making, of it; it is so since `changed_s`, and the vjob ran
    `ran_s` and did not run `waited_s` before. `places` is where its VMs are; those `begun` have been booted,
    so that one which is no longer there has ended. Of VMs `in_doubt` the host disappeared.
    """

    vjob: Vjob
    rank: int
    submitted_s: float
    state: VeState = VeState.WAITING
    changed_s: float = 0.0
    ran_s: float = 0.0
    waited_s: float = 0.0
    places: dict[str, str] = {}
    begun: tuple[str, ...] = ()
    in_doubt: tuple[str, ...] = ()
    wanted_pct: dict[str, float] = {}
    switching: bool = False
    crashed: bool = False
    cancelled: bool = False
    restarts: int = 0


class Head(msgspec.Struct, frozen=True):
    """The queue's clock, which goes on while it has a leader, and how many vjobs were submitted so far.

    `why_not` says of vjobs why they do not run.
    """

    now_s: float = 0.0
    submitted: int = 0
    why_not: dict[str, str] = {}


class VjobRow(msgspec.Struct, frozen=True):
    """A vjob for people. `why` says why it does not run."""

    name: str
    state: str
    vms: int
    priority: int
    age_s: float
    ran_s: float
    deadline_s: float
    nodes: tuple[str, ...]
    why: str = ""


class SubmitVjob(Message, frozen=True):
    """Put a vjob at the end of the queue; answered by `Queued`."""

    call_id: int
    vjob: Vjob


class CancelVjob(Message, frozen=True):
    """Take a vjob out of the queue, and kill its VMs; answered by `Queued` when that is on record."""

    call_id: int
    name: str


class ListVjobs(Message, frozen=True):
    """Ask for the queue in order; answered by `Queued`."""

    call_id: int


class Queued(Message, frozen=True):
    """The vjobs concerned, or `error` (with `kind` and `hint`) when nothing was done."""

    call_id: int
    vjobs: tuple[VjobRow, ...] = ()
    error: str = ""
    kind: str = ""
    hint: str = ""
