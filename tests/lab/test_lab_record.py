"""What a lab is on paper: bounds, names, the state file and the text of cuts."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from lucos.errors import EnvironmentMissing, InputError, OperationFailed, Refused, UnknownObject
from lucos.lab import cgroups, lab_up, record, requirements
from lucos.lab.network import cut_rules, plan_cut
from lucos.lab.record import Cut, LabRecord, check_record, exclusive, read_record, write_record

LAB = LabRecord("t", 5, 2, 10.0, 0.5, 1024, True, ("luc",))


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.setattr(record, "DATA_ROOT", tmp_path)
    (tmp_path / "t").mkdir()
    return tmp_path / "t"


def test_the_state_file_reads_back_equal_and_leaves_no_draft(folder: Path) -> None:
    lab = msgspec.structs.replace(LAB, cuts=(Cut(("h1",), ("h2", "h3"), True),))
    write_record(LAB)
    write_record(lab)
    assert read_record("t") == lab
    assert [path.name for path in folder.iterdir()] == ["lab.json"]


def test_missing_unfinished_and_damaged_labs_are_told_apart(folder: Path) -> None:
    with pytest.raises(UnknownObject, match="'other'"):
        read_record("other")
    with pytest.raises(OperationFailed, match="never finished") as caught:
        read_record("t")
    assert "lab down t" in caught.value.hint
    (folder / "lab.json").write_text('{"name": 3}')
    with pytest.raises(OperationFailed, match=r"lab\.json"):
        read_record("t")


@pytest.mark.parametrize("name", ["", "../x", "A", "a/b", "-a", "a" * 25, "a\n"])
def test_bad_lab_names_are_refused_before_any_path_is_made_of_them(name: str) -> None:
    with pytest.raises(InputError, match="lab name"):
        read_record(name)


@pytest.mark.parametrize(
    "change",
    [
        {"nodes": 0},
        {"nodes": 33},
        {"sites": 0},
        {"sites": 6},
        {"nodes": 32, "sites": 9},
        {"rtt_ms": -1.0},
        {"rtt_ms": float("nan")},
        {"cpus": 0.0},
        {"cpus": 10_000.0},
        {"memory_mib": 1},
    ],
)
def test_numbers_out_of_bounds_are_named(change: dict[str, Any]) -> None:
    with pytest.raises(InputError) as caught:
        check_record(msgspec.structs.replace(LAB, **change))
    assert list(change)[-1] in caught.value.message


def test_a_round_trip_without_sites_is_refused() -> None:
    with pytest.raises(InputError, match="one site"):
        check_record(msgspec.structs.replace(LAB, sites=1))


def test_hosts_fill_sites_evenly_with_distinct_addresses() -> None:
    check_record(LAB)
    assert [(host.name, host.site) for host in LAB.hosts] == [
        ("h1", "s1"),
        ("h2", "s1"),
        ("h3", "s1"),
        ("h4", "s2"),
        ("h5", "s2"),
    ]
    full = msgspec.structs.replace(LAB, nodes=32, sites=8)
    assert len({host.address for host in full.hosts}) == len({host.mac for host in full.hosts}) == 32
    # A unix socket's path has at most 107 bytes.
    longest = msgspec.structs.replace(full, name="a" * 24).hosts[-1]
    assert len(str(longest.agent_socket)) < 107
    assert len(str(longest.libvirt_socket)) < 107


def test_a_cut_of_a_host_closes_both_ways_to_every_other() -> None:
    cut = plan_cut(LAB, ["h2"], [], "", oneway=False)
    others = {"h1", "h3", "h4", "h5"}
    assert cut.pairs() == {("h2", other) for other in others} | {(other, "h2") for other in others}


def test_a_cut_from_peers_and_a_site_closes_one_way() -> None:
    cut = plan_cut(LAB, ["h1"], ["h2"], "s2", oneway=True)
    assert cut.pairs() == {("h1", "h2"), ("h1", "h4"), ("h1", "h5")}


def test_cuts_become_one_set_of_sender_and_port() -> None:
    cut = LabRecord(**{**msgspec.structs.asdict(LAB), "cuts": (Cut(("h1",), ("h4",), True),)})
    assert 'elements = { 02:4c:55:43:01:01 . "h4" }' in cut_rules(cut)
    assert "elements" not in cut_rules(LAB)
    assert "delete table bridge lab" in cut_rules(LAB)


@pytest.mark.parametrize(
    ("hosts", "peers", "site"), [(["h9"], [], ""), (["h1"], ["x"], ""), (["h1"], [], "s3")]
)
def test_cuts_of_unknown_hosts_and_sites_are_refused(hosts: list[str], peers: list[str], site: str) -> None:
    with pytest.raises(UnknownObject) as caught:
        plan_cut(LAB, hosts, peers, site, oneway=False)
    assert caught.value.hint


def test_two_commands_never_change_a_lab_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(record, "LOCK_TIMEOUT_S", 0.1)
    with exclusive("test-lock"), pytest.raises(Refused, match="test-lock"), exclusive("test-lock"):
        pass
    monkeypatch.setattr(record, "LOCK_TIMEOUT_S", 5.0)
    order: list[str] = []

    def second() -> None:
        with exclusive("test-lock"):
            order.append("second")

    with exclusive("test-lock"):
        waiting = threading.Thread(target=second)
        waiting.start()
        order.append("first")
    waiting.join(5)
    assert order == ["first", "second"]


def test_a_machine_without_root_or_programs_is_told_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    with pytest.raises(EnvironmentMissing, match="root"):
        lab_up("t", nodes=1)
    monkeypatch.setattr("os.geteuid", lambda: 0)
    monkeypatch.setattr("shutil.which", lambda name, **_: None if name in ("nft", "libvirtd") else name)
    with pytest.raises(EnvironmentMissing, match="nft, libvirtd") as caught:
        requirements.check_machine(sites=1)
    assert "nftables" in caught.value.hint
    assert "libvirt-daemon-driver-qemu" in caught.value.hint


def test_the_quota_is_written_for_both_versions_of_cgroups(tmp_path: Path) -> None:
    cgroups.limit_cpu(tmp_path, 0.5)
    assert (tmp_path / "cpu.cfs_quota_us").read_text() == "10000"
    assert (tmp_path / "cpu.cfs_period_us").read_text() == "20000"
    (tmp_path / "cpu.max").touch()
    cgroups.limit_cpu(tmp_path, 1.25)
    assert (tmp_path / "cpu.max").read_text() == "25000 20000"
