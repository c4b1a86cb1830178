"""Filling expressions in while a run goes on: what they come to, or why there is nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING

from v6flow.core import json
from v6flow.core.execution import cohorts, judge, scope
from v6flow.core.execution.events import Failure
from v6flow.core.expressions import ExpressionError, kind

if TYPE_CHECKING:
    from collections.abc import Mapping

    from v6flow.core.execution.state import Cohort, RunState
    from v6flow.core.expressions import Template
    from v6flow.core.json import Json
    from v6flow.core.kinds import StepPlan
    from v6flow.core.planning.plan import Plan


class Lacking(Exception):  # noqa: N818 - a verdict, not an error
    """A step cannot run: what it uses failed or was skipped."""

    def __init__(self, step: str) -> None:
        super().__init__(f"it needs step {step}, which did not complete")
        self.step = step


class Unfit(Exception):  # noqa: N818 - a verdict, not an error
    """A step fails by what the file says, before it asks anybody or with what was answered."""

    def __init__(self, kind: str, message: str, hint: str | None = None) -> None:
        super().__init__(message)
        self.kind = kind
        self.message = message
        self.hint = hint

    def failure(self, step: str) -> Failure:
        """The failure of the step."""
        return Failure(self.kind, self.message, step, hint=self.hint)


class Renderer:
    """Fills in the templates of a run, by its plan and its state at that moment."""

    def __init__(self, plan: Plan, state: RunState) -> None:
        self._plan = plan
        self._state = state
        self._known: Mapping[str, Json] = {}
        self.enter_part()

    def enter_part(self) -> None:
        """Take note that the run has come to an end, or has begun: that much is known everywhere."""
        self._known = scope.known(self._plan, self._state.ending)

    def render(
        self,
        template: Template,
        uses: scope.Uses,
        prefix: str,
        *,
        organization: str | None = None,
        following: object = scope.NOTHING,
    ) -> Json:
        """The value of a template for the steps with a prefix. Raises Lacking, Unfit."""
        if template.literal:
            return template.source
        names = self.names(uses, prefix, following)
        if organization is not None:
            names["organization"] = organization
        return evaluate(template, names, uses)

    def names(self, uses: scope.Uses, prefix: str, following: object = scope.NOTHING) -> dict[str, object]:
        """The names in the expressions of the steps with a prefix."""
        return scope.names(self._plan, self._state, uses, self._known, prefix, following)

    def holds(self, condition: Template, prefix: str) -> bool:
        """Whether the condition of a step holds."""
        found = self.render(condition, scope.Uses(), prefix)
        if not isinstance(found, bool):
            hint = "compare it with something, as in {{ params.x == 'full' }}"
            raise Unfit("expression", f"`when` must be true or false, and is {kind(found)}", hint)
        return found

    def mixture(self, step: StepPlan, uses: scope.Uses, *own: Cohort) -> bool:
        """Whether a value of what was used, and of a step's own answers, mixes cohorts. Raises Unfit if it may not."""
        mixed = cohorts.difference((*uses.compared(), *own), uses.accepted())
        if mixed and step.common.mixed_cohorts is None:
            raise Unfit("cohorts", mixed, judge.MIXED_HINT)
        if mixed or any(uses.accepted()):
            return True
        return bool(uses.loose) and cohorts.difference((*uses.cohorts(), *own)) is not None


def evaluate(template: Template, names: Mapping[str, object], uses: scope.Uses) -> Json:
    """The value of a template by these names. Raises Lacking, Unfit."""
    try:
        return template.render(names)
    except ExpressionError as error:
        if error.message in uses.lacked:
            raise Lacking(uses.lacked[error.message]) from error
        raise Unfit("expression", error.message, error.hint) from error


def mapping(value: Json) -> Mapping[str, Json]:
    """A rendered mapping."""
    assert isinstance(value, dict)  # the schema has kwargs as a mapping, and rendering keeps the shape
    return value


def short(value: Json) -> str:
    """A value as a sentence shows it."""
    text = json.dumps(value)
    return text if len(text) <= 60 else text[:57] + "…"
