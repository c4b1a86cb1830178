"""Parameters as people give them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from v6flow import params
from v6flow.core import reading
from v6flow.core.language import document
from v6flow.core.language.problem import InvalidError

if TYPE_CHECKING:
    from v6flow.core.language.model import Workflow

TEXT = """
v6flow: 1
params:
  column: {type: string, default: age}
  n: {type: integer, minimum: 1, default: 3}
  who: {type: array, items: {type: string}, description: Whom to ask}
steps: {a: {local: {value: 1}}}
"""


def workflow(text: str = TEXT) -> Workflow:
    return reading.parse(document.parse(text, "w.yaml"))


def refused(**given: Any) -> list[str]:
    with pytest.raises(InvalidError) as caught:
        params.resolve(workflow(), **given)
    assert all(problem.rule == "param" for problem in caught.value.problems)
    return [f"{each.position.line}: {each.message}" for each in caught.value.problems]


def test_who_wins() -> None:
    first: tuple[str, dict[str, Any]] = ("p.yaml", {"who": ["p"], "n": 4, "column": "p"})
    second: tuple[str, dict[str, Any]] = ("q.yaml", {"n": 5})
    environment = {
        "V6FLOW_PARAM_WHO": '["env"]',
        "V6FLOW_PARAM_N": "6",
        "V6FLOW_PARAM_COLUMN": "env",
        "OTHER": "1",
    }
    assert params.resolve(workflow(), environment=environment) == {"column": "env", "n": 6, "who": ["env"]}
    assert params.resolve(workflow(), environment=environment, values=[first, second]) == {
        "column": "p",
        "n": 5,
        "who": ["p"],
    }
    everything = {"environment": environment, "values": [first, second], "texts": {"n": "7"}}
    assert params.resolve(workflow(), **everything) == {"column": "p", "n": 7, "who": ["p"]}  # type: ignore[arg-type]
    assert list(params.resolve(workflow(), texts={"who": "[]"})) == ["column", "n", "who"]


def test_environment_names_may_have_the_params_own_case() -> None:
    assert params.resolve(workflow(), environment={"V6FLOW_PARAM_who": "[]"})["who"] == []


def test_what_is_overridden_need_not_be_right() -> None:
    given = {
        "environment": {"V6FLOW_PARAM_N": "many"},
        "values": [("p.yaml", {"n": 0})],
        "texts": {"n": "2", "who": "[]"},
    }
    assert params.resolve(workflow(), **given)["n"] == 2  # type: ignore[arg-type]


def test_all_that_is_wrong_comes_at_once() -> None:
    assert refused(texts={"n": "0", "colum": "x"}, values=[("p.yaml", {"column": 3, "z": 1})]) == [
        "3: p.yaml: no param 'z': this workflow has column, n, who",
        "3: --param: no param 'colum': this workflow has column, n, who (did you mean column?)",
        "4: p.yaml: param column: expected text, got a number",
        "5: --param: param n: expected a number from 1, got 0",
        "6: param who is required: Whom to ask (give it with --param who=…)",
    ]


@pytest.mark.parametrize(
    ("name", "text", "told"),
    [
        ("n", "3.5", "5: --param: param n: '3.5' is not a whole number"),
        ("n", "x" * 100, f"5: --param: param n: '{'x' * 59}…' is not a whole number"),
        ("who", "alpha", "6: --param: param who: 'alpha' is not a JSON list"),
        ("who", '["a", 1]', "6: --param: param who[1]: expected text, got a number"),
    ],
)
def test_texts_of_the_wrong_type_are_told_once(name: str, text: str, told: str) -> None:
    assert refused(texts={"who": "[]", name: text}) == [told]


@pytest.mark.parametrize(
    ("fragment", "told"),
    [
        ({}, "any value"),
        ({"type": "string"}, "text"),
        ({"type": ["integer", "null"]}, "a whole number or null"),
        ({"type": "integer", "minimum": 2, "maximum": 9}, "a whole number from 2 up to 9"),
        ({"type": "number", "exclusiveMinimum": 0, "exclusiveMaximum": 1}, "a number above 0 below 1"),
        ({"enum": ["age", "bmi", 3]}, "age, bmi or 3"),
        ({"const": True}, "true"),
        ({"type": "string", "pattern": "^a", "maxLength": 3}, "text of at most 3 characters that matches ^a"),
        ({"type": "array", "items": {"enum": ["a", "b"]}, "minItems": 1},
         "a JSON list of at least 1 items with items: a or b"),
        ({"type": "object", "properties": {"a": {}, "b": {}}}, "a JSON mapping with a and b"),
    ],
)  # fmt: skip
def test_what_is_allowed_in_words(fragment: dict[str, Any], told: str) -> None:
    assert params.allowed(fragment) == told


def test_a_wrong_value_is_refused_with_what_is_allowed() -> None:
    with pytest.raises(InvalidError) as caught:
        params.resolve(workflow(), texts={"n": "0", "who": "x", "z": "1"})
    hints = [problem.hint for problem in caught.value.problems]
    assert hints == [None, "allowed: a whole number from 1", "allowed: a JSON list with items: text"]


def test_all_that_is_known_of_the_params() -> None:
    column, n, who = params.described(workflow())
    assert column == {
        "name": "column", "type": "string", "required": False, "default": "age", "description": "", "allowed": "text",
        "environment": "V6FLOW_PARAM_COLUMN", "schema": {"type": "string", "default": "age"},
    }  # fmt: skip
    assert (n["allowed"], n["default"]) == ("a whole number from 1", 3)
    assert (who["required"], who["description"], "default" in who) == (True, "Whom to ask", False)


def test_a_workflow_without_params() -> None:
    plain = workflow("v6flow: 1\nsteps: {a: {local: {value: 1}}}\n")
    assert params.resolve(plain) == {}
    with pytest.raises(InvalidError, match="no param 'x': this workflow has none"):
        params.resolve(plain, texts={"x": "1"})


@pytest.mark.parametrize(
    ("fragment", "text", "value"),
    [
        ({"type": "string"}, "007", "007"),
        ({"type": "string"}, " true ", " true "),
        ({}, "1", "1"),
        ({"type": "integer"}, " 12 ", 12),
        ({"type": "integer"}, "-3", -3),
        ({"type": "number"}, "3", 3),
        ({"type": "number"}, "1e-6", 1e-6),
        ({"type": "boolean"}, "True", True),
        ({"type": "boolean"}, "FALSE", False),
        ({"type": "null"}, "null", None),
        ({"type": ["null", "number"]}, "~", None),
        ({"type": ["null", "number"]}, "2.5", 2.5),
        ({"type": ["integer", "string"]}, "5", 5),
        ({"type": ["integer", "string"]}, "05", "05"),
        ({"type": "array"}, "[1, [2]]", [1, [2]]),
        ({"type": "object"}, '{"a": 1}', {"a": 1}),
        ({"default": 1}, "2", 2),
        ({"default": 1.5}, "2", 2),
        ({"default": True}, "false", False),
        ({"default": None}, "null", None),
        ({"default": [1]}, "[2]", [2]),
        ({"default": {}}, "{}", {}),
        ({"default": "x"}, "2", "2"),
        ({"enum": [1, 2]}, "2", 2),
        ({"enum": [1, "two"]}, "two", "two"),
        ({"const": 5}, "5", 5),
        ({"default": None}, "hello", "hello"),
        ({"default": None}, "007", "007"),
    ],
)
def test_read(fragment: dict[str, Any], text: str, value: object) -> None:
    found = params.read(fragment, text)
    assert found == value
    assert type(found) is type(value)


@pytest.mark.parametrize(
    ("type_", "text", "told"),
    [
        ("integer", "1.0", "a whole number"),
        ("integer", "01", "a whole number"),
        ("integer", "1_000", "a whole number"),
        ("integer", "١", "a whole number"),
        ("integer", "9" * 1001, "a whole number"),
        ("number", "1e400", "a number"),
        ("number", "nan", "a number"),
        ("number", ".5", "a number"),
        ("boolean", "yes", "true or false"),
        ("boolean", "1", "true or false"),
        ("null", "", "null"),
        ("array", "{}", "a JSON list"),
        ("object", "[1]", "a JSON mapping"),
        ("object", '{"a": 1, "a": 2}', "a JSON mapping"),
        (["integer", "null"], "x", "null or a whole number"),
    ],
)
def test_not_read(type_: Any, text: str, told: str) -> None:
    with pytest.raises(ValueError, match="is not ") as caught:
        params.read({"type": type_}, text)
    words = str(caught.value).partition(" is not ")[2]
    assert sorted(words.split(" or ")) == sorted(told.split(" or "))
