"""A `repeat` step: steps that are done again and again, each time with what came of the time before."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from msgspec import Struct

from v6flow.core import expressions
from v6flow.core.expressions import CLEAN, either, join, uniform
from v6flow.core.kinds.base import StepKind, alias_problem, misplaced
from v6flow.core.kinds.fields import PARAMS, STEPS, Field
from v6flow.core.language.model import Planned, Step
from v6flow.core.roles import fixed, free

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from v6flow.core.expressions import Flow, Template
    from v6flow.core.kinds.base import Planning
    from v6flow.core.kinds.fields import Defaults
    from v6flow.core.kinds.tracing import Mixing, Tracing
    from v6flow.core.language.model import Common
    from v6flow.core.language.problem import Path
    from v6flow.core.roles import Roles

KEY = "repeat"

PASSES = 10  # of the cross-site analysis over a loop, after which its state is taken for one that has all in it
COHORT_PASSES = 4  # after which the state of a loop carries what it will
MOST = 100_000  # iterations: a loop that is longer is a mistake

_LOOP = STEPS | {"loop"}
_OFFERS = frozenset({"status", "error", "result", "iterations", "converged", "history", "responded"})


class RepeatStep(Step, Struct, frozen=True, eq=False):
    """What the file says; its nested steps stand among the workflow's, under its own name."""

    kind: ClassVar[str] = KEY
    common: Common
    state: Template
    update: Template
    max: Template
    until: Template | None = None
    on_max: str = "fail"
    cohort: str = "fixed"
    alias: str | None = None
    misplaced: tuple[str, ...] = ()  # keys beside it that are for other kinds


class RepeatPlan(Planned, Struct, frozen=True):
    """A repeat step with its settings resolved; `max` is the most iterations there may be."""

    kind: ClassVar[str] = KEY
    ROLES: ClassVar[Roles] = {
        "state": fixed(shown=True),
        "update": fixed(shown=True),
        "max": free("how many iterations there may be, not what any of them asks", shown=True),
        "until": fixed(shown=True),
        "on_max": free("what becomes of the step when max is reached", shown=True),
        "cohort": fixed(shown=True),
        "alias": fixed(part="as"),
    }
    common: Common
    state: Template
    update: Template
    max: int
    until: Template | None
    on_max: str
    cohort: str
    alias: str | None


class RepeatKind(StepKind):
    """The kind `repeat`."""

    key = KEY
    nests = True
    iteration = "loop"
    plan_type = RepeatPlan
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

    def fields(self, step: RepeatStep) -> Iterator[Field]:
        at = (*step.common.at, "repeat")
        yield Field((*at, "state"), step.state, STEPS)
        yield Field((*at, "update"), step.update, _LOOP, inside=True)
        yield Field((*at, "max"), step.max, PARAMS)
        if step.until is not None:
            yield Field((*at, "until"), step.until, _LOOP, inside=True)

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

    def unconverged(self, step: RepeatStep) -> Path | None:
        stops = step.on_max == "continue" and step.until is not None
        return (*step.common.at, "repeat", "on_max") if stops else None

    def trace(self, step: RepeatStep, tracing: Tracing) -> None:
        """Iterate to a fixpoint: the state of a loop may have in it what any iteration put there."""
        name = step.common.name
        notes = tracing.notes[name]
        state = tracing.flow(step.state, step.common.parent)
        for _ in range(PASSES):
            notes["state"] = state
            tracing.follow(name)
            following = either(state, tracing.flow(step.update, name))
            if following == state:
                break
            state = following
        else:
            notes["state"] = state = join([state])
            tracing.follow(name)
        if step.until is not None:
            notes["end"] = tracing.mixed((step.until, name))
        tracing.note(step, state)

    def traced(self, step: RepeatStep, attribute: str, tracing: Tracing) -> Flow:
        """How long a loop went on tells what the condition that ended it has in it."""
        result, end = tracing.noted(step, "result"), tracing.noted(step, "end")
        known = {"result": result, "history": uniform(result, end), "iterations": end, "converged": end}
        return known.get(attribute, CLEAN)

    def cohorts(self, step: RepeatStep, mixing: Mixing) -> None:
        """Iterate until the state carries what it has carried before.

        Where who answers may change from one iteration to the next, an earlier state is not held against a later one.
        """
        name, at = step.common.name, (*step.common.at, "repeat")
        mixing.carry(step, mixing.uses(step.state, (*at, "state"), step.common.parent))
        for _ in range(COHORT_PASSES):
            before = mixing.enter(name, earlier=True)
            mixing.follow(name)
            mixing.carry(step, mixing.uses(step.update, (*at, "update"), name), again=True)
            if mixing.carried(name) == before or step.max.source == 1 or mixing.has_problem(name):
                return
            if step.cohort != "fixed":
                mixing.accept(step)
                return

    def plan(self, step: RepeatStep, planning: Planning) -> RepeatPlan:
        most = planning.known(step.max)
        if isinstance(most, bool) or not isinstance(most, int) or not 1 <= most <= MOST:
            raise ValueError(f"max is a number of iterations from 1 to {MOST}, not {most!r}")
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
