"""Which steps would send organizations what another one answered, not aggregated."""

from __future__ import annotations

from collections import defaultdict
from functools import partial
from typing import TYPE_CHECKING

from v6flow.core.expressions import CLEAN, Flow, Reference, ValueOrigin, index, join, literal
from v6flow.core.kinds import STEP_KINDS
from v6flow.core.kinds.fields import common_fields
from v6flow.core.language import places
from v6flow.core.language.naming import levels, outward, resolve
from v6flow.core.language.problem import Problem

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from v6flow.core.expressions import Template
    from v6flow.core.expressions.values import Steps
    from v6flow.core.kinds.task import TaskStep
    from v6flow.core.language.model import Step, Workflow
    from v6flow.core.language.problem import Path

HINT = (
    "aggregate it first: in a local step's function or command, or by sum, mean or dot over all results; "
    "or say allow_cross_site: <reason>"
)

_HARMLESS = frozenset({"kind", "step", "organization"})  # of an error; its message may quote what an algorithm said


def problems(workflow: Workflow, order: Callable[[Workflow], Sequence[str]]) -> Iterable[Problem]:
    """A problem for each reference by which a step would send on what others answered.

    `order` gives the steps of a workflow, each after all that are beside it and that it waits for.
    """
    tracing = _Tracing(workflow, order, {})
    tracing.follow("")
    return tracing.problems.values()


def asked(workflow: Workflow, step: TaskStep) -> tuple[str, ...] | None:
    """Whom a step asks, as far as its file tells: names, or the expression in which a param names one; else None."""
    for _ in workflow.steps:  # no chain of steps is longer
        template = step.settings["organizations"][1] if "organizations" in step.settings else None
        if template is None:
            return None
        if template.literal or step.single:
            only = isinstance(template.source, list) and all(each.root == "params" for each in template.references)
            return tuple(map(str, template.source)) if only and isinstance(template.source, list) else None
        other = followed(workflow, template, step.common.parent)
        if other is None:
            return None
        step = other
    return None


def followed(workflow: Workflow, template: Template, where: str) -> TaskStep | None:
    """The task step whose organizations a template names, those asked or those that responded; None if none."""
    path = template.references[0].path if template.whole and len(template.references) == 1 else ()
    if path[1:] not in (("responded",), ("asked",)) or template.references[0].root != "steps":
        return None
    name = resolve(workflow.steps, where, str(path[0]))
    if name is None:
        return None
    task: TaskStep | None = STEP_KINDS[workflow.steps[name].kind].asking(workflow.steps[name])
    return task


class _Tracing:
    """Knows of each step that was looked at whose answers its result has in it; `problems` are what would be sent.

    `params` are the flows of those params that a workflow step gives to the file that it runs.
    """

    def __init__(
        self, workflow: Workflow, order: Callable[[Workflow], Sequence[str]], params: Mapping[str | int, Flow]
    ) -> None:
        self.problems: dict[tuple[str, Reference], Problem] = {}
        self.notes: dict[str, dict[str, Flow]] = defaultdict(dict)
        self._workflow = workflow
        self._order = order
        self._levels = levels(order(workflow))
        self._params = params
        self._alone: dict[str, str | None] = {}

    def follow(self, outer: str) -> None:
        """Look at the steps that are nested in one, in their order; "" for those that are in none."""
        for name in self._levels.get(outer, ()):
            if name in self._workflow.steps:  # else it was reported to be unknown
                step = self._workflow.steps[name]
                STEP_KINDS[step.kind].trace(step, self)

    def outputs(self) -> Flow:
        """What is in the outputs, by name."""
        self.follow("")
        flows = {name: self.flow(output.value, "") for name, output in self._workflow.outputs.items()}
        return literal({name: _from_elsewhere(flow) for name, flow in flows.items()})

    def call(self, _step: Step, inner: Workflow, params: Flow) -> Flow:
        """What is in the outputs of another file that is given params."""
        given: dict[str | int, Flow] = {name: _from_elsewhere(index(params, name)) for name in inner.params}
        return _Tracing(inner, self._order, given).outputs()

    def note(self, step: Step, result: Flow) -> None:
        """Note what the result of a step has in it."""
        self.notes[step.common.name].pop("result", None)
        if not result.clean:
            self.notes[step.common.name]["result"] = result

    def noted(self, step: Step, what: str) -> Flow:
        """What was noted of a step; nothing is in what was not."""
        return self.notes[step.common.name].get(what, CLEAN) if step.common.name in self.notes else CLEAN

    def send(self, step: Step, template: Template, at: Path, alone: str | None) -> None:
        """Report what a step would send to others than those who answered; `alone` is the only one that it goes to."""
        flow = CLEAN if self._allowed(step) else self.flow(template, step.common.parent)
        leaks: dict[Reference, list[ValueOrigin]] = {}
        for origin in flow.origins:
            if alone is None or origin.organization != alone:
                assert origin.reference is not None  # it came into these kwargs by one
                leaks.setdefault(origin.reference, []).append(origin)
        for reference, origins in leaks.items():
            self.problems[step.common.name, reference] = self._problem(at, reference, sorted(origins, key=str))

    def _allowed(self, step: Step) -> bool:
        """Whether a reason is given: at the step, or at one that it is nested in."""
        around = (self._workflow.steps[name] for name in outward(step.common.name))
        return any(each.common.allow_cross_site is not None for each in around)

    # -- what is in a value

    def flow(self, template: Template, where: str) -> Flow:
        """Whose answers are in a value that is in the step `where`."""
        if template.literal or not any(self._may_have(reference, where) for reference in template.references):
            return CLEAN  # as nearly all are in a workflow of thousands of steps
        return template.flow(partial(self._source, where))

    def mixed(self, *values: tuple[Template, str]) -> Flow:
        """What is in something computed from several values, each with the step that it is in."""
        return join(self.flow(template, where) for template, where in values)

    def together(self, *flows: Flow) -> Flow:
        """What is in something computed from several."""
        return join(flows)

    def _may_have(self, reference: Reference, where: str) -> bool:
        if reference.root != "steps":
            return reference.root in ("params", "loop", "each", "run")
        name = resolve(self._workflow.steps, where, str(reference.path[0])) if reference.path else None
        if name is None:
            return False
        plain = not self._workflow.steps[name].asks and reference.path[1:2] == ("result",)
        return not plain or "result" in self.notes.get(name, {})

    def _source(self, where: str, path: Steps, at: Path) -> Flow:
        """The flow of what is at a path, as having come by that reference."""
        root, *rest = path
        flow, keys = CLEAN, rest[1:]
        match root:
            case "steps" if rest:
                name = resolve(self._workflow.steps, where, str(rest[0]))
                if name is not None:
                    flow = self._offered(self._workflow.steps[name], rest[1] if rest[1:] else None, rest[2:])
                keys = rest[2:]
            case "params":
                flow = self._params.get(str(rest[0]), CLEAN) if rest else literal(self._params)
            case "loop":
                flow, keys = self._round(where, rest), _behind_state(rest)
            case "each":
                flow = self._item(where, rest[0] if rest else None)
            case "run" if rest[:1] in ([], ["error"]) and not (rest[1:] and rest[1] in _HARMLESS):
                flow = Flow(frozenset({ValueOrigin("whichever step failed", None)}))
            case _:
                pass
        for key in keys:
            if flow.clean:
                return CLEAN
            flow = index(flow, key)
        return flow.seen_by(Reference(str(root), tuple(rest), at, guarded=False))

    def _round(self, where: str, rest: Sequence[str | int | None]) -> Flow:
        """What is in the state of the innermost loop, or of the one that is named."""
        loops = self._around(where, "loop")
        if not rest:  # which of all is computed
            return join(self.noted(step, "state") for step in loops)
        first = rest[0]
        if first == "index":
            return CLEAN
        if first not in ("state", "next"):
            loops = [step for step in loops if step.alias == first]
            if rest[1:2] == ["index"]:
                return CLEAN
        return self.noted(loops[0], "state") if loops else CLEAN

    def _item(self, where: str, name: str | int | None) -> Flow:
        around = self._around(where, "each")
        if name == "index" or not around:
            return CLEAN
        if name is None:  # which of all is computed
            return join(self.noted(step, what) for step in around for what in ("item", "key"))
        if name == "key":
            return self.noted(around[0], "key")
        named = [step for step in around if step.alias == name]
        return self.noted(named[0], "item") if named else CLEAN

    def _around(self, where: str, iteration: str) -> list[Step]:
        """The steps with such iterations that a place is inside of, the innermost first."""
        around = (self._workflow.steps[name] for name in outward(where))
        return [step for step in around if STEP_KINDS[step.kind].iteration == iteration]

    def _offered(self, step: Step, attribute: str | int | None, keys: Sequence[object]) -> Flow:
        """What is in an attribute of a step, all of them if it is None: one that is computed."""
        kind = STEP_KINDS[step.kind]
        if attribute is None:
            return join(self._offered(step, each, ()) for each in sorted(kind.offers(step)))
        if attribute == "error":
            return CLEAN if keys and keys[0] in _HARMLESS else self.error(step)
        if attribute == "status":
            when = step.common.when
            return join([self.flow(when, step.common.parent)]) if when is not None else CLEAN
        return kind.traced(step, str(attribute), self)

    def error(self, step: Step) -> Flow:
        """What its error may quote: what it is given, and what tasks in it have said."""
        name, parent = step.common.name, step.common.parent
        if step.asks:
            return Flow(frozenset({ValueOrigin(name, self.alone(step))}))
        fields = [*STEP_KINDS[step.kind].fields(step), *common_fields(step.common)]
        flows = [self.flow(field.template, name if field.inside else parent) for field in fields]
        flows += [self.error(self._workflow.steps[each]) for each in self._levels.get(name, ())]
        if step.inner is not None and step.inner.asks_organizations():
            flows.append(Flow(frozenset({ValueOrigin(name)})))
        return join(flows)

    def alone(self, step: Step) -> str | None:
        """The only organization that a step asks, if there is but one."""
        name = step.common.name
        if name not in self._alone:
            task = STEP_KINDS[step.kind].asking(step)
            names = asked(self._workflow, task) if task is not None else None
            self._alone[name] = names[0] if names is not None and len(names) == 1 else None
        return self._alone[name]

    def _problem(self, field: Path, reference: Reference, origins: Sequence[ValueOrigin]) -> Problem:
        document = self._workflow.document
        names = list(dict.fromkeys(each.step.rpartition(".")[2] for each in origins))
        whose = {each.organization for each in origins}
        who = next(iter(whose)) if len(whose) == 1 else None
        direct = reference.root == "steps" and reference.path[0] in names
        words = [*(() if reference.root == "steps" else (reference.root,)), *map(str, reference.path[:1])]
        by_way = ".".join(words)
        message = (
            f"what {who if who and '{' not in who else 'single organizations'} answered to {', '.join(names)} "
            + ("" if direct else f"(by way of {by_way}) ")
            + "would reach others, not aggregated"
        )
        where = places.mention(document, field + reference.at, reference, min(2, len(reference.path)))
        return Problem(message, "cross-site", document.name, where, HINT)


def _behind_state(rest: Sequence[str | int | None]) -> list[str | int | None]:
    """What is behind the state in a path that begins with `loop`."""
    at = next((index for index, key in enumerate(rest[:2]) if key in ("state", "next")), len(rest))
    return list(rest[at + 1 :])


def _from_elsewhere(flow: Flow) -> Flow:
    """A flow from one file into another, where the params that name an organization are others."""
    if flow.clean:
        return flow
    origins = frozenset(
        ValueOrigin(each.step, None if "{" in (each.organization or "") else each.organization, each.reference)
        for each in flow.origins
    )
    inner = _from_elsewhere(flow.inner) if flow.inner is not None else None
    return Flow(origins, flow.spread, {key: _from_elsewhere(part) for key, part in flow.parts.items()}, inner)
