"""The rows of a trace: what each means, how they are written as JSON lines, and how they are read back.

The words are those of VMPlaceS (Lebre, Pastor, Südholt, Euro-Par 2015): states of nodes under `PM` and
of their schedulers under `SERVICE`, variables under their names. A row is written when what it tells of ends.

| event     | origin   | state_name          | value       | data                                            |
|-----------|----------|---------------------|-------------|-------------------------------------------------|
| host      | the host | SITE                | its site    | cpu_pct, memory_mib                             |
| state     | the host | PM, SERVICE         | the state   |                                                 |
| variable  | luc      | LOAD, NB_MIG, ...   | a number    | of LOAD: p5, p95, max, wanted_pct, capacity_pct |
| migration | source   | MIGRATION           | the VM      | source, destination, partition, outcome, ...    |
| partition | leader   | PARTITION           | its name    | size, merges, outcome                           |
| event     | the node | its kind            | its subject | text                                            |
| messages  | sender   | SCHEDULING, OVERLAY | how many    | to                                              |
| distance  | luc      | SCHEDULING, OVERLAY | how many    | hops: at most that far apart on the ring        |

LOAD is the CPU that VMs want in percent of what the hosts that are on have; NB_MIG counts migrations under
way, NB_MC partitions, NB_VM VMs, NB_ON and NB_OFF hosts; ENERGY is in joules since the beginning.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

import msgspec

from lucos.errors import InputError
from lucos.model import Detail

EVENTS = "events.jsonl"
NODE_STATES = ("underloaded", "normal", "violation", "violation-det", "violation-out", "off", "down")
SERVICE_STATES = ("free", "booked", "compute", "reconfigure", "migrate")
VIOLATIONS = ("violation", "violation-det", "violation-out")


class Row(msgspec.Struct, frozen=True, gc=False):
    """`time` is when it began and `duration` how long it lasted, in simulated seconds (0 for an instant)."""

    event: str
    origin: str
    state_name: str
    time: float
    value: str | float
    data: dict[str, Detail]
    duration: float


class Sink(Protocol):
    """Where rows go."""

    def write(self, row: Row) -> None: ...
    def close(self) -> None: ...


class JsonLines:
    """Rows as one JSON object per line."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("wb", buffering=1 << 20)
        self._encode = msgspec.json.Encoder().encode

    def write(self, row: Row) -> None:
        self._file.write(self._encode(row) + b"\n")

    def close(self) -> None:
        self._file.close()


def read_rows(path: Path) -> Iterator[Row]:
    """The rows of a file of JSON lines; raises `InputError` with the line at fault."""
    decode = msgspec.json.Decoder(Row).decode
    try:
        with path.open("rb") as file:
            for number, line in enumerate(file, 1):
                try:
                    yield decode(line)
                except (msgspec.MsgspecError, UnicodeDecodeError) as error:
                    hint = "the run was interrupted, or another program wrote the file: run it again"
                    raise InputError(str(error), hint=hint, file=str(path), line=number) from None
    except OSError as error:
        hint = "luc sim run SCENARIO -o DIR writes it"
        raise InputError(f"cannot read {path}: {error.strerror}", hint=hint) from None
