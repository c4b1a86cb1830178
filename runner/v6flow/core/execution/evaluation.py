"""Evaluating templates while a run is executed: their value, or why there is none."""

from __future__ import annotations

from typing import TYPE_CHECKING

from v6flow.core import json
from v6flow.core.execution.events import Failure
from v6flow.core.expressions import ExpressionError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from v6flow.core.execution.cohorts import Uses
    from v6flow.core.expressions import Template
    from v6flow.core.json import Json


class DependencyFailed(Exception):  # noqa: N818 - a verdict, not an error
    """A step cannot run: what it uses failed or was skipped."""

    def __init__(self, step: str) -> None:
        super().__init__(f"it needs step {step}, which did not complete")
        self.step = step


class StepInvalid(Exception):  # noqa: N818 - a verdict, not an error
    """A step fails by what the file says, before it asks anybody or with what was answered."""

    def __init__(self, kind: str, message: str, hint: str | None = None) -> None:
        super().__init__(message)
        self.kind = kind
        self.message = message
        self.hint = hint

    def failure(self, step: str) -> Failure:
        """The failure of the step."""
        return Failure(self.kind, self.message, step, hint=self.hint)


def evaluate(template: Template, names: Mapping[str, object], uses: Uses) -> Json:
    """The value of a template by these names. Raises DependencyFailed, StepInvalid."""
    try:
        return template.render(names)
    except ExpressionError as error:
        if error.message in uses.lacked:
            raise DependencyFailed(uses.lacked[error.message]) from error
        raise StepInvalid("expression", error.message, error.hint) from error


def mapping(value: Json) -> Mapping[str, Json]:
    """A rendered mapping."""
    assert isinstance(value, dict)  # the schema has kwargs as a mapping, and rendering keeps the shape
    return value


def short(value: Json) -> str:
    """A value as a sentence shows it."""
    text = json.dumps(value)
    return text if len(text) <= 60 else text[:57] + "…"
