"""What results of an embedded federation depend on, seen by the contents of its files."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from v6flow import loading
from v6flow.backends.embedded.configuration import EmbeddedFederation
from v6flow.backends.embedded.contents import Contents

if TYPE_CHECKING:
    from pathlib import Path

FEDERATION = """\
v6flow_federation: 1
backend: embedded
organizations:
  alpha: {databases: {default: a.csv, more: "sqlite:///more.sqlite", far: "postgresql://h/x"}}
  beta: {databases: {default: b.csv}}
algorithms:
  one: {package: package_one, path: algorithms}
  two: {package: module_two, path: algorithms}
  three: {package: package_three, python: /nowhere/python}
  four: {package: json}
"""


@pytest.fixture
def federation(tmp_path: Path) -> EmbeddedFederation:
    (tmp_path / "algorithms" / "package_one" / "inner").mkdir(parents=True)
    for name in (
        "a.csv", "b.csv", "more.sqlite", "algorithms/module_two.py", "algorithms/package_one/__init__.py",
        "algorithms/package_one/inner/sums.py", "algorithms/package_one/notes.txt",
    ):  # fmt: skip
        (tmp_path / name).write_text("1")
    (tmp_path / "federation.yaml").write_text(FEDERATION)
    found = loading.read_federation(tmp_path / "federation.yaml")
    assert isinstance(found, EmbeddedFederation)
    return found


@pytest.mark.parametrize(
    "name",
    ["a.csv", "b.csv", "more.sqlite", "algorithms/module_two.py", "algorithms/package_one/inner/sums.py"],
)
def test_what_is_computed_from_counts(federation: EmbeddedFederation, tmp_path: Path, name: str) -> None:
    contents = Contents(federation)
    before = contents.digest()
    assert contents.digest() == before
    (tmp_path / name).write_text("22")
    assert contents.digest() != before
    assert Contents(federation).digest() == contents.digest()


def test_a_file_that_comes_or_goes_counts(federation: EmbeddedFederation, tmp_path: Path) -> None:
    contents = Contents(federation)
    before = contents.digest()
    (tmp_path / "algorithms" / "package_one" / "more.py").write_text("")
    with_more = contents.digest()
    (tmp_path / "a.csv").unlink()
    assert len({before, with_more, contents.digest()}) == 3


def test_other_files_do_not(federation: EmbeddedFederation, tmp_path: Path) -> None:
    before = Contents(federation).digest()
    (tmp_path / "algorithms" / "package_one" / "notes.txt").write_text("22")
    (tmp_path / "other.csv").write_text("")
    assert Contents(federation).digest() == before


def test_a_copy_of_the_same_contents_is_the_same(federation: EmbeddedFederation, tmp_path: Path) -> None:
    contents = Contents(federation)
    before = contents.digest()
    os.utime(tmp_path / "a.csv", (1, 1))
    assert contents.digest() == before


def test_which_organization_has_which_data_counts(federation: EmbeddedFederation, tmp_path: Path) -> None:
    (tmp_path / "b.csv").write_text("2")
    before = Contents(federation).digest()
    (tmp_path / "a.csv").write_text("2")
    (tmp_path / "b.csv").write_text("1")
    assert Contents(federation).digest() != before
