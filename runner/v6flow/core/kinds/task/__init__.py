"""A `task` step: one method of an algorithm, asked of organizations."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from msgspec import Struct

from v6flow.core import expressions
from v6flow.core.expressions import CLEAN, Flow, ValueOrigin
from v6flow.core.kinds.base import StepKind
from v6flow.core.kinds.fields import ANYWHERE, KWARGS, PARAMS, Field
from v6flow.core.kinds.organizations import check_quorum, planned
from v6flow.core.kinds.settings import (
    BESIDE,
    LATE,
    SETTINGS,
    parse_cache,
    parse_databases,
    parse_disclosure,
    parse_quorum,
    parse_retry,
    parse_timeout,
    setting_fields,
    shown,
)
from v6flow.core.language.model import Planned, Step
from v6flow.core.language.words import suggestion
from v6flow.core.roles import Role, fixed, free, named

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from v6flow.core.directory import Directory
    from v6flow.core.expressions import Template
    from v6flow.core.json import Json
    from v6flow.core.kinds.base import Planning
    from v6flow.core.kinds.fields import Defaults
    from v6flow.core.kinds.settings import DatabaseChoice, Disclosure, Quorum, Retry
    from v6flow.core.kinds.tracing import Mixing, Tracing
    from v6flow.core.language.model import Common
    from v6flow.core.language.problem import Path
    from v6flow.core.roles import Roles

KEY = "task"

_MANY = frozenset(
    {"status", "error", "results", "by_organization", "asked", "responded", "failed", "missing", "failures"}
)
_ONE = frozenset({"status", "error", "result", "asked", "responded", "failed", "missing", "failures"})


class TaskStep(Step, Struct, frozen=True):
    """What the file says. `settings` are the templates of those settings that the file itself gives."""

    kind: ClassVar[str] = KEY
    asks: ClassVar[bool] = True
    common: Common
    method: Template
    kwargs: Template
    settings: Mapping[str, tuple[Path, Template]]
    single: bool
    central: Template | None = None
    subtasks: str = "fail"
    label: Template | None = None
    description: Template | None = None
    allow_nonfinite: bool = False
    study: Template | None = None
    cache: Template | None = None


def _asked(reuse: str, *, sent: bool = False, shown: bool = True) -> tuple[Role, ...]:
    """The role of what decides an answer."""
    return (Role(sent=sent, reuse=reuse, fixed="asked", shown=shown),)


class TaskPlan(Planned, Struct, frozen=True):
    """A task step with its settings resolved; what depends on other steps is still a template.

    `members` are all who may be asked: those of the study, else of the federation.
    """

    kind: ClassVar[str] = KEY
    origin: ClassVar[frozenset[str]] = frozenset({"federation", "data"})
    ROLES: ClassVar[Roles] = {
        "image": _asked("image", sent=True),
        "method": _asked("method", sent=True),
        "kwargs": _asked("kwargs", sent=True),
        "organizations": _asked("organizations"),
        "databases": (Role(sent=True, reuse="databases", shown=True), Role(fixed="asked", take=named)),
        "central": _asked("settings", sent=True),
        "subtasks": _asked("settings", shown=False),
        "study": _asked("settings", sent=True),
        "store": _asked("settings", sent=True),
        "isolation": _asked("settings"),
        "allow_nonfinite": _asked("settings", shown=False),
        "quorum": fixed(shown=True),
        "disclosure": fixed(shown=True),
        "single": free("how its organizations are written"),
        "members": free("who may be asked; who is asked is in organizations"),
        "retry": free("how often the same is asked", shown=True),
        "timeout": free("how long an answer is waited for", shown=True),
        "label": free("the task's name at a server", shown=True),
        "description": free("for people at a server"),
        "cache": free("how old a result of the same may be", shown=True),
    }
    common: Common
    image: str
    method: str
    kwargs: Template
    organizations: tuple[str, ...] | Template
    databases: tuple[DatabaseChoice, ...]
    central: bool
    subtasks: str
    study: str | int | None
    store: str | int | None
    isolation: str
    allow_nonfinite: bool
    quorum: Quorum
    disclosure: Disclosure
    single: bool
    members: tuple[str, ...]
    retry: Retry
    timeout: float | None
    label: str  # empty: of the workflow and the step
    description: str
    cache: float | None = None
    """How long, in seconds, what was answered may be reused by later runs; None: not at all."""

    @property
    def task(self) -> TaskPlan:
        return self


def _check_isolation(step: TaskStep, complain: Callable[..., None]) -> None:
    if "isolation" not in step.settings or step.settings["isolation"][1].source != "task":
        return
    quorum = step.settings.get("quorum")
    retry = step.settings.get("retry")
    if quorum is not None and quorum[1].literal and parse_quorum(quorum[1].source).minimum != "all":
        complain(("quorum",), "with isolation: task one failure fails the siblings, so the quorum can only be all",
                 "isolation-quorum", hint="write quorum: all here, or isolation: organization")  # fmt: skip
    if retry is not None and retry[1].literal and parse_retry(retry[1].source).attempts != 1:
        complain(("retry",), "with isolation: task there is only one attempt", "isolation-retry",
                 hint="write retry: 1 here, or isolation: organization")  # fmt: skip


def _name_or_id(what: str, value: Json | Template) -> str | int:
    """A name, or an id as an integer. Raises ValueError for anything else."""
    if isinstance(value, bool) or not isinstance(value, (str, int)) or not value:
        raise ValueError(f"a {what} is named by text, or by its id as an integer, not {shown(value)}")
    return value


def _members(study: str | int, directory: Directory) -> tuple[str, ...]:
    if study not in directory.studies:
        names = [name for name in directory.studies if isinstance(name, str)]
        near = suggestion(study, names) if isinstance(study, str) else None
        has = f"the federation has {', '.join(names) or 'none'}"
        raise ValueError(f"no study {shown(study)}: {has}" + (f" ({near})" if near else ""))
    return directory.studies[study]


def _plan_store(value: Json | Template, directory: Directory) -> str | int | None:
    if value is None:
        return None
    store = _name_or_id("store", value)
    if directory.stores is not None and store not in directory.stores:
        names = [name for name in directory.stores if isinstance(name, str)]
        raise ValueError(f"no algorithm store {shown(store)}: the collaboration has {', '.join(names) or 'none'}")
    return store


class _Settings:
    """The settings of a step as its plan has them: a Template where a value is known only later."""

    def __init__(self, step: TaskStep, planning: Planning) -> None:
        self._step = step
        self._planning = planning

    def value(self, key: str) -> Json | Template:
        """The winning value of a setting: that of the step or its file's defaults, the federation's, or the default."""
        template = self._step.settings[key][1] if key in self._step.settings else None
        self._planning.look_at(template)
        directory = self._planning.directory
        found = directory.defaults.get(key, SETTINGS[key]) if template is None else self._given(key, template)
        if key == "image" and isinstance(found, str):
            _check_image(found, directory)
        return found

    def _given(self, key: str, template: Template) -> Json | Template:
        parts = template.source if isinstance(template.source, dict) else {}
        if key == "disclosure":  # of which the count is told by each result
            compiled = {part: expressions.compile(value) for part, value in parts.items()}
            return {part: value if part == "count" else self._planning.rendered(value)
                    for part, value in compiled.items()}  # fmt: skip
        if key == "quorum" and parts and not template.literal:
            compiled = {part: expressions.compile(value) for part, value in parts.items()}
            return {part: self._planning.late(value) if part == "min" else self._planning.rendered(value)
                    for part, value in compiled.items()}  # fmt: skip
        return self._planning.late(template) if key in LATE else self._planning.known(template)


def _check_image(image: str, directory: Directory) -> None:
    """Raise ValueError for an image that the policy does not allow, or that cannot run in the federation."""
    if not directory.policy.allows(image):
        allowed = ", ".join(directory.policy.images or ()) or "none"
        raise ValueError(f"the federation's policy does not allow the image {image}: it allows {allowed}")
    if directory.images is not None and image not in directory.images:
        near = suggestion(image, directory.images)
        raise ValueError(
            f"the federation has no algorithm for the image {image}: it has {', '.join(directory.images) or 'none'}"
            + (f" ({near})" if near else "")
        )


class TaskKind(StepKind):
    """The kind `task`."""

    key = KEY
    plan_type = TaskPlan
    summary = "one method of an algorithm, sent to organizations"

    def parse(self, common: Common, raw: Mapping[str, Any], defaults: Defaults) -> TaskStep:
        """The task step of a mapping that is sound by the schema; `defaults` are its file's, already compiled."""
        task = raw["task"]
        settings = dict(defaults)
        for key in SETTINGS:
            holder, where = (raw, (key,)) if key in BESIDE else (task, ("task", key))
            if key in holder:
                settings[key] = (common.at + where, expressions.compile(holder[key]))
        single = "organization" in task
        if single:
            settings["organizations"] = (
                (*common.at, "task", "organization"),
                expressions.compile([task["organization"]]),
            )
        elif "organizations" in settings:
            source = settings["organizations"][1].source
            single = isinstance(source, list) and len(source) == 1
        return TaskStep(
            common,
            method=expressions.compile(task["method"]),
            kwargs=expressions.compile(task.get("kwargs", {})),
            settings=settings,
            single=single,
            central=expressions.compile(task["central"]) if "central" in task else None,
            subtasks=task.get("subtasks", "fail"),
            label=expressions.compile(task["name"]) if "name" in task else None,
            description=expressions.compile(task["description"]) if "description" in task else None,
            allow_nonfinite=raw.get("allow_nonfinite", False),
            study=expressions.compile(task["study"]) if "study" in task else None,
            cache=expressions.compile(raw["cache"]) if "cache" in raw else None,
        )

    def fields(self, step: TaskStep) -> Iterator[Field]:
        at = step.common.at
        yield Field((*at, "task", "method"), step.method, PARAMS)
        yield Field((*at, "task", "kwargs"), step.kwargs, KWARGS)
        for key, (path, template) in step.settings.items():
            if path[: len(at)] == at:  # a default's own place is looked at once, not at each step
                yield from setting_fields(key, path, template)
        for key, maybe in (
            ("central", step.central),
            ("study", step.study),
            ("name", step.label),
            ("description", step.description),
        ):
            if maybe is not None:
                yield Field((*at, "task", key), maybe, ANYWHERE if key in ("name", "description") else PARAMS)
        if step.cache is not None:
            yield Field((*at, "cache"), step.cache, PARAMS)

    def needed(self, step: TaskStep) -> Iterator[Template]:
        """The templates whose references make this step wait for others, defaults of the file included."""
        yield step.kwargs
        for key in LATE:
            if key in step.settings:
                yield step.settings[key][1]

    def offers(self, step: TaskStep) -> frozenset[str]:
        attributes = _ONE if step.single else _MANY
        return (
            attributes | {"subtasks"} if step.central is not None and step.central.source is not False else attributes
        )

    def check(self, step: TaskStep, complain: Callable[..., None]) -> None:
        central = step.central is not None and step.central.source is not False
        if central and not step.single:
            place = ("task", "organizations") if "organizations" in step.settings else ("task", "central")
            complain(place, "a central function goes to exactly one organization", "central-organizations",
                     hint="write organization: and its name")  # fmt: skip
        if step.subtasks != "fail" and not central:
            complain(
                ("task", "subtasks"),
                "only a central function has subtasks",
                "wrong-modifier",
                hint="central: true",
            )
        _check_isolation(step, complain)

    def settings(self, step: TaskStep) -> Defaults:
        return step.settings

    def asking(self, step: TaskStep) -> TaskStep:
        return step

    def is_pure(self, _step: TaskStep) -> bool:
        return True

    def passed_on(self, step: TaskStep) -> tuple[Template]:
        return (step.kwargs,)

    def trace(self, step: TaskStep, tracing: Tracing) -> None:
        """What it sends must not be what others answered; its own answers are a source."""
        tracing.send(step, step.kwargs, (*step.common.at, "task", "kwargs"), tracing.alone(step))

    def traced(self, step: TaskStep, attribute: str, tracing: Tracing) -> Flow:
        """Answers are a source; those of a central function are an aggregate."""
        alone = tracing.alone(step)
        origins = frozenset({ValueOrigin(step.common.name, alone)})
        if attribute in ("failures", "by_organization"):
            return Flow(origins, "named")
        if attribute not in ("result", "results") or (step.central is not None and step.central.source is True):
            return CLEAN
        return Flow(origins, "all" if attribute == "results" and alone is None else "one")

    def cohorts(self, step: TaskStep, mixing: Mixing) -> None:
        mixing.ask(step)

    def plan(self, step: TaskStep, planning: Planning) -> TaskPlan:
        """The plan of a task step.

        Each value is judged before the next is looked at, so that the one at fault is always the last one.
        """
        known, directory = planning.known, planning.directory
        setting = _Settings(step, planning).value
        image = setting("image")
        if not isinstance(image, str) or not image:
            raise ValueError("no image: say it in the step, in defaults, or in the federation's defaults")
        method = known(step.method)
        if not isinstance(method, str) or not method:
            raise ValueError(f"a method is the name of a function, not {shown(method)}")
        study = _name_or_id("study", known(step.study)) if step.study is not None else None
        members = directory.organizations if study is None else _members(study, directory)
        organizations = planned(setting("organizations"), members, study)
        quorum = parse_quorum(setting("quorum"))
        check_quorum(quorum, organizations, members)
        isolation = setting("isolation")
        if isolation not in ("organization", "task"):
            raise ValueError(f"isolation is organization or task, not {shown(isolation)}")
        if isolation == "task" and quorum.minimum != "all":
            raise ValueError("isolation: task goes with quorum: all only, since one failure fails the siblings")
        retry = parse_retry(setting("retry"))
        if isolation == "task" and retry.attempts != 1:
            raise ValueError("isolation: task goes with one attempt only")
        store = _plan_store(setting("store"), directory)
        disclosure = parse_disclosure(setting("disclosure"), directory.policy)
        central = known(step.central) if step.central is not None else False
        if not isinstance(central, bool):
            raise ValueError(f"central is true or false, not {shown(central)}")
        return TaskPlan(
            step.common,
            image=image,
            method=method,
            kwargs=step.kwargs,
            organizations=organizations,
            databases=parse_databases(setting("databases")),
            central=central,
            subtasks=step.subtasks,
            study=study,
            store=store,
            isolation=isolation,
            allow_nonfinite=step.allow_nonfinite,
            quorum=quorum,
            disclosure=disclosure,
            single=step.single,
            members=members,
            retry=retry,
            timeout=parse_timeout(setting("timeout")),
            label=str(known(step.label)) if step.label else "",
            description=str(known(step.description)) if step.description else step.common.description,
            cache=parse_cache(known(step.cache)) if step.cache is not None else None,
        )


KIND = TaskKind()
