"""What does not fit between a task step and what its algorithm is declared to take."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from v6flow.core import expressions
from v6flow.core.checks.declarations import Argument, DeclaredAlgorithm, DeclaredFunction, Misfit, problems
from v6flow.core.kinds.settings import DatabaseChoice, Disclosure, Quorum, Retry
from v6flow.core.kinds.task import TaskPlan
from v6flow.core.language.model import Common

if TYPE_CHECKING:
    from v6flow.core.json import Json

COLUMN = Argument("column", "column", has_default=False)
ALGORITHM = DeclaredAlgorithm(
    "registry.example/stats:1",
    (
        DeclaredFunction("partial_sum", central=False, arguments=(COLUMN,), databases=("patients",)),
        DeclaredFunction(
            "central_mean",
            central=True,
            arguments=(COLUMN, Argument("organizations", "organization_list", has_default=True)),
        ),
        DeclaredFunction("join", central=False, databases=("left", "right")),
        DeclaredFunction("nothing", central=False),
    ),
    "the algorithm store of the hospitals",
)


def step(
    method: str = "partial_sum",
    kwargs: Json = None,
    *,
    central: bool = False,
    databases: tuple[str, ...] = ("default",),
) -> TaskPlan:
    return TaskPlan(
        Common("sums", ("steps", "sums")),
        image=ALGORITHM.image,
        method=method,
        kwargs=expressions.compile({"column": "age"} if kwargs is None else kwargs),
        organizations=("alpha",),
        single=central,
        central=central,
        subtasks="fail",
        databases=tuple(map(DatabaseChoice, databases)),
        quorum=Quorum(),
        retry=Retry(),
        timeout=None,
        isolation="organization",
        label="",
        description="",
        allow_nonfinite=False,
        members=("alpha", "beta"),
        study=None,
        store=None,
        disclosure=Disclosure(),
    )


def taking(*arguments: Argument) -> DeclaredAlgorithm:
    return DeclaredAlgorithm("image", (DeclaredFunction("f", central=False, arguments=arguments),), "the store")


def judged(type_: str, value: Json, **more: Any) -> list[Misfit]:
    """What is wrong with one value of an argument of some type."""
    return problems(step("f", {"x": value}), taking(Argument("x", type_, has_default=False, **more)))


def test_what_fits() -> None:
    assert problems(step(), ALGORITHM) == []
    assert problems(step("central_mean", central=True), ALGORITHM) == []
    kwargs: dict[str, Json] = {"column": "age", "organizations": [1, 2]}
    assert problems(step("central_mean", kwargs, central=True), ALGORITHM) == []
    assert problems(step("join", {}, databases=("one", "other")), ALGORITHM) == []
    assert problems(step("nothing", {}, databases=()), ALGORITHM) == []


@pytest.mark.parametrize(
    ("method", "hint"),
    [
        ("partial_sums", "did you mean partial_sum?"),
        ("Central_Mean", "did you mean central_mean?"),
        ("zzz", "it declares partial_sum, central_mean, join, nothing"),
    ],
)
def test_a_method_that_is_not_declared_is_all_that_is_said(method: str, hint: str) -> None:
    wrong = step(method, {"any": "thing"}, central=True, databases=())
    message = f"the algorithm store of the hospitals declares no function {method} of registry.example/stats:1"
    assert problems(wrong, ALGORITHM) == [Misfit(message, "store-method", ("task", "method"), hint=hint)]


def test_an_algorithm_without_functions() -> None:
    (found,) = problems(step(), DeclaredAlgorithm("image", (), "the store"))
    assert found.hint == "it declares none"


def test_of_many_functions_some_are_named() -> None:
    many = DeclaredAlgorithm(
        "image", tuple(DeclaredFunction(f"f{number:02}", central=False) for number in range(30)), "the store"
    )
    (found,) = problems(step("other"), many)
    assert found.hint == "it declares f00, f01, f02, f03, f04, f05, f06, f07, f08, f09, …"


def test_a_central_function_is_called_as_one() -> None:
    (found,) = problems(step("central_mean"), ALGORITHM)
    assert (found.rule, found.path) == ("store-central", ("task", "method"))
    assert found.message == "central_mean is a central function, and this step does not say so"
    assert found.hint == "write central: true and the one organization it runs at"


def test_only_a_central_function_is_called_as_one() -> None:
    (found,) = problems(step(central=True), ALGORITHM)
    assert (found.rule, found.path) == ("store-central", ("task", "central"))
    assert found.message == "partial_sum is no central function: it runs at each organization by itself"


# ------------------------------------------------------------------------------------------- keyword arguments


def test_an_argument_that_is_not_declared() -> None:
    (found,) = problems(step(kwargs={"column": "age", "zzz": 1}), ALGORITHM)
    assert found == Misfit(
        "partial_sum takes no argument zzz", "store-argument", ("task", "kwargs", "zzz"), hint="it takes column"
    )
    (found,) = problems(step("nothing", {"zzz": "{{ params.x }}"}), ALGORITHM)
    assert found.hint == "it takes none"


def test_an_argument_that_is_missing() -> None:
    assert problems(step(kwargs={}), ALGORITHM) == [
        Misfit(
            "partial_sum needs the argument column, the name of a column",
            "store-argument",
            ("task", "kwargs"),
            severity="warning",
        )
    ]
    (found,) = problems(step("f", {}), taking(Argument("x", "of another kind", has_default=False)))
    assert found.message == "f needs the argument x"


def test_a_mistyped_argument_is_said_once() -> None:
    (found,) = problems(step(kwargs={"colum": "age"}), ALGORITHM)
    assert (found.message, found.hint) == ("partial_sum takes no argument colum", "did you mean column?")


def test_a_word_like_one_that_is_given_is_not_taken_for_it() -> None:
    (found,) = problems(step(kwargs={"column": "age", "colum": "bmi"}), ALGORITHM)
    assert found.hint == "it takes column"


@pytest.mark.parametrize("has_default", [True, None])
def test_what_has_a_default_or_may_have_one_can_be_left_out(has_default: bool | None) -> None:
    algorithm = taking(Argument("x", "integer", has_default=has_default))
    assert problems(step("f", {}), algorithm) == []
    assert problems(step("f", {"x": None}), algorithm) == []


def test_what_is_for_vantage6s_pages_only_is_neither_needed_nor_taken() -> None:
    algorithm = taking(Argument("show", "boolean", has_default=False, frontend_only=True), COLUMN)
    assert problems(step("f", {"column": "age"}), algorithm) == []
    (found,) = problems(step("f", {"column": "age", "show": True}), algorithm)
    assert found.message == "show is for vantage6's own pages only, and nothing that f takes"
    assert found.path == ("task", "kwargs", "show")
    (found,) = problems(step("f", {"column": "age", "shoe": True}), algorithm)
    assert found.hint == "it takes column"


def test_kwargs_that_are_one_expression_are_not_judged() -> None:
    assert problems(step(kwargs="{{ steps.before.result }}"), ALGORITHM) == []


# ------------------------------------------------------------------------------------------------------ values

RIGHT: dict[str, list[Json]] = {
    "string": ["text", ""],
    "column": ["age"],
    "integer": [0, -3, 10**30],
    "float": [1.5, 2, -1],
    "boolean": [True, False],
    "json": ["text", 1, 1.5, True, [1, "a"], {"a": [None]}],
    "organization": [4],
    "string_list": [["a", "b"], []],
    "column_list": [["age", "bmi"]],
    "integer_list": [[1, 2], []],
    "float_list": [[1, 2.5]],
    "organization_list": [[1, 2]],
    "of another kind": [1, "text", [None], {"a": 1}],
}
"""For each type, values that it may have."""


@pytest.mark.parametrize(("type_", "value"), [(type_, value) for type_ in RIGHT for value in RIGHT[type_]])
def test_values_that_fit(type_: str, value: Json) -> None:
    assert judged(type_, value) == []


@pytest.mark.parametrize(
    ("type_", "value", "message"),
    [
        ("string", 1, "x is text, not 1"),
        ("string", ["a"], "x is text, not ['a']"),
        ("column", True, "x is the name of a column, not true"),
        ("column", ["age"], "x is the name of a column, not ['age']"),
        ("integer", "5", "x is a whole number, not '5'"),
        ("integer", 5.0, "x is a whole number, not 5.0"),
        ("integer", True, "x is a whole number, not true"),
        ("integer", None, "x is a whole number, not null"),
        ("float", "1.5", "x is a number, not '1.5'"),
        ("float", False, "x is a number, not false"),
        ("boolean", 1, "x is true or false, not 1"),
        ("boolean", "true", "x is true or false, not 'true'"),
        ("organization", "alpha", "x is the id of an organization, not 'alpha'"),
        ("string_list", "a", "x is a list of texts, not 'a'"),
        ("column_list", "age", "x is a list of names of columns, not 'age'"),
        ("integer_list", 1, "x is a list of whole numbers, not 1"),
        ("float_list", {"a": 1}, "x is a list of numbers, not {'a': 1}"),
        ("organization_list", 1, "x is a list of ids of organizations, not 1"),
        ("integer_list", None, "x is a list of whole numbers, not null"),
    ],
)
def test_values_of_another_type(type_: str, value: Json, message: str) -> None:
    (found,) = judged(type_, value)
    assert (found.message, found.rule, found.path) == (message, "store-value", ("task", "kwargs", "x"))


def test_an_item_of_another_type_is_told_by_its_place() -> None:
    found = judged("column_list", ["age", 3, "bmi", None])
    assert [(each.path[2:], each.message) for each in found] == [
        (("x", 1), "item 1 of x is the name of a column, not 3"),
        (("x", 3), "item 3 of x is the name of a column, not null"),
    ]


def test_hints_for_values() -> None:
    assert [each.hint for each in judged("string_list", "a")] == ["write it as a list, with [ and ]"]
    assert [each.hint for each in judged("organization_list", ["alpha"])] == [
        'write "{{ federation.organizations | organization_ids }}" for the ids of all'
    ]
    assert [each.hint for each in judged("integer", "5")] == [None]


def test_a_long_value_is_cut() -> None:
    (found,) = judged("integer", "x" * 1000)
    assert len(found.message) < 100


@pytest.mark.parametrize("type_", RIGHT)
def test_what_is_known_only_later_is_not_judged(type_: str) -> None:
    text = "{{ steps.before.result }}"
    assert judged(type_, text) == []
    if type_.endswith("_list"):
        assert judged(type_, [text, f"a {text}"]) == []


def test_beside_what_is_known_only_later_the_rest_is_judged() -> None:
    (found,) = judged("column_list", ["{{ params.column }}", 3])
    assert found.path == ("task", "kwargs", "x", 1)


@pytest.mark.parametrize(
    ("type_", "allowed", "value", "hint"),
    [
        ("string", ("linear", "logistic"), "logistc", "did you mean logistic?"),
        ("string", ("linear", "logistic"), "zzz", "it is one of linear, logistic"),
        ("integer", ("1", "2"), 3, "it is one of 1, 2"),
        ("float", ("0.5", "1.0"), 0.25, "it is one of 0.5, 1.0"),
        ("integer", ("one",), 1, "it is one of one"),
    ],
)
def test_a_value_that_is_not_allowed(type_: str, allowed: tuple[str, ...], value: Json, hint: str) -> None:
    (found,) = judged(type_, value, allowed=allowed)
    assert found.message == f"x cannot be {value!r}"
    assert (found.rule, found.path, found.hint) == ("store-value", ("task", "kwargs", "x"), hint)


def test_values_that_are_allowed() -> None:
    assert judged("string", "linear", allowed=("linear",)) == []
    assert judged("integer", 2, allowed=("1", "2")) == []
    assert judged("float", 1, allowed=("0.5", "1.0")) == []
    assert judged("string", "{{ params.x }}", allowed=("linear",)) == []
    found = judged("string_list", ["a", "c"], allowed=("a", "b"))
    assert [each.path for each in found] == [("task", "kwargs", "x", 1)]


# --------------------------------------------------------------------------------------------------- databases


@pytest.mark.parametrize(("given", "words"), [((), "none"), (("one",), "1")])
def test_too_few_databases(given: tuple[str, ...], words: str) -> None:
    (found,) = problems(step("join", {}, databases=given), ALGORITHM)
    assert found.message == f"join reads 2 databases (left, right), and is given {words}"
    assert (found.rule, found.path, found.severity) == ("store-databases", ("task", "databases"), "error")


def test_too_many_databases_are_a_warning() -> None:
    (found,) = problems(step(databases=("one", "two")), ALGORITHM)
    assert (found.message, found.severity) == ("partial_sum reads 1 database, and is given 2", "warning")
    (found,) = problems(step("nothing", {}, databases=("one", "two")), ALGORITHM)
    assert (found.message, found.severity) == ("nothing reads no database, and is given 2", "warning")


def test_the_built_in_database_is_no_problem_where_none_is_read() -> None:
    assert problems(step("nothing", {}), ALGORITHM) == []


# -------------------------------------------------------------------------------------------------- everything

JSON: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=8,
)


@given(st.sampled_from([*RIGHT, ""]), JSON, st.lists(st.text(max_size=3), max_size=3))
def test_anything_is_judged_without_an_error(type_: str, value: Any, allowed: list[str]) -> None:
    for each in judged(type_, value, allowed=tuple(allowed)):
        assert each.path[:3] == ("task", "kwargs", "x")
        assert each.message


@given(JSON)
def test_all_kwargs_are_judged_without_an_error(kwargs: Any) -> None:
    problems(step(kwargs=kwargs if kwargs is not None else {}), ALGORITHM)
