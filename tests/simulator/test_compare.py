"""Comparisons: what is one configuration, means and spreads, pictures, and bad folders."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from lucos.cli.main import main
from lucos.errors import InputError
from lucos.simulator.compare import Spread, compare
from lucos.simulator.plots import comparison, save_comparison


def put(folder: Path, strategy: str, hosts: int, seed: int, mean_s: float | None, **more: Any) -> None:
    """Write the summary of a run."""
    folder.mkdir(parents=True)
    summary = {
        "scenario": "vmplaces",
        "strategy": strategy,
        "seed": seed,
        "hosts": hosts,
        "vms": 10 * hosts,
        "wall_s": 2.0,
        "violations": {"count": 4, "mean_s": mean_s, "p95_s": 9.0, "total_s": 20.0},
        "migrations": {"count": 10, "intra_site": 6, "inter_site": 2},
        "messages": {"per_host_per_s": 0.5},
        "energy_kwh": 0.0,
    }
    (folder / "summary.json").write_text(json.dumps(summary | more))


@pytest.fixture
def sweep(tmp_path: Path) -> Path:
    for strategy, base_s in (("dvms", 10.0), ("entropy", 30.0)):
        for hosts in (128, 1024):
            for seed in (1, 2, 10):
                folder = tmp_path / f"strategy={strategy},hosts={hosts}" / f"seed-{seed}"
                put(folder, strategy, hosts, seed, base_s + seed)
    return tmp_path


def test_seeds_of_a_configuration_are_one_row(sweep: Path) -> None:
    rows = compare([sweep])
    assert [(row.strategy, row.hosts) for row in rows] == [
        ("dvms", 128),
        ("dvms", 1024),
        ("entropy", 128),
        ("entropy", 1024),
    ]
    first = rows[0]
    assert first.seeds == (1, 2, 10)
    assert first.violation_mean_s.mean == pytest.approx((11 + 12 + 20) / 3)
    # The sample's deviation: sqrt((100/9 + 49/9 + 289/9) / 2).
    assert first.violation_mean_s.stdev == pytest.approx(4.9329, abs=1e-4)
    assert first.intra_share == Spread(0.75, 0.0)
    assert first.energy_kwh == Spread()
    assert first.other_settings == ""


def test_runs_with_other_settings_and_runs_of_other_folders(tmp_path: Path) -> None:
    for variant in ("ring", "locality"):
        put(tmp_path / "a" / f"variant={variant},hosts=40" / "seed-1", "dvms", 40, 1, 5.0)
    put(tmp_path / "b", "dvms", 40, 1, None)
    rows = compare([tmp_path / "a", tmp_path / "b"])
    assert [row.other_settings for row in rows] == ["", "variant=locality", "variant=ring"]
    assert rows[0].violation_mean_s == Spread()
    assert str(rows[0].violation_mean_s) == ""
    assert str(Spread(12.345, 0.456)) == "12.3±0.46"


def test_the_picture_shows_every_strategy_and_size(sweep: Path) -> None:
    rows = compare([sweep])
    svg = comparison(rows)
    for word in ("dvms", "entropy", ">128<", ">1024<", "currentColor", "Mean duration of a violation"):
        assert word in svg
    assert comparison(rows) == svg
    for form in ("svg", "png", "pdf"):
        save_comparison(rows, sweep / f"figure.{form}")
        assert (sweep / f"figure.{form}").stat().st_size > 1000
    with pytest.raises(InputError, match="cannot draw") as caught:
        save_comparison(rows, sweep / "figure.bmp")
    assert ".svg" in caught.value.hint


def test_what_is_not_a_result_is_told(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="is not a folder"):
        compare([tmp_path / "none"])
    with pytest.raises(InputError, match="no finished run in"):
        compare([tmp_path])
    (tmp_path / "summary.json").write_text("{}")
    with pytest.raises(InputError, match=r"summary.json: the summary lacks 'scenario'"):
        compare([tmp_path])
    (tmp_path / "summary.json").write_text("[1")
    with pytest.raises(InputError, match="is no summary"):
        compare([tmp_path])


def test_the_command_prints_a_table_and_json(sweep: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as left:
        main(["sim", "compare", str(sweep), "--plot", str(sweep / "f.svg")])
    assert left.value.code == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split()[:4] == ["STRATEGY", "HOSTS", "SEEDS", "VIOLATIONS"]
    assert lines[1].split()[:5] == ["dvms", "128", "3", "4", "14.3±4.9"]
    assert len(lines) == 5
    with pytest.raises(SystemExit):
        main(["sim", "compare", str(sweep), "--format", "json"])
    said = json.loads(capsys.readouterr().out)
    assert said[0]["violation_mean_s"]["mean"] == pytest.approx(43 / 3)
    with pytest.raises(SystemExit) as left:
        main(["sim", "compare", str(sweep / "none")])
    assert left.value.code == 2
