"""What an algorithm is declared to take, and what of a task step does not fit that."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import Struct
from msgspec.structs import replace

from v6flow.core import expressions, json
from v6flow.core.expressions import Template
from v6flow.core.kinds import STEP_KINDS
from v6flow.core.language.problem import Problem
from v6flow.core.language.words import nearest, suggestion

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Mapping

    from v6flow.core.json import Json
    from v6flow.core.kinds.task import TaskPlan
    from v6flow.core.language.problem import Path, Severity
    from v6flow.core.planning.plan import Plan

CENTRAL = "store-central"  # the rule of what is declared of a central function
MOST_NAMED = 10  # names that a hint lists
LONGEST = 60  # characters of a value that a message repeats


class Argument(Struct, frozen=True):
    """An argument of a function.

    `type` is a word of the store's, "" if it says none. `has_default` is None where a store is too old to say. What
    is `frontend_only` steers vantage6's own pages, and is not sent to the algorithm. `allowed` are the only values
    there may be, written as text; empty: any.
    """

    name: str
    type: str = ""
    has_default: bool | None = None
    default: str | None = None
    frontend_only: bool = False
    allowed: tuple[str, ...] = ()

    @property
    def required(self) -> bool:
        """Whether it is certain that it must be given."""
        return self.has_default is False and not self.frontend_only


class DeclaredFunction(Struct, frozen=True):
    """A function that a task may name as its method; `databases` are its own names for what it reads, in order."""

    name: str
    central: bool
    arguments: tuple[Argument, ...] = ()
    databases: tuple[str, ...] = ()


class DeclaredAlgorithm(Struct, frozen=True):
    """An image and what it is declared to do; `store` says who declares it, `digest` which build is meant."""

    image: str
    functions: tuple[DeclaredFunction, ...]
    store: str
    digest: str | None = None


class Unknown(Struct, frozen=True):
    """What an image takes is not known; `reason` says why.

    `absent`: the store was read, and has nothing for this image. A server that is asked for it by way of that
    store will refuse the task.
    """

    reason: str
    hint: str | None = None
    absent: bool = False


class Misfit(Struct, frozen=True):
    """One thing in a step that does not fit; `path` is its place in the step, of a key that may not be written."""

    message: str
    rule: str
    path: Path
    hint: str | None = None
    severity: Severity = "error"


def problems(step: TaskPlan, algorithm: DeclaredAlgorithm) -> list[Misfit]:
    """Why a task step cannot work by what its algorithm is declared to take; nothing if it can.

    What is known only later, in expressions, is not judged.
    """
    known = {each.name: each for each in algorithm.functions}
    function = known.get(step.method)
    if function is None:
        message = f"{algorithm.store} declares no function {step.method} of {algorithm.image}"
        return [Misfit(message, "store-method", ("task", "method"), hint=_right_word(step.method, known))]
    return [*_central(step, function), *_kwargs(step, function), *_databases(step, function)]


def _central(step: TaskPlan, function: DeclaredFunction) -> Iterator[Misfit]:
    if function.central and not step.central:
        yield undeclared(step)
    if step.central and not function.central:
        yield Misfit(
            f"{function.name} is no central function: it runs at each organization by itself",
            CENTRAL,
            ("task", "central"),
            hint="leave central out",
        )


def undeclared(step: TaskPlan, severity: Severity = "error", *, certain: bool = True) -> Misfit:
    """What is wrong with a step that calls a central function and does not say so.

    Not `certain`: the function is given a client, by which it may send subtasks.
    """
    what = "is a central function" if certain else "is given a client, and may send subtasks as a central function does"
    told = f"{step.method} {what}, and this step does not say so"
    asked = 1 if isinstance(step.organizations, Template) else len(step.organizations)
    if asked > 1 and certain:
        told += f": each of {asked} organizations would send its subtasks to all"
    hint = "write central: true and the one organization it runs at"
    if not certain:
        hint = "if it does, write central: true and the one organization it runs at"
    return Misfit(told, CENTRAL, ("task", "method"), hint=hint, severity=severity)


def placed(plan: Plan, step: TaskPlan, misfit: Misfit) -> Problem:
    """A misfit of a step with its place in the file."""
    document = plan.workflow.document
    where = document.position((*step.common.at, *misfit.path))
    for outer in plan.steps.values():  # of a step in another file, the place is that of the step which runs that file
        if STEP_KINDS[outer.kind].calls and step.common.name.startswith(f"{outer.common.name}."):
            where = document.position(outer.common.at)
            break
    message = f"step {step.common.name}: {misfit.message}"
    return Problem(message, misfit.rule, document.name, where, misfit.hint, misfit.severity)


# ------------------------------------------------------------------------------------------- keyword arguments


def _kwargs(step: TaskPlan, function: DeclaredFunction) -> Iterator[Misfit]:
    given = step.kwargs.source
    if not isinstance(given, dict):
        return  # one expression is all of it
    known = {each.name: each for each in function.arguments}
    free = [each.name for each in function.arguments if not each.frontend_only and each.name not in given]
    meant = set()
    for name, value in given.items():
        path = ("task", "kwargs", name)
        argument = known.get(name)
        if argument is None:
            meant.add(nearest(name, free))
            yield _unexpected(function, name, free, path)
        elif argument.frontend_only:
            yield Misfit(
                f"{name} is for vantage6's own pages only, and nothing that {function.name} takes",
                "store-argument",
                path,
                hint="leave it out",
            )
        else:
            yield from (replace(each, path=(*path, *each.path)) for each in _value(argument, value))
    for each in function.arguments:
        if each.required and each.name not in given and each.name not in meant:
            message = f"{function.name} needs the argument {each.name}{_of_type(each)}"
            # a warning only: who describes a function may have forgotten to say that there is a default
            yield Misfit(message, "store-argument", ("task", "kwargs"), severity="warning")


def _unexpected(function: DeclaredFunction, name: str, free: Collection[str], path: Path) -> Misfit:
    hint = suggestion(name, free)
    if hint is None:
        names = [each.name for each in function.arguments if not each.frontend_only]
        hint = f"it takes {_listed(names)}"
    return Misfit(f"{function.name} takes no argument {name}", "store-argument", path, hint=hint)


# ------------------------------------------------------------------------------------------------------ values


def _is_whole(value: Json) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


_ITEMS: Mapping[str, str] = {
    "column_list": "column",
    "string_list": "string",
    "integer_list": "integer",
    "float_list": "float",
    "organization_list": "organization",
}
"""The types that are lists, with the type of their items."""

_FITS: Mapping[str, tuple[str, Callable[[Json], bool]]] = {
    "string": ("text", lambda value: isinstance(value, str)),
    "column": ("the name of a column", lambda value: isinstance(value, str)),
    "integer": ("a whole number", _is_whole),
    "float": ("a number", lambda value: _is_whole(value) or isinstance(value, float)),
    "boolean": ("true or false", lambda value: isinstance(value, bool)),
    "organization": ("the id of an organization", _is_whole),
}
"""The types of single values that can be judged, in words; `json` may be anything."""


def _value(argument: Argument, value: Json) -> Iterator[Misfit]:
    """What is wrong with a value; paths begin at it."""
    if not _is_known(value):
        return
    if value is None:
        if argument.required:
            yield _wrong(argument, value, ())
        return
    item = _ITEMS.get(argument.type)
    if item is None:
        yield from _single(argument, argument.type, value, ())
    elif not isinstance(value, list):
        yield _wrong(argument, value, ())
    else:
        for index, each in enumerate(value):
            yield from _single(argument, item, each, (index,))


def _single(argument: Argument, type_: str, value: Json, path: Path) -> Iterator[Misfit]:
    if type_ not in _FITS or not _is_known(value):
        return
    if not _FITS[type_][1](value):
        yield _wrong(argument, value, path)
    elif argument.allowed and not any(_is_same(value, each) for each in argument.allowed):
        near = suggestion(value, argument.allowed) if isinstance(value, str) else None
        yield Misfit(
            f"{argument.name} cannot be {_shown(value)}",
            "store-value",
            path,
            hint=near or f"it is one of {_listed(argument.allowed)}",
        )


def _wrong(argument: Argument, value: Json, path: Path) -> Misfit:
    item = _ITEMS.get(argument.type)
    wanted = _words(argument.type) if item is None or not path else _FITS[item][0]
    what = f"item {path[0]} of {argument.name}" if path else argument.name
    hint = None
    if argument.type.startswith("organization") and isinstance(value, str):
        hint = 'write "{{ federation.organizations | organization_ids }}" for the ids of all'
    elif item is not None and not path and value is not None:
        hint = "write it as a list, with [ and ]"
    return Misfit(f"{what} is {wanted}, not {_shown(value)}", "store-value", path, hint=hint)


def _words(type_: str) -> str:
    item = _ITEMS.get(type_)
    if item is None:
        return _FITS[type_][0] if type_ in _FITS else "a value"
    return {
        "column_list": "a list of names of columns",
        "string_list": "a list of texts",
        "integer_list": "a list of whole numbers",
        "float_list": "a list of numbers",
        "organization_list": "a list of ids of organizations",
    }[type_]


def _of_type(argument: Argument) -> str:
    return f", {_words(argument.type)}" if argument.type in _FITS or argument.type in _ITEMS else ""


def _is_known(value: Json) -> bool:
    """Whether a value is what it is before the run; a list is, as its items are looked at by themselves."""
    return not isinstance(value, str) or expressions.compile(value).literal


def _is_same(value: Json, allowed: str) -> bool:
    if isinstance(value, (int, float)):
        try:
            return float(allowed) == value
        except ValueError:
            return False
    return value == allowed


# --------------------------------------------------------------------------------------------------- databases


def _databases(step: TaskPlan, function: DeclaredFunction) -> Iterator[Misfit]:
    """Too few end an algorithm; of too many it takes the first. One for a function that declares none is built in."""
    wanted, given = len(function.databases), len(step.databases)
    path = ("task", "databases")
    if given < wanted:
        names = ", ".join(function.databases)
        yield Misfit(
            f"{function.name} reads {_counted(wanted)} ({names}), and is given {given or 'none'}",
            "store-databases",
            path,
            hint="databases lists the labels that the nodes give them, in this order",
        )
    elif given > max(wanted, 1):
        reads = _counted(wanted) if wanted else "no database"
        yield Misfit(
            f"{function.name} reads {reads}, and is given {given}", "store-databases", path, severity="warning"
        )


def _counted(number: int) -> str:
    return "1 database" if number == 1 else f"{number} databases"


# ------------------------------------------------------------------------------------------------------- words


def _right_word(word: str, words: Collection[str]) -> str:
    return suggestion(word, words) or f"it declares {_listed(words)}"


def _listed(words: Collection[str]) -> str:
    names = list(words)[:MOST_NAMED]
    return ", ".join([*names, "…"] if len(words) > MOST_NAMED else names) or "none"


def _shown(value: Json) -> str:
    text = json.dumps(value) if value is None or isinstance(value, bool) else repr(value)
    return text if len(text) <= LONGEST else text[: LONGEST - 1] + "…"
