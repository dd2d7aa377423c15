"""Scripts that use each other: namespaces, imports and exports; and the two ways to compile."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path

import msgspec

from lucos.errors import InputError
from lucos.model import Constraint
from lucos.model.signature import Signature
from lucos.plasma.compiler import Compiled, Compiler, Declared, Export, Language, Template, flat_names
from lucos.plasma.errors import PlasmaErrors, Problem, Source, suggestion
from lucos.plasma.scope import Scope
from lucos.plasma.syntax import Node, parse
from lucos.plasma.values import EMPTY, Budget, Group, Name, Value, combined, group_of

IMPORTS_MAX = 1000
IMPORT_DEPTH_MAX = 16
SUFFIXES = (".plasma", ".btrp")

Load = Callable[[str], Mapping[str, Source]]
"""The scripts of a pattern: of a namespace `a.b`, of all below one `a.*`, or all there are `*`."""


class Module(msgspec.Struct, frozen=True):
    """A compiled script. `vms` and `nodes` are those it declares, by full name.

    `imports` are all modules that the compiled script builds on, each after those it builds on itself.
    """

    namespace: str
    constraints: tuple[Constraint, ...]
    vms: dict[str, Declared]
    nodes: dict[str, Declared]
    exports: dict[str, Export]
    imports: tuple[Module, ...] = ()


def compile_script(
    text: str,
    *,
    vms: Sequence[str],
    ve: str,
    signatures: Mapping[str, Signature],
    nodes: Collection[str] | None = None,
    resources: Collection[str] | None = None,
    load: Load | None = None,
    contradictions: Callable[[Sequence[Constraint]], list[str]] | None = None,
    file: str = "",
    first_line: int = 1,
    first_column: int = 1,
) -> list[Constraint]:
    """The constraints of a VE's script, in order, with full VM ids (`ve.vm`) and node names.

    `vms` are the short names of the VE's own VMs, also known as `$me` and `$ALL_VMS`; `nodes` and
    `resources` those there are, None when they are not known and any name may be one. Raises `PlasmaErrors`
    with all problems, at places counted from `first_line` and `first_column` of `file`, and `InputError`
    with what `contradictions` says of constraints that cannot hold together.
    """
    session = _Session(Language(signatures, resources), (), nodes, load)
    scope = Scope(ve, own=vms, known_nodes=nodes, where=f" in VE {ve}")
    made = session.compiled(Source(text, file, first_line, first_column), scope)
    session.end()
    return _agreeing(made.constraints, contradictions)


def compile_module(
    source: Source | str,
    *,
    signatures: Mapping[str, Signature],
    vms: Collection[str] = (),
    nodes: Collection[str] | None = None,
    resources: Collection[str] | None = None,
    templates: Mapping[str, Template] | None = None,
    load: Load | None = None,
    contradictions: Callable[[Sequence[Constraint]], list[str]] | None = None,
) -> Module:
    """A script that stands alone, with all it imports. VMs that it declares are called `namespace.vm`.

    `vms` and `nodes` are known to all scripts as they are; without `nodes` any name may be one, without
    `templates` any template. Raises `PlasmaErrors` with the problems of all scripts, and `InputError` as
    `compile_script` does.
    """
    session = _Session(Language(signatures, resources, templates, declares=True), vms, nodes, load)
    module = session.module(Source(source) if isinstance(source, str) else source)
    session.end()
    imports = tuple(session.modules.values())
    _agreeing([c for part in (*imports, module) for c in part.constraints], contradictions)
    return msgspec.structs.replace(module, imports=imports)


def in_folder(folder: Path) -> Load:
    """Scripts in files: namespace `a.b` is `a/b.plasma` (or `.btrp`) below `folder`."""

    def load(pattern: str) -> dict[str, Source]:
        base = folder.joinpath(*pattern.removesuffix("*").strip(".").split("."))
        paths = (
            base.rglob("*") if pattern.endswith("*") else (base.with_name(base.name + s) for s in SUFFIXES)
        )
        files = sorted(path for path in paths if path.suffix in SUFFIXES and path.is_file())
        return {_namespace_of(path.relative_to(folder)): read_source(path) for path in files[:IMPORTS_MAX]}

    return load


def read_source(path: Path) -> Source:
    """The script in a file; raises `InputError` when it cannot be read."""
    try:
        return Source(path.read_text(encoding="utf-8"), str(path))
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not UTF-8 text"
        raise InputError(f"cannot read: {reason}", file=str(path)) from None


def _namespace_of(path: Path) -> str:
    return ".".join(path.with_suffix("").parts)


def _agreeing(
    constraints: list[Constraint], contradictions: Callable[[Sequence[Constraint]], list[str]] | None
) -> list[Constraint]:
    found = contradictions(constraints) if contradictions else []
    if found:
        raise InputError("\n".join(found), hint="drop one of the rules, or make one soft: ~10 before it")
    return constraints


class _Session:
    """Compiles a script and those it imports, each once."""

    def __init__(
        self, language: Language, vms: Collection[str], nodes: Collection[str] | None, load: Load | None
    ) -> None:
        self._language = language
        self._vms = frozenset(vms)
        self._nodes = nodes
        self._load = load
        self._budget = Budget()
        self.modules: dict[str, Module] = {}
        self._failed: set[str] = set()
        self._declared: set[str] = set()
        self._path: list[str] = []
        self._reports: list[tuple[Source, list[Problem]]] = []

    def end(self) -> None:
        """Raises `PlasmaErrors` if there were problems."""
        if self._reports:
            raise PlasmaErrors(self._reports)

    def compiled(self, source: Source, scope: Scope) -> Compiled:
        script = parse(source.text)
        compiler = Compiler(source, scope, self._language, self._budget, self._import if self._load else None)
        made = compiler.run(script)
        if made.problems:
            self._reports.append((source, made.problems))
        return made

    def module(self, source: Source, expected: str = "") -> Module:
        """The module of a script, which `expected` names when an import asked for it."""
        script = parse(source.text)
        first = script.statements[0][1] if script.statements else None
        namespace = str(first.children[0]) if first is not None and first.data == "namespace" else expected
        source = msgspec.structs.replace(source, namespace=namespace)
        where = f" in namespace {namespace}" if namespace else ""
        scope = Scope(namespace, known_vms=self._vms, known_nodes=self._nodes, where=where)
        compiler = Compiler(source, scope, self._language, self._budget, self._import if self._load else None)
        if expected and namespace != expected:
            wrong = f"this script was imported as {expected}: its namespace should say so"
            script.problems.append(Problem(0, len(namespace), wrong))
        self._path.append(namespace)
        made = compiler.run(script)
        self._path.pop()
        if made.problems:
            self._reports.append((source, made.problems))
            self._failed.add(namespace)
        self._declared |= made.vms.keys()
        exports = {name: Export(_abroad(e.value, scope), e.scopes) for name, e in made.exports.items()}
        return Module(namespace, tuple(made.constraints), made.vms, made.nodes, exports)

    def _import(self, compiler: Compiler, tree: Node, pattern: str) -> None:
        assert self._load is not None
        found = self._load(pattern)
        if not found:
            hint = suggestion(pattern.removesuffix(".*"), self._load("*"))
            compiler.report(tree, f"no script of namespace {pattern} is found{hint}")
        everyone: Value = EMPTY
        for namespace in sorted(found):
            if namespace in self._path:
                cycle = " -> ".join([*self._path[self._path.index(namespace) :], namespace])
                compiler.report(tree, f"scripts import each other in a circle: {cycle}")
                continue
            if namespace not in self.modules:
                if len(self._path) >= IMPORT_DEPTH_MAX or len(self.modules) >= IMPORTS_MAX:
                    compiler.report(tree, f"imports deeper than {IMPORT_DEPTH_MAX}, or of too many scripts")
                    return
                self.modules[namespace] = self.module(found[namespace], namespace)
            mine = self._bind(compiler.scope, self.modules[namespace])
            everyone = combined("+", everyone, mine, self._budget)
        if pattern.endswith(".*"):
            compiler.scope.variables[f"${pattern.removesuffix('.*')}"] = everyone

    def _bind(self, scope: Scope, module: Module) -> Value:
        """Make the exports of a module known in a scope; returns what it exports as `$me`."""
        mine: Value = EMPTY
        for name, export in module.exports.items():
            long = f"${module.namespace}.{name[1:]}"
            names = [long, f"${module.namespace}"] if name == "$me" else [long, name]
            value = None if module.namespace in self._failed else export.value
            if not export.allows(scope.space):
                reader = scope.space or "a script without a namespace"
                scope.hidden |= dict.fromkeys(
                    names, f"{name} of {module.namespace} is not exported to {reader}"
                )
                continue
            for vm in {n.text for n in flat_names(export.value)} & self._declared:
                scope.vm_ids.setdefault(vm, vm)
            if names[1] in scope.variables and names[1] != f"${module.namespace}":
                scope.hidden[names.pop()] = f"several imported scripts export {name}: write {long}"
                scope.variables.pop(name)
            scope.variables |= dict.fromkeys(names, value)
            mine = export.value if name == "$me" else mine
        return mine


def _abroad(value: Value, scope: Scope) -> Value:
    """A value as other scripts see it: own VMs by their full names, without places in this script."""
    if isinstance(value, Group):
        return group_of((_abroad(v, scope) for v in value.items.values()), Budget())
    if isinstance(value, Name):
        full = value.text if value.is_node else scope.vms.get(value.text, value.text)
        return Name(full, is_node=value.is_node)
    return value
