"""Commands that need no agent: init, images, labs and the demo."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest

import lucos.lab
from lucos.agent.config import load_config
from lucos.agent.security import read_keyring
from lucos.errors import EnvironmentMissing
from lucos.lab import HostState, LabState

Luc = Callable[..., Any]


def test_init_first_and_second_host(luc: Luc, tmp_path: Path) -> None:
    first, second = tmp_path / "h1", tmp_path / "h2"
    ran = luc("init", "--node", "h1", "--listen", "192.0.2.1", "--site", "west", "--directory", first)
    assert ran.code == 0
    assert f"luc agent --config {first}/agent.toml" in ran.out
    config = load_config(first / "agent.toml")
    assert (config.agent.node, config.agent.listen, config.agent.site) == ("h1", "192.0.2.1", "west")
    assert all(map(Path.is_file, map(Path, msgspec.structs.astuple(config.security))))

    second.mkdir()
    for name in ("ca.pem", "ca.key", "keyring"):
        shutil.copy(first / name, second)
    options = ("--listen", "192.0.2.2", "--seed", "192.0.2.1:7411", "--directory", second)
    assert luc("init", "--node", "h2", *options).code == 0
    assert load_config(second / "agent.toml").agent.seeds == ("192.0.2.1:7411",)
    assert (second / "ca.pem").read_bytes() == (first / "ca.pem").read_bytes()
    assert read_keyring(second / "keyring") == read_keyring(first / "keyring")


def test_init_refuses(luc: Luc, tmp_path: Path) -> None:
    options = ("--listen", "192.0.2.1", "--directory", tmp_path / "luc")
    assert luc("init", "--node", "h1", *options).code == 0
    ran = luc("init", "--node", "h1", *options)
    assert ran.code == 2
    assert "agent.toml exists" in ran.err
    ran = luc("init", "--node", "Bad Name", "--listen", "192.0.2.1", "--directory", tmp_path / "b")
    assert ran.code == 2
    assert "is not a host name" in ran.err
    (tmp_path / "file").touch()
    ran = luc("init", "--node", "h1", "--listen", "192.0.2.1", "--directory", tmp_path / "file" / "x")
    assert ran.code == 3
    assert "cannot write" in ran.err


def test_agent_without_configuration(luc: Luc, tmp_path: Path) -> None:
    ran = luc("agent", "--config", tmp_path / "none.toml")
    assert ran.code == 2
    assert "hint: luc init writes one" in ran.err


def test_image_ls(luc: Luc, tmp_path: Path) -> None:
    assert "luc image build mini makes one" in luc("image", "ls", "--dest", tmp_path).out
    folder = tmp_path / "tiny"
    folder.mkdir()
    (folder / "image.toml").write_text(
        'name = "tiny"\nkernel = "k"\ninitrd = "i"\ncmdline = "quiet"\nmemory_min_mib = 80\n'
    )
    (folder / "k").touch()
    (folder / "i").touch()
    assert luc("image", "ls", "--dest", tmp_path).out.splitlines()[1].split()[:3] == ["tiny", "80", "MiB"]
    (row,) = msgspec.json.decode(luc("image", "ls", "--dest", tmp_path, "-o", "json").out)
    assert row == {"name": "tiny", "folder": str(folder), "memory_min_mib": 80, "cmdline": "quiet"}
    (folder / "k").unlink()
    assert "kernel 'k' is not a file" in luc("image", "ls", "--dest", tmp_path).err


STATE = LabState(
    "lab",
    2,
    10.0,
    0.5,
    1024,
    (
        HostState(
            "h1", "s1", "10.77.1.1", "up", {"agent": 7, "libvirtd": 8}, (9,), "/run/x/h1", "uri", "log"
        ),
        HostState("h2", "s2", "10.77.2.2", "killed", {}, (), "/run/x/h2", "uri", "log"),
    ),
    (),
)


@pytest.fixture
def lab(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Any, ...]]:
    """The calls of lucos.lab that the commands make, answered without a lab."""
    calls: list[tuple[Any, ...]] = []

    def stand_in(function: str, answer: Any) -> Callable[..., Any]:
        def called(*arguments: Any, say: Callable[[str], None] = print, **options: Any) -> Any:
            calls.append((function, *arguments, options))
            return answer

        return called

    answers = {"lab_up": STATE, "lab_state": STATE, "lab_list": ["lab"]}
    for function in (
        "lab_up",
        "lab_down",
        "lab_state",
        "lab_list",
        "lab_cut",
        "lab_heal",
        "lab_kill",
        "lab_revive",
    ):
        monkeypatch.setattr(lucos.lab, function, stand_in(function, answers.get(function)))
    monkeypatch.setattr(lucos.lab, "lab_together", lambda _: None)
    return calls


@pytest.mark.parametrize(
    ("command", "call"),
    [
        (
            "up --nodes 3 --sites 2 --rtt-ms 10 --name x",
            ("lab_up", "x", {"nodes": 3, "sites": 2, "rtt_ms": 10.0, "cpus": 0.5, "memory_mib": 1024}),
        ),
        ("ls", ("lab_list", {})),
        ("ls x", ("lab_state", "x", {})),
        (
            "cut h1 h2 --oneway",
            ("lab_cut", "lab", ["h1", "h2"], {"peers": (), "from_site": "", "oneway": True}),
        ),
        (
            "cut h1 --from h2 --from-site s2",
            ("lab_cut", "lab", ["h1"], {"peers": ["h2"], "from_site": "s2", "oneway": False}),
        ),
        ("heal", ("lab_heal", "lab", {})),
        ("kill h2", ("lab_kill", "lab", "h2", {})),
        ("revive h2 --name x", ("lab_revive", "x", "h2", {})),
        ("down", ("lab_down", "lab", {})),
    ],
)
def test_lab_commands_call_the_lab(luc: Luc, lab: list[Any], command: str, call: tuple[Any, ...]) -> None:
    assert luc("lab", *command.split()).code == 0
    assert lab == [call]


def test_lab_ls_shows_hosts(luc: Luc, lab: list[Any]) -> None:
    lines = luc("lab", "ls", "lab").out.splitlines()
    assert lines[0] == "lab lab: 2 hosts, each 0.5 cores and 1 GiB, on 2 sites 10 ms apart"
    assert lines[3].split() == ["h1", "s1", "up", "10.77.1.1", "7", "1", "/run/x/h1"]
    assert lines[4].split() == ["h2", "s2", "killed", "10.77.2.2", "-", "0", "/run/x/h2"]
    shown = msgspec.json.decode(luc("lab", "ls", "lab", "-o", "json").out, type=LabState)
    assert shown == STATE


def test_lab_errors_are_told(luc: Luc, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any, **__: Any) -> None:
        raise EnvironmentMissing("a lab needs root", hint="sudo luc lab up")

    monkeypatch.setattr(lucos.lab, "lab_up", refuse)
    ran = luc("lab", "up")
    assert (ran.code, ran.err) == (3, "error: a lab needs root\nhint: sudo luc lab up\n")


def test_lab_shell_becomes_the_shell(luc: Luc, monkeypatch: pytest.MonkeyPatch) -> None:
    ran: list[Any] = []
    monkeypatch.setattr(lucos.lab, "lab_shell_argv", lambda name, host: ["enter", name, host])
    monkeypatch.setattr("os.execvp", lambda file, argv: ran.append((file, argv)))
    luc("lab", "shell", "h2")
    assert ran == [("enter", ["enter", "lab", "h2"])]


def test_demo_options(luc: Luc, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    ran: list[Any] = []
    module = SimpleNamespace(run_demo=lambda **options: ran.append(options))
    monkeypatch.setattr("lucos.cli.labs.import_module", lambda name: {"lucos.lab.demo": module}[name])
    assert luc("demo", "--simulated", "--report", tmp_path / "r.json").code == 0
    assert ran == [{"simulated": True, "report": tmp_path / "r.json"}]
