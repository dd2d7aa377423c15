"""Running VMs are all inside one of several groups of nodes: one rack, one site, one kind of processor.

Continuous: at every instant, so VMs may move within the group but not to another one. Relocatable,
they may all leave for one other group, all migrations starting at the same instant.
Discrete: in the result; while the plan runs VMs may be in several groups or in none.

Tip: name the groups once, as a set of sets, and let all rules share it.
"""

from __future__ import annotations

from lucos.model import Constraint
from lucos.model.signature import Role, Signature
from lucos.placement.constraints.base import Example
from lucos.placement.constraints.examples import cluster
from lucos.placement.constraints.together import Together

_NODES = "N1 N2 N3 N4"
_RULE = Constraint("among", ("A", "B"), groups=(("N1", "N2"), ("N3", "N4")))


class Among(Together):
    signature = Signature("among", (Role.VMS, Role.GROUPS), relocates=True)
    examples = (
        Example("both in the first group", _RULE, cluster({"A": "N1", "B": "N2"}, nodes=_NODES), True),
        Example("one in each group", _RULE, cluster({"A": "N1", "B": "N3"}, nodes=_NODES), False),
    )


KIND = Among()
