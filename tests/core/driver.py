"""Drives the scheduler in tests: events in, commands out, with a clock that only the test moves."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from v6flow.core import reading
from v6flow.core.checks import soundness
from v6flow.core.directory import Directory
from v6flow.core.execution import events as ev
from v6flow.core.execution.codec import decode, encode
from v6flow.core.execution.commands import Ask, Keep, Kill, KillLocal, Look, Recall, Record, StartLocal
from v6flow.core.execution.reuse import Basis
from v6flow.core.execution.scheduler import Scheduler
from v6flow.core.execution.state import apply, replay
from v6flow.core.language import document
from v6flow.core.planning import planner

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from v6flow.core.execution.commands import Command, LocalRequest, TaskRequest
    from v6flow.core.execution.events import Event
    from v6flow.core.execution.reuse import Kept
    from v6flow.core.language.model import Workflow
    from v6flow.core.planning.plan import Plan

ORGANIZATIONS = ("alpha", "beta", "gamma")


def workflow(text: str, files: Mapping[str, str] | None = None) -> Workflow:
    """The workflow of a text without its first lines, which must be sound; `files` are the texts of others, by name.

    Of these each may run those before it.
    """
    others: dict[str, Workflow] = {}
    for name, other in (files or {}).items():
        others[name] = _sound(reading.parse(document.parse(f"v6flow: 1\n{other}", name), files=dict(others)))
    return _sound(reading.parse(document.parse(f"v6flow: 1\nname: w\n{text}", "w.yaml"), files=others))


def _sound(found: Workflow) -> Workflow:
    problems = [each for each in soundness.check(found) if each.severity == "error"]
    assert not problems, problems
    return found


def make(
    text: str,
    *,
    organizations: tuple[str, ...] = ORGANIZATIONS,
    defaults: Mapping[str, Any] | None = None,
    params: Mapping[str, Any] | None = None,
    deadline: float | None = None,
    files: Mapping[str, str] | None = None,
) -> Plan:
    """The plan of a text, on a federation that has an image for all."""
    found = workflow(text, files)
    filled = {name: param.schema.get("default") for name, param in found.params.items()} | dict(params or {})
    ids = {name: number for number, name in enumerate(organizations, start=1)}
    directory = Directory(organizations, ids=ids, identity="here", defaults={"image": "i", **(defaults or {})})
    return planner.make(found, filled, directory, folder="/work", run="w-1", started=0.0, deadline=deadline)


def journalled(events: Iterable[Event]) -> list[Event]:
    """Events as they come back from a journal."""
    return [
        decode(kind, json.loads(json.dumps(data)), json.loads(json.dumps(value)))
        for kind, data, value in map(encode, events)
    ]


class Driver:
    """One process that works on a run; `resume` gives the next one.

    `earlier` are the results of earlier runs, by the digest of their keys; without any, no step looks for one.
    """

    def __init__(
        self,
        made: Plan,
        events: Sequence[Event] | None = None,
        *,
        now: float = 0.0,
        jobs: int = 4,
        earlier: Mapping[str, Kept] | None = None,
    ) -> None:
        self.plan = made
        self.events = list(events or [ev.RunStarted(now, "w-1", "w", {})])
        self.state = replay(journalled(self.events))
        self.now = now
        self.earlier = earlier
        self.scheduler = Scheduler(made, self.state, jobs=jobs, basis=Basis() if earlier is not None else None)
        self.recalled: list[Recall] = []
        self.kept: list[Keep] = []
        self.requests: dict[tuple[str, str], TaskRequest] = {}  # the newest for each step and organization
        self.children: dict[str, LocalRequest] = {}
        self.commands: list[Command] = []
        self.sees = True  # a look brings nothing new, at once; if not, the federation is away
        self.unknown: set[str] = set()  # tokens asked for again: a look at one ends when it is accepted
        self.go()

    def go(self) -> list[Command]:
        """Decide until there is nothing to do but wait; all commands since."""
        since: list[Command] = []
        while self.state.status == "running" and (commands := self.scheduler.decide(self.now)):
            for command in commands:
                self._note(command)
            events = [each.event for each in commands if isinstance(each, (Record, Ask, StartLocal)) and each.event]
            self.write(*events)
            since += commands
            assert len(since) < 100_000, "it decides for ever"
        self.commands += since
        return since

    def _note(self, command: Command) -> None:
        if isinstance(command, Ask):
            for name in command.request.kwargs:
                self.requests[command.request.step, name] = command.request
            if command.event is None:
                self.unknown.add(command.request.token)
        elif isinstance(command, StartLocal):
            self.children[command.request.step] = command.request
        elif isinstance(command, KillLocal):
            del self.children[command.step]
        elif isinstance(command, Recall):
            assert self.earlier is not None
            self.recalled.append(command)
            self.scheduler.recalled(command.step, self.earlier.get(command.key.digest, "there is none"))
        elif isinstance(command, Keep):
            self.kept.append(command)
        elif isinstance(command, Look) and self.sees and command.token not in self.unknown:
            self.look(command.token)

    def look(self, token: str) -> None:
        """What is there under a token has been reported."""
        step = next(step for (step, _), request in self.requests.items() if request.token == token)
        self.scheduler.looked(step, token)

    def write(self, *events: Event) -> None:
        for event in events:
            self.events.append(event)
            apply(self.state, event)
            self.scheduler.observe(event)

    # -- what happens

    def answer(self, step: str, *organizations: str, value: Any = 1, subtasks: tuple[ev.Subtask, ...] = ()) -> None:
        """Organizations answer; as in the engine, what is not waited for does not enter."""
        for name in organizations:
            request = self.requests[step, name]
            if self.scheduler.waits_for(step, name, request.token):
                self.write(ev.TaskAnswered(self.now, step, name, request.attempt, value, None, subtasks))
        self.go()

    def fail(self, step: str, *organizations: str, kind: str = "crashed", message: str = "it broke") -> None:
        for name in organizations:
            request = self.requests[step, name]
            if self.scheduler.waits_for(step, name, request.token):
                failure = ev.Failure(kind, message, step, name)
                self.write(ev.TaskFailed(self.now, step, name, request.attempt, failure))
        self.go()

    def accept(self, step: str, *organizations: str) -> None:
        for name in organizations:
            self.write(ev.TaskAccepted(self.now, step, self.requests[step, name].token, "task 1"))
        self.go()

    def finish(self, step: str, value: Any) -> None:
        """A local step's child process answers."""
        del self.children[step]
        self.write(self.scheduler.computed(step, value, None, self.now))
        self.go()

    def crash(self, step: str, kind: str = "crashed") -> None:
        """A local step's child process fails."""
        attempt = self.children.pop(step).attempt
        self.write(ev.LocalFailed(self.now, step, attempt, ev.Failure(kind, "it broke", step)))
        self.go()

    def wait(self, seconds: float) -> list[Command]:
        self.now += seconds
        return self.go()

    def cancel(self) -> None:
        self.write(ev.CancelRequested(self.now))
        self.go()

    def resume(
        self,
        made: Plan | None = None,
        *,
        down: float = 0.0,
        now: float | None = None,
        keep: int | None = None,
        retry: tuple[str, ...] = (),
        reset: tuple[str, ...] = (),
        resubmit: tuple[str, ...] = (),
    ) -> Driver:
        """The next process, which finds the first `keep` events; `now` is when this one ended, if not just now."""
        then = (self.now if now is None else now) + down
        events = [*self.events[:keep], ev.RunResumed(then, down, None, (), retry, reset, resubmit)]
        return type(self)(made or self.plan, events, now=then, earlier=self.earlier)

    # -- what a test looks at

    def status(self, step: str) -> str:
        return self.state.step(step).status

    def asked(self, step: str) -> list[str]:
        """Whom the step has asked, in order, as often as it asked."""
        return [
            name
            for command in self.commands
            if isinstance(command, Ask) and command.request.step == step
            for name in command.request.kwargs
        ]

    def killed(self) -> list[tuple[str, ...]]:
        return [command.organizations for command in self.commands if isinstance(command, Kill)]

    def failure(self, step: str | None = None) -> ev.Failure:
        found = self.state.failure if step is None else self.state.step(step).failure
        assert found is not None
        return found

    def named(self, kind: type[Event]) -> list[Any]:
        return [event for event in self.events if isinstance(event, kind)]


def drive(text: str, *, jobs: int = 4, **options: Any) -> Driver:
    """A driver of a new run."""
    return Driver(make(text, **options), jobs=jobs)
