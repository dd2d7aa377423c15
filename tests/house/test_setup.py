"""The set-up scripts: what they find out about a machine, and that they are valid shell."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest
from documents import ROOT

SCRIPT = ROOT / "scripts" / "setup-system.sh"
KEY = "/usr/share/keyrings/debian-archive-keyring.gpg"

DEB822 = f"""\
# The archive
Types: deb deb-src
URIs: http://mirror.example/debian
Suites: CODENAME CODENAME-updates
Components: main contrib
Signed-By: {KEY}

Types: deb
# A comment inside
URIs: http://mirror.example/debian-security
Suites: CODENAME-security
Components: main
Signed-By: {KEY}
"""
ONE_LINE = f"""\
deb cdrom:[Debian GNU/Linux 12 _Bookworm_ - Official]/ CODENAME main
deb [arch=amd64 signed-by={KEY}] http://mirror.example/debian CODENAME main contrib # the archive
deb http://mirror.example/debian CODENAME-updates main
#deb http://mirror.example/debian CODENAME-proposed-updates main
deb-src http://mirror.example/debian CODENAME main
deb http://mirror.example/debian-security CODENAME-security main
"""
OTHERS = {
    "sources.list.d/other.list": "deb [signed-by=/etc/apt/o.gpg] https://other.example/d CODENAME main\n"
    "deb https://other.example/debian CODENAME stable\n",
    "sources.list.d/off.sources": "Types: deb\nEnabled: no\nURIs: http://off.example/debian\n"
    f"Suites: CODENAME\nComponents: main\nSigned-By: {KEY}\n",
    "sources.list.d/nodejs.sources": "Types: deb\nURIs: https://node.example/20.x\n"
    "Suites: nodistro\nComponents: main\n",
}


def call(function: str, apt_dir: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run one function (with arguments) of the set-up script over another apt configuration."""
    return subprocess.run(
        ["bash", "-c", f". {SCRIPT}; {function}"],
        capture_output=True,
        text=True,
        env={**os.environ, "APT_DIR": str(apt_dir), **variables},
        stdin=subprocess.DEVNULL,
    )


def configure(apt_dir: Path, codename: str, files: dict[str, str]) -> Path:
    (apt_dir / "sources.list.d").mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        (apt_dir / name).write_text(text.replace("CODENAME", codename))
    return apt_dir


@pytest.mark.parametrize("codename", ["bookworm", "trixie"])
@pytest.mark.parametrize(
    ("name", "text"), [("sources.list.d/debian.sources", DEB822), ("sources.list", ONE_LINE)]
)
def test_the_debian_archives_are_found_among_others(
    tmp_path: Path, codename: str, name: str, text: str
) -> None:
    apt_dir = configure(tmp_path, codename, {**OTHERS, name: text})
    rows = [line.split("\t") for line in call(f"debian_archives {codename}", apt_dir).stdout.splitlines()]
    mirror = "http://mirror.example/debian"
    assert [row[:2] for row in rows] == [
        [mirror, codename],
        [mirror, f"{codename}-updates"],
        [f"{mirror}-security", f"{codename}-security"],
    ]
    assert rows[0][2:] == ["main contrib", KEY]


@pytest.mark.parametrize(
    ("name", "text"), [("sources.list.d/debian.sources", DEB822), ("sources.list", ONE_LINE)]
)
def test_backports_come_from_the_same_mirror_with_the_same_key(tmp_path: Path, name: str, text: str) -> None:
    apt_dir = configure(tmp_path / "apt", "bookworm", {**OTHERS, name: text})
    added = apt_dir / "sources.list.d" / "lucos-backports.sources"
    assert call("add_backports bookworm", apt_dir, WORK=str(tmp_path)).returncode == 0
    assert added.read_text() == (
        "Types: deb\nURIs: http://mirror.example/debian\nSuites: bookworm-backports\n"
        f"Components: main\nSigned-By: {KEY}\n"
    )
    again = call("add_backports bookworm", apt_dir, WORK=str(tmp_path))
    assert (again.returncode, again.stdout) == (0, "")


def test_backports_that_are_there_are_left_alone(tmp_path: Path) -> None:
    text = ONE_LINE + "deb http://mirror.example/debian bookworm-backports main\n"
    apt_dir = configure(tmp_path / "apt", "bookworm", {"sources.list": text})
    assert call("add_backports bookworm", apt_dir, WORK=str(tmp_path)).returncode == 0
    assert not (apt_dir / "sources.list.d" / "lucos-backports.sources").exists()


def test_a_key_written_out_in_the_stanza_is_not_taken_for_a_file(tmp_path: Path) -> None:
    inline = "Signed-By:\n -----BEGIN PGP PUBLIC KEY BLOCK-----\n .\n mQINBGPL0BUBEADmW5NdOOHwPIJlgPu6JDcKw\n"
    text = DEB822.replace(f"Signed-By: {KEY}\n", inline)
    apt_dir = configure(tmp_path, "bookworm", {"sources.list.d/debian.sources": text})
    assert "Signed-By" not in call("backports_stanza bookworm", apt_dir).stdout
    assert len(call("debian_archives bookworm", apt_dir).stdout.splitlines()) == 3


def test_no_archive_is_an_error_that_says_what_to_do(tmp_path: Path) -> None:
    apt_dir = configure(tmp_path / "apt", "bookworm", OTHERS)
    failed = call("add_backports bookworm", apt_dir, WORK=str(tmp_path))
    assert failed.returncode == 1
    assert "add its suite bookworm-backports" in failed.stderr


@pytest.mark.parametrize(
    ("installed", "missing"),
    [
        ({}, ["qemu-system-x86=1:10", "gcc"]),
        ({"qemu-system-x86": "1:7.2+dfsg-7", "gcc": "4:12.2.0-3"}, ["qemu-system-x86=1:10"]),
        ({"qemu-system-x86": "1:10.0.2+ds-2~bpo12+1"}, ["gcc"]),
        ({"qemu-system-x86": "1:10.0.2+ds-2", "gcc": "4:14.2.0-1"}, []),
    ],
)
def test_absent_and_old_packages_are_missing(
    tmp_path: Path, installed: dict[str, str], missing: list[str]
) -> None:
    said = "".join(f"{name} installed {version}\\n" for name, version in installed.items())
    fake = f"PACKAGES=(qemu-system-x86=1:10 gcc); dpkg-query() {{ printf '{said}'; }}"
    result = call(f"{fake}; missing_packages", tmp_path)
    assert (result.stdout.split(), result.stderr) == (missing, "")


def test_output_is_shown_only_on_failure(tmp_path: Path) -> None:
    assert call("quietly echo loud", tmp_path).stdout == ""
    failed = call("quietly bash -c 'echo the reason; exit 3'", tmp_path)
    assert failed.returncode == 3
    assert "the reason" in failed.stderr


def test_an_old_python_is_refused(tmp_path: Path) -> None:
    old = tmp_path / "python"
    old.write_text("#!/bin/sh\nexit 1\n")
    old.chmod(0o755)
    refused = subprocess.run(
        [ROOT / "scripts" / "setup-python.sh"],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHON": str(old)},
        stdin=subprocess.DEVNULL,
    )
    assert refused.returncode == 1
    assert "Python 3.11 or later" in refused.stderr


@pytest.mark.parametrize(
    "path", [*sorted((ROOT / "scripts").glob("*.sh")), ROOT / ".ci" / "run"], ids=lambda path: path.name
)
def test_shell_scripts_are_valid_and_executable(path: Path) -> None:
    assert os.access(path, os.X_OK)
    checked = subprocess.run(["bash", "-n", path], capture_output=True, text=True)
    assert (checked.returncode, checked.stderr) == (0, "")
