"""What a schema cannot say of a workflow: unknown names, wrong scopes, cycles, parameters of the wrong type."""

from __future__ import annotations

import functools
import re
from typing import TYPE_CHECKING, Any

from v6flow.core import expressions
from v6flow.core.checks import cross_site, mixing
from v6flow.core.kinds import STEP_KINDS, ForeachStep, RepeatStep, task
from v6flow.core.kinds.base import PARAMS, STEPS, Field, common_fields, common_needed
from v6flow.core.language import places, schema
from v6flow.core.language.naming import resolve
from v6flow.core.language.problem import Path, Position, Problem
from v6flow.core.language.words import suggestion
from v6flow.core.planning.graph import Graph

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from v6flow.core.expressions import Reference, Template
    from v6flow.core.kinds import Step
    from v6flow.core.language.document import Document
    from v6flow.core.language.model import Workflow
    from v6flow.core.planning.directory import Directory

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
_BY_ITSELF = "what an organization answers is judged by itself"
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
        *_fields(workflow),
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
            message = "`count` says nothing of the result, so that none would ever be refused, or all"
            hint = "write {{ result.count }}, or where else the result says how many it is about"
            problems.append(_problem(federation, message, "disclosure-count", federation.position(path), hint))
    return problems


@functools.lru_cache(maxsize=1)  # what `check` has built, `plan` goes on with
def graph(workflow: Workflow) -> tuple[dict[str, list[str]], Graph]:
    """The steps that each step waits for, and the graph of them."""
    edges = needs(workflow)
    return edges, Graph(edges)


def needs(workflow: Workflow) -> dict[str, list[str]]:
    """For each step, the steps beside it that it waits for: by reference or by `needs`, each once, as they occur.

    What a nested step uses of outside is waited for by the step that it is nested in.
    """
    found: dict[str, dict[str, None]] = {name: {} for name in workflow.steps}
    nested = any("." in name for name in workflow.steps)
    for name, step in workflow.steps.items():
        parent = step.common.parent
        for used in (
            *step.common.needs,
            *_used(common_needed(step.common)),
            *_used(STEP_KINDS[step.kind].needed(step)),
        ):
            _wait(workflow, found, name, parent, used, nested=nested)
        for used in _used(STEP_KINDS[step.kind].needed_inside(step)):
            _wait(workflow, found, name, name, used, nested=nested)
    return {name: list(sources) for name, sources in found.items()}


def _wait(
    workflow: Workflow, found: dict[str, dict[str, None]], name: str, where: str, used: str, *, nested: bool
) -> None:
    """Have the step that stands beside what is used wait for it: the user, or one that it is nested in."""
    if not nested:
        found[name][used] = None
        return
    source = resolve(workflow.steps, where, used)
    if source is None or where == source or where.startswith(f"{source}."):
        return
    level = source.rpartition(".")[0]
    if where == name and level == name:
        return  # it is nested in the user itself
    while name.rpartition(".")[0] != level:
        name = name.rpartition(".")[0]
    found[name][source] = None


def _used(templates: Iterable[Template]) -> Iterator[str]:
    for template in templates:
        for reference in template.references:
            if reference.root == "steps" and reference.path and isinstance(reference.path[0], str):
                yield reference.path[0]


def drawn(workflow: Workflow) -> dict[str, list[str]]:
    """For each step, those above it in a drawing: what it waits for or, of one that comes at the end, the others."""
    found = needs(workflow)
    used = {source for name, sources in found.items() if not workflow.steps[name].common.final for source in sources}
    outer = {name: step.common.final for name, step in workflow.steps.items() if not step.common.parent}
    last = [name for name, final in outer.items() if not final and name not in used]
    return {name: sources or (last if outer.get(name) else []) for name, sources in found.items()}


def needs_federation(workflow: Workflow) -> bool:
    """Whether a workflow asks organizations, or uses what is known only of a federation."""
    if workflow.uses_federation() or "organization_ids" in workflow.document.text:
        return True
    if any(needs_federation(inner) for _, inner in workflow.called()):
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


def _all_fields(workflow: Workflow) -> Iterator[tuple[Step | None, Field]]:
    for key, (path, template) in workflow.defaults.items():
        for field in task.setting_fields(key, path, template):
            yield None, field
    for step in workflow.steps.values():
        for field in (*common_fields(step.common), *STEP_KINDS[step.kind].fields(step)):
            yield step, field
    for each in workflow.preconditions:
        yield None, Field(each.key, each.condition, PARAMS)
        yield None, Field((*each.at, "message"), each.message, PARAMS)
    for output in workflow.outputs.values():
        yield None, Field(output.at, output.value, STEPS)


def _fields(workflow: Workflow) -> Iterator[Problem]:
    document = workflow.document
    offers: dict[str, frozenset[str]] = {}
    for step, field in _all_fields(workflow):
        for error in field.template.errors:
            where = places.place(document, field.key + error.at, error.offset)
            hint = _step_meant(workflow, field, error) or error.hint
            yield _problem(document, error.message, error.rule, where, hint)
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
    workflow: Workflow, step: Step | None, field: Field, reference: Reference, offers: dict[str, frozenset[str]]
) -> tuple[str, str, str | None] | None:
    root, path = reference.root, reference.path
    around = _around(workflow, step, field)
    if root in ("each", "loop") and "steps" in field.scope and any(_ROUNDS[each.kind] == root for each in around):
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
        early = _too_early(workflow, resolve(workflow.steps, where, first), final=final)
        return early or _step_reference(workflow, where, first, path, offers)
    return None


def _around(workflow: Workflow, step: Step | None, field: Field) -> list[RepeatStep | ForeachStep]:
    """The steps with rounds or items that a field is inside of, the innermost first."""
    found: list[RepeatStep | ForeachStep] = []
    name = "" if step is None else step.common.name if field.inside else step.common.parent
    while name:
        outer = workflow.steps[name]
        if isinstance(outer, (RepeatStep, ForeachStep)):
            found.append(outer)
        name = name.rpartition(".")[0]
    return found


_ROUNDS = {"repeat": "loop", "foreach": "each"}
_OF = {"loop": "a round", "each": "an item"}


def _round_reference(
    root: str, path: tuple[str | int | None, ...], around: list[RepeatStep | ForeachStep], *, until: bool
) -> tuple[str, str, str | None] | None:
    """What is wrong with a reference to a round or an item."""
    names = [each.alias for each in around if _ROUNDS[each.kind] == root and each.alias is not None]
    offered = ["key", "index", *names] if root == "each" else ["index", "state", *(["next"] if until else []), *names]
    first = path[0] if path else None
    innermost = next((each.alias for each in around if _ROUNDS[each.kind] == root), None)
    if not path:
        return f"{root} alone is no value: say what of it", "unknown-attribute", f"it has {', '.join(offered)}"
    if isinstance(first, str) and first not in offered:
        hint = suggestion(first, offered)
        if root == "loop" and first == "next":
            hint = "the state after the round is known in until only"
        return f"{root} has no {first!r} here: it has {', '.join(offered)}", "unknown-attribute", hint
    if root == "loop" and first in names:
        return _round_of(first, path[1:], ["index", "state", *(["next"] if until and first == innermost else [])])
    return None


def _round_of(alias: str, path: tuple[str | int | None, ...], offered: list[str]) -> tuple[str, str, str | None] | None:
    """What is wrong with what follows `loop.<as>`."""
    if not path:
        told = f"loop.{alias} alone is no value: say what of it"
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
        return "this alone is no value: say what of it", "unknown-attribute", f"it offers {', '.join(sorted(offered))}"
    if isinstance(first, str) and first not in offered:
        told = f"this step does not offer {first!r}: it offers {', '.join(sorted(offered))}"
        return told, "unknown-attribute", suggestion(first, offered)
    return None


def _too_early(workflow: Workflow, name: str | None, *, final: bool) -> tuple[str, str, str | None] | None:
    """What is wrong with a use of a step that runs when all else is over."""
    if final or name is None or not workflow.steps[name].common.final:
        return None
    return f"step {name} stands under `finally`: it runs when all else is over", "unknown-step", None


def _step_reference(
    workflow: Workflow, where: str, short: str, path: tuple[str | int | None, ...], offers: dict[str, frozenset[str]]
) -> tuple[str, str, str | None] | None:
    name = resolve(workflow.steps, where, short)
    if name is None:
        return f"no step {short!r}", "unknown-step", _step_near(workflow, short)
    if where == name or where.startswith(f"{name}."):
        hint = "loop.state is what came of the round before" if workflow.steps[name].kind == "repeat" else None
        return f"{short} is the step that this is nested in, and has no value yet", "unknown-step", hint
    step = workflow.steps[name]
    if len(path) == 1:
        return (
            f"steps.{short} alone is no value: say what of it",
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


def _step_near(workflow: Workflow, short: str) -> str | None:
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


def _bare(workflow: Workflow) -> Iterator[Problem]:
    """Where nothing but an expression may stand, and there is text beside it."""
    for key, template in _conditions(workflow):
        if not template.whole and not template.errors:
            message = f"`{key[-1]}` is one expression and nothing else"
            where = workflow.document.position(key)
            yield _problem(workflow.document, message, "only-expression", where, "write it all within one {{ }}")


def _conditions(workflow: Workflow) -> Iterator[tuple[Path, Template]]:
    """Every place of a workflow where nothing but an expression may stand."""
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
        given.update(step.settings.values() if isinstance(step, task.TaskStep) else ())
    for path, template in given.items():
        if path[-1] == "disclosure" and isinstance(template.source, dict) and "count" in template.source:
            yield (*path, "count"), expressions.compile(template.source["count"])


def _modifiers(workflow: Workflow) -> Iterator[Problem]:
    """What stands beside a step and does not fit it."""
    document = workflow.document
    for path, template in _counts(workflow):
        if not template.errors and not any(reference.root == "result" for reference in template.references):
            message = "`count` says nothing of the result, so that none would ever be refused, or all"
            hint = "write {{ result.count }}, or where else the result says how many it is about"
            yield _problem(document, message, "disclosure-count", document.position(path), hint)
    for step in workflow.steps.values():
        for each in step.common.checks:
            if each.each and step.kind != task.KEY:
                where = document.key_position(each.key)
                message = "`each` judges what organizations answer, and this step asks none"
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
            early = _too_early(workflow, found, final=step.common.final)
            if early is not None:
                yield _problem(document, early[0], early[1], where)
            elif found is not None and step.common.name.startswith(f"{found}."):
                told = f"{needed} is the step that this is nested in, which completes only after it"
                yield _problem(document, told, "unknown-step", where)
            elif found is None and not {("steps", needed), ("finally", needed)} & workflow.doubtful:
                yield _problem(document, f"no step {needed!r}", "unknown-step", where, _step_near(workflow, needed))


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
    """An `as` that hides that of a step around: the item or the round outside could not be named."""
    for step in workflow.steps.values():
        if not isinstance(step, (RepeatStep, ForeachStep)) or step.alias is None:
            continue
        name = step.common.parent
        while name:
            outer = workflow.steps[name]
            if isinstance(outer, (RepeatStep, ForeachStep)) and outer.kind == step.kind and outer.alias == step.alias:
                root = _ROUNDS[step.kind]
                told = f"{root}.{step.alias} is that of the step {name} around it"
                at = (*step.common.at, step.kind)
                document = workflow.document
                where = document.key_position(at)
                yield _problem(document, told, "name", where, "give this one another name with as:")
                break
            name = name.rpartition(".")[0]


def _cycles(workflow: Workflow) -> list[Problem]:
    document = workflow.document
    cycle = graph(workflow)[1].cycle()
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
    steps = graph(workflow)[1]
    return [] if steps.cycle() else steps.order()


def _problem(document: Document, message: str, rule: str, where: Position, hint: str | None = None) -> Problem:
    return Problem(message, rule, document.name, where, hint)
