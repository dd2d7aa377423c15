"""What people get wrong, against real agents: a code, the object at fault, what to do; never a traceback."""

from __future__ import annotations

import subprocess
import time
from pathlib import Path

import pytest
from live_luc import LUC, LiveLuc, figure

from lucos.lab import lab_list
from lucos.lab.processes import environment

pytestmark = pytest.mark.lab

ONE_VM = '[ve]\nname = "{name}"\nimage = "{image}"\n[[vm]]\nname = "x"\nmemory_mib = {memory_mib}\n'


def assert_complaint(ran: subprocess.CompletedProcess[str], code: int, *said: str) -> None:
    assert ran.returncode == code, ran.stderr
    assert ran.stderr.startswith("error: ")
    assert "Traceback" not in ran.stdout + ran.stderr
    for text in said:
        assert text in ran.stderr


@pytest.mark.parametrize(
    ("command", "said"),
    [
        ("info nosuch", "nosuch"),
        ("migrate nosuch h1", "no VM is called nosuch"),
        ("migrate live.cc h1", "did you mean live.c"),
        ("migrate live.c h9", "h9"),
        ("node drain h9", "h9"),
        ("load live.c cpu:200", "cpu"),
        ("console nosuch", "nosuch"),
        ("kill nosuch --yes", "nosuch"),
    ],
)
def test_unknown_objects_are_named(luc: LiveLuc, command: str, said: str) -> None:
    assert_complaint(luc.luc(*command.split()), 2, said, "hint: ")


@pytest.mark.parametrize(
    ("text", "code", "said"),
    [
        (ONE_VM.format(name="other", image="nope", memory_mib=96), 2, "no image is called nope"),
        (ONE_VM.format(name="live", image="mini", memory_mib=96), 2, "a VE called live exists"),
        (ONE_VM.format(name="other", image="mini", memory_mib=9000), 5, "9000 MiB"),
        (ONE_VM.format(name="other", image="mini", memory_mib='"much"'), 2, "bad.luc:6:"),
        (ONE_VM.format(name="other", image="mini", memory_mib=96) + "what is this\n", 2, "bad.luc:7:6"),
    ],
    ids=["image", "ve", "memory", "type", "syntax"],
)
def test_ve_files_that_cannot_run_say_why(
    luc: LiveLuc, tmp_path: Path, text: str, code: int, said: str
) -> None:
    (tmp_path / "bad.luc").write_text(text)
    before = luc.where()
    assert_complaint(luc.luc("run", str(tmp_path / "bad.luc")), code, said)
    assert luc.where() == before


def test_no_agent_and_no_root_are_told(luc: LiveLuc, tmp_path: Path) -> None:
    assert_complaint(luc.luc("ps", LUC_SOCKET=str(tmp_path / "none.sock")), 4, "none.sock", "hint: ")
    # In a user namespace that maps nobody, this user is nobody, and can still read what is root's.
    ran = subprocess.run(
        ["unshare", "--user", *LUC, "lab", "up", "--name", "nobodys"],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
        env=environment(),
    )
    assert_complaint(ran, 3, "needs root", "hint: ")
    assert "nobodys" not in lab_list()


def test_ps_is_quick(luc: LiveLuc) -> None:
    def once() -> float:
        began_s = time.monotonic()
        assert luc.luc("ps", host="h3").stdout.count("live.") == len(luc.vms)
        return time.monotonic() - began_s

    took_s = sorted(once() for _ in range(5))
    figure(f"luc ps over {len(luc.hosts)} hosts took {took_s[0]:.2f} to {took_s[-1]:.2f} s")
