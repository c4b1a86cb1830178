"""What several events hold: a time, a failure, a subtask."""

from __future__ import annotations

from typing import TypeAlias

from msgspec import Struct

Time: TypeAlias = float
"""Seconds since 1970-01-01 UTC."""


class Failure(Struct, frozen=True):
    """Why an organization, a step or a run failed.

    `kind` is one word (`crashed`, `garbage`, `start_failed`, `unknown`, `not_allowed`, `timeout`, `quorum`,
    `cohorts`, `expression`, …); `hint` says what to do next; `log_tail` is the last lines of the log.
    """

    kind: str
    message: str
    step: str | None = None
    organization: str | None = None
    hint: str | None = None
    log_tail: str = ""


class Subtask(Struct, frozen=True):
    """How one organization fared in what a central function dispatched; `status` is vantage6's word.

    `task` names the task that this is a run of. A subtask of a subtask has as `parent` the `task` whose run at the
    organization `by` dispatched it; both are empty for what the step's own task run dispatched. `run` is the
    federation's name for the run, by which its log is found there; `log` the digest of the log that is kept.
    `consequence`: it did not fail by itself, but was ended for another's failure.
    """

    organization: str
    status: str
    message: str = ""
    log_tail: str = ""
    task: str = ""
    parent: str = ""
    by: str = ""
    run: str = ""
    ended: Time | None = None
    log: str | None = None
    consequence: bool = False
    hint: str | None = None
