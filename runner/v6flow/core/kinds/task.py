"""A `task` step: one method of an algorithm, asked of organizations."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from v6flow.core import expressions
from v6flow.core.execution.commands import DatabaseChoice
from v6flow.core.kinds.base import ANYWHERE, EACH, KWARGS, PARAMS, STEPS, Common, Field, StepKind
from v6flow.core.language import units
from v6flow.core.language.words import suggestion

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from v6flow.core.expressions import Template
    from v6flow.core.federation import Directory
    from v6flow.core.json import Json
    from v6flow.core.kinds.base import Defaults
    from v6flow.core.language.problem import Path
    from v6flow.core.planning.policy import Policy

KEY = "task"

SETTINGS: dict[str, Json] = {
    "image": None,
    "databases": ["default"],
    "organizations": None,
    "isolation": "organization",
    "store": None,
    "timeout": "24h",
    "retry": 1,
    "quorum": "all",
    "disclosure": None,
}
"""The settings that `defaults` may give, with what is built in (None: there is nothing built in)."""

BESIDE = ("quorum", "retry", "timeout", "disclosure")  # settings that stand beside `task:`, the others inside it
_MOST_BACKOFF = 1_000_000
RETRIED = ("start_failed", "unknown")  # kinds of failure that may pass by themselves

LATE = ("organizations", "quorum")
"""The settings that steps may decide, so that they need not be known before anything runs."""

_MANY = frozenset(
    {"status", "error", "results", "by_organization", "asked", "responded", "failed", "missing", "failures"}
)
_ONE = frozenset({"status", "error", "result", "asked", "responded", "failed", "missing", "failures"})


@dataclass(frozen=True, slots=True)
class TaskStep:
    """What the file says. `settings` are the templates of those settings that the file itself gives."""

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

    @property
    def kind(self) -> str:
        return KEY


@dataclass(frozen=True, slots=True)
class Retry:
    """How often an organization is asked in all, and the seconds between."""

    attempts: int = 1
    delay: float = 0.0
    backoff: float = 1.0
    max_delay: float = units.LONGEST
    on: tuple[str, ...] = RETRIED

    def wait(self, failed: int) -> float:
        """The seconds to wait after the given number of failed attempts (1 or more)."""
        if not self.delay:
            return 0.0
        try:
            return min(self.delay * self.backoff ** (failed - 1), self.max_delay)
        except OverflowError:
            return self.max_delay


@dataclass(frozen=True, slots=True)
class Quorum:
    """Who must answer; `minimum` is `all`, a number, `P%`, or an expression that gives one of these."""

    minimum: int | str | Template = "all"
    required: tuple[str, ...] = ()
    wait: bool = True  # for all, until the deadline; else only until the quorum is met

    def needed(self, minimum: Json, asked: int) -> int:
        """How many of those asked must answer. Raises ValueError for what is not a quorum."""
        if minimum == "all":
            return asked
        if isinstance(minimum, str) and minimum.endswith("%"):
            try:
                percent = float(minimum[:-1])
            except ValueError:
                percent = math.nan
            if not 0 < percent <= 100:
                raise ValueError(f"{minimum!r} is not a percentage above 0% and up to 100%")
            return math.ceil(asked * percent / 100 - 1e-9)
        if isinstance(minimum, bool) or not isinstance(minimum, int) or minimum < 1:
            raise ValueError(f"a quorum is all, a number from 1, or a percentage, not {_spell(minimum)}")
        if minimum > asked:
            raise ValueError(f"the quorum is {minimum}, but only {asked} {'is' if asked == 1 else 'are'} asked")
        return minimum


COUNT = expressions.compile("{{ result.count }}")
"""How many a result is about, where nothing else is said."""


@dataclass(frozen=True, slots=True)
class Disclosure:
    """How many a result must be about, and where it says how many those are; None: what the federation demands."""

    min_count: int | None = None
    count: Template | None = None


@dataclass(frozen=True, slots=True)
class TaskPlan:
    """A task step with its settings resolved; what depends on other steps is still a template.

    `members` are all who may be asked: those of the study, else of the federation.
    """

    common: Common
    image: str
    method: str
    kwargs: Template
    organizations: tuple[str, ...] | Template
    single: bool
    central: bool
    subtasks: str
    databases: tuple[DatabaseChoice, ...]
    quorum: Quorum
    retry: Retry
    timeout: float | None
    isolation: str
    label: str  # the task's name at a server; empty: that of the workflow and the step
    description: str
    allow_nonfinite: bool
    members: tuple[str, ...]
    study: str | int | None = None
    store: str | int | None = None
    disclosure: Disclosure = Disclosure()
    cache: float | None = None
    """How long, in seconds, what was answered may be reused by later runs; None: not at all."""

    @property
    def kind(self) -> str:
        return KEY


def setting_fields(key: str, path: Path, template: Template) -> Iterator[Field]:
    """The places of one setting where expressions may stand; of a quorum, steps may decide the minimum only."""
    if key == "quorum" and isinstance(template.source, dict):
        for part, value in template.source.items():
            yield Field((*path, part), expressions.compile(value), STEPS if part == "min" else PARAMS)
    elif key == "disclosure" and isinstance(template.source, dict):
        for part, value in template.source.items():
            yield Field((*path, part), expressions.compile(value), EACH if part == "count" else PARAMS)
    else:
        yield Field(path, template, STEPS if key in LATE else PARAMS)


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


def parse_disclosure(value: Any, policy: Policy) -> Disclosure:
    """How many results must be about. Raises ValueError."""
    if value is None:
        return Disclosure()
    least = value.get("min_count")
    if least is None and policy.min_count is None:
        raise ValueError("disclosure says no min_count, and the federation demands none: it would refuse nothing")
    if least is not None and (isinstance(least, bool) or not isinstance(least, int) or least < 1):
        raise ValueError(f"min_count is a whole number from 1, not {_spell(least)}")
    count = value.get("count")
    return Disclosure(least, expressions.compile(count) if isinstance(count, str) else count)


def _name_or_id(what: str, value: Json | Template) -> str | int:
    """A name, or an id as an integer. Raises ValueError for anything else."""
    if isinstance(value, bool) or not isinstance(value, (str, int)) or not value:
        raise ValueError(f"a {what} is named by text, or by its id as an integer, not {_spell(value)}")
    return value


def _members(study: str | int, directory: Directory) -> tuple[str, ...]:
    if study not in directory.studies:
        names = [name for name in directory.studies if isinstance(name, str)]
        near = suggestion(study, names) if isinstance(study, str) else None
        has = f"the federation has {', '.join(names) or 'none'}"
        raise ValueError(f"no study {_spell(study)}: {has}" + (f" ({near})" if near else ""))
    return directory.studies[study]


def _plan_store(value: Json | Template, directory: Directory) -> str | int | None:
    if value is None:
        return None
    store = _name_or_id("store", value)
    if directory.stores is not None and store not in directory.stores:
        names = [name for name in directory.stores if isinstance(name, str)]
        raise ValueError(f"no algorithm store {_spell(store)}: the collaboration has {', '.join(names) or 'none'}")
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
        raise OrganizationError(f"organizations is a list of names, not {_spell(value)}")
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
        raise OrganizationError(f"an organization is named by text, not {_spell(name)}", index=index)
    if name not in members:
        where = "the federation" if study is None else f"the study {study}"
        raise OrganizationError(
            f"no organization {_spell(name)} in {where}, which has {', '.join(members) or 'none'}",
            index=index,
            hint="leave organizations out to ask all" if name == "all" else suggestion(name, members),
        )


def parse_quorum(value: Json | Template) -> Quorum:
    if isinstance(value, dict):
        minimum: Any = value.get("min", "all")
        return Quorum(minimum, tuple(value.get("required", ())), value.get("wait", "all") == "all")
    if isinstance(value, (int, str, expressions.Template)) and not isinstance(value, bool):
        return Quorum(value)
    raise ValueError(f"a quorum is all, a number, a percentage or a mapping, not {_spell(value)}")


def parse_retry(value: Json | Template) -> Retry:
    if isinstance(value, bool) or not isinstance(value, (int, dict)):
        raise ValueError(f"retry is a number of attempts or a mapping, not {_spell(value)}")
    if isinstance(value, int):
        value = {"attempts": value}
    attempts, backoff = value.get("attempts", 1), value.get("backoff", 1)
    if isinstance(attempts, bool) or not isinstance(attempts, int) or attempts < 1:
        raise ValueError(f"attempts is a number from 1, not {_spell(attempts)}")
    if isinstance(backoff, bool) or not isinstance(backoff, (int, float)) or backoff < 1:
        raise ValueError(f"backoff is a number from 1, not {_spell(backoff)}")
    if backoff > _MOST_BACKOFF:
        raise ValueError(f"backoff is at most {_MOST_BACKOFF}: a wait that grows faster has no end")
    return Retry(
        attempts,
        delay=units.seconds(str(value.get("delay", "0s"))),
        backoff=float(backoff),
        max_delay=units.seconds(str(value["max_delay"])) if "max_delay" in value else units.LONGEST,
        on=tuple(value.get("on", RETRIED)),
    )


def parse_timeout(value: Json | Template) -> float | None:
    """The seconds of a timeout, None for `none`. Raises ValueError for what is no duration."""
    return None if value == "none" else units.seconds(str(value))


def parse_cache(value: Json | Template) -> float | None:
    """How many seconds a result may be reused, None for `none`. Raises ValueError for what is no such duration."""
    longest = parse_timeout(value)
    if longest == 0:
        raise ValueError(f"nothing is as new as {value}: write none, or a longer duration")
    return longest


def parse_databases(value: Json | Template) -> tuple[DatabaseChoice, ...]:
    if not isinstance(value, list):
        raise ValueError(f"databases is a list, not {_spell(value)}")
    return tuple(_database(item) for item in value)


def _database(item: Any) -> DatabaseChoice:
    if isinstance(item, str):
        return DatabaseChoice(item)
    if not isinstance(item, dict) or not isinstance(item.get("label"), str):
        raise ValueError(f"a database is a label or a mapping with a label, not {_spell(item)}")
    return DatabaseChoice(
        item["label"],
        query=item.get("query"),
        sheet_name=item.get("sheet_name"),
        preprocessing=tuple(item.get("preprocessing", ())),
        arguments=item.get("arguments", {}),
    )


def _spell(value: object) -> str:
    if isinstance(value, expressions.Template):
        return "something known only later"
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "…"


class TaskKind(StepKind):
    """The kind `task`."""

    key = KEY
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
            raise ValueError(f"a method is the name of a function, not {_spell(method)}")
        study = _name_or_id("study", known(step.study)) if step.study is not None else None
        members = directory.organizations if study is None else _members(study, directory)
        organizations = _plan_organizations(setting("organizations"), members, study)
        quorum = parse_quorum(setting("quorum"))
        _check_quorum(quorum, organizations, members)
        isolation = setting("isolation")
        if isolation not in ("organization", "task"):
            raise ValueError(f"isolation is organization or task, not {_spell(isolation)}")
        if isolation == "task" and quorum.minimum != "all":
            raise ValueError("isolation: task goes with quorum: all only, since one failure fails the siblings")
        retry = parse_retry(setting("retry"))
        if isolation == "task" and retry.attempts != 1:
            raise ValueError("isolation: task goes with one attempt only")
        store = _plan_store(setting("store"), directory)
        disclosure = parse_disclosure(setting("disclosure"), directory.policy)
        central = known(step.central) if step.central is not None else False
        if not isinstance(central, bool):
            raise ValueError(f"central is true or false, not {_spell(central)}")
        return TaskPlan(
            step.common,
            image=image,
            method=method,
            kwargs=step.kwargs,
            organizations=organizations,
            single=step.single,
            central=central,
            subtasks=step.subtasks,
            databases=parse_databases(setting("databases")),
            quorum=quorum,
            retry=retry,
            timeout=parse_timeout(setting("timeout")),
            isolation=isolation,
            label=str(known(step.label)) if step.label else "",
            description=str(known(step.description)) if step.description else step.common.description,
            allow_nonfinite=step.allow_nonfinite,
            members=members,
            study=study,
            store=store,
            disclosure=disclosure,
            cache=parse_cache(known(step.cache)) if step.cache is not None else None,
        )


KIND = TaskKind()
