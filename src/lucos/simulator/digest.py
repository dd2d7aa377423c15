"""What reports are made of: the summary of a run, its settings, and its trace boiled down."""

from __future__ import annotations

import tomllib
from collections import Counter, defaultdict
from pathlib import Path
from typing import Any

import msgspec

from lucos.errors import InputError
from lucos.simulator.rows import VIOLATIONS, Row, read_rows

SUMMARY = "summary.json"
SCENARIO = "scenario.toml"
BUSIEST = 50
# So many intervals a host at most are drawn in a timeline; the longest are kept.
INTERVALS_MAX = 2000


class Move(msgspec.Struct, frozen=True):
    """A migration as the trace has it; times in seconds."""

    start_s: float
    duration_s: float
    source: str
    destination: str
    outcome: str


class Group(msgspec.Struct, frozen=True):
    """A partition that ended: how many members it had at most, and how it ended."""

    size: int
    duration_s: float
    outcome: str


class Digest:
    """A run's trace boiled down, by one pass over `events.jsonl`.

    `violations_s` are the durations of violations of hosts, `violation_s` the sum for each host;
    `variables` are (seconds, value, data) by name; `pairs` and `distances` count messages by plane.
    """

    def __init__(self) -> None:
        self.sites: dict[str, str] = {}
        self.begin_s = self.end_s = 0.0
        self.violations_s: list[float] = []
        self.violation_s: dict[str, float] = {}
        self.turns: Counter[str] = Counter()
        self.moves: list[Move] = []
        self.groups: list[Group] = []
        self.variables: dict[str, list[tuple[float, float, dict[str, Any]]]] = defaultdict(list)
        self.pairs: dict[str, dict[tuple[str, str], int]] = defaultdict(dict)
        self.distances: dict[str, dict[int, int]] = defaultdict(dict)
        self._open: dict[str, tuple[float, float]] = {}

    @classmethod
    def of(cls, path: Path) -> Digest:
        """The digest of a file of rows; raises `InputError` for a file that is no trace."""
        digest = cls()
        for row in read_rows(path):
            digest._take(row)
        for host in list(digest._open):
            digest._violation_over(host)
        return digest

    def busiest(self, count: int = BUSIEST) -> list[str]:
        """The hosts in violation longest, then those whose states changed most; in the order of the trace."""
        ranked = sorted(self.sites, key=lambda host: (-self.violation_s[host], -self.turns[host]))
        return [host for host in self.sites if host in set(ranked[:count])]

    def _take(self, row: Row) -> None:
        self.end_s = max(self.end_s, row.time + row.duration)
        match row.event:
            case "state":
                self.turns[row.origin] += 1
                if row.state_name == "PM":
                    self._node_state(row)
            case "variable":
                self.variables[row.state_name].append((row.time, float(row.value), row.data))
            case "migration":
                source, destination = str(row.data["source"]), str(row.data["destination"])
                outcome = str(row.data["outcome"])
                self.moves.append(Move(row.time, row.duration, source, destination, outcome))
            case "partition":
                size = int(str(row.data["size"]))
                self.groups.append(Group(size, row.duration, str(row.data["outcome"])))
            case "host":
                self.begin_s = row.time
                self.sites[row.origin] = str(row.value)
                self.violation_s[row.origin] = 0.0
            case "messages":
                self.pairs[row.state_name][row.origin, str(row.data["to"])] = int(row.value)
            case "distance":
                self.distances[row.state_name][int(str(row.data["hops"]))] = int(row.value)

    def _node_state(self, row: Row) -> None:
        if row.value not in VIOLATIONS:
            if row.origin in self._open:
                self._violation_over(row.origin)
            return
        # A violation that is noticed, or that gets worse, is one violation.
        begun_s = self._open.get(row.origin, (row.time, 0.0))[0]
        self._open[row.origin] = (begun_s, row.time + row.duration)
        self.violation_s[row.origin] = self.violation_s.get(row.origin, 0.0) + row.duration

    def _violation_over(self, host: str) -> None:
        begun_s, ended_s = self._open.pop(host)
        self.violations_s.append(ended_s - begun_s)


class Run(msgspec.Struct, frozen=True):
    """A finished run: its folder, the settings it had (as TOML has them), and its summary."""

    folder: Path
    settings: dict[str, Any]
    summary: dict[str, Any]

    @property
    def label(self) -> str:
        """What tells its configuration from others of the same sweep; empty outside a sweep."""
        return self.folder.parent.name if self.folder.name.startswith("seed-") else ""


def read_run(folder: Path) -> Run:
    """The run of a folder; raises `InputError` when it holds none, or one that did not end."""
    hint = f"luc sim run SCENARIO -o {folder} makes one"
    path = folder / SUMMARY
    try:
        summary = msgspec.json.decode(path.read_bytes(), type=dict[str, Any])
        text = (folder / SCENARIO).read_text(encoding="utf-8") if (folder / SCENARIO).exists() else ""
        settings = tomllib.loads(text)
    except OSError as error:
        raise InputError(f"no finished run in {folder}: {path.name}: {error.strerror}", hint=hint) from None
    except msgspec.MsgspecError as error:
        raise InputError(f"is no summary: {error}", hint=hint, file=str(path)) from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise InputError(str(error), hint=hint, file=str(folder / SCENARIO)) from None
    return Run(folder, settings, summary)


def find_runs(folder: Path) -> list[Run]:
    """All finished runs in a folder, its own or those of its sweep; raises `InputError` for none."""
    if not folder.is_dir():
        raise InputError(f"{folder} is not a folder", hint="name the folder given to luc sim run -o")
    found = sorted(folder.rglob(SUMMARY), key=lambda path: _natural(path))
    if not found:
        raise InputError(f"no finished run in {folder}", hint=f"luc sim run SCENARIO -o {folder} makes one")
    return [read_run(path.parent) for path in found]


def _natural(path: Path) -> list[tuple[int, str]]:
    """Numbers inside names in their order: seed-2 before seed-10."""
    words = str(path).replace("=", "-").replace(",", "-").replace("/", "-").split("-")
    return [(int(word), "") if word.isdigit() else (-1, word) for word in words]


def timelines(path: Path, hosts: list[str]) -> dict[str, dict[str, list[tuple[float, float, str]]]]:
    """For each host the intervals (start, duration, state) of PM and SERVICE, at most INTERVALS_MAX each."""
    found: dict[str, dict[str, list[tuple[float, float, str]]]] = {
        host: {"PM": [], "SERVICE": []} for host in hosts
    }
    for row in read_rows(path):
        if row.event == "state" and row.origin in found:
            found[row.origin][row.state_name].append((row.time, row.duration, str(row.value)))
    for lanes in found.values():
        for name, lane in lanes.items():
            if len(lane) > INTERVALS_MAX:
                shortest = sorted(lane, key=lambda interval: -interval[1])[INTERVALS_MAX - 1][1]
                lanes[name] = [interval for interval in lane if interval[1] >= shortest][:INTERVALS_MAX]
    return found
