"""What in a run is less than the whole and is used all the same, from the run's state alone."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from msgspec.structs import replace

from v6flow.core.execution import dispatched
from v6flow.core.language.units import spell
from v6flow.core.planning import ids
from v6flow.core.planning.plan import iso
from v6flow.core.views.base import View

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from v6flow.core.execution.events import Failure, StepReused
    from v6flow.core.execution.state import RunState, StepState

KINDS = ("partial", "items", "max", "failed", "skipped", "mixed_cohorts", "change_accepted", "reused")
"""Every kind of `Incomplete`, the most serious first: the order in which they are reported."""

NAMED = 12  # names in one message
QUOTED = 120  # characters of a failure's message in one message


class Incomplete(View, frozen=True):
    """One thing in a run that is less than the whole, and is used all the same.

    `kind`: `partial` (organizations failed or are missing, and the quorum did without them, or a central function
    without some of its subtasks), `items` (items of a foreach step failed), `max` (a repeat step reached `max` before
    its condition held), `failed` (a step failed, and the run did without it), `skipped` (a step was skipped because
    another one failed), `mixed_cohorts` (answers of different cohorts were put together, with a reason),
    `change_accepted` (data or code changed while the run was interrupted, and a person resumed it with a reason) or
    `reused` (a result is that of an earlier run).

    `step` is the step as the file names it, and `instances` are the steps as they were run, `fit[3].gradient`. For an
    output `output` is its name, and both are empty; for the run as a whole all three are. `organizations` are those
    whose answers are not in the result, in the order asked. `message` is a sentence that does not name the step or
    output.

    kind: see below
    step: the step as the file names it, `fit.gradient`; null for an output and for the run as a whole
    output: the output that puts answers of different cohorts together; else null
    instances: the steps as they were run, `fit[3].gradient`: one entry for all iterations and items
    organizations: the organizations whose answers are not in the result
    message: what is incomplete, in words
    """

    kind: str
    step: str | None = None
    output: str | None = None
    instances: tuple[str, ...] = ()
    organizations: tuple[str, ...] = ()
    message: str = ""

    @property
    def name(self) -> str:
        """What is incomplete, as the file names it: `parts`, `fit.gradient`, `outputs.mean`, and for the run `run`."""
        if self.step is None:
            return "run" if self.output is None else f"outputs.{self.output}"
        return self.step

    @property
    def subject(self) -> str:
        """What is incomplete, as it was run: `fit[3].gradient`; what is in several iterations or items as `name`."""
        return self.instances[0] if len(self.instances) == 1 else self.name

    def __str__(self) -> str:
        return f"{self.subject}: {self.message}"


def of_run(state: RunState) -> tuple[Incomplete, ...]:
    """All that is incomplete in a run, the most serious first; empty if the run is whole.

    A step that failed, or an item that failed, is in no value, and so is what happened inside it: that is not reported
    again. The failure of a run that failed is not either. What happened in several iterations or items is one entry.
    """
    outputs = [
        Incomplete("mixed_cohorts", output=output, message=_mixed(reason))
        for output, reason in state.mixed_cohorts.items()
    ]
    changes = [
        Incomplete("change_accepted", message=f"resumed although data or code had changed; accepted: {_quoted(reason)}")
        for reason in state.changes_accepted
    ]
    return _sorted([*_merged(state, state.steps.values()), *outputs, *changes])


def of_step(state: RunState, name: str) -> tuple[Incomplete, ...]:
    """What is incomplete in a step as it was run, `fit[3].gradient`, and in the steps nested in it."""
    inside = [step for step in state.steps.values() if ids.is_in(step.name, name)]
    return _sorted(_merged(state, inside))


def kinds_by_name(found: Iterable[Incomplete]) -> dict[str, list[str]]:
    """The kinds of what is incomplete, by what the file calls it: `{"fit": ["max"]}`."""
    kinds: dict[str, list[str]] = {}
    for each in found:
        kinds.setdefault(each.name, []).append(each.kind)
    return kinds


def reused(found: StepReused) -> str:
    """Which result a step has, as `reused from run average-…, answered 2026-11-21T05:23:01Z (3h10m old)`."""
    age = spell(max(found.at - found.answered, 0.0))
    return f"reused from run {found.run}, answered {iso(found.answered)} ({age} old)"


def _of_step(state: RunState, step: StepState) -> Iterator[Incomplete]:
    """What is incomplete in one step as it was run, without the steps nested in it."""
    if step.status == "completed":
        if any(of_value(step)) and _is_used(state, step.name):
            yield from of_value(step)
    elif step.status == "failed":
        if _is_done_without(state, step.name):
            message = _quoted(step.failure.message) if step.failure is not None else ""
            yield _entry(step, "failed", f"failed: {message}" if message else "failed")
    elif step.status == "skipped" and step.reason == "failed" and _is_done_without(state, step.name):
        yield _entry(step, "skipped", f"skipped, since {step.cause} failed")


def of_value(step: StepState) -> Iterator[Incomplete]:
    """What is incomplete in the value of one step that completed, without the steps nested in it."""
    partial = _partial(step)
    if partial is not None:
        yield partial
    items = step.items or ()
    failed = [each for each in items if each.status == "failed"]
    if failed:
        told = [
            f"item {each.key} failed: {_quoted(each.failure.message)}" if each.failure else f"item {each.key} failed"
            for each in failed
        ]
        done = sum(each.status == "completed" for each in items)
        yield _entry(step, "items", f"{done} of {len(items)} items completed ({_listed(told)})")
    if step.exhausted:
        counted = "1 iteration" if step.exhausted == 1 else f"{step.exhausted} iterations"
        yield _entry(step, "max", f"not converged after {counted}, the most allowed")
    if step.mixed_cohorts is not None:
        yield _entry(step, "mixed_cohorts", _mixed(step.mixed_cohorts))
    if step.reused is not None:
        yield _entry(step, "reused", reused(step.reused))


def _partial(step: StepState) -> Incomplete | None:
    """The organizations whose answers are not in the value of a task step."""
    if dispatched.hides(step):
        return _entry(
            step, "partial", "this user may not see whom the central function asked, nor who of them answered"
        )
    failures, missing = step.failures, step.missing
    asked = step.asked
    absent = [name for name in asked if name in failures or name in missing]
    if not absent:
        return None
    told = [_failed(name, failures[name]) if name in failures else _silent(step, name) for name in absent]
    message = f"{len(asked) - len(absent)} of {len(asked)} answered ({_listed(told)})"
    return _entry(step, "partial", message, tuple(absent))


def _failed(name: str, failure: Failure | None) -> str:
    message = _quoted(failure.message) if failure is not None else ""
    return f"{name} failed: {message}" if message else f"{name} failed"


def _silent(step: StepState, name: str) -> str:
    """Why nothing came of an organization."""
    asked = step.organizations.get(name)
    if asked is not None and asked.late:
        return f"{name} answered too late"
    why = {"quorum": "was not waited for", "timeout": "did not answer in time"}
    return f"{name} {why.get(step.closed or '', 'did not answer')}"


def _is_used(state: RunState, name: str) -> bool:
    """Whether the value of a step can be in the values of the steps around it: they and its item did not fail."""
    for inner in ids.outward(ids.prefix(name))[:-1]:
        path, number = ids.around(inner)
        outer = state.step(path)
        if outer.status in ("failed", "skipped"):
            return False
        if outer.items is not None and outer.items[number - 1].status == "failed":
            return False
    return True


def _is_done_without(state: RunState, name: str) -> bool:
    """Whether the run, or the iteration or item around a step, ended well although the step has no value."""
    prefix = ids.prefix(name)
    if not prefix:
        outcome = state.ending.status if state.ending is not None else state.status
        return outcome == "completed" or (outcome == "cancelled" and name in state.pinned.final)
    path, number = ids.around(prefix)
    outer = state.step(path)
    if outer.items is not None:
        ended = outer.items[number - 1].status == "completed"
    else:
        ended = outer.status == "completed" or 0 < number <= outer.rounds
    return ended and _is_used(state, name)


def _merged(state: RunState, steps: Iterable[StepState]) -> list[Incomplete]:
    """What is incomplete in these steps; what one step of the file has in several iterations or items is one entry."""
    ran: Counter[str] = Counter()
    found: dict[tuple[str, str], list[Incomplete]] = {}
    for step in steps:
        definition = ids.definition(step.name)
        ran[definition] += 1
        for each in _of_step(state, step):
            found.setdefault((definition, each.kind), []).append(each)
    return [_together(several, ran[definition]) for (definition, _), several in found.items()]


def _together(several: Sequence[Incomplete], ran: int) -> Incomplete:
    first = several[0]
    if len(several) == 1:
        return first
    organizations = tuple(dict.fromkeys(name for each in several for name in each.organizations))
    lacking = f", in all without {_listed(organizations)}" if organizations else ""
    message = f"{len(several)} times of {ran}{lacking}; first at {first.instances[0]}: {first.message}"
    every = tuple(name for each in several for name in each.instances)
    return replace(first, message=message, instances=every, organizations=organizations)


def _sorted(found: Iterable[Incomplete]) -> tuple[Incomplete, ...]:
    return tuple(sorted(found, key=lambda each: KINDS.index(each.kind)))


def _entry(step: StepState, kind: str, message: str, organizations: tuple[str, ...] = ()) -> Incomplete:
    definition = ids.definition(step.name)
    return Incomplete(kind, definition, None, (step.name,), organizations, message)


def _mixed(reason: str) -> str:
    return f"answers of different cohorts are combined; accepted: {_quoted(reason)}"


def _listed(told: Iterable[str]) -> str:
    every = list(told)
    more = [f"{len(every) - NAMED} more"] if len(every) > NAMED else []
    return "; ".join([*every[:NAMED], *more])


def _quoted(message: str) -> str:
    """A message on one line, cut where it is long."""
    line = " ".join(message.split())
    return line if len(line) <= QUOTED else f"{line[: QUOTED - 1]}…"
