"""What a schema cannot say of a workflow: unknown names, wrong scopes, cycles, parameters of the wrong type."""

from __future__ import annotations

import functools
import re
from typing import TYPE_CHECKING, Any

from v6flow.core import expressions, leaks, mixing, places, schema
from v6flow.core.graph import Graph
from v6flow.core.problem import Path, Position, Problem
from v6flow.core.steps import STEP_KINDS, task
from v6flow.core.steps.base import STEPS, Field
from v6flow.core.words import suggestion

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from v6flow.core.document import Document
    from v6flow.core.expressions import Reference
    from v6flow.core.model import Workflow
    from v6flow.core.steps import Step

RUN = ("id", "name", "started")
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
_SECRETS = ("${env:", "${file:", "${keyring:")


def check(workflow: Workflow) -> list[Problem]:
    """All problems of a workflow that is sound by the schema, in the order of the file."""
    cycles = _cycles(workflow)
    problems = [
        *_names(workflow, "steps", workflow.steps),
        *_names(workflow, "params", workflow.params),
        *_params(workflow),
        *_secrets(workflow.document),
        *_fields(workflow),
        *_needs(workflow),
        *_kinds(workflow),
        *cycles,
        *([] if cycles else _flows(workflow)),
    ]
    return sorted(dict.fromkeys(problems), key=lambda problem: problem.position)


def warnings(workflow: Workflow) -> list[Problem]:
    """What a person should know of a workflow though it is sound."""
    return [each for each in _flows(workflow) if each.severity == "warning"]


@functools.lru_cache(maxsize=1)  # what `check` has built, `plan` goes on with
def graph(workflow: Workflow) -> tuple[dict[str, list[str]], Graph]:
    """The steps that each step waits for, and the graph of them."""
    edges = needs(workflow)
    return edges, Graph(edges)


def needs(workflow: Workflow) -> dict[str, list[str]]:
    """For each step, the steps it waits for: by reference or by `needs`, each once, as they occur."""
    found: dict[str, list[str]] = {}
    for name, step in workflow.steps.items():
        sources = dict.fromkeys(step.common.needs)
        for template in STEP_KINDS[step.kind].needed(step):
            for reference in template.references:
                if reference.root == "steps" and reference.path:
                    sources[reference.path[0]] = None
        found[name] = list(sources)
    return found


def needs_federation(workflow: Workflow) -> bool:
    """Whether a workflow asks organizations, or uses what is known only of a federation."""
    if workflow.uses_federation() or "organization_ids" in workflow.document.text:
        return True
    references = (reference for _, field in _all_fields(workflow) for reference in field.template.references)
    return any(reference.root == "federation" for reference in references)


def _names(workflow: Workflow, key: str, names: Iterable[str]) -> Iterator[Problem]:
    document = workflow.document
    seen: dict[str, str] = {}
    for name in names:
        what = expressions.name_problem(name)
        if what:
            yield _problem(document, what, "name", document.key_position((key, name)))
        other = seen.setdefault(name.lower(), name)
        if other != name:
            first = document.key_position((key, other)).line
            yield _problem(
                document,
                f"{name} and {other} (line {first}) differ only in upper and lower case",
                "name-case",
                document.key_position((key, name)),
            )


def _params(workflow: Workflow) -> Iterator[Problem]:
    document = workflow.document
    for param in workflow.params.values():
        at: Path = ("params", param.name)
        fragment = schema.fragment_problems(param.schema)
        for what in fragment:
            yield _problem(document, f"param {param.name}: {what}", "param-schema", document.position(at))
        if fragment or param.required:
            continue
        for what in schema.param_problems(param.name, param.schema, param.schema["default"]):
            yield _problem(document, what, "param-default", document.position((*at, "default")))


def _secrets(document: Document) -> Iterator[Problem]:
    if "${" not in document.text:
        return
    waiting: list[tuple[Path, Any]] = [((), document.value)]
    while waiting:
        path, value = waiting.pop()
        if isinstance(value, dict):
            waiting.extend(((*path, key), item) for key, item in value.items())
        elif isinstance(value, list):
            waiting.extend(((*path, index), item) for index, item in enumerate(value))
        elif isinstance(value, str) and any(mark in value for mark in _SECRETS):
            yield _problem(
                document,
                "references to secrets are for federation files: here the text would be sent to organizations",
                "secret-reference",
                places.place(document, path, min(value.find(mark) for mark in _SECRETS if mark in value)),
                "keep secrets in the federation file",
            )


def _all_fields(workflow: Workflow) -> Iterator[tuple[Step | None, Field]]:
    for key, (path, template) in workflow.defaults.items():
        for field in task.setting_fields(key, path, template):
            yield None, field
    for step in workflow.steps.values():
        for field in STEP_KINDS[step.kind].fields(step):
            yield step, field
    for output in workflow.outputs.values():
        yield None, Field(output.at, output.value, STEPS)


def _fields(workflow: Workflow) -> Iterator[Problem]:
    document = workflow.document
    offers: dict[str, frozenset[str]] = {}
    for _, field in _all_fields(workflow):
        for error in field.template.errors:
            where = places.place(document, field.key + error.at, error.offset)
            hint = _step_meant(workflow, field, error) or error.hint
            yield _problem(document, error.message, error.rule, where, hint)
        for reference in field.template.references:
            found = _reference(workflow, field, reference, offers)
            if found:
                message, rule, hint = found
                depth = {"wrong-scope": 0, "unknown-attribute": 2 if reference.root == "steps" else 1}.get(rule, 1)
                where = places.mention(document, field.key + reference.at, reference, min(depth, len(reference.path)))
                yield _problem(document, message, rule, where, hint)


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
    workflow: Workflow, field: Field, reference: Reference, offers: dict[str, frozenset[str]]
) -> tuple[str, str, str | None] | None:
    root, path = reference.root, reference.path
    if root not in field.scope:
        why = _WHERE.get(root, "it is not known here")
        return (
            f"{root} cannot be used here: {why}",
            "wrong-scope",
            f"known here: {', '.join(sorted(field.scope))}",
        )
    first = path[0] if path else None
    if not isinstance(first, str):
        return None
    if (root, first) in workflow.doubtful:
        return None
    if root == "params" and first not in workflow.params:
        known = ", ".join(workflow.params) or "none"
        return (
            f"no param {first!r}: this workflow has {known}",
            "unknown-param",
            suggestion(first, workflow.params),
        )
    if root == "run" and first not in RUN:
        return f"run has no {first!r}: it has {', '.join(RUN)}", "unknown-attribute", suggestion(first, RUN)
    if root == "federation" and first not in FEDERATION:
        return (
            f"federation has no {first!r}: it has organizations",
            "unknown-attribute",
            suggestion(first, FEDERATION),
        )
    if root == "steps":
        return _step_reference(workflow, first, path, offers)
    return None


def _step_reference(
    workflow: Workflow, name: str, path: tuple[str | int | None, ...], offers: dict[str, frozenset[str]]
) -> tuple[str, str, str | None] | None:
    step = workflow.steps.get(name)
    if step is None:
        return f"no step {name!r}", "unknown-step", suggestion(name, workflow.steps)
    if len(path) == 1:
        return (
            f"steps.{name} alone is no value: say what of it",
            "unknown-attribute",
            _value_of(step),
        )
    attribute = path[1]
    if name not in offers:
        offers[name] = STEP_KINDS[step.kind].offers(step)
    if isinstance(attribute, str) and attribute not in offers[name]:
        hint = suggestion(attribute, offers[name])
        if attribute in ("result", "results"):
            hint = f"write {_value_of(step)}"
        what = ", ".join(sorted(offers[name]))
        return f"step {name} does not offer {attribute!r}: it offers {what}", "unknown-attribute", hint
    return None


def _value_of(step: Step) -> str:
    """The path of what a step computed."""
    right = "result" if "result" in STEP_KINDS[step.kind].offers(step) else "results"
    return f"steps.{step.common.name}.{right}"


def _needs(workflow: Workflow) -> Iterator[Problem]:
    document = workflow.document
    for name, step in workflow.steps.items():
        for index, needed in enumerate(step.common.needs):
            if needed not in workflow.steps and ("steps", needed) not in workflow.doubtful:
                where = document.position(("steps", name, "needs", index))
                near = suggestion(needed, workflow.steps)
                yield _problem(document, f"no step {needed!r}", "unknown-step", where, near)


def _kinds(workflow: Workflow) -> list[Problem]:
    document = workflow.document
    problems: list[Problem] = []

    def complaint(step: Step) -> Callable[..., None]:
        def complain(key: Path, message: str, rule: str, hint: str | None = None) -> None:
            where = document.key_position(step.common.at + key)
            problems.append(_problem(document, message, rule, where, hint))

        return complain

    for step in workflow.steps.values():
        STEP_KINDS[step.kind].check(step, complaint(step))
    return problems


def _cycles(workflow: Workflow) -> list[Problem]:
    document = workflow.document
    cycle = graph(workflow)[1].cycle()
    if not cycle:
        return []
    first = min(cycle, key=lambda name: document.key_position(("steps", name)))
    at = cycle.index(first)
    path = [*cycle[at:], *cycle[:at], first]
    if len(cycle) == 1:
        message = f"step {first} needs itself"
    else:
        message = f"these steps wait for each other: {' → '.join(path)} (each is needed by the next)"
    return [_problem(document, message, "cycle", document.key_position(("steps", first)))]


def _flows(workflow: Workflow) -> list[Problem]:
    """What goes where it must not, and what will not go together."""
    edges, order = graph(workflow)
    if not any(edges.values()):
        return []
    return [*leaks.problems(workflow, order.order()), *mixing.problems(workflow, order.order())]


def _problem(document: Document, message: str, rule: str, where: Position, hint: str | None = None) -> Problem:
    return Problem(message, rule, document.name, where, hint)
