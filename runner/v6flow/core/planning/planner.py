"""Makes the plan of a workflow: has each kind plan its steps, and orders them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from msgspec.structs import replace

from v6flow.core import expressions
from v6flow.core.directory import Directory
from v6flow.core.expressions import NotKnownYet
from v6flow.core.kinds import STEP_KINDS, StepPlan
from v6flow.core.kinds.base import SettingError
from v6flow.core.kinds.fields import common_fields
from v6flow.core.language import places
from v6flow.core.language.problem import InvalidError, Path, Problem
from v6flow.core.planning import dependencies, preconditions
from v6flow.core.planning.graph import StepGraph
from v6flow.core.planning.plan import Plan, scope

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from v6flow.core.expressions import Template
    from v6flow.core.json import Json
    from v6flow.core.language.model import Step, Workflow

_LATER = ("steps", "loop", "each")  # roots of what is known only while a run continues


def make(
    workflow: Workflow,
    params: Mapping[str, Json],
    directory: Directory | None = None,
    *,
    folder: str = ".",
    run: str = "",
    started: float = 0.0,
    deadline: float | None = None,
) -> Plan:
    """The plan of a workflow that `check` found sound. Raises InvalidError with all that is wrong.

    That is: with the params, where preconditions are not met, or else with the settings.
    """
    directory = directory or Directory(())
    unmet = preconditions.problems(workflow, params)
    if unmet:
        raise InvalidError(unmet, what=workflow.document.name)
    known = scope(workflow.name, params, directory, run, started)
    own = dependencies.needs(workflow)
    needs = {name: list(sources) for name, sources in own.items()}
    steps: dict[str, StepPlan] = {}
    problems = _plan(workflow, directory, known, steps, needs, "", "")
    if problems:
        problems.sort(key=lambda problem: problem.position)
        raise InvalidError(problems, what=problems[0].file)
    graph = StepGraph(needs)
    order = [name for name in _in_levels(graph.order()) if name in steps]
    order.sort(key=lambda name: steps[name].common.final)  # those come when all is over
    steps = {name: steps[name] for name in order}
    levels: dict[str, list[str]] = {}
    for name in order:
        levels.setdefault(name.rpartition(".")[0], []).append(name)
    return Plan(
        workflow,
        params,
        directory,
        folder,
        run,
        started,
        graph,
        {n: needs[n] for n in order},
        steps,
        {name: tuple(inner) for name, inner in levels.items()},
        deadline,
    )


def _plan(
    workflow: Workflow,
    directory: Directory,
    scope: dict[str, Any],
    steps: dict[str, StepPlan],
    needs: dict[str, list[str]],
    prefix: str,
    folder: str,
) -> list[Problem]:
    """Add the plans of a workflow's steps, and of those in the files that it names; returns what is wrong with them."""
    planner = Planner(workflow, directory, scope, folder)
    final = bool(prefix) and steps[prefix[:-1]].common.final
    for name, step in workflow.steps.items():
        plan = planner.plan(step)
        if plan is None:
            continue
        if prefix:
            plan = replace(plan, common=replace(plan.common, name=prefix + name, final=final))
            needs[prefix + name] = [prefix + source for source in dependencies.needs(workflow)[name]]
        steps[prefix + name] = plan
        if step.inner is not None:
            inner = {**scope, "params": STEP_KINDS[step.kind].inner_params(step, planner)}
            place = step.inner.folder
            planner.problems += _plan(step.inner, directory, inner, steps, needs, f"{prefix}{name}.", place)
    if not prefix:
        planner.check_queries([steps[name] for name in workflow.steps if name in steps])
    return planner.problems


def _in_levels(order: list[str]) -> list[str]:
    """The same order, with nested steps behind those that they are nested in."""
    if not any("." in name for name in order):
        return order
    levels: dict[str, list[str]] = {}
    for name in order:
        levels.setdefault(name.rpartition(".")[0], []).append(name)

    def walk(outer: str) -> Iterator[str]:
        for name in levels.get(outer, ()):
            yield name
            yield from walk(name)

    return list(walk(""))


class Planner:
    """Plans the steps of one file, and collects what is wrong with their settings."""

    def __init__(self, workflow: Workflow, directory: Directory, scope: dict[str, Any], folder: str) -> None:
        self.directory = directory
        self.scope = scope
        self.folder = folder
        self.document = workflow.document
        self.problems: list[Problem] = []
        self._workflow = workflow
        self._known: dict[int, Json] = {}
        self._seen: Template | None = None  # the template that was looked at last, at fault if anything is

    def plan(self, step: Step) -> StepPlan | None:
        """The plan of a step; None, and a problem, if it cannot be planned."""
        self._seen = None
        try:
            plan: StepPlan = STEP_KINDS[step.kind].plan(step, self)
        except expressions.ExpressionError as error:
            self._complain(step, error.message, error.rule, error.hint, error.at, error.offset)
        except SettingError as error:
            self._complain(step, str(error), "setting", error.hint, error.at)
        except ValueError as error:
            self._complain(step, str(error), "setting", None)
        else:
            return plan
        return None

    def check_queries(self, steps: Iterable[StepPlan]) -> None:
        """Complain of the first step that would ask an organization for more than the policy allows, if all ran."""
        most = self.directory.policy.max_queries
        asked: dict[str, int] = {}
        for step in steps:
            task = step.task
            if most is None or task is None or step.common.when is not None:
                continue
            self._seen = None
            for organization in () if isinstance(task.organizations, expressions.Template) else task.organizations:
                asked[organization] = asked.get(organization, 0) + 1
                if asked[organization] > most:
                    told = f"it would be number {asked[organization]} that asks {organization}: {_most(most)}"
                    named = self._workflow.steps[step.common.name]
                    self._complain(named, told, "setting", "use fewer task steps")
                    return

    def look_at(self, template: Template | None) -> None:
        """Note the template that is at fault if anything is from here on."""
        self._seen = template

    def known(self, template: Template) -> Json:
        """The value of what must be known before anything runs. Raises ValueError, ExpressionError."""
        self._seen = template
        if template.literal:
            return template.source
        if id(template) not in self._known:  # a default is the same for all steps
            self._known[id(template)] = self.rendered(template)
        return self._known[id(template)]

    def rendered(self, template: Template) -> Json:
        """The same for a part of the template that was looked at last."""
        try:
            return template.render(self.scope)
        except NotKnownYet as error:
            raise ValueError(f"this must be known before anything runs, and {error}") from error

    def late(self, template: Template) -> Json | Template:
        """The value of what steps may decide; the template itself as long as that is not known."""
        if template.literal:
            return template.source
        if any(reference.root in _LATER for reference in template.references):
            return template
        try:
            return template.render(self.scope)
        except NotKnownYet:
            return template

    def _complain(self, step: Step, message: str, rule: str, hint: str | None, at: Path = (), offset: int = 0) -> None:
        path = self._place(step)
        at_step = self.document.key_position(step.common.at)
        where = at_step if path is None else places.place(self.document, path + at, offset)
        self.problems.append(Problem(f"step {step.common.name}: {message}", rule, self.document.name, where, hint))

    def _place(self, step: Step) -> Path | None:
        """Where the template that was looked at last stands, None if it stands nowhere."""
        kind = STEP_KINDS[step.kind]
        fields = (*common_fields(step.common), *kind.fields(step))
        own = [(field.key, field.template) for field in fields]
        return next((path for path, found in (*kind.settings(step).values(), *own) if found is self._seen), None)


def _most(queries: int) -> str:
    return f"the federation's policy lets a run ask each organization {queries} times at the most"


_LATER = ("steps", "loop", "each")  # roots of what is known only while a run continues


def _is_late(template: Template) -> bool:
    return any(reference.root in _LATER for reference in template.references)
