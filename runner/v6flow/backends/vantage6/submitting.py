"""Creates a task exactly once, as far as that can be: sent once, then looked up by its token."""

from __future__ import annotations

import base64
import binascii
import logging
import shlex
from functools import partial
from typing import TYPE_CHECKING

from msgspec import Struct
from msgspec.structs import replace

from v6flow.backends.vantage6 import dialects, reconciliation, stores
from v6flow.backends.vantage6.backoff import backoff, is_away, not_sent_again
from v6flow.backends.vantage6.dialects import TaskDraft
from v6flow.backends.vantage6.encryption import KeyProblemError
from v6flow.backends.vantage6.executor import call, patiently, sleep
from v6flow.backends.vantage6.records import StrangeError, repeated
from v6flow.backends.vantage6.refusals import AmbiguousError, NotSentError, RefusedError
from v6flow.core import json
from v6flow.errors import AccessError, FederationError, PersonNeededError, UnreachableError, V6flowError

if TYPE_CHECKING:
    from collections.abc import Callable

    from v6flow.backends.vantage6.backoff import Times
    from v6flow.backends.vantage6.calls import Api
    from v6flow.backends.vantage6.records import Run, Task, TaskDatabase, TaskWithRuns
    from v6flow.backends.vantage6.server_names import ServerDirectory
    from v6flow.core.execution.commands import TaskRequest
    from v6flow.core.kinds.settings import DatabaseChoice

LOG = logging.getLogger(__name__)


class Submitted(Struct, frozen=True):
    """A task at the server. `adopted`: it was found there; `doubtful`: it was sent twice, a twin may show up."""

    task: int
    adopted: bool
    doubtful: bool = False


class TurnedDownError(V6flowError):
    """The server, or a key, does not allow this one task; it does not exist."""

    kind = "turned_down"


class Submitter:
    """Turns requests into tasks."""

    def __init__(
        self,
        api: Api,
        directory: ServerDirectory,
        times: Times,
        random: Callable[[], float],
        *,
        note: Callable[[str], None],
    ) -> None:
        """`note` gets messages for people."""
        self._note = note
        self._api = api
        self._directory = directory
        self._times = times
        self._random = random

    async def submit(self, request: TaskRequest, *, again: bool, wanted: Callable[[], bool]) -> Submitted | None:
        """Create the request's task, or adopt the one that exists; None if it is no longer wanted before that.

        Raises TurnedDownError; PersonNeededError if what became of it cannot be known; what stops everything else.
        """
        waits = backoff(self._times, self._random)
        if again:
            found = await self._look_up(request)
            if found:
                return await self._adopted(request, found)

        def draft() -> TaskDraft | None:
            return self._draft(request) if wanted() else None

        drafted = await patiently(draft, waits)
        if drafted is None:
            return None

        def create() -> Task | None:  # many may wait for their turn, and be cancelled meanwhile
            return self._api.create_task(drafted) if wanted() else None

        lost = 0
        while True:
            try:
                task = await call(create)
            except NotSentError as error:
                await sleep(not_sent_again(error, waits))
                continue
            except AmbiguousError as error:
                LOG.info("%s: %s; looking for it", _called(request), error.message)
                found = await self._look_up(request)
                if found:
                    return await self._adopted(request, found)
                lost += 1
                if lost > 1:
                    raise _unknown_fate(
                        request, "two create requests got no response, and the task was not found"
                    ) from error
                continue
            except RefusedError as error:
                raise _refused(error) from error
            return None if task is None else Submitted(task.id, adopted=False, doubtful=again or lost > 0)

    def kept(self, request: TaskRequest, found: tuple[Task, ...]) -> int:
        """The one of some tasks with the same token that counts; the others are killed.

        Raises PersonNeededError, and kills nothing, if one of them is not what was asked for.
        """
        for task in found:
            _check(request, task, self._differences(request, task))
        lowest, *twins = found
        for twin in twins:
            told = f"{_called(request)} exists twice at the server: task {lowest.id} is kept, task {twin.id} is killed"
            try:
                self._api.kill_task(twin.id)
            except V6flowError as error:
                told += f", which failed: {error.message}"
            self._note(told)
        return lowest.id

    def check(self, request: TaskRequest, whole: TaskWithRuns) -> None:
        """That a task which was found is the one that was asked for. Raises PersonNeededError."""
        known = self._directory.by_short()
        asked = {known[name].id: name for name in request.kwargs}
        wrong = self._differences(request, whole.task)
        strangers = {run.organization for run in whole.runs} - set(asked)
        if strangers:
            wrong.append(f"it asks organizations that were not asked ({', '.join(map(self._name, sorted(strangers)))})")
        twice = repeated(whole.runs)
        if twice:
            wrong.append(f"it asks {', '.join(map(self._name, twice))} more than once")
        wrong += [
            f"it asks {asked[run.organization]} something else"
            for run in whole.runs
            if run.organization in asked and not self._same_input(request, asked[run.organization], run)
        ]
        _check(request, whole.task, wrong)

    def foreign(self, task: Task) -> list[str]:
        """Why a task is none that this user made in this collaboration; nothing if it may be one."""
        ours, user = self._directory.collaboration.id, self._directory.user
        wrong = []
        if task.collaboration not in (None, ours):
            wrong.append("it belongs to another collaboration")
        if task.init_user not in (None, user.id) or task.init_organization not in (None, user.organization):
            wrong.append("another user made it")
        if task.parent is not None:
            wrong.append(f"it is a subtask of task {task.parent}")
        return wrong

    def _differences(self, request: TaskRequest, task: Task) -> list[str]:
        """In what a task, without its runs, is another than the one that was asked for."""
        wrong = []
        if dialects.token_of(task.description) != request.token:
            wrong.append("its description is another")
        image = task.image
        if image != request.image and not (request.store is not None and stores.is_same_image(image, request.image)):
            wrong.append(f"its image is {image}, not {request.image}")
        wrong += self.foreign(task)
        study = self._study(request)
        if task.study not in (None, study):
            wrong.append("it belongs to another study")
        databases = self._databases(request)
        if [each.label for each in task.databases] != [each.label for each in databases]:
            wrong.append(f"its databases are not {', '.join(each.label for each in databases) or 'none'}")
        elif any(not self._same_parameters(*pair) for pair in zip(task.databases, databases, strict=True)):
            wrong.append("it uses its databases in another way (query, sheet, preprocessing or arguments)")
        return wrong

    def _same_parameters(self, database: TaskDatabase, choice: DatabaseChoice) -> bool:
        """Whether a task uses a database as we would; a server that keeps nothing of that says nothing of it."""
        try:
            kept = json.loads(database.parameters)
        except json.JsonError:
            return False
        if kept == {}:
            return True
        ours = {key: value for key, value in dialects.database(self._api.dialect, choice).items() if key != "label"}
        return json.canonical(kept) == json.canonical(ours)

    def _same_input(self, request: TaskRequest, name: str, run: Run) -> bool:
        """Whether a run was sent what we would send; what is encrypted for others or a blob cannot be read."""
        if self._directory.collaboration.encrypted or run.blob or self._api.dialect.blobs or run.input is None:
            return True
        try:
            sent = json.loads(base64.b64decode(run.input, validate=True), allow_nonfinite=True)
        except (ValueError, binascii.Error, json.JsonError):
            return False
        ours = json.loads(dialects.task_input(request.method, request.kwargs[name]), allow_nonfinite=True)
        return json.canonical(sent) == json.canonical(ours)

    def _name(self, organization: int) -> str:
        known = self._directory.by_id().get(organization)
        return known.short if known else f"organization {organization}"

    async def _look_up(self, request: TaskRequest) -> tuple[Task, ...]:
        look = partial(self._api.find_tasks_by_token, request.token, patience=0.0)
        try:
            return await reconciliation.climb(look, self._times.ladder, backoff(self._times, self._random))
        except (AccessError, RefusedError) as error:
            raise _unknown_fate(request, f"looking it up is refused: {error.message}") from error
        except StrangeError as error:
            raise _unknown_fate(request, f"looking it up gets inconsistent responses: {error.message}") from error

    async def _adopted(self, request: TaskRequest, found: tuple[Task, ...]) -> Submitted:
        return Submitted(await call(partial(self.kept, request, found)), adopted=True)

    def _draft(self, request: TaskRequest) -> TaskDraft:
        """Raises TurnedDownError, FederationError, and what uploading an input raises."""
        known = self._directory.by_short()
        inputs: dict[int, str] = {}
        try:
            for name, kwargs in request.kwargs.items():
                organization = known[name]
                data = dialects.task_input(request.method, kwargs)
                inputs[organization.id] = self._api.prepare_input(data, organization.public_key, name)
        except KeyProblemError as error:
            raise TurnedDownError(error.message, hint=error.hint) from error
        except RefusedError as error:
            raise _refused(error) from error
        return TaskDraft(
            request.token,
            request.name or request.step,
            request.description,
            request.image,
            self._directory.collaboration.id,
            inputs,
            databases=self._databases(request),
            study=self._study(request),
            store=self._directory.store_id(request.store) if request.store is not None else None,
            # by which the store knows the server, if the server itself does not say
            server_url=self._directory.server if request.store is not None and self._api.dialect.server_url else None,
        )

    def _study(self, request: TaskRequest) -> int | None:
        """The id of the study that a task belongs to: the step's, else the federation's."""
        if request.study is not None:
            return self._directory.study_id(request.study)
        return self._directory.study.id if self._directory.study else None

    def _databases(self, request: TaskRequest) -> tuple[DatabaseChoice, ...]:
        """The databases by the labels that the organizations' nodes use."""
        known = self._directory.by_short()
        choices = [
            [known[name].databases.get(each.label, each.label) for each in request.databases] for name in request.kwargs
        ]
        if any(labels != choices[0] for labels in choices):
            raise FederationError(
                f"{_called(request)} asks several organizations in one task, whose labels for its databases differ",
                hint="isolation: organization makes a task for each",
            )
        return tuple(replace(each, label=label) for each, label in zip(request.databases, choices[0], strict=True))


def _check(request: TaskRequest, task: Task, wrong: list[str]) -> None:
    if wrong:
        raise PersonNeededError(
            f"task {task.id} at the server carries the token of {_called(request)} but is another: " + "; ".join(wrong),
            hint="was the journal copied, or the task made by hand?",
        )


def _called(request: TaskRequest) -> str:
    return f"the task of step {request.step} for {', '.join(request.kwargs)}"


def _unknown_fate(request: TaskRequest, why: str) -> PersonNeededError:
    place = request.step if len(request.kwargs) != 1 else f"{request.step}/{next(iter(request.kwargs))}"
    return PersonNeededError(
        f"whether {_called(request)} exists at the server is unknown: {why}",
        hint=f"if it does not exist there (its description begins with {request.token}), "
        f"resume the run with --resubmit {shlex.quote(place)}",
    )


def _refused(error: RefusedError) -> V6flowError:
    """What a refusal to create one task means: for this task only if it is the API that speaks, or it is too large."""
    if error.said is not None or error.status == 413:
        return TurnedDownError(error.message, hint=error.hint)
    if is_away(error):
        return UnreachableError(error.message, hint=error.hint)
    return error
