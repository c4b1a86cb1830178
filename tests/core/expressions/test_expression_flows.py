"""What an expression is said to have of single organizations' answers is all that it has of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hypothesis import assume, given, settings
from hypothesis import strategies as st

from v6flow.core import expressions
from v6flow.core.expressions import CLEAN, Flow, ValueOrigin, index, literal, uniform

if TYPE_CHECKING:
    from v6flow.core.expressions.values import Steps
    from v6flow.core.language.problem import Path

BASES = (
    *("steps.a.results", "steps.a.by_organization", "steps.one.result", "steps.one.result.n"),
    *("steps.tab.results", "steps.tab.by_key", "steps.tab.results[0].m", "steps.tab.lists"),
    *("params.n", "3", "'alpha'", "[{'n': 1}, {'n': 5}]"),
)
WRAPPED = (
    "[{0}, {1}]", "{{'k': {0}, 'n': {1}}}", "({0})[0]", "({0})[-1]", "({0}).n", "({0})['alpha']", "({0})[params.n]",
    "({0})[{1}]", "({0})[0:1]", "({0})[1:]", "({0})[::-1]", "({0}) + ({1})", "({0}) * ({1})", "({0}) ~ ({1})",
    "({0}) == ({1})", "({0}) in ({1})", "({0}) and ({1})", "({0}) or ({1})", "not ({0})", "-({0})",
    "({0}) if ({1}) else 3", "1 if ({0}) else 2", "({0}) is none", "({0}) is number", "abs({0})", "round({0})",
    "min({0})", "max({0}, {1})", "first({0})", "last({0})", "sort({0})", "sort({0}, attribute='n')", "unique({0})",
    "map({0}, attribute='n')", "map({0}, attribute='n', default={1})", "map({0}, attribute=0)",
    "min({0}, attribute='n')",
    "selectattr({0}, 'n')", "selectattr({0}, 'n', '>', 3)", "selectattr({0}, 'n', '==', {1})", "groupby({0}, 'n')",
    "zip({0}, {1})", "values({0})", "keys({0})", "default({0}, {1})", "json({0})", "join({0}, ',')", "range({0})",
    "exp({0})", "sqrt({0})",
)  # fmt: skip
# without sum, mean, dot and length: they aggregate, so that what they yield does depend on the answers

EXPRESSIONS = st.recursive(
    st.sampled_from(BASES),
    lambda inner: st.builds(lambda form, one, other: form.format(one, other), st.sampled_from(WRAPPED), inner, inner),
    max_leaves=6,
)


def data(alpha: int, beta: int) -> dict[str, Any]:
    answers = {"alpha": {"n": alpha, "k": [alpha]}, "beta": {"n": beta, "k": [beta]}}
    known = {"results": list(answers.values()), "by_organization": answers}
    items = {f"k{alpha}": {"m": 4, "n": alpha, "k": [beta]}, "alpha": {"m": 9, "n": beta, "k": [alpha]}}
    tab = {"results": list(items.values()), "by_key": items, "lists": [list(answers.values()), [answers["beta"]]]}
    return {"steps": {"a": known, "one": {"result": {"n": alpha, "k": beta}}, "tab": tab}, "params": {"n": 1}}


def source(path: Steps, _: Path) -> Flow:
    root, *rest = path
    if root != "steps" or len(rest) < 2:
        return CLEAN
    if rest[0] == "tab":
        return _of_items(*rest[1:])
    spreads: Any = {"results": "all", "by_organization": "named", "result": "one"}
    flow = Flow(frozenset({ValueOrigin(str(rest[0]))}), spreads[rest[1]])
    for key in rest[2:]:
        flow = index(flow, key)
    return flow


def _of_items(attribute: object, *keys: str | int | None) -> Flow:
    """Of steps that are done for each item, by what comes of one: mappings, or lists of answers."""
    answer = Flow(frozenset({ValueOrigin("tab")}))
    item = literal({"m": CLEAN, "n": answer, "k": answer})
    flow = uniform(Flow(answer.origins, "all")) if attribute == "lists" else uniform(item)
    if attribute == "by_key":
        flow = uniform(item, keys=answer)
    for key in keys:
        flow = index(flow, key)
    return flow


def outcome(template: expressions.Template, scope: dict[str, Any]) -> object:
    try:
        return template.render(scope)
    except expressions.ExpressionError:
        return "fails"


@settings(max_examples=2000, deadline=None)
@given(EXPRESSIONS)
def test_what_is_said_to_have_nothing_of_an_answer_does_not_depend_on_it(expression: str) -> None:
    template = expressions.compile(f"{{{{ {expression} }}}}")
    assume(not template.errors)
    if template.flow(source).clean:
        told = {repr(outcome(template, data(alpha, beta))) for alpha, beta in ((1, 2), (5, 4), (0, 0), (-3, 7))}
        assert len(told) == 1, told
