"""Scenario files: read, overridden by `--set`, and multiplied by their `[sweep]` into runs.

Everything is checked before the first run begins.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from copy import deepcopy
from itertools import product
from pathlib import Path
from typing import Any

import msgspec
from msgspec.inspect import StructType

from lucos.errors import InputError
from lucos.plasma.errors import suggestion
from lucos.simulator.scenario import TABLES, Scenario, problems
from lucos.simulator.strictfile import Document, field_info, read_value

SHIPPED = Path(__file__).with_name("scenarios")

# The short keys of --set and [sweep]; the others are written with their table (load.slots).
SHORT: dict[str, dict[str, str]] = {
    "luc": {
        "hosts": "platform.hosts",
        "sites": "platform.sites",
        "vms_per_host": "vms.per_host",
        "placement": "vms.placement",
        "mean_pct": "load.mean_pct",
        "sigma_pct": "load.sigma_pct",
        "interval_s": "load.interval_s",
        "trace": "load.trace",
        "crash_period_s": "faults.crash_period_s",
        "strategy": "scheduler.strategy",
        "variant": "scheduler.dvms.variant",
        "fidelity": "overlay.fidelity",
        "duration_s": "duration_s",
        "seed": "seed",
    },
    "cloudsim": {
        "strategy": "cloudsim.strategy",
        "hosts": "cloudsim.hosts",
        "vms": "cloudsim.vms",
        "trace": "cloudsim.trace",
        "seed": "seed",
    },
    "vjobs": {
        "strategy": "vjobs.queue.policy.policy",
        "hosts": "vjobs.hosts",
        "vjobs": "vjobs.vjobs",
        "seed": "seed",
    },
}


class Run(msgspec.Struct, frozen=True):
    """`keys` are what the sweep sets for it, as `--set` would."""

    keys: dict[str, Any]
    scenario: Scenario

    @property
    def seed(self) -> int:
        return self.scenario.seed

    @property
    def folder(self) -> str:
        """Where its results go, relative to those of the sweep."""
        keys = ",".join(f"{key}={_plain(value)}" for key, value in self.keys.items())
        return f"{keys or 'all'}/seed-{self.seed}"


def _plain(value: object) -> str:
    return "".join(c if c.isalnum() or c in "._+-" else "-" for c in str(value))


def scenario_path(name: str) -> Path:
    """A file, or a shipped scenario by its name; raises `InputError` when there is neither."""
    if Path(name).is_file():
        return Path(name)
    shipped = SHIPPED / f"{name.removesuffix('.toml')}.toml"
    if "/" not in name and shipped.is_file():
        return shipped
    known = sorted(path.stem for path in SHIPPED.glob("*.toml"))
    raise InputError(
        f"there is no scenario {name}{suggestion(name, known)}",
        hint=f"give a file, or one of {', '.join(known)}",
    )


def load_scenario(path: Path, sets: Sequence[str] = ()) -> Scenario:
    """The scenario of a file, without its sweep; raises `InputError` at what is wrong."""
    document = Document.read(path)
    _sweep(document)
    _override(document, sets, {})
    return _checked(document, path)


def load_runs(path: Path, sets: Sequence[str] = (), seed: int | None = None) -> list[Run]:
    """The runs of a file: one, or all of its [sweep]. What `sets` and `seed` fix is not swept.

    Raises `InputError` at what is wrong in any of them.
    """
    document = Document.read(path)
    sweep = _sweep(document)
    _override(document, sets, sweep)
    seeds = sweep.pop("seeds", None)
    paths = {key: _resolved(document, key, sweep, f"{path}: [sweep]") for key in sweep}
    runs = []
    for values in product(*sweep.values()):
        one, keys = deepcopy(document), dict(zip(sweep, values, strict=True))
        for key, value in keys.items():
            one.override(paths[key], value, f"{key} = {value}", key)
        scenario = _checked(one, path)
        chosen = [seed] if seed is not None else _seeds(document, seeds, scenario.seed)
        runs += [Run(keys, msgspec.structs.replace(scenario, seed=n)) for n in chosen]
    return runs


# --- Overrides ------------------------------------------------------------------------------------


def _override(document: Document, sets: Sequence[str], sweep: dict[str, Any]) -> None:
    """Apply each `--set key=value`; raises `InputError` for what is not one. What is set is not swept."""
    assigned = [text.partition("=") for text in sets]
    # The strategy first: it decides which other keys concern the scenario.
    for key, equals, value in sorted(assigned, key=lambda part: part[0] != "strategy"):
        origin = f"--set {key}{equals}{value}"
        if not equals or not key:
            raise InputError(f"{origin}: not of the form key=value", hint="--set hosts=512")
        path = _resolved(document, key, sweep, origin)
        document.override(path, read_value(value), origin)
        for other in [other for other in sweep if _path(document, other) == path]:
            del sweep[other]


def _path(document: Document, key: str) -> str:
    """The dotted field that a key speaks of."""
    short = SHORT.get(str(document.data.get("kind", "luc")), {})
    return "seed" if key == "seeds" else short.get(key, key)


def _resolved(document: Document, key: str, sweep: Mapping[str, Any], origin: str = "") -> str:
    """The same; raises `InputError` when it does not concern the scenario."""
    kind = str(document.data.get("kind", "luc"))
    path, short = _path(document, key), SHORT.get(kind, {})
    known = [*short]
    steps = tuple(path.split("."))
    info = field_info(Scenario, steps)
    elsewhere = steps[0] not in TABLES.get(kind, ()) if len(steps) > 1 else path not in short.values()
    if info is None or isinstance(info, StructType) or elsewhere:
        tables = ", ".join(TABLES.get(kind, ()))
        hint = f"keys are {', '.join(known)}; fields of the tables {tables} are written TABLE.FIELD"
        raise InputError(f"{origin}: this scenario has no {key}{suggestion(key, known)}", hint=hint)
    if len(steps) == 3 and steps[0] == "scheduler":
        table = document.data.get("scheduler", {})
        chosen = sweep.get("strategy") or [table.get("strategy", "dvms") if isinstance(table, dict) else ""]
        if steps[1] not in chosen:
            runs = ", ".join(map(str, chosen))
            words = f"{origin}: {key} concerns the strategy {steps[1]}, this scenario runs {runs}"
            raise InputError(words, hint=f"--set strategy={steps[1]} runs it")
    return path


# --- Sweeps -----------------------------------------------------------------------------------------


def _sweep(document: Document) -> dict[str, Any]:
    """Key -> its values, `seeds` among them; removes [sweep] from the document."""
    table = document.data.get("sweep", {})
    if not isinstance(table, dict):
        raise document.error("sweep", "sweep must be a table: [sweep]")
    found = dict(_flat(table, ""))
    for key, values in found.items():
        if key != "seeds" and (not isinstance(values, list) or not values):
            hint = f"{key} = [{values}, ...]"
            raise document.error(f"sweep.{key}", f"{key}: must be a list of values, not {values!r}", hint)
    _seeds(document, found.get("seeds"), 0)
    document.data.pop("sweep", None)
    return found


def _flat(table: Mapping[str, Any], path: str) -> Iterator[tuple[str, Any]]:
    for key, value in table.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{path}{key}.")
        else:
            yield path + key, value


def _seeds(document: Document, seeds: Any, first: int) -> list[int]:
    match seeds:
        case None:
            return [first]
        case int() if seeds > 0 and seeds is not True:
            return list(range(first, first + seeds))
        case [_, *_] if all(type(seed) is int and seed >= 0 for seed in seeds):
            return list(dict.fromkeys(seeds))
    raise document.error(
        "sweep.seeds", f"seeds: must be how many, or a list of whole numbers, not {seeds!r}", "seeds = 5"
    )


# --- Checks -----------------------------------------------------------------------------------------


def _checked(document: Document, path: Path) -> Scenario:
    scenario = document.convert(Scenario)
    for table in document.data:
        if isinstance(document.data[table], dict) and table not in TABLES[scenario.kind]:
            words = f"[{table}] does not concern a scenario of kind {scenario.kind}"
            raise document.error(table, words, f"it has {', '.join(TABLES[scenario.kind])}")
    if scenario.kind == "luc":
        for field, message, hint in problems(scenario):
            raise document.error(field, message, hint)
    return _with_trace(scenario, document, path)


def _with_trace(scenario: Scenario, document: Document, path: Path) -> Scenario:
    """The scenario with the file of its trace, which is beside it or in the folder that LUC_DATA names."""
    if scenario.kind == "cloudsim":
        # What the day was drawn from, when it is not there, is told by the summary.
        found = _found(scenario.cloudsim.trace, path) if scenario.cloudsim.trace else None
        cloudsim = msgspec.structs.replace(scenario.cloudsim, trace=str(found or ""))
        return msgspec.structs.replace(scenario, cloudsim=cloudsim)
    load = scenario.load
    if scenario.kind != "luc" or load.kind not in ("planetlab", "csv"):
        return scenario
    if not load.trace:
        words = f"a load of kind {load.kind} needs a trace"
        raise document.error("load.kind", words, 'add trace = "planetlab/20110303.tar.gz"')
    found = _found(load.trace, path)
    if found is None:
        hint = f"looked in {' and in '.join(map(str, _folders(path)))}; LUC_DATA names the folder of traces"
        raise document.error("load.trace", f"there is no trace {load.trace}", hint)
    return msgspec.structs.replace(scenario, load=msgspec.structs.replace(load, trace=str(found)))


def _folders(path: Path) -> list[Path]:
    return [path.parent, *(Path(data) for data in (os.environ.get("LUC_DATA"),) if data)]


def _found(trace: str, path: Path) -> Path | None:
    return next((file.resolve() for folder in _folders(path) if (file := folder / trace).exists()), None)
