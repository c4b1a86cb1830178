"""The Python API: load a workflow, run it, read what came of it."""

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
    """A run failed, was cancelled, or waits for a person; `result` has what is known of it."""

    kind = "run_failed"

    def __init__(self, result: Result) -> None:
        store = result.store_option
        told = prose.failure_text(result.state, store) or prose.waiting_text(result.state, store)
        super().__init__("\n".join(told) or f"run {result.run} {result.status}")
        self.result = result


class Cohort(Struct, frozen=True):
    """Who was asked in a task step, and what became of each; all are names, in the order asked.

    Of a central step they are the organizations of its subtasks, and `coordinator` is the one that ran it.
    """

    asked: tuple[str, ...]
    responded: tuple[str, ...]
    failed: tuple[str, ...]
    missing: tuple[str, ...]
    failures: Mapping[str, Mapping[str, Json]]
    coordinator: str | None = None


class Result:
    """What came of a run."""

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
        """The folder to give as `--store` to commands about this run; empty where they look there anyway."""
        store = self._stored.store.name
        return "" if store == open_store().name else store

    @property
    def status(self) -> str:
        """`completed`, `failed`, `cancelled`, or `waiting` for a person."""
        return self.state.status

    @property
    def exit_code(self) -> int | None:
        """What the command line would exit with."""
        return self.state.exit_code

    @property
    def outputs(self) -> dict[str, Json]:
        """The outputs by name; empty if the run did not complete."""
        return self.state.outputs

    @property
    def summary(self) -> Summary:
        """All of it, typed."""
        return views.of_run(self.state)

    @property
    def incomplete(self) -> tuple[Incomplete, ...]:
        """What in the run is less than the whole and used all the same, the most serious first; empty if it is whole.

        Organizations that failed or are missing, items that failed, loops that did not converge, steps that failed or
        were skipped for it, mixtures of cohorts that were accepted, results of earlier runs.
        """
        return incomplete.of_run(self.state)

    @property
    def cohorts(self) -> dict[str, Cohort]:
        """For each task step that began: who was asked, and what became of each."""
        return {
            name: Cohort(
                step.asked, step.responded, step.failed, step.missing, as_json(step.failures), step.coordinator
            )
            for name, step in self.summary.steps.items()
            if step.asked
        }

    def value(self, step: str) -> Json:
        """A local step's result, a task step's by organization, a repeat step's last state, a foreach step's by key.

        Raises KeyError if there is none; of the steps in a round that has ended, or an item, nothing is kept in mind.
        """
        state = self.state.steps[step]
        if not is_open(self.state, step):
            raise KeyError(f"{step}: what came of the round or the item is all that is kept of it")
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
        """What an organization's algorithm, or a local step, printed. Raises KeyError if it is unknown.

        Of an organization that a central function asked, it is what its subtasks printed, in their order. Empty where
        it is withheld, because the federation's policy or the step's `disclosure` sets `min_count`.
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
        """All of it as the command line's `--output json` prints it."""
        return self.summary.as_json()

    def check(self) -> Result:
        """This result, if the run completed. Raises RunFailedError if not."""
        if self.status != "completed":
            raise RunFailedError(self)
        return self


def load(path: PathLike) -> Workflow:
    """The workflow in a file, checked in all that can be known without a federation.

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
    """Run a workflow to its end and return what came of it; a failed run is a result too (`Result.check`).

    `federation` is a file, and wins over V6FLOW_FEDERATION and what the workflow names; `store` is the folder
    where runs are kept (else V6FLOW_STORE, else `.v6flow`); `deadline` is a duration like `6h`; without `preflight`
    the federation is not asked first whether it can do what is asked; without `cache` no result of an earlier run is
    reused.
    Raises V6flowError if the run cannot start or cannot go on for now, and KeyboardInterrupt for Ctrl-C: once the run
    exists, an InterruptedRunError with its id. SIGTERM raises TerminatedRunError, a SystemExit. After each of these
    `resume` resumes the run. A run in another thread than the main one hears no signals.
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
    """Resume a run by its id (or the beginning of it; left out: the newest) and return what came of it.

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
        raise NoSpaceError(error.message, hint=f"make space on that disk, then {again}") from error
    if state.status == "interrupted":
        raise _released(state, hint)
    if run.signals.first is not None:  # it came when the run was over, and still means the program
        kind = InterruptedRunError if run.signals.first == signal.SIGINT else TerminatedRunError
        message = f"a signal came when run {state.run} was over: {state.status}"
        raise kind(message, hint=f"{again} returns its result", run=state.run)
    return _result(state, run.opened.stored, reported=reporter is not None)


def _result(state: RunState, stored: StoredRun, *, reported: bool = False) -> Result:
    """The result of a run; each thing that is incomplete is logged as a warning, unless a reporter has reported it."""
    result = Result(state, stored)
    if state.status == "completed" and not reported:
        for each in result.incomplete:
            LOG.warning("run %s is incomplete: %s", result.run, shown(str(each)))
    return result


def _released(state: RunState, hint: str) -> V6flowError | InterruptedRunError | TerminatedRunError:
    """The error of a run that can be resumed: by a signal, or what keeps it from going on for now."""
    failure = state.failure
    assert failure is not None  # why it was interrupted stands in the event
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
        raise UsageError(f"params: values are plain JSON, and {error}") from error
    assert isinstance(plain, dict)
    return params.resolve(workflow, values=[("params", plain)], environment=os.environ)


def _federation(workflow: Workflow, file: PathLike | None) -> Federation | None:
    path = loading.federation_file(workflow, os.fspath(file) if file is not None else None)
    return loading.read_federation(path) if path is not None else None


def _store(name: PathLike | None) -> RunStore:
    return open_store(os.fspath(name) if name is not None else None)


__all__ = ["Cohort", "Incomplete", "Result", "RunFailedError", "load", "resume", "run"]
