"""Image descriptors, the archive writer, and the mini image's build and guest script."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

from lucos.errors import EnvironmentMissing, InputError, LucError, OperationFailed, UnknownObject
from lucos.images import build_mini, list_images, load_image, mini
from lucos.images.cpio import Cpio
from lucos.model.workload import parse_workload

DESCRIPTOR = """\
name = "a"
kernel = "vmlinuz"
initrd = "initrd"
cmdline = "console=ttyS0"
"""


@pytest.fixture
def images_dir(tmp_path: Path) -> Path:
    folder = tmp_path / "images" / "a"
    folder.mkdir(parents=True)
    (folder / "image.toml").write_text(DESCRIPTOR)
    (folder / "vmlinuz").write_bytes(b"kernel")
    (folder / "initrd").write_bytes(b"initrd")
    return folder.parent


def test_load_image(images_dir: Path) -> None:
    assert list_images(images_dir) == ["a"]
    image = load_image(images_dir, "a")
    assert image.kernel.read_bytes() == b"kernel"
    assert (image.cmdline, image.memory_min_mib, image.ready) == ("console=ttyS0", 0, "")


def test_an_unknown_image_names_those_present(images_dir: Path, tmp_path: Path) -> None:
    with pytest.raises(UnknownObject, match="no image 'b'") as caught:
        load_image(images_dir, "b")
    assert caught.value.hint == "images present: a"
    with pytest.raises(UnknownObject) as caught:
        load_image(tmp_path / "nothing", "b")
    assert "luc image build mini" in caught.value.hint
    with pytest.raises(UnknownObject):
        load_image(images_dir / "a", "../a")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("name = ", "image.toml"),
        (DESCRIPTOR.replace("initrd =", "ramdisk ="), "ramdisk|initrd"),
        (DESCRIPTOR + "memory_min_mib = 'much'\n", "memory_min_mib"),
        (DESCRIPTOR.replace('"vmlinuz"', '"bzImage"'), "kernel 'bzImage'"),
        (DESCRIPTOR.replace('"initrd"', '"../a/initrd"'), "initrd '../a/initrd'"),
    ],
)
def test_a_bad_descriptor_names_file_and_field(images_dir: Path, text: str, message: str) -> None:
    (images_dir / "a" / "image.toml").write_text(text)
    with pytest.raises(InputError, match=message) as caught:
        load_image(images_dir, "a")
    assert "image.toml" in caught.value.message


def test_cpio_is_read_by_cpio(tmp_path: Path) -> None:
    archive = Cpio()
    archive.directory("bin")
    archive.file("bin/tool", b"#!odd length", executable=True)
    archive.file("empty", b"")
    archive.link("bin/alias", "tool")
    archive.fifo("pipe")
    data = archive.finish()
    command = ["cpio", "--extract", "--quiet", "--no-absolute-filenames"]
    subprocess.run(command, input=data, cwd=tmp_path, check=True)
    assert (tmp_path / "bin/alias").read_bytes() == b"#!odd length"
    assert (tmp_path / "bin/tool").stat().st_mode & 0o777 == 0o755
    assert (tmp_path / "empty").read_bytes() == b""
    assert (tmp_path / "pipe").is_fifo()


def _deb(folder: Path) -> Path:
    """A package that is no kernel."""
    (folder / "pkg/DEBIAN").mkdir(parents=True)
    control = "Package: none\nVersion: 1\nArchitecture: all\nMaintainer: nobody\nDescription: none\n"
    (folder / "pkg/DEBIAN/control").write_text(control)
    subprocess.run(["dpkg-deb", "--build", "pkg", "none.deb"], cwd=folder, check=True, capture_output=True)
    return folder / "none.deb"


def test_a_failed_build_leaves_what_was_there(images_dir: Path, tmp_path: Path) -> None:
    target = images_dir / "a"
    garbage = tmp_path / "garbage.deb"
    garbage.write_bytes(b"no package")
    failures: list[tuple[Path, type[LucError], str]] = [
        (garbage, OperationFailed, "dpkg"),
        (_deb(tmp_path), InputError, "not a Debian kernel package"),
    ]
    for package, kind, message in failures:
        with pytest.raises(kind, match=message):
            build_mini(target, kernel_package=package, progress=print)
        assert load_image(images_dir, "a").kernel.read_bytes() == b"kernel"
        assert [path.name for path in images_dir.iterdir()] == ["a"]


def test_busybox_must_be_static(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for content in (None, b"\x7fELF /lib64/ld-linux-x86-64.so.2"):
        monkeypatch.setattr(mini, "BUSYBOX", tmp_path / "busybox")
        if content:
            mini.BUSYBOX.write_bytes(content)
        with pytest.raises(EnvironmentMissing, match="static busybox"):
            build_mini(tmp_path / "mini", progress=print)


def _guest_accepts(workload: str) -> bool:
    """The guest's own check, taken from its script and run by the shell it runs in."""
    script = mini.GUEST_INIT.read_text()
    functions = script[script.index("number() {") : script.index("jobs_now=")]
    test = f'{functions}\nIFS=+; set -- $1; unset IFS; check "$@"'
    return subprocess.run([str(mini.BUSYBOX), "sh", "-c", test, "sh", workload], check=False).returncode == 0


_GOOD = ("idle", "tick", "cpu:1", "cpu:100", "cpu:20+tick", "dirty:8", "dirty:10000+cpu:7+tick")
_BAD = (
    "",
    "cpu",
    "cpu:",
    "cpu:0",
    "cpu:101",
    "cpu:-1",
    "cpu:1.5",
    "dirty:10001",
    "dance",
    "tick+dance",
    "tick:3",
)


@pytest.mark.parametrize("workload", _GOOD + _BAD)
def test_guest_and_model_agree_on_workloads(workload: str) -> None:
    try:
        parse_workload(workload)
    except InputError:
        assert not _guest_accepts(workload)
    else:
        assert _guest_accepts(workload)


def test_the_guest_script_has_what_it_runs() -> None:
    """Every applet the script calls is in the archive: none is missed only when a workload starts."""
    script = re.sub(r"#.*", "", mini.GUEST_INIT.read_text())
    applets = subprocess.run([str(mini.BUSYBOX), "--list"], capture_output=True, text=True, check=True)
    builtin = {"echo", "kill", "read", "true"}
    only_words = {"busybox", "id", "link", "ping", "tty", "uptime"}
    used = set(re.findall(r"[a-z]+", script)) & set(applets.stdout.split()) - builtin - only_words
    assert used >= {"mount", "insmod", "dd"}
    assert used <= set(mini._APPLETS_START + mini._APPLETS_CONSOLE)
