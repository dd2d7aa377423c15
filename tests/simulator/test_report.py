"""Reports: whole pages that need nothing else, with the figures of the run in them."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import msgspec
import pytest
from traced import rows_of

from lucos.cli.main import main
from lucos.errors import EnvironmentMissing, InputError
from lucos.simulator.digest import Digest, timelines
from lucos.simulator.report import write_report
from lucos.simulator.rows import EVENTS, VIOLATIONS
from lucos.simulator.run import run_one
from lucos.simulator.scenario import Scenario

Small = Callable[..., Scenario]
TRACED = "output.trace=['jsonl']"
VOID = {"meta", "link", "br", "img", "input", "hr"}


class Page(HTMLParser):
    """Checks that elements are closed in order; keeps titles, links and what is fetched from elsewhere."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.titles: list[str] = []
        self.links: list[str] = []
        self.fetched: list[str] = []
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag not in VOID:
            self.open.append(tag)
        for name, value in attrs:
            if tag == "a" and name == "href" and value:
                self.links.append(value)
            elif name in ("src", "href", "xlink:href") and value and not value.startswith(("#", "data:")):
                self.fetched.append(value)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if tag not in VOID:
            self.open.pop()

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] in ("h1", "h2"):
            self.titles.append(data)


def timeline_of(text: str) -> dict[str, Any]:
    found = re.search(r'id="timeline-data">(.*?)</script>', text, re.DOTALL)
    assert found
    value = json.loads(found[1])
    assert isinstance(value, dict)
    return value


def test_the_page_of_a_run_is_whole_and_tells_what_happened(small: Small, tmp_path: Path) -> None:
    scenario = msgspec.structs.replace(small(TRACED), description="<b>& so on")
    summary = run_one(scenario, 3, tmp_path)
    path, again = (write_report(tmp_path, tmp_path / f"{name}.html")[0] for name in "ab")
    text = path.read_text()
    assert again.read_text() == text
    page = Page(text)
    assert page.fetched == []
    assert not re.search(r"@import|url\((?!#)", text)
    assert page.titles == [
        "small: dvms, seed 3",
        *("Violations", "Migrations", "Partitions", "Load", "Energy", "Who talks to whom"),
        *("Timeline", "Settings"),
    ]
    assert "&lt;b&gt;&amp; so on" in text
    assert "<td>load.mean_pct</td><td>65.0</td>" in text
    assert f"<b>{summary['violations']['count']}</b><small>violations</small>" in text
    assert 'style="currentColor' not in text
    assert "currentColor" in text
    data = timeline_of(text)
    assert [host["name"] for host in data["hosts"]] == [f"h{n}" for n in range(1, 7)]
    for host in data["hosts"]:
        for name in ("PM", "SERVICE"):
            told = [(start, lasted, data["states"][state]) for start, lasted, state in host[name]]
            rows = [r for r in rows_of(tmp_path, "state") if (r.origin, r.state_name) == (host["name"], name)]
            assert told == [(row.time, row.duration, row.value) for row in rows]
    assert (data["begin"], data["end"]) == (0.0, 120.0)


def test_a_run_without_a_trace_says_so_and_shows_its_figures(small: Small, tmp_path: Path) -> None:
    run_one(small(), 3, tmp_path)
    (path,) = write_report(tmp_path)
    text = path.read_text()
    assert "The run wrote no trace" in text
    assert Page(text).titles == ["small: dvms, seed 3", "Settings"]


def test_the_page_of_a_sweep_compares_and_links_to_pages_that_exist(small: Small, tmp_path: Path) -> None:
    for strategy in ("dvms", "entropy"):
        for seed in (1, 2):
            run_one(small(f"strategy={strategy}"), seed, tmp_path / f"strategy={strategy}" / f"seed-{seed}")
    main_page, *pages = write_report(tmp_path)
    page = Page(main_page.read_text())
    assert page.titles == [f"{tmp_path.name}: 4 runs", "Comparison", "By number of hosts", "Runs"]
    assert [(main_page.parent / link).resolve() for link in page.links] == [path.resolve() for path in pages]
    assert all(path.exists() for path in pages)
    assert len(pages) == 4


def test_the_busiest_hosts_and_their_intervals(small: Small, tmp_path: Path) -> None:
    run_one(small(TRACED), 3, tmp_path)
    digest = Digest.of(tmp_path / EVENTS)
    worst = max(digest.violation_s, key=digest.violation_s.__getitem__)
    assert digest.busiest(1) == [worst]
    lanes = timelines(tmp_path / EVENTS, [worst])
    inside_s = sum(lasted for _, lasted, state in lanes[worst]["PM"] if state in VIOLATIONS)
    assert inside_s == pytest.approx(digest.violation_s[worst])


def test_no_run_no_library_no_place_to_write(
    small: Small, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as left:
        main(["sim", "report", str(tmp_path)])
    assert left.value.code == 2
    assert "no finished run" in capsys.readouterr().err
    run_one(small(TRACED), 3, tmp_path / "run")
    with pytest.raises(InputError, match="cannot write"):
        write_report(tmp_path / "run", tmp_path / "none" / "report.html")
    monkeypatch.setitem(__import__("sys").modules, "matplotlib", None)
    with pytest.raises(EnvironmentMissing, match="matplotlib") as caught:
        write_report(tmp_path / "run")
    assert "sim-plots" in caught.value.hint
