"""Whether a node is in violation: overloaded, a rule broken, draining, or a VM that a plan left asleep.

It also keeps what of this must outlive the agent: that the node drains, and which VMs plans have suspended.
"""

from __future__ import annotations

from collections.abc import Container
from math import inf

import msgspec

from lucos.actors import World
from lucos.model import VmState
from lucos.resources.demand import Detector
from lucos.resources.inventory import Inventory
from lucos.resources.messages import SCHEDULER, Relief, Rising, Violation

# How long a plan may leave a VM that it suspended asleep before the node asks for help.
PARKED_S_MAX = 60.0


class Monitor:
    """Judges an inventory at each look; tells people when the verdict changes, the scheduler every time."""

    def __init__(self, world: World, inventory: Inventory) -> None:
        self._world = world
        self._inventory = inventory
        self._detector = Detector()
        self._since_s = 0.0
        self.violation = ""
        draining, *parked = (world.load() or b"").decode().split("\n")
        self._parked = dict.fromkeys(filter(None, parked), world.now_s())
        self._mark(draining == "draining")

    def look(self, busy: Container[str], granted: bool) -> None:
        """Judge. VMs in `busy` have an action under way; `granted` says that a plan is being applied here."""
        now_s, world, inventory = self._world.now_s(), self._world, self._inventory
        reason = self._detector.update(inventory.load(now_s), inventory.capacity(), now_s)
        if self._detector.rising:
            world.send(SCHEDULER, Rising())
        here = inventory.here()
        if inventory.node.draining and here:
            reason = f"draining with {len(here)} VMs"
        elif not reason:
            reason = inventory.broken_rule(now_s) or ("" if granted else self._left_asleep(busy))
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
        self.violation = reason

    def _left_asleep(self, busy: Container[str]) -> str:
        """A VM that a plan suspended, and no plan has resumed for so long that none will."""
        for sample in self._inventory.samples():
            vm = sample.spec.id
            asleep_s = self._world.now_s() - self._parked.get(vm, inf)
            if sample.state is VmState.SLEEPING and vm not in busy and asleep_s > PARKED_S_MAX:
                return f"{vm} was suspended to make room and must be resumed"
        return ""

    def drain(self, draining: bool) -> None:
        self._mark(draining)
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

    def _mark(self, draining: bool) -> None:
        self._inventory.node = msgspec.structs.replace(self._inventory.node, draining=draining)

    def _save(self) -> None:
        first = "draining" if self._inventory.node.draining else ""
        self._world.save("\n".join((first, *sorted(self._parked))).encode())
