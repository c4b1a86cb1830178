"""Files that people name: regular ones only, without waiting, and within a folder where one is set."""

from __future__ import annotations

import os
import socket
import stat
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from v6flow import paths
from v6flow.errors import UsageError

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(name="folder")
def folder_of_odd_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)  # the name of a socket is short
    (tmp_path / "file").write_text("text")
    (tmp_path / "folder").mkdir()
    (tmp_path / "loop").symlink_to("loop")
    (tmp_path / "link").symlink_to("file")
    os.mkfifo("fifo")
    with socket.socket(socket.AF_UNIX) as made:
        made.bind("socket")
    return tmp_path


ODD = {
    "folder": "it is a folder",
    "fifo": "it is a FIFO",
    "socket": "it is a socket",
    "/dev/zero": "it is a device",
    "nothing": "it is not there",
    "file/below": "it is not there",
    "loop": "it cannot be read (Too many levels of symbolic links)",
    "n" * 300: "it cannot be read (File name too long)",
    "d/" * 3000: "it cannot be read (File name too long)",
    "a\0b": "no file can have this name",
    "a\ud800b": "no file can have this name",
}


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize(("name", "why"), ODD.items(), ids=lambda value: value[:30].encode("ascii", "replace").decode())
def test_what_is_no_regular_file_is_named_and_never_waited_for(name: str, why: str) -> None:
    assert paths.obstacle(name) == why
    assert not paths.is_file(name)
    assert paths.is_folder(name) == (name == "folder")
    assert paths.entries(name) == []
    for read in (paths.read, lambda named: list(paths.chunks(named))):
        with pytest.raises(OSError, match=r"\] ") as caught:
            read(name)
        assert caught.value.strerror


@pytest.mark.usefixtures("folder")
def test_a_file_is_read_up_to_a_limit() -> None:
    assert paths.read("file") == paths.read("link") == b"text"
    assert paths.read("file", 2) == b"te"
    assert b"".join(paths.chunks("file")) == b"text"
    assert paths.obstacle("link") is None


def test_the_home_of_a_user_that_there_is_not_stays_as_written() -> None:
    assert str(paths.expand("~no-such-user-at-all/x")) == "~no-such-user-at-all/x"


def test_a_pipe_of_the_shell_is_read_where_that_is_allowed(folder: Path) -> None:
    program = "import sys; from v6flow import paths; print(paths.read(sys.argv[1], inherited=sys.argv[2] == 'yes'))"
    for name, allowed, said in (
        ("/dev/stdin", "yes", "b'piped'"), ("/proc/self/fd/0", "yes", "b'piped'"), ("/dev/stdin", "no", "it is a FIFO"),
        ("fifo", "yes", "it is a FIFO"),
    ):  # fmt: skip
        ran = subprocess.run(
            [sys.executable, "-c", program, name, allowed], cwd=folder, input=b"piped", capture_output=True,
            check=False, timeout=30,
        )  # fmt: skip
        assert said in (ran.stdout + ran.stderr).decode(), (name, allowed)


def test_nothing_outside_of_a_root_is_looked_at(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    other = tmp_path_factory.mktemp("other")
    (other / "secret").write_text("secret")
    (folder / "out").symlink_to(other)
    (folder / "root").symlink_to(folder)
    outside: list[str | Path] = [
        other / "secret",
        "../other",
        "out/secret",
        f"{folder}/../x",
        f"{folder}-more",
        "/",
        "folder/../../x",
    ]
    with paths.within(folder / "root"):
        assert paths.bounded()
        assert paths.read("file") == paths.read("root/link") == b"text"
        assert paths.is_folder(folder)
        for path in outside:
            for look in (paths.read, paths.is_file, paths.is_folder, paths.obstacle, paths.entries):
                with pytest.raises(paths.OutsideError, match=r"is outside .*, the folder that may be read"):
                    look(path)
        with pytest.raises(paths.OutsideError):
            paths.read("/dev/stdin", inherited=True)
    assert not paths.bounded()
    assert paths.read("out/secret") == b"secret"


def test_a_root_must_be_a_folder(folder: Path) -> None:
    for name in ("nothing", "file", "n" * 300):
        with pytest.raises(UsageError, match="there is no folder"), paths.within(folder / name):
            pass


def test_the_current_folder_may_be_gone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "gone").mkdir()
    monkeypatch.chdir(tmp_path / "gone")
    (tmp_path / "gone").rmdir()
    with pytest.raises(UsageError, match="there is no folder"), paths.within("."):
        pass
    with paths.within(tmp_path), pytest.raises(paths.OutsideError):
        paths.read("file")
    assert paths.obstacle("file") == "it is not there"


def test_a_new_file_is_its_owners_alone(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        paths.write_new(tmp_path / "new", "text")
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "new").stat().st_mode) == 0o600
    with pytest.raises(FileExistsError):
        paths.write_new(tmp_path / "new", "other")
    assert (tmp_path / "new").read_text() == "text"
