"""VE files (`.luc`): TOML text -> `model.VirtualEnvironment`, with every error at its line.

[ve]
name = "shop"          # a-z, 0-9 and -, at most 32
image = "mini"

[[vm]]                 # a group of equal VMs; its defaults are those of model.VmSpec
name = "web"
count = 3              # web1, web2, web3; without it, one VM named web
cpu = 1                # virtual CPUs
memory_mib = 96
workload = "cpu:30"    # model.workload
image = "mini"         # instead of the VE's

[constraints]
plasma = '''spread(web[1..3]);'''
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import msgspec

from lucos.environments.tomlplaces import Places
from lucos.errors import InputError
from lucos.model import Constraint, VirtualEnvironment, VmSpec
from lucos.model.workload import check_workload
from lucos.plasma import Source, compile_script, format_script, read_source
from lucos.plasma.errors import suggestion

Name = Annotated[str, msgspec.Meta(pattern=r"^[a-z0-9][a-z0-9-]{0,31}\Z")]
Image = Annotated[str, msgspec.Meta(pattern=r"^[a-z0-9][a-z0-9._-]{0,63}\Z")]
Count = Annotated[int, msgspec.Meta(ge=1, le=1000)]
Cpu = Annotated[int, msgspec.Meta(ge=1, le=256)]
MemoryMib = Annotated[int, msgspec.Meta(ge=1, le=16 * 1024 * 1024)]

_DEFAULT = VmSpec("", "", "")


class _Ve(msgspec.Struct, forbid_unknown_fields=True):
    name: Name
    image: Image


class _Group(msgspec.Struct, forbid_unknown_fields=True):
    name: Name
    count: Count | None = None
    cpu: Cpu = _DEFAULT.cpu
    memory_mib: MemoryMib = _DEFAULT.memory_mib
    workload: str = _DEFAULT.workload
    image: Image | None = None

    def names(self) -> list[str]:
        return [self.name] if self.count is None else [f"{self.name}{n}" for n in range(1, self.count + 1)]


class _Constraints(msgspec.Struct, forbid_unknown_fields=True):
    plasma: str = ""


class _File(msgspec.Struct, forbid_unknown_fields=True):
    ve: _Ve
    vm: Annotated[list[_Group], msgspec.Meta(min_length=1)]
    constraints: _Constraints = msgspec.field(default_factory=_Constraints)


_FIELDS: dict[str, tuple[str, ...]] = {
    "": _File.__struct_fields__,
    "ve": _Ve.__struct_fields__,
    "vm": _Group.__struct_fields__,
    "constraints": _Constraints.__struct_fields__,
}
_EXAMPLES = {
    ("", "ve"): 'a table [ve] with name = "shop" and image = "mini"',
    ("", "vm"): 'a group [[vm]] with name = "web"',
    ("ve", "name"): 'name = "shop"',
    ("ve", "image"): 'image = "mini"',
    ("vm", "name"): 'name = "web"',
}
_TYPES = {"int": "a whole number", "str": "a text", "object": "a table", "array": "a list"}
_PLASMA = re.compile(
    r"""^\s*plasma\s*=\s*('{3}.*?'{3}|"{3}.*?"{3}|'[^'\n]*'|"(?:[^"\\\n]|\\.)*")""", re.DOTALL | re.MULTILINE
)
_RULES = {
    "name": "1 to 32 of a-z, 0-9 and -, beginning with a letter or digit",
    "image": "the name of an image (a-z, 0-9, dot, dash, underscore)",
}


def load_ve(path: Path) -> VirtualEnvironment:
    """The VE described by a file; raises `InputError` (or `PlasmaErrors`) at the line at fault."""
    return parse_ve(read_source(path).text, file=str(path))


def parse_ve(text: str, *, file: str = "") -> VirtualEnvironment:
    """The VE described by a text; `file` is what errors call it."""
    places = Places(text, file)
    content = _decode(text, places)
    vms = _vm_names(content.vm, places)
    constraints = _rules(content, list(vms), file, places) if content.constraints.plasma else []
    if constraints:
        from lucos.placement.judging import speaks_of
    specs = []
    for name, group in vms.items():
        full = f"{content.ve.name}.{name}"
        specs.append(
            VmSpec(
                id=full,
                ve=content.ve.name,
                image=group.image or content.ve.image,
                cpu=group.cpu,
                memory_mib=group.memory_mib,
                workload=group.workload,
                constraints=tuple(rule for rule in constraints if speaks_of(rule, full)),
            )
        )
    return VirtualEnvironment(content.ve.name, tuple(specs), tuple(constraints), source=text)


def _rules(content: _File, vms: list[str], file: str, places: Places) -> list[Constraint]:
    """The constraints of the VE; raises `InputError` when they contradict each other."""
    # Imported here: what a VE without rules needs not is not loaded.
    from lucos.placement.cluster import Cluster, Node, Vm
    from lucos.placement.constraints import SIGNATURES
    from lucos.placement.validation import contradictions

    def wrong(rules: Sequence[Constraint]) -> list[str]:
        # The hosts are not known here: those that are named, and others, so many that each VM has one.
        named = {node for rule in rules for nodes in (rule.nodes, *rule.groups) for node in nodes}
        hosts = [Node(name, {}) for name in (*sorted(named), *(f"another host {n}" for n in range(len(vms))))]
        running = [Vm(f"{content.ve.name}.{vm}", {}) for vm in vms]
        return contradictions(rules, Cluster.of(hosts, running))

    line, column = places.text_start("constraints", "plasma")
    return compile_script(
        content.constraints.plasma,
        vms=vms,
        ve=content.ve.name,
        signatures=SIGNATURES,
        contradictions=wrong,
        file=file,
        first_line=line,
        first_column=column,
    )


def format_ve(text: str, *, file: str = "") -> str:
    """The text of a VE file with its Plasma script laid out anew; raises as `parse_ve` does."""
    places = Places(text, file)
    script = _decode(text, places).constraints.plasma
    line, column = places.text_start("constraints", "plasma")
    lines = text.split("\n")
    formatted = format_script(Source(script, file, line, column))
    if formatted.rstrip("\n") == script.rstrip("\n"):
        return text
    # The value begins on the line of its field, whose quotes are before the start of the text.
    found = _PLASMA.search(text, sum(len(above) + 1 for above in lines[: max(0, line - 2)]))
    laid = f"{text[: found.start(1)]}'''\n{formatted}'''{text[found.end(1) :]}" if found else ""
    data = tomllib.loads(text)
    data["constraints"]["plasma"] = formatted
    if not laid or "'''" in formatted or tomllib.loads(laid) != data:
        raise places.error("only a script in quotes of its own field can be formatted", "constraints")
    return laid


def _decode(text: str, places: Places) -> _File:
    try:
        data = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise places.syntax_error(str(error)) from None
    try:
        return msgspec.convert(data, _File)
    except msgspec.ValidationError as error:
        raise _field_error(str(error), data, places) from None


def _vm_names(groups: list[_Group], places: Places) -> dict[str, _Group]:
    """VM name -> its group, in the file's order; checks what types cannot."""
    vms: dict[str, _Group] = {}
    for number, group in enumerate(groups):
        try:
            check_workload(group.workload)
        except InputError as error:
            raise places.error(error.message, "vm", number, "workload", hint=error.hint) from None
        for name in group.names():
            if name in vms:
                hint = "give the group another name, or one group a larger count"
                raise places.error(f"two VMs are named {name}", "vm", number, "name", hint=hint)
            vms[name] = group
    return vms


def _field_error(message: str, data: dict[str, Any], places: Places) -> InputError:
    """msgspec's `Expected X, got Y - at $.vm[0].count` in our words, at the field's line."""
    what, _, path = message.replace("`", "").partition(" - at $")
    steps = re.findall(r"\w+", path)
    table, index, key = "", 0, ""
    value: Any = data
    for step in steps:
        value = value[int(step)] if step.isdigit() else value[step]
        if step.isdigit():
            index = int(step)
        else:
            table, key = table or step, step if table else ""
    name = what.split()[-1]
    where = f"[{table}]" if table else "the file"
    if "unknown field" in what:
        hint = f"fields of {where}: {', '.join(_FIELDS[table])}"
        words = f"{where} has no field {name}{suggestion(name, _FIELDS[table])}"
        return places.error(words, table or name, index, name, hint=hint)
    if "missing required field" in what:
        return places.error(f"{where} lacks {name}", table, index, hint=f"add {_EXAMPLES[table, name]}")
    if "matching regex" in what:
        what = _RULES[key]
    shown = "" if isinstance(value, (dict, list)) else f", not {value!r}"
    rule = what.partition(", got ")[0].removeprefix("Expected ").removesuffix(" | null")
    for technical, plain in _TYPES.items():
        rule = rule.replace(technical, plain)
    return places.error(f"{'.'.join(filter(None, (table, key)))}: must be {rule}{shown}", table, index, key)
