"""The report of a run or of a sweep: one HTML file that needs nothing else, not even a network."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from os.path import relpath
from pathlib import Path
from typing import Any

import msgspec

from lucos.errors import InputError
from lucos.simulator.compare import Configuration, compare, figure
from lucos.simulator.digest import SUMMARY, Digest, Run, find_runs, read_run, timelines
from lucos.simulator.plots import comparison, run_plots
from lucos.simulator.rows import EVENTS, NODE_STATES, SERVICE_STATES

REPORT = "report.html"
_PAGE = Path(__file__).with_name("page")
_STATES = (*NODE_STATES, *SERVICE_STATES)
# Of each card: its title, the figure of the summary, how it is written, and whether more than 0 is bad.
_CARDS = (
    ("hosts", "hosts", "{:,.0f}", False),
    ("VMs", "vms", "{:,.0f}", False),
    ("simulated", "simulated_s", "{:,.0f} s", False),
    ("wall clock", "wall_s", "{:,.1f} s", False),
    ("events a second", "events_per_s", "{:,.0f}", False),
    ("violations", "violations.count", "{:,.0f}", False),
    ("mean violation", "violations.mean_s", "{:,.1f} s", False),
    ("p95 of violations", "violations.p95_s", "{:,.1f} s", False),
    ("migrations", "migrations.count", "{:,.0f}", False),
    ("mean migration", "migrations.mean_s", "{:,.1f} s", False),
    ("partitions", "partitions.count", "{:,.0f}", False),
    ("mean partition", "partitions.mean_size", "{:,.1f} members", False),
    ("gave up", "partitions.gave_up", "{:,.0f}", True),
    ("messages per host", "messages.per_host_per_s", "{:,.3g} a second", False),
    ("energy", "energy_kwh", "{:,.2f} kWh", False),
    ("SLAV", "slav_percent", "{:.5f} %", False),
)
_COLUMNS = (
    ("scenario", "scenario"),
    ("strategy", "strategy"),
    ("settings", "other_settings"),
    ("hosts", "hosts"),
    ("VMs", "vms"),
    ("violations", "violations"),
    ("mean s", "violation_mean_s"),
    ("p95 s", "violation_p95_s"),
    ("total s", "violation_total_s"),
    ("migrations", "migrations"),
    ("intra-site", "intra_share"),
    ("kWh", "energy_kwh"),
    ("messages /host/s", "messages_per_host_per_s"),
    ("wall s", "wall_s"),
)


def write_report(folder: Path, output: Path | None = None) -> list[Path]:
    """Write the report of a run, or of a sweep and all its runs; the files written, the main one first.

    `output` (report.html in the folder by default) is the main file. Raises `InputError` when there is no
    finished run, `EnvironmentMissing` when matplotlib is absent.
    """
    main = output or folder / REPORT
    if (folder / SUMMARY).exists():
        return [_write(main, run_page(read_run(folder)))]
    runs = find_runs(folder)
    pages = [_write(run.folder / REPORT, run_page(run)) for run in runs]
    return [_write(main, sweep_page(folder, runs, main.parent)), *pages]


def _write(path: Path, text: str) -> Path:
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise InputError(f"cannot write {path}: {error.strerror}", hint="name another with -o") from None
    return path


def run_page(run: Run) -> str:
    """The page of one run. Without a trace it has no pictures, and says so."""
    parts = [_cards(run.summary)]
    broken = run.summary.get("laws_broken") or []
    if broken:
        parts.append(_section("Laws broken", f"<pre>{escape(chr(10).join(map(str, broken)))}</pre>"))
    if (run.folder / EVENTS).exists():
        digest = Digest.of(run.folder / EVENTS)
        parts += [
            _section(title, f'<div class="plot">{svg}</div>') for title, svg in run_plots(digest).items()
        ]
        parts.append(_timeline(run.folder, digest))
    else:
        hint = (
            f"Run it again with <code>--set output.trace=\"['jsonl']\"</code> to have {EVENTS}, and pictures."
        )
        parts.append(f'<p class="soft">The run wrote no trace. {hint}</p>')
    parts.append(_settings(run))
    told = run.summary
    title = (
        f"{told.get('scenario', run.folder.name)}: {told.get('strategy', '')}, seed {told.get('seed', '?')}"
    )
    return _document(title, str(told.get("fidelity", "")), parts)


def sweep_page(folder: Path, runs: Sequence[Run], beside: Path) -> str:
    """The page of a sweep: its configurations compared, and links to the pages of its runs."""
    rows = compare([folder])
    parts = [_section("Comparison", f'<div class="wide">{_table(rows)}</div>')]
    parts.append(_section("By number of hosts", f'<div class="plot">{comparison(rows)}</div>'))
    links = "".join(
        f'<li><a href="{escape(relpath(run.folder / REPORT, beside))}">'
        f"{escape(relpath(run.folder, folder))}</a></li>"
        for run in runs
    )
    parts.append(_section("Runs", f"<ul>{links}</ul>"))
    return _document(f"{folder.name}: {len(runs)} runs", "± is one standard deviation over seeds.", parts)


def _document(title: str, below: str, parts: Sequence[str]) -> str:
    style = (_PAGE / "report.css").read_text(encoding="utf-8")
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escape(title)}</title>\n<style>\n{style}</style>\n</head>\n<body>\n"
        f'<h1>{escape(title)}</h1>\n<p class="soft">{escape(below)}</p>\n'
        f"{''.join(parts)}\n</body>\n</html>\n"
    )


def _section(title: str, body: str) -> str:
    return f"\n<section>\n<h2>{escape(title)}</h2>\n{body}\n</section>"


def _cards(summary: dict[str, Any]) -> str:
    cards = []
    for title, path, form, bad in _CARDS:
        value = figure(summary, path)
        if value is not None:
            kind = "card bad" if bad and value > 0 else "card"
            cards.append(f'<div class="{kind}"><b>{form.format(value)}</b><small>{title}</small></div>')
    laws = len(summary.get("laws_broken") or [])
    cards.append(f'<div class="card{" bad" if laws else ""}"><b>{laws}</b><small>laws broken</small></div>')
    return f'<div class="cards">{"".join(cards)}</div>'


def _timeline(folder: Path, digest: Digest) -> str:
    hosts = digest.busiest()
    lanes = timelines(folder / EVENTS, hosts)
    number = {state: i for i, state in enumerate(_STATES)}
    seen: dict[str, dict[str, None]] = {"PM": {}, "SERVICE": {}}
    rows = []
    for host in hosts:
        row: dict[str, Any] = {"name": host, "site": digest.sites[host]}
        for name, lane in lanes[host].items():
            seen[name].update(dict.fromkeys(state for _, _, state in lane))
            row[name] = [(start, lasted, number[state]) for start, lasted, state in lane]
        rows.append(row)
    data = {"begin": digest.begin_s, "end": digest.end_s, "states": _STATES, "hosts": rows}
    # Only "<" could end the element that holds the data.
    text = msgspec.json.encode(data).decode().replace("<", "\\u003c")
    legends = "".join(
        _legend(title, seen[name]) for title, name in (("node", "PM"), ("scheduler", "SERVICE"))
    )
    script = (_PAGE / "timeline.js").read_text(encoding="utf-8")
    whole = len(hosts) == len(digest.sites)
    which = "all hosts" if whole else f"the {len(hosts)} hosts longest in violation, of {len(digest.sites)}"
    return _section(
        "Timeline",
        f'<p class="soft">Each host has its state above and its scheduler\'s below; {which}. '
        "Shift and the wheel zoom, dragging moves. "
        '<button id="zoom-in">+</button> <button id="zoom-out">−</button> '
        '<button id="zoom-all">all</button></p>\n'
        f'{legends}\n<div class="plot"><canvas id="timeline"></canvas></div>\n<div id="tip"></div>\n'
        f'<script type="application/json" id="timeline-data">{text}</script>\n<script>\n{script}</script>',
    )


def _legend(title: str, seen: dict[str, None]) -> str:
    items = "".join(
        f'<span><i style="background: var(--{state})"></i>{state}</span>'
        for state in _STATES
        if state in seen
    )
    return f'<div class="legend"><span class="soft">{title}:</span>{items}</div>'


def _settings(run: Run) -> str:
    rows = "".join(
        f"<tr><td>{escape(name)}</td><td>{escape(value)}</td></tr>" for name, value in _flat(run.settings, "")
    )
    summary = escape(msgspec.json.format(msgspec.json.encode(run.summary), indent=2).decode())
    return _section(
        "Settings",
        f'<div class="wide"><table>{rows}</table></div>\n'
        f"<details><summary>{SUMMARY}</summary><pre>{summary}</pre></details>",
    )


def _flat(table: dict[str, Any], path: str) -> list[tuple[str, str]]:
    """Dotted names and values of a TOML table, as JSON writes them."""
    rows = []
    for name, value in table.items():
        if isinstance(value, dict) and value:
            rows += _flat(value, f"{path}{name}.")
        else:
            shown = value if isinstance(value, str) else msgspec.json.encode(value).decode()
            rows.append((f"{path}{name}", shown))
    return rows


def _table(rows: Sequence[Configuration]) -> str:
    shown = [(title, name) for title, name in _COLUMNS if any(str(getattr(row, name)) for row in rows)]
    head = "".join(f"<th{_align(name)}>{escape(title)}</th>" for title, name in shown)
    body = "".join(
        "<tr>"
        + "".join(f"<td{_align(name)}>{escape(str(getattr(row, name)))}</td>" for _, name in shown)
        + "</tr>"
        for row in rows
    )
    return f"<table><tr>{head}</tr>{body}</table>"


def _align(name: str) -> str:
    return "" if name in ("scenario", "strategy", "other_settings") else ' class="number"'
