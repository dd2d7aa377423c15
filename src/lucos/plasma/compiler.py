"""The compiler of one script: statements, in order -> constraints, declared VMs and nodes, exports."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping

import msgspec
from lark import Token, Tree

from lucos.model import Constraint
from lucos.model.signature import Signature
from lucos.plasma.errors import Problem, Source, suggestion
from lucos.plasma.expressions import Enough, Expressions
from lucos.plasma.rules import WEIGHT_MAX, Prefixes, Rules
from lucos.plasma.scope import Scope
from lucos.plasma.syntax import Node, Script
from lucos.plasma.values import EMPTY, Budget, Exhausted, Fault, Group, Name, Value, as_group, combined

BLOCKS_MAX = 20
STATEMENT_WORK = 20


class Template(msgspec.Struct, frozen=True):
    """What scripts may instantiate: VMs, or nodes. `options` are those it takes, None when it takes any."""

    options: tuple[str, ...] | None = None
    nodes: bool = False


class Declared(msgspec.Struct, frozen=True):
    """A VM or node that a script declares: its template, with options (True when given without a value)."""

    template: str
    options: dict[str, float | str | bool] = {}


class Export(msgspec.Struct, frozen=True):
    """A variable that others may use: those of its scopes (`*`, `a.b`, or `a.*` for all below `a`)."""

    value: Value
    scopes: tuple[str, ...]

    def allows(self, namespace: str) -> bool:
        return any(
            scope in ("*", namespace) or (scope.endswith(".*") and namespace.startswith(scope[:-1]))
            for scope in self.scopes
        )


class Compiled(msgspec.Struct):
    """What came out of one script."""

    constraints: list[Constraint] = []
    vms: dict[str, Declared] = {}
    nodes: dict[str, Declared] = {}
    exports: dict[str, Export] = {}
    problems: list[Problem] = []


class Language(msgspec.Struct, frozen=True):
    """What scripts may speak of: kinds of constraints; resources and templates, None when any may be named.

    `declares`: whether scripts may declare VMs and nodes.
    """

    signatures: Mapping[str, Signature]
    resources: Collection[str] | None = None
    templates: Mapping[str, Template] | None = None
    declares: bool = False


Import = Callable[["Compiler", Node, str], None]


class Compiler:
    """Runs the statements of one script. `importing` carries out import statements."""

    def __init__(
        self,
        source: Source,
        scope: Scope,
        language: Language,
        budget: Budget,
        importing: Import | None = None,
    ) -> None:
        self.scope = scope
        self.result = Compiled()
        self._language = language
        self._budget = budget
        self._importing = importing
        self._depth = 0
        self._values = Expressions(scope, budget, self.result.problems)
        self._rules = Rules(source, self._values, language.signatures, language.resources)
        self._handlers: dict[str, Callable[[Node], None]] = {
            "namespace": self._namespace,
            "import": self._import,
            "export": self._export,
            "assignment": self._assignment,
            "template": self._template,
            "constraint": self._constraint,
            "loop": self._loop,
            "choice": self._choice,
        }
        self.report = self._values.report

    def run(self, script: Script) -> Compiled:
        """Compile a script that was read; problems are in the result."""
        self.result.problems += script.problems
        # A variable whose assignment is at fault stays unknown in silence: its error is told already.
        self.scope.variables |= dict.fromkeys(script.broken)
        statement: Node | None = None
        try:
            for base, statement in script.statements:
                self._values.base = base
                self._statement(statement)
        except Enough:
            pass
        except Exhausted:
            assert statement is not None
            place = self._values.extent(statement)
            self.result.problems.append(
                Problem(*place, "this takes too much work: smaller sets or fewer rounds")
            )
        return self.result

    def _statement(self, tree: Node) -> None:
        self._budget.spend(STATEMENT_WORK)
        self._handlers[tree.data](tree)

    # --- Namespaces

    def _namespace(self, tree: Node) -> None:
        if tree.children[0] != self.scope.space:
            here = f"the namespace here is {self.scope.space}" if self.scope.space else ""
            self.report(tree, here or "a namespace is given by the first statement of a script")

    def _import(self, tree: Node) -> None:
        name, below = tree.children
        if self._importing is None or self._depth:
            what = "only at the top of a script" if self._depth else "not possible here"
            self.report(tree, f"imports are {what}")
        else:
            self._importing(self, tree, f"{name}{below or ''}")

    def _export(self, tree: Node) -> None:
        if self._depth:
            self.report(tree, "exports are not possible in a block")
            return
        scopes = tuple(
            "".join(str(part) for part in child.children if part is not None)
            for child in tree.children
            if isinstance(child, Tree) and child.data == "scope"
        )
        for target in tree.children:
            if isinstance(target, Tree) and target.data != "scope":
                for name, place in self._targets(target):
                    value = self._values.variable(name, place)
                    self.result.exports[name] = Export(EMPTY if value is None else value, scopes)

    # --- Variables

    def _targets(self, tree: Node) -> list[tuple[str, Node]]:
        """The variables that are named in the place of a target, `_` among them; each with its place."""
        if tree.data == "variable":
            return [(str(tree.children[0]), tree)]
        if tree.data == "variables":
            return [(name, tree) for name in self._values.variable_names(tree) or ()]
        if tree.data == "names":
            words = re.findall(r"[^{},\s]+", str(tree.children[0]))
            if all(word == "_" for word in words):
                return [(word, tree) for word in words]
        elif tree.data == "set":
            return [found for child in tree.children if child is not None for found in self._target(child)]
        elif tree.data == "name" and tree.children[0] == "_" and tree.children[1] is None:
            return [("_", tree)]
        self.report(tree, "a $variable is expected here, or _ for what is not wanted")
        return []

    def _target(self, tree: Node | Token) -> list[tuple[str, Node]]:
        assert isinstance(tree, Tree)
        if tree.data == "set":
            self.report(tree, "a $variable is expected here, or _ for what is not wanted")
            return []
        return self._targets(tree)

    def _assignment(self, tree: Node) -> None:
        target, symbol, expression = tree.children
        assert isinstance(target, Tree)
        value = self._values.value(expression)
        targets = self._targets(target)
        if target.data == "variable" or symbol != "=":
            for name, place in targets:
                self._assign(name, place, self._updated(name, place, str(symbol), value, symbol))
            return
        parts: list[Value | None] = list(as_group(value).items.values()) if value is not None else []
        if value is not None and len(parts) < len(targets):
            self.report(target, f"{len(targets)} variables for {len(parts)} element{'s'[: len(parts) != 1]}")
        parts += [None] * (len(targets) - len(parts))
        for (name, place), part in zip(targets, parts, strict=False):
            self._assign(name, place, part)

    def _updated(
        self, name: str, place: Node, symbol: str, value: Value | None, token: Node | Token
    ) -> Value | None:
        """What `$name symbol value` assigns, for `=`, `+=` and its like."""
        if symbol == "=" or name == "_":
            return value
        before = self._values.variable(name, place)
        if before is None or value is None:
            return None
        try:
            return combined(symbol[0], before, value, self._budget)
        except Fault as fault:
            self.report(token, str(fault))
            return None

    def _assign(self, name: str, place: Node | Token, value: Value | None) -> None:
        if name in self.scope.builtin:
            self.report(place, f"{name} is {self.scope.builtin[name]} and cannot be assigned")
        elif "." in name:
            self.report(place, f"{name} belongs to another namespace and cannot be assigned")
        elif name != "_":
            self.scope.variables[name] = value

    # --- VMs and nodes

    def _template(self, tree: Node) -> None:
        declared, kind, *options = tree.children
        if not self._language.declares:
            self.report(tree, "VMs and nodes are not declared here: the VMs of a VE are its [[vm]] groups")
            return
        template = self._known_template(kind)
        given = self._options(template, [option for option in options if isinstance(option, Tree)])
        value = self._values.value(declared)
        if value is None or template is None or given is None:
            return
        what = Declared(str(kind), given)
        atoms = [atom for atom in as_group(value).atoms() if isinstance(atom, Name)]
        if len(atoms) < len(list(as_group(value).atoms())):
            self.report(declared, "names are expected here")
        for name in atoms:
            self._declare(name, what, declared, is_node=name.is_node or template.nodes)
        self.scope.own(name.text for name in atoms if not (name.is_node or template.nodes))

    def _known_template(self, kind: Node | Token) -> Template | None:
        templates = self._language.templates
        if templates is None:
            return Template()
        if kind not in templates:
            hint = suggestion(str(kind), templates) or f"; templates are {', '.join(templates)}"
            self.report(kind, f"unknown template {kind}{hint}")
        return templates.get(str(kind))

    def _options(
        self, template: Template | None, options: list[Node]
    ) -> dict[str, float | str | bool] | None:
        given: dict[str, float | str | bool] | None = {}
        for option in options:
            name, value = option.children
            allowed = None if template is None else template.options
            if allowed is not None and name not in allowed:
                hint = suggestion(str(name), allowed) or f"; it takes {', '.join(allowed) or 'none'}"
                self.report(name, f"this template has no option {name}{hint}")
                given = None
            elif given is not None:
                given[str(name)] = self._option(value)
        return given

    def _option(self, token: Node | Token | None) -> float | str | bool:
        if token is None:
            return True
        text = str(token)
        if isinstance(token, Token) and token.type == "NUMBER":
            return self._values.number(text)
        return text.strip('"')

    def _declare(self, name: Name, what: Declared, place: Node | Token, *, is_node: bool) -> None:
        where: dict[str, Declared] = self.result.nodes if is_node else self.result.vms
        full = name.text if is_node or not self.scope.space else f"{self.scope.space}.{name.text}"
        if full in where:
            self.report(place, f"{name.text} is declared twice")
        where[full] = what
        if is_node:
            self.scope.declared_nodes[name.text] = None

    # --- Rules

    def _constraint(self, tree: Node) -> None:
        prefixes = Prefixes()
        arguments: list[Node] = []
        kind = next(child for child in tree.children if isinstance(child, Token))
        for child in tree.children:
            if isinstance(child, Token):
                continue
            if isinstance(child, Tree) and child.data == "prefix":
                self._prefix(child, prefixes)
            elif isinstance(child, Tree):
                arguments.append(child)
        signatures = self._language.signatures
        signature = signatures.get(kind)
        if signature is None:
            hint = suggestion(kind, signatures) or f"; constraints are {', '.join(signatures)}"
            self.report(kind, f"unknown constraint {kind}{hint}")
            return
        self._rules.mode(tree, signature, prefixes)
        values = [(argument, self._values.value(argument)) for argument in arguments]
        self.result.constraints += self._rules.constraints(tree, str(kind), prefixes, values)

    def _prefix(self, tree: Node, prefixes: Prefixes) -> None:
        mark, weight = (*tree.children, None)[:2]
        name = {">>": "discrete", "~": "weight"}.get(str(mark), "relocatable")
        if getattr(prefixes, name):
            self.report(tree, f"{mark} is written twice")
        setattr(prefixes, name, self._weight(weight) if name == "weight" else True)

    def _weight(self, token: Node | Token | None) -> int:
        if token is None:
            return 1
        assert isinstance(token, Token)
        if token.type == "VARIABLE":
            value = self._values.variable(str(token), token)
        else:
            value = self._values.number(str(token))
        if value is not None and not (isinstance(value, int) and 1 <= value <= WEIGHT_MAX):
            self.report(token, f"a weight is a whole number from 1 to {WEIGHT_MAX}")
        return value if isinstance(value, int) else 1

    # --- Blocks

    def _block(self, tree: Node | Token | None) -> None:
        assert isinstance(tree, Tree)
        if self._depth >= BLOCKS_MAX:
            self.report(tree, f"blocks nested deeper than {BLOCKS_MAX}")
            return
        self._depth += 1
        for statement in tree.children:
            assert isinstance(statement, Tree)
            self._statement(statement)
        self._depth -= 1

    def _loop(self, tree: Node) -> None:
        variable, expression, block = tree.children
        name = str(variable)
        value = self._values.value(expression)
        if isinstance(value, int | float):
            self.report(expression, "a set is expected here, not a number")
            value = None
        if value is None:
            self._skip(block)
            return
        variables = self.scope.variables
        before = {name: variables[name]} if name in variables else {}
        for element in as_group(value).items.values():
            self._assign(name, variable, element)
            self._block(block)
        # The variable of a loop is known inside of it only.
        variables.pop(name, None)
        variables |= before

    def _choice(self, tree: Node) -> None:
        *pairs, otherwise = tree.children
        for condition, block in zip(pairs[::2], pairs[1::2], strict=True):
            value = self._values.value(condition)
            holds = None if value is None else self._values.holds(value, condition)
            if holds is None:
                for skipped in (*pairs[1::2], otherwise):
                    self._skip(skipped)
                return
            if holds:
                self._block(block)
                return
        if otherwise is not None:
            self._block(otherwise)

    def _skip(self, block: Node | Token | None) -> None:
        """Pass over a block that cannot be run: what it would have assigned is unknown, and that is told."""
        if isinstance(block, Tree):
            for assignment in block.find_data("assignment"):
                target = assignment.children[0]
                assert isinstance(target, Tree)
                names = re.findall(r"\$\w+", " ".join(map(str, target.scan_values(lambda _: True))))
                self.scope.variables |= dict.fromkeys(names)


def flat_names(value: Value) -> list[Name]:
    """All names in a value."""
    atoms = value.atoms() if isinstance(value, Group) else [value]
    return [atom for atom in atoms if isinstance(atom, Name)]
