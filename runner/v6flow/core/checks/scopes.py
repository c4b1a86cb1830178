"""The names that expressions use: whether there is what they name, and whether it is known there."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from v6flow.core.kinds import STEP_KINDS
from v6flow.core.language import places
from v6flow.core.language.naming import outward, resolve
from v6flow.core.language.problem import Problem
from v6flow.core.language.words import suggestion
from v6flow.core.planning.dependencies import fields

if TYPE_CHECKING:
    from collections.abc import Iterator

    from v6flow.core import expressions
    from v6flow.core.expressions import Reference
    from v6flow.core.kinds.fields import Field
    from v6flow.core.language.model import Step, Workflow

RUN = ("id", "name", "started")
ENDING = ("status", "error")  # of the run, known under `finally` only
FEDERATION = ("organizations",)

_WHERE = {
    "organization": "it is known only in the kwargs of a task",
    "steps": "what is known before anything runs cannot depend on a step",
    "each": "it is known only inside a foreach step",
    "loop": "it is known only inside a repeat step",
    "this": "it is known only in checks and properties",
    "result": "it is known only in checks; of a step it is steps.NAME.result",
    "run": "here only params are known",
    "federation": "here only params are known",
}
_BY_ITSELF = "each answer is checked on its own"


def problems(workflow: Workflow) -> Iterator[Problem]:
    """What is wrong with the expressions of a workflow: their syntax, and the names that they use."""
    document = workflow.document
    offers: dict[str, frozenset[str]] = {}
    for step, field in fields(workflow):
        for error in field.template.errors:
            where = places.place(document, field.key + error.at, error.offset)
            hint = _step_meant(workflow, field, error) or error.hint
            yield Problem(error.message, error.rule, document.name, where, hint)
        for reference in field.template.references:
            if step is not None and reference.root == "this" and "this" in field.scope:
                found = _own_reference(step, reference)
            else:
                found = _reference(workflow, step, field, reference, offers)
            if found:
                message, rule, hint = found
                deep = 2 if reference.root in ("steps", "loop") else 1
                depth = {"wrong-scope": 0, "unknown-attribute": deep}.get(rule, 1)
                where = places.mention(document, field.key + reference.at, reference, min(depth, len(reference.path)))
                yield Problem(message, rule, document.name, where, hint)


def _step_meant(workflow: Workflow, field: Field, error: expressions.ExpressionError) -> str | None:
    """The remedy where a step or a param is named without its root."""
    if error.rule != "expression-name":
        return None
    text = places.text(workflow.document, field.key + error.at)
    word = re.match(r"(\w*)(?:\.(\w+))?", text[error.offset :])
    name, attribute = word.groups() if word else ("", None)
    if name in workflow.steps:
        step = workflow.steps[name]
        offered = attribute in STEP_KINDS[step.kind].offers(step)
        return f"{name} is a step: write " + (f"steps.{name}.{attribute}" if offered else _value_of(step))
    return f"{name} is a param: write params.{name}" if name in workflow.params else None


def _reference(
    workflow: Workflow, step: Step | None, field: Field, reference: Reference, offers: dict[str, frozenset[str]]
) -> tuple[str, str, str | None] | None:
    root, path = reference.root, reference.path
    around = _around(workflow, step, field)
    if root in ("each", "loop") and "steps" in field.scope and any(_iteration(each) == root for each in around):
        return _round_reference(root, path, around, until=field.key[-1:] == ("until",))
    if root not in field.scope:
        why = _BY_ITSELF if "result" in field.scope else _WHERE.get(root, "it is not known here")
        if root in ("each", "loop") and "steps" not in field.scope and around:
            why = f"what is known before anything runs cannot depend on {_OF[root]}"
        return (
            f"{root} cannot be used here: {why}",
            "wrong-scope",
            f"known here: {', '.join(sorted(field.scope))}",
        )
    first = path[0] if path else None
    if not isinstance(first, str):
        return None
    if (root, first) in workflow.doubtful or (root == "steps" and ("finally", first) in workflow.doubtful):
        return None
    if root == "params" and first not in workflow.params:
        known = ", ".join(workflow.params) or "none"
        return (
            f"no param {first!r}: this workflow has {known}",
            "unknown-param",
            suggestion(first, workflow.params),
        )
    final = field.key[0] == "finally"
    run = RUN + ENDING if final and "steps" in field.scope else RUN
    if root == "run" and first not in run:
        hint = "it is known under `finally`" if first in ENDING else suggestion(first, run)
        return f"run has no {first!r}: it has {', '.join(run)}", "unknown-attribute", hint
    if root == "federation" and first not in FEDERATION:
        return (
            f"federation has no {first!r}: it has organizations",
            "unknown-attribute",
            suggestion(first, FEDERATION),
        )
    if root == "steps":
        where = "" if step is None else step.common.name if field.inside and field.nested else step.common.parent
        early = too_early(workflow, resolve(workflow.steps, where, first), final=final)
        return early or _step_reference(workflow, where, first, path, offers)
    return None


def _around(workflow: Workflow, step: Step | None, field: Field) -> list[Step]:
    """The steps with iterations or items that a field is inside of, the innermost first."""
    name = "" if step is None else step.common.name if field.inside else step.common.parent
    return [workflow.steps[each] for each in outward(name) if _iteration(workflow.steps[each]) is not None]


def _iteration(step: Step) -> str | None:
    """The name under which what is nested in a step knows its iteration or item."""
    return STEP_KINDS[step.kind].iteration


_OF = {"loop": "a round", "each": "an item"}


def _round_reference(
    root: str, path: tuple[str | int | None, ...], around: list[Step], *, until: bool
) -> tuple[str, str, str | None] | None:
    """What is wrong with a reference to an iteration or an item."""
    names = [each.alias for each in around if _iteration(each) == root and each.alias is not None]
    offered = ["key", "index", *names] if root == "each" else ["index", "state", *(["next"] if until else []), *names]
    first = path[0] if path else None
    innermost = next((each.alias for each in around if _iteration(each) == root), None)
    if not path:
        return f"{root} alone is not a value: name a part of it", "unknown-attribute", f"it has {', '.join(offered)}"
    if isinstance(first, str) and first not in offered:
        hint = suggestion(first, offered)
        if root == "loop" and first == "next":
            hint = "the state after the iteration is known only in until"
        return f"{root} has no {first!r} here: it has {', '.join(offered)}", "unknown-attribute", hint
    if root == "loop" and first in names:
        return _round_of(first, path[1:], ["index", "state", *(["next"] if until and first == innermost else [])])
    return None


def _round_of(alias: str, path: tuple[str | int | None, ...], offered: list[str]) -> tuple[str, str, str | None] | None:
    """What is wrong with what follows `loop.<as>`."""
    if not path:
        told = f"loop.{alias} alone is not a value: name a part of it"
        return told, "unknown-attribute", f"it has {', '.join(offered)}"
    first = path[0]
    if isinstance(first, str) and first not in offered:
        told = f"loop.{alias} has no {first!r} here: it has {', '.join(offered)}"
        return told, "unknown-attribute", suggestion(first, offered)
    return None


def _own_reference(step: Step, reference: Reference) -> tuple[str, str, str | None] | None:
    """What is wrong with a use of `this`."""
    offered = STEP_KINDS[step.kind].offers(step)
    first = reference.path[0] if reference.path else None
    if first is None:
        return (
            "this alone is not a value: name a part of it",
            "unknown-attribute",
            f"it offers {', '.join(sorted(offered))}",
        )
    if isinstance(first, str) and first not in offered:
        told = f"this step does not offer {first!r}: it offers {', '.join(sorted(offered))}"
        return told, "unknown-attribute", suggestion(first, offered)
    return None


def too_early(workflow: Workflow, name: str | None, *, final: bool) -> tuple[str, str, str | None] | None:
    """What is wrong with a use of a step that runs when all else is over."""
    if final or name is None or not workflow.steps[name].common.final:
        return None
    return f"step {name} is under `finally`: it runs after all other steps", "unknown-step", None


def _step_reference(
    workflow: Workflow, where: str, short: str, path: tuple[str | int | None, ...], offers: dict[str, frozenset[str]]
) -> tuple[str, str, str | None] | None:
    name = resolve(workflow.steps, where, short)
    if name is None:
        return f"no step {short!r}", "unknown-step", near(workflow, short)
    if where == name or where.startswith(f"{name}."):
        hint = (
            "loop.state is the result of the previous iteration" if _iteration(workflow.steps[name]) == "loop" else None
        )
        return f"{short} is the step that this is nested in, and has no value yet", "unknown-step", hint
    step = workflow.steps[name]
    if len(path) == 1:
        return (
            f"steps.{short} alone is not a value: name a part of it",
            "unknown-attribute",
            _value_of(step),
        )
    attribute = path[1]
    if name not in offers:
        offers[name] = STEP_KINDS[step.kind].offers(step)
    if isinstance(attribute, str) and attribute not in offers[name]:
        hint = suggestion(attribute, offers[name])
        if f"{name}.{attribute}" in workflow.steps:
            hint = _nested_in(f"{name}.{attribute}")
        if attribute in ("result", "results"):
            hint = f"write {_value_of(step)}"
        what = ", ".join(sorted(offers[name]))
        return f"step {short} does not offer {attribute!r}: it offers {what}", "unknown-attribute", hint
    return None


def near(workflow: Workflow, short: str) -> str | None:
    """What may have been meant by the name of a step that is not there."""
    inner = next((each for each in workflow.steps if each.endswith(f".{short}")), None)
    if inner is not None:
        return _nested_in(inner)
    return suggestion(short, [each.rpartition(".")[2] for each in workflow.steps])


def _nested_in(name: str) -> str:
    outer, _, short = name.rpartition(".")
    return f"{short} is nested in {outer}, which publishes what may be seen outside"


def _value_of(step: Step) -> str:
    """The path of what a step computed."""
    right = "result" if "result" in STEP_KINDS[step.kind].offers(step) else "results"
    return f"steps.{step.common.name.rpartition('.')[2]}.{right}"
