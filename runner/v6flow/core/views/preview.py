"""What each step of a plan would do: to whom it would send what, with what is not known yet marked as such."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

from v6flow.core import expressions
from v6flow.core.checks.references import ENDING
from v6flow.core.execution import cohorts, scope
from v6flow.core.execution.state import RunState
from v6flow.core.expressions import ExpressionError, NotKnownYet, Template
from v6flow.core.kinds import ForeachPlan, GatePlan, LocalPlan, RepeatPlan, TaskPlan, WorkflowPlan
from v6flow.core.language import units
from v6flow.core.planning import disclosure
from v6flow.core.roles import roles_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from v6flow.core.json import Json
    from v6flow.core.kinds import StepPlan
    from v6flow.core.kinds.settings import Retry
    from v6flow.core.language.model import Common
    from v6flow.core.planning.plan import Plan

UNKNOWN = "$later"
"""The key of the mapping that stands for a value which is known only later; under it, its expression."""


def preview(plan: Plan) -> Iterator[dict[str, Any]]:
    """For each step in order: its name, kind, what it waits for, and what it would send or compute."""
    show = _Show(plan)
    for name, step in plan.steps.items():
        told: dict[str, Any] = {"step": name, "kind": step.kind, "needs": list(plan.needs[name])}
        told.update(show.step(step))
        told.update(show.common(step.common))
        if step.common.final:
            told["finally"] = True
        if step.common.on_failure != "fail":
            told["on_failure"] = step.common.on_failure
        if step.common.mixed_cohorts is not None:
            told["mixed_cohorts"] = step.common.mixed_cohorts
        if step.common.allow_cross_site is not None:
            told["allow_cross_site"] = step.common.allow_cross_site
        yield told


_ENDING = tuple((word,) for word in ENDING)


class _Show:
    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._known = plan.scope()
        self._policy = plan.directory.policy
        self._names: dict[str, object] = {}
        self._given: dict[str, _Given] = {}  # what the files are given that steps run

    def step(self, step: StepPlan) -> dict[str, Any]:
        """What a step of its kind says."""
        self._names = scope.names(self._plan, RunState(), cohorts.Uses(), self._known, _first(step.common.parent))
        self._names.update({root: _Later(root) for root in ("loop", "each")})
        outer = step.common.parent
        while outer and outer not in self._given:
            outer = outer.rpartition(".")[0]
        if outer:
            self._names["params"] = self._given[outer]
        match step:
            case TaskPlan():
                return self.task(step)
            case LocalPlan():
                return self.local(step)
            case GatePlan():
                return {"message": self._value(step.message), "approvers": list(step.approvers)}
            case RepeatPlan():
                return {
                    "state": self._value(step.state),
                    "update": step.update.source,
                    "until": step.until.source if step.until is not None else None,
                    "max": step.max,
                    "on_max": step.on_max,
                    "cohort": step.cohort,
                }
            case ForeachPlan():
                over = step.over or step.matrix
                return {
                    "over" if step.over is not None else "matrix": self._value(over) if over is not None else None,
                    "as": step.alias,
                    "max_parallel": step.max_parallel,
                    "on_item_failure": step.on_item_failure,
                    "result": step.result.source if step.result is not None else None,
                }
            case WorkflowPlan():
                self._given[step.common.name] = self._params(step)
                return {"file": step.file, "params": self._value(step.params)}
            case _:
                return self._declared(step)

    def _declared(self, step: Any) -> dict[str, Any]:
        """What the plan of a kind declares to be shown, see `v6flow.core.roles`."""
        shown = [(role, getattr(step, name), role.part or name) for name, role in roles_of(type(step)) if role.shown]
        return {part: self._value(value) if isinstance(value, Template) else role.take(value)
                for role, value, part in shown}  # fmt: skip

    def common(self, common: Common) -> dict[str, Any]:
        """What steps of all kinds may say."""
        told: dict[str, Any] = {}
        if common.when is not None:
            told["when"] = self._value(common.when)
        if common.checks:
            told["checks"] = [
                {"each" if each.each else "that": each.condition.source, "message": each.message.source}
                for each in common.checks
            ]
        if common.output_schema is not None:
            told["output_schema"] = dict(common.output_schema)
        if common.properties is not None:
            told["properties"] = common.properties.source
        return told

    def task(self, step: TaskPlan) -> dict[str, Any]:
        asked = (
            self._value(step.organizations) if isinstance(step.organizations, Template) else list(step.organizations)
        )
        own = any(reference.root == "organization" for reference in step.kwargs.references)
        if own and isinstance(asked, list) and all(isinstance(name, str) for name in asked):
            sent: dict[str, Any] = {"kwargs_by_organization": {name: self._value(step.kwargs, name) for name in asked}}
        else:
            sent = {"kwargs": self._value(step.kwargs, None if own else "")}
        minimum = step.quorum.minimum
        return {
            "image": step.image,
            "method": step.method,
            "central": step.central,
            "organizations": asked,
            "databases": [_database(each) for each in step.databases],
            **sent,
            **({"study": step.study} if step.study is not None else {}),
            **({"store": step.store} if step.store is not None else {}),
            "isolation": step.isolation,
            "quorum": {
                "min": self._value(minimum) if isinstance(minimum, Template) else minimum,
                "required": list(step.quorum.required),
                "wait": "all" if step.quorum.wait else "quorum",
            },
            "retry": _retry(step.retry),
            "timeout": step.timeout,
            **({"cache": step.cache} if step.cache is not None else {}),
            **self._disclosure(step),
            "name": step.label or f"{self._plan.workflow.name}/{step.common.name}",
        }

    def _disclosure(self, step: TaskPlan) -> dict[str, Any]:
        least = disclosure.least(self._policy, step)
        if least is None:
            return {}
        first, *others = [each.source for each in disclosure.counts(self._policy, step)]
        also = {"also": others} if others else {}
        return {"disclosure": {"min_count": least, "count": first, **also}}

    def local(self, step: LocalPlan) -> dict[str, Any]:
        if step.value is not None:
            return {"value": self._value(step.value)}
        told: dict[str, Any] = {"function": step.function} if step.function else {}
        if step.command is not None:
            told["command"] = self._value(step.command)
        return {
            **told,
            "kwargs": self._value(step.kwargs),
            "timeout": step.timeout,
            "memory": step.memory,
            "retry": _retry(step.retry),
            **({"cache": step.cache} if step.cache is not None else {}),
        }

    def _params(self, step: WorkflowPlan) -> _Given:
        """The params of the file that a step runs, as far as they are known."""
        source = step.params.source if isinstance(step.params.source, dict) else {}
        known: dict[str, Json] = {}
        for name, param in step.inner.params.items():
            with contextlib.suppress(ExpressionError, NotKnownYet):  # the first is told where the param is given
                if name in source:
                    known[name] = expressions.compile(source[name]).render(self._names)
                elif not param.required:
                    known[name] = param.schema["default"]
        return _Given(known)

    def _value(self, template: Template, organization: str | None = None) -> Json:
        if template.literal:
            return template.source
        names = self._names if not organization else {**self._names, "organization": organization}
        if organization is None and any(reference.root == "organization" for reference in template.references):
            return {UNKNOWN: template.source}
        if any(reference.root == "run" and reference.path[:1] in _ENDING for reference in template.references):
            return {UNKNOWN: template.source}  # how the run ends
        try:
            return template.render(names, unknown=lambda text: {UNKNOWN: text})
        except ExpressionError as error:
            return {"$error": error.message}


class _Later:
    """`loop` or `each`: what is known in a round, or of an item, only."""

    def __init__(self, root: str) -> None:
        self._root = root

    def attribute(self, name: str) -> object:
        raise NotKnownYet(f"{self._root}.{name}")

    def names(self) -> Iterable[str]:
        return ()


class _Given:
    """`params` of another file, of which some may be known only when its step begins."""

    def __init__(self, known: Mapping[str, Json]) -> None:
        self._known = known

    def attribute(self, name: str) -> object:
        if name not in self._known:
            raise NotKnownYet(f"params.{name}")
        return self._known[name]

    def names(self) -> Iterable[str]:
        return self._known


def _first(parent: str) -> str:
    """The prefix that the steps in a step have in its first round, or for its first item."""
    return "".join(f"{each}[1]." for each in parent.split(".")) if parent else ""


def _database(choice: Any) -> Json:
    told: dict[str, Any] = {"label": choice.label}
    for key in ("query", "sheet_name"):
        if getattr(choice, key) is not None:
            told[key] = getattr(choice, key)
    if choice.preprocessing:
        told["preprocessing"] = [dict(each) for each in choice.preprocessing]
    if choice.arguments:
        told["arguments"] = dict(choice.arguments)
    return told


def _retry(retry: Retry) -> dict[str, Json]:
    told: dict[str, Json] = {"attempts": retry.attempts}
    if retry.attempts > 1:
        told |= {"delay": retry.delay, "backoff": retry.backoff, "on": list(retry.on)}
        if retry.max_delay != units.LONGEST:
            told["max_delay"] = retry.max_delay
    return told
