"""What the steps of a workflow depend on: each other, and a federation."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING

from v6flow.core.kinds import STEP_KINDS
from v6flow.core.kinds.fields import PARAMS, STEPS, Field, common_fields, common_needed
from v6flow.core.kinds.settings import setting_fields
from v6flow.core.language.naming import resolve

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from v6flow.core.expressions import Template
    from v6flow.core.language.model import Step, Workflow


@functools.lru_cache(maxsize=1)  # what a check has found, a plan continues with
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
    """Have the step that is beside what is used wait for it: the user, or one that it is nested in."""
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
    if workflow.asks_organizations() or "organization_ids" in workflow.document.text:
        return True
    if any(needs_federation(inner) for _, inner in workflow.called()):
        return True
    references = (reference for _, field in fields(workflow) for reference in field.template.references)
    return any(reference.root == "federation" for reference in references)


def look_ups(workflow: Workflow) -> dict[str, bool]:
    """What a plan needs of a federation besides its organizations (see `Access.directory`)."""
    asking = list(workflow.asking())
    return {
        "studies": any(step.study is not None for step in asking),
        "stores": any("store" in step.settings for step in asking),
    }


def fields(workflow: Workflow) -> Iterator[tuple[Step | None, Field]]:
    """Every place where expressions may be, with the step it is in, None outside of steps."""
    for key, (path, template) in workflow.defaults.items():
        for field in setting_fields(key, path, template):
            yield None, field
    for step in workflow.steps.values():
        for field in (*common_fields(step.common), *STEP_KINDS[step.kind].fields(step)):
            yield step, field
    for each in workflow.preconditions:
        yield None, Field(each.key, each.condition, PARAMS)
        yield None, Field((*each.at, "message"), each.message, PARAMS)
    for output in workflow.outputs.values():
        yield None, Field(output.at, output.value, STEPS)
