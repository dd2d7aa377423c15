"""Rules in Plasma beside an instance."""

from __future__ import annotations

from pathlib import Path

import msgspec

from lucos.placement.constraints import SIGNATURES
from lucos.placement.problem import Problem
from lucos.placement.validation import contradictions
from lucos.plasma.modules import compile_module, in_folder, read_source


def with_rules(problem: Problem, path: Path) -> Problem:
    """The problem with the rules of the script in `path`, which may import others of its folder."""
    cluster = problem.cluster
    resources = {name for node in cluster.nodes.values() for name in node.capacity}
    module = compile_module(
        read_source(path),
        signatures=SIGNATURES,
        vms=cluster.vms,
        nodes=cluster.nodes,
        resources=resources,
        load=in_folder(path.parent),
        contradictions=lambda rules: contradictions(rules, cluster),
    )
    more = [rule for part in (*module.imports, module) for rule in part.constraints]
    return msgspec.structs.replace(problem, constraints=(*problem.constraints, *more))
