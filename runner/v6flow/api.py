"""The Python API: load a workflow, run it, read its result."""

from __future__ import annotations

import logging
import os
import signal
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from msgspec import Struct

from v6flow import actor, loading, params
from v6flow.core import json
from v6flow.core.language import units
from v6flow.core.language.model import Workflow
from v6flow.core.views import incomplete
from v6flow.core.views import summary as views
from v6flow.core.views.base import as_json
from v6flow.core.views.incomplete import Incomplete
from v6flow.errors import (
    AccessError,
    InterruptedRunError,
    NoSpaceError,
    PersonNeededError,
    TerminatedRunError,
    UnreachableError,
    UsageError,
    V6flowError,
)
from v6flow.reporters import prose
from v6flow.reporters.base import Silent
from v6flow.reporters.terminal import plain as shown
from v6flow.runs.opened import open_run
from v6flow.runs.pinning import log_withheld
from v6flow.runs.resume import is_open
from v6flow.runs.resume import resume as resume_run
from v6flow.runs.starting import start
from v6flow.stores.registry import open_store

if TYPE_CHECKING:
    from collections.abc import Mapping

    from v6flow.backends.base import Federation
    from v6flow.core.execution.state import RunState
    from v6flow.core.json import Json
    from v6flow.core.views.summary import Summary
    from v6flow.reporters.base import Reporter
    from v6flow.runs.active import ActiveRun
    from v6flow.stores.base import RunStore, StoredRun

LOG = logging.getLogger("v6flow")

PathLike: TypeAlias = "str | os.PathLike[str]"


class RunFailedError(V6flowError):
    """A run failed, was cancelled, or waits for a person; `result` is its result so far."""

    kind = "run_failed"

    def __init__(self, result: Result) -> None:
        store = result.store_option
        lines = prose.failure_text(result.state, store) or prose.waiting_text(result.state, store)
        super().__init__("\n".join(lines) or f"run {result.run} {result.status}")
        self.result = result


class Cohort(Struct, frozen=True):
    """The organizations that a task step asked, and their outcomes; all are names, in the order asked.

    For a central step they are the organizations of its subtasks, and `coordinator` is the one that ran it.
    """

    asked: tuple[str, ...]
    responded: tuple[str, ...]
    failed: tuple[str, ...]
    missing: tuple[str, ...]
    failures: Mapping[str, Mapping[str, Json]]
    coordinator: str | None = None


class Result:
    """The result of a run."""

    def __init__(self, state: RunState, stored: StoredRun) -> None:
        self.state = state
        self._stored = stored

    def __repr__(self) -> str:
        less = ", incomplete" if self.incomplete else ""
        return f"<v6flow.Result {self.run}: {self.status}{less}>"

    @property
    def run(self) -> str:
        """The run's id."""
        return self.state.run

    @property
    def store_option(self) -> str:
        """The value of `--store` for commands about this run; empty if it is the default store."""
        store = self._stored.store.name
        return "" if store == open_store().name else store

    @property
    def status(self) -> str:
        """`completed`, `failed`, `cancelled`, or `waiting` for a person."""
        return self.state.status

    @property
    def exit_code(self) -> int | None:
        """The exit code of the command line for this run."""
        return self.state.exit_code

    @property
    def outputs(self) -> dict[str, Json]:
        """The outputs by name; empty if the run did not complete."""
        return self.state.outputs

    @property
    def summary(self) -> Summary:
        """The whole result as a typed record."""
        return views.of_run(self.state)

    @property
    def incomplete(self) -> tuple[Incomplete, ...]:
        """The incomplete parts of the run that were accepted, most serious first; empty if the run is complete.

        These are failed or missing organizations, failed items, loops that did not converge, steps that failed or were
        skipped for that reason, accepted mixtures of cohorts, and reused results of earlier runs.
        """
        return incomplete.of_run(self.state)

    @property
    def cohorts(self) -> dict[str, Cohort]:
        """For each task step that began: the organizations that it asked, and their outcomes."""
        return {
            name: Cohort(
                step.asked, step.responded, step.failed, step.missing, as_json(step.failures), step.coordinator
            )
            for name, step in self.summary.steps.items()
            if step.asked
        }

    def value(self, step: str) -> Json:
        """A local step's result, a task step's by organization, a repeat step's last state, a foreach step's by key.

        Raises KeyError if there is none: nested steps of an ended iteration or item keep no result.
        """
        state = self.state.steps[step]
        if not is_open(self.state, step):
            raise KeyError(f"{step}: its iteration or item has ended, and only the result of that is kept")
        if state.history:
            return state.history[-1]
        if state.items is not None:
            return {each.key: each.value for each in state.items if each.status == "completed"}
        if state.organizations:
            return {each.name: each.value for each in state.organizations.values() if each.status == "answered"}
        if state.status != "completed":
            raise KeyError(step)
        return state.value

    def logs(self, step: str, organization: str | None = None) -> str:
        """The log of an organization's algorithm, or of a local step. Raises KeyError if there is no such log.

        For an organization that a central function asked, it is the logs of its subtasks, in their order. Empty if the
        log is withheld, because the federation's policy or the step's `disclosure` sets `min_count`.
        """
        state = self.state.steps[step]
        if log_withheld(self.state, step) is not None:
            return ""
        if organization is not None and organization not in state.organizations:
            digests = [
                each.log
                for asked in state.organizations.values()
                for each in asked.subtasks
                if each.organization == organization
            ]
            if not digests:
                raise KeyError(organization)
            return "".join(self._stored.fetch(each).decode("utf-8", "replace") for each in digests if each)
        digest = state.log if organization is None else state.organizations[organization].log
        return self._stored.fetch(digest).decode("utf-8", "replace") if digest else ""

    def document(self) -> dict[str, Any]:
        """The JSON document that the command line prints with `--output json`."""
        return self.summary.as_json()

    def check(self) -> Result:
        """This result, if the run completed. Raises RunFailedError if not."""
        if self.status != "completed":
            raise RunFailedError(self)
        return self


def load(path: PathLike) -> Workflow:
    """The workflow in a file, with every check that needs no federation.

    Raises UsageError if the file cannot be read, InvalidError with all its problems.
    """
    return loading.read_workflow(path)


def run(
    workflow: PathLike | Workflow,
    *,
    params: Mapping[str, Json] | None = None,
    federation: PathLike | None = None,
    store: PathLike | None = None,
    deadline: str | None = None,
    jobs: int | None = None,
    preflight: bool = True,
    cache: bool = True,
    reporter: Reporter | None = None,
) -> Result:
    """Run a workflow to its end and return its result; a failed run has a result too (see `Result.check`).

    `federation` is a file, and overrides V6FLOW_FEDERATION and the workflow's federation; `store` is the folder
    where runs are kept (default: V6FLOW_STORE, then `.v6flow`); `deadline` is a duration like `6h`; without `preflight`
    the federation is not checked before the first task; without `cache` no result of an earlier run is reused.
    Raises V6flowError if the run cannot start or cannot continue for now, and KeyboardInterrupt for Ctrl-C: once the
    run exists, an InterruptedRunError with its id. SIGTERM raises TerminatedRunError, a SystemExit. After each of
    these `resume` resumes the run. Only a run in the main thread receives signals.
    """
    found = workflow if isinstance(workflow, Workflow) else load(workflow)
    values = _params(found, params or {})
    try:
        seconds = units.seconds(deadline) if deadline is not None else None
    except ValueError as error:
        raise UsageError(f"deadline: {error}") from error
    started = start(
        found,
        values,
        _federation(found, federation),
        _store(store),
        folder=Path(found.document.name).absolute().parent,
        deadline=seconds,
        jobs=jobs,
        preflight=preflight,
        cache=cache,
        by=actor.here(python=True),
    )
    return _carry_on(started, reporter, store)


def resume(
    run: str | None = None,
    *,
    store: PathLike | None = None,
    retry_failed: bool = False,
    jobs: int | None = None,
    reporter: Reporter | None = None,
) -> Result:
    """Resume a run by its id (or the beginning of it; default: the newest) and return its result.

    A run that is over is returned as it is, a failed one only without `retry_failed`. Raises what `run` does.
    """
    with open_run(_store(store).find(run)) as opened:
        status = opened.state.status
        if status in ("completed", "cancelled") or (status == "failed" and not retry_failed):
            return _result(opened.state, opened.stored)
        ready = resume_run(opened, retry_failed=retry_failed, jobs=jobs, by=actor.here(python=True))
        return _carry_on(ready, reporter, store)


def _carry_on(run: ActiveRun, reporter: Reporter | None, store: PathLike | None) -> Result:
    state = run.opened.state
    where = f", store={os.fspath(store)!r}" if store is not None else ""
    again = f"v6flow.resume({state.run!r}{where})"
    hint = f"{again} resumes it"
    try:
        with run.opened:
            run.carry_on(reporter or Silent())
    except KeyboardInterrupt as interrupt:
        message = f"run {state.run} was interrupted"
        raise InterruptedRunError(message, hint=hint, run=state.run) from interrupt
    except NoSpaceError as error:
        raise NoSpaceError(error.message, hint=f"free space on that disk, then {again}") from error
    if state.status == "interrupted":
        raise _released(state, hint)
    if run.signals.first is not None:  # it arrived after the run was over, and still concerns the program
        kind = InterruptedRunError if run.signals.first == signal.SIGINT else TerminatedRunError
        message = f"a signal came when run {state.run} was over: {state.status}"
        raise kind(message, hint=f"{again} returns its result", run=state.run)
    return _result(state, run.opened.stored, reported=reporter is not None)


def _result(state: RunState, stored: StoredRun, *, reported: bool = False) -> Result:
    """The result of a run; each incomplete part is logged as a warning, unless a reporter has reported it."""
    result = Result(state, stored)
    if state.status == "completed" and not reported:
        for each in result.incomplete:
            LOG.warning("run %s is incomplete: %s", result.run, shown(str(each)))
    return result


def _released(state: RunState, hint: str) -> V6flowError | InterruptedRunError | TerminatedRunError:
    """The error of a resumable run: a signal, or the reason why it cannot continue for now."""
    failure = state.failure
    assert failure is not None  # the event has the reason of the interruption
    if failure.kind == InterruptedRunError.kind:
        return InterruptedRunError(f"run {state.run} was interrupted", hint=hint, run=state.run)
    if failure.kind == TerminatedRunError.kind:
        return TerminatedRunError(f"run {state.run} was terminated", hint=hint, run=state.run)
    error = _RELEASED.get(state.exit_code or 0, V6flowError)
    first = f"{failure.hint}; then " if failure.hint else ""
    return error(f"run {state.run} was interrupted: {failure.message}", hint=first + hint)


_RELEASED = {each.exit_code: each for each in (AccessError, UnreachableError, PersonNeededError)}


def _params(workflow: Workflow, given: Mapping[str, Json]) -> dict[str, Json]:
    try:
        plain = json.loads(json.dumps(dict(given)))
    except (TypeError, ValueError) as error:
        raise UsageError(f"params: values must be plain JSON: {error}") from error
    assert isinstance(plain, dict)
    return params.resolve(workflow, values=[("params", plain)], environment=os.environ)


def _federation(workflow: Workflow, file: PathLike | None) -> Federation | None:
    path = loading.federation_file(workflow, os.fspath(file) if file is not None else None)
    return loading.read_federation(path) if path is not None else None


def _store(name: PathLike | None) -> RunStore:
    return open_store(os.fspath(name) if name is not None else None)


__all__ = ["Cohort", "Incomplete", "Result", "RunFailedError", "load", "resume", "run"]
