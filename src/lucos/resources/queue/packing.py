"""Whether a set of VMs fits on nodes: first fit decreasing, all or nothing. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from math import floor

import msgspec

from lucos.model import Constraint, Resources
from lucos.placement.lazy import np

# Amounts may exceed the room by this much: what rounding adds.
SLACK = 1e-3


class Need(msgspec.Struct, frozen=True):
    """What a VM takes when it runs. `node` is where it runs, or (`bound`) where its memory is saved."""

    vm: str
    cpu_pct: float
    memory_mib: float
    node: str = ""
    bound: bool = False


def within(needs: Iterable[Need], room: Mapping[str, Resources]) -> tuple[Need, ...]:
    """The needs of one vjob, where bound VMs want no more of their node than it has.

    They can go on nowhere else, however many they are; once they run, some of them can move on. Amounts are
    in tenths, rounded down: the placement engine would round them up.
    """
    bound_pct: dict[str, float] = {}
    wants = list(needs)
    for need in wants:
        if need.bound:
            bound_pct[need.node] = bound_pct.get(need.node, 0.0) + need.cpu_pct
    shares = {
        node: room[node].cpu_pct / wanted_pct
        for node, wanted_pct in bound_pct.items()
        if node in room and wanted_pct > room[node].cpu_pct > 0.0
    }
    return tuple(
        msgspec.structs.replace(need, cpu_pct=floor(10.0 * need.cpu_pct * shares[need.node]) / 10.0)
        if need.bound and need.node in shares
        else need
        for need in wants
    )


class Packing:
    """The room that is left on nodes (`room`) as VMs are put there; `places` says where each was put.

    Bound VMs go to their node. Others stay where they are if they can, and are put first fit decreasing
    elsewhere if not. Of rules, spread, ban and fence are kept; the placement engine knows them all.
    """

    def __init__(self, room: Mapping[str, Resources]) -> None:
        self._names = sorted(room)
        self._index = {name: i for i, name in enumerate(self._names)}
        self._cpu = np.array([room[name].cpu_pct for name in self._names])
        self._memory = np.array([room[name].memory_mib for name in self._names])
        self._scale = (max(self._cpu, default=1.0) or 1.0, max(self._memory, default=1.0) or 1.0)
        self.places: dict[str, str] = {}

    def trial(self) -> Packing:
        """A copy to try things on."""
        copy = Packing({})
        copy._names, copy._index, copy._scale = self._names, self._index, self._scale
        copy._cpu, copy._memory, copy.places = self._cpu, self._memory, dict(self.places)
        return copy

    @property
    def free_cpu_pct(self) -> float:
        return float(np.maximum(self._cpu, 0.0).sum())

    def put(
        self, needs: Iterable[Need], rules: Sequence[Constraint] = (), *, crowded: bool = False
    ) -> dict[str, str] | None:
        """Put all of these (their nodes are returned) or none.

        With `crowded` they stay where they are whatever CPU they want, and the rest of it is what others
        have.
        """
        cpu, memory, placed = self._cpu.copy(), self._memory.copy(), dict[str, str]()
        for need in sorted(needs, key=self._order):
            wanted_pct = 0.0 if crowded else need.cpu_pct
            fits = (cpu + SLACK >= wanted_pct) & (memory + SLACK >= need.memory_mib)
            self._keep_rules(fits, need.vm, placed, rules)
            home = self._index.get(need.node, -1)
            if home >= 0 and fits[home]:
                i = home
            elif need.bound or not fits.any():
                return None
            else:
                i = int(fits.argmax())
            cpu[i] = max(cpu[i] - need.cpu_pct, 0.0) if crowded else cpu[i] - need.cpu_pct
            memory[i] -= need.memory_mib
            placed[need.vm] = self._names[i]
        self._cpu, self._memory = cpu, memory
        self.places |= placed
        return placed

    def _order(self, need: Need) -> tuple[bool, bool, float, str]:
        size = max(need.cpu_pct / self._scale[0], need.memory_mib / self._scale[1])
        return not need.bound, not need.node, -size, need.vm

    def _keep_rules(
        self, fits: np.ndarray, vm: str, placed: Mapping[str, str], rules: Sequence[Constraint]
    ) -> None:
        """Strike out the nodes where a rule does not let `vm` be."""
        for rule in rules:
            if vm not in rule.vms or rule.weight:
                continue
            if rule.kind == "spread":
                others = (placed.get(other) or self.places.get(other) for other in rule.vms if other != vm)
                fits[[self._index[node] for node in others if node]] = False
            elif rule.kind in ("ban", "fence"):
                named = [self._index[node] for node in rule.nodes if node in self._index]
                if rule.kind == "ban":
                    fits[named] = False
                else:
                    kept = fits[named]
                    fits[:] = False
                    fits[named] = kept
