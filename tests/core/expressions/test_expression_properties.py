"""What holds for every text, every value and every small sum."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from expression_scope import scope
from hypothesis import given, settings
from hypothesis import strategies as st

from v6flow.core import expressions
from v6flow.core.expressions import FUNCTIONS, ExpressionError, NotKnownYet
from v6flow.core.expressions import template as reading
from v6flow.core.expressions.values import Fault

if TYPE_CHECKING:
    from collections.abc import Callable

SCALARS = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False)
    | st.text(max_size=20)
    | st.sampled_from(["True", "007", "1_000", "[1,2]", "{{ 7*7 }}", "{% for %}", "null", "1e5", "}}", "None"])
)
JSON = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
    max_leaves=10,
)
PIECES = st.sampled_from(
    [
        "{{", "}}", "{%", "{#", "params", "steps", ".one", ".list", "[0]", "['x y']", "(", ")", "[", "]",
        "{", "}", "|", "sum", "default", "length", "is", "not", "defined", "none", "if", "else",
        "and", "or", "in", "1", "0.5", "'a'", '"b"', "'", '"', "+", "-", "*", "/", "//", "%",
        "**", "~", "==", "<", ",", ":", "=", ".", "\\", "\n", " x ", "_", "é", "0x", "1_0", "\0",
        "steps.partial", "params.map.k", "json", "attribute='n'",
    ]
)  # fmt: skip
PATHS = [
    "params.one", "params.half", "params.list", "params.map", "params.map['x y']", "params.rows",
    "params.list[0]", "params", "run.id", "steps", "steps.partial.result", "steps.partial.responded",
    "steps.partial.later", "steps['partial'].result.mean", "loop.index", "params.missing.x",
    "params.odd.n",
]  # fmt: skip
GRAMMAR = st.recursive(
    st.sampled_from([*PATHS, "1", "2.5", "'a'", "'params.one'", "none", "[]", "params .one", "params . list [0]"]),
    lambda inner: (
        st.tuples(inner, st.sampled_from(["+", "-", "*", "/", "**", "~", "==", "<", "in", "and", "or"]), inner).map(
            " ".join
        )
        | st.tuples(st.sampled_from(sorted(FUNCTIONS)), inner).map(lambda parts: f"{parts[0]}({parts[1]})")
        | st.tuples(inner, st.sampled_from(sorted(FUNCTIONS))).map(" | ".join)
        | st.tuples(inner, inner).map(lambda parts: f"({parts[0]}) | default({parts[1]})")
        | st.tuples(inner, inner, inner).map(lambda parts: f"({parts[0]} if {parts[1]} else {parts[2]})")
        | st.tuples(inner, inner).map(lambda parts: f"{parts[0]}[{parts[1]}]")
        | st.tuples(inner, st.sampled_from([".k", "[-1]", "[1:]", " is defined", " is not none"])).map("".join)
    ),
    max_leaves=6,
)


def same(a: Any, b: Any) -> bool:
    """Whether two values are equal with all their types."""
    return repr(a) == repr(b)


def rendered(template: expressions.Template, roots: dict[str, object]) -> Any:
    """What a template comes to, or the error that it comes to; any other exception is a bug."""
    try:
        return template.render(roots)
    except (ExpressionError, NotKnownYet) as error:
        return error


def check(text: str) -> None:
    """Read and evaluate a text: a value or our own errors, never another exception."""
    template = expressions.compile(text)
    assert all(0 <= error.offset <= len(text) and error.message for error in template.errors)
    found = rendered(template, scope())
    if isinstance(found, ExpressionError):
        assert 0 <= found.offset <= len(text)
        assert found.rule.startswith("expression-")
    elif isinstance(found, NotKnownYet):
        assert template.references
    else:
        assert template.errors == ()
        assert template.literal is ("{{" not in text)
        assert isinstance(found, (str, int, float, list, dict, type(None)))


@settings(max_examples=300, deadline=None)
@given(st.text(max_size=60))
def test_any_text(text: str) -> None:
    check(text)
    check(f"{{{{ {text} }}}}")


@settings(max_examples=600, deadline=None)
@given(st.lists(PIECES, max_size=12), st.sampled_from(["", " "]))
def test_any_pieces(pieces: list[str], between: str) -> None:
    inner = between.join(pieces)
    check(inner)
    check(f"{{{{ {inner} }}}}")


def outcome(text: str, read: Callable[[str], reading._Expression]) -> tuple[object, ...]:
    """All that can be seen of an expression that is read in one way or another."""
    try:
        expression = read(text)
    except Fault as fault:
        return fault.message, fault.rule, max(fault.offset, 0), fault.hint
    leaf = reading._Leaf(text, (), [expression], True)
    references = tuple(leaf.references())
    try:
        return repr(leaf.render(scope(), None)), references
    except ExpressionError as error:
        return error.message, error.rule, error.offset, error.hint, references
    except NotKnownYet as error:
        return str(error), references


@settings(max_examples=500, deadline=None)
@given(GRAMMAR | st.lists(PIECES, max_size=12).map("".join))
def test_slots_change_nothing(text: str) -> None:
    in_full = outcome(text, lambda text: reading._Expression(reading._read(text), (), 0, text))
    assert outcome(text, lambda text: reading._expression(text, 0)) == in_full


@settings(max_examples=200, deadline=None)
@given(JSON)
def test_a_value_comes_out_as_it_is(value: Any) -> None:
    roots = {"this": value, "params": {"x": value, "y z": [value]}}
    for text in (
        "{{ this }}",
        "{{ params.x }}",
        "{{ params['y z'][0] }}",
        "{{ [this] | first }}",
        "{{ this if true else 0 }}",
    ):
        assert same(expressions.compile(text).render(roots), value)
    assert same(expressions.compile({"a": ["{{ this }}"]}).render(roots), {"a": [value]})


@settings(max_examples=200, deadline=None)
@given(st.text(alphabet=st.characters(exclude_characters="{}", exclude_categories=["Cs"])), st.text())
def test_what_is_filled_in_is_never_read_again(around: str, value: str) -> None:
    assert expressions.compile(f"{around}|{{{{ this }}}}|").render({"this": value}) == f"{around}|{value}|"


@settings(max_examples=200, deadline=None)
@given(JSON)
def test_a_value_without_braces_is_literal(value: Any) -> None:
    template = expressions.compile(value)
    if "{" not in repr(value).replace("{'", "").replace("{}", "").replace('{"', "") and "}}" not in repr(value):
        assert template.literal
    if template.literal:
        assert template.render({}) is value


OPERATORS = ["+", "-", "*", "/", "//", "%", "**", "<", "<=", "==", "!=", ">"]


def arithmetic() -> st.SearchStrategy[tuple[str, str]]:
    """The text of an expression in our language and in Python."""
    numbers = st.integers(-9, 9).map(lambda number: (f"({number})", f"({number})")) | st.floats(-9, 9).map(
        lambda number: (f"({number!r})", f"({number!r})")
    )
    names = st.sampled_from([("params.a", "a"), ("params.b", "b")])
    return st.recursive(
        numbers | names,
        lambda inner: st.tuples(inner, st.sampled_from(OPERATORS), inner, st.booleans()).map(
            lambda parts: _combined(*parts)
        ),
        max_leaves=6,
    )


def _combined(left: tuple[str, str], operator: str, right: tuple[str, str], brackets: bool) -> tuple[str, str]:
    if operator in ("<", "<=", "==", "!=", ">"):  # as numbers, since a boolean is none here
        return tuple(f"(1 if {a} {operator} {b} else 0)" for a, b in zip(left, right, strict=True))  # type: ignore[return-value]  # two
    if operator == "**":
        return f"(({left[0]}) ** (params.a / 50))", f"(({left[1]}) ** (a / 50))"
    if brackets:
        return tuple(f"(({a}) {operator} ({b}))" for a, b in zip(left, right, strict=True))  # type: ignore[return-value]  # two
    return tuple(f"{a} {operator} {b}" for a, b in zip(left, right, strict=True))  # type: ignore[return-value]  # two


@settings(max_examples=400, deadline=None)
@given(arithmetic(), st.integers(-99, 99), st.floats(-99, 99))
def test_arithmetic_agrees_with_python(texts: tuple[str, str], a: int, b: float) -> None:
    ours, python = texts
    try:
        expected = eval(python, {"a": a, "b": b})
    except (ZeroDivisionError, OverflowError, TypeError):  # a type: Python goes on with complex numbers
        expected = None
    fine = type(expected) in (int, float) and math.isfinite(expected)
    found = rendered(expressions.compile(f"{{{{ {ours} }}}}"), {"params": {"a": a, "b": b}})
    if not fine or (type(expected) is int and abs(expected) >= 10**1000):
        assert isinstance(found, ExpressionError)
    elif isinstance(found, ExpressionError):
        on_the_way = ("not a real number", "not a finite number", "too large", "too many digits")
        assert any(part in found.message for part in on_the_way)
    else:
        assert same(found, expected)
