"""What a step of each kind would send or compute, as a preview shows it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from v6flow.core.expressions import Template
from v6flow.core.roles import roles_of
from v6flow.core.views import asking
from v6flow.core.views.base import Given, View
from v6flow.core.views.known import bare, spell, spell_source

if TYPE_CHECKING:
    from collections.abc import Mapping

    from v6flow.core.json import Json
    from v6flow.core.kinds import ForeachPlan, GatePlan, LocalPlan, RepeatPlan, TaskPlan, WorkflowPlan
    from v6flow.core.views.known import Reading


class Work(View, frozen=True):
    """The part of a preview that depends on the kind of its step."""

    @property
    def kind(self) -> str | None:
        """The kind in words, where that is not its key."""
        return None

    def lines(self) -> list[str]:
        """It in words."""
        return []

    def bounds(self) -> list[str]:
        """What bounds it, in words, before the checks."""
        return []

    def limits(self) -> list[str]:
        """What bounds it, in words, after the checks."""
        return []


class OtherWork(Work, frozen=True):
    """The work of a kind that has no preview of its own: what its plan declares, by the names of the fields."""

    values: Mapping[str, Json]

    def as_json(self) -> dict[str, Any]:
        return dict(self.values)

    def lines(self) -> list[str]:
        return [f"{key} {spell(value)}" for key, value in self.values.items()]


def of_other(step: Any, reading: Reading) -> OtherWork:
    """What the plan of a kind declares to be shown, see `v6flow.core.roles`."""
    declared = [(role, getattr(step, name), role.part or name) for name, role in roles_of(type(step)) if role.shown]
    return OtherWork(
        {
            part: reading.value(value) if isinstance(value, Template) else role.take(value)
            for role, value, part in declared
        }
    )


class TaskWork(Work, frozen=True):
    """What a task sends to whom.

    image: the image of the algorithm
    method: its function
    central: whether the function sends subtasks
    organizations: who is asked
    databases: the databases that are used
    kwargs_by_organization (task whose kwargs differ by organization): what each is sent
    kwargs (any other task): what all are sent
    study (task of a study): the study
    store (task with a store): the algorithm store
    isolation: `organization` or `together`: how many tasks are created
    quorum: how many must answer
    retry: how often it is tried
    timeout: seconds; null: no end
    cache (with `cache`): seconds for which its result is reused
    disclosure (task with a smallest count): the smallest count
    name: the task's name at the server
    """

    OPTIONAL = ("kwargs_by_organization", "kwargs", "study", "store", "cache", "disclosure")
    image: str
    method: str
    central: bool
    organizations: Json
    databases: tuple[asking.PreviewDatabase, ...]
    kwargs_by_organization: dict[str, Json] | None
    kwargs: Given | None
    study: str | int | None
    store: str | int | None
    isolation: str
    quorum: asking.PreviewQuorum
    retry: asking.PreviewRetry
    timeout: float | None
    cache: float | None
    disclosure: asking.SmallestCount | None
    name: str

    @property
    def kind(self) -> str | None:
        return "central task" if self.central else None

    def lines(self) -> list[str]:
        databases = ", ".join(each.label for each in self.databases) or "none"
        names = self.organizations if isinstance(self.organizations, list) else [self.organizations]
        told = [
            f"{self.method} of {self.image} on {databases}",
            f"to {', '.join(each if isinstance(each, str) else spell(each) for each in names)}",
        ]
        told += [f"  to {name}: {spell(kwargs)}" for name, kwargs in (self.kwargs_by_organization or {}).items()]
        if self.quorum.min != "all":
            told.append(f"quorum {spell(self.quorum.min)}")
        if self.kwargs is not None and self.kwargs.value:
            told.append(f"with {spell(self.kwargs.value)}")
        return told

    def bounds(self) -> list[str]:
        told = self.retry.lines()
        if self.disclosure is not None:
            counts = [self.disclosure.count, *(self.disclosure.also or ())]
            told += [f"refused unseen if {bare(count)} < {self.disclosure.min_count}" for count in counts]
        return told

    def limits(self) -> list[str]:
        return asking.limits(self.timeout, self.cache)


def of_task(step: TaskPlan, reading: Reading) -> TaskWork:
    asked: Json = (
        reading.value(step.organizations) if isinstance(step.organizations, Template) else list(step.organizations)
    )
    own = any(reference.root == "organization" for reference in step.kwargs.references)
    each = None
    if own and isinstance(asked, list) and all(isinstance(name, str) for name in asked):
        each = {str(name): reading.value(step.kwargs, str(name)) for name in asked}
    minimum = step.quorum.minimum
    return TaskWork(
        image=step.image,
        method=step.method,
        central=step.central,
        organizations=asked,
        databases=tuple(map(asking.database, step.databases)),
        kwargs_by_organization=each,
        kwargs=Given(reading.value(step.kwargs, None if own else "")) if each is None else None,
        study=step.study,
        store=step.store,
        isolation=step.isolation,
        quorum=asking.PreviewQuorum(
            reading.value(minimum) if isinstance(minimum, Template) else minimum,
            tuple(step.quorum.required),
            "all" if step.quorum.wait else "quorum",
        ),
        retry=asking.retry(step.retry),
        timeout=step.timeout,
        cache=step.cache,
        disclosure=asking.smallest_count(step, reading),
        name=step.label or f"{reading.workflow}/{step.common.name}",
    )


class ValueWork(Work, frozen=True):
    """The value that a local step computes.

    value: what it computes
    """

    value: Json

    def lines(self) -> list[str]:
        return [f"value {spell(self.value)}"]


class LocalWork(Work, frozen=True):
    """The function or command that a local step runs.

    function (local step with a function): the function
    command (local step with a command): the words of the command
    kwargs: what it is given
    timeout: seconds; null: no end
    memory: bytes; null: no bound
    retry: how often it is tried
    cache (with `cache`): seconds for which its result is reused
    """

    OPTIONAL = ("function", "command", "cache")
    function: str | None
    command: Json
    kwargs: Json
    timeout: float | None
    memory: int | None
    retry: asking.PreviewRetry
    cache: float | None

    def lines(self) -> list[str]:
        told = [f"function {self.function}"] if self.function is not None else []
        told += [f"command {spell(self.command)}"] if self.command is not None else []
        return [*told, f"with {spell(self.kwargs)}"] if self.kwargs else told

    def bounds(self) -> list[str]:
        return self.retry.lines()

    def limits(self) -> list[str]:
        return asking.limits(self.timeout, self.cache)


def of_local(step: LocalPlan, reading: Reading) -> LocalWork | ValueWork:
    if step.value is not None:
        return ValueWork(reading.value(step.value))
    command = reading.value(step.command) if step.command is not None else None
    kwargs, retry = reading.value(step.kwargs), asking.retry(step.retry)
    return LocalWork(step.function or None, command, kwargs, step.timeout, step.memory, retry, step.cache)


class GateWork(Work, frozen=True):
    """What a gate asks whom.

    message: what it asks
    approvers: who may decide; if nobody is named, anybody
    """

    message: Json
    approvers: tuple[str, ...]

    def lines(self) -> list[str]:
        return [f"waits until {', '.join(self.approvers) or 'anybody'} has decided: {spell(self.message)}"]


def of_gate(step: GatePlan, reading: Reading) -> GateWork:
    return GateWork(reading.value(step.message), step.approvers)


class RepeatWork(Work, frozen=True):
    """What a repeat step iterates.

    state: the state it begins with
    update: the state after an iteration
    until: the condition that ends it, or null
    max: the most iterations
    on_max: `fail` or `continue`
    cohort: `fixed`, `shrink` or `any`
    """

    state: Json
    update: Json
    until: Json
    max: int
    on_max: str
    cohort: str

    def lines(self) -> list[str]:
        until = f", until {spell_source(self.until)}" if self.until is not None else ""
        told = [
            f"from {spell(self.state)}",
            f"at most {self.max} iterations{until}",
            f"each leaves {spell_source(self.update)}",
        ]
        return told if self.cohort == "fixed" else [*told, f"cohort {self.cohort}"]


def of_repeat(step: RepeatPlan, reading: Reading) -> RepeatWork:
    until = step.until.source if step.until is not None else None
    return RepeatWork(reading.value(step.state), step.update.source, until, step.max, step.on_max, step.cohort)


class ForeachWork(Work, frozen=True):
    """What a foreach step does for which items.

    over (foreach over a list or mapping): the items
    matrix (foreach over a matrix): the items
    alias: the name of an item
    max_parallel: how many at once
    on_item_failure: `fail` or `continue`
    result: the result of an item
    """

    OPTIONAL = ("over", "matrix")
    NAMES: ClassVar = {"alias": "as"}
    over: Given | None
    matrix: Given | None
    alias: str
    max_parallel: int
    on_item_failure: str
    result: Json

    def lines(self) -> list[str]:
        over = self.over if self.over is not None else self.matrix
        told = [f"each.{self.alias} of {spell(over.value if over is not None else None)}, {self.max_parallel} at once"]
        return told if self.result is None else [*told, f"each leaves {spell_source(self.result)}"]


def of_foreach(step: ForeachPlan, reading: Reading) -> ForeachWork:
    return ForeachWork(
        Given(reading.value(step.over)) if step.over is not None else None,
        Given(reading.value(step.matrix)) if step.matrix is not None else None,
        step.alias,
        step.max_parallel,
        step.on_item_failure,
        step.result.source if step.result is not None else None,
    )


class WorkflowWork(Work, frozen=True):
    """The file that a workflow step runs.

    file: the file
    params: what it is given
    """

    file: str
    params: Json

    def lines(self) -> list[str]:
        return [f"runs {self.file}", *([f"with {spell(self.params)}"] if self.params else [])]


def of_workflow(step: WorkflowPlan, reading: Reading) -> WorkflowWork:
    reading.give(step.common.name, step.params, step.inner)
    return WorkflowWork(step.file, reading.value(step.params))
