"""What an expression may cost: each refusal comes from a limit, not from waiting."""

from __future__ import annotations

import sys
from typing import Any

import pytest
from expression_scope import fault, read_fault, said, scope, value

from v6flow.core import expressions
from v6flow.core.expressions import limits
from v6flow.core.expressions.computation import Frame
from v6flow.core.expressions.evaluator import shape
from v6flow.core.expressions.parser import lex, parse

READING = [
    ("{{ 10**(10**8) }}", "the result of ** has too many digits"),
    ("{{ 9**9**9 }}", "a power of a power"),
    ("{{ (9**999)**999 }}", "the result of ** has too many digits"),
    ("{{ 10**999 * 10**999 }}", "the result of * has too many digits"),
    ("{{ 10**999 * 9 + 10**999 }}", "the result of + has too many digits"),
    ("{{ 2 ** -(10**999) }}", "too large"),
    ("{{ 1.5 ** 10**9 }}", "a power of a power"),
    ("{{ 1.5 ** (10**9) }}", "the result of ** is too large"),
    ("{{ 10**999 / 0.1 }}", "the result of / is too large"),
    (f"{{{{ {'9' * 1001} }}}}", "a number of 1001 digits"),
    ("{{ range(10**9) }}", f"more than {limits.MAX_RANGE} numbers"),
    ("{{ range(0, 10**9, 2) | length }}", f"more than {limits.MAX_RANGE} numbers"),
    ("{{ range(10**900) }}", f"more than {limits.MAX_RANGE} numbers"),
    (f"{{{{ {'(' * 200_000} }}}}", "nested deeper than 20"),
    (f"{{{{ {'[' * 21}{']' * 21} }}}}", "nested deeper than 20"),
    (f"{{{{ {'{' * 200_000}", "nested deeper than 20"),
    (f"{{{{ {'-' * 5_000}1 }}}}", "more than 100 signs"),
    (f"{{{{ {'not ' * 2_000}1 }}}}", "more than 100 signs"),
    (f"{{{{ {'1 if 1 else ' * 500}1 }}}}", "more than 100 signs"),
    (f"{{{{ {'+'.join('1' * 200)} }}}}", "nested deeper than 100 (take sum([…])"),
    (f"{{{{ params.a{' | abs' * 200} }}}}", "nested deeper than 100"),
    (f"{{{{ {' and '.join('1' * 200)} }}}}", "nested deeper than 100"),
    (f"{{{{ params.a + '{'x' * limits.MAX_LENGTH}' }}}}", f"longer than {limits.MAX_LENGTH}"),
    (f"{{{{ params['{'x' * limits.MAX_LENGTH}'] }}}}", f"longer than {limits.MAX_LENGTH}"),
    (f"{{{{ {' ' * limits.MAX_LENGTH}  ", f"longer than {limits.MAX_LENGTH}"),
]


@pytest.mark.parametrize(("text", "part"), READING, ids=range(len(READING)))
def test_refused_when_read(text: str, part: str) -> None:
    assert part in said(read_fault(text))


EVALUATING = [
    ("{{ params.one * 10**999 * 10**10 }}", "too many digits"),
    ("{{ (params.one + 9) ** (10**8) }}", "the result of ** has too many digits"),
    ("{{ range(params.one * 10**9) }}", "more than"),
    ("{{ params.big * params.big }}", "too many digits"),
    ("{{ params.half ** -(10**9) }}", "too large"),
    ("{{ range(100000) | sum(attribute='a') }}", "item [0] has a number"),
]


@pytest.mark.parametrize(("text", "part"), EVALUATING)
def test_refused_when_evaluated(text: str, part: str) -> None:
    assert expressions.compile(text).errors == ()
    assert part in said(fault(text))


# what uses up the steps that one evaluation has
DEAR = [
    "this | sum",
    "this | json",
    "this | join(',')",
    "this | sort",
    "this | unique",
    "this[:]",
    "this + this",
    "text ~ text",
    "text + text",
    "zip(this, this)",
    "{'a': this} | json",
    "text | json",
    "[text] | join",
    "this | map(attribute='x', default=0)",
    "this | selectattr('x', 'undefined')",
]


@pytest.mark.parametrize("text", DEAR)
def test_functions_and_operators_spend(text: str) -> None:
    tree = parse(lex(text.replace("text", "params") + "}}", 0)[0])
    frame = Frame({"this": list(range(50)), "params": "x" * 50}, steps=1_000)
    shape(tree).evaluate(frame)
    assert frame.steps <= 950


def test_an_expression_that_spends_too_much_is_refused() -> None:
    numbers: list[Any] = list(range(100_000))
    text = f"{{{{ [{', '.join(['sum(this)'] * 101)}] | length }}}}"
    template = expressions.compile(text)
    with pytest.raises(expressions.ExpressionError) as caught:
        template.render({"this": numbers})
    assert caught.value.rule == "expression-limit"
    assert "too many items" in caught.value.message


def test_long_texts_are_refused() -> None:
    half = "x" * (limits.MAX_TEXT // 2 + 1)
    for text in (
        "{{ this + this }}",
        "{{ this ~ this }}",
        "{{ this }}{{ this }}",
        "{{ [this, this] | join }}",
    ):
        with pytest.raises(expressions.ExpressionError) as caught:
            expressions.compile(text).render({"this": half})
        assert caught.value.rule == "expression-limit"


def test_a_long_text_passes_unchanged() -> None:
    long = "x" * (limits.MAX_TEXT + 1)
    assert expressions.compile("{{ this }}").render({"this": long}) is long


def test_a_dear_constant_is_not_tried_when_it_is_read() -> None:
    text = f"{{{{ [{', '.join(['sum(range(10000)) / 0'] * 3)}] }}}}"
    assert expressions.compile(text).errors == ()
    assert "division by zero" in said(fault(text))


def test_what_is_at_the_limits_passes() -> None:
    assert value(f"{{{{ {'[' * 20}{']' * 20} }}}}") is not None
    assert value(f"{{{{ {'+'.join('1' * 100)} }}}}") == 100
    assert value(f"{{{{ {'- ' * 100}1 }}}}" if limits.MAX_DEPTH > 100 else f"{{{{ {'- ' * 98}1 }}}}") == 1
    assert value(f"{{{{ {'9' * 1000} }}}}") == int("9" * 1000)
    assert len(value(f"{{{{ range({limits.MAX_RANGE}) }}}}")) == limits.MAX_RANGE
    assert value("{{ params.big }}") == scope()["params"]["big"]  # type: ignore[index]  # params is a mapping


def test_shapes_kept_are_bounded() -> None:
    from v6flow.core.expressions import template

    for number in range(limits.MAX_SHAPES + 50):
        expressions.compile(f"{{{{ params.a + {number} }}}}")
    assert template._shape.cache_info().currsize <= limits.MAX_SHAPES


def test_a_value_nested_too_deeply_is_refused() -> None:
    deep: Any = "{{ params.one }}"
    for _ in range(limits.MAX_LEAF_DEPTH + 1):
        deep = [deep]
    (error,) = expressions.compile(deep).errors
    assert error.rule == "expression-limit"


def test_a_stack_that_is_nearly_full_is_an_error_of_the_expression() -> None:
    text = f"{{{{ {'(' * 20}{'-' * 90}params.one{')' * 20} }}}}"

    def deeper(frames: int) -> Any:
        return deeper(frames - 1) if frames else expressions.compile(text)

    depth = 0
    frame: Any = sys._getframe()
    while frame:
        depth, frame = depth + 1, frame.f_back
    template = deeper(sys.getrecursionlimit() - depth - 150)
    assert [error.rule for error in template.errors] == ["expression-limit"]
    assert expressions.compile(text).errors == ()
