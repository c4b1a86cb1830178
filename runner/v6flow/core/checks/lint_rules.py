"""What each rule of `lint` finds in a workflow; why it matters is in `lint.RULES`."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, TypeAlias

from v6flow.core.checks.mixing import may_be_fewer
from v6flow.core.kinds import STEP_KINDS, settings
from v6flow.core.kinds.base import NOT_CARRYING
from v6flow.core.language.naming import resolve
from v6flow.core.language.redaction import SECRET_VALUE
from v6flow.core.patterns import pattern
from v6flow.core.planning.dependencies import fields

if TYPE_CHECKING:
    from collections.abc import Iterator

    from v6flow.core.expressions import Template
    from v6flow.core.kinds.fields import Field
    from v6flow.core.language.model import Step, Workflow
    from v6flow.core.language.problem import Path, Position

Found: TypeAlias = "Iterator[tuple[Position, str, str]]"
"""What a rule finds: each time where, what, and the remedy."""


_SECRET_KEY = pattern(
    r"(?:^|_)(?:pass|passwd|password|passphrase|secret|token|api_?key|private_?key|credentials?)$", re.IGNORECASE
)
_WHOLE = pattern(r"\s*\{\{\s*steps\.(\w+)\.(results|by_organization)\s*\}\}\s*")
_HUMP = pattern(r"(?<=[a-z0-9])(?=[A-Z])")


def unused_param(workflow: Workflow) -> Found:
    used = {reference.path[:1] for _, field in _fields(workflow) for reference in field.template.references
            if reference.root == "params"}  # fmt: skip
    if () in used or (None,) in used:  # all of them, or one that is computed
        return
    for name in _own_params(workflow):
        if (name,) not in used:
            where = workflow.document.key_position(("params", name))
            yield where, f"nothing uses the param {name}", "remove it, or use it"


def unused_step(workflow: Workflow) -> Found:
    used = {source for name, step in workflow.steps.items() for source in _sources(workflow, name, step.common.needs)}
    for name, field in _fields(workflow):
        used.update(source for source in _sources(workflow, name, _steps(field.template)) if source != name)
    for name, step in workflow.steps.items():
        pure = STEP_KINDS[step.kind].is_pure(step)
        reports = step.asks and step.common.final  # nobody can use it: it is there to report the end
        if name in used or reports or not (pure or step.common.on_failure == "continue"):
            continue
        what = "hospitals are asked, and" if step.asks else "it is computed, and"
        where = workflow.document.key_position(step.common.at)
        yield (
            where,
            f"nothing uses the step {_short(name)}: {what} no step and no output takes it",
            "remove it, or use it",
        )


def builtin_timeout(workflow: Workflow) -> Found:
    for name, step in workflow.steps.items():
        if step.asks and "timeout" not in STEP_KINDS[step.kind].settings(step):
            yield (
                workflow.document.key_position(step.common.at),
                f"step {_short(name)} has no timeout: it waits {settings.SETTINGS['timeout']} for silent organizations",
                "write timeout: 2h, say, beside task or in defaults",
            )


def mixed_passes(workflow: Workflow) -> Found:
    for name, step in workflow.steps.items():
        if not _asks_several(step) or step.common.mixed_cohorts is not None:
            continue
        path, organizations = STEP_KINDS[step.kind].settings(step).get("organizations", (step.common.at, None))
        if organizations is not None and any(each.path[1:2] == ("responded",) for each in organizations.references):
            continue
        for source in _carried(workflow, name):
            asked = workflow.steps[source]
            if _asks_several(asked) and may_be_fewer(asked):
                hint = f'write organizations: "{{{{ steps.{_short(source)}.responded }}}}"'
                first = _short(source)
                told = f"step {_short(name)} uses what {first} gave, where some may be missing, and asks them too"
                yield workflow.document.key_position(path), told, hint


def moving_image(workflow: Workflow) -> Found:
    for path, template in _settings(workflow, "image"):
        image = template.source
        if not isinstance(image, str) or "{{" in image or "@" in image:
            continue
        tag = image.rpartition("/")[2].partition(":")[2]
        if tag in ("", "latest"):
            what = "is whatever was pushed last" if tag else "has no tag: it is whatever was pushed last"
            hint = f"write {image.partition(':latest')[0]}:1.0, say, or a digest"
            yield workflow.document.position(path), f"the image {image} {what}", hint


def retry_crashed(workflow: Workflow) -> Found:
    for path, template in _settings(workflow, "retry"):
        kinds = template.source.get("on", ()) if isinstance(template.source, dict) else ()
        if "crashed" in kinds:
            where = workflow.document.position((*path, "on", kinds.index("crashed")))
            told = "an algorithm that crashed crashes again on the same data, and each attempt asks the hospital"
            yield where, told, "leave crashed out; fix the cause, then resume the run with --retry-failed"


def secret_literal(workflow: Workflow) -> Found:
    for step in workflow.steps.values():
        given = (field for field in STEP_KINDS[step.kind].fields(step) if field.key[-1] == "kwargs")
        for path, key, text in (found for field in given for found in _texts(field.template.source, field.key)):
            if "{{" not in text and text and (_SECRET_KEY.search(key) or SECRET_VALUE.search(text)):
                where = workflow.document.position(path)
                message = f"the value at {key or path[-1]} looks like a secret: file, journal and task would contain it"
                yield where, message, "keep it where the algorithm runs, in the node's environment"


def leading_dash(workflow: Workflow) -> Found:
    for step in workflow.steps.values():
        for path in STEP_KINDS[step.kind].options(step):
            where = workflow.document.position(path)
            told = "a value that begins with - would be read as an option here"
            yield where, told, "write -- before it if the program takes that, or pass it as kwargs, on stdin"


def param_description(workflow: Workflow) -> Found:
    for name in _own_params(workflow):
        if not workflow.params[name].description:
            where = workflow.document.key_position(("params", name))
            yield where, f"the param {name} has no description", "write description: in words of the people who give it"


def per_organization_output(workflow: Workflow) -> Found:
    for output in workflow.outputs.values():
        for path, _, text in _texts(output.value.source, output.at):
            if (match := _WHOLE.fullmatch(text)) and match[1] in workflow.steps and workflow.steps[match[1]].asks:
                where = workflow.document.position(path)
                told = f"the output {output.name} contains each hospital's own answer, so every reader sees whose it is"
                yield where, told, f"output what is pooled from steps.{match[1]}.{match[2]}"


def unread_convergence(workflow: Workflow) -> Found:
    read: set[str] = set()
    for name, field in _fields(workflow):
        for reference in field.template.references:
            if reference.root == "steps" and reference.path[1:2] in (("converged",), (None,)):
                read.update(_sources(workflow, name, reference.path[:1]))
            elif reference.root == "this" and reference.path[:1] in (("converged",), (None,)):
                read.add(name)
    for name, step in workflow.steps.items():
        path = STEP_KINDS[step.kind].unconverged(step)
        if path is not None and name not in read:
            short = _short(name)
            told = f"step {short} may end at max without having converged, and nothing reads steps.{short}.converged"
            hint = f'write an output: converged: "{{{{ steps.{short}.converged }}}}"'
            if step.common.parent:
                hint = f"use steps.{short}.converged in what the step around it returns"
            yield workflow.document.position(path), told, hint


def mixed_case(workflow: Workflow) -> Found:
    steps = [(step.common.at, _short(name)) for name, step in workflow.steps.items()]
    params = [(("params", name), name) for name in _own_params(workflow)]
    outputs = [(("outputs", name), name) for name in workflow.outputs]
    for path, name in (*steps, *params, *outputs):
        if name != name.lower():
            better = _HUMP.sub("_", name).lower()
            yield workflow.document.key_position(path), f"the name {name} has capital letters", f"write {better}"


# ------------------------------------------------------------------------------------------- looking at workflows


def _fields(workflow: Workflow) -> Iterator[tuple[str, Field]]:
    """Every place where expressions may be, with the step it is in, empty outside of steps."""
    return ((step.common.name if step is not None else "", field) for step, field in fields(workflow))


def _own_params(workflow: Workflow) -> list[str]:
    """The params that the file itself has."""
    return [name for name in workflow.params if name in workflow.document.value.get("params", {})]


def _settings(workflow: Workflow, key: str) -> Iterator[tuple[Path, Template]]:
    """Each place where a setting of task steps is said, once."""
    given = [STEP_KINDS[step.kind].settings(step) for step in workflow.steps.values()]
    said = [each[key] for each in given if key in each]
    if key in workflow.defaults:
        said.append(workflow.defaults[key])
    yield from dict(said).items()


def _steps(template: Template, *, carrying: bool = False) -> Iterator[str]:
    """The names of the steps that a template uses; on demand only those whose values it takes."""
    for reference in template.references:
        if reference.root == "steps" and reference.path and isinstance(reference.path[0], str):
            if carrying and reference.path[1:2] and reference.path[1] in NOT_CARRYING:
                continue
            yield reference.path[0]


def _sources(workflow: Workflow, where: str, names: Any) -> Iterator[str]:
    """The steps that names mean in a step: those nested in it or beside it before those farther outside."""
    found = (resolve(workflow.steps, where, name) for name in names)
    return (name for name in found if name is not None)


def _carried(workflow: Workflow, name: str) -> list[str]:
    """The steps whose values are in what a step is given, also by way of others."""
    found: dict[str, None] = {}
    waiting = [name]
    while waiting:
        name = waiting.pop()
        step = workflow.steps[name]
        for template in STEP_KINDS[step.kind].passed_on(step):
            for source in _sources(workflow, name, _steps(template, carrying=True)):
                if source not in found:
                    found[source] = None
                    waiting.append(source)
    return list(found)


def _asks_several(step: Step) -> bool:
    """Whether a step asks several organizations, whose results it offers as a list."""
    return step.asks and "results" in STEP_KINDS[step.kind].offers(step)


def _texts(value: Any, path: Path, key: str = "") -> Iterator[tuple[Path, str, str]]:
    """The texts in a value, each with its place and the nearest key above it."""
    if isinstance(value, dict):
        for name, item in value.items():
            yield from _texts(item, (*path, name), name)
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from _texts(item, (*path, index), key)
    elif isinstance(value, str):
        yield path, key, value


def _short(name: str) -> str:
    return name.rpartition(".")[2]
