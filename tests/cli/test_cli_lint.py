"""`v6flow lint`: findings with their places, explanations, and exit codes that CI can go by."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from cli_stage import (
    SMALL,
    call,
    write,
)

from v6flow.core.checks.lint import RULES

if TYPE_CHECKING:
    from pathlib import Path

Capture = pytest.CaptureFixture[str]
CLEAN = RULES["moving-image"].good
BAD = RULES["moving-image"].bad


def test_findings_are_told_with_their_lines(here: Path, capsys: Capture) -> None:
    write(here, bad_yaml=BAD, clean_yaml=CLEAN, small_yaml=SMALL)
    said = call(capsys, "lint", "bad.yaml", "clean.yaml", "small.yaml")
    assert (said.code, said.out) == (1, "clean.yaml: nothing found\n")
    lines = said.err.splitlines()
    assert lines[0].startswith("bad.yaml:2:19: warning: the image registry.example/hospital-stats has no tag")
    assert lines[0].endswith("[moving-image]")
    assert lines[2].index("^") == lines[1].index("registry")
    assert "small.yaml:5:3: warning: the param who has no description" in said.err
    assert lines[-1] == "2 findings; `v6flow lint --explain moving-image` explains the first"


def test_nothing_found(here: Path, capsys: Capture) -> None:
    write(here, clean_yaml=CLEAN)
    said = call(capsys, "lint", "clean.yaml")
    assert (said.code, said.out, said.err) == (0, "clean.yaml: nothing found\n", "")


def test_as_a_document(here: Path, capsys: Capture) -> None:
    write(here, bad_yaml=BAD, clean_yaml=CLEAN)
    said = call(capsys, "lint", "bad.yaml", "clean.yaml", "-o", "json")
    (finding,) = said.document["findings"]
    assert (said.code, said.err, said.document["exit_code"]) == (1, "", 1)
    assert finding.items() >= {"file": "bad.yaml", "line": 2, "rule": "moving-image", "severity": "warning"}.items()
    assert call(capsys, "lint", "clean.yaml", "-o", "json").document == {"findings": [], "exit_code": 0}


def test_what_is_invalid_is_told_instead(here: Path, capsys: Capture) -> None:
    write(
        here, bad_yaml=BAD, wrong_yaml="v6flow: 1\nsteps: {a: {local: {value: '{{ params.x }}'}}}\n", more_yaml="a: 1\n"
    )
    said = call(capsys, "lint", "bad.yaml", "wrong.yaml", "more.yaml")
    assert (said.code, said.out) == (2, "")
    assert "wrong.yaml:2:" in said.err
    assert "more.yaml:" in said.err
    assert "moving-image" not in said.err
    assert call(capsys, "lint", "nowhere.yaml").code == 2
    assert "name workflow files" in call(capsys, "lint").err


def test_a_federation_is_no_workflow(here: Path, capsys: Capture) -> None:
    write(here, federation_yaml="v6flow_federation: 1\nbackend: embedded\norganizations: {a: {}}\n")
    said = call(capsys, "lint", "federation.yaml")
    assert said.code == 2
    assert "federation" in said.err


def test_a_test_is_no_workflow_either_and_the_remedy_is_told(here: Path, capsys: Capture) -> None:
    write(here, x_test_yaml="v6flow_test: 1\nworkflow: w.yaml\ncases: {one: {}}\n")
    said = call(capsys, "lint", "x_test.yaml")
    assert said.code == 2
    assert "x_test.yaml:1:1: this is a test file, where a workflow file is expected" in said.err
    assert "lint checks workflows only: `v6flow validate x_test.yaml` reports its problems" in said.err


def test_rules_are_listed(capsys: Capture) -> None:
    said = call(capsys, "lint", "--explain")
    assert (said.code, said.err) == (0, "")
    assert [line.split()[0] for line in said.out.splitlines()] == list(RULES)
    assert [each["rule"] for each in call(capsys, "lint", "--explain", "-o", "json").document["rules"]] == list(RULES)


@pytest.mark.parametrize("name", RULES)
def test_a_rule_is_explained(name: str, capsys: Capture) -> None:
    said = call(capsys, "lint", "--explain", name)
    assert (said.code, said.err) == (0, "")
    assert said.out.startswith(f"{name}: {RULES[name].summary}\n")
    assert "\nbad:\n\n    v6flow: 1\n" in said.out
    assert "\ngood:\n\n    v6flow: 1\n" in said.out


def test_a_rule_that_is_not_there(capsys: Capture) -> None:
    said = call(capsys, "lint", "--explain", "unused-parm")
    assert said.code == 2
    assert "no rule 'unused-parm'\n  hint: did you mean unused-param?" in said.err
