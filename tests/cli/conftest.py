"""A fake agent on a socket, and `luc` run in this process against it."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
from fake_agent import FakeAgent

from lucos.agent import client
from lucos.cli.main import main


class Ran(NamedTuple):
    code: int
    out: str
    err: str


@pytest.fixture(autouse=True)
def nowhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No agent of the machine is ever asked."""
    monkeypatch.delenv("LUC_SOCKET", raising=False)
    monkeypatch.setenv("TZ", "UTC")
    monkeypatch.setattr(client, "DEFAULT_SOCKET", tmp_path / "none.sock")
    monkeypatch.setattr(client, "LAB_SOCKETS", (tmp_path / "labs", client.LAB_SOCKETS[1]))


@pytest.fixture
def agent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeAgent]:
    fake = FakeAgent(tmp_path / "agent.sock")
    monkeypatch.setenv("LUC_SOCKET", str(fake.path))
    yield fake
    fake.close()


@pytest.fixture
def luc(capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Ran]]:
    """Run `luc` with arguments in this process, with nothing to read on standard input."""

    def run(*arguments: object) -> Ran:
        with pytest.raises(SystemExit) as end:
            main([str(argument) for argument in arguments])
        out, err = capfd.readouterr()
        assert isinstance(end.value.code, int)
        return Ran(end.value.code, out, err)

    with open(os.devnull) as nothing:
        monkeypatch.setattr("sys.stdin", nothing)
        yield run
