"""What expressions refuse, and what they say then."""

from __future__ import annotations

import pytest
from expression_scope import fault, read_fault, said, value

from v6flow.core import expressions
from v6flow.core.expressions.names import HABITS

# a text, the rule, a part of what is said, the text at fault
READING: list[tuple[str, str, str, str]] = [
    # braces
    ("{% for x in y %}", "expression-refused", "{% is not part of this language", "{% for"),
    ("a {# c #}", "expression-refused", "{# is not part of this language", "{# c"),
    ("a }} b", "expression-syntax", "}} closes nothing (write {{ '}}' }}", "}} b"),
    ("{{ params.a", "expression-syntax", "{{ is never closed", "{{ params"),
    ("{{ params.a }", "expression-syntax", "the bracket } was never opened", "}"),
    ("{{ params.a }}}}", "expression-syntax", "}} closes nothing", "}}"),
    ("{{ }}", "expression-syntax", "nothing in it", " }}"),
    ("{{- params.a }}", "expression-refused", "cut white space", "- params"),
    ("{{+ params.a }}", "expression-refused", "cut white space", "+ params"),
    ("{{ params.a -}}", "expression-refused", "cut white space", "-}}"),
    ("{{ [params.a] -}}", "expression-refused", "cut white space", "-}}"),
    # tokens
    ("{{ params.a && 1 }}", "expression-syntax", "'&' has no meaning in an expression (write and)", "&&"),
    ("{{ !params.a }}", "expression-syntax", "write not", "!p"),
    ("{{ params.a ? 1 : 2 }}", "expression-syntax", "write a if b else c", "? 1"),
    ("{{ “a” }}", "expression-syntax", "straight quotes", "“"),
    ("{{ $a }}", "expression-syntax", "params.NAME", "$"),
    ("{{ 'a }}", "expression-syntax", "a text is never closed", "'a"),
    ("{{ 'a\\d' }}", "expression-syntax", "\\d means nothing", "\\d' }}"),
    ("{{ '\\ud800' }}", "expression-syntax", "means nothing", "\\ud800"),
    ("{{ '\\x41' }}", "expression-syntax", "means nothing", "\\x41"),
    ("{{ '\\N{DIGIT ONE}' }}", "expression-syntax", "means nothing", "\\N{"),
    ("{{ params.a \0 }}", "expression-syntax", "no meaning", "\0"),
    ("{{ 007 }}", "expression-syntax", "'007' is no number", "007"),
    ("{{ 1_000 }}", "expression-syntax", "'1_000' is no number", "1_000"),
    ("{{ 0x1F }}", "expression-syntax", "'0x1F' is no number", "0x1F"),
    ("{{ 1.params }}", "expression-syntax", "'1.params' is no number", "1.params"),
    ("{{ 12abc }}", "expression-syntax", "'12abc' is no number", "12abc"),
    ("{{ ٣ }}", "expression-syntax", "is no number", "٣"),
    ("{{ 1e400 }}", "expression-value", "too large to be finite", "1e400"),
    ("{{ (params.a }}", "expression-syntax", "the bracket ( is never closed", "(params"),
    ("{{ [1, (2] }}", "expression-syntax", "the bracket ( is never closed", "(2"),
    ("{{ params.a ) }}", "expression-syntax", "the bracket ) was never opened", ") }}"),
    # what Jinja reads otherwise than people do
    ("{{ params.new - params.old | abs }}", "expression-refused", "a filter beside -", "| abs"),
    ("{{ params.list | length + 1 }}", "expression-refused", "a filter beside +", "+ 1"),
    ("{{ params.a * params.b | abs }}", "expression-refused", "beside *", "| abs"),
    ("{{ params.a / params.b | abs }}", "expression-refused", "beside /", "| abs"),
    ("{{ params.a // params.b | abs }}", "expression-refused", "beside //", "| abs"),
    ("{{ params.a % params.b | abs }}", "expression-refused", "beside %", "| abs"),
    ("{{ params.a ** params.b | abs }}", "expression-refused", "beside **", "| abs"),
    ("{{ -params.a | abs }}", "expression-refused", "beside -", "| abs"),
    ("{{ [1, params.a - 2 | abs] }}", "expression-refused", "beside -", "| abs"),
    ("{{ (params.a + 1) - 2 | abs }}", "expression-refused", "beside -", "| abs"),
    ("{{ params.a + 1 is number }}", "expression-refused", "a test with `is` beside +", "is number"),
    ("{{ -2 ** 2 }}", "expression-refused", "a sign before a power", "** 2"),
    ("{{ 1 - -params.a ** 2 }}", "expression-refused", "a sign before a power", "** 2"),
    ("{{ 2 ** 3 ** 2 }}", "expression-refused", "a power of a power", "** 2"),
    ("{{ params.list.0 }}", "expression-refused", "not by .0 (write [0])", "0 }}"),
    ("{{ params.list.0.n }}", "expression-refused", "not by .0 (write [0])", "0.n"),
    ("{{ params.list. 1 }}", "expression-refused", "not by .1", "1 }}"),
    ("{{ ['a' 'b'] }}", "expression-refused", "two texts side by side", "'b'"),
    ("{{ 1 if params.a }}", "expression-refused", "an `if` without an `else`", "1 if"),
    # grammar
    ("{{ params.a params.b }}", "expression-syntax", "the expression has ended before 'params'", "params.b"),
    ("{{ params.a = 3 }}", "expression-syntax", "write == to compare", "= 3"),
    ("{{ 1 + }}", "expression-syntax", "unexpected 'the end of the expression'", ""),
    ("{{ * 1 }}", "expression-syntax", "unexpected '*'", "* 1"),
    ("{{ params. }}", "expression-syntax", "expected name", ""),
    ("{{ {1} }}", "expression-syntax", "expected token ':'", "} }}"),
    ("{{ params.a | 3 }}", "expression-syntax", "expected token 'name'", "3"),
    ("{{ if }}", "expression-syntax", "the word if cannot stand here", "if"),
    ("{{ params.a is devined }}", "expression-function", "did you mean defined?", "devined"),
    ("{{ params.a is number(1) }}", "expression-function", "takes no arguments", "is number"),
    ("{{ params.a is not not none }}", "expression-function", "there is no test", "is not"),
    ("{{ params.a is divisibleby 3 }}", "expression-function", "there is no test", "divisibleby"),
    # names
    ("{{ param.a }}", "expression-name", "did you mean params?", "param.a"),
    ("{{ 1 + Steps.a }}", "expression-name", "did you mean steps?", "Steps"),
    ("{{ null }}", "expression-name", "did you mean none?", "null"),
    ("{{ sum }}", "expression-name", "sum is a function (write sum(…)", "sum"),
    ("{{ xyzzy }}", "expression-name", "a path begins with params, steps", "xyzzy"),
    ("{{ {a: 1} }}", "expression-name", "unknown name a", "a: 1"),
    ("{{ steps }}", "expression-refused", "steps alone is not a value", "steps"),
    ("{{ steps | length }}", "expression-refused", "steps alone is not a value", "steps"),
    ("{{ steps[params.x].result }}", "expression-refused", "a step is named literally, not computed", "steps["),
    ("{{ 1 + steps[params.x].result }}", "expression-refused", "a step is named literally, not computed", "steps["),
    ("{{ steps['a' ~ 'b'].result }}", "expression-refused", "a step is named literally, not computed", "steps["),
    ("{{ steps[0].result }}", "expression-refused", "a step is named literally, not computed", "steps["),
    ("{{ steps[0:1] }}", "expression-refused", "steps alone is not a value", "steps["),
    # calls
    ("{{ params.list.append(1) }}", "expression-refused", "data has no methods", "params.list"),
    ("{{ params.map.items() }}", "expression-refused", "data has no methods", "params.map"),
    ("{{ sum([1])(2) }}", "expression-refused", "data has no methods", "sum"),
    ("{{ steps.a() }}", "expression-refused", "data has no methods", "steps.a"),
    ("{{ params() }}", "expression-function", "there is no function or filter params", "params"),
    ("{{ sum(*params.list) }}", "expression-refused", "written one by one", "sum"),
    ("{{ sum(**params.map) }}", "expression-refused", "written one by one", "sum"),
    ("{{ open('/etc/passwd') }}", "expression-function", "there is no function or filter open", "open"),
    ("{{ params.list[1, 2] }}", "expression-refused", "a subscript is one key", "["),
    # constants that cannot come to anything
    ("{{ 1 / 0 }}", "expression-value", "division by zero", "1 / 0"),
    ("{{ 1 % 0 }}", "expression-value", "division by zero", "1 % 0"),
    ("{{ 0 ** -1 }}", "expression-value", "zero to a negative power", "0 **"),
    ("{{ (-8) ** 0.5 }}", "expression-value", "not a real number", "-8)"),
    ("{{ 1e308 * 10 }}", "expression-value", "the result of * is inf, not a finite number", "1e308"),
    ("{{ 'a' + 1 }}", "expression-value", "write ~ to join texts with numbers", "'a'"),
    ("{{ 'ab' * 3 }}", "expression-value", "neither repeated nor formatted", "'ab'"),
    ("{{ '%d' % 3 }}", "expression-value", "neither repeated nor formatted", "'%d'"),
    ("{{ [0] * 3 }}", "expression-value", "* takes two numbers, not a list and a number", "[0]"),
    ("{{ true + 1 }}", "expression-value", "a boolean is no number", "true"),
    ("{{ none + 1 }}", "expression-value", "null and a number", "none"),
    ("{{ -'a' }}", "expression-value", "a sign stands before a number, not before a text", "-'a'"),
    ("{{ +true }}", "expression-value", "not before a boolean", "+true"),
    ("{{ 1 < 'a' }}", "expression-value", "< compares two numbers or two texts", "1 <"),
    ("{{ true < 2 }}", "expression-value", "a boolean and a number", "true"),
    ("{{ [1] < [2] }}", "expression-value", "a list and a list", "[1]"),
    ("{{ 1 in 5 }}", "expression-value", "in looks into a list", "1 in"),
    ("{{ 1 in 'a1' }}", "expression-value", "in looks for a text in a text, not for a number", "1 in"),
    ("{{ 'a' ~ none }}", "expression-value", "null has no text", "none"),
    ("{{ 'a' ~ [] }}", "expression-value", "| join", "[]"),
    ("{{ {'a': 1, 'a': 2} }}", "expression-value", "the key 'a' is in one mapping twice", "'a': 2"),
    ("{{ {1: 2} }}", "expression-value", "a mapping's key is a text, not a number", "1: 2"),
    ("{{ [1][0.5] }}", "expression-value", "an item's number is a whole number", "0.5"),
    ("{{ [1][true] }}", "expression-value", "an item's number is a whole number", "true"),
    ("{{ [1]['a':] }}", "expression-value", "bounds of a slice are whole numbers", "[1]"),
    ("{{ [1][::0] }}", "expression-value", "the step of a slice is 0", "[1]"),
    ("{{ {}[1:] }}", "expression-value", "a slice is taken of a list or a text", "{}"),
    # ways out that other engines left open
    ("{{ ''.__class__ }}", "expression-undefined", "a text and has no key '__class__'", "''"),
    ("{{ ''['__class__'] }}", "expression-undefined", "has no key '__class__'", "''"),
    ("{{ [].__class__.__mro__ }}", "expression-undefined", "has no key '__class__'", "[]"),
    ("{{ ''.__class__.__mro__[1].__subclasses__() }}", "expression-refused", "data has no methods", "''"),
    ("{{ '{0.__class__}'.format(1) }}", "expression-refused", "data has no methods", "'{0"),
    ("{{ cycler.__init__.__globals__ }}", "expression-name", "unknown name cycler", "cycler"),
    ("{{ lipsum }}", "expression-name", "unknown name lipsum", "lipsum"),
    ("{{ self }}", "expression-name", "unknown name self", "self"),
    ("{{ namespace() }}", "expression-function", "no function or filter namespace", "namespace"),
    ("{{ config }}", "expression-name", "unknown name config", "config"),
    ("{{ joiner }}", "expression-name", "unknown name joiner", "joiner"),
    ("{{ [1] | attr('pop') }}", "expression-function", "no function or filter attr", "attr"),
    ("{{ 'a' | format(1) }}", "expression-function", "no function or filter format", "format"),
    ("{{ 'a' | center(100000000) }}", "expression-function", "no function or filter center", "center"),
]


@pytest.mark.parametrize(("text", "rule", "part", "at"), READING)
def test_refused_when_read(text: str, rule: str, part: str, at: str) -> None:
    error = read_fault(text)
    assert error.rule == rule
    assert part in said(error)
    assert text[error.offset :].startswith(at)
    assert fault(text).message == error.message


# a text, the rule, a part of what is said, the text at fault
EVALUATING: list[tuple[str, str, str, str]] = [
    ("{{ params.ones }}", "expression-undefined", "params has no key 'ones' (did you mean one?)", "params"),
    ("{{ params.map.q.z }}", "expression-undefined", "params.map has no key 'q'", "params"),
    (
        "{{ params.map['x z'] }}",
        "expression-undefined",
        "params.map has no key 'x z' (did you mean x y?)",
        "params",
    ),
    ("{{ params.map[0] }}", "expression-undefined", "a mapping's keys are texts: ['0']", "params"),
    ("{{ params.map[none] }}", "expression-value", "a mapping's key is a text, not null", "none"),
    ("{{ params.map.__class__ }}", "expression-undefined", "params.map has no key '__class__'", "params"),
    (
        "{{ params.text.upper }}",
        "expression-undefined",
        "params.text is a text and has no key 'upper'",
        "params",
    ),
    ("{{ params.rows.n }}", "expression-undefined", "what all items have by map(attribute='…')", "params"),
    ("{{ params.list[3] }}", "expression-undefined", "has 3 items, and no [3]", "params"),
    ("{{ params.list[-4] }}", "expression-undefined", "has 3 items, and no [-4]", "params"),
    ("{{ params.one.x }}", "expression-undefined", "params.one is a number and has no key 'x'", "params"),
    ("{{ params.null.x }}", "expression-undefined", "params.null is null and has no key 'x'", "params"),
    ("{{ params.rows[0].m }}", "expression-undefined", "params.rows[0] has no key 'm'", "params"),
    ("{{ params.list[params.list[0]] }}", "expression-undefined", "params.list has 3 items", "params"),
    (
        "{{ loop.index }}",
        "expression-undefined",
        "loop is not known here: known are params, run, steps",
        "loop",
    ),
    ("{{ run.idd }}", "expression-undefined", "there is no idd (did you mean id?)", "run"),
    ("{{ run.__init__ }}", "expression-undefined", "there is no __init__", "run"),
    ("{{ run.values }}", "expression-undefined", "there is no values", "run"),
    ("{{ run[0] }}", "expression-undefined", "run has names, and no item [0]", "run"),
    ("{{ steps.partial.failed }}", "expression-undefined", "step broken failed", "steps"),
    ("{{ 1 + steps.partial.failed.x }}", "expression-undefined", "step broken failed", "steps"),
    (
        "{{ steps.partial }}",
        "expression-value",
        "a group of names is not a value (name one of its own: by_org",
        "steps",
    ),
    (
        "{{ [run] }}",
        "expression-value",
        "a group of names is not a value (name one of its own: id, name)",
        "[run]",
    ),
    ("{{ {'a': run} }}", "expression-value", "is not a value", "{'a'"),
    ("{{ run | json }}", "expression-value", "is not a value", "json"),
    ("{{ run == run }}", "expression-value", "a group of names cannot be compared", "run"),
    ("{{ 1 if run else 2 }}", "expression-value", "neither true nor false", "run"),
    ("{{ params.missing or 1 }}", "expression-undefined", "has no key 'missing'", "params"),
    ("{{ 1 and params.missing }}", "expression-undefined", "has no key 'missing'", "params.m"),
    ("{{ not params.missing }}", "expression-undefined", "has no key 'missing'", "params"),
    ("{{ [1, params.missing] }}", "expression-undefined", "has no key 'missing'", "params"),
    ("{{ params.missing is none }}", "expression-undefined", "has no key 'missing'", "params"),
    ("{{ (params.missing + 1) | default(0) }}", "expression-undefined", "has no key 'missing'", "params"),
    ("{{ params.odd.n + 1 }}", "expression-value", "the result of + is nan, not a finite number", "params"),
    ("{{ params.odd.n < 1 }}", "expression-value", "< cannot compare with NaN", "params"),
    ("{{ params.odd.i - params.odd.i }}", "expression-value", "is nan", "params"),
    ("{{ params.one / (params.one - 1) }}", "expression-value", "division by zero", "params"),
    ("n={{ params.null }}", "expression-value", "null has no text", "params"),
    (
        "n={{ params.list }}",
        "expression-value",
        "a list has no text of its own (write `| join(', ')` or `| json`)",
        "params",
    ),
    ("n={{ params.map }}", "expression-value", "| json", "params"),
    ("n={{ params.odd.n }}", "expression-value", "nan is not a finite number", "params"),
    ("n={{ run }}", "expression-value", "is not a value", "run"),
    ("a {{ params.one }} {{ params.missing }}", "expression-undefined", "has no key 'missing'", "params.m"),
    (
        "{{ params.one + params.list[0] - params.missing }}",
        "expression-undefined",
        "has no key 'missing'",
        "params.m",
    ),
]


@pytest.mark.parametrize(("text", "rule", "part", "at"), EVALUATING)
def test_refused_when_evaluated(text: str, rule: str, part: str, at: str) -> None:
    assert expressions.compile(text).errors == ()
    error = fault(text)
    assert error.rule == rule
    assert part in said(error)
    assert text[error.offset :].startswith(at)


# what is allowed beside what is refused
SIDE_BY_SIDE = [
    ("{{ (1 - 3) | abs }}", 2),
    ("{{ 1 - (-3 if false else 3 | abs) }}", -2),
    ("{{ [1 - 2, [1] | length] }}", [-1, 1]),
    ("{{ [1] | length == 3 - 2 }}", True),
    ("{{ {'a': 1 - 2, 'b': [1] | length} }}", {"a": -1, "b": 1}),
    ("{{ 2 - 1 if [1] | length else 0 }}", 1),
    ("{{ 2 ** 3 * 2 ** 2 }}", 32),
    ("{{ 3 - 2 ** 2 }}", -1),
    ("{{ -1 + 2 ** 2 }}", 3),
    ("{{ [1, 2] | sum | json }}", "3"),
    ("{{ (-1) | abs }}", 1),
    ("{{ 2.5 | round(1 - 1) }}", 2.0),
]


@pytest.mark.parametrize(("text", "expected"), SIDE_BY_SIDE)
def test_allowed_beside_what_is_refused(text: str, expected: object) -> None:
    assert value(text) == expected


def test_all_faults_of_all_leaves_are_found_at_once() -> None:
    template = expressions.compile(
        {"a": "{{ x }} {{ params.a }} {{ y }}", "b": ["{{ 1 + }}", "{{ params.b }}"], "c": "}}"}
    )
    assert [(error.at, error.offset) for error in template.errors] == [
        (("a",), 3),
        (("a",), 26),
        (("b", 0), 5),
        (("c",), 0),
    ]
    assert [reference.path for reference in template.references] == [("a",), ("b",)]
    assert not template.literal
    with pytest.raises(expressions.ExpressionError) as caught:
        template.render({})
    assert caught.value is template.errors[0]


def test_a_key_is_never_an_expression() -> None:
    (error,) = expressions.compile({"a": {"{{ params.a }}": 1}}).errors
    assert error.rule == "expression-refused"
    assert error.at == ("a", "{{ params.a }}")


def test_unsound_text_knows_whether_it_is_one_expression() -> None:
    assert expressions.compile("{{ params.a params.b }}").whole
    assert not expressions.compile("n={{ params.a params.b }}").whole


@pytest.mark.parametrize(
    ("name", "remedy"),
    [
        ("list", "leave it out: values are lists and mappings already"),
        ("int", "leave it out: numbers are numbers already; round(x) makes an integer"),
        ("float", "leave it out"),
        ("string", "leave it out, or write text around the expression"),
        ("tojson", "write json"),
        ("count", "write length"),
        ("upper", "a local step's function can change a text"),
        ("d", "write default"),
    ],
)
def test_the_habits_of_jinja_get_their_remedy(name: str, remedy: str) -> None:
    (error,) = expressions.compile(f"{{{{ params.list | {name} }}}}").errors
    assert error.message == f"there is no function or filter {name}"
    assert (error.hint or "").startswith(remedy)


def test_no_habit_is_a_function() -> None:
    assert not HABITS.keys() & expressions.FUNCTIONS.keys()


@pytest.mark.parametrize(
    "text",
    [
        "{{ zip(keys({'a': 1}), values({'a': 1})) }}",
        "{{ [1, 2][::-1] }}",
        "{{ sort(keys({'a': 1})) }}",
        "{{ 2 ** 3 }}",
    ],
)
def test_the_remedies_are_expressions(text: str) -> None:
    assert value(text)
