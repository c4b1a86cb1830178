"""Workflows as files: every sound one is read, and of a wrong one all problems come at once, in order."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from v6flow import loading
from v6flow.core.problem import InvalidError
from v6flow.errors import UsageError

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(Path(__file__).parent / "schemas"))

from fixtures import check_fixture, invalid, read_fixture, valid  # noqa: E402 - it stands with its files

CHECK_RULES = {
    "name", "name-case", "unknown-step", "unknown-param", "unknown-attribute", "wrong-scope", "cycle",
    "param-default", "param-schema", "secret-reference", "wrong-modifier", "central-organizations",
    "isolation-quorum", "isolation-retry", "expression-syntax", "expression-name", "expression-function",
    "expression-refused", "expression-limit", "function",
}  # fmt: skip
SCHEMA_ONLY = {"everything"}  # it has every key, and names params and functions that are nowhere
EVERY = [path for stage in ("document", "schema", "check") for path in invalid(stage)]


def name(path: Path) -> str:
    return path.stem


@pytest.mark.parametrize("path", [path for path in EVERY if read_fixture(path).kind == "workflow"], ids=name)
def test_wrong_workflows_are_refused(path: Path) -> None:
    with pytest.raises(InvalidError) as caught:
        loading.read_workflow(path)
    check_fixture(path, caught.value.problems)
    assert caught.value.exit_code == 2


@pytest.mark.parametrize("path", [path for path in EVERY if read_fixture(path).kind == "federation"], ids=name)
def test_wrong_federations_are_refused(path: Path) -> None:
    with pytest.raises(InvalidError) as caught:
        loading.read_document(path, kind="federation")
    check_fixture(path, caught.value.problems)


def test_every_rule_of_the_check_has_a_file() -> None:
    assert {rule for path in invalid("check") for _, _, rule, _ in read_fixture(path).expected} == CHECK_RULES


@pytest.mark.parametrize("path", [*valid(), *sorted((ROOT / "workflows").glob("*.yaml"))], ids=name)
def test_sound_files_are_read(path: Path) -> None:
    if path.stem in SCHEMA_ONLY:
        assert loading.read_document(path, kind="workflow").value
    elif "v6flow_federation" in path.read_text("utf-8"):
        assert loading.read_document(path, kind="federation").value
    else:
        assert loading.read_workflow(path).steps


def test_one_problem_is_told_in_the_error_and_several_are_counted() -> None:
    one = "v6flow: 1\nsteps:\n  a:\n    local: {value: '{{ params.x }}'}\n"
    with pytest.raises(InvalidError, match=r"^w\.yaml:4:31: no param 'x': this workflow has none \[unknown-param\]$"):
        loading.parse_workflow(one, "w.yaml")
    with pytest.raises(InvalidError, match=r"^w\.yaml has 2 problems$"):
        loading.parse_workflow(one + "    needs: [b]\n", "w.yaml")


def test_a_missing_file_names_the_nearest(tmp_path: Path) -> None:
    (tmp_path / "average.yaml").write_text("v6flow: 1\n", "utf-8")
    with pytest.raises(UsageError) as caught:
        loading.read_workflow(tmp_path / "avarage.yaml")
    assert caught.value.message == f"no workflow file {tmp_path / 'avarage.yaml'}"
    assert caught.value.hint == "did you mean average.yaml?"


def test_a_folder_is_no_file(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="cannot be read"):
        loading.read_workflow(tmp_path)


def test_an_expression_in_a_federations_defaults_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "federation.yaml"
    file.write_text(
        "v6flow_federation: 1\nbackend: embedded\norganizations: {a: {}}\ndefaults:\n  image: '{{ params.x }}'\n"
    )
    with pytest.raises(InvalidError) as caught:
        loading.read_federation(file)
    assert [(each.position.line, each.rule) for each in caught.value.problems] == [(5, "literal-only")]
