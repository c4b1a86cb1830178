"""Recording of a test from a run: the answers, their times, and the outcome."""

from __future__ import annotations

import functools
import math
import os
from typing import TYPE_CHECKING, Any

from msgspec import Struct, field

from v6flow import loading, params, paths
from v6flow.backends.fixtures import DEFAULT, KINDS
from v6flow.backends.fixtures.canned import SILENCE
from v6flow.core import expressions, json
from v6flow.core.execution import cohorts, dispatched, events, scope
from v6flow.core.execution.dispatched import UNDECLARED
from v6flow.core.language import document, units
from v6flow.core.language.problem import InvalidError
from v6flow.core.planning import ids, planner
from v6flow.core.planning.plan import iso
from v6flow.core.views.incomplete import kinds_by_name, of_run
from v6flow.errors import UsageError
from v6flow.testing import matching, samples, writing
from v6flow.testing.people import WORDS
from v6flow.testing.suites import directory_of
from v6flow.testing.trial import START

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path

    from v6flow.core.execution.events import Event
    from v6flow.core.execution.state import RunState, StepState
    from v6flow.core.json import Json
    from v6flow.core.kinds.task import TaskPlan
    from v6flow.core.language.model import Workflow
    from v6flow.core.planning.plan import Plan

CASE = "recorded"

_DEPTH = 40  # the nesting of a value that still fits into a test file
_WORDS = {kind: word for word, (kind, _) in KINDS.items()}
_FROM_SUBTASKS = ("subtask_failed", "subtasks_hidden", UNDECLARED)  # failures that came with an answer


def write(file: Path, state: RunState, happened: Iterable[Event], *, values: bool) -> list[str]:
    """Write a test from a finished run into a new file; returns notes for the user.

    Without `values`, answers are replaced by made-up values of the same shape, and expected values by schemas of these
    shapes. Raises UsageError if the file exists, if the run is not over, or if its workflow file is gone.
    """
    if os.path.lexists(file):
        raise UsageError(f"{file} already exists, and was not changed", hint="name a new file")
    if state.status not in ("completed", "failed"):
        reason = f"run {state.run} is not over" if not state.over else f"run {state.run} was cancelled"
        raise UsageError(f"{reason}: a test can be written from a completed or failed run")
    source = state.pinned.file
    if not paths.is_file(source):
        raise UsageError(f"the workflow file of run {state.run} does not exist any more: {source}")
    workflow = loading.read_workflow(source)
    recorder = _Recorder(workflow, state, values=values)
    data = recorder.test(os.path.relpath(source, file.absolute().parent), happened)
    text = _head(state, values=values) + writing.dump(data)
    if len(text.encode("utf-8", "replace")) > document.MAX_BYTES:
        raise UsageError(f"the answers of run {state.run} are too large for a test file")
    try:
        found = document.parse(text, str(file)).value
    except InvalidError as error:
        raise UsageError(f"run {state.run} has values that cannot be written to a test file: {error.first}") from error
    assert found == data, "the written file is read differently"
    try:
        paths.write_new(file, text)
    except OSError as error:
        raise UsageError(f"{file} cannot be written: {error.strerror}") from error
    changed = workflow.document.text != state.pinned.text
    return ["note: the workflow has changed since that run", *recorder.notes] if changed else recorder.notes


def _head(state: RunState, *, values: bool) -> str:
    told = (
        "The values are those of the run: check them before you share this file."
        if values
        else "The values are made up and have the shapes of the run's values; keys, names and params are real."
    )
    return f"# Recorded from run {state.run} of {iso(state.started)}.\n# {told}\n"


class _Attempt(Struct):
    """One attempt at an organization, and its outcome; None without an outcome."""

    at: float
    token: str
    withdrawn: bool = False
    outcome: events.TaskAnswered | events.TaskFailed | None = None
    subtasks: tuple[events.Subtask, ...] = ()  # the last known ones, for an attempt without an outcome


class _Recorder(Struct, dict=True):
    workflow: Workflow
    state: RunState
    values: bool
    notes: list[str] = field(default_factory=list)

    def test(self, workflow: str, happened: Iterable[Event]) -> dict[str, Any]:
        """The test file as data; `workflow` is the path in it."""
        pinned, state = self.state.pinned, self.state
        case: dict[str, Any] = {}
        given = {name: value for name, value in pinned.params.items() if name in self.workflow.params}
        if given:
            case["params"] = given
        if answers := self._answers(_attempts(happened)):
            case["answers"] = answers
        if decisions := {name: self._decision(step) for name, step in state.steps.items() if step.decision is not None}:
            case["decisions"] = decisions
        if pinned.deadline is not None:
            case["deadline"] = units.duration(max(pinned.deadline - state.started, 1))
        case["expect"] = self._expect()
        studies = {name: list(members) for name, members in pinned.studies.items() if isinstance(name, str)}
        return {
            "v6flow_test": 1,
            "workflow": workflow,
            **({"organizations": list(pinned.organizations)} if pinned.organizations else {}),
            **({"studies": studies} if studies else {}),
            **({"defaults": dict(pinned.defaults)} if pinned.defaults else {}),
            **({"policy": _policy(pinned.policy)} if pinned.policy else {}),
            "cases": {CASE: case},
        }

    # -- answers

    def _answers(self, attempts: Mapping[tuple[str, str], list[_Attempt]]) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for (step, organization), each in attempts.items():
            if each:
                given = [self._answer(attempt, step, organization) for attempt in each]
                found.setdefault(step, {})[organization] = given[0] if len(given) == 1 else given
        return found

    def _answer(self, attempt: _Attempt, step: str, organization: str) -> Any:
        outcome = attempt.outcome
        if outcome is None:
            waits = {SILENCE: "it waits for its subtasks", "subtasks": _dispatched(attempt.subtasks)}
            return waits if attempt.subtasks else SILENCE
        late = round(outcome.at - attempt.at) >= 1
        more: dict[str, Any] = {"after": units.duration(outcome.at - attempt.at)} if late else {}
        if outcome.subtasks:
            more["subtasks"] = _dispatched(outcome.subtasks)
        if isinstance(outcome, events.TaskAnswered):
            value = outcome.value if self.values else samples.made_up(outcome.value, self._smallest_count(step))
            written: dict[str, Any] = {"body": json.dumps(value)} if _is_awkward(value) else {"value": value}
            return {**written, **more}
        failure = outcome.failure
        if failure.kind in _FROM_SUBTASKS:
            return {"value": 0, **more, **({"subtasks": "hidden"} if failure.kind == "subtasks_hidden" else {})}
        word = _WORDS.get(failure.kind)
        if word is None:
            message = f"{organization} failed step {step} in a way that a test file cannot express ({failure.kind})"
            self.notes.append(f"note: {message}; it is written as unknown")
            word = "unknown"
        if not self.values and not more:
            return word
        return {word: (failure.message if self.values else KINDS[word][1]) or KINDS[word][1], **more}

    def _decision(self, step: StepState) -> Any:
        """The decision at a gate; the person and the comment only if values are kept."""
        asked, decided = step.question, step.decision
        assert decided is not None
        more: dict[str, Any] = {}
        if self.values:
            more = {"by": decided.by, **({"comment": decided.comment} if decided.comment else {})}
        if asked is not None and round(decided.at - asked.at) >= 1:
            more["after"] = units.duration(decided.at - asked.at)
        word = next(word for word, decision in WORDS.items() if decision == decided.decision)
        return {"decision": word, **more} if more else word

    def _smallest_count(self, step: str) -> int:
        """The count in made-up answers of a step: large enough that none is refused for a too small count."""
        planned = self.plan.step(step) if ids.definition(step) in self.plan.steps else None
        task = planned.task if planned is not None else None
        wanted = task.disclosure.min_count if task is not None else None
        return self.plan.directory.policy.least(wanted) or 1

    # -- the outcome

    def _expect(self) -> dict[str, Any]:
        state = self.state
        expect: dict[str, Any] = {"status": state.status, "exit_code": state.exit_code}
        if state.failure is not None:
            failure = state.failure
            told = {"kind": failure.kind, "step": failure.step, "organization": failure.organization}
            expect["error"] = {key: value for key, value in told.items() if value is not None}
        if state.outputs:
            expect["outputs"] = {name: self._expected(value) for name, value in state.outputs.items()}
        if state.status == "completed":
            expect["incomplete"] = self._incomplete()
        plan = self.plan
        steps = {name: step for name, step in state.steps.items() if ids.definition(name) in plan.steps}
        if told_of := {name: _fared(step) for name, step in steps.items()}:
            expect["steps"] = told_of
        if sent := {name: self._sent(plan, step) for name, step in steps.items() if step.attempt or step.asked}:
            expect["sent"] = {name: each for name, each in sent.items() if each}
        return {key: value for key, value in expect.items() if value != {}}

    def _incomplete(self) -> Any:
        """The incomplete parts that the test will have too: in a test nothing is reused, and no data change."""
        found = [
            each
            for each in of_run(self.state)
            if each.kind not in ("reused", "change_accepted") and (each.step is None or each.step in self.plan.steps)
        ]
        kinds = kinds_by_name(found)
        return {name: every[0] if len(every) == 1 else every for name, every in kinds.items()} or "none"

    @functools.cached_property
    def plan(self) -> Plan:
        """The plan of the run in the test."""
        pinned, workflow = self.state.pinned, self.workflow
        given = {name: value for name, value in pinned.params.items() if name in workflow.params}
        studies = {name: each for name, each in pinned.studies.items() if isinstance(name, str)}
        return planner.make(
            workflow,
            params.resolve(workflow, values=[("params", given)]),
            directory_of(pinned.organizations, studies, pinned.defaults, pinned.policy),
            folder=pinned.folder,
            started=START,
        )

    def _sent(self, plan: Plan, state: StepState) -> dict[str, Any]:
        """The kwargs sent to each organization; under `default` if they are the same for all."""
        step = plan.step(state.name).task
        if step is None:
            return {}
        sent = {
            each.name: self._kwargs(plan, step, state.name, each.name)
            for each in state.organizations.values()
            if each.attempt
        }
        first = next(iter(sent.values()), None)
        return {DEFAULT: first} if sent and all(each == first for each in sent.values()) else sent

    def _kwargs(self, plan: Plan, step: TaskPlan, path: str, organization: str) -> dict[str, Any]:
        names = scope.names(plan, self.state, cohorts.Uses(), prefix=ids.prefix(path))
        names["organization"] = organization
        inside = ids.prefix(path) != ""  # values there may come from answers of an earlier iteration
        source = step.kwargs.source
        assert isinstance(source, dict)  # by the schema kwargs are a mapping
        found: dict[str, Any] = {}
        for key, part in source.items():
            template = expressions.compile(part)
            roots = {reference.root for reference in template.references}
            try:
                value = template.source if template.literal else template.render(names)
            except (expressions.ExpressionError, expressions.NotKnownYet):
                found[key] = {"matches": {}}
                continue
            if "run" in roots:  # it is different in each run
                found[key] = _shape(value)
            else:
                depends = "steps" in roots or (inside and bool(roots - {"organization"}))
                found[key] = self._expected(value) if depends else _literal(value)
        return found

    def _expected(self, value: Json) -> Any:
        """The expectation in place of a value that depends on answers."""
        return _literal(json.printable(value)) if self.values else _shape(value)


def _attempts(happened: Iterable[Event]) -> dict[tuple[str, str], list[_Attempt]]:
    """The requests to each organization in each step, without those that a retry of the run replaced."""
    found: dict[tuple[str, str], list[_Attempt]] = {}
    for event in happened:
        match event:
            case events.TaskRequested():
                for name in event.organizations:
                    found.setdefault((event.step, name), []).append(_Attempt(event.at, event.token))
            case events.SubtasksSeen():
                attempt = found[event.step, event.organization][-1]
                attempt.subtasks = dispatched.merged(attempt.subtasks, event.subtasks)
            case events.TaskAnswered() | events.TaskFailed():
                found[event.step, event.organization][-1].outcome = event
            case events.StepReused():  # in a test nothing is reused, so they are asked
                for name, value in event.value.items() if isinstance(event.value, dict) else ():
                    answer = events.TaskAnswered(event.at, event.step, name, 1, value, None, event.subtasks)
                    found.setdefault((event.step, name), []).append(_Attempt(event.at, "", outcome=answer))
            case events.TaskWithdrawn():
                for attempts in found.values():
                    attempts[-1].withdrawn |= attempts[-1].token == event.token
            case events.RunResumed():
                _forget(found, event)
            case _:
                pass
    return {key: [each for each in attempts if not _is_void(each)] for key, attempts in found.items()}


def _forget(found: dict[tuple[str, str], list[_Attempt]], event: events.RunResumed) -> None:
    for (step, _), attempts in found.items():
        answered = bool(attempts) and isinstance(attempts[-1].outcome, events.TaskAnswered)
        reset = any(ids.is_in(step, each) for each in event.reset)
        if reset or (step in event.retry and not answered):
            attempts.clear()


def _dispatched(subtasks: Sequence[events.Subtask], parent: str = "", by: str = "") -> Any:
    """The subtasks of a central function for a test file: one mapping for each task, a single one without a list."""
    tasks: dict[str, dict[str, Any]] = {}
    for each in subtasks:
        if (each.parent, each.by) != (parent, by):
            continue
        inner = _dispatched(subtasks, each.task, each.organization) if each.task else None
        told = {"status": each.status, "subtasks": inner} if inner else each.status
        tasks.setdefault(each.task, {})[each.organization] = told
    found = list(tasks.values())
    return found[0] if len(found) == 1 else found


def _is_void(attempt: _Attempt) -> bool:
    """Whether it was killed because the run was released, and then submitted again."""
    return attempt.withdrawn and isinstance(attempt.outcome, events.TaskFailed)


def _fared(step: StepState) -> dict[str, Any]:
    told: dict[str, Any] = {"status": step.status}
    if step.organizations:
        told["responded"] = step.responded
        if failures := step.failures:
            told["failed"] = {name: each.kind for name, each in failures.items() if each is not None}
        if step.missing:
            told["missing"] = step.missing
    return told


def _shape(value: Json) -> dict[str, Any]:
    """The shape of a value as an expectation; any value if its keys cannot be written."""
    schema = samples.schema(value)
    return {"matches": {} if _is_awkward(schema) else schema}


def _policy(limits: Mapping[str, Json]) -> dict[str, Json]:
    """The policy for a test file; if several federation files gave counts, those of the newest."""
    counts = limits.get("counts")
    return {**limits, "counts": counts[0]} if isinstance(counts, list) else dict(limits)


def _literal(value: Json) -> Any:
    """The value as an expectation, with `equals` around anything that looks like a matcher."""
    if _is_awkward(value):
        return _shape(value)
    looks_like_one = any(set(each) in matching.MATCHERS for each in _mappings(value))
    return {"equals": value} if looks_like_one else value


def _mappings(value: Json) -> Iterable[dict[str, Any]]:
    if isinstance(value, dict):
        yield value
    if isinstance(value, (dict, list)):
        for item in value.values() if isinstance(value, dict) else value:
            yield from _mappings(item)


def _is_awkward(value: Json, depth: int = 0) -> bool:
    """Whether a value cannot be written as YAML, and is written as the text of its JSON instead."""
    match value:
        case float():
            return not math.isfinite(value)
        case str():
            return "\0" in value
        case dict():
            inner = [*value, *value.values()]
        case list():
            inner = value
        case _:
            return False
    return depth > _DEPTH or any(_is_awkward(item, depth + 1) for item in inner)
