"""The run of one case: plan, scheduler, engine and local steps are real; answers and time are simulated."""

from __future__ import annotations

import os
from functools import partial
from typing import TYPE_CHECKING

from msgspec import Struct, field
from msgspec.structs import replace

from v6flow import params
from v6flow.backends.fixtures import AmbiguousAddressError, FixtureBackend, Sent, StandstillError, VirtualTime
from v6flow.core.execution import failures
from v6flow.core.execution.events import GateDecided, RoundEnded, RunResumed, RunStarted, StepCompleted
from v6flow.core.execution.state import RunState
from v6flow.core.language.problem import InvalidError
from v6flow.core.planning import planner
from v6flow.core.views.incomplete import of_run
from v6flow.engine import Engine
from v6flow.errors import V6flowError
from v6flow.local.runner import ChildRunner
from v6flow.runs.opened import OpenRun, open_run
from v6flow.stores.memory import MemoryStore
from v6flow.stores.run_ids import run_id
from v6flow.testing.people import People

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from v6flow.core.execution.commands import LocalRequest
    from v6flow.core.execution.events import Event
    from v6flow.core.json import Json
    from v6flow.core.planning.plan import Plan
    from v6flow.core.views.incomplete import Incomplete
    from v6flow.local.base import Local, LocalReport
    from v6flow.stores.base import DecisionRequest
    from v6flow.testing.suites import Case, Suite

START = 1767225600.0  # 2026-01-01T00:00:00Z: the start of every run in a test, so that all runs are alike


class TrialOutcome(Struct):
    """The outcome of a case's run. A run that could not begin has failed, with the exit code of the error."""

    state: RunState = field(default_factory=RunState)
    status: str = "failed"
    exit_code: int | None = None
    error: dict[str, Json] | None = None
    log_tail: str = ""
    sent: list[Sent] = field(default_factory=list)
    unanswered: list[Sent] = field(default_factory=list)
    """The requests without an answer in the case."""
    seconds: float = 0.0  # virtual time

    @property
    def incomplete(self) -> tuple[Incomplete, ...]:
        """The incomplete parts of the run."""
        return of_run(self.state)


def run(suite: Suite, case: Case) -> TrialOutcome:
    """Run a case of a suite to its end, or until nobody decides at the waiting gates."""
    try:
        plan = _plan(suite, case)
    except V6flowError as error:
        return _refused(error)
    time = VirtualTime(START)
    opened = open_run(MemoryStore().create(plan.run))
    opened.record(RunStarted(START, plan.run, plan.workflow.name, {}))
    state = opened.state
    keys = partial(item_keys, state)
    backend = FixtureBackend(suite.directory, case.answers, time, keys)
    people = People(case.decisions, time, keys)
    outcome = TrialOutcome(state, sent=backend.sent, unanswered=backend.unanswered)
    try:
        _carry_on(plan, opened, backend, people, time)
        while state.status == "waiting" and (decided := people.wait()):
            plan = _resume(plan, case, opened, decided, time.now())
            _carry_on(plan, opened, backend, people, time)
    except (StandstillError, AmbiguousAddressError) as error:
        outcome.status, outcome.error = error.kind, _error(error)
    else:
        outcome.status, outcome.exit_code = state.status, state.exit_code
        outcome.error = failures.failure(state.failure)
        outcome.log_tail = state.failure.log_tail if state.failure is not None else ""
    outcome.seconds = state.last - START
    _recall_values(state, opened.journal.events())
    return outcome


def _recall_values(state: RunState, happened: Iterable[Event]) -> None:
    """Restore the results of all steps from the events: a state drops those of nested steps in iterations and items."""
    for event in happened:
        match event:
            case StepCompleted() if event.value is not None:
                state.steps[event.step].value = event.value
            case RoundEnded():
                state.steps[event.step].value = event.value
            case _:
                pass


def item_keys(state: RunState, step: str) -> Sequence[str]:
    """The keys of a foreach step's items once they are known; empty for any other step."""
    return [item.key for item in state.step(step).items or ()]


def _carry_on(plan: Plan, opened: OpenRun, backend: FixtureBackend, people: People, time: VirtualTime) -> None:
    """Run until the run is over, or nothing can continue before people have decided."""
    jobs = os.cpu_count() or 1
    engine = Engine(
        plan,
        opened.state,
        opened.journal,
        backend=backend,
        local=_Watched(ChildRunner(jobs=jobs), time),
        clock=time,
        reporter=people,
        jobs=jobs,
        wait=time.wait,
    )
    people.tell = engine.hear
    try:
        engine.run()
    finally:
        people.tell = None


def _resume(plan: Plan, case: Case, opened: OpenRun, decided: Sequence[DecisionRequest], now: float) -> Plan:
    """Record the decisions made while no process worked on the run, and its resumption, as `resume` does."""
    state = opened.state
    made = [GateDecided(now, each.step, each.decision, each.by, each.comment) for each in decided]
    opened.record(*made, RunResumed(now, now - state.held_until))
    return replace(plan, deadline=None if case.deadline is None else START + case.deadline + state.down)


def _plan(suite: Suite, case: Case) -> Plan:
    workflow = suite.workflow
    return planner.make(
        workflow,
        params.resolve(workflow, values=[("params", case.params)]),
        suite.directory,
        folder=str(suite.folder),
        run=run_id(workflow.name, START, "test"),
        started=START,
        deadline=None if case.deadline is None else START + case.deadline,
    )


def _refused(error: V6flowError) -> TrialOutcome:
    return TrialOutcome(exit_code=error.exit_code, error=_error(error))


def _error(error: V6flowError) -> dict[str, Json]:
    message = error.message
    if isinstance(error, InvalidError):
        message = "\n".join(map(str, error.problems))
    return {"kind": error.kind, "message": message, "step": None, "organization": None, "hint": error.hint}


class _Watched:
    """A `Local` during whose work virtual time stands still."""

    def __init__(self, local: Local, time: VirtualTime) -> None:
        self._local = local
        self._time = time

    def open(self, emit: Callable[[LocalReport], None]) -> None:
        def heard(report: LocalReport) -> None:
            emit(report)
            self._time.end(report.step)

        self._local.open(heard)

    def start(self, request: LocalRequest) -> None:
        self._time.begin(request.step)
        self._local.start(request)

    def kill(self, step: str) -> None:
        self._local.kill(step)
        self._time.end(step)

    def close(self) -> None:
        self._local.close()
