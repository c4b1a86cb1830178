"""A `task` step: one method of an algorithm, asked of organizations."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar

from v6flow.core import expressions
from v6flow.core.kinds.base import ANYWHERE, KWARGS, PARAMS, Common, Field, StepKind
from v6flow.core.kinds.roles import Role, fixed, free, named, roles
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
from v6flow.core.language.words import suggestion

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from v6flow.core.expressions import Template
    from v6flow.core.federation import Directory
    from v6flow.core.json import Json
    from v6flow.core.kinds.base import Defaults
    from v6flow.core.kinds.roles import Metadata
    from v6flow.core.kinds.settings import DatabaseChoice, Disclosure, Quorum, Retry
    from v6flow.core.language.problem import Path

KEY = "task"

_MANY = frozenset(
    {"status", "error", "results", "by_organization", "asked", "responded", "failed", "missing", "failures"}
)
_ONE = frozenset({"status", "error", "result", "asked", "responded", "failed", "missing", "failures"})


@dataclass(frozen=True, slots=True)
class TaskStep:
    """What the file says. `settings` are the templates of those settings that the file itself gives."""

    kind: ClassVar[str] = KEY
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


def _asked(reuse: str, *, sent: bool = False, shown: bool = True) -> Metadata:
    """The metadata of what decides an answer."""
    return roles(Role(sent=sent, reuse=reuse, fixed="asked", shown=shown))


@dataclass(frozen=True, slots=True)
class TaskPlan:
    """A task step with its settings resolved; what depends on other steps is still a template.

    `members` are all who may be asked: those of the study, else of the federation.
    """

    kind: ClassVar[str] = KEY
    common: Common
    image: str = field(metadata=_asked("image", sent=True))
    method: str = field(metadata=_asked("method", sent=True))
    kwargs: Template = field(metadata=_asked("kwargs", sent=True))
    organizations: tuple[str, ...] | Template = field(metadata=_asked("organizations"))
    databases: tuple[DatabaseChoice, ...] = field(
        metadata=roles(Role(sent=True, reuse="databases", shown=True), Role(fixed="asked", take=named))
    )
    central: bool = field(metadata=_asked("settings", sent=True))
    subtasks: str = field(metadata=_asked("settings", shown=False))
    study: str | int | None = field(metadata=_asked("settings", sent=True))
    store: str | int | None = field(metadata=_asked("settings", sent=True))
    isolation: str = field(metadata=_asked("settings"))
    allow_nonfinite: bool = field(metadata=_asked("settings", shown=False))
    quorum: Quorum = field(metadata=fixed(shown=True))
    disclosure: Disclosure = field(metadata=fixed(shown=True))
    single: bool = field(metadata=free("how its organizations are written"))
    members: tuple[str, ...] = field(metadata=free("who may be asked; who is asked is in organizations"))
    retry: Retry = field(metadata=free("how often the same is asked", shown=True))
    timeout: float | None = field(metadata=free("how long an answer is waited for", shown=True))
    label: str = field(metadata=free("the task's name at a server", shown=True))  # empty: of the workflow and the step
    description: str = field(metadata=free("for people at a server"))
    cache: float | None = field(default=None, metadata=free("how old a result of the same may be", shown=True))
    """How long, in seconds, what was answered may be reused by later runs; None: not at all."""


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


def _plan_organizations(
    value: Json | Template, members: tuple[str, ...], study: str | int | None
) -> tuple[str, ...] | Template:
    if isinstance(value, expressions.Template):
        return value
    if value is None and not members:
        where = "federation" if study is None else f"study {study}"
        raise ValueError(f"the {where} has no organizations, so there is nobody to ask")
    return members if value is None else parse_organizations(value, members, study)


def _check_quorum(quorum: Quorum, asked: tuple[str, ...] | Template, members: tuple[str, ...]) -> None:
    """Raise ValueError for a quorum that cannot be met, as far as that is known before anything runs."""
    for name in quorum.required:
        _check_organization(name, members)
    if isinstance(asked, expressions.Template):
        return
    if not isinstance(quorum.minimum, expressions.Template):
        quorum.needed(quorum.minimum, len(asked))
    check_required(quorum, asked)


def check_required(quorum: Quorum, asked: tuple[str, ...]) -> None:
    """Raise ValueError if the quorum requires somebody who is not asked."""
    strangers = [name for name in quorum.required if name not in asked]
    if strangers:
        raise ValueError(f"the quorum requires {', '.join(strangers)}, who is not asked")


class OrganizationError(ValueError):
    """A list of organizations cannot be asked; `index` is the item at fault."""

    def __init__(self, message: str, *, index: int | None = None, hint: str | None = None) -> None:
        super().__init__(message)
        self.index = index
        self.hint = hint


def parse_organizations(value: Json, members: tuple[str, ...], study: str | int | None = None) -> tuple[str, ...]:
    """The organizations that a list names, of the federation or the study.

    Raises OrganizationError for anything else, an empty list, and twins.
    """
    if not isinstance(value, list):
        raise OrganizationError(f"organizations is a list of names, not {shown(value)}")
    if not value:
        raise OrganizationError("an empty list of organizations asks nobody")
    known, seen = frozenset(members), set()
    for index, name in enumerate(value):
        if not isinstance(name, str) or name not in known:
            _check_organization(name, members, index, study)
        if name in seen:
            raise OrganizationError(f"the organization {name} stands twice", index=index)
        seen.add(name)
    return tuple(value)


def _check_organization(
    name: Json, members: tuple[str, ...], index: int | None = None, study: str | int | None = None
) -> None:
    if not isinstance(name, str):
        raise OrganizationError(f"an organization is named by text, not {shown(name)}", index=index)
    if name not in members:
        where = "the federation" if study is None else f"the study {study}"
        raise OrganizationError(
            f"no organization {shown(name)} in {where}, which has {', '.join(members) or 'none'}",
            index=index,
            hint="leave organizations out to ask all" if name == "all" else suggestion(name, members),
        )


class TaskKind(StepKind):
    """The kind `task`."""

    key = KEY
    plan_type = TaskPlan
    origin = frozenset({"federation", "data"})
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

    def plan(self, step: TaskStep, setting: Callable[[str], Json | Template], known: Callable[[Template], Json],
             directory: Directory) -> TaskPlan:  # fmt: skip
        """The plan of a task step.

        `setting(key)` gives the winning value of a setting, a Template where it is known only later; `known(template)`
        fills in what is known before anything runs. Raises ValueError with what is wrong with a value: each is judged
        before the next is asked for, so that it is always the last one.
        """
        image = setting("image")
        if not isinstance(image, str) or not image:
            raise ValueError("no image: say it in the step, in defaults, or in the federation's defaults")
        method = known(step.method)
        if not isinstance(method, str) or not method:
            raise ValueError(f"a method is the name of a function, not {shown(method)}")
        study = _name_or_id("study", known(step.study)) if step.study is not None else None
        members = directory.organizations if study is None else _members(study, directory)
        organizations = _plan_organizations(setting("organizations"), members, study)
        quorum = parse_quorum(setting("quorum"))
        _check_quorum(quorum, organizations, members)
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
