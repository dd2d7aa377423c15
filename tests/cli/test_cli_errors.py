"""What goes wrong: which agent, agents that misbehave, usage, interrupts; help of every command."""

from __future__ import annotations

import os
import pty
import select
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from fake_agent import FakeAgent
from typer.main import get_command

from lucos.agent import client
from lucos.cli.main import app
from lucos.lab.record import Host

Luc = Callable[..., Any]


def command_paths() -> Iterator[tuple[str, ...]]:
    def walk(command: Any, path: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
        yield path
        if hasattr(command, "list_commands"):
            for name in command.list_commands(None):
                yield from walk(command.get_command(None, name), (*path, name))

    return walk(get_command(app), ())


@pytest.mark.parametrize("path", list(command_paths()), ids=lambda path: " ".join(path) or "luc")
def test_every_help_has_an_example_of_itself(luc: Luc, path: tuple[str, ...]) -> None:
    ran = luc(*path, "--help")
    assert ran.code == 0
    example = ran.out.partition("Example")[2]
    assert " ".join(("luc", *path)) in example


def test_a_group_alone_shows_its_help(luc: Luc) -> None:
    assert "drain" in luc("node").out
    assert "Exit codes" in luc().out


def test_version(luc: Luc) -> None:
    ran = luc("--version")
    assert ran.out.startswith("luc ")
    assert ran.code == 0


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["pss"], "did you mean luc ps?"),
        (["ps", "--nope"], "--nope"),
        (["ps", "-o", "xml"], "'yaml'"),
        (["migrate", "web1"], "luc migrate --help"),
        (["node", "lss"], "luc node --help"),
        (["events", "--since", "soon"], "30s, 10m, 2h or 1d"),
        (["image", "build", "big"], "luc image build mini"),
        (["run", "/nonexistent.luc"], "/nonexistent.luc: cannot read: No such file"),
    ],
)
def test_usage_errors_exit_2(luc: Luc, arguments: list[str], said: str) -> None:
    ran = luc(*arguments)
    assert (ran.code, ran.out) == (2, "")
    assert ran.err.startswith("error: ")
    assert said in ran.err


# --- Which agent ------------------------------------------------------------------------------------


def test_no_agent_says_how_to_start_one(luc: Luc) -> None:
    ran = luc("ps")
    assert ran.code == 4
    assert ran.err.startswith("error: no agent runs here\nhint: start a lab with luc lab up")


def test_option_before_environment(agent: FakeAgent, luc: Luc, tmp_path: Path) -> None:
    ran = luc("ps", "--socket", tmp_path / "gone.sock")
    assert ran.code == 4
    assert "gone.sock: No such file" in ran.err


def test_the_hosts_own_agent(agent: FakeAgent, luc: Luc, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("LUC_SOCKET")
    monkeypatch.setattr(client, "DEFAULT_SOCKET", agent.path)
    assert luc("ps").code == 0


def test_a_dead_agents_socket(tmp_path: Path, luc: Luc) -> None:
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(tmp_path / "dead.sock"))
    ran = luc("ps", "--socket", tmp_path / "dead.sock")
    assert ran.code == 4
    assert "Connection refused" in ran.err
    assert "hint: start it again" in ran.err


def test_the_only_lab_with_a_live_agent(luc: Luc, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def path_of(lab: str, number: int) -> Path:
        path = tmp_path / "labs" / Host(lab, number, 1).agent_socket.relative_to(client_root)
        path.parent.mkdir(parents=True)
        return path

    client_root = Path("/run/luc-lab")
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(path_of("a", 1)))
    live = FakeAgent(path_of("a", 2))
    other = FakeAgent(path_of("b", 1))
    try:
        ran = luc("ps")
        assert ran.code == 4
        assert "several labs run (a, b)" in ran.err
        other.path.unlink()
        assert luc("ps").code == 0
        assert live.asked("ps") == {"ve": ""}
    finally:
        live.close()
        other.close()


# --- Agents that misbehave --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("answer", "code", "said"),
    [
        (b"", 4, "ended the connection before it answered ps"),
        (b'{"item": 3', 4, "ended the connection"),
        (b"hello\n", 6, "not of API version 1"),
        (b'{"ok": true, "result": [{"type": "vm", "id": 3}]}\n', 6, "not of API version 1"),
        (b'{"ok": false}\n', 1, "error:"),
        (b'{"ok": false, "error": {"kind": "Odd", "message": "m", "hint": "h"}}\n', 1, "m\nhint: h"),
    ],
)
def test_odd_answers(agent: FakeAgent, luc: Luc, answer: bytes, code: int, said: str) -> None:
    agent.raw["ps"] = answer
    ran = luc("ps")
    assert ran.code == code
    assert said in ran.err


def test_a_silent_agent(agent: FakeAgent, luc: Luc, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket(socket.AF_UNIX) as silent:
        silent.bind(str(agent.path.with_name("silent.sock")))
        silent.listen()
        with pytest.raises(client.Unreachable, match=r"did not answer ping within 0\.05 s"):
            client.Client(str(agent.path.with_name("silent.sock"))).call(
                "ping", object, answer_timeout_s=0.05
            )


# --- As a process -----------------------------------------------------------------------------------


def luc_process(*arguments: str, **options: Any) -> subprocess.Popen[bytes]:
    """As a shell starts a command in the foreground: tests in the background inherit an ignored ctrl-C."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        return subprocess.Popen([sys.executable, "-m", "lucos.cli", *arguments], **options)
    finally:
        signal.signal(signal.SIGINT, before)


@pytest.mark.parametrize("command", ["ps", "events"])
def test_a_reader_that_goes_away_ends_it_quietly(agent: FakeAgent, command: str) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    process = luc_process(command, stdout=writer, stderr=subprocess.PIPE)
    os.close(writer)
    _, err = process.communicate(timeout=20)
    assert (process.returncode, err) == (1, b"")


def test_ps_imports_nothing_slow(agent: FakeAgent) -> None:
    code = "import sys\ntry:\n from lucos.cli import main\n main(['ps'])\nexcept SystemExit: pass\n"
    code += "print([m for m in ('asyncio', 'grpc', 'lark', 'rich', 'yaml', 'lucos.lab') if m in sys.modules])"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, timeout=20, check=True).stdout
    assert out.decode().splitlines()[-1] == "[]"


class Terminal:
    """`luc` on a terminal of its own."""

    def __init__(self, *arguments: str) -> None:
        self.fd, inner = pty.openpty()
        self.process = luc_process(*arguments, stdin=inner, stdout=inner, stderr=inner)
        os.close(inner)
        self.seen = b""

    def wait_for(self, text: bytes) -> None:
        deadline_s = time.monotonic() + 20
        while text not in self.seen:
            ready, _, _ = select.select([self.fd], [], [], deadline_s - time.monotonic())
            assert ready, self.seen
            self.seen += os.read(self.fd, 4096)

    def end(self) -> int:
        try:
            while select.select([self.fd], [], [], 20)[0]:
                self.seen += os.read(self.fd, 4096)
        except OSError:
            pass  # the other side is closed: the process ended
        return self.process.wait(20)

    def close(self) -> None:
        os.close(self.fd)
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()


@pytest.fixture
def terminal() -> Iterator[Callable[..., Terminal]]:
    opened: list[Terminal] = []

    def start(*arguments: str) -> Terminal:
        opened.append(Terminal(*arguments))
        return opened[-1]

    yield start
    for one in opened:
        one.close()


def test_console_detaches_with_its_key(agent: FakeAgent, terminal: Callable[..., Terminal]) -> None:
    luc = terminal("console", "web1")
    luc.wait_for(b"welcome")
    os.write(luc.fd, b"ab\x1d")
    assert luc.end() == 0
    assert b"it runs on" in luc.seen


def test_top_draws_and_leaves_with_q(agent: FakeAgent, terminal: Callable[..., Terminal]) -> None:
    luc = terminal("top", "--interval", "0.2")
    luc.wait_for(b"\033[31m")
    luc.wait_for(b"of 2 hosts")
    os.write(luc.fd, b"q")
    assert luc.end() == 0


def test_colours_and_progress_on_a_terminal(agent: FakeAgent, terminal: Callable[..., Terminal]) -> None:
    luc = terminal("pause", "shop.db")
    assert luc.end() == 0
    assert b"\033[33mpaused" in luc.seen
    assert b"pausing shop.db" in luc.seen


def test_interrupt_exits_130(terminal: Callable[..., Terminal], tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as silent:
        silent.bind(str(tmp_path / "silent.sock"))
        silent.listen()
        luc = terminal("events", "--follow", "--socket", str(tmp_path / "silent.sock"))
        connection, _ = silent.accept()
        with connection:
            connection.recv(4096)
            luc.process.send_signal(signal.SIGINT)
            assert luc.end() == 130
        assert b"Traceback" not in luc.seen
