"""Statements that state rules: kind and arguments -> constraints, as the kind's signature says."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Mapping, Sequence
from itertools import product
from typing import Any

import msgspec

from lucos.model import Constraint
from lucos.model.signature import Modes, Role, Signature
from lucos.plasma.errors import Source, listed, suggestion
from lucos.plasma.expressions import Expressions, spacing_hint
from lucos.plasma.syntax import Node
from lucos.plasma.values import Atom, Group, Name, Text, Value, as_group, described

WEIGHT_MAX = 10**9
WORDS = {
    Role.VMS: "VMs",
    Role.VM: "a VM",
    Role.NODES: "nodes",
    Role.NODE: "a node",
    Role.SETS: "sets of VMs",
    Role.GROUPS: "groups of nodes",
    Role.RESOURCE: "a resource",
    Role.AMOUNT: "a number",
}
_EACH = (Role.VM, Role.NODE)


class Prefixes(msgspec.Struct):
    """What is written before a kind: `>>`, `~weight`, `relocatable`."""

    discrete: bool = False
    weight: int = 0
    relocatable: bool = False


class Rules:
    """Makes the constraints of one script."""

    def __init__(
        self,
        source: Source,
        expressions: Expressions,
        signatures: Mapping[str, Signature],
        resources: Collection[str] | None,
    ) -> None:
        self._source = source
        self._say = expressions.report
        self._extent = expressions.extent
        self._budget = expressions.budget
        self._scope = expressions.scope
        self._signatures = signatures
        self._resources = resources
        # Large sets are used by many rules: each is looked up once, and its names are shared.
        self._seen: dict[tuple[int, str], tuple[Group, tuple[str, ...]]] = {}

    def mode(self, place: Node, signature: Signature, prefixes: Prefixes) -> None:
        """Report prefixes that the kind does not take."""
        kind = signature.name
        if prefixes.discrete and signature.modes is Modes.CONTINUOUS:
            self._say(place, f"{kind} holds at every instant, it cannot be discrete: write it without >>")
        if prefixes.weight and not signature.soft:
            self._say(place, f"{kind} cannot be soft: write it without ~")
        if prefixes.relocatable and not signature.relocates:
            able = ", ".join(s.name for s in self._signatures.values() if s.relocates)
            self._say(place, f"{kind} cannot be relocatable" + (f"; {able} can" if able else ""))
        elif prefixes.relocatable and prefixes.discrete:
            self._say(place, f"relocatable says nothing of a discrete {kind}: drop one of the two")

    def constraints(
        self, place: Node, kind: str, prefixes: Prefixes, arguments: Sequence[tuple[Node, Value | None]]
    ) -> list[Constraint]:
        """The constraints that one statement states: several when sets stand where a single one is meant."""
        signature = self._signatures[kind]
        form = self._form(place, signature, [value for _, value in arguments])
        if form is None:
            return []
        choices = [
            self._argument(kind, role, tree, value)
            for role, (tree, value) in zip(form, arguments, strict=True)
            if value is not None
        ]
        if len(choices) < len(form) or not all(choices):
            return []
        count = math.prod(len(choice) for choice in choices)
        self._budget.spend(10 * count)
        line, _ = self._source.place(self._extent(place)[0])
        label = f"{self._source.file or self._source.namespace}:{line}"
        continuous = not prefixes.discrete and signature.modes is not Modes.DISCRETE
        made = []
        for values in product(*choices):
            fields: dict[str, Any] = {}
            for role, value in zip(form, values, strict=True):
                field = {Role.VM: "vms", Role.NODE: "nodes"}.get(role, role.value)
                fields[field] = fields[field] + value if field in fields else value
            made.append(
                Constraint(
                    kind,
                    **fields,
                    continuous=continuous,
                    weight=prefixes.weight,
                    relocate=prefixes.relocatable,
                    label="" if label.startswith(":") else label,
                )
            )
        return made

    def _form(
        self, place: Node, signature: Signature, values: Sequence[Value | None]
    ) -> tuple[Role, ...] | None:
        """The form of the kind that these values suit best; reports when their number suits none."""
        forms = [form for form in (signature.takes, signature.also) if form]
        fitting = [form for form in forms if len(form) == len(values)]
        if not fitting:
            shown = " or ".join(f"{signature.name}({', '.join(form)})" for form in forms or [()])
            counts = " or ".join(str(n) for n in sorted({len(form) for form in forms or [()]}))
            plural = "" if counts == "1" else "s"
            self._say(place, f"{shown} takes {counts} argument{plural}, got {len(values)}")
            return None
        suits = (f for f in fitting if all(_fits(r, v) for r, v in zip(f, values, strict=True)))
        return next(suits, fitting[0])

    def _argument(self, kind: str, role: Role, tree: Node, value: Value) -> Sequence[Any]:
        """What an argument may stand for: one value of the field, or one for each VM or node of a set."""
        if not _fits(role, value):
            self._say(tree, f"{kind} takes {WORDS[role]} here, not {described(value)}{spacing_hint(value)}")
            return ()
        if role is Role.AMOUNT:
            return self._amount(kind, tree, value)
        if role is Role.RESOURCE:
            return self._resource(tree, value)
        names = self._as_vms if role in (Role.VM, Role.VMS, Role.SETS) else self._as_nodes
        if role in (Role.SETS, Role.GROUPS):
            assert isinstance(value, Group)
            return (tuple(names(kind, tree, as_group(part)) for part in value.items.values()),)
        found = names(kind, tree, as_group(value))
        return [(name,) for name in found] if role in _EACH else [found] if found else []

    def _amount(self, kind: str, tree: Node, value: Value) -> Sequence[float]:
        assert isinstance(value, int | float)
        if value < 0:
            self._say(tree, f"{kind} takes a number from 0, not {value:g}")
        return [float(value)]

    def _resource(self, tree: Node, value: Value) -> Sequence[str]:
        assert isinstance(value, Name | Text)
        if self._resources is not None and value.text not in self._resources:
            known = (
                suggestion(value.text, self._resources) or f"; there are {', '.join(sorted(self._resources))}"
            )
            self._say(tree, f"no resource named {value.text}{known}")
        return [value.text]

    def _as_vms(self, kind: str, tree: Node, group: Group) -> tuple[str, ...]:
        return self._resolved(kind, tree, group, "VM", self._vm)

    def _as_nodes(self, kind: str, tree: Node, group: Group) -> tuple[str, ...]:
        return self._resolved(kind, tree, group, "node", self._node)

    def _resolved(
        self,
        kind: str,
        tree: Node,
        group: Group,
        what: str,
        resolve: Callable[[str, Atom], tuple[str, str]],
    ) -> tuple[str, ...]:
        """The full names of a set; reports, place by place, those that are none."""
        known = self._seen.get((id(group), what))
        if known is not None:
            return known[1]
        self._budget.spend(len(group.items))
        names = self._all_right(group, what)
        if names:
            self._seen[id(group), what] = (group, names)
            return names
        found: dict[str, None] = {}
        wrong: dict[tuple[tuple[int, int] | None, str], list[str]] = {}
        for atom in group.atoms():
            name, message = resolve(kind, atom)
            if message:
                place = (atom.start, atom.end) if isinstance(atom, Name) and atom.start >= 0 else None
                wrong.setdefault((place, message), []).append(name)
            else:
                found[name] = None
        for (place, message), bad in wrong.items():
            self._say(
                place or tree, message.format(names=listed(bad), name=bad[0], hint=self._hint(what, bad[0]))
            )
        if not group.items:
            self._say(tree, f"this set is empty: {kind} needs at least one {what}")
        names = tuple(found)
        if not wrong:
            self._seen[id(group), what] = (group, names)
        return names

    def _all_right(self, group: Group, what: str) -> tuple[str, ...]:
        """The full names of a flat set of plain names in which nothing is wrong; else nothing."""
        atoms = group.items.values()
        vms, nodes = self._scope.vm_ids, self._scope.known_nodes
        names: list[str | None]
        if what == "VM":
            names = [vms.get(a.text) if a.__class__ is Name and not a.is_node else None for a in atoms]
        else:
            names = [
                a.text
                if a.__class__ is Name
                and (a.is_node or a.text not in vms)
                and (nodes is None or a.text in nodes)
                else None
                for a in atoms
            ]
        return () if None in names else tuple(names)  # type: ignore[arg-type]

    def _vm(self, _kind: str, atom: Atom) -> tuple[str, str]:
        if isinstance(atom, Name) and atom.is_node:
            return atom.text, "{names} is a node (@); VMs are expected here"
        text = _text(atom)
        full = self._scope.vm_ids.get(text)
        return (full, "") if full is not None else (text, f"no VM named {{names}}{self._scope.where}{{hint}}")

    def _node(self, kind: str, atom: Atom) -> tuple[str, str]:
        text = _text(atom)
        marked = isinstance(atom, Name) and atom.is_node
        if (
            not marked
            and text in self._scope.vm_ids
            and (self._scope.known_nodes is None or not self._scope.is_node(text))
        ):
            return text, f"{{names}} is a VM; {kind} takes nodes here (@{{name}} if a node has that name)"
        return (text, "") if self._scope.is_node(text) else (text, "no node named {names}{hint}")

    def _hint(self, what: str, name: str) -> str:
        scope = self._scope
        nodes = [*(scope.known_nodes or ()), *scope.declared_nodes]
        return suggestion(name, scope.vm_ids if what == "VM" else nodes)


def _fits(role: Role, value: Value | None) -> bool:
    if value is None:
        return True
    if role is Role.AMOUNT:
        return isinstance(value, int | float)
    if role is Role.RESOURCE:
        return isinstance(value, Name | Text)
    if role in (Role.SETS, Role.GROUPS):
        return isinstance(value, Group) and (value.depth == 2 or not value.items)
    return not isinstance(value, int | float)


def _text(atom: Atom) -> str:
    return atom.text if isinstance(atom, Name | Text) else str(atom)
