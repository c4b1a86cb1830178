"""Test files as files: all that is wrong is told at its place, and what is right is what runs."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from v6flow.errors import UsageError
from v6flow.testing import suites

sys.path.insert(0, str(Path(__file__).parents[1] / "schemas"))

from fixtures import check_fixture, invalid, read_fixture

WORKFLOWS = Path(__file__).parents[2] / "workflows"
RULES = {
    "approver", "literal-only", "local-step", "matcher", "missing-key", "name", "no-gate", "out-of-range",
    "unknown-organization", "unknown-output", "unknown-step", "workflow",
}  # fmt: skip
WRONG = [path for path in invalid("check") if read_fixture(path).kind == "test"]


@pytest.mark.parametrize("path", WRONG, ids=lambda path: path.stem)
def test_wrong_files_are_refused(path: Path) -> None:
    check_fixture(path, suites.problems(str(path)))


def test_every_rule_has_a_file() -> None:
    assert {rule for path in WRONG for _, _, rule, _ in read_fixture(path).expected} == RULES


def test_a_sound_file_is_read() -> None:
    suite = suites.read(Path(__file__).parents[1] / "schemas" / "valid" / "test.yaml")
    assert suite.folder == WORKFLOWS
    assert suite.directory.ids == {"alpha": 1, "beta": 2, "gamma": 3}
    assert suite.directory.studies == {"heart": ("beta",), 1: ("beta",)}
    assert suite.directory.defaults == {"image": "probe", "timeout": "1h"}
    assert suite.directory.policy.max_queries == 3
    failures, exactly, _ = suite.cases
    assert (failures.name, failures.params, failures.deadline) == ("failures", {"column": "bmi"}, 6 * 3600.0)
    assert (exactly.params, exactly.deadline, exactly.line) == ({"column": "age"}, None, 55)
    assert failures.answers.find("parts", "alpha", 2) != exactly.answers.find("parts", "alpha", 2)


def test_problems_of_the_workflow_are_told_with_its_name(tmp_path: Path) -> None:
    (tmp_path / "w.yaml").write_text("v6flow: 1\nsteps: {a: {local: {value: '{{ params.x }}'}}}\n")
    test = tmp_path / "w.test.yaml"
    test.write_text("v6flow_test: 1\nworkflow: w.yaml\ncases: {one: {}}\n")
    (problem,) = suites.problems(str(test))
    assert (problem.file, problem.rule) == (str(tmp_path / "w.yaml"), "unknown-param")


def test_a_workflow_of_local_steps_needs_no_organizations(tmp_path: Path) -> None:
    (tmp_path / "w.yaml").write_text("v6flow: 1\nsteps: {a: {local: {value: 1}}}\n")
    (tmp_path / "w.test.yaml").write_text("v6flow_test: 1\nworkflow: w.yaml\ncases: {one: {}}\n")
    assert suites.read(tmp_path / "w.test.yaml").directory.organizations == ()


def test_all_test_files_of_a_folder_are_found_and_nothing_else(tmp_path: Path) -> None:
    key, outside = "v6flow_test: 1\n", tmp_path / "outside"
    here = tmp_path / "here"
    for folder in (outside, here / "tests", here / ".hidden", here / "venv", here / "tests" / "deeper"):
        folder.mkdir(parents=True)
        (folder / "a.test.yaml").write_text(key)
    (here / "venv" / "pyvenv.cfg").touch()
    (here / "tests" / "average.yaml").write_text(f"# a comment\n{key}")
    (here / "b.test.yml").write_text("")
    (here / "workflow.yaml").write_text("v6flow: 1\n")
    (here / "a.test.txt").write_text(key)
    (here / "link").symlink_to(outside)
    (here / "link.test.yaml").symlink_to(outside / "a.test.yaml")
    (here / "dangling.test.yaml").symlink_to(here / "nowhere")
    found = [str(Path(path).relative_to(here)) for path in suites.find([str(here)])]
    assert found == ["b.test.yml", "tests/a.test.yaml", "tests/average.yaml", "tests/deeper/a.test.yaml"]


def test_files_that_are_named_are_taken_as_they_are_and_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("a.test.yaml").touch()
    Path("x.yaml").touch()
    assert suites.find(["x.yaml", ".", "a.test.yaml"]) == ["x.yaml", "a.test.yaml"]
    with pytest.raises(UsageError, match="no file or folder nowhere"):
        suites.find(["nowhere"])
