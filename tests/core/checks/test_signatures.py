"""What a function takes, told from its source; and what is wrong with a call."""

from __future__ import annotations

import textwrap

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from v6flow.core.checks.signatures import Signature, UnknownSignature, find, functions, problems


def find_f(source: str) -> Signature | UnknownSignature | None:
    return find(textwrap.dedent(source), "f")


def test_every_kind_of_parameter() -> None:
    assert find_f("def f(a, b=1, /, c=2, *args, d, e=None, **rest): ...") == Signature(
        name="f",
        required=("d",),
        optional=("c", "e"),
        positional_only=("a", "b"),
        positional_only_required=("a",),
        any_keyword=True,
    )
    assert find_f("def f(a, b, c=0, *, d, e=1): ...") == Signature("f", required=("a", "b", "d"), optional=("c", "e"))
    assert find_f("def f(): ...") == Signature("f")


@pytest.mark.parametrize(
    ("source", "kind"),
    [
        ("async def f(): return 1", "async function"),
        ("def f():\n  for x in []:\n    y = yield x", "generator"),
        ("def f():\n  yield from []", "generator"),
        ("async def f():\n  yield 1", "async generator"),
        ("def f():\n  def g():\n    yield 1\n  return list(g())", "function"),
        ("def f():\n  g = lambda: (yield)\n  return 1", "function"),
        ("def f():\n  class C:\n    def g(self):\n      yield\n  return [x for x in []]", "function"),
    ],
)
def test_functions_that_return_nothing_yet_are_told(source: str, kind: str) -> None:
    found = find_f(source)
    assert isinstance(found, Signature)
    assert found.kind == kind


@pytest.mark.parametrize(
    "source",
    [
        "x = 1",
        "def g():\n  def f(): ...",
        "class C:\n  def f(self): ...",
        "print(f)",
        "x.f = 1",
        "from f import g",
        "lambda f: f",
        "",
    ],
)
def test_a_name_that_nothing_defines(source: str) -> None:
    assert find_f(source) is None


@pytest.mark.parametrize(
    "source",
    [
        "from x import f",
        "from x import g as f",
        "import f.g",
        "def f(): ...\nfrom x import *",
        "from x import *",
        "f = g",
        "def f(a): ...\nf = g",
        "f: int = 3",
        "(f := 3)",
        "f, g = 3, 4",
        "for f in []: ...",
        "with x as f: ...",
        "def f(): ...\ndel f",
        "match x:\n  case f: ...",
        "match x:\n  case {'a': 1, **f}: ...",
        "match x:\n  case [1, *f]: ...",
        "try: ...\nexcept E as f: pass",
        "class f: ...",
        "@cache\ndef f(a): ...",
        "if x:\n  def f(a): ...\nelse:\n  def f(b): ...",
        "if x:\n  def f(a): ...\nelse:\n  def f(a): ...",
        "if x:\n  def f(a): ...",
        "while x:\n  def f(a): ...",
        "def f(a): ...\nfor x in y:\n  def f(b): ...",
        "def f(a): ...\nwith suppress(E):\n  g()\n  def f(b): ...",
        "def f(a): ...\nmatch x:\n  case 1:\n    def f(b): ...",
        "try:\n  from x import f\nexcept ImportError:\n  def f(a): ...",
        "def f(a): ...\ndef g():\n  global f\n  f = 3",
        "globals()['f'] = 3",
        "def __getattr__(name): ...",
    ],
)
def test_what_only_running_shows_is_unknown(source: str) -> None:
    assert find_f(source) == UnknownSignature()


@pytest.mark.parametrize(
    "source",
    [
        "def f(b): ...\ndef f(a): ...",
        "try:\n  import numpy\nexcept ImportError:\n  raise\ndef f(a): ...",
        "with x:\n  def f(b): ...\ndef f(a): ...",
        "from x import *\ndef f(a): ...",
        "def f(a): ...\nif __name__ == '__main__':\n  print(f(1))",
        "def f(a): ...\ndef g():\n  f = 1\n  global h",
        "def f(a): ...\nfrom x import f as g",
    ],
)
def test_the_last_plain_definition_counts(source: str) -> None:
    assert find_f(source) == Signature("f", required=("a",))


@pytest.mark.parametrize("source", ["def f(:", "x = '\0'", "\ud800"])
def test_what_is_no_python_is_a_syntax_error(source: str) -> None:
    with pytest.raises(SyntaxError):
        find(source, "f")


def test_deep_nesting_ends() -> None:
    found = find("x = " + "+".join(["1"] * 30_000) + "\ndef f(a): ...", "f")
    assert found in (UnknownSignature(), Signature("f", required=("a",)))
    elses = "if x:\n  pass\n" + "elif x:\n  pass\n" * 5000
    assert isinstance(find(elses + "def f(a): ...", "f"), (UnknownSignature, Signature))


@given(st.text(alphabet="f =():\n\tdeifx1,*lambda", max_size=60))
@settings(max_examples=200, deadline=None)
def test_any_text_gives_an_answer_or_a_syntax_error(source: str) -> None:
    try:
        found = find(source, "f")
    except SyntaxError:
        return
    assert found is None or isinstance(found, (Signature, UnknownSignature))


def test_functions_are_listed_in_order() -> None:
    source = "def b(): ...\nasync def a(): ...\ndef _private(): ...\nif x:\n  def c(): ...\ndef b(): ..."
    assert functions(source) == ("b", "a")


def signature(source: str) -> Signature:
    found = find_f(source)
    assert isinstance(found, Signature)
    return found


@pytest.mark.parametrize(
    ("source", "kwargs", "expected"),
    [
        ("def f(a, b=1): ...", ["a"], []),
        ("def f(a, b=1): ...", ["b", "a"], []),
        ("def f(a, **more): ...", ["a", "anything"], []),
        ("def f(a, b): ...", [], ["f needs the argument a", "f needs the argument b"]),
        (
            "def f(partials, *, level=1): ...",
            ["partials", "levle"],
            ["f takes no argument levle: did you mean level?"],
        ),
        (
            "def f(partials): ...",
            ["partial"],
            ["f needs the argument partials", "f takes no argument partial: did you mean partials?"],
        ),
        ("def f(alpha, beta=1): ...", ["alpha", "x"], ["f takes no argument x; it takes alpha, beta"]),
        ("def f(): ...", ["x"], ["f takes no argument x; it takes none"]),
        ("def f(a, /): ...", [], ["f takes a by position only, which a workflow cannot give"]),
        ("def f(a=1, /): ...", ["a"], ["f takes a by position only, which a workflow cannot give"]),
        ("def f(a=1, /, **more): ...", ["a"], []),
        ("def f(*args): ...", [], []),
        (
            "async def f(a): ...",
            [],
            ["f is an async function, and a local step's function is called without waiting"],
        ),
        (
            "def f(a):\n  yield",
            ["a"],
            ["f is a generator: it yields, where a local step's function must return"],
        ),
    ],
)
def test_problems_of_a_call(source: str, kwargs: list[str], expected: list[str]) -> None:
    assert problems(signature(source), kwargs) == expected


@given(
    st.lists(st.sampled_from("abc"), unique=True),
    st.lists(st.sampled_from("de"), unique=True),
    st.sets(st.sampled_from("abcdefg")),
    st.booleans(),
)
@settings(deadline=None)
def test_a_call_without_problems_is_one_that_python_accepts(
    plain: list[str], keyword: list[str], kwargs: set[str], rest: bool
) -> None:
    parts = [*plain, "*", *(f"{name}=1" if name == "d" else name for name in keyword)] if keyword else plain
    source = f"def f({', '.join([*parts, *(['**rest'] if rest else [])])}): return 1"
    scope: dict[str, object] = {}
    exec(source, scope)
    function = scope["f"]
    assert callable(function)
    try:
        function(**dict.fromkeys(kwargs, 0))
    except TypeError:
        assert problems(signature(source), kwargs)
    else:
        assert problems(signature(source), kwargs) == []
