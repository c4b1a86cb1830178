"""How a `local` step is executed: in place, or in a child process that may be tried again."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from msgspec import Struct

from v6flow.core.execution import events, reuse
from v6flow.core.execution.cohorts import Uses
from v6flow.core.execution.commands import LocalRequest, Recall, Record, StartLocal
from v6flow.core.execution.evaluation import StepInvalid, mapping
from v6flow.core.execution.steps import StepExecution
from v6flow.core.kinds.local import dashed
from v6flow.core.planning import ids

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from v6flow.core.execution.commands import Command
    from v6flow.core.execution.context import Execution
    from v6flow.core.execution.events import Event, Time
    from v6flow.core.json import Json
    from v6flow.core.kinds.local import LocalPlan


class _Computing(Struct):
    """What is remembered of a local step at work: what its function or command is given."""

    kwargs: Mapping[str, Json]
    uses: Uses
    command: tuple[str, ...] | None
    key: reuse.Key | None  # under which its result is reused, if it may be


class LocalExecution(StepExecution):
    """The kind `local`, as it is executed."""

    def begin(self, run: Execution, step: LocalPlan, name: str, now: Time) -> list[Command]:
        if step.value is not None:
            uses = Uses()
            value = run.render(step.value, uses, ids.prefix(name))
            return [Record(run.completed(name, value, uses, None, now))]
        work = _computing(run, step, name)
        state = run.state.step(name)
        found = run.recall(name, work.key, step.cache) if state.attempt <= state.spared else None
        if isinstance(found, Recall):
            return [found]
        run.work[name] = work
        if isinstance(found, reuse.Kept):
            completed = run.completed(name, found.value, work.uses, None, now)
            return [Record(reuse.reused(name, found, now)), Record(completed)]
        run.frontier.queue(name)
        notes: list[Command] = [Record(events.Noted(now, note)) for note in _notes(step, name, work.command)]
        return [*notes, Record(events.StepNotReused(now, name, found))] if found is not None else notes

    def advance(self, run: Execution, step: LocalPlan, name: str, now: Time) -> list[Command]:
        state = run.state.step(name)
        if state.requested:
            return []
        failure = state.failure
        tried = state.attempt - state.spared
        if failure is None or not tried:
            run.frontier.queue(name)
            return []
        due = state.since + step.retry.wait(tried)
        late = state.deadline is not None and due >= state.deadline
        if failure.kind not in step.retry.on or tried >= step.retry.attempts or late:
            return [Record(events.StepFailed(now, name, failure))]
        if due <= now:
            run.frontier.queue(name)
        else:
            run.frontier.wake(name, due)
        return []

    def start(self, run: Execution, step: LocalPlan, name: str, now: Time) -> Command:
        state, work = run.state.step(name), run.work[name]
        deadline = state.deadline
        if deadline is None and step.timeout is not None:
            deadline = now + step.timeout
        attempt = state.attempt + 1
        request = LocalRequest(
            name,
            attempt,
            step.folder or run.plan.folder,
            function=step.function,
            command=work.command,
            kwargs=work.kwargs,
            timeout=max(deadline - now, 0.001) if deadline is not None else None,
            memory=step.memory,
        )
        return StartLocal(request, events.LocalRequested(now, name, attempt, deadline))

    def observe(self, run: Execution, event: Any) -> None:
        if isinstance(event, events.LocalFailed):
            run.frontier.free(event.step)
            run.frontier.touch(event.step)

    def resume(self, run: Execution, step: LocalPlan, name: str) -> None:
        run.work[name] = _computing(run, step, name)
        run.frontier.touch(name)
        if (deadline := run.state.step(name).deadline) is not None:
            run.frontier.wake(name, deadline)

    def computed(self, run: Execution, _step: LocalPlan, name: str, value: Json, log: str | None, now: Time) -> Event:
        event = run.completed(name, value, run.work[name].uses, log, now)
        if isinstance(event, events.StepFailed):  # the attempt is reported, so that its log is kept
            return events.LocalFailed(now, name, run.state.step(name).attempt, event.failure, log)
        return event

    def kept(self, run: Execution, _step: LocalPlan, name: str) -> reuse.Key | None:
        work = run.work.get(name)
        return work.key if work is not None and run.state.step(name).reused is None else None


def _computing(run: Execution, step: LocalPlan, name: str) -> _Computing:
    """What a function or a command is given. Raises DependencyFailed, StepInvalid."""
    uses = Uses()
    prefix = ids.prefix(name)
    kwargs = mapping(run.render(step.kwargs, uses, prefix))
    command = _rendered(run.render(step.command, uses, prefix)) if step.command is not None else None
    run.mixture(step, uses)
    key = None
    if step.cache is not None and run.basis is not None:
        key = reuse.of_local(step, command, kwargs, run.basis)
    return _Computing(kwargs, uses, command, key)


def _notes(step: LocalPlan, name: str, command: tuple[str, ...] | None) -> Iterator[str]:
    """What a person should know of the words that a command comes to."""
    for index in dashed(step.command):
        if command is not None and command[index].startswith("-"):
            yield (
                f"step {name}: word {index + 1} of its command begins with `-` and comes from a step: {command[0]} may "
                "read it as an option (where the program takes `--`, write it before)"
            )


def _rendered(value: Json) -> tuple[str, ...]:
    """A rendered command: numbers as text; anything else that is not text is refused."""
    words: list[str] = []
    for word in value if isinstance(value, list) else []:
        if isinstance(word, bool) or not isinstance(word, (str, int, float)):
            message = f"a word of a command is text or a number, not {word!r}"
            raise StepInvalid("expression", message, "use | json or | join")
        words.append(word if isinstance(word, str) else repr(word))
    return tuple(words)


EXECUTION = LocalExecution()
