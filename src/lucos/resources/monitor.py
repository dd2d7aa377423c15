"""Whether a node is in violation: overloaded, a rule broken, draining, or a VM that a plan left asleep.

It also keeps what of this must outlive the agent: that the node drains or is in standby, and which VMs plans
have suspended.
"""

from __future__ import annotations

from collections.abc import Container
from math import inf

import msgspec

from lucos.actors import World
from lucos.model import Resources, VmState
from lucos.resources.demand import OVERLOAD_END, Detector
from lucos.resources.inventory import Inventory
from lucos.resources.messages import SCHEDULER, Relief, Rising, Underload, Violation
from lucos.resources.prediction import PredictionSettings, make_predictor

# How long a plan may leave a VM that it suspended asleep before the node asks for help.
PARKED_S_MAX = 60.0


class MonitorSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """[monitor]: when a node is in violation, or could do without its VMs.

    An overload begins after `samples_on` readings above the node's capacity and ends below `overload_end` of
    it. Underload (0: never) is a load below `underload` of it for `underload_s`, and `cooldown_s` after the
    last overload. With `ahead_s` the load judged is what `prediction` expects in so many seconds at most, its
    margin included, if that is more than the load now.
    """

    samples_on: int = 3
    overload_end: float = OVERLOAD_END
    underload: float = 0.0
    underload_s: float = 60.0
    cooldown_s: float = 60.0
    ahead_s: float = 0.0
    prediction: PredictionSettings = PredictionSettings(half_life_s=30.0, trend_half_life_s=60.0)


class Monitor:
    """Judges an inventory at each look; tells people when the verdict changes, the scheduler every time."""

    def __init__(self, world: World, inventory: Inventory, settings: MonitorSettings) -> None:
        self._world = world
        self._inventory = inventory
        self._detector = Detector(
            settings.samples_on,
            low=settings.overload_end,
            under=settings.underload,
            under_s=settings.underload_s,
            cooldown_s=settings.cooldown_s,
        )
        self._ahead_s = settings.ahead_s
        self._predictor = make_predictor(settings.prediction)
        self._since_s = 0.0
        self.violation = ""
        marks, *parked = (world.load() or b"").decode().split("\n")
        self._parked = dict.fromkeys(filter(None, parked), world.now_s())
        self._mark(draining="draining" in marks, online="standby" not in marks)

    def look(self, busy: Container[str], granted: bool) -> None:
        """Judge. VMs in `busy` have an action under way; `granted` says that a plan is being applied here."""
        now_s, world, inventory = self._world.now_s(), self._world, self._inventory
        ruled = inventory.ruled
        load = self._expected(inventory.load(now_s), now_s)
        capacity = inventory.capacity() if ruled else inventory.node.capacity
        reason = self._detector.update(load, capacity, now_s)
        spare = self._detector.underload(load, capacity, now_s)
        if self._detector.rising:
            world.send(SCHEDULER, Rising())
        if inventory.node.draining and (here := inventory.here()):
            reason = f"draining with {len(here)} VMs"
        elif not reason:
            reason = inventory.broken_rule(now_s) if ruled else ""
            reason = reason or ("" if granted else self._left_asleep(busy))
        if reason and not self.violation:
            self._since_s = now_s
            world.emit("violation.start", world.node, reason)
        elif self.violation and not reason:
            lasted_s = now_s - self._since_s
            text = f"over after {lasted_s:.1f} s ({self.violation})"
            world.emit("violation.end", world.node, text, duration_s=lasted_s)
        if reason:
            world.send(SCHEDULER, Violation(reason, self._since_s, measured=reason.startswith("CPU")))
        elif self.violation:
            world.send(SCHEDULER, Relief())
        elif spare and not granted and inventory.here():
            world.send(SCHEDULER, Underload(spare))
        self.violation = reason

    def _expected(self, load: Resources, now_s: float) -> Resources:
        """The load to judge: now's, or what is expected if that is more; snapshots then show it, too."""
        if not self._ahead_s:
            return load
        self._predictor.update(now_s, load.cpu_pct)
        forecast = self._predictor.predict(self._ahead_s)
        expected_pct = max(load.cpu_pct, forecast.value + forecast.margin)
        self._inventory.outlook = expected_pct / load.cpu_pct if load.cpu_pct else 1.0
        return Resources(expected_pct, load.memory_mib)

    @property
    def calm(self) -> bool:
        """Whether time alone changes nothing in the verdict."""
        return not (self.violation or self._parked or self._ahead_s) and self._detector.calm

    def _left_asleep(self, busy: Container[str]) -> str:
        """A VM that a plan suspended, and no plan has resumed for so long that none will."""
        if not self._parked:
            return ""
        for sample in self._inventory.samples():
            vm = sample.spec.id
            asleep_s = self._world.now_s() - self._parked.get(vm, inf)
            if sample.state is VmState.SLEEPING and vm not in busy and asleep_s > PARKED_S_MAX:
                return f"{vm} was suspended to make room and must be resumed"
        return ""

    def drain(self, draining: bool) -> None:
        self._mark(draining=draining)
        self._save()

    def switch(self, online: bool) -> None:
        """The node was woken, or went into standby."""
        self._mark(online=online)
        self._save()

    def is_parked(self, vm: str) -> bool:
        """Whether a plan suspended the VM."""
        return vm in self._parked

    def park(self, vm: str, parked: bool) -> None:
        """A plan has suspended the VM, or it is no longer asleep."""
        if parked and vm not in self._parked:
            self._parked[vm] = self._world.now_s()
            self._save()
        elif not parked and self._parked.pop(vm, None) is not None:
            self._save()

    def _mark(self, **marks: bool) -> None:
        self._inventory.node = msgspec.structs.replace(self._inventory.node, **marks)

    def _save(self) -> None:
        node = self._inventory.node
        first = " ".join(["draining"] * node.draining + ["standby"] * (not node.online))
        self._world.save("\n".join((first, *sorted(self._parked))).encode())
