"""Every function of expressions, called and behind a `|`."""

from __future__ import annotations

import math
from typing import Any

import pytest
from expression_scope import fault, read_fault, said, value

from v6flow.core import expressions
from v6flow.core.expressions import FUNCTIONS, NotKnownYet

# name, first argument, further arguments, value
BOTH_WAYS: list[tuple[str, str, str, Any]] = [
    ("abs", "(-3)", "", 3),
    ("abs", "0.5", "", 0.5),
    ("min", "[3, 1, 2]", "", 1),
    ("min", "['b', 'a']", "", "a"),
    ("min", "3", "2.5", 2.5),
    ("min", "params.rows", "attribute='n'", {"n": 1, "g": "a"}),
    ("max", "[3, 1.5]", "", 3),
    ("max", "params.one", "10", 10),
    ("max", "params.rows", "attribute='n'", {"n": 5, "g": "b"}),
    ("sum", "[1, 2]", "", 3),
    ("sum", "[]", "", 0),
    ("sum", "[0.1, 0.1, 0.1, 0.1, 0.1, 0.1, 0.1, 0.1, 0.1, 0.1]", "", 1.0),
    ("sum", "[1e308, 1, -1e308]", "", 1.0),
    ("sum", "[9007199254740993, 0.0]", "", 9007199254740992.0),
    ("sum", "[9007199254740993, -9007199254740992.0]", "", 1.0),
    ("sum", "params.rows", "attribute='n'", 9),
    ("sum", "params.nested", "attribute='s.m'", 5),
    ("sum", "params.rows", "'n'", 9),
    ("mean", "[1, 2]", "", 1.5),
    ("mean", "[0.5, 0.25]", "", 0.375),
    ("mean", "params.rows", "attribute='n'", 3.0),
    ("dot", "[1, 2]", "[3, 4]", 11),
    ("dot", "[0.5, 2]", "[3, 4]", 9.5),
    ("length", "params.list", "", 3),
    ("length", "params.map", "", 5),
    ("length", "'abc'", "", 3),
    ("round", "2.5", "", 2),
    ("round", "3.5", "", 4),
    ("round", "2.345", "2", 2.35),
    ("round", "1.0", "0", 1.0),
    ("round", "1234", "-2", 1200),
    ("sqrt", "9", "", 3.0),
    ("log", "1", "", 0.0),
    ("log", "8", "2", 3.0),
    ("exp", "0", "", 1.0),
    ("zip", "[1, 2]", "[3, 4]", [[1, 3], [2, 4]]),
    ("range", "3", "", [0, 1, 2]),
    ("range", "1", "4", [1, 2, 3]),
    ("range", "5", "0, -2", [5, 3, 1]),
    ("keys", "params.map", "", ["k", "x y", "items", "_under", "1"]),
    ("values", "{'a': 1, 'b': [2]}", "", [1, [2]]),
    ("first", "params.list", "", 3),
    ("first", "'abc'", "", "a"),
    ("last", "params.list", "", 2),
    ("json", "{'a': [1, none, true, 'é\"']}", "", '{"a":[1,null,true,"é\\""]}'),
    ("json", "params.null", "", "null"),
    ("join", "['a', 1, 0.5, true]", "', '", "a, 1, 0.5, true"),
    ("join", "['a', 'b']", "", "ab"),
    ("join", "steps.partial.responded", "' and '", "alpha and beta"),
    ("sort", "[3, 1.5, 2]", "", [1.5, 2, 3]),
    ("sort", "['b', 'B', 'a']", "", ["B", "a", "b"]),
    ("sort", "params.list", "reverse=true", [3, 2, 1]),
    ("sort", "params.nested", "attribute='s.m', reverse=true", [{"s": {"m": 4}}, {"s": {"m": 1}}]),
    ("unique", "[2, 1, 2.0, true, '1', [1], [true], [1]]", "", [2, 1, True, "1", [1], [True]]),
    ("unique", "params.rows", "attribute='g'", [{"n": 1, "g": "a"}, {"n": 5, "g": "b"}]),
    ("default", "params.missing", "1", 1),
    ("default", "params.one", "2", 1),
    ("map", "params.rows", "attribute='g'", ["a", "b", "a"]),
    ("map", "params.rows", "attribute='q', default=0", [0, 0, 0]),
    ("map", "params.nested", "attribute='s.m'", [1, 4]),
    ("map", "[{'s.m': 1}]", "attribute='s.m'", [1]),
    ("map", "[[1, 2], [3, 4]]", "attribute=1", [2, 4]),
    ("selectattr", "params.rows", "'n', '>', 2", [{"n": 5, "g": "b"}, {"n": 3, "g": "a"}]),
    ("selectattr", "params.rows", "'n', 'ge', 5", [{"n": 5, "g": "b"}]),
    ("selectattr", "params.rows", "'g', '==', 'b'", [{"n": 5, "g": "b"}]),
    ("selectattr", "params.rows", "'g', 'not in', ['a']", [{"n": 5, "g": "b"}]),
    ("selectattr", "params.rows", "attribute='n', test='<', value=2", [{"n": 1, "g": "a"}]),
    ("selectattr", "[{'a': true}, {'a': 0}]", "'a'", [{"a": True}]),
    ("selectattr", "[{'a': 1}, {'b': 0}]", "'a', 'defined'", [{"a": 1}]),
    ("selectattr", "[{'a': 1}, {'b': 0}]", "'a', 'undefined'", [{"b": 0}]),
    ("selectattr", "[{'a': 1}, {'a': none}]", "'a', 'none'", [{"a": None}]),
    (
        "groupby",
        "params.rows",
        "'g'",
        [
            {"key": "a", "items": [{"n": 1, "g": "a"}, {"n": 3, "g": "a"}]},
            {"key": "b", "items": [{"n": 5, "g": "b"}]},
        ],
    ),
    ("groupby", "[{'a': 1}, {'a': true}]", "attribute='a'", [
        {"key": 1, "items": [{"a": 1}]}, {"key": True, "items": [{"a": True}]},
    ]),
    ("organization_ids", "['beta', 'alpha']", "", [7, 4]),
    ("organization_ids", "steps.partial.responded", "", [4, 7]),
    ("organization_ids", "'beta'", "", 7),
]  # fmt: skip


def ways(name: str, first: str, rest: str) -> tuple[str, str]:
    """A function called, and as a filter."""
    return (
        f"{{{{ {name}({first}{', ' * bool(rest)}{rest}) }}}}",
        f"{{{{ {first} | {name}{f'({rest})' if rest else ''} }}}}",
    )


@pytest.mark.parametrize(("name", "first", "rest", "expected"), BOTH_WAYS)
def test_function(name: str, first: str, rest: str, expected: Any) -> None:
    for text in ways(name, first, rest):
        found = value(text)
        assert found == expected
        assert type(found) is type(expected)


def test_every_function_has_a_case_and_a_line_that_begins_with_its_name() -> None:
    assert {case[0] for case in BOTH_WAYS} == set(FUNCTIONS)
    for name, function in FUNCTIONS.items():
        assert function.doc.startswith(f"{name}(")
        assert ": " in function.doc
        assert "\n" not in function.doc


# a call, a part of what is said
REFUSED: list[tuple[str, str]] = [
    ("abs('a')", "abs: not a number but a text"),
    ("abs(true)", "a boolean is no number"),
    ("min([])", "min: the list is empty"),
    ("max([])", "max: the list is empty"),
    ("max(3)", "max: not a list but a number"),
    ("min([1, 'a'])", "here are a number and a text"),
    ("min([true])", "here are a boolean"),
    ("max([[1], [2]])", "here are a list"),
    ("max([params.odd.n, 1])", "NaN has no place in an order"),
    ("min(params.rows)", "here are a mapping"),
    ("sum([1, none])", "sum: item [1] is null, not a number"),
    ("sum([1, true])", "item [1] is a boolean"),
    ("sum(params.rows)", "name a key: attribute='…'"),
    ("sum(params.rows, attribute='nn')", "item [0] has no key 'nn' (did you mean n?)"),
    ("sum(params.map)", "take its keys or its values"),
    ("sum('123')", "not a list but a text"),
    ("sum([1e308, 1e308])", "the sum is not a finite number"),
    ("sum([params.odd.n])", "the sum is nan, not a finite number"),
    ("sum([1], 2, 3)", "too many positional arguments"),
    ("mean([])", "mean: the list is empty"),
    ("mean([1, 'a'])", "item [1] is a text"),
    ("dot([1], [1, 2])", "the lists have 1 and 2 items"),
    ("dot([1], ['a'])", "item [0] is a text"),
    ("length(3)", "not a list, a mapping or a text but a number"),
    ("length()", "missing a required argument"),
    ("round('a')", "not a number but a text"),
    ("round(1.5, 'a')", "the digits are a whole number"),
    ("round(1.5, 401)", "between -400 and 400"),
    ("round(params.odd.i)", "the number is inf"),
    ("round(1.7e308, -308)", "too large"),
    ("sqrt(-1)", "sqrt: not defined for this number"),
    ("sqrt(none)", "not a number but null"),
    ("log(0)", "not defined for this number"),
    ("log(8, 1)", "not defined for this number"),
    ("exp(1000)", "too large"),
    ("exp(params.odd.i)", "the result is inf"),
    ("zip([1], [1, 2])", "the lists have 1 and 2 items"),
    ("zip([1], 2)", "not a list but a number"),
    ("range(1.5)", "not a whole number but a number"),
    ("range(0, 5, 0)", "the step is 0"),
    ("range('a')", "but a text"),
    ("keys([1])", "not a mapping but a list"),
    ("values(1)", "not a mapping but a number"),
    ("first([])", "first: there is nothing in a list that is empty"),
    ("last('')", "last: there is nothing in a text that is empty"),
    ("first(params.map)", "not a list or a text but a mapping"),
    ("json(steps.partial)", "is not a value"),
    ("join([1, none])", "item [1]: null has no text"),
    ("join([1], 2)", "the separator is a text"),
    ("join('abc')", "not a list but a text"),
    ("sort([1, 'a'])", "here are a number and a text"),
    ("sort([none])", "here are null"),
    ("sort([1], reverse=1)", "reverse is true or false"),
    ("sort([1], true)", "too many positional arguments"),
    ("unique({})", "not a list but a mapping"),
    ("default(params.missing)", "missing a required argument: 'other'"),
    ("default(params.missing, 0, true)", "too many positional arguments"),
    ("default(params.missing, params.gone)", "has no key 'gone'"),
    ("map(params.rows)", "missing a required argument: 'attribute'"),
    ("map(params.rows, 'abs')", "too many positional arguments"),
    ("map(params.rows, attribute=none)", "the attribute is null"),
    ("map(params.rows, attribute=1.5)", "an attribute is a key or a whole number"),
    ("map([1], attribute='n')", "item [0] has a number, not a mapping"),
    ("map([[1]], attribute=1)", "item [0] is a list and has no [1]"),
    ("selectattr(params.rows, 'n', '>>', 2)", "it has == != <"),
    ("selectattr(params.rows, 'n', 'deffined')", "did you mean defined?"),
    ("selectattr(params.rows, 'n', params.text, 2)", "there is no test 'age'"),
    ("selectattr(params.rows, 'n', '>')", "the test > takes a value"),
    ("selectattr(params.rows, 'n', 'none', 1)", "the test none takes no value"),
    ("selectattr(params.rows, 'n', '>', 'a')", "> compares two numbers or two texts"),
    ("selectattr(params.rows, 'q')", "item [0] has no key 'q'"),
    ("groupby(params.rows, 'q')", "item [0] has no key 'q'"),
    ("organization_ids(['alfa'])", "no organization 'alfa' (did you mean alpha?)"),
    ("organization_ids([4])", "an organization is named by a text"),
    ("organization_ids(4)", "not a list but a number"),
    ("sum([1], atribute='n')", "unexpected keyword argument 'atribute'"),
    ("sum([1], attribute='a', attribute='b')", "an argument is given twice"),
    ("sum(params.missing)", "has no key 'missing'"),
]


@pytest.mark.parametrize(("call", "part"), REFUSED)
def test_refused(call: str, part: str) -> None:
    assert part in said(fault(f"{{{{ {call} }}}}"))


@pytest.mark.parametrize("name", sorted(FUNCTIONS))
def test_misspelt_function_is_found_when_it_is_read(name: str) -> None:
    misspelt = f"{name[:-1]}q{name[-1]}" if len(name) > 3 else f"{name}m"
    for text in (f"{{{{ {misspelt}(params.a) }}}}", f"{{{{ params.a | {misspelt} }}}}"):
        error = read_fault(text)
        assert error.rule == "expression-function"
        assert "did you mean" in str(error.hint)
        assert text[error.offset :].startswith(misspelt)


def test_ids_that_nobody_knows_yet() -> None:
    template = expressions.compile("{{ organization_ids(['alpha']) }}")
    with pytest.raises(NotKnownYet):
        template.render({})


def test_sum_does_not_depend_on_the_order() -> None:
    numbers = [1e16, 1, -1e16, 0.25, 3]
    template = expressions.compile("{{ sum(params) }}")
    assert template.render({"params": numbers}) == template.render({"params": numbers[::-1]}) == math.fsum(numbers)
