"""Judging what one organization answered, before it is kept: nothing that is refused here goes any further."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from v6flow.core.execution import disclosure
from v6flow.core.execution.events import Failure
from v6flow.core.language import schema
from v6flow.core.language.model import bare

if TYPE_CHECKING:
    from collections.abc import Mapping

    from v6flow.core.directory import Directory
    from v6flow.core.json import Json
    from v6flow.core.kinds import TaskPlan
    from v6flow.core.language.model import Check


def judge(
    directory: Directory, step: TaskPlan, name: str, organization: str, value: Json, params: Mapping[str, Json]
) -> Failure | None:
    """Why an organization's answer to the step of a name is refused; None if it is not. `params` are those of its file.

    First it is seen whether it may be known at all, then whether it fits the schema for results, then the checks.
    Where a smallest count is demanded, the message has nothing of the answer.
    """
    common = step.common
    names = {"params": dict(params), "result": value, "organization": organization}
    if (refused := disclosure.refusal(directory.policy, step, names)) is not None:
        message, hint = refused
        return Failure("disclosure", message, name, organization, hint)
    unquoted = disclosure.least(directory.policy, step) is not None
    if common.output_schema is not None:
        wrong = misfit(common.output_schema, value)
        if wrong is not None:
            told = "its result does not fit the step's output_schema" if unquoted else wrong
            return Failure("output_schema", told, name, organization)
    for check in common.checks:
        if check.each:
            wrong = check.unmet(names)
            if wrong is not None:
                return Failure("check", _unquoted(check, names) if unquoted else wrong, name, organization)
    return None


def _unquoted(check: Check, names: Mapping[str, object]) -> str:
    """The message where a check is not met, without any part of the result."""
    if any(reference.root == "result" for reference in check.message.references):
        return f"its result does not meet the check {bare(check.condition)}"
    return check.said(names)


def misfit(fragment: Mapping[str, Any], value: Json) -> str | None:
    """What is wrong with a result by a schema; None if it fits."""
    problems = schema.value_problems("its result", fragment, value)
    return "; ".join(problems[:_TOLD]) if problems else None


_TOLD = 3  # misfits that a sentence names
