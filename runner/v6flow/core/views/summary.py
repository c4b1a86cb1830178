"""A run as people and programs see it: its status, its steps, its outputs or why it failed."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from v6flow.core.execution import scope
from v6flow.core.execution.state import SETTLED
from v6flow.core.planning.plan import iso
from v6flow.core.views import incomplete
from v6flow.core.views.fields import View, shown

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from v6flow.core.execution import events as ev
    from v6flow.core.execution.events import Failure
    from v6flow.core.execution.state import RunState, StepState
    from v6flow.core.json import Json
    from v6flow.core.views.incomplete import Incomplete

WITH_RESULTS = ("completed", "cancelled", "waiting")
"""The statuses of a run whose results somebody may use."""


@dataclass(frozen=True, slots=True)
class Error(View):
    """Why a run or a step failed."""

    kind: str = field(metadata=shown("see [Kinds of failure](#kinds-of-failure)"))
    message: str = field(metadata=shown("in words"))
    step: str | None = field(metadata=shown("the step that failed first"))
    organization: str | None = field(metadata=shown("the organization where it failed"))
    hint: str | None = field(metadata=shown("what to do"))


@dataclass(frozen=True, slots=True)
class Refusal(View):
    """Why an organization gave no answer."""

    status: str = field(metadata=shown("the kind of failure"))
    message: str = field(metadata=shown("in words"))
    log_tail: str = field(metadata=shown("the last lines of its log"))


@dataclass(frozen=True, slots=True)
class Source(View):
    """The earlier run whose result a step has."""

    run: str = field(metadata=shown("the run"))
    step: str = field(metadata=shown("its step"))
    answered: str = field(metadata=shown("when the result was computed"))


@dataclass(frozen=True, slots=True)
class Items(View):
    """How many items a foreach step has, and what became of them."""

    total: int = field(metadata=shown("how many there are"))
    completed: int = field(metadata=shown("have completed"))
    failed: int = field(metadata=shown("have failed"))
    skipped: int = field(metadata=shown("never ended"))
    open: int | None = field(default=None, metadata=shown("have not ended", of="running"))


@dataclass(frozen=True, slots=True)
class StepSummary(View):
    """A step of a run."""

    coordinator: str | None = field(
        metadata=shown(
            "the organization that runs the central function; `asked` and the like name the organizations of its "
            "subtasks",
            of="central task that has begun",
        )
    )
    iterations: int | None = field(metadata=shown("how many iterations have ended", of="repeat that has begun"))
    converged: bool | None = field(metadata=shown("whether `until` holds", of="repeat that has begun"))
    items: Items | None = field(
        metadata=shown(
            "how many: `{total, completed, failed, skipped}`, and `open` while it goes on", of="foreach that has begun"
        )
    )
    status: str = field(metadata=shown("see [Words for how it stands](#words-for-how-it-stands)"))
    asked: tuple[str, ...] = field(metadata=shown("the organizations asked, in that order; empty unless it is a task"))
    responded: tuple[str, ...] = field(metadata=shown("those of them that answered"))
    failed: tuple[str, ...] = field(metadata=shown("those that answered with a failure"))
    failures: Mapping[str, Refusal] = field(
        metadata=shown("of each that failed `{status, message, log_tail}`; `status` is the kind of failure")
    )
    missing: tuple[str, ...] = field(metadata=shown("those that never answered; known once the step has ended"))
    seconds: float | None = field(
        metadata=shown("from its beginning to its end; null if it has not ended, or never began")
    )
    attempts: int = field(
        metadata=shown(
            "the most that an organization, a function or a command took; of steps that have none, 1 once they have "
            "completed; 0 of a reused result"
        )
    )
    message: str | None = field(metadata=shown("what it asks", of="gate that has asked"))
    approvers: tuple[str, ...] | None = field(
        metadata=shown("whom it asks; if nobody is named, anybody", of="gate that has asked")
    )
    decision: str | None = field(metadata=shown("`approved` or `rejected`", of="decided gate"))
    by: str | None = field(metadata=shown("who decided", of="decided gate"))
    comment: str | None = field(metadata=shown("why, in the words of who decided", of="decided gate"))
    reused: Source | None = field(metadata=shown("whose: `{run, step, answered}`", of="with a reused result"))
    properties: Mapping[str, Json] | None = field(
        metadata=shown("what it [published](language.md#properties), by name", of="with properties")
    )
    reason: str | None = field(metadata=shown("why, in words", of="skipped"))
    error: Error | None = field(metadata=shown("as the run's `error`", of="failed"))


@dataclass(frozen=True, slots=True)
class Origin(View):
    """When and by whom a run was started, and what was said of it."""

    started: str = field(metadata=shown("a moment in UTC, as `2026-11-21T05:23:01Z`"))
    ended: str | None = field(metadata=shown("a moment in UTC; null if it has not ended"))
    seconds: float | None = field(metadata=shown("from the one to the other"))
    by: str | None = field(metadata=shown("the system's user who started it; null if not recorded"))
    via: str | None = field(
        metadata=shown(
            "from where: `terminal`, `script`, `Python`, `GitHub Actions`, `GitLab CI`, `Jenkins`, `Airflow`, "
            "`Prefect`, `CI`; null if not recorded"
        )
    )
    key: str | None = field(metadata=shown("the run's key; null if it has none"))
    comment: str | None = field(metadata=shown("its comment; null if it has none"))
    labels: Mapping[str, str] | None = field(metadata=shown("its labels; null if it has none"))


@dataclass(frozen=True, slots=True)
class Summary(View):
    """A run; without an `origin` none came about."""

    run: str | None = field(metadata=shown("its id; null if none came about"))
    workflow: str | None = field(metadata=shown("the workflow's name"))
    status: str = field(metadata=shown("see [Words for how it stands](#words-for-how-it-stands)"))
    exit_code: int | None = field(
        metadata=shown(
            "what `v6flow run` exits with, or did; `v6flow status`, which exits with 0, says null while the run is "
            "not over"
        )
    )
    origin: Origin | None = field(metadata=shown("", flat=True))
    outputs: Mapping[str, Json] = field(metadata=shown("by name; empty unless the run has completed"))
    incomplete: tuple[Incomplete, ...] = field(
        metadata=shown(
            "what is less than the whole; empty if the run is whole; see [Incomplete results](#incomplete-results)"
        )
    )
    steps: Mapping[str, StepSummary] = field(metadata=shown("by name, in the order of the plan; see below"))
    error: Error | None = field(
        metadata=shown(
            "null, or why it failed or was let go of: `{kind, message, step, organization, hint}`; see "
            "[Kinds of failure](#kinds-of-failure)"
        )
    )


@dataclass(frozen=True, slots=True)
class Detached(View):
    """A run that continues in the background, or has ended there."""

    run: str = field(metadata=shown("its id"))
    status: str = field(metadata=shown("as in a run"))
    exit_code: int | None = field(metadata=shown("null while it goes on"))
    incomplete: tuple[Incomplete, ...] = field(metadata=shown("as in a run"))


@dataclass(frozen=True, slots=True)
class SetSummary(View):
    """The run of one set of params of a sweep."""

    params: Mapping[str, Json] = field(metadata=shown("all params of the run"))
    run: str | None = field(metadata=shown("its id; null if it never began"))
    status: str = field(metadata=shown("as in a run; also `pending`"))
    exit_code: int | None = field(metadata=shown("as in a run; null if it never began"))
    outputs: Mapping[str, Json] = field(metadata=shown("by name"))
    incomplete: tuple[Incomplete, ...] = field(metadata=shown("as in a run"))
    error: str | None = field(metadata=shown("why it failed"))
    completed_before: bool = field(metadata=shown("whether an earlier sweep had done it"))


@dataclass(frozen=True, slots=True)
class Entry(View):
    """A run in a list of runs."""

    run: str = field(metadata=shown("its id"))
    workflow: str | None = field(metadata=shown("the workflow's name; null if it cannot be read"))
    status: str = field(metadata=shown("as in a run; also `unreadable` and `not started`"))
    started: str | None = field(metadata=shown("a moment in UTC"))
    seconds: float | None = field(metadata=shown("from its start to its end"))
    exit_code: int | None = field(metadata=shown("what `v6flow run` exited with"))
    error: str | None = field(metadata=shown("why it failed, or cannot be read"))
    incomplete: tuple[Incomplete, ...] = field(metadata=shown("as in a run"))

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
        steps = list(state.pinned.get("steps", ()))
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


def _origin(state: RunState) -> Origin:
    ended = None if state.ended is None else iso(state.ended)
    times = iso(state.started), ended, seconds(state.started, state.ended)
    begun = state.begun
    if begun is None:
        return Origin(*times, None, None, None, None, None)
    return Origin(*times, begun.by or None, begun.via or None, begun.key, begun.comment or None, begun.labels or None)


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
        failures={name: Refusal(**scope.failed(why)) for name, why in step.failures.items()},  # type: ignore[arg-type]
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
    counts = Items(**scope.item_counts(step))  # type: ignore[arg-type]
    if step.status in SETTLED:
        return counts
    return Items(counts.total, counts.completed, counts.failed, 0, counts.skipped)  # what has not ended may still be


def error(given: Failure | None) -> Error | None:
    """A failure; None if there is none."""
    if given is None:
        return None
    return Error(given.kind, given.message, given.step, given.organization, given.hint)


def source(found: ev.StepReused) -> Source:
    """Whose result a step has."""
    return Source(found.run, found.source, iso(found.answered))


def worth_telling(state: RunState, steps: Sequence[str]) -> list[str]:
    """The steps that are nested in none, and of the others those at work, waiting or failed, by round or item."""
    inside = [
        name for name, step in state.steps.items() if "." in name and step.status in ("running", "waiting", "failed")
    ]
    return [*(name for name in steps if "." not in name), *inside]


def standing(step: StepState, run_status: str) -> str:
    """A step's status; one that was running when its run ended is `cancelled` or `interrupted` as that was.

    So is a gate that waited; it waits on while its run can go on, and so does a step around it.
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
