"""Starts runs: plans a workflow on a federation, checks the federation, and pins what every resume goes by."""

from __future__ import annotations

import secrets
import shlex
from contextlib import ExitStack
from typing import TYPE_CHECKING

from msgspec.structs import replace

from v6flow import actor
from v6flow.clock import SystemClock
from v6flow.core.checks import soundness
from v6flow.core.directory import Directory
from v6flow.core.execution.events import RunStarted
from v6flow.core.execution.pinned import encode
from v6flow.core.planning import planner
from v6flow.core.planning.dependencies import look_ups
from v6flow.core.policy import NO_LIMITS, Policy
from v6flow.errors import AccessError, FederationError, UnreachableError
from v6flow.runs.active import ActiveRun
from v6flow.runs.opened import open_run
from v6flow.runs.pinning import is_of, pin
from v6flow.runs.reach import reach_for
from v6flow.stores.run_ids import run_id

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from v6flow.actor import Actor
    from v6flow.backends.base import Access, Federation
    from v6flow.clock import Clock
    from v6flow.core.execution.state import RunState
    from v6flow.core.json import Json
    from v6flow.core.language.model import Workflow
    from v6flow.core.planning.plan import Plan
    from v6flow.stores.base import RunStore

_LETTERS = "abcdefghijkmnpqrstuvwxyz23456789"


def start(
    workflow: Workflow,
    params: Mapping[str, Json],
    federation: Federation | None,
    store: RunStore,
    *,
    folder: Path,
    access: Access | None = None,
    deadline: float | None = None,
    jobs: int | None = None,
    preflight: bool = True,
    cache: bool = True,
    by: Actor | None = None,
    clock: Clock | None = None,
) -> ActiveRun:
    """A new run of a workflow whose file is in `folder`; `deadline` is in seconds from now.

    `by` is who starts it (default: the user of this program). Without `cache` no result of an earlier run is reused;
    those of this one are kept for later runs all the same.
    `access` is that of the federation if it was reached before, and closed by the run. Without `preflight` nothing is
    asked of the federation before the first task is sent.
    Raises InvalidError if the workflow does not fit the params or the federation; nothing has been kept then.
    """
    by, clock = by or actor.here(), clock or SystemClock()
    access = access or reach_for(workflow, federation)
    with ExitStack() as undo:
        if access is not None:
            undo.callback(access.close)
        now = clock.now()
        run = run_id(workflow.name, now, "".join(secrets.choice(_LETTERS) for _ in range(4)))
        until = deadline and now + deadline
        plan = make_plan(workflow, params, access, folder=folder, run=run, started=now, deadline=until)
        notes = [str(each) for each in soundness.warnings(workflow, plan.directory)]
        notes += _preflight(access, plan, federation) if preflight and access is not None else []
        pinned = encode(pin(plan, federation, jobs, cache=cache))
        opened = undo.enter_context(open_run(store.create(run)))
        opened.record(RunStarted(now, run, workflow.name, pinned, by=by.by, via=by.via))
        undo.pop_all()
    return ActiveRun(opened, plan, access, jobs, clock, notes)


def _preflight(access: Access, plan: Plan, federation: Federation | None) -> list[str]:
    """What a person should know before anybody is asked. Raises the error of what must be mended first."""
    from v6flow.core.checks import findings

    found = findings.ordered(findings.weigh(plan, access.preflight(plan)))
    problems = [each for each in found if each.status == "problem"]
    if problems:
        message = "nothing was sent, because this run cannot succeed:\n  " + "\n  ".join(map(str, problems))
        code = findings.exit_code(problems)
        kind = next((each for each in (AccessError, UnreachableError) if each.exit_code == code), FederationError)
        words = ["v6flow", "doctor", plan.workflow.document.name]
        words += ["--federation", federation.file] if federation is not None else []
        hint = f"`{shlex.join(words)}` shows everything; --skip-preflight runs it anyway"
        raise kind(message, hint=hint)
    # who is offline is told when the run begins
    return [str(each) for each in found if each.status == "warning" and each.organization not in plan.directory.offline]


def make_plan(
    workflow: Workflow,
    params: Mapping[str, Json],
    access: Access | None,
    *,
    folder: Path,
    run: str = "",
    started: float = 0.0,
    deadline: float | None = None,
    began_under: Policy = NO_LIMITS,
) -> Plan:
    """The plan of a workflow on a federation, None where it needs none. Raises InvalidError, FederationError.

    `began_under` is the policy of a run that is resumed: of it and the federation's own the stricter holds.
    """
    directory = _directory(workflow, access)
    return planner.make(
        workflow,
        params,
        replace(directory, policy=directory.policy.stricter(began_under)),
        folder=str(folder.absolute()),
        run=run,
        started=started,
        deadline=deadline,
    )


def _directory(workflow: Workflow, access: Access | None) -> Directory:
    if access is None:
        return Directory(())
    return access.directory(**look_ups(workflow))


def same_run(workflow: Workflow, params: Mapping[str, Json], access: Access | None, state: RunState) -> bool:
    """Whether an unfinished run is of the same workflow, params and federation as a new one would be."""
    pinned = state.pinned
    return bool(
        is_of(pinned, workflow)
        and dict(pinned.params) == dict(params)
        and pinned.identity == _directory(workflow, access).identity
    )
