"""A problem whose VMs and nodes carry the numbers that BtrPlace knows them by."""

from __future__ import annotations

from collections.abc import Iterable

from lucos.placement.problem import Problem


class Numbered(Problem, frozen=True):
    """A problem read from BtrPlace. The numbers outlive `msgspec.structs.replace` of the other fields."""

    vm_numbers: dict[str, int] = {}
    node_numbers: dict[str, int] = {}


def numbers_of(problem: Problem) -> tuple[dict[str, int], dict[str, int]]:
    """Numbers of VMs and of nodes: those that were read, else in the order of the cluster."""
    if isinstance(problem, Numbered):
        return problem.vm_numbers, problem.node_numbers
    return _counted(problem.cluster.vms), _counted(problem.cluster.nodes)


def _counted(names: Iterable[str]) -> dict[str, int]:
    return {name: number for number, name in enumerate(names)}
