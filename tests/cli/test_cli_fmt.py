"""`v6flow fmt`: writes files in order, whole or not at all, and only if it is to write."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest
from cli_stage import (
    SMALL,
    call,
    write,
)

if TYPE_CHECKING:
    from pathlib import Path

Capture = pytest.CaptureFixture[str]

MESSY = "steps:\n    a: {local: {value: 1}}\n# its name\nname: x\nv6flow: 1\n"
TIDY = "v6flow: 1\n# its name\nname: x\nsteps:\n  a: {local: {value: 1}}\n"


def test_files_are_put_in_order(here: Path, capsys: Capture) -> None:
    write(here, messy_yaml=MESSY, small_yaml=SMALL)
    said = call(capsys, "fmt", "messy.yaml", "small.yaml", "messy.yaml")
    assert (said.code, said.out, said.err) == (0, "messy.yaml\n", "1 formatted, 1 already formatted\n")
    assert (here / "messy.yaml").read_text() == TIDY
    assert (here / "small.yaml").read_text() == SMALL
    assert {path.name for path in here.iterdir()} == {"messy.yaml", "small.yaml"}
    assert call(capsys, "fmt", "messy.yaml").err == "0 formatted, 1 already formatted\n"


def test_tests_and_federations_are_put_in_order_too(here: Path, capsys: Capture) -> None:
    test = "cases: {one: {}}\nworkflow: w.yaml\nv6flow_test: 1\n"
    write(
        here, w_yaml=SMALL, w_test_yaml=test, f_yaml="organizations: {a: {}}\nv6flow_federation: 1\nbackend: embedded\n"
    )
    files = ["w_test.yaml", "f.yaml"]
    said = call(capsys, "fmt", "--check", *files)
    assert (said.code, said.out.split()) == (1, files)
    assert call(capsys, "fmt", *files).code == 0
    assert (here / files[0]).read_text() == "v6flow_test: 1\nworkflow: w.yaml\ncases: {one: {}}\n"
    assert (here / "f.yaml").read_text() == "v6flow_federation: 1\nbackend: embedded\norganizations: {a: {}}\n"
    assert call(capsys, "fmt", "--check", *files).code == 0


def test_a_check_writes_nothing(here: Path, capsys: Capture) -> None:
    write(here, messy_yaml=MESSY, small_yaml=SMALL)
    said = call(capsys, "fmt", "--check", "messy.yaml", "small.yaml")
    assert (said.code, said.out, said.err) == (1, "messy.yaml\n", "1 would change, 1 already formatted\n")
    assert (here / "messy.yaml").read_text() == MESSY
    assert call(capsys, "fmt", "--check", "small.yaml").code == 0


def test_a_diff_writes_nothing(here: Path, capsys: Capture) -> None:
    write(here, messy_yaml=MESSY.rstrip("\n"))
    said = call(capsys, "fmt", "--diff", "messy.yaml")
    assert said.code == 0
    assert said.out.startswith("--- messy.yaml\n+++ messy.yaml\n@@ ")
    assert "-v6flow: 1\n\\ No newline at end of file\n" in said.out
    assert (here / "messy.yaml").read_text() == MESSY.rstrip("\n")
    assert call(capsys, "fmt", "--diff", "--check", "messy.yaml").code == 1


def test_as_a_document(here: Path, capsys: Capture) -> None:
    write(here, messy_yaml=MESSY, small_yaml=SMALL)
    document = call(capsys, "fmt", "messy.yaml", "small.yaml", "--check", "--diff", "-o", "json").document
    assert document.pop("diff").keys() == {"messy.yaml"}
    assert document == {"changed": ["messy.yaml"], "unchanged": ["small.yaml"], "written": False, "exit_code": 1}
    document = call(capsys, "fmt", "messy.yaml", "small.yaml", "-o", "json").document
    assert document == {"changed": ["messy.yaml"], "unchanged": ["small.yaml"], "written": True, "exit_code": 0}


def test_if_one_is_refused_none_is_written(here: Path, capsys: Capture) -> None:
    write(here, messy_yaml=MESSY, wrong_yaml="v6flow: 1\nname: &a x\n", other_yaml="a: 1\n", odd_yaml="? v6flow\n: 1\n")
    said = call(capsys, "fmt", "messy.yaml", "wrong.yaml", "other.yaml", "odd.yaml")
    assert (said.code, said.out) == (2, "")
    assert "wrong.yaml:2:7: anchors (&) are not accepted" in said.err
    assert "other.yaml:1:1: this is no workflow, federation or test file" in said.err
    assert "odd.yaml:1:1: this file cannot be formatted without changing what it says" in said.err
    assert "nothing was written" in said.err
    assert (here / "messy.yaml").read_text() == MESSY
    assert call(capsys, "fmt", "nowhere.yaml").code == 2


def test_links_modes_and_line_ends_stay(here: Path, capsys: Capture) -> None:
    (here / "real.yaml").write_bytes(MESSY.replace("\n", "\r\n").encode())
    (here / "real.yaml").chmod(0o640)
    (here / "link.yaml").symlink_to("real.yaml")
    assert call(capsys, "fmt", "link.yaml").code == 0
    assert (here / "link.yaml").is_symlink()
    assert (here / "real.yaml").read_bytes() == TIDY.replace("\n", "\r\n").encode()
    assert (here / "real.yaml").stat().st_mode & 0o777 == 0o640


def test_a_file_that_cannot_be_written_is_as_it_was(
    here: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(here, messy_yaml=MESSY)

    def full(_number: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    said = call(capsys, "fmt", "messy.yaml")
    assert said.code == 2
    assert "messy.yaml cannot be written: No space left on device" in said.err
    assert [(path.name, path.read_text()) for path in here.iterdir()] == [("messy.yaml", MESSY)]
