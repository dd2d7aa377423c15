"""What the names of a script mean: its variables, its own VMs, and the VMs and nodes known from elsewhere."""

from __future__ import annotations

from collections.abc import Collection, Hashable, Iterable

from lucos.plasma.values import Group, Name, Value


class Scope:
    """Names of one script. `space` is its VE or namespace: the full name of its own `web1` is `space.web1`.

    `vms` are the own VMs by short name; `known_vms` VMs that may be named as they are; `known_nodes` the
    nodes there are, None when any name may be one. `hidden` says of variables why they cannot be used.
    """

    def __init__(
        self,
        space: str,
        *,
        own: Iterable[str] = (),
        known_vms: Collection[str] = (),
        known_nodes: Collection[str] | None = None,
        where: str = "",
    ) -> None:
        self.space = space
        self.where = where
        self.vms: dict[str, str] = {}
        self.known_vms = tuple(sorted(known_vms))
        # By what VMs may be called here: their full names.
        self.vm_ids = {vm: vm for vm in self.known_vms}
        self.declared_nodes: dict[str, None] = {}
        self.known_nodes = None if known_nodes is None else dict.fromkeys(known_nodes)
        self.variables: dict[str, Value | None] = {}
        self._everyone: dict[str, Value] = {}
        self.hidden: dict[str, str] = {}
        self.builtin = {
            "$me": "every VM of this script",
            "$ALL_VMS": "every VM",
            **({} if known_nodes is None else {"$ALL_NODES": "every node"}),
        }
        self.own(own)

    def own(self, names: Iterable[str]) -> None:
        """Add VMs to the script's own."""
        ids = {name: f"{self.space}.{name}" if self.space else name for name in names}
        self.vms |= ids
        self.vm_ids |= ids
        for stale in ("$me", "$ALL_VMS"):
            self._everyone.pop(stale, None)

    def value(self, variable: str) -> Value | None:
        """What a variable holds (None: its assignment is at fault); raises KeyError when there is none."""
        if variable not in self.builtin:
            return self.variables[variable]
        if variable not in self._everyone:
            names: Iterable[str] = {
                "$me": [*self.vms],
                "$ALL_VMS": [*self.vms, *self.known_vms],
                "$ALL_NODES": [*(self.known_nodes or ()), *self.declared_nodes],
            }[variable]
            self._everyone[variable] = _all(names, is_node=variable == "$ALL_NODES")
        return self._everyone[variable]

    def name(self, text: str, start: int, end: int, is_node: bool = False) -> Name:
        """A name as written; an own VM by its full name gets its short one."""
        prefix = f"{self.space}."
        if "." in text and not is_node and text.startswith(prefix) and text.removeprefix(prefix) in self.vms:
            text = text.removeprefix(prefix)
        return Name(text, start, end, is_node)

    def is_node(self, text: str) -> bool:
        """Whether a node of this name is known, or none are known and any may be."""
        return self.known_nodes is None or text in self.known_nodes or text in self.declared_nodes


def _all(names: Iterable[str], *, is_node: bool = False) -> Group:
    items: dict[Hashable, Value] = {name: Name(name, is_node=is_node) for name in names}
    return Group(items)
