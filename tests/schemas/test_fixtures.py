"""Every valid file is accepted, every invalid one refused with the words and the place that it names."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from fixtures import check_fixture, invalid, read_fixture, schema_of, valid

from v6flow.core.language import document, schema
from v6flow.core.language.problem import InvalidError

if TYPE_CHECKING:
    from pathlib import Path

DOCUMENT_RULES = {
    "alias",
    "anchor",
    "blank",
    "character",
    "depth",
    "directive",
    "duplicate-key",
    "empty",
    "long-number",
    "merge-key",
    "odd-key",
    "odd-null",
    "odd-number",
    "quotes-in-expression",
    "several-documents",
    "syntax",
    "tab",
    "tag",
    "top-level",
    "unquoted-expression",
}
SCHEMA_RULES = {
    "bad-name",
    "bad-value",
    "duplicate-item",
    "empty",
    "exclusive-keys",
    "misplaced-key",
    "missing-key",
    "out-of-range",
    "unknown-key",
    "wrong-file",
    "wrong-type",
}


def name(path: Path) -> str:
    return path.stem


@pytest.mark.parametrize("path", invalid("document"), ids=name)
def test_document_refused(path: Path) -> None:
    with pytest.raises(InvalidError) as caught:
        document.parse(path.read_bytes(), path.name)
    check_fixture(path, caught.value.problems)


@pytest.mark.parametrize("path", invalid("schema"), ids=name)
def test_schema_refuses(path: Path) -> None:
    found = document.parse(path.read_bytes(), path.name)
    check_fixture(path, schema.problems(found, schema_of(read_fixture(path).kind)))


@pytest.mark.parametrize("path", valid(), ids=name)
def test_valid(path: Path) -> None:
    found = document.parse(path.read_bytes(), path.name)
    kind = next((kind for kind in ("federation", "test") if f"v6flow_{kind}" in found.value), "workflow")
    assert schema.problems(found, schema_of(kind)) == []


@pytest.mark.parametrize(("stage", "rules"), [("document", DOCUMENT_RULES), ("schema", SCHEMA_RULES)])
def test_every_rule_has_a_file(stage: str, rules: set[str]) -> None:
    covered = {rule for path in invalid(stage) for _, _, rule, _ in read_fixture(path).expected}
    assert covered == rules
