"""Pins what a run was started with, and reads it back: its plan and its federation as they were."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from msgspec.structs import replace

from v6flow import loading
from v6flow.core import policy
from v6flow.core.directory import Directory
from v6flow.core.execution import disclosure
from v6flow.core.execution.pinned import Pinned
from v6flow.core.kinds import LocalPlan, local
from v6flow.core.planning import ids, planner
from v6flow.errors import ResumeError, UsageError
from v6flow.version import __version__

if TYPE_CHECKING:
    from collections.abc import Iterator

    from v6flow.backends.base import Federation
    from v6flow.core.execution.state import RunState
    from v6flow.core.language.model import Workflow
    from v6flow.core.planning.plan import Plan


def pin(plan: Plan, federation: Federation | None, jobs: int | None, *, cache: bool = True) -> Pinned:
    """What is kept of a run at its start, so that every resume can go by it."""
    document, directory = plan.workflow.document, plan.directory
    return Pinned(
        version=__version__,
        file=os.path.abspath(document.name),  # noqa: PTH100 - resolve() follows links
        text=document.text,
        files=dict(_texts(plan.workflow)),
        folder=plan.folder,
        params=dict(plan.params),
        federation=federation.file if federation is not None else None,
        backend=federation.backend if federation is not None else None,
        identity=directory.identity,
        organizations=directory.organizations,
        ids=dict(directory.ids),
        defaults=dict(directory.defaults),
        policy=directory.policy.raw(),
        studies=dict(directory.studies),
        sources=source_digests(plan),
        steps=tuple(plan.steps),
        final=tuple(name for name in plan.nested("") if plan.steps[name].common.final),
        deadline=plan.deadline,
        jobs=jobs,
        cache=cache,
    )


def is_of(pinned: Pinned, workflow: Workflow) -> bool:
    """Whether a run was started or last resumed with exactly these files."""
    return (pinned.text, dict(pinned.files)) == (workflow.document.text, dict(_texts(workflow)))


def _texts(workflow: Workflow) -> Iterator[tuple[str, str]]:
    """The texts of the other files that make it up, by their paths."""
    for other in workflow.included:
        yield other.name, other.text
    for _, inner in workflow.called():
        yield inner.document.name, inner.document.text
        yield from _texts(inner)


def source_digests(plan: Plan) -> dict[str, str]:
    """For each local step with a function, a script or files, a digest of their contents."""
    found = {name: source_digest(step, plan) for name, step in local.planned(plan.steps).items()}
    return {name: each for name, each in found.items() if each is not None}


def source_digest(step: LocalPlan, plan: Plan) -> str | None:
    """A digest of what a local step is written in, None if that is the workflow alone."""
    words = local.words(step)
    if not (step.function or step.files or words):
        return None
    from v6flow.local import sources

    return sources.digest(step.function, Path(step.folder or plan.folder), step.files, words)


def done_before(plan: Plan, state: RunState) -> bool:
    """Whether a run has completed that a new one by this plan would only repeat, by what is pinned of both."""
    return state.status == "completed" and _deciding(state.pinned) == _deciding(pin(plan, None, None))


def _deciding(pinned: Pinned) -> Pinned:
    """What decides results; of the federation its identity does."""
    return replace(pinned, version="", federation=None, backend=None, deadline=None, jobs=None, cache=True)


def pinned_federation(pinned: Pinned, file: str | None = None) -> Federation | None:
    """The federation of a run, by the file that it names or another. Raises ResumeError."""
    file = file or pinned.federation
    if file is None:
        return None
    try:
        return loading.read_federation(file)
    except UsageError as error:
        raise ResumeError(f"the federation of this run cannot be read: {error.message}", hint=error.hint) from error


def pinned_plan(state: RunState, current: Workflow | None = None) -> Plan:
    """The plan as it was when the run was started or last resumed; `current` is the workflow as it is now."""
    pinned = state.pinned
    workflow = current
    if workflow is None or not is_of(pinned, workflow):
        workflow = loading.parse_kept(pinned.text, pinned.file, pinned.files)
    directory = Directory(
        pinned.organizations,
        ids=pinned.ids,
        identity=pinned.identity,
        defaults=pinned.defaults,
        policy=policy.parse(pinned.policy),
        studies=pinned.studies,
    )
    return planner.make(workflow, pinned.params, directory, folder=pinned.folder, run=state.run, started=state.started)


def log_withheld(state: RunState, name: str) -> tuple[str, str] | None:
    """Why the logs of a step's task runs are withheld, and what a person can do; None if they are not."""
    plan = pinned_plan(state)
    limits = plan.directory.policy
    why = disclosure.why_withheld(limits, plan.steps.get(ids.definition(name)))
    return (why, disclosure.who_can_see(limits)) if why is not None else None
