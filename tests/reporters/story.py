"""Runs to tell of: a workflow, its plan, and events at fixed times."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec.structs import replace

from v6flow.core import reading
from v6flow.core.directory import Directory
from v6flow.core.execution import events as ev
from v6flow.core.execution.state import RunState, apply, replay
from v6flow.core.language import document
from v6flow.core.planning import planner
from v6flow.core.policy import NO_LIMITS, Policy

if TYPE_CHECKING:
    from collections.abc import Iterable

    from v6flow.core.execution.events import Event
    from v6flow.core.planning.plan import Plan
    from v6flow.reporters.base import Reporter

START = 1_795_238_580.0  # 2026-11-21T05:23:00Z
RUN = "variance-20261121-0523-k3f9"
STEPS = ["moments", "pooled", "deviations", "report"]
NASTY = "\x1b[2J\x1b]0;owned\x07\u202egnp.exe [bold]red[/bold]"

WORKFLOW = """
v6flow: 1
name: variance
defaults: {image: demo, retry: {attempts: 3, delay: 30s}}
steps:
  moments: {task: {method: moments}, quorum: {min: 2}}
  pooled: {local: {function: "pool.py:pool", kwargs: {partials: "{{ steps.moments.results }}"}}}
  deviations:
    task:
      method: deviations
      kwargs: {of: "{{ steps.pooled.result }}"}
      organizations: "{{ steps.moments.responded }}"
  report: {local: {value: "{{ steps.deviations.results }}"}}
"""

LOG = "Traceback\n  line 3\nKeyError"
CRASH = ev.Failure("crashed", "KeyError: 'age'", "deviations", "beta", "mend the column", LOG)
SHORT = replace(CRASH, message="beta crashed: KeyError: 'age' (1 of 2 answered, all must)")

BEGUN: list[Event] = [
    ev.RunStarted(START, RUN, "variance", {}),
    ev.StepStarted(START + 1, "moments", ("alpha", "beta", "gamma"), START + 7201),
    ev.TaskRequested(START + 1, "moments", ("alpha",), 1, "a1", "d"),
    ev.TaskRequested(START + 1, "moments", ("beta",), 1, "b1", "d"),
    ev.TaskRequested(START + 1, "moments", ("gamma",), 1, "c1", "d"),
    ev.TaskAccepted(START + 1, "moments", "a1", "17"),
    ev.TaskAnswered(START + 3, "moments", "alpha", 1, {"n": 3}),
]
BETA_BEGAN = ev.TaskStarted(START + 2, "moments", "beta", 1, START + 1.5)
RETRIED: list[Event] = [
    *BEGUN,
    ev.TaskFailed(START + 4, "moments", "beta", 1, ev.Failure("start_failed", "no such image", "moments", "beta")),
]
MOMENTS: list[Event] = [
    *RETRIED,
    ev.TaskRequested(START + 34, "moments", ("beta",), 2, "b2", "d"),
    ev.TaskAnswered(START + 36, "moments", "beta", 2, {"n": 4}),
    ev.StepClosed(START + 7201, "moments", "timeout"),
    ev.StepCompleted(START + 7201, "moments", None, (("moments", ("alpha", "beta")),)),
    ev.LocalRequested(START + 7201, "pooled", 1, START + 9000),
    ev.StepCompleted(START + 7203, "pooled", 3.5),
    ev.StepStarted(START + 7203, "deviations", ("alpha", "beta"), None),
    ev.TaskRequested(START + 7203, "deviations", ("alpha",), 1, "a3", "d"),
    ev.TaskRequested(START + 7203, "deviations", ("beta",), 1, "b3", "d"),
    ev.TaskAnswered(START + 7204, "deviations", "alpha", 1, 2.0),
]
FAILED: list[Event] = [
    *MOMENTS,
    ev.TaskFailed(START + 7205, "deviations", "beta", 1, CRASH),
    ev.StepFailed(START + 7205, "deviations", SHORT),
    ev.StepSkipped(START + 7205, "report", "deviations"),
    ev.RunFailed(START + 7205, SHORT),
]
COMPLETED: list[Event] = [
    *MOMENTS,
    ev.TaskAnswered(START + 7205, "deviations", "beta", 1, 4.0),
    ev.StepCompleted(START + 7205, "deviations", None, (("deviations", ("alpha", "beta")),)),
    ev.StepCompleted(START + 7205, "report", [2.0, 4.0]),
    ev.RunCompleted(START + 7205, {"variance": 3.0}),
]
INTERRUPTED: list[Event] = [
    *MOMENTS,
    ev.RunInterrupted(START + 7204, ev.Failure("interrupted", "interrupted"), 130),
]


def make(text: str = WORKFLOW, *, offline: tuple[str, ...] = ("gamma",), policy: Policy = NO_LIMITS) -> Plan:
    """The plan of a workflow's text, for three hospitals."""
    workflow = reading.parse(document.parse(text, "variance.yaml"))
    directory = Directory(("alpha", "beta", "gamma"), offline=offline, policy=policy)
    return planner.make(workflow, {}, directory, run=RUN, started=START)


def many(steps: int) -> Plan:
    """The plan of a workflow of many value steps."""
    lines = "".join(f"  s{number}: {{local: {{value: {number}}}}}\n" for number in range(steps))
    return make(f"v6flow: 1\nname: many\nsteps:\n{lines}")


def tell(reporter: Reporter, planned: Plan, events: Iterable[Event]) -> RunState:
    """Let a reporter see a run as the engine shows it."""
    first, *others = events
    state = replay([first])
    reporter.begin(planned, state)
    for event in others:
        apply(state, event)
        reporter.event(event, state)
    reporter.end(state)
    return state
