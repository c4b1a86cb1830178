"""Resumes runs by the files as they are now, unless what was done would differ."""

from __future__ import annotations

import functools
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

from msgspec.structs import replace

from v6flow import actor, loading, paths
from v6flow.clock import LaterClock, SystemClock
from v6flow.core import policy
from v6flow.core.execution.events import RunResumed
from v6flow.core.execution.pinned import encode
from v6flow.core.language.messages import choice
from v6flow.core.language.problem import InvalidError
from v6flow.core.language.words import suggestion
from v6flow.core.planning import ids
from v6flow.errors import ResumeError, UsageError
from v6flow.runs.active import ActiveRun
from v6flow.runs.changes import differences, short
from v6flow.runs.pinning import is_of, pin, pinned_federation, pinned_plan
from v6flow.runs.reach import reach_for
from v6flow.runs.starting import make_plan
from v6flow.stores.base import CancelRequest

if TYPE_CHECKING:
    from collections.abc import Sequence

    from v6flow.actor import Actor
    from v6flow.backends.base import Access, Federation
    from v6flow.clock import Clock
    from v6flow.core.execution.state import RunState
    from v6flow.core.language.model import Workflow
    from v6flow.core.planning.plan import Plan
    from v6flow.runs.opened import OpenRun


def resume(
    opened: OpenRun,
    *,
    retry_failed: bool = False,
    resubmit: Sequence[str] = (),
    federation_file: str | None = None,
    deadline: float | None = None,
    jobs: int | None = None,
    by: Actor | None = None,
    clock: Clock | None = None,
) -> ActiveRun:
    """An unfinished run, or with `retry_failed` a failed one, ready to continue.

    `deadline` is in seconds from now, and takes the place of the run's own. `resubmit` names steps, or
    STEP/ORGANIZATION, of which a person says that nothing came of sending them their task.
    Raises ResumeError, with the difference, if what has been run is no longer what the files say.
    """
    state, pinned = opened.state, opened.state.pinned
    if not state.run:
        raise ResumeError(f"run {opened.stored.id} ended before anything was recorded", hint="start a new run")
    by, clock = by or actor.here(), LaterClock(clock or SystemClock(), state.last)
    tokens = tuple(token for place in resubmit for token in _tokens(state, place))
    federation = pinned_federation(pinned, federation_file)
    workflow = _current_workflow(state)
    access = reach_for(workflow, federation)
    with ExitStack() as undo:
        if access is not None:
            undo.callback(access.close)
        now = clock.now()
        down = now - state.held_until
        pinned_deadline = pinned.deadline if deadline is None else now + deadline - state.down - down
        until = pinned_deadline and pinned_deadline + state.down + down
        plan = _current_plan(state, workflow, access, until)
        old = pinned_plan(state, plan.workflow)
        changed, refused = differences(state, old, plan)
        if refused:
            raise ResumeError(
                f"run {state.run} cannot continue: what it has done no longer agrees with the files:\n  "
                + "\n  ".join(refused),
                hint="undo the change, or start a new run",
            )
        retry, reset = what_to_do_again(state, plan) if retry_failed else ([], [])
        value = None
        is_same = plan.directory.policy == old.directory.policy and is_of(pinned, plan.workflow)
        if changed or deadline is not None or not is_same:
            anew = pin(plan, federation, pinned.jobs, cache=pinned.cache)
            value = encode(replace(anew, deadline=pinned_deadline))
        steps = tuple(changed), tuple(retry), tuple(reset)
        opened.stored.mark_over(False)
        if state.status == "failed":
            opened.stored.requests.forget(CancelRequest())  # it was meant for what has failed since
        opened.record(RunResumed(now, down, value, *steps, tokens, by=by.by, via=by.via))
        notes = _stricter_before(plan, access, federation)
        undo.pop_all()
    return ActiveRun(opened, plan, access, jobs or pinned.jobs, clock, notes)


def _stricter_before(plan: Plan, access: Access | None, federation: Federation | None) -> list[str]:
    """A note of each limit that a resumed run keeps to and its federation file no longer has."""
    if access is None or federation is None:
        return []
    now, held = access.directory().policy.raw(), plan.directory.policy.raw()
    lifted = [key for key in held if held[key] != now.get(key)]
    if not lifted:
        return []
    limits = choice([f"{key}: {short(held[key])}" for key in lifted], "and")
    return [
        f"the policy that this run started with is stricter than {federation.file} is now, and still applies: {limits}"
    ]


def what_to_do_again(state: RunState, plan: Plan) -> tuple[list[str], list[str]]:
    """The steps that are to ask again whom they lack, and those that are to be done wholly again."""
    open_ = {name: step for name, step in state.steps.items() if is_open(state, name)}
    retry = [name for name, step in open_.items() if step.status == "failed" and _is_tried_again(name, plan)]
    after = {
        ids.prefix(name) + ids.short(other) for name in retry for other in plan.graph.after([ids.definition(name)])
    }
    if retry or state.status == "failed":  # the run ends again
        after.update(name for name, step in plan.steps.items() if step.common.final)
    return retry, [
        name
        for name, step in open_.items()
        # what a condition left out stays so, unless the condition may now be another
        if name in after or (step.status == "skipped" and step.reason not in ("when", "skipped"))
    ]


def _is_tried_again(name: str, plan: Plan) -> bool:
    """Whether a failed step is tried again: those under `finally` are done wholly again, if the run ends again."""
    step = plan.steps.get(ids.definition(name))
    return step is not None and not step.common.final


def is_open(state: RunState, name: str) -> bool:
    """Whether what becomes of a step can still change something: not if its round has ended, or its item completed."""
    for inner in ids.outward(ids.prefix(name))[:-1]:
        path, number = ids.around(inner)
        step = state.step(path)
        if step.status == "completed":
            return False
        if step.items is not None:
            if step.items[number - 1].status == "completed":
                return False
        elif number and number <= step.rounds:
            return False
    return True


def _tokens(state: RunState, place: str) -> list[str]:
    """The tokens of what a step has asked (STEP, or STEP/ORGANIZATION) and nobody has answered. Raises UsageError."""
    name, _, organization = place.partition("/")
    step = state.steps.get(name)
    if step is None:
        raise UsageError(f"step {name} has asked nobody", hint=suggestion(name, state.steps))
    asked = [each for each in step.organizations.values() if organization in ("", each.name)]
    tokens = [each.token for each in asked if each.status == "requested"]
    if not tokens:
        whom = organization or "anybody"
        raise UsageError(f"step {name} waits for no answer of {whom}, so there is nothing to submit again")
    return tokens


def _current_workflow(state: RunState) -> Workflow:
    """The workflow by its file as it is now; one that is gone is taken as it was."""
    pinned = state.pinned
    text: bytes | str = pinned.text
    if paths.is_file(pinned.file):
        text = loading.read_bytes(pinned.file, "workflow")
    return loading.parse_workflow(text, pinned.file, folder=Path(pinned.folder))


def _current_plan(state: RunState, workflow: Workflow, access: Access | None, deadline: float | None) -> Plan:
    """The plan by the files as they are now."""
    pinned = state.pinned
    folder = Path(pinned.folder)
    new = [name for name, param in workflow.params.items() if param.required and name not in pinned.params]
    if new:
        raise ResumeError(
            f"run {state.run} cannot continue: it has no value for the new param {new[0]}",
            hint="give the param a default, or start a new run",
        )
    params = {name: pinned.params.get(name, param.schema.get("default")) for name, param in workflow.params.items()}
    make = functools.partial(
        make_plan, workflow, params, access, folder=folder, run=state.run, started=state.started, deadline=deadline
    )
    began_under = policy.parse(pinned.policy)
    try:
        return make(began_under=began_under)
    except InvalidError as error:
        make()  # what is wrong under the file's own policy is told as it is
        raise ResumeError(
            f"run {state.run} cannot continue under the policy that it started with, which is stricter than that of "
            "the federation file now:\n  " + "\n  ".join(each.message for each in error.problems),
            hint="start a new run",
        ) from error
