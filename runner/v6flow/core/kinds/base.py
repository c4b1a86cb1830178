"""A kind of step: what it declares of itself, and what is so for all that say nothing else."""

from __future__ import annotations

from functools import cached_property
from importlib import import_module
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

from v6flow.core import expressions
from v6flow.core.expressions import CLEAN

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from v6flow.core.directory import Directory
    from v6flow.core.expressions import Flow, Template
    from v6flow.core.json import Json
    from v6flow.core.kinds.fields import Defaults, Field
    from v6flow.core.kinds.tracing import Mixing, Tracing
    from v6flow.core.language.document import Document
    from v6flow.core.language.model import Common, Workflow
    from v6flow.core.language.problem import Path

SETTLED = frozenset({"status", "error", "asked", "failed", "missing"})
"""Attributes that may be read whatever became of the step; any other waits for it to have completed."""

NOT_CARRYING = frozenset(
    {
        *("status", "error", "asked", "responded", "failed", "missing", "failures", "subtasks"),
        *("iterations", "converged", "completed", "skipped", "summary"),
    }
)
"""Attributes that tell how a step fared, and carry no cohort: they are not numbers computed from it."""


OFFERS = frozenset({"status", "error", "result"})
"""The attributes of a step that computes one value."""


def alias_problem(alias: str, taken: tuple[str, ...], key: Path, complain: Callable[..., None]) -> None:
    """Complain of an `as` that is no name, or the name of something else there."""
    what = f"{alias} has a meaning of its own here" if alias in taken else expressions.name_problem(alias)
    if what:
        complain(key, what, "name")


def misplaced(raw: Mapping[str, Any]) -> tuple[str, ...]:
    """The keys beside a step with nested ones that only steps which work by themselves can have."""
    return tuple(key for key in ("retry", "timeout", "cache", "output_schema") if key in raw)


class SettingError(ValueError):
    """A value of a step cannot be used; `at` is the part of it that is at fault."""

    def __init__(self, message: str, hint: str | None = None, at: Path = ()) -> None:
        super().__init__(message)
        self.hint = hint
        self.at = at


class Planning(Protocol):
    """What a kind may use while it plans a step."""

    document: Document
    """The file of the step."""

    folder: str
    """The folder of the step's file; empty for the file that is run."""

    directory: Directory

    def known(self, template: Template, /) -> Json:
        """The value of what must be known before anything runs. Raises ValueError, ExpressionError."""

    def rendered(self, template: Template, /) -> Json:
        """The same for a part of the template that was looked at last."""

    def late(self, template: Template, /) -> Json | Template:
        """The value of what steps may decide; the template itself as long as that is not known."""

    def look_at(self, template: Template | None, /) -> None:
        """Note the template that is at fault if anything is from here on."""


class StepKind:
    """One kind of step: a subclass in a file of its own, with what it does not share with the others.

    It reads its steps from the file, reports what they use and offer, plans them, and runs them. What a kind does not
    say is as for a step that computes its result from all that it is given.
    """

    key: ClassVar[str]
    """The key that names the kind in a workflow file."""

    summary: ClassVar[str]
    """One line for people."""

    schema: ClassVar[Mapping[str, Any]] = {}
    """The JSON schema (draft 7) of what is under its key; may refer to `#/$defs/name` and others of the published
    `workflow.schema.json`, which has those of the built-in kinds."""

    plan_type: ClassVar[type[Any]]
    """The frozen dataclass of its plans, each of whose fields has a role (see `v6flow.core.roles`)."""

    nests: ClassVar[bool] = False
    """Whether it has nested steps, under `steps`."""

    calls: ClassVar[bool] = False
    """Whether it runs another workflow file, named under `file`."""

    iteration: ClassVar[str | None] = None
    """The name under which its nested steps know the iteration, `loop` or `each`; None if they are done once."""

    not_carrying: ClassVar[frozenset[str]] = NOT_CARRYING
    """Those of its attributes that carry neither answers nor the cohort that gave them."""

    # -- reading

    def parse(self, common: Common, raw: Mapping[str, Any], defaults: Defaults, /) -> Any:
        """The step that a mapping (sound by the schema) describes; `defaults` are those of its file."""
        raise NotImplementedError

    def nested(self, raw: Mapping[str, Any], /) -> Mapping[str, Any]:
        """The steps nested in it, by name and as the file has them; none for most kinds."""
        steps: Mapping[str, Any] = raw[self.key]["steps"] if self.nests else {}
        return steps

    def linked(self, step: Any, _files: Mapping[str, Workflow], /) -> Any:
        """The step with the workflow of the other file that it runs, found by the name that it gives the file."""
        return step

    # -- what it uses and offers

    def fields(self, step: Any, /) -> Iterator[Field]:
        """Every place with an expression."""
        raise NotImplementedError

    def needed(self, step: Any, /) -> Iterable[Template]:
        """The templates that make the step wait for what they reference, but for those of `common_needed`."""
        return [field.template for field in self.fields(step) if not field.inside]

    def needed_inside(self, step: Any, /) -> Iterable[Template]:
        """The templates that are evaluated among the steps nested in it, and may refer to steps outside."""
        return [field.template for field in self.fields(step) if field.inside]

    def offers(self, _step: Any, /) -> frozenset[str]:
        """The attributes that other steps may read."""
        return OFFERS

    def settings(self, _step: Any, /) -> Defaults:
        """Those of its settings that `defaults` can give as well, by key: where each stands, and its template."""
        return {}

    def asking(self, _step: Any, /) -> Any:
        """The step as a `TaskStep` if it asks organizations, else None."""
        return None

    # -- what is checked

    def check(self, step: Any, complain: Callable[..., None], /) -> None:
        """Report what no schema can, by `complain(key, message, rule, hint=…)`."""

    @cached_property
    def execution(self) -> Any:
        """How its steps are executed, a `StepExecution`: that of the module `execution` in its folder.

        It is imported only when something is executed. A kind in one file has it as an attribute.
        """
        return import_module(f"{type(self).__module__}.execution").EXECUTION

    def function(self, _step: Any, /) -> tuple[Path, str, Template] | None:
        """The Python function that it calls: its place in the step, its name, and its keyword arguments."""
        return None

    def is_pure(self, _step: Any, /) -> bool:
        """Whether it does nothing but give its value, so that there is no use for it where nothing takes that."""
        return False

    def passed_on(self, step: Any, /) -> Iterable[Template]:
        """The templates whose values may be in its result."""
        return self.needed(step)

    def approvers(self, _step: Any, /) -> tuple[str, ...] | None:
        """Who may decide at it, empty for anybody; None where people decide nothing."""
        return None

    def options(self, _step: Any, /) -> Iterable[Path]:
        """The places of words that come from steps and that a program could read as options."""
        return ()

    def unconverged(self, _step: Any, /) -> Path | None:
        """Where it says that it may complete without having converged; None if it cannot."""
        return None

    def trace(self, step: Any, tracing: Tracing, /) -> None:
        """Follow what it sends and what its result has in it, for the cross-site analysis."""
        name, fields = step.common.name, [*self.fields(step)]
        flow = tracing.mixed(*((field.template, step.common.parent) for field in fields if not field.inside))
        if self.nests:
            tracing.notes[name].update(dict.fromkeys(("state", "item", "key"), flow))
            tracing.follow(name)
            inside = tracing.mixed(*((field.template, name) for field in fields if field.inside))
            flow = tracing.together(flow, inside)
        tracing.note(step, flow)

    def traced(self, step: Any, attribute: str, tracing: Tracing, /) -> Flow:
        """What is in an attribute other than `status` and `error`, once the step was followed."""
        return CLEAN if attribute in self.not_carrying else tracing.noted(step, "result")

    def cohorts(self, step: Any, mixing: Mixing, /) -> None:
        """Follow the cohorts that its result carries: here, those of all that it uses stand together."""
        name, fields = step.common.name, [*self.fields(step)]
        uses = [use for field in fields if not field.inside
                for use in mixing.uses(field.template, field.key, step.common.parent)]  # fmt: skip
        mixing.carry(step, uses)
        if self.nests:
            mixing.enter(name)
            mixing.follow(name)
            inner = [field for field in fields if field.inside and field.nested]
            uses += [use for field in inner for use in mixing.uses(field.template, field.key, name)]
            mixing.carry(step, uses)

    # -- planning

    def plan(self, step: Any, planning: Planning, /) -> Any:
        """The plan of a step. Raises ValueError with what is wrong with a value, and SettingError."""
        raise NotImplementedError

    def inner_params(self, _step: Any, _planning: Planning, /) -> object:
        """The `params` of the file that it runs, as a name that expressions can use before anything runs."""
        raise NotImplementedError
