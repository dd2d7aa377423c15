"""The grammar of guest workloads: `idle`, `cpu:PERCENT`, `dirty:MIB_PER_S`, `tick`, joined by `+`."""

from __future__ import annotations

import msgspec

from lucos.errors import InputError

GRAMMAR = "idle | cpu:PERCENT | dirty:MIB_PER_S | tick, joined by + (for example tick+cpu:20)"
CPU_PCT_MAX = 100
DIRTY_MIB_PER_S_MAX = 10_000


class Workload(msgspec.Struct, frozen=True):
    """What a guest does: percent of one virtual CPU, MiB written per second, whether it counts aloud."""

    cpu_pct: int = 0
    dirty_mib_per_s: int = 0
    tick: bool = False


def check_workload(text: str) -> None:
    """Raise `InputError` when `text` is not a workload."""
    parse_workload(text)


def parse_workload(text: str) -> Workload:
    """The workload of `text`; raises `InputError` naming the part at fault."""
    found: dict[str, int] = {}
    for part in text.split("+"):
        kind, colon, amount = part.partition(":")
        highest = {"cpu": CPU_PCT_MAX, "dirty": DIRTY_MIB_PER_S_MAX}.get(kind)
        if highest is None and (colon or kind not in ("idle", "tick")):
            raise InputError(
                f"workload {text!r}: {part!r} is not a workload", hint=f"workloads are {GRAMMAR}"
            )
        if highest is not None and not (
            amount.isascii() and amount.isdigit() and len(amount) < 9 and 1 <= int(amount) <= highest
        ):
            raise InputError(
                f"workload {text!r}: {kind} needs a whole number from 1 to {highest}, not {amount!r}",
                hint=f"workloads are {GRAMMAR}",
            )
        if kind in found:
            raise InputError(f"workload {text!r}: {kind} is there twice")
        found[kind] = int(amount or 1)
    return Workload(found.get("cpu", 0), found.get("dirty", 0), "tick" in found)
