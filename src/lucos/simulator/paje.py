"""The Paje trace of a run, for pj_dump, ViTE and other viewers.

Source: the Paje trace file format (de Oliveira Stein, Chassin de Kergommeaux, Mounié 2010): event
definitions, the hierarchy of types, then events in the order of time. A message is a link of no length, at
its delivery.
"""

from __future__ import annotations

from pathlib import Path

from lucos.actors import Message, node_of
from lucos.model import Event
from lucos.simulator.rows import NODE_STATES, SERVICE_STATES

_COLOURS = {
    "underloaded": "0.55 0.75 0.95",
    "normal": "0.45 0.75 0.45",
    "violation": "0.85 0.20 0.20",
    "violation-det": "0.95 0.55 0.15",
    "violation-out": "0.70 0.20 0.60",
    "off": "0.60 0.60 0.60",
    "down": "0.10 0.10 0.10",
    "free": "0.85 0.85 0.85",
    "booked": "0.95 0.80 0.30",
    "compute": "0.30 0.45 0.85",
    "reconfigure": "0.55 0.35 0.75",
    "migrate": "0.20 0.65 0.65",
}
_VARIABLES = ("LOAD", "NB_MIG", "NB_MC", "NB_VM", "NB_ON", "NB_OFF", "ENERGY")
_DEFINITIONS = (
    ("PajeDefineContainerType", "Alias string", "Type string", "Name string"),
    ("PajeDefineVariableType", "Alias string", "Type string", "Name string", "Color color"),
    ("PajeDefineStateType", "Alias string", "Type string", "Name string"),
    (
        "PajeDefineLinkType",
        "Alias string",
        "Type string",
        "StartContainerType string",
        "EndContainerType string",
        "Name string",
    ),
    ("PajeDefineEntityValue", "Alias string", "Type string", "Name string", "Color color"),
    ("PajeCreateContainer", "Time date", "Alias string", "Type string", "Container string", "Name string"),
    ("PajeDestroyContainer", "Time date", "Type string", "Name string"),
    ("PajeSetVariable", "Time date", "Type string", "Container string", "Value double"),
    ("PajeSetState", "Time date", "Type string", "Container string", "Value string"),
    (
        "PajeStartLink",
        "Time date",
        "Type string",
        "Container string",
        "StartContainer string",
        "Value string",
        "Key string",
    ),
    (
        "PajeEndLink",
        "Time date",
        "Type string",
        "Container string",
        "EndContainer string",
        "Value string",
        "Key string",
    ),
)
_NUMBERS = {name: number for number, (name, *_) in enumerate(_DEFINITIONS)}
_ROOT = "luc"


class PajeTrace:
    """A file with a container per site and host; `hosts` are (name, site)."""

    def __init__(self, path: Path, hosts: list[tuple[str, str]], now_s: float) -> None:
        self._file = path.open("w", encoding="utf-8", buffering=1 << 20)
        self._hosts = [name for name, _ in hosts]
        self._sites = list(dict.fromkeys(site for _, site in hosts))
        self._keys = 0
        self._flights: dict[str, tuple[str, str]] = {}
        for name, *fields in _DEFINITIONS:
            self._file.write(f"%EventDef {name} {_NUMBERS[name]}\n")
            self._file.writelines(f"%       {field}\n" for field in fields)
            self._file.write("%EndEventDef\n")
        self._types()
        begin = f"{now_s:.6f}"
        self._put("CreateContainer", begin, _ROOT, "LUC", "0", _ROOT)
        for site in self._sites:
            self._put("CreateContainer", begin, _site(site), "SITE", _ROOT, f'"{site}"')
        for name, site in hosts:
            self._put("CreateContainer", begin, _host(name), "HOST", _site(site), f'"{name}"')
            self.state(now_s, name, "PM", "normal")
            self.state(now_s, name, "SERVICE", "free")

    def _put(self, event: str, *fields: str) -> None:
        self._file.write(f"{_NUMBERS['Paje' + event]} {' '.join(fields)}\n")

    def _types(self) -> None:
        for alias, parent in (("LUC", "0"), ("SITE", "LUC"), ("HOST", "SITE")):
            self._put("DefineContainerType", alias, parent, alias)
        for variable in _VARIABLES:
            self._put("DefineVariableType", variable, "LUC", variable, '"0.2 0.4 0.7"')
        for state, values in (("PM", NODE_STATES), ("SERVICE", SERVICE_STATES)):
            self._put("DefineStateType", state, "HOST", state)
            for value in values:
                self._put("DefineEntityValue", f"{state}-{value}", state, value, f'"{_COLOURS[value]}"')
        for link in ("MIGRATION", "MESSAGE"):
            self._put("DefineLinkType", link, "LUC", "HOST", "HOST", link)

    def state(self, now_s: float, host: str, name: str, value: str) -> None:
        self._put("SetState", f"{now_s:.6f}", name, _host(host), f"{name}-{value}")

    def variable(self, now_s: float, name: str, value: float) -> None:
        self._put("SetVariable", f"{now_s:.6f}", name, _ROOT, f"{value:.6f}")

    def migration(self, event: Event) -> None:
        """Draw a link from the source of a migration to its destination, as long as the migration."""
        vm = event.subject
        if event.kind == "migration.start":
            self._land(event.time_s, vm)
            source, destination = str(event.data["source"]), str(event.data["destination"])
            self._flights[vm] = self._start(event.time_s, "MIGRATION", source, f'"{vm}"'), destination
        else:
            self._land(event.time_s, vm)

    def message(self, now_s: float, to: str, sender: str, message: Message) -> None:
        """Draw the delivery of a message from one node to another."""
        what = type(message).__name__
        key = self._start(now_s, "MESSAGE", node_of(sender), what)
        self._end(now_s, "MESSAGE", node_of(to), what, key)

    def close(self, now_s: float) -> None:
        """End the migrations under way and all containers."""
        for vm in list(self._flights):
            self._land(now_s, vm)
        for kind, names in (("HOST", map(_host, self._hosts)), ("SITE", map(_site, self._sites))):
            for name in names:
                self._put("DestroyContainer", f"{now_s:.6f}", kind, name)
        self._put("DestroyContainer", f"{now_s:.6f}", "LUC", _ROOT)
        self._file.close()

    def _land(self, now_s: float, vm: str) -> None:
        if vm in self._flights:
            key, destination = self._flights.pop(vm)
            self._end(now_s, "MIGRATION", destination, f'"{vm}"', key)

    def _start(self, now_s: float, kind: str, source: str, value: str) -> str:
        self._keys += 1
        self._put("StartLink", f"{now_s:.6f}", kind, _ROOT, _host(source), value, f"k{self._keys}")
        return f"k{self._keys}"

    def _end(self, now_s: float, kind: str, destination: str, value: str, key: str) -> None:
        self._put("EndLink", f"{now_s:.6f}", kind, _ROOT, _host(destination), value, key)


def _host(name: str) -> str:
    return f'"host-{name}"'


def _site(name: str) -> str:
    return f'"site-{name}"'
