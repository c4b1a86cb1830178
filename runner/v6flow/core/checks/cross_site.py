"""Which steps would send organizations what another one answered, not aggregated."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from v6flow.core.expressions import CLEAN, Flow, Origin, Reference, counted, either, index, join, literal, uniform
from v6flow.core.kinds import STEP_KINDS, ForeachStep, GateStep, LocalStep, RepeatStep, TaskStep, WorkflowStep
from v6flow.core.kinds.base import common_fields
from v6flow.core.language import places
from v6flow.core.language.naming import levels, resolve
from v6flow.core.language.problem import Problem

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from v6flow.core.expressions import Template
    from v6flow.core.expressions.values import Steps
    from v6flow.core.kinds import Step
    from v6flow.core.language.model import Workflow
    from v6flow.core.language.problem import Path

HINT = (
    "aggregate it first: in a local step's function or command, or by sum, mean or dot over all results; "
    "or say allow_cross_site: <reason>"
)
ROUNDS = 10  # passes over a loop, after which its state is taken for one that has all in it

_HARMLESS = frozenset({"kind", "step", "organization"})  # of an error; its message may quote what an algorithm said


def problems(workflow: Workflow, order: Callable[[Workflow], Sequence[str]]) -> Iterable[Problem]:
    """A problem for each reference by which a step would send on what others answered.

    `order` gives the steps of a workflow, each after all that stand beside it and that it waits for.
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
    step = workflow.steps.get(resolve(workflow.steps, where, str(path[0])) or "")
    return step if isinstance(step, TaskStep) else None


class _Tracing:
    """Knows of each step that was looked at whose answers its result has in it; `problems` are what would be sent.

    `params` are the flows of those params that a workflow step gives to the file that it runs.
    """

    def __init__(
        self, workflow: Workflow, order: Callable[[Workflow], Sequence[str]], params: Mapping[str | int, Flow]
    ) -> None:
        self.problems: dict[tuple[str, Reference], Problem] = {}
        self._workflow = workflow
        self._order = order
        self._levels = levels(order(workflow))
        self._params = params
        self._results: dict[str, Flow] = {}
        self._rounds: dict[str, Flow] = {}  # of a repeat step, what its state has in it
        self._ends: dict[str, Flow] = {}  # of a repeat step, what the condition that ends it has in it
        self._items: dict[str, tuple[Flow, Flow]] = {}  # of a foreach step, its items and their keys
        self._sizes: dict[str, Flow] = {}  # of a foreach step, what says how many items there are
        self._alone: dict[str, str | None] = {}

    def follow(self, outer: str) -> None:
        """Look at the steps that are nested in one, in their order; "" for those that are in none."""
        for name in self._levels.get(outer, ()):
            step = self._workflow.steps.get(name)
            match step:
                case LocalStep():
                    self._compute(step)
                case TaskStep():
                    self._send(step, step.kwargs, (*step.common.at, "task", "kwargs"), self._alone_at(step))
                case RepeatStep():
                    self._repeat(step)
                case ForeachStep():
                    self._each(step)
                case WorkflowStep():
                    self._call(step)
                case GateStep():
                    pass  # its message goes to people only, and it offers what they have decided
                case None:
                    pass  # what has been told to be unknown

    def outputs(self) -> Flow:
        """What is in the outputs, by name."""
        self.follow("")
        flows = {name: self._flow(output.value, "") for name, output in self._workflow.outputs.items()}
        return literal({name: _from_elsewhere(flow) for name, flow in flows.items()})

    def _compute(self, step: LocalStep) -> None:
        """A function or a command makes an aggregate; a value is made of what it names."""
        if step.value is not None and step.common.allow_cross_site is None:
            self._note(step, self._flow(step.value, step.common.parent))

    def _repeat(self, step: RepeatStep) -> None:
        """The state of a loop may have in it what any round put there: as many are looked at as add something."""
        name = step.common.name
        state = self._flow(step.state, step.common.parent)
        for _ in range(ROUNDS):
            self._rounds[name] = state
            self.follow(name)
            following = either(state, self._flow(step.update, name))
            if following == state:
                break
            state = following
        else:
            self._rounds[name] = state = join([state])
            self.follow(name)
        if step.until is not None:
            self._ends[name] = join([self._flow(step.until, name)])
        self._note(step, state)

    def _each(self, step: ForeachStep) -> None:
        name, where = step.common.name, step.common.parent
        over = self._flow(step.over, where) if step.over is not None else CLEAN
        item, size = index(over, None), counted(over)
        if step.matrix is not None:
            matrix = self._flow(step.matrix, where)
            item, size = join([matrix]), join(counted(each) for each in matrix.parts.values() or [matrix])
        self._sizes[name] = size
        named = over.spread == "named" or any(isinstance(key, str) for key in over.parts)
        self._items[name] = item, CLEAN if named else join([over, item])
        if step.key is not None:
            self._items[name] = item, join([self._flow(step.key, name)])
        self.follow(name)
        if step.result is not None:
            self._note(step, self._flow(step.result, name))

    def _call(self, step: WorkflowStep) -> None:
        """Another file asks whom it likes, so what is sent to it is sent to all, if it asks anybody."""
        if step.inner is None:
            return
        given = self._flow(step.params, step.common.parent)
        if step.inner.uses_federation():
            self._send(step, step.params, (*step.common.at, "workflow", "params"), None)
        params: dict[str | int, Flow] = {name: _from_elsewhere(index(given, name)) for name in step.inner.params}
        self._note(step, _Tracing(step.inner, self._order, params).outputs())

    def _note(self, step: Step, flow: Flow) -> None:
        self._results.pop(step.common.name, None)
        if not flow.clean:
            self._results[step.common.name] = flow

    def _send(self, step: Step, template: Template, at: Path, alone: str | None) -> None:
        """Tell what a step would send to others than those who said it; `alone` is the only one that it goes to."""
        flow = CLEAN if self._allowed(step) else self._flow(template, step.common.parent)
        leaks: dict[Reference, list[Origin]] = {}
        for origin in flow.origins:
            if alone is None or origin.organization != alone:
                assert origin.reference is not None  # it came into these kwargs by one
                leaks.setdefault(origin.reference, []).append(origin)
        for reference, origins in leaks.items():
            self.problems[step.common.name, reference] = self._problem(at, reference, sorted(origins, key=str))

    def _allowed(self, step: Step) -> bool:
        """Whether a reason is given: at the step, or at one that it is nested in."""
        name = step.common.name
        while name:
            if self._workflow.steps[name].common.allow_cross_site is not None:
                return True
            name = name.rpartition(".")[0]
        return False

    # -- what is in a value

    def _flow(self, template: Template, where: str) -> Flow:
        """Whose answers are in a value that stands in the step `where`."""
        if template.literal or not any(self._may_have(reference, where) for reference in template.references):
            return CLEAN  # as nearly all are in a workflow of thousands of steps
        return template.flow(partial(self._source, where))

    def _may_have(self, reference: Reference, where: str) -> bool:
        if reference.root != "steps":
            return reference.root in ("params", "loop", "each", "run")
        name = resolve(self._workflow.steps, where, str(reference.path[0])) if reference.path else None
        if name is None:
            return False
        plain = isinstance(self._workflow.steps[name], LocalStep) and reference.path[1:2] == ("result",)
        return name in self._results or not plain

    def _source(self, where: str, path: Steps, at: Path) -> Flow:
        """The flow of what stands at a path, as having come by that reference."""
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
                flow = Flow(frozenset({Origin("whichever step failed", None)}))
            case _:
                pass
        for key in keys:
            if flow.clean:
                return CLEAN
            flow = index(flow, key)
        return flow.seen_by(Reference(str(root), tuple(rest), at, guarded=False))

    def _round(self, where: str, rest: Sequence[str | int | None]) -> Flow:
        """What is in the state of the innermost loop, or of the one that is named."""
        loops = [step for step in self._around(where) if isinstance(step, RepeatStep)]
        if not rest:  # which of all is computed
            return join(self._rounds.get(step.common.name, CLEAN) for step in loops)
        first = rest[0]
        if first == "index":
            return CLEAN
        if first not in ("state", "next"):
            loops = [step for step in loops if step.alias == first]
            if rest[1:2] == ["index"]:
                return CLEAN
        return self._rounds.get(loops[0].common.name, CLEAN) if loops else CLEAN

    def _item(self, where: str, name: str | int | None) -> Flow:
        around = [step for step in self._around(where) if isinstance(step, ForeachStep)]
        if name == "index" or not around:
            return CLEAN
        if name is None:  # which of all is computed
            return join(flow for step in around for flow in self._items[step.common.name])
        if name == "key":
            return self._items[around[0].common.name][1]
        named = [step for step in around if step.alias == name]
        return self._items[named[0].common.name][0] if named else CLEAN

    def _around(self, where: str) -> Iterator[Step]:
        """The steps that a place is inside of, the innermost first."""
        while where:
            yield self._workflow.steps[where]
            where = where.rpartition(".")[0]

    def _offered(self, step: Step, attribute: str | int | None, keys: Sequence[object]) -> Flow:
        """What is in an attribute of a step, all of them if it is None: one that is computed."""
        if attribute is None:
            every = sorted(STEP_KINDS[step.kind].offers(step))
            return join(self._offered(step, each, ()) for each in every)
        if attribute == "error":
            return CLEAN if keys and keys[0] in _HARMLESS else self._error(step)
        if attribute == "status":
            when = step.common.when
            return join([self._flow(when, step.common.parent)]) if when is not None else CLEAN
        if isinstance(step, TaskStep):
            return self._answers(step, attribute)
        name = step.common.name
        flow = self._results.get(name, CLEAN)
        if isinstance(step, ForeachStep):
            (item, named), size = self._items.get(name, (CLEAN, CLEAN)), self._sizes.get(name, CLEAN)
            error = self._error(step) if step.on_item_failure == "continue" else CLEAN  # else no item has one
            told = {
                "results": uniform(flow, size),
                "by_key": uniform(flow, join([named, size])),
                "items": join([flow, item, named, size, error]),
                "summary": size,
                **dict.fromkeys(("completed", "failed", "skipped"), join([named, size])),
            }
            return told.get(str(attribute), CLEAN)
        end = self._ends.get(name, CLEAN)
        told = {"result": flow, "history": uniform(flow, end), **dict.fromkeys(("iterations", "converged"), end)}
        return told.get(str(attribute), CLEAN)

    def _error(self, step: Step) -> Flow:
        """What its error may quote: what it is given, and what tasks in it have said."""
        name, parent = step.common.name, step.common.parent
        if isinstance(step, TaskStep):
            return Flow(frozenset({Origin(name, self._alone_at(step))}))
        fields = [*STEP_KINDS[step.kind].fields(step), *common_fields(step.common)]
        flows = [self._flow(field.template, name if field.inside else parent) for field in fields]
        flows += [self._error(self._workflow.steps[each]) for each in self._levels.get(name, ())]
        if isinstance(step, WorkflowStep) and step.inner is not None and step.inner.uses_federation():
            flows.append(Flow(frozenset({Origin(name)})))
        return join(flows)

    def _answers(self, step: TaskStep, attribute: object) -> Flow:
        central = step.central is not None and step.central.source is True
        alone = self._alone_at(step)
        origins = frozenset({Origin(step.common.name, alone)})
        if attribute in ("failures", "by_organization"):
            return Flow(origins, "named")
        if attribute not in ("result", "results") or central:
            return CLEAN
        return Flow(origins, "all" if attribute == "results" and alone is None else "one")

    def _alone_at(self, step: TaskStep) -> str | None:
        """The only organization that a step asks, if there is but one."""
        name = step.common.name
        if name not in self._alone:
            names = asked(self._workflow, step)
            self._alone[name] = names[0] if names is not None and len(names) == 1 else None
        return self._alone[name]

    def _problem(self, field: Path, reference: Reference, origins: Sequence[Origin]) -> Problem:
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
    """What stands behind the state in a path that begins with `loop`."""
    at = next((index for index, key in enumerate(rest[:2]) if key in ("state", "next")), len(rest))
    return list(rest[at + 1 :])


def _from_elsewhere(flow: Flow) -> Flow:
    """A flow from one file into another, where the params that name an organization are others."""
    if flow.clean:
        return flow
    origins = frozenset(
        Origin(each.step, None if "{" in (each.organization or "") else each.organization, each.reference)
        for each in flow.origins
    )
    inner = _from_elsewhere(flow.inner) if flow.inner is not None else None
    return Flow(origins, flow.spread, {key: _from_elsewhere(part) for key, part in flow.parts.items()}, inner)
