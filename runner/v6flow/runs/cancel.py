"""Cancels runs that nobody works on."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING

from v6flow import actor, backends
from v6flow.backends.base import Remarked
from v6flow.clock import LaterClock, SystemClock
from v6flow.core.execution import disclosure, events
from v6flow.core.planning import ids
from v6flow.errors import ResumeError, UnreachableError
from v6flow.reporters.base import Silent
from v6flow.runs.pinning import pinned_federation, pinned_plan
from v6flow.runs.resume import resume
from v6flow.stores.base import CancelRequest

if TYPE_CHECKING:
    from v6flow.backends.base import Federation, Report
    from v6flow.clock import Clock
    from v6flow.runs.opened import OpenRun


def cancel(opened: OpenRun, federation_file: str | None = None, clock: Clock | None = None) -> list[str]:
    """Cancel a run that nobody works on, with what it has open at a server; returns what could not be killed there.

    What an embedded federation did for it ended with its process. If a server cannot be reached, the run is not
    cancelled yet, but will be when it is resumed. Raises UnreachableError, AccessError, FederationError.
    """
    now, who = LaterClock(clock or SystemClock(), opened.state.last).now(), actor.here()
    request = CancelRequest(who.by, now, who.via)
    notes: list[str] = []
    if opened.state.pinned.final and opened.state.ending is None:
        try:
            run = resume(opened, federation_file=federation_file)
        except ResumeError as error:
            notes.append(f"the steps under `finally` were not run: {error.message}")
        else:
            opened.stored.requests.post(request)
            run.carry_on(Silent())
            return []
    opened.stored.requests.post(request)
    opened.record(events.CancelRequested(now, who.by, who.via))
    notes += _kill_open(opened, federation_file)
    opened.record(*(events.Noted(now, note) for note in notes))
    opened.record(events.RunCancelled(now) if opened.state.ending is None else opened.state.ending.outcome(now))
    opened.stored.mark_over(True)
    return notes


def _kill_open(opened: OpenRun, federation_file: str | None) -> list[str]:
    """Kill what a run has open at a server; returns what could not be killed."""
    open_ = {
        each.token: tuple(other.name for other in step.organizations.values() if other.token == each.token)
        for step in opened.state.steps.values()
        for each in step.organizations.values()
        if each.status == "requested"
    }
    federation = pinned_federation(opened.state.pinned, federation_file) if open_ else None
    if federation is None:
        return []
    if not federation.outlives_program:
        _forget_withheld(opened, federation)
        return []
    notes: list[Remarked] = []

    def hear(report: Report) -> None:
        if isinstance(report, Remarked):
            notes.append(report)

    with closing(backends.reach(federation)) as access:
        if access.directory().identity != opened.state.pinned.identity:
            raise ResumeError(f"{federation.file} is no longer the federation that run {opened.state.run} asked")
        backend = access.backend(opened.stored.scratch)
        backend.open(hear)
        with closing(backend):
            for token, organizations in open_.items():
                backend.kill(token, organizations)
    away = next((note.error for note in notes if isinstance(note.error, UnreachableError)), None)
    if away is not None:
        raise away
    return [note.message for note in notes]


def _forget_withheld(opened: OpenRun, federation: Federation) -> None:
    """Remove what task runs whose logs are withheld have left in the run's folder, where nobody works on the run."""
    plan = pinned_plan(opened.state)
    with closing(backends.reach(federation)) as access:
        backend = access.backend(opened.stored.scratch)
        for name, step in opened.state.steps.items():
            definition = plan.steps.get(ids.definition(name))
            if disclosure.why_withheld(plan.directory.policy, definition) is not None:
                for each in step.organizations.values():
                    backend.forget(each.token, each.name)
        backend.close()
