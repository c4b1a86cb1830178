"""The templates of a plan before anything has run: what is known is filled in, what is not is marked."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from v6flow.core import expressions, json
from v6flow.core.checks.scopes import ENDING
from v6flow.core.execution import cohorts, scope
from v6flow.core.execution.state import RunState
from v6flow.core.expressions import ExpressionError, NotKnownYet

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from v6flow.core.expressions import Template
    from v6flow.core.json import Json
    from v6flow.core.language.model import Common, Workflow
    from v6flow.core.planning.plan import Plan
    from v6flow.core.policy import Policy

UNKNOWN = "$later"
"""The key of the mapping that stands for a value which is known only later; under it, its expression."""

_ENDING = tuple((word,) for word in ENDING)


class Reading:
    """Evaluates the templates of one step after the other, in the order of the plan."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._known = plan.scope()
        self._names: dict[str, object] = {}
        self._given: dict[str, _Given] = {}  # what the files are given that steps run

    @property
    def workflow(self) -> str:
        """The name of the workflow."""
        return self._plan.workflow.name

    @property
    def policy(self) -> Policy:
        """The policy of the federation."""
        return self._plan.directory.policy

    def begin(self, common: Common) -> None:
        """Use the names that are known in this step."""
        self._names = scope.names(self._plan, RunState(), cohorts.Uses(), self._known, _first(common.parent))
        self._names.update({root: _Later(root) for root in ("loop", "each")})
        outer = common.parent
        while outer and outer not in self._given:
            outer = outer.rpartition(".")[0]
        if outer:
            self._names["params"] = self._given[outer]

    def give(self, step: str, params: Template, inner: Workflow) -> None:
        """Use these params, as far as they are known, in the steps of the file that a step runs."""
        source = params.source if isinstance(params.source, dict) else {}
        known: dict[str, Json] = {}
        for name, param in inner.params.items():
            with contextlib.suppress(ExpressionError, NotKnownYet):  # the first is told where the param is given
                if name in source:
                    known[name] = expressions.compile(source[name]).render(self._names)
                elif not param.required:
                    known[name] = param.schema["default"]
        self._given[step] = _Given(known)

    def value(self, template: Template, organization: str | None = None) -> Json:
        """The value of a template; what is not known yet as `{UNKNOWN: expression}`."""
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
    """`loop` or `each`: known only in an iteration, or for an item."""

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
    """The prefix that the steps in a step have in its first iteration, or for its first item."""
    return "".join(f"{each}[1]." for each in parent.split(".")) if parent else ""


# -- in words


def spell(value: Json) -> str:
    """A value on one line; what is known only later stands as its expression in ‹ ›."""
    if isinstance(value, dict):
        if list(value) == [UNKNOWN]:
            source = value[UNKNOWN]
            return f"‹{' '.join(source.split()) if isinstance(source, str) else json.dumps(source)}›"
        return "{" + ", ".join(f"{key}: {spell(item)}" for key, item in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(spell(item) for item in value) + "]"
    return json.dumps(value)


def spell_source(value: Json) -> str:
    """The source of a template that is evaluated in iterations or for items: its expressions stand for themselves."""
    return spell(_later(value))


def _later(value: Json) -> Json:
    if isinstance(value, dict):
        return {key: _later(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_later(item) for item in value]
    return {UNKNOWN: value} if isinstance(value, str) and "{{" in value else value


def bare(expression: Json) -> str:
    """An expression without its braces."""
    return str(expression).strip().removeprefix("{{").removesuffix("}}").strip()
