"""How long actions take: formulas linear in memory, overridden by what a VM or node says itself."""

from __future__ import annotations

import msgspec

from lucos.placement.cluster import Node, Vm


class Linear(msgspec.Struct, frozen=True):
    """`base_s` plus `per_unit_s` for each unit of the memory resource that the VM is allocated."""

    base_s: float = 1.0
    per_unit_s: float = 0.0


_ONE = Linear()


class Durations(msgspec.Struct, frozen=True):
    """Formulas by kind of action (the tags of `lucos.model` actions), `resume_remote` when not local.

    What is not named takes 1 s, as in BtrPlace. `memory` names the resource the formulas are linear in.
    Times are rounded up to `tick_s`.
    """

    formulas: dict[str, Linear] = {}
    memory: str = "memory"
    tick_s: float = 0.001

    def of_vm(self, kind: str, vm: Vm) -> float:
        """Seconds an action of this kind takes on `vm` (migrations: when no network decides)."""
        if kind in vm.durations_s:
            return vm.durations_s[kind]
        plain = "resume" if kind == "resume_remote" else kind
        if plain in vm.durations_s:
            return vm.durations_s[plain]
        formula = self.formulas.get(kind, self.formulas.get(plain, _ONE))
        return formula.base_s + formula.per_unit_s * vm.demand.get(self.memory, 0.0)

    def of_node(self, kind: str, node: Node) -> float:
        return node.durations_s.get(kind, self.formulas.get(kind, _ONE).base_s)


ENTROPY = Durations(
    {
        "boot": Linear(5),
        "shutdown": Linear(2),
        "migrate": Linear(0, 0.1),
        "suspend": Linear(4),
        "resume": Linear(5),
        "resume_remote": Linear(6),
        "boot_node": Linear(6),
        "shutdown_node": Linear(6),
        "pause": Linear(0),
        "unpause": Linear(0),
    }
)
"""Entropy 2.1's constants (memory in MB)."""

CONTEXT_SWITCH = Durations(
    {
        "boot": Linear(6),
        "shutdown": Linear(1),
        "migrate": Linear(0, 0.1),
        "suspend": Linear(0, 0.1),
        "resume": Linear(0, 0.1),
        "resume_remote": Linear(0, 0.2),
        "pause": Linear(0),
        "unpause": Linear(0),
    }
)
"""The cost model of the context-switch paper (VTDC 2010): everything but run and stop is linear in memory."""
