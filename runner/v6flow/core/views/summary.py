"""A run as people and programs see it: its status, its steps, its outputs or why it failed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from v6flow.core.execution import failures
from v6flow.core.execution.state import SETTLED
from v6flow.core.kinds.foreach.execution import item_counts
from v6flow.core.planning.plan import iso
from v6flow.core.views import incomplete
from v6flow.core.views.base import View

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from v6flow.core.execution import events as ev
    from v6flow.core.execution.events import Failure
    from v6flow.core.execution.state import RunState, StepState
    from v6flow.core.json import Json
    from v6flow.core.views.incomplete import Incomplete

WITH_RESULTS = ("completed", "cancelled", "waiting")
"""The statuses of a run whose results somebody may use."""


class Error(View, frozen=True):
    """Why a run or a step failed.

    kind: see [Kinds of failure](#kinds-of-failure)
    message: in words
    step: the step that failed first
    organization: the organization where it failed
    hint: what to do
    """

    kind: str
    message: str
    step: str | None
    organization: str | None
    hint: str | None


class Refusal(View, frozen=True):
    """Why an organization gave no answer.

    status: the kind of failure
    message: in words
    log_tail: the last lines of its log
    """

    status: str
    message: str
    log_tail: str


class ReusedFrom(View, frozen=True):
    """The earlier run whose result a step has.

    run: the run
    step: its step
    answered: when the result was computed
    """

    run: str
    step: str
    answered: str


class Items(View, frozen=True):
    """How many items a foreach step has, and what became of them.

    total: how many there are
    completed: have completed
    failed: have failed
    skipped: never ended
    open (running): have not ended
    """

    OPTIONAL = ("open",)
    total: int
    completed: int
    failed: int
    skipped: int
    open: int | None = None


class StepSummary(View, frozen=True):
    """A step of a run.

    coordinator (central task that has begun): the organization that runs the central function; `asked` and the like
        name the organizations of its subtasks
    iterations (repeat that has begun): how many iterations have ended
    converged (repeat that has begun): whether `until` holds
    items (foreach that has begun): how many: `{total, completed, failed, skipped}`, and `open` while it continues
    status: see [Status values](#status-values)
    asked: the organizations asked, in that order; empty unless it is a task
    responded: those of them that answered
    failed: those that answered with a failure
    failures: of each that failed `{status, message, log_tail}`; `status` is the kind of failure
    missing: those that never answered; known once the step has ended
    seconds: from its beginning to its end; null if it has not ended, or never began
    attempts: the most that an organization, a function or a command took; of steps that have none, 1 once they have
        completed; 0 of a reused result
    message (gate that has asked): what it asks
    approvers (gate that has asked): whom it asks; if nobody is named, anybody
    decision (decided gate): `approved` or `rejected`
    by (decided gate): who decided
    comment (decided gate): why, in the words of who decided
    reused (with a reused result): whose: `{run, step, answered}`
    properties (with properties): what it [published](language.md#properties), by name
    reason (skipped): why, in words
    error (failed): as the run's `error`
    """

    OPTIONAL = (
        "coordinator", "iterations", "converged", "items", "message", "approvers", "decision", "by", "comment",
        "reused", "properties", "reason", "error",
    )  # fmt: skip
    coordinator: str | None
    iterations: int | None
    converged: bool | None
    items: Items | None
    status: str
    asked: tuple[str, ...]
    responded: tuple[str, ...]
    failed: tuple[str, ...]
    failures: Mapping[str, Refusal]
    missing: tuple[str, ...]
    seconds: float | None
    attempts: int
    message: str | None
    approvers: tuple[str, ...] | None
    decision: str | None
    by: str | None
    comment: str | None
    reused: ReusedFrom | None
    properties: Mapping[str, Json] | None
    reason: str | None
    error: Error | None


class StartedBy(View, frozen=True):
    """When and by whom a run was started, and what was said of it.

    started: a moment in UTC, as `2026-11-21T05:23:01Z`
    ended: a moment in UTC; null if it has not ended
    seconds: from the one to the other
    by: the system's user who started it; null if not recorded
    via: from where: `terminal`, `script`, `Python`, `GitHub Actions`, `GitLab CI`, `Jenkins`, `Airflow`, `Prefect`,
        `CI`; null if not recorded
    key: the run's key; null if it has none
    comment: its comment; null if it has none
    labels: its labels; null if it has none
    """

    started: str
    ended: str | None
    seconds: float | None
    by: str | None
    via: str | None
    key: str | None
    comment: str | None
    labels: Mapping[str, str] | None


class Summary(View, frozen=True):
    """A run; without an `origin` none came about.

    run: its id; null if none came about
    workflow: the workflow's name
    status: see [Status values](#status-values)
    exit_code: what `v6flow run` exits with, or did; `v6flow status`, which exits with 0, says null while the run is
        not over
    outputs: by name; empty unless the run has completed
    incomplete: what is less than the whole; empty if the run is whole; see [Incomplete
        results](#incomplete-results)
    steps: by name, in the order of the plan; see below
    error: null, or why it failed or was let go of: `{kind, message, step, organization, hint}`; see [Kinds of
        failure](#kinds-of-failure)
    """

    FLAT = ("origin",)
    run: str | None
    workflow: str | None
    status: str
    exit_code: int | None
    origin: StartedBy | None
    outputs: Mapping[str, Json]
    incomplete: tuple[Incomplete, ...]
    steps: Mapping[str, StepSummary]
    error: Error | None


class Detached(View, frozen=True):
    """A run that continues in the background, or has ended there.

    run: its id
    status: as in a run
    exit_code: null while it continues
    incomplete: as in a run
    """

    run: str
    status: str
    exit_code: int | None
    incomplete: tuple[Incomplete, ...]


class SetSummary(View, frozen=True):
    """The run of one set of params of a sweep.

    params: all params of the run
    run: its id; null if it never began
    status: as in a run; also `pending`
    exit_code: as in a run; null if it never began
    outputs: by name
    incomplete: as in a run
    error: why it failed
    completed_before: whether an earlier sweep had done it
    """

    params: Mapping[str, Json]
    run: str | None
    status: str
    exit_code: int | None
    outputs: Mapping[str, Json]
    incomplete: tuple[Incomplete, ...]
    error: str | None
    completed_before: bool


class Entry(View, frozen=True):
    """A run in a list of runs.

    run: its id
    workflow: the workflow's name; null if it cannot be read
    status: as in a run; also `unreadable` and `not started`
    started: a moment in UTC
    seconds: from its start to its end
    exit_code: what `v6flow run` exited with
    error: why it failed, or cannot be read
    incomplete: as in a run
    """

    run: str
    workflow: str | None
    status: str
    started: str | None
    seconds: float | None
    exit_code: int | None
    error: str | None
    incomplete: tuple[Incomplete, ...]

    @property
    def lacks(self) -> bool:
        """Whether results that somebody may use are less than the whole."""
        return bool(self.incomplete) and self.status in WITH_RESULTS


def of_run(state: RunState, steps: Sequence[str] | None = None, *, status: str | None = None) -> Summary:
    """The summary of a run; `steps` are the plan's in its order, by default those that its journal names.

    `status` replaces the state's where the caller knows better: nobody holds a run that is `running`.
    """
    status = status or state.status
    if steps is None:
        steps = state.pinned.steps
    return Summary(
        state.run,
        state.workflow,
        status,
        None if status == "running" else state.exit_code,
        _origin(state),
        dict(state.outputs) if status == "completed" else {},
        incomplete.of_run(state),
        {name: of_step(state.step(name), status) for name in worth_telling(state, steps)},
        None if status in ("running", "completed") else error(state.failure),
    )


def no_run(why: Error, exit_code: int) -> Summary:
    """The summary of a command that failed before there was a run."""
    return Summary(None, None, "failed", exit_code, None, {}, (), {}, why)


def _origin(state: RunState) -> StartedBy:
    times = iso(state.started), moment(state.ended), seconds(state.started, state.ended)
    begun = state.begun
    if begun is None:
        return StartedBy(*times, None, None, None, None, None)
    return StartedBy(
        *times, begun.by or None, begun.via or None, begun.key, begun.comment or None, begun.labels or None
    )


def entry(state: RunState, status: str) -> Entry:
    """A run with this status in a list."""
    why = state.failure.message if state.failure is not None else None
    took = seconds(state.started, state.ended)
    less = incomplete.of_run(state)
    return Entry(state.run, state.workflow, status, iso(state.started), took, state.exit_code, why, less)


def of_step(step: StepState, run_status: str) -> StepSummary:
    """The summary of a step in a run with this status."""
    begun, asked, decided = bool(step.history), step.question, step.decision
    return StepSummary(
        coordinator=step.coordinator,
        iterations=step.rounds if begun else None,
        converged=step.converged if begun else None,
        items=_items(step) if step.items is not None else None,
        status=standing(step, run_status),
        asked=tuple(step.asked),
        responded=tuple(step.responded),
        failed=tuple(step.failures),
        failures={name: Refusal(**failures.failed(why)) for name, why in step.failures.items()},  # type: ignore[arg-type]
        missing=tuple(step.missing),
        seconds=seconds(step.started, step.ended),
        attempts=attempts(step),
        message=asked.message if asked is not None else None,
        approvers=asked.approvers if asked is not None else None,
        decision=decided.decision if decided is not None else None,
        by=decided.by if decided is not None else None,
        comment=decided.comment if decided is not None else None,
        reused=source(step.reused) if step.reused is not None else None,
        properties=step.properties or None,
        reason=skipped(step.reason, step.cause) if step.status == "skipped" else None,
        error=error(step.failure) if step.status == "failed" else None,
    )


def _items(step: StepState) -> Items:
    counts = Items(**item_counts(step))  # type: ignore[arg-type]
    if step.status in SETTLED:
        return counts
    return Items(counts.total, counts.completed, counts.failed, 0, counts.skipped)  # what has not ended may still be


def error(given: Failure | None) -> Error | None:
    """A failure; None if there is none."""
    if given is None:
        return None
    return Error(given.kind, given.message, given.step, given.organization, given.hint)


def source(found: ev.StepReused) -> ReusedFrom:
    """Whose result a step has."""
    return ReusedFrom(found.run, found.source, iso(found.answered))


def worth_telling(state: RunState, steps: Sequence[str]) -> list[str]:
    """The steps that are nested in none, and of the others those at work, waiting or failed, by iteration or item."""
    inside = [
        name for name, step in state.steps.items() if "." in name and step.status in ("running", "waiting", "failed")
    ]
    return [*(name for name in steps if "." not in name), *inside]


def standing(step: StepState, run_status: str) -> str:
    """A step's status; one that was running when its run ended is `cancelled` or `interrupted` as that was.

    So is a gate that waited; it waits on while its run can continue, and so does a step around it.
    """
    if step.status == "running" and run_status == "waiting":
        return "waiting"
    over = run_status in ("completed", "failed", "cancelled")
    if step.status not in ("running", "waiting") or run_status == "running" or (step.status == "waiting" and not over):
        return step.status
    return "cancelled" if run_status == "cancelled" else "interrupted"


def attempts(step: StepState) -> int:
    """How often a step was tried; one that completed without asking or starting anything was tried once.

    One that has the result of an earlier run was not.
    """
    return step.attempts or int(step.status == "completed" and step.reused is None)


def skipped(reason: str | None, cause: str | None) -> str:
    """Why a step was skipped, as `since moments failed`."""
    if reason == "when":
        return "since its condition does not hold"
    return f"since {cause or 'what it needs'} {'was skipped' if reason == 'skipped' else 'failed'}"


def seconds(started: float | None, ended: float | None) -> float | None:
    """The seconds from the one moment to the other, to the millisecond; None where one is not known."""
    return None if started is None or ended is None else round(max(ended - started, 0.0), 3)


def moment(at: float | None) -> str | None:
    """A moment as text, UTC; None if it is not known."""
    return None if at is None else iso(at)
