"""`v6flow schema`: the schemas as the package has them."""

from __future__ import annotations

import json

import jsonschema
import pytest
from cli_stage import (
    PROJECT,
    call,
)

Capture = pytest.CaptureFixture[str]


@pytest.mark.parametrize("name", ["workflow", "federation", "test"])
def test_a_schema_is_printed_as_it_is(name: str, capsys: Capture) -> None:
    said = call(capsys, "schema", name)
    assert (said.code, said.err) == (0, "")
    assert said.out == (PROJECT / "schemas" / f"{name}.schema.json").read_text("utf-8")
    jsonschema.Draft7Validator.check_schema(json.loads(said.out))


def test_left_out_it_is_that_of_workflows(capsys: Capture) -> None:
    assert call(capsys, "schema").out == call(capsys, "schema", "workflow").out


def test_the_reference_of_all_files(capsys: Capture) -> None:
    said = call(capsys, "schema", "--reference")
    assert (said.code, said.err) == (0, "")
    assert said.out == (PROJECT / "docs" / "reference.md").read_text("utf-8")


def test_another_is_refused(capsys: Capture) -> None:
    said = call(capsys, "schema", "plan")
    assert (said.code, said.out) == (2, "")
    assert "federation" in said.err
