"""The plan of a run: a workflow with its parameters filled in and its settings resolved, ordered as a graph."""

from __future__ import annotations

import hashlib
import sys
from dataclasses import dataclass, replace
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

from v6flow.core import expressions
from v6flow.core.checks import soundness
from v6flow.core.expressions import NotKnownYet, Undefined
from v6flow.core.federation import Directory
from v6flow.core.json import Json, canonical
from v6flow.core.kinds import (
    STEP_KINDS,
    GateStep,
    LocalStep,
    StepPlan,
    TaskStep,
    WorkflowPlan,
    WorkflowStep,
    foreach,
    gate,
    local,
    repeat,
    task,
)
from v6flow.core.kinds.base import common_fields
from v6flow.core.language import places
from v6flow.core.language.problem import InvalidError, Path, Problem
from v6flow.core.language.words import suggestion
from v6flow.core.planning import ids, preconditions
from v6flow.core.planning.graph import Graph

if sys.version_info >= (3, 11):
    from typing import assert_never
else:
    from typing_extensions import assert_never

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from v6flow.core.expressions import Template
    from v6flow.core.kinds import Step
    from v6flow.core.kinds.base import Common
    from v6flow.core.kinds.task import TaskPlan
    from v6flow.core.language.model import Workflow


@dataclass(frozen=True, slots=True)
class Plan:
    """What a run will do; `steps` and `needs` are in an order in which each step follows what it needs.

    Nested steps stand behind the one they are nested in, by the names that the workflow gives them.
    """

    workflow: Workflow
    params: Mapping[str, Json]
    directory: Directory
    folder: str  # absolute: where files beside the workflow are looked for
    run: str
    started: float
    graph: Graph
    needs: Mapping[str, list[str]]
    steps: Mapping[str, StepPlan]
    levels: Mapping[str, tuple[str, ...]]
    """Of each step that has nested ones, and of "", those directly in it, in order."""
    deadline: float | None = None

    def step(self, path: str) -> StepPlan:
        """The plan of a step that is done, whichever its round or item."""
        return self.steps[ids.definition(path)]

    def nested(self, name: str) -> tuple[str, ...]:
        """The steps directly in a step, in order; for "" those that are in none."""
        return self.levels.get(name, ())

    def find(self, where: str, short: str) -> str | None:
        """The step that a name means to those of a prefix: beside them, else further outside."""
        for prefix in ids.outward(where):
            if ids.definition(prefix) + short in self.steps:
                return prefix + short
            if prefix and not ids.around(prefix)[1]:
                return None  # what stands in another file sees nothing outside of that
        return None

    def scope(self) -> dict[str, Json]:
        """The names that are known everywhere."""
        return _scope(self.workflow.name, self.params, self.directory, self.run, self.started)


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
    scope = _scope(workflow.name, params, directory, run, started)
    own, graph = soundness.graph(workflow)
    needs = {name: list(sources) for name, sources in own.items()}
    steps: dict[str, StepPlan] = {}
    problems = _make(workflow, directory, scope, steps, needs, "", "")
    if problems:
        problems.sort(key=lambda problem: problem.position)
        raise InvalidError(problems, what=problems[0].file)
    if len(needs) > len(own):
        graph = Graph(needs)
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


def _make(
    workflow: Workflow,
    directory: Directory,
    scope: dict[str, Any],
    steps: dict[str, StepPlan],
    needs: dict[str, list[str]],
    prefix: str,
    folder: str,
) -> list[Problem]:
    """Add the plans of a workflow's steps, and of those in the files that it names; returns what is wrong with them."""
    maker = _Maker(workflow, directory, scope)
    final = bool(prefix) and steps[prefix[:-1]].common.final
    for name, step in workflow.steps.items():
        plan = maker.step(name)
        if plan is None:
            continue
        if prefix:
            plan = replace(plan, common=replace(plan.common, name=prefix + name, final=final))
            needs[prefix + name] = [prefix + source for source in soundness.needs(workflow)[name]]
        if isinstance(plan, local.LocalPlan):
            plan = replace(plan, folder=folder)
        steps[prefix + name] = plan
        if isinstance(step, WorkflowStep) and step.inner is not None:
            given = maker.known_params(step)
            inner = {**scope, "params": given}
            place = step.inner.folder
            maker.problems += _make(step.inner, directory, inner, steps, needs, f"{prefix}{name}.", place)
    if not prefix:
        maker.check_queries({name: steps[name] for name in workflow.steps if name in steps})
    return maker.problems


class _Later:
    """Params of a file of which some are known only when its step begins: `later` says of these what gives them."""

    def __init__(self, known: Mapping[str, Json], later: Mapping[str, str], names: Iterable[str]) -> None:
        self._known = known
        self._later = later
        self._names = names

    def attribute(self, name: str) -> object:
        if name in self._known:
            return self._known[name]
        if name in self._names:
            given = f": {self._later[name]}" if name in self._later else ""
            raise NotKnownYet(f"params.{name} is known only when its step begins{given}")
        return Undefined(f"no param {name!r}")

    def names(self) -> Iterable[str]:
        return self._names


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


def iso(moment: float) -> str:
    """A moment as people and files write it: UTC, to the second."""
    return datetime.fromtimestamp(moment, timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")


def token(run: str, step: str, organizations: tuple[str, ...], attempt: int) -> str:
    """The name of one submission, the same whenever it is computed: 32 hexadecimal digits."""
    return hashlib.blake2b(canonical([run, step, list(organizations), attempt]).encode(), digest_size=16).hexdigest()


def digest(value: Json) -> str:
    """A short name of a value: equal values have equal ones."""
    return hashlib.blake2b(canonical(value).encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()


def parts(plan: Plan, sources: Mapping[str, str]) -> dict[str, dict[str, Json]]:
    """What each step is made of, as far as it decides its result; `sources` are digests of functions and files.

    How patiently a step waits, how it is described, whether it may mix cohorts and who is offline is not in it.
    """
    return {
        name: {**_parts(step, plan.directory, sources), **_common_parts(step.common)}
        for name, step in plan.steps.items()
    }


def _parts(step: StepPlan, directory: Directory, sources: Mapping[str, str]) -> dict[str, Json]:
    match step:
        case task.TaskPlan():
            return _task_parts(step, directory)
        case local.LocalPlan():
            return _local_parts(step, sources)
        case repeat.RepeatPlan():
            return {
                "kind": "repeat",
                "state": step.state.source,
                "update": step.update.source,
                "until": step.until.source if step.until is not None else None,
                "cohort": step.cohort,
                "as": step.alias,
            }
        case foreach.ForeachPlan():
            return {
                "kind": "foreach",
                "over": step.over.source if step.over is not None else None,
                "matrix": step.matrix.source if step.matrix is not None else None,
                "key": step.key.source if step.key is not None else None,
                "result": step.result.source if step.result is not None else None,
                "as": step.alias,
            }
        case gate.GatePlan():
            return {"kind": "gate", "message": step.message.source, "approvers": [*step.approvers]}
        case WorkflowPlan():
            return {
                "kind": "workflow",
                "params": step.params.source,
                "outputs": {name: output.value.source for name, output in step.inner.outputs.items()},
            }
        case _:
            assert_never(step)


JUDGED_LAST = ("when", "checks", "properties")
"""The parts that only count once a step is settled: who was asked meanwhile was asked the same."""


def _common_parts(common: Common) -> dict[str, Json]:
    schema = common.output_schema
    return {
        "when": common.when.source if common.when is not None else None,
        "checks": [each.condition.source for each in common.checks if not each.each],
        "each": [each.condition.source for each in common.checks if each.each],
        "properties": common.properties.source if common.properties is not None else None,
        "output_schema": dict(schema) if schema is not None else None,
    }


def _task_parts(step: TaskPlan, directory: Directory) -> dict[str, Json]:
    organizations = step.organizations
    quorum = step.quorum
    return {
        "kind": "task",
        "image": step.image,
        "method": step.method,
        "kwargs": step.kwargs.source,
        "organizations": organizations.source if isinstance(organizations, expressions.Template) else [*organizations],
        "study": step.study,
        "store": step.store,
        "central": step.central,
        "subtasks": step.subtasks,
        "databases": [
            {
                "label": each.label,
                "query": each.query,
                "sheet_name": each.sheet_name,
                "preprocessing": [dict(item) for item in each.preprocessing],
                "arguments": dict(each.arguments),
            }
            for each in step.databases
        ],
        "quorum": [
            quorum.minimum.source if isinstance(quorum.minimum, expressions.Template) else quorum.minimum,
            [*quorum.required],
            quorum.wait,
        ],
        "isolation": step.isolation,
        "disclosure": [
            step.disclosure.min_count,
            step.disclosure.count.source if step.disclosure.count is not None else None,
        ],
        "allow_nonfinite": step.allow_nonfinite,
        "federation": directory.identity,
    }


def _local_parts(step: local.LocalPlan, sources: Mapping[str, str]) -> dict[str, Json]:
    return {
        "kind": "local",
        "function": step.function,
        "source": sources.get(step.common.name),
        "command": step.command.source if step.command is not None else None,
        "value": step.value.source if step.value is not None else None,
        "kwargs": step.kwargs.source,
    }


def _scope(name: str, params: Mapping[str, Json], directory: Directory, run: str, started: float) -> dict[str, Any]:
    return {
        "params": dict(params),
        "run": {"id": run, "name": name, "started": iso(started)},
        "federation": {"organizations": list(directory.organizations)},
        "#organization_ids": dict(directory.ids),
    }


def _most(queries: int) -> str:
    return f"the federation's policy lets a run ask each organization {queries} times at the most"


_LATER = ("steps", "loop", "each")  # roots of what is known only while a run goes on


def _is_late(template: Template) -> bool:
    return any(reference.root in _LATER for reference in template.references)


class _Maker:
    """Resolves the settings of one step after the other, and collects what is wrong."""

    def __init__(self, workflow: Workflow, directory: Directory, scope: dict[str, Any]) -> None:
        self.workflow = workflow
        self.directory = directory
        self.scope = scope
        self.problems: list[Problem] = []
        self._known: dict[int, Json | Template] = {}
        self._asked: Template | None = None  # the template that was looked at last, at fault if anything is

    def step(self, name: str) -> StepPlan | None:
        step = self.workflow.steps[name]
        self._asked = None
        try:
            if isinstance(step, GateStep):
                return gate.KIND.plan(step)
            if isinstance(step, LocalStep):
                return local.KIND.plan(step, self.known)
            if isinstance(step, repeat.RepeatStep):
                return repeat.KIND.plan(step, self.known)
            if isinstance(step, foreach.ForeachStep):
                return foreach.KIND.plan(step, self.known)
            if isinstance(step, WorkflowStep):
                assert step.inner is not None  # a file that could not be read was a problem before
                return WorkflowPlan(step.common, step.file, step.params, step.inner)
            return task.KIND.plan(step, self._settings(step), self.known, self.directory)
        except expressions.ExpressionError as error:
            self._complain(step, error.message, error.rule, error.hint, error.at, error.offset)
        except task.OrganizationError as error:
            self._complain(step, str(error), "setting", error.hint, () if error.index is None else (error.index,))
        except ValueError as error:
            self._complain(step, str(error), "setting", None)
        return None

    def check_queries(self, steps: Mapping[str, StepPlan]) -> None:
        """Complain of the first step that would ask an organization for more than the policy allows, if all ran."""
        most = self.directory.policy.max_queries
        asked: dict[str, int] = {}
        for name, step in steps.items():
            if most is None or not isinstance(step, task.TaskPlan) or step.common.when is not None:
                continue
            self._asked = None
            for organization in () if isinstance(step.organizations, expressions.Template) else step.organizations:
                asked[organization] = asked.get(organization, 0) + 1
                if asked[organization] > most:
                    told = f"it would be number {asked[organization]} that asks {organization}: {_most(most)}"
                    self._complain(self.workflow.steps[name], told, "setting", "do with fewer task steps")
                    return

    def known(self, template: Template) -> Json:
        """The value of what is known before anything runs."""
        self._asked = template
        return template.source if template.literal else self._rendered(template)

    def _rendered(self, template: Template) -> Json:
        try:
            return template.render(self.scope)
        except NotKnownYet as error:
            raise ValueError(f"this must be known before anything runs, and {error}") from error

    def known_params(self, step: WorkflowStep) -> _Later:
        """The params that a file is given, as far as they are known before anything runs."""
        assert step.inner is not None
        given = step.params.source if isinstance(step.params.source, dict) else {}
        known: dict[str, Json] = {}
        later: dict[str, str] = {}
        for name, param in step.inner.params.items():
            if name not in given:
                if not param.required:
                    known[name] = param.schema["default"]
                continue
            template = expressions.compile(given[name])
            try:
                if not _is_late(template):
                    known[name] = template.render(self.scope)
                    continue
            except (expressions.ExpressionError, NotKnownYet):
                pass  # a mistake fails the step, if it ever begins
            later[name] = self._giver(step, name, template)
        return _Later(known, later, step.inner.params)

    def _giver(self, step: WorkflowStep, name: str, template: Template) -> str:
        """What gives a param of another file its value, and where that is said."""
        document = self.workflow.document
        line = document.key_position((*step.common.at, "workflow", "params", name)).line
        said = template.source if isinstance(template.source, str) else "given"
        return f"it is {said} ({document.name}, line {line})"

    def _settings(self, step: TaskStep) -> Callable[[str], Json | Template]:
        def setting(key: str) -> Json | Template:
            self._asked = step.settings[key][1] if key in step.settings else None
            value: Json | Template
            if self._asked is not None and key == "disclosure":
                value = self._disclosure(self._asked)
            elif self._asked is not None:
                value = self._value(key, self._asked)
            else:
                value = self.directory.defaults.get(key, task.SETTINGS[key])
            if key == "image" and isinstance(value, str):
                self._check_image(value)
            return value

        return setting

    def _value(self, key: str, template: Template) -> Json | Template:
        if template.literal:
            return template.source
        if key == "quorum" and isinstance(template.source, dict):
            parts = {part: expressions.compile(value) for part, value in template.source.items()}
            return {
                part: self._late(value) if part == "min" else self._rendered(value) for part, value in parts.items()
            }
        if key in task.LATE:
            return self._late(template)
        found = self._known.get(id(template))
        if found is None:
            found = self._known[id(template)] = self._rendered(template)
        return found

    def _late(self, template: Template) -> Json | Template:
        """The value of what steps may decide; the template itself as long as that is not known."""
        if template.literal:
            return template.source
        if _is_late(template):
            return template
        try:
            return template.render(self.scope)
        except NotKnownYet:
            return template

    def _disclosure(self, template: Template) -> dict[str, Json | Template]:
        """A disclosure of which the count is still to be told, of each result."""
        assert isinstance(template.source, dict)  # by the schema
        parts = {key: expressions.compile(part) for key, part in template.source.items()}
        return {key: part if key == "count" else self._rendered(part) for key, part in parts.items()}

    def _check_image(self, image: str) -> None:
        policy = self.directory.policy
        if not policy.allows(image):
            allowed = ", ".join(policy.images or ()) or "none"
            raise ValueError(f"the federation's policy does not allow the image {image}: it allows {allowed}")
        images = self.directory.images
        if images is not None and image not in images:
            near = suggestion(image, images)
            raise ValueError(
                f"the federation has no algorithm for the image {image}: it has {', '.join(images) or 'none'}"
                + (f" ({near})" if near else "")
            )

    def _complain(self, step: Step, message: str, rule: str, hint: str | None, at: Path = (), offset: int = 0) -> None:
        document = self.workflow.document
        path = self._place(step)
        where = document.key_position(step.common.at) if path is None else places.place(document, path + at, offset)
        self.problems.append(Problem(f"step {step.common.name}: {message}", rule, document.name, where, hint))

    def _place(self, step: Step) -> Path | None:
        """Where the template that was looked at last stands, None if it stands nowhere."""
        settings = step.settings.values() if isinstance(step, TaskStep) else ()
        fields = (*common_fields(step.common), *STEP_KINDS[step.kind].fields(step))
        own = [(field.key, field.template) for field in fields]
        return next((path for path, template in (*settings, *own) if template is self._asked), None)
