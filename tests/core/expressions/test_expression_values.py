"""What expressions come to."""

from __future__ import annotations

from typing import Any

import pytest
from expression_scope import ROWS, value

WHOLE: list[tuple[str, Any]] = [
    # a scalar that is one expression has its value and its type
    ("{{ params.one }}", 1),
    ("  {{params.half}}\n", 0.5),
    ("{{ params.null }}", None),
    ("{{ params.yes }}", True),
    ("{{ params.list }}", [3, 1, 2]),
    ("{{ params.rows }}", ROWS),
    ("{{ '}}' }}", "}}"),
    ("{{ '{{' }}", "{{"),
    ("{{ '{%' }}", "{%"),
    ("{{ params.braces }}", "{{ 7*7 }}"),
    ("{{ {'a': {'b': 1}} }}", {"a": {"b": 1}}),
    ("{{ {'a': {'b': 1}}}}", {"a": {"b": 1}}),
    # other texts have theirs filled in
    ("{{ params.one }} {{ params.half }}", "1 0.5"),
    ("{{ params.one }}{{ params.one }}", "11"),
    ("n={{ params.one }}", "n=1"),
    ("n={{ params.yes }}, {{ params.no }}", "n=true, false"),
    ("{{ 1e-6 }} {{ 0.1 + 0.2 }} {{ 1.0 }}", "1e-06 0.30000000000000004 1.0"),
    ("a {{ '{{' }} b", "a {{ b"),
    ("x{{ params.braces }}", "x{{ 7*7 }}"),
    ("{{ params.text }}s", "ages"),
    ("{ {{ params.one }} }", "{ 1 }"),
    ("no expression", "no expression"),
    ("{single} {braces}", "{single} {braces}"),
    # literals
    ("{{ 5 }}", 5),
    ("{{ 1.50 }}", 1.5),
    ("{{ 1E3 }}", 1000.0),
    ("{{ true }}", True),
    ("{{ False }}", False),
    ("{{ none }}", None),
    ('{{ "it\'s" }}', "it's"),
    (r"{{ 'a\n\t\\\'é\/' }}", "a\n\t\\'é/"),
    ("{{ [1, 'a', [none]] }}", [1, "a", [None]]),
    ("{{ (1, 2) }}", [1, 2]),
    ("{{ () }}", []),
    ("{{ {} }}", {}),
    ("{{ {params.text: 1} }}", {"age": 1}),
    # paths
    ("{{ params['one'] }}", 1),
    ('{{ params["one"] }}', 1),
    ("{{ params.map.k.z }}", 1),
    ("{{ params.map['x y'] }}", 5),
    ("{{ params.map.items }}", 7),
    ("{{ params.map._under }}", 8),
    ("{{ params.map['1'] }}", 9),
    ("{{ params . map . k }}", {"z": 1}),
    ("{{ params.list[0] }}", 3),
    ("{{ params.list[-1] }}", 2),
    ("{{ params.list[params.one] }}", 1),
    ("{{ params.list[1:] }}", [1, 2]),
    ("{{ params.list[:-1] }}", [3, 1]),
    ("{{ params.list[::-1] }}", [2, 1, 3]),
    ("{{ params.text[0] }}", "a"),
    ("{{ params.text[1:2] }}", "g"),
    ("{{ (params.map).k.z }}", 1),
    ("{{ [1, 2][1] }}", 2),
    ("{{ {'a': 3}.a }}", 3),
    ("{{ (params.rows | first).n }}", 1),
    ("{{ steps.partial.result.mean }}", 2.5),
    ("{{ steps['partial'].result.items }}", [1]),
    ("{{ steps.partial.result.values }}", "v"),
    ("{{ steps.partial.by_organization['St. Alpha'] }}", 2),
    ("{{ steps.partial.by_organization['al' ~ 'pha'] }}", 1),
    ("{{ steps.partial.responded }}", ["alpha", "beta"]),
    ("{{ steps.partial.results[1].n }}", 2),
    # arithmetic
    ("{{ 1 + 2 * 3 - 4 }}", 3),
    ("{{ (1 + 2) * 3 }}", 9),
    ("{{ 7 / 2 }}", 3.5),
    ("{{ 6 / 2 }}", 3.0),
    ("{{ -7 // 2 }}", -4),
    ("{{ -7 % 3 }}", 2),
    ("{{ 2 ** 10 }}", 1024),
    ("{{ 2 ** -1 }}", 0.5),
    ("{{ (-2) ** 2 }}", 4),
    ("{{ -params.one }}", -1),
    ("{{ +params.half }}", 0.5),
    ("{{ - - 3 }}", 3),
    ("{{ 'a' + 'b' }}", "ab"),
    ("{{ [1] + [2] }}", [1, 2]),
    ("{{ 10 ** 999 }}", 10**999),
    # texts
    ("{{ 'n=' ~ 1 ~ true ~ 0.5 ~ 'x' }}", "n=1true0.5x"),
    ("{{ 'n' ~ params.list | length }}", "n3"),
    # comparisons
    ("{{ 1 == 1.0 }}", True),
    ("{{ 1 == true }}", False),
    ("{{ [1] == [true] }}", False),
    ("{{ [1, {'a': none}] == [1.0, {'a': none}] }}", True),
    ("{{ 'a' != 'b' }}", True),
    ("{{ 1 < 2 <= 2 < 3 }}", True),
    ("{{ 1 < 2 > 5 }}", False),
    ("{{ 'a' < 'b' }}", True),
    ("{{ 2 >= 3 }}", False),
    ("{{ 1 in params.list }}", True),
    ("{{ true in [1] }}", False),
    ("{{ 'x y' in params.map }}", True),
    ("{{ 'ge' in params.text }}", True),
    ("{{ 9 not in params.list }}", True),
    # logic
    ("{{ not params.empty }}", True),
    ("{{ params.one and params.text }}", "age"),
    ("{{ params.empty or 'none' }}", "none"),
    ("{{ false and 1 / 0 }}", False),
    ("{{ true or params.missing }}", True),
    ("{{ not params.one == 2 }}", True),
    # choices: the branch that is not taken is not looked at
    ("{{ 1 if params.yes else params.missing }}", 1),
    ("{{ params.missing if params.no else 2 }}", 2),
    ("{{ 1 if false else 2 if false else 3 }}", 3),
    ("{{ 1 if params.yes else 1 / 0 }}", 1),
    # what is missing
    ("{{ params.missing | default(3) }}", 3),
    ("{{ params.missing.deeper['still'][0] | default(3) }}", 3),
    ("{{ default(params.map.k.none_such, 3) }}", 3),
    ("{{ default(other=3, value=params.q) }}", 3),
    ("{{ params.null | default(3) }}", None),
    ("{{ params.null.x | default(3) }}", 3),
    ("{{ params.list[7] | default(3) }}", 3),
    ("{{ params.map[params.text] | default(3) }}", 3),
    ("{{ params.q | default(params.r) | default(3) }}", 3),
    ("{{ default(params.q if true else 1, 3) }}", 3),
    ("{{ [] | first | default(3) }}", 3),
    ("{{ steps.partial.failed | default('none') }}", "none"),
    ("{{ steps.partial.failed.x.y | default('none') }}", "none"),
    ("{{ steps.nowhere.result | default('none') }}", "none"),
    ("{{ loop.index | default(1) }}", 1),
    ("{{ params.missing is defined }}", False),
    ("{{ params.missing is not defined }}", True),
    ("{{ params.a.b.c is undefined }}", True),
    ("{{ params.one is defined if true else 0 }}", True),
    ("{{ 1 if params.one is defined and params.null is none else 0 }}", 1),
    # tests
    ("{{ params.null is none }}", True),
    ("{{ params.one is not none }}", True),
    ("{{ params.one is number }}", True),
    ("{{ params.yes is number }}", False),
    ("{{ params.yes is boolean }}", True),
    ("{{ 1.5 is float }}", True),
    ("{{ 1 is integer }}", True),
    ("{{ 1.0 is integer }}", False),
    ("{{ 'a' is string }}", True),
    ("{{ params.list is list }}", True),
    ("{{ params.map is mapping }}", True),
    ("{{ params.text is list }}", False),
    # words that are keys behind a dot
    ("{{ {'not': 1, 'in': 2}.not }}", 1),
    ("{{ {'steps': 4}.steps }}", 4),
]


@pytest.mark.parametrize(("text", "expected"), WHOLE)
def test_value(text: str, expected: Any) -> None:
    found = value(text)
    assert found == expected
    assert type(found) is type(expected)


def test_what_an_expression_yields_is_shared_with_its_source_and_not_changed() -> None:
    assert value("{{ params.rows | sort(attribute='n') | map(attribute='n') }}") == [1, 3, 5]
    assert [row["n"] for row in ROWS] == [1, 5, 3]


def test_items_of_lists_keep_their_types() -> None:
    assert [type(item) for item in value("{{ [1, 1.0, true, '1', none] }}")] == [
        int,
        float,
        bool,
        str,
        type(None),
    ]
