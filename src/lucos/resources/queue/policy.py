"""Who of the queue shall run now: all VMs of a vjob or none. Pure: nothing here knows a clock or an actor.

- `fcfs`: in order of submission, each on a static reservation of what it declares, until it ends (the base
  line of the context-switch paper);
- `easy`: the same, and a later vjob may run in what is left if that does not delay the first one that waits
  (Lifka, "The ANL/IBM SP scheduling system", JSSPP 1995);
- `consolidation`: the sample scheduler of the context-switch paper (Hermenier, Lebre, Menaud, VTDC 2010): the
  queue in order of priority, each vjob taken if its VMs fit, first fit decreasing, beside those taken before
  it with what they want *now*; who no longer fits is suspended as a whole and resumed when it fits again.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from math import inf

import msgspec

from lucos.errors import InputError
from lucos.model import Constraint, Resources, VeState
from lucos.resources.queue.packing import Need, Packing


class Candidate(msgspec.Struct, frozen=True):
    """A vjob as the policy sees it.

    `needs` are what its VMs want now, as far as that is known, and `declared` what they asked for. `rank` is
    its place in the order of submission. It is in `state` since `since_s`, and waited and ran for so long in
    all. `duration_s` is the longest it says it runs (0: not said), `slack_s` what is left until its deadline
    cannot be kept any more.
    """

    name: str
    rank: int
    needs: tuple[Need, ...]
    declared: tuple[Need, ...] = ()
    rules: tuple[Constraint, ...] = ()
    state: VeState = VeState.WAITING
    priority: int = 0
    since_s: float = 0.0
    waited_s: float = 0.0
    ran_s: float = 0.0
    duration_s: float = 0.0
    slack_s: float = inf

    @property
    def left_s(self) -> float:
        """How much longer it runs at most."""
        return max(self.duration_s - self.ran_s, 0.0) if self.duration_s else inf


class Decision(msgspec.Struct, frozen=True):
    """The vjobs that shall run (`run`, in order of precedence), and in words why the others shall not.

    `places` show that they fit; where policies reserve (`static`), VMs that begin go there and stay.
    `crowded` says that those which run now do not fit any more.
    """

    run: tuple[str, ...]
    why_not: dict[str, str] = {}
    places: dict[str, str] = {}
    crowded: bool = False
    static: bool = False


class PolicySettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`policy` is one of `POLICIES`. The rest concerns `consolidation`.

    A vjob that waited `ageing_s` counts as one level of priority higher, up to the highest there is. Against
    switching at every blip: a vjob runs at least `run_s_min` and sleeps at least `sleep_s_min`, and those
    which run may want more than there is for `patience_s`. Of what there is, `spare` stays free when one more
    begins. A vjob that is this close (`urgent_s`) to missing its deadline goes before all others.
    """

    policy: str = "consolidation"
    ageing_s: float = 3600.0
    run_s_min: float = 120.0
    sleep_s_min: float = 120.0
    patience_s: float = 60.0
    spare: float = 0.0
    urgent_s: float = 300.0


Room = Mapping[str, Resources]
"""What vjobs may use of each node."""


def decide(vjobs: Sequence[Candidate], room: Room, settings: PolicySettings, crowded_s: float) -> Decision:
    """Who shall run. `crowded_s` tells for how long those which run have wanted more than there is."""
    policy = POLICIES.get(settings.policy)
    if policy is None:
        raise InputError(
            f"unknown queue policy {settings.policy!r}", hint=f"policies are {', '.join(POLICIES)}"
        )
    return policy(vjobs, room, settings, crowded_s)


def never_fits(vjob: Candidate, room: Room) -> bool:
    """Whether the vjob, as declared, does not even fit on these nodes when they are empty."""
    return Packing(room).put(vjob.declared, vjob.rules) is None


# --- static reservations ---------------------------------------------------------------------------------


def _fcfs(vjobs: Sequence[Candidate], room: Room, _: PolicySettings, __: float) -> Decision:
    return _reserve(vjobs, room, backfill=False)


def _easy(vjobs: Sequence[Candidate], room: Room, _: PolicySettings, __: float) -> Decision:
    return _reserve(vjobs, room, backfill=True)


def _reserve(vjobs: Sequence[Candidate], room: Room, *, backfill: bool) -> Decision:
    packing = Packing(room)
    running = [v for v in vjobs if v.state is not VeState.WAITING]
    for vjob in running:
        # What runs keeps its reservation: it is not asked whether it fits.
        packing.put(vjob.declared, vjob.rules, crowded=True)
    run, why_not = [v.name for v in running], dict[str, str]()
    places: dict[str, str] = {}
    reservation: _Reservation | None = None
    for vjob in sorted((v for v in vjobs if v.state is VeState.WAITING), key=lambda v: (-v.priority, v.rank)):
        if reservation is None:
            found = packing.put(vjob.declared, vjob.rules)
            if found is None:
                reservation = _Reservation(vjob, running, room)
        else:
            found = reservation.backfilled(vjob, packing) if backfill else None
        if found is None:
            head = reservation.head if reservation else vjob.name
            why_not[vjob.name] = "it does not fit yet" if head == vjob.name else f"{head} is before it"
            continue
        run.append(vjob.name)
        running.append(vjob)
        places |= found
    return Decision(tuple(run), why_not, places, static=True)


class _Reservation:
    """When the first vjob that waits can begin at the latest, and the room that is left beside it then."""

    def __init__(self, head: Candidate, running: Sequence[Candidate], room: Room) -> None:
        self.head = head.name
        self.begins_s = inf
        self._beside: Packing | None = None
        for end_s in sorted({v.left_s for v in running}):
            beside = Packing(room)
            for vjob in running:
                if vjob.left_s > end_s:
                    beside.put(vjob.declared, vjob.rules, crowded=True)
            if end_s < inf and beside.put(head.declared, head.rules) is not None:
                self.begins_s, self._beside = end_s, beside
                break

    def backfilled(self, vjob: Candidate, now: Packing) -> dict[str, str] | None:
        """Places for a later vjob that do not delay the head; None when there are none."""
        if self._beside is None:
            # Nobody knows when the head can begin, so anybody might delay it.
            return None
        if vjob.left_s <= self.begins_s:
            return now.put(vjob.declared, vjob.rules)
        # It would still run then, so it has to fit beside the head, on the very nodes that are free now.
        found = now.trial().put(vjob.declared, vjob.rules)
        if found is None:
            return None
        there = tuple(msgspec.structs.replace(n, node=found[n.vm], bound=True) for n in vjob.declared)
        if self._beside.put(there, vjob.rules) is None:
            return None
        return now.put(there, vjob.rules)


# --- dynamic consolidation -------------------------------------------------------------------------------


def precedence(vjob: Candidate, highest: int, settings: PolicySettings) -> tuple[bool, float, int, int]:
    """Sorts the queue: who is about to miss a deadline, then by priority raised by waiting, then as
    submitted.

    Waiting raises nobody above the `highest` priority in the queue: among these the first submitted goes
    first.
    """
    urgent = vjob.slack_s <= settings.urgent_s
    aged = min(vjob.priority + int(vjob.waited_s / settings.ageing_s), highest)
    return not urgent, vjob.slack_s if urgent else 0.0, -aged, vjob.rank


def _consolidation(
    vjobs: Sequence[Candidate], room: Room, settings: PolicySettings, crowded_s: float
) -> Decision:
    highest = max((vjob.priority for vjob in vjobs), default=0)
    queue = sorted(vjobs, key=lambda v: precedence(v, highest, settings))
    running = [v for v in queue if v.state is VeState.RUNNING]
    crowded = _packed(running, room) is None
    if crowded and crowded_s < settings.patience_s:
        waits = {v.name: "those that run want all there is" for v in queue if v not in running}
        return Decision(tuple(v.name for v in running), waits, crowded=True)
    taken = [v for v in running if v.since_s < settings.run_s_min]
    packing = Packing(room)
    for vjob in taken:
        packing.put(vjob.needs, vjob.rules, crowded=True)
    spare_pct = settings.spare * Packing(room).free_cpu_pct
    why_not: dict[str, str] = {}
    for vjob in queue:
        if vjob in taken:
            continue
        begins = vjob.state is not VeState.RUNNING
        if vjob.state is VeState.SLEEPING and vjob.since_s < settings.sleep_s_min:
            why_not[vjob.name] = "it has just been suspended"
            continue
        after = packing.trial()
        fits = after.put(vjob.needs, vjob.rules) is not None
        if not fits:
            moved = _packed([*taken, vjob], room)
            fits, after = moved is not None, moved or after
        if not fits or (begins and after.free_cpu_pct < spare_pct):
            why_not[vjob.name] = "its VMs do not fit beside those before it"
            continue
        taken.append(vjob)
        packing = after
    order = {v.name: i for i, v in enumerate(queue)}
    run = tuple(sorted((v.name for v in taken), key=order.__getitem__))
    return Decision(run, why_not, packing.places, crowded)


def _packed(vjobs: Sequence[Candidate], room: Room) -> Packing | None:
    """All VMs of these, wherever they fit: the vjobs one by one, or else all VMs first fit decreasing."""
    packing = Packing(room)
    if all(packing.put(vjob.needs, vjob.rules) is not None for vjob in vjobs):
        return packing
    packing = Packing(room)
    movable = [
        need if need.bound else msgspec.structs.replace(need, node="") for v in vjobs for need in v.needs
    ]
    rules = [rule for v in vjobs for rule in v.rules]
    return packing if packing.put(movable, rules) is not None else None


Policy = Callable[[Sequence[Candidate], Room, PolicySettings, float], Decision]
POLICIES: dict[str, Policy] = {"consolidation": _consolidation, "fcfs": _fcfs, "easy": _easy}
