"""The key under which later runs reuse a result: all that it depends on, as far as that can be seen."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import Struct, field
from msgspec.structs import replace

from v6flow.core.execution import dispatched
from v6flow.core.execution import events as ev
from v6flow.core.json import digest
from v6flow.core.planning import ids, question
from v6flow.core.planning.question import Origin

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from v6flow.core.execution.events import Event, Subtask, Time
    from v6flow.core.execution.state import StepState
    from v6flow.core.json import Json
    from v6flow.core.kinds.local import LocalPlan
    from v6flow.core.kinds.task import TaskPlan
    from v6flow.core.planning.plan import Plan


class Basis(Struct, frozen=True):
    """What results depend on and no plan says.

    `sources` are digests of the functions, scripts and files of local steps, by step; `data` is one of the data and the
    algorithms of the federation, empty where they cannot be seen from here.
    """

    sources: Mapping[str, str] = field(default_factory=dict)
    data: str = ""


class Key(Struct, frozen=True):
    """What a result depends on: `parts` by the name that people know each by, and the `digest` of them all."""

    parts: Mapping[str, str]

    @property
    def digest(self) -> str:
        return digest(dict(self.parts))


class ReusableAnswer(Struct, frozen=True):
    """What an organization answered, and for a central function how those fared whom it asked."""

    value: Json
    subtasks: tuple[Subtask, ...] = ()


class Kept(Struct, frozen=True):
    """The result that a step of a run has: `value` of a local step, `answers` of a task step.

    `ended` is when the step completed, `answered` when the oldest of the answers came; `sent` are digests of what each
    organization was sent (see `asking.sent`).
    """

    run: str
    step: str
    ended: Time
    answered: Time
    value: Json = None
    answers: Mapping[str, ReusableAnswer] = field(default_factory=dict)
    sent: Mapping[str, str] = field(default_factory=dict)


def wanted(plan: Plan) -> bool:
    """Whether any step of a plan may reuse a result."""
    return any(getattr(step, "cache", None) is not None for step in plan.steps.values())


def of_task(plan: Plan, step: TaskPlan, asked: Sequence[str], kwargs: Mapping[str, Json], basis: Basis) -> Key:
    """The key of what organizations are about to be asked; how patiently, and how it is judged, is not in it."""
    origin = Origin(federation=plan.directory.identity, data=basis.data)
    return Key(question.of(step, origin, organizations=asked, kwargs={name: kwargs[name] for name in asked}).key())


def of_local(step: LocalPlan, command: Sequence[str] | None, kwargs: Mapping[str, Json], basis: Basis) -> Key:
    """The key of what is about to be computed here."""
    return Key(question.of(step, Origin(basis.sources.get(step.common.name)), command=command, kwargs=kwargs).key())


def whole(step: TaskPlan, state: StepState) -> bool:
    """Whether a completed step has a result that may be kept: all that was asked, answered in this run."""
    if state.reused is not None:
        return False
    subtasks = [subtask for each in state.organizations.values() for subtask in each.subtasks]
    if dispatched.hides(state) or (step.central and step.subtasks == "partial" and not subtasks):
        return False  # who took part is not known
    everybody = all(each.status == "answered" for each in state.organizations.values())
    return everybody and all(each.status == "completed" for each in subtasks)


def reused(name: str, kept: Kept, now: Time, *, central: bool = False) -> Event:
    """The event of a step that takes what an earlier run has."""
    value: Json = {each: answer.value for each, answer in kept.answers.items()} or None
    # their logs are those of the earlier run
    subtasks = tuple(replace(each, log=None) for answer in kept.answers.values() for each in answer.subtasks)
    return ev.StepReused(now, name, kept.run, kept.step, kept.answered, value, subtasks, central)


def results(run: str, events: Iterable[Event]) -> dict[str, Kept]:
    """The results that the steps of a run have by its events, those of nested steps too."""
    found: dict[str, Kept] = {}
    asked: dict[str, tuple[str, ...]] = {}
    sent: dict[str, dict[str, str]] = {}
    answered: dict[str, dict[str, ev.TaskAnswered]] = {}
    for event in events:
        match event:
            case ev.RunResumed():
                for step in [each for each in answered if any(ids.is_in(each, outer) for outer in event.reset)]:
                    del answered[step]
            case ev.StepStarted():
                asked[event.step] = event.asked
            case ev.TaskRequested():
                sent.setdefault(event.step, {}).update(dict.fromkeys(event.organizations, event.digest))
            case ev.TaskAnswered():
                answered.setdefault(event.step, {})[event.organization] = event
            case ev.StepCompleted():
                known = answered.get(event.step, {})
                given = {name: known[name] for name in asked.get(event.step, ()) if name in known}
                found[event.step] = Kept(
                    run,
                    event.step,
                    event.at,
                    min((each.at for each in given.values()), default=event.at),
                    event.value,
                    {name: ReusableAnswer(each.value, each.subtasks) for name, each in given.items()},
                    {name: digest for name, digest in sent.get(event.step, {}).items() if name in given},
                )
            case _:
                pass
    return found


def changed(before: Mapping[str, str], now: Mapping[str, str]) -> list[str]:
    """The parts in which two keys differ."""
    return [part for part in {**before, **now} if before.get(part) != now.get(part)]
