"""What a schema cannot say of a workflow: names, cycles, wrong params, and what other checks find."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from v6flow.core import expressions
from v6flow.core.checks import cross_site, mixing, scopes
from v6flow.core.kinds import STEP_KINDS
from v6flow.core.language import places, schema
from v6flow.core.language.naming import outward, resolve
from v6flow.core.language.problem import Path, Position, Problem
from v6flow.core.planning import dependencies, graph

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from v6flow.core.directory import Directory
    from v6flow.core.expressions import Template
    from v6flow.core.language.document import Document
    from v6flow.core.language.model import Step, Workflow

_SECRETS = ("${env:", "${file:", "${keyring:")


def check(workflow: Workflow) -> list[Problem]:
    """All problems of a workflow that is sound by the schema, in the order of the file."""
    cycles = _cycles(workflow)
    problems = [
        *_step_names(workflow),
        *_doubled(workflow),
        *_names(workflow, "params", workflow.params),
        *_params(workflow),
        *_secrets(workflow.document),
        *scopes.problems(workflow),
        *_bare(workflow),
        *_modifiers(workflow),
        *_needs(workflow),
        *_kinds(workflow),
        *_aliases(workflow),
        *cycles,
        *([] if cycles else _flows(workflow)),
    ]
    return sorted(dict.fromkeys(problems), key=lambda problem: problem.position)


def warnings(workflow: Workflow, directory: Directory | None = None) -> list[Problem]:
    """What a person should know of a sound workflow, and of the files that it runs; more, if who there is is known."""
    found = sorted(mixing.problems(workflow, _order(workflow), directory), key=lambda problem: problem.position)
    for _, inner in workflow.called():
        found += warnings(inner, directory)
    return list(dict.fromkeys(found))


def count_problems(federation: Document) -> list[Problem]:
    """What is wrong with how a federation, or a test in its place, says where results tell their count."""
    given: dict[Path, str] = {}
    disclosure = federation.value.get("defaults", {}).get("disclosure", {})
    if "count" in disclosure:
        given["defaults", "disclosure", "count"] = disclosure["count"]
    for image, methods in federation.value.get("policy", {}).get("counts", {}).items():
        given.update({("policy", "counts", image, method): source for method, source in methods.items()})
    problems = []
    for path, source in given.items():
        template = expressions.compile(source)
        for error in template.errors:
            where = places.place(federation, path, error.offset)
            problems.append(_problem(federation, error.message, error.rule, where, error.hint))
        if template.errors:
            continue
        others = [each for each in template.references if each.root not in ("result", "organization")]
        for reference in others:
            message = f"{reference.root} cannot be used here: a federation's count is told from the result alone"
            where = places.mention(federation, path, reference, 0)
            problems.append(_problem(federation, message, "disclosure-count", where))
        if not others and not any(reference.root == "result" for reference in template.references):
            message = "`count` does not depend on the result, so it would refuse every result or none"
            hint = "write {{ result.count }}, or another part of the result that says how many it is about"
            problems.append(_problem(federation, message, "disclosure-count", federation.position(path), hint))
    return problems


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


def _step_names(workflow: Workflow) -> Iterator[Problem]:
    document = workflow.document
    known: dict[str, dict[str, str]] = {}  # of each step that has nested ones: theirs, in lower case
    for name, step in workflow.steps.items():
        known.setdefault(step.common.parent, {}).setdefault(name.rpartition(".")[2].lower(), name)
    for name, step in workflow.steps.items():
        short = name.rpartition(".")[2]
        where = document.key_position(step.common.at)
        what = expressions.name_problem(short)
        if what:
            yield _problem(document, what, "name", where)
        outer = step.common.parent
        other = known[outer][short.lower()]
        if other != name and step.common.at[0] == workflow.steps[other].common.at[0]:
            line = document.key_position(workflow.steps[other].common.at).line
            told = f"{short} and {other.rpartition('.')[2]} (line {line}) differ only in upper and lower case"
            yield _problem(document, told, "name-case", where)
        while outer:
            outer = outer.rpartition(".")[0]
            other = known.get(outer, {}).get(short.lower(), "")
            if other:
                line = document.key_position(workflow.steps[other].common.at).line
                yield _problem(document, f"{short} is the name of a step outside, too (line {line})", "name", where)
                break


def _doubled(workflow: Workflow) -> Iterator[Problem]:
    """Names under `finally` that steps have already."""
    document = workflow.document
    others = {name.lower(): name for name, step in workflow.steps.items() if not step.common.final and "." not in name}
    for name in document.value.get("finally") or ():
        if name.lower() in others and ("finally", name) not in workflow.doubtful:
            line = document.key_position(("steps", others[name.lower()])).line
            message = f"{name} is the name of another step already (line {line})"
            yield _problem(document, message, "name", document.key_position(("finally", name)))


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


def _bare(workflow: Workflow) -> Iterator[Problem]:
    """Where nothing but an expression may be, and there is text beside it."""
    for key, template in _conditions(workflow):
        if not template.whole and not template.errors:
            message = f"`{key[-1]}` is one expression and nothing else"
            where = workflow.document.position(key)
            yield _problem(workflow.document, message, "only-expression", where, "write it all within one {{ }}")


def _conditions(workflow: Workflow) -> Iterator[tuple[Path, Template]]:
    """Every place of a workflow where nothing but an expression may be."""
    for each in workflow.preconditions:
        yield each.key, each.condition
    for step in workflow.steps.values():
        if step.common.when is not None:
            yield (*step.common.at, "when"), step.common.when
        for each in step.common.checks:
            yield each.key, each.condition
    yield from _counts(workflow)


def _counts(workflow: Workflow) -> Iterator[tuple[Path, Template]]:
    """Every place that says how many a result is about."""
    given = dict(workflow.defaults.values())
    for step in workflow.steps.values():
        given.update(STEP_KINDS[step.kind].settings(step).values())
    for path, template in given.items():
        if path[-1] == "disclosure" and isinstance(template.source, dict) and "count" in template.source:
            yield (*path, "count"), expressions.compile(template.source["count"])


def _modifiers(workflow: Workflow) -> Iterator[Problem]:
    """What is beside a step and does not fit it."""
    document = workflow.document
    for path, template in _counts(workflow):
        if not template.errors and not any(reference.root == "result" for reference in template.references):
            message = "`count` does not depend on the result, so it would refuse every result or none"
            hint = "write {{ result.count }}, or another part of the result that says how many it is about"
            yield _problem(document, message, "disclosure-count", document.position(path), hint)
    for step in workflow.steps.values():
        for each in step.common.checks:
            if each.each and not step.asks:
                where = document.key_position(each.key)
                message = "`each` checks answers of organizations, and this step asks none"
                yield _problem(document, message, "wrong-modifier", where, "write `that:`, about `this`")
        at = (*step.common.at, "output_schema")
        for what in schema.fragment_problems(step.common.output_schema or {}):
            yield _problem(document, what, "output-schema", document.position(at))


def _needs(workflow: Workflow) -> Iterator[Problem]:
    document = workflow.document
    for step in workflow.steps.values():
        for index, needed in enumerate(step.common.needs):
            where = document.position((*step.common.at, "needs", index))
            found = resolve(workflow.steps, step.common.parent, needed)
            early = scopes.too_early(workflow, found, final=step.common.final)
            if early is not None:
                yield _problem(document, early[0], early[1], where)
            elif found is not None and step.common.name.startswith(f"{found}."):
                told = f"{needed} is the step that this is nested in, which completes only after it"
                yield _problem(document, told, "unknown-step", where)
            elif found is None and not {("steps", needed), ("finally", needed)} & workflow.doubtful:
                yield _problem(document, f"no step {needed!r}", "unknown-step", where, scopes.near(workflow, needed))


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


def _aliases(workflow: Workflow) -> Iterator[Problem]:
    """An `as` that hides that of a step around: the item or the iteration outside could not be named."""
    document = workflow.document
    for step in workflow.steps.values():
        if step.alias is None:
            continue
        for name in outward(step.common.parent):
            outer = workflow.steps[name]
            if outer.kind == step.kind and outer.alias == step.alias:
                told = f"{STEP_KINDS[step.kind].iteration}.{step.alias} is that of the step {name} around it"
                where = document.key_position((*step.common.at, step.kind))
                yield _problem(document, told, "name", where, "give this one another name with as:")
                break


def _cycles(workflow: Workflow) -> list[Problem]:
    document = workflow.document
    cycle = graph.cycle(dependencies.needs(workflow))
    if not cycle:
        return []
    first = min(cycle, key=lambda name: document.key_position(workflow.steps[name].common.at))
    at = cycle.index(first)
    path = [*cycle[at:], *cycle[:at], first]
    if len(cycle) == 1:
        message = f"step {first} needs itself"
    else:
        message = f"these steps wait for each other: {' → '.join(path)} (each is needed by the next)"
    return [_problem(document, message, "cycle", document.key_position(workflow.steps[first].common.at))]


def _flows(workflow: Workflow) -> list[Problem]:
    """What goes where it must not, and what will not go together."""
    return [*cross_site.problems(workflow, _order), *mixing.problems(workflow, _order(workflow))]


def _order(workflow: Workflow) -> list[str]:
    """The steps, each after all that it waits for, and what is unknown among them; none if they wait in a circle."""
    return graph.each_after(dependencies.needs(workflow))


def _problem(document: Document, message: str, rule: str, where: Position, hint: str | None = None) -> Problem:
    return Problem(message, rule, document.name, where, hint)
