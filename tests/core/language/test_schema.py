"""Schemas: that they are sound and described, and what is said of values that don't fit."""

from __future__ import annotations

import copy
import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jsonschema_rs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from v6flow.core.language import schema
from v6flow.core.language.document import parse

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[3]
SCHEMAS = {
    kind: json.loads((ROOT / "schemas" / f"{kind}.schema.json").read_text("utf-8"))
    for kind in ("workflow", "federation", "test")
}


def said(text: str, kind: str = "workflow") -> list[str]:
    found = parse(text, "x.yaml")
    return [str(problem) for problem in schema.problems(found, SCHEMAS[kind])]


def subschemas(node: Any, path: str = "#") -> Iterator[tuple[str, dict[str, Any]]]:
    """Each property, definition and item of a schema, with its path."""
    if not isinstance(node, dict):
        return
    for group in ("properties", "$defs"):
        for name, inner in node.get(group, {}).items():
            yield f"{path}/{group}/{name}", inner
            yield from subschemas(inner, f"{path}/{group}/{name}")
    for group in ("items", "additionalProperties", "then", "else", "additionalItems"):
        inner = node.get(group)
        for index, each in enumerate(inner if isinstance(inner, list) else [inner]):
            yield from subschemas(each, f"{path}/{group}/{index}")


@pytest.mark.parametrize("kind", SCHEMAS)
def test_schema_is_sound(kind: str) -> None:
    jsonschema_rs.meta.validate(SCHEMAS[kind])
    assert SCHEMAS[kind]["$schema"] == "http://json-schema.org/draft-07/schema#"


@pytest.mark.parametrize("kind", SCHEMAS)
def test_everything_is_described(kind: str) -> None:
    found = dict(subschemas(SCHEMAS[kind]))
    assert len(found) > 50
    bare = [path for path, each in found.items() if not each.get("description") and "$ref" not in each]
    assert bare == []
    assert [path for path, each in found.items() if "$ref" in each and len(each) > 1] == []  # draft 7 ignores the rest


@pytest.mark.parametrize("kind", SCHEMAS)
def test_every_reference_leads_to_a_definition(kind: str) -> None:
    used = {each["$ref"] for _, each in subschemas(SCHEMAS[kind]) if "$ref" in each}
    assert used <= {f"#/$defs/{name}" for name in SCHEMAS[kind]["$defs"]}


def test_a_test_file_takes_the_defaults_that_a_federation_takes() -> None:
    own, shared = SCHEMAS["test"]["$defs"], SCHEMAS["federation"]["$defs"]
    names = ["defaults"]
    for name in names:  # it grows
        assert own[name] == shared[name]
        used = re.findall(r"#/\$defs/(\w+)", json.dumps(own[name]))
        names += [each for each in dict.fromkeys(used) if each not in names]
    assert len(names) > 8


@pytest.mark.parametrize("kind", SCHEMAS)
def test_examples_and_defaults_fit(kind: str) -> None:
    for path, each in subschemas(SCHEMAS[kind]):
        whole = {
            "$ref": path,
            "$defs": SCHEMAS[kind]["$defs"],
            "properties": SCHEMAS[kind].get("properties", {}),
        }
        for value in [*each.get("examples", []), *([each["default"]] if "default" in each else [])]:
            if "/items/" not in path and "/then/" not in path:
                assert jsonschema_rs.Draft7Validator(whole).is_valid(value), f"{path}: {value}"


@pytest.mark.parametrize("kind", SCHEMAS)
def test_forms_that_the_explanations_rely_on(kind: str) -> None:
    for path, each in subschemas(SCHEMAS[kind]):
        assert "anyOf" not in each, path
        assert all(list(branch) == ["required"] and len(branch["required"]) == 1 for branch in each.get("oneOf", [])), (
            path
        )
        if "not" in each:
            assert len(each["not"]["required"]) == 2, path


def test_problems_come_in_the_order_of_the_file() -> None:
    text = "zzz: 1\nsteps:\n  b-c:\n    timeout: 30\n    task: {x: 1}\nv6flow: 3\n"
    lines = [int(problem.split(":")[1]) for problem in said(text)]
    assert lines == sorted(lines)
    assert len(lines) >= 5


def test_no_more_problems_than_anyone_reads() -> None:
    steps = "".join(f"  s{n}:\n    local: {{valeu: 1}}\n" for n in range(200))
    assert len(said(f"v6flow: 1\nsteps:\n{steps}")) == schema.MAX_PROBLEMS


def test_a_secret_is_never_repeated() -> None:
    text = "v6flow_federation: 1\nbackend: vantage6\nserver: https://x\ncollaboration: c\nusername: u\n"
    for line in ("password: hunter2", "password: 12345", "password: [hunter2]", "password: x${env:hunter2}"):
        (problem,) = said(f"{text}{line}\n", "federation")
        assert "hunter2" not in problem
        assert "12345" not in problem


def test_a_value_that_only_the_fast_validator_refuses_is_explained() -> None:
    (problem,) = said('v6flow: 1\nsteps:\n  a:\n    local: {value: 1}\n    timeout: "2h\\n"\n')
    assert "expected a duration" in problem


def test_a_remote_reference_in_a_schema_is_not_fetched() -> None:
    with pytest.raises((ValueError, jsonschema_rs.ReferencingError), match=r"127\.0\.0\.1"):
        schema.problems(parse("a: 1", "x"), {"$ref": "http://127.0.0.1:9/schema"})


def leaves(value: Any, path: tuple[str | int, ...] = ()) -> Iterator[tuple[str | int, ...]]:
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in items:
        yield (*path, key)
        yield from leaves(item, (*path, key))


VALUES = {
    name: parse((ROOT / f"tests/schemas/valid/{name}.yaml").read_bytes(), name).value
    for name in ("everything", "embedded", "server")
}
PLACES = [(name, path) for name, value in VALUES.items() for path in leaves(value)]
ODD = st.sampled_from(
    [None, True, 0, -1, 1.5, "", "x", "{{ x }}", "my-step", [], ["x", "x"], {}, {"x": 1}, {"min": 0}, 10**30]
)


@given(st.sampled_from(PLACES), ODD, st.sampled_from(["replace", "rename", "remove"]))
def test_whatever_is_wrong_is_explained(place: tuple[str, tuple[str | int, ...]], value: Any, how: str) -> None:
    name, path = place
    whole = copy.deepcopy(VALUES[name])
    whole_schema = SCHEMAS["workflow" if name == "everything" else "federation"]
    holder: Any = whole
    for part in path[:-1]:
        holder = holder[part]
    if how == "replace" or isinstance(holder, list):
        holder[path[-1]] = value
    else:
        item = holder.pop(path[-1])
        if how == "rename":
            holder[f"{path[-1]}x"] = item
    found = parse(json.dumps(whole), "x")
    problems = schema.problems(found, whole_schema)
    assert bool(problems) != jsonschema_rs.Draft7Validator(whole_schema).is_valid(whole)
    for problem in problems:
        assert problem.rule != "schema", f"no words for {value!r} at {path}"
        assert "does not fit" not in problem.message
        assert "valid under" not in problem.message


@pytest.mark.parametrize(
    ("fragment", "value", "sentence"),
    [
        ({"type": "integer"}, "3", "expected a whole number, got text"),
        ({"type": ["string", "null"]}, 3, "expected text or null, got a number"),
        ({"type": "integer", "minimum": 3}, 2, "expected a number from 3, got 2"),
        ({"maximum": 3}, 4, "expected a number up to 3, got 4"),
        ({"exclusiveMinimum": 3}, 3, "expected a number above 3, got 3"),
        ({"exclusiveMaximum": 3}, 3, "expected a number below 3, got 3"),
        ({"multipleOf": 2}, 3, "expected a multiple of 2, got 3"),
        ({"enum": ["a", "b"]}, "c", 'expected a or b, got "c"'),
        ({"const": 1}, 2, "expected 1, got 2"),
        ({"pattern": "^[a-z]+$"}, "A", 'expected text that matches ^[a-z]+$, got "A"'),
        ({"format": "date"}, "yesterday", 'expected text of the form date, got "yesterday"'),
        ({"minLength": 2}, "a", "expected 2 characters or more"),
        ({"maxLength": 1}, "ab", "expected at most 1 characters"),
        ({"minItems": 1}, [], "the list is empty"),
        ({"maxItems": 1}, [1, 2], "expected at most 1 items"),
        ({"uniqueItems": True}, [1, 1], "[1]: 1 is in the list twice"),
        ({"items": {"type": "string"}}, ["a", 3], "[1]: expected text, got a number"),
        ({"required": ["a"]}, {}, "expected a mapping with a"),
        ({"properties": {"a": {"type": "string"}}}, {"a": 1}, ".a: expected text, got a number"),
        ({"additionalProperties": False}, {"a": 1}, "the mapping has keys that are not allowed"),
    ],
)
def test_param_values(fragment: dict[str, Any], value: Any, sentence: str) -> None:
    (problem,) = schema.param_problems("x", fragment, value)
    assert problem.startswith("param x")
    assert sentence in problem


@pytest.mark.parametrize(
    ("fragment", "value"),
    [
        ({}, None),
        ({"type": "number"}, 1),
        ({"type": "integer"}, 10**400),
        ({"pattern": "b"}, "abc"),
        ({"format": "date"}, "2024-01-01"),
        ({"items": {"$ref": "#/definitions/a"}, "definitions": {"a": {"type": "string"}}}, ["x"]),
        ({"properties": {"$ref": {"type": "string"}}}, {"$ref": "x"}),
        ({"default": {"$ref": "https://127.0.0.1:9/"}}, 1),
    ],
)
def test_param_values_that_fit(fragment: dict[str, Any], value: Any) -> None:
    assert schema.param_problems("x", fragment, value) == []


def test_a_catastrophic_pattern_is_matched_in_linear_time() -> None:
    text = "a" * 50_000 + "b"  # 2 ** 50000 steps for an engine that goes back
    (problem,) = schema.param_problems("x", {"pattern": "^(a+)+$"}, text)
    assert len(problem) < 200


@pytest.mark.parametrize(
    ("fragment", "sentence"),
    [
        ({"type": "text"}, "type is no sound schema"),
        ({"minimum": "a"}, "minimum is no sound schema"),
        ({"items": {"minLength": -1}}, "items is no sound schema"),
        ({"pattern": "("}, 'the pattern "(" cannot be used'),
        ({"items": {"pattern": "(?=a)"}}, 'the pattern "(?=a)" cannot be used'),
        ({"pattern": r"(a)\1"}, "cannot be used"),
        ({"pattern": "((a{1000}){1000}){1000}"}, "cannot be used"),
        ({"$ref": "https://127.0.0.1:9/x"}, "nothing is fetched"),
        ({"$ref": "file:///etc/hostname"}, "nothing is fetched"),
        ({"items": [{"$ref": "other.json#/a"}]}, "nothing is fetched"),
        ({"$id": "file:///etc/", "type": "string"}, "nothing is fetched"),
        ({"$schema": "https://127.0.0.1:9/schema"}, "nothing is fetched"),
        ({"$ref": "#/definitions/nothing"}, "no sound schema"),
    ],
)
def test_unsound_fragments(fragment: dict[str, Any], sentence: str) -> None:
    (problem,) = schema.fragment_problems(fragment)
    assert sentence in problem
    with pytest.raises(ValueError, match=r"."):
        schema.param_problems("x", fragment, 1)


def test_a_fragment_that_refers_to_itself_ends() -> None:
    fragment = {"$ref": "#/definitions/a", "definitions": {"a": {"allOf": [{"$ref": "#/definitions/a"}]}}}
    assert schema.fragment_problems(fragment) == []
    assert schema.param_problems("x", fragment, 1) == []


def test_a_value_that_is_no_unicode() -> None:
    (problem,) = schema.param_problems("x", {"type": "string"}, "\ud800")
    assert "cannot be checked" in problem


def test_long_values_are_cut() -> None:
    (problem,) = schema.param_problems("x", {"enum": ["a"]}, "b" * 1000)
    assert len(problem) < 120


KEYWORDS = st.sampled_from(["type", "enum", "minimum", "pattern", "items", "$ref", "properties"])
FRAGMENTS = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(KEYWORDS, inner),
)


@given(FRAGMENTS)
def test_any_fragment_is_sound_or_refused(fragment: Any) -> None:
    if isinstance(fragment, dict) and not schema.fragment_problems(fragment):
        assert isinstance(schema.param_problems("x", fragment, "text"), list)
