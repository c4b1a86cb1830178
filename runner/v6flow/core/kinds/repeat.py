"""A `repeat` step: steps that are done again and again, each time with what came of the time before."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from v6flow.core import expressions
from v6flow.core.kinds.base import PARAMS, STEPS, Common, Field, StepKind, alias_problem, misplaced

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from v6flow.core.expressions import Template
    from v6flow.core.json import Json
    from v6flow.core.kinds.base import Defaults

KEY = "repeat"

MOST = 100_000  # rounds: a loop that is longer is a mistake

_LOOP = STEPS | {"loop"}
_OFFERS = frozenset({"status", "error", "result", "iterations", "converged", "history", "responded"})


@dataclass(frozen=True, slots=True, eq=False)
class RepeatStep:
    """What the file says; its nested steps stand among the workflow's, under its own name."""

    common: Common
    state: Template
    update: Template
    max: Template
    until: Template | None = None
    on_max: str = "fail"
    cohort: str = "fixed"
    alias: str | None = None
    misplaced: tuple[str, ...] = ()  # keys beside it that are for other kinds

    @property
    def kind(self) -> str:
        return KEY


@dataclass(frozen=True, slots=True)
class RepeatPlan:
    """A repeat step with its settings resolved; `max` is the most rounds there may be."""

    common: Common
    state: Template
    update: Template
    max: int
    until: Template | None
    on_max: str
    cohort: str
    alias: str | None

    @property
    def kind(self) -> str:
        return KEY


class RepeatKind(StepKind):
    """The kind `repeat`."""

    key = KEY
    summary = "steps that are repeated until a condition holds"

    def parse(self, common: Common, raw: Mapping[str, Any], _defaults: Defaults) -> RepeatStep:
        """The repeat step of a mapping that is sound by the schema."""
        repeat = raw["repeat"]
        return RepeatStep(
            common,
            state=expressions.compile(repeat["state"]),
            update=expressions.compile(repeat["update"]),
            max=expressions.compile(repeat["max"]),
            until=expressions.compile(repeat["until"]) if "until" in repeat else None,
            on_max=repeat.get("on_max", "fail"),
            cohort=repeat.get("cohort", "fixed"),
            alias=repeat.get("as"),
            misplaced=misplaced(raw),
        )

    def nested(self, raw: Mapping[str, Any]) -> Mapping[str, Any]:
        """The steps that stand in it, as the file says them."""
        steps: Mapping[str, Any] = raw["repeat"]["steps"]
        return steps

    def fields(self, step: RepeatStep) -> Iterator[Field]:
        at = (*step.common.at, "repeat")
        yield Field((*at, "state"), step.state, STEPS)
        yield Field((*at, "update"), step.update, _LOOP, inside=True)
        yield Field((*at, "max"), step.max, PARAMS)
        if step.until is not None:
            yield Field((*at, "until"), step.until, _LOOP, inside=True)

    def needed(self, step: RepeatStep) -> Iterator[Template]:
        yield step.state

    def needed_inside(self, step: RepeatStep) -> Iterator[Template]:
        """The templates that are evaluated inside, and may refer to steps outside."""
        yield step.update
        if step.until is not None:
            yield step.until

    def offers(self, _step: RepeatStep) -> frozenset[str]:
        return _OFFERS

    def check(self, step: RepeatStep, complain: Callable[..., None]) -> None:
        for key in step.misplaced:
            complain((key,), f"`{key}` is for the steps inside, each by itself", "misplaced-key", hint="write it there")
        if step.alias is not None:
            alias_problem(step.alias, ("index", "state", "next"), ("repeat", "as"), complain)
        if step.until is None and step.on_max == "fail":
            complain(
                ("repeat", "max"),
                "without until, max is always reached, and reaching it fails the step",
                "repeat-until",
                hint="write until: and a condition, or on_max: continue",
            )

    def plan(self, step: RepeatStep, known: Callable[[Template], Json]) -> RepeatPlan:
        """The plan of a repeat step. Raises ValueError with what is wrong with a value."""
        most = known(step.max)
        if isinstance(most, bool) or not isinstance(most, int) or not 1 <= most <= MOST:
            raise ValueError(f"max is a number of rounds from 1 to {MOST}, not {most!r}")
        return RepeatPlan(
            step.common,
            step.state,
            step.update,
            most,
            step.until,
            on_max=step.on_max,
            cohort=step.cohort,
            alias=step.alias,
        )


KIND = RepeatKind()
