"""What happened in a run: a closed union of events, the only thing a journal holds."""

from __future__ import annotations

from typing import TypeAlias, get_args

from v6flow.core.execution.events.details import Failure as Failure
from v6flow.core.execution.events.details import Subtask as Subtask
from v6flow.core.execution.events.details import Time as Time
from v6flow.core.execution.events.of_runs import (
    CancelRequested,
    Noted,
    RunCancelled,
    RunCompleted,
    RunEnding,
    RunFailed,
    RunInterrupted,
    RunPaused,
    RunResumed,
    RunStarted,
)
from v6flow.core.execution.events.of_steps import (
    GateAsked,
    GateDecided,
    ItemEnded,
    ItemsListed,
    LocalFailed,
    LocalRequested,
    ParamsGiven,
    Progressed,
    RoundEnded,
    StepClosed,
    StepCompleted,
    StepFailed,
    StepNotReused,
    StepReused,
    StepSkipped,
    StepStarted,
)
from v6flow.core.execution.events.of_tasks import (
    SubtasksSeen,
    TaskAccepted,
    TaskAnswered,
    TaskFailed,
    TaskLate,
    TaskRequested,
    TaskStarted,
    TaskWithdrawn,
)

Event: TypeAlias = (
    RunStarted
    | RunResumed
    | StepStarted
    | StepReused
    | StepNotReused
    | TaskRequested
    | TaskAccepted
    | TaskStarted
    | SubtasksSeen
    | TaskAnswered
    | TaskFailed
    | TaskLate
    | TaskWithdrawn
    | StepClosed
    | RoundEnded
    | ItemsListed
    | ItemEnded
    | ParamsGiven
    | LocalRequested
    | LocalFailed
    | StepCompleted
    | StepFailed
    | StepSkipped
    | Progressed
    | GateAsked
    | GateDecided
    | RunPaused
    | Noted
    | CancelRequested
    | RunInterrupted
    | RunEnding
    | RunCompleted
    | RunFailed
    | RunCancelled
)

EVENTS: dict[str, type[Event]] = {kind.__name__: kind for kind in get_args(Event)}
"""Each kind of event by the name it has in a journal."""
