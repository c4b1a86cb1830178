"""Decides at gates of runs that nobody works on."""

from __future__ import annotations

from typing import TYPE_CHECKING

from v6flow.clock import LaterClock, SystemClock
from v6flow.core.execution.events import GateDecided
from v6flow.core.language.words import suggestion
from v6flow.core.planning import ids
from v6flow.errors import AccessError, UsageError

if TYPE_CHECKING:
    from v6flow.actor import Actor
    from v6flow.clock import Clock
    from v6flow.core.execution.state import RunState
    from v6flow.runs.opened import OpenRun


def check_decision(run: str, state: RunState, step: str, by: str) -> float:
    """When the gate asked at which somebody wants to decide.

    Raises UsageError where nothing waits there, AccessError for who may not decide.
    """
    waiting = [gate.name for gate in state.gates]
    if state.over or step not in waiting:
        decided = state.step(step).decision
        what = f"was {decided.decision} by {decided.by}" if decided is not None else "waits for nobody"
        steps = {*state.steps, *state.pinned.steps}
        if step not in steps and ids.definition(step) not in steps:
            raise UsageError(f"run {run} has no step {step!r}", hint=suggestion(step, [*waiting, *sorted(steps)]))
        hint = "no gate of this run is waiting; see `v6flow status`"
        if waiting and not state.over:
            hint = suggestion(step, waiting) or f"those that wait: {', '.join(waiting)}"
        raise UsageError(f"step {step} of run {run} {what}", hint=hint)
    asked = state.step(step).question
    if asked is not None and asked.approvers and by not in asked.approvers:
        raise AccessError(f"{by} may not decide at step {step}: it asks {', '.join(asked.approvers)}")
    return asked.at if asked is not None else 0.0


def decide_gate(
    opened: OpenRun, step: str, decision: str, *, by: Actor, comment: str, clock: Clock | None = None
) -> GateDecided:
    """Write down what a person decides (`approved` or `rejected`) at a gate that waits; the run continues when resumed.

    Raises UsageError where nothing waits there, AccessError for who may not decide.
    """
    state = opened.state
    check_decision(opened.stored.id, state, step, by.by)
    now = LaterClock(clock or SystemClock(), state.last).now()
    event = GateDecided(now, step, decision, by.by, comment, via=by.via)
    opened.record(event)
    return event
