"""Templates: nested values, the paths they name, and what is not known yet."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import pytest
from expression_scope import LATER, Names, scope, value

from v6flow.core import expressions
from v6flow.core.expressions import ExpressionError, NotKnownYet, Reference, Undefined


def test_nested_value_is_judged_leaf_by_leaf() -> None:
    source = {
        "a": ["{{ params.one }}", {"b": "x{{ params.one }}"}],
        "c": "plain",
        "d": [1, None, [True]],
        "e": {},
    }
    template = expressions.compile(source)
    assert template.render(scope()) == {"a": [1, {"b": "x1"}], "c": "plain", "d": [1, None, [True]], "e": {}}
    assert source["a"] == ["{{ params.one }}", {"b": "x{{ params.one }}"}]
    assert not template.literal
    assert not template.whole
    assert template.source is source


def test_lists_are_not_flattened() -> None:
    assert expressions.compile(["{{ params.list }}", "{{ params.list }}"]).render(scope()) == [
        [3, 1, 2],
        [3, 1, 2],
    ]


@pytest.mark.parametrize("source", [None, True, 0, 1.5, "", "text", "{ single }", [], {}, {"a": ["b", {"c": 1}]}])
def test_literal(source: Any) -> None:
    template = expressions.compile(source)
    assert template.literal
    assert not template.whole
    assert template.references == ()
    assert template.render({}) is source


@pytest.mark.parametrize(
    ("source", "whole"),
    [
        ("{{ params.a }}", True),
        (" {{ params.a + 1 }}\n", True),
        ("{{ '}}' }}", True),
        ("{{ '{{' }}", True),
        ("{{ params.a }} {{ params.b }}", False),
        ("{{ params.a }}.", False),
        ("-{{ params.a + 1 }}", False),
        ("", False),
        (["{{ params.a }}"], False),
        ({"a": "{{ params.a }}"}, False),
    ],
)
def test_whole(source: Any, whole: bool) -> None:
    assert expressions.compile(source).whole is whole


REFERENCES: list[tuple[str, list[tuple[object, ...]]]] = [
    ("{{ params.a }}", [("params", ("a",), False)]),
    ("{{ params }}", [("params", (), False)]),
    ("{{ steps.s['result'][0].x }}", [("steps", ("s", "result", 0, "x"), False)]),
    ("{{ steps.s.results[-1] }}", [("steps", ("s", "results", -1), False)]),
    ("{{ steps.s . result [ 0 ] }}", [("steps", ("s", "result", 0), False)]),
    ("{{ 1 + params.a * params.b }}", [("params", ("a",), False), ("params", ("b",), False)]),
    ("{{ 'params.a' }}", []),
    ("{{ {'params': 1}.params }}", []),
    ("params.a {{ params.b }}", [("params", ("b",), False)]),
    ("{{ params.a | default(params.b) }}", [("params", ("a",), True), ("params", ("b",), False)]),
    ("{{ default(params.a.b, 1) }}", [("params", ("a", "b"), True)]),
    (
        "{{ params.a | default(params.b) | default(3) }}",
        [("params", ("a",), True), ("params", ("b",), True)],
    ),
    ("{{ params.a is defined }}", [("params", ("a",), True)]),
    ("{{ params.a is not defined }}", [("params", ("a",), True)]),
    ("{{ params.a is undefined }}", [("params", ("a",), True)]),
    ("{{ params.a is none }}", [("params", ("a",), False)]),
    ("{{ (params.a + 1) | default(2) }}", [("params", ("a",), False)]),
    ("{{ sum(params.a) | default(2) }}", [("params", ("a",), False)]),
    (
        "{{ default(params.a if params.b else params.c, 0) }}",
        [("params", ("a",), True), ("params", ("b",), False), ("params", ("c",), True)],
    ),
    (
        "{{ steps.s.by_organization[params.o].n }}",
        [("steps", ("s", "by_organization", None), False), ("params", ("o",), False)],
    ),
    (
        "{{ steps.s.by_organization[params.o] | default(0) }}",
        [("steps", ("s", "by_organization", None), True), ("params", ("o",), False)],
    ),
    ("{{ steps.s.results[0:params.n] }}", [("steps", ("s", "results"), False), ("params", ("n",), False)]),
    ("{{ params['a\\u0062'] }}", [("params", ("ab",), False)]),
    ("{{ sum(params.rows, attribute='n') }}", [("params", ("rows",), False)]),
]


@pytest.mark.parametrize(("text", "expected"), REFERENCES)
def test_references(text: str, expected: list[tuple[object, ...]]) -> None:
    template = expressions.compile(text)
    assert template.errors == ()
    assert [(each.root, each.path, each.guarded) for each in template.references] == expected


def test_references_know_their_leaf() -> None:
    template = expressions.compile({"a": [0, "{{ params.x }}"], "b": "{{ run.id }}"})
    assert template.references == (
        Reference("params", ("x",), ("a", 1), False),
        Reference("run", ("id",), ("b",), False),
    )


def test_what_is_not_known_yet() -> None:
    later = expressions.compile(
        {"a": "{{ steps.partial.later }}", "b": "{{ params.one }}", "c": "n={{ steps.partial.later.x }}"}
    )
    with pytest.raises(NotKnownYet):
        later.render(scope())
    assert later.render(scope(), unknown=lambda text: f"<{text}>") == {
        "a": "<{{ steps.partial.later }}>",
        "b": 1,
        "c": "<n={{ steps.partial.later.x }}>",
    }


@pytest.mark.parametrize("text", ["{{ default(steps.partial.later, 0) }}", "{{ steps.partial.later is defined }}"])
def test_default_does_not_cover_what_is_not_known_yet(text: str) -> None:
    with pytest.raises(NotKnownYet):
        expressions.compile(text).render(scope())


def test_names_that_are_not_used_are_not_asked_for() -> None:
    step = Names(a=1, b=LATER)
    text = "{{ steps.s.a if params.yes else steps.s.b }}"
    assert expressions.compile(text).render({"steps": Names(s=step), "params": {"yes": True}}) == 1
    assert step.asked == ["a"]


def test_fault_names_its_leaf() -> None:
    with pytest.raises(ExpressionError) as caught:
        expressions.compile([{"a": "x {{ params.q }}"}]).render(scope())
    error = caught.value
    assert (error.at, error.offset, error.rule) == ((0, "a"), 5, "expression-undefined")
    assert str(error) == error.message == "params has no key 'q'"


@pytest.mark.parametrize(
    "foreign",
    [
        object(),
        {1: "a"},
        {"a": {1, 2}},
        [b"bytes"],
        [Undefined("why")],
        {"a": [Names()]},
        1j,
        Undefined("why"),
    ],
)
def test_foreign_objects_do_not_come_out(foreign: object) -> None:
    for text in ("{{ this }}", "{{ [this] }}"):
        with pytest.raises(ExpressionError):
            expressions.compile(text).render({"this": foreign})


def test_tuples_are_lists_to_functions() -> None:
    roots = {"this": {"names": ("a", "b"), "deep": [("c",)]}}
    for text, expected in (
        ("{{ this.names | join }}", "ab"),
        ("{{ this.deep[0] | first }}", "c"),
        ("{{ this.deep[1 - 1] + ['d'] }}", ["c", "d"]),
        ("{{ this.names == ['a', 'b'] }}", True),
    ):
        assert expressions.compile(text).render(roots) == expected


def test_tuples_become_lists() -> None:
    found = expressions.compile("{{ this }}").render({"this": {"a": (1, (2,))}})
    assert found == {"a": [1, [2]]}


def test_one_template_many_scopes() -> None:
    template = expressions.compile("{{ params.a + 1 }}")
    assert [template.render({"params": {"a": number}}) for number in (1, 2.5)] == [2, 3.5]


def test_texts_with_other_line_ends_are_kept() -> None:
    assert value("a\r\n{{ params.one }}\r\n\n") == "a\r\n1\r\n\n"


def test_plain_paths_need_no_jinja() -> None:
    code = (
        "import sys\n"
        "from v6flow.core import expressions\n"
        "t = expressions.compile(['{{ params.a[\"b\"][0] }}', 'plain', {'a': ' {{ steps.s.result }} '}])\n"
        "assert t.references and not t.errors\n"
        "before = 'jinja2' in sys.modules\n"
        "assert expressions.compile('{{ params.a + 1 }}').render({'params': {'a': 1}}) == 2\n"
        "print(before, 'jinja2' in sys.modules)\n"
    )
    ran = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
        env={"PYTHONPATH": ":".join(sys.path)},
    )
    assert ran.stdout.split() == ["False", "True"]


def test_results_are_json() -> None:
    found = value("{{ [zip([1], [2]), range(2), (1, 2), params.map | keys, params.rows | groupby('g')] }}")
    assert json.loads(json.dumps(found)) == found
