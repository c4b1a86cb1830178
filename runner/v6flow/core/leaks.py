"""Which steps would send organizations what another one answered, not aggregated."""

from __future__ import annotations

from typing import TYPE_CHECKING

from v6flow.core import places
from v6flow.core.expressions import CLEAN, Flow, Origin, Reference, enter
from v6flow.core.problem import Problem
from v6flow.core.steps import LocalStep, TaskStep

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from v6flow.core.expressions import Template
    from v6flow.core.expressions.paths import Steps
    from v6flow.core.model import Workflow
    from v6flow.core.problem import Path

HINT = (
    "aggregate it first: in a local step's function or command, or by sum, mean or dot over all results; "
    "or say allow_cross_site: <reason>"
)

_HARMLESS = frozenset({"kind", "step", "organization"})  # of an error; its message may quote what an algorithm said


def problems(workflow: Workflow, order: Iterable[str]) -> Iterator[Problem]:
    """A problem for each reference by which a step would send on what others answered; `order` is that of the steps."""
    tracing = _Tracing(workflow)
    for name in order:
        step = workflow.steps.get(name)
        if isinstance(step, LocalStep):
            tracing.compute(step)
        elif isinstance(step, TaskStep):
            yield from tracing.sent(step)


def asked(workflow: Workflow, step: TaskStep) -> tuple[str, ...] | None:
    """Whom a step asks, as far as its file tells: names, or the expression in which a param names one; else None."""
    for _ in workflow.steps:  # no chain of steps is longer
        template = step.settings["organizations"][1] if "organizations" in step.settings else None
        if template is None:
            return None
        if template.literal or step.single:
            return _names(template.source)
        other = followed(workflow, template)
        if other is None:
            return None
        step = other
    return None


def followed(workflow: Workflow, template: Template) -> TaskStep | None:
    """The task step whose organizations a template names, those asked or those that responded; None if none."""
    path = template.references[0].path if template.whole and len(template.references) == 1 else ()
    if path[1:] not in (("responded",), ("asked",)) or template.references[0].root != "steps":
        return None
    step = workflow.steps.get(str(path[0]))
    return step if isinstance(step, TaskStep) else None


def _names(source: object) -> tuple[str, ...] | None:
    if not isinstance(source, list) or any("{{" in str(name) and "steps." in str(name) for name in source):
        return None
    return tuple(map(str, source))


class _Tracing:
    """Knows of each step that was looked at whose answers its result has in it."""

    def __init__(self, workflow: Workflow) -> None:
        self._workflow = workflow
        self._results: dict[str, Flow] = {}
        self._alone: dict[str, str | None] = {}

    def compute(self, step: LocalStep) -> None:
        """Note what is in the result of a local step: a function or a command makes an aggregate."""
        if step.value is None or step.value.literal or step.common.allow_cross_site is not None:
            return
        flow = self._flow(step.value)
        if not flow.clean:
            self._results[step.common.name] = flow

    def sent(self, step: TaskStep) -> Iterator[Problem]:
        """What a task step would send that it must not."""
        if step.kwargs.literal or step.common.allow_cross_site is not None:
            return
        flow = self._flow(step.kwargs)
        if flow.clean:
            return
        alone = self._alone_at(step)
        leaks: dict[Reference, list[Origin]] = {}
        for origin in flow.origins:
            if alone is None or origin.organization != alone:
                assert origin.reference is not None  # it came into these kwargs by one
                leaks.setdefault(origin.reference, []).append(origin)
        for reference, origins in leaks.items():
            yield self._problem(step, reference, sorted(origins, key=str))

    def _flow(self, template: Template) -> Flow:
        used = {each.path[0] for each in template.references if each.root == "steps" and each.path}
        if not any(name in self._results or isinstance(self._workflow.steps.get(str(name)), TaskStep) for name in used):
            return CLEAN  # as nearly all are in a workflow of thousands of steps
        return template.flow(self._source)

    def _source(self, path: Steps, at: Path) -> Flow:
        """The flow of what stands at a path, as having come by that reference."""
        root, *rest = path
        step = self._workflow.steps.get(str(rest[0])) if root == "steps" and len(rest) > 1 else None
        if step is None:
            return CLEAN
        attribute, *keys = rest[1:]
        if isinstance(step, TaskStep):
            flow = self._answers(step, attribute, keys)
        else:
            flow = self._results.get(step.common.name, CLEAN) if attribute == "result" else CLEAN
        for key in keys:
            if flow.clean:
                return CLEAN
            flow = enter(flow, key)
        return flow.seen_by(Reference(str(root), tuple(rest), at, guarded=False))

    def _answers(self, step: TaskStep, attribute: object, keys: Sequence[object]) -> Flow:
        central = step.central is not None and step.central.source is True
        alone = self._alone_at(step)
        origins = frozenset({Origin(step.common.name, alone)})
        if attribute in ("failures", "by_organization"):
            return Flow(origins, "named")
        if attribute == "error" and not (keys and keys[0] in _HARMLESS):
            return Flow(origins)
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

    def _problem(self, step: TaskStep, reference: Reference, origins: Sequence[Origin]) -> Problem:
        document = self._workflow.document
        names = list(dict.fromkeys(each.step for each in origins))
        whose = {each.organization for each in origins}
        who = next(iter(whose)) if len(whose) == 1 else None
        through = [each for each in (reference.path[0],) if each not in names]
        message = (
            f"what {who if who and '{' not in who else 'single organizations'} answered to {', '.join(names)} "
            + (f"(by way of {through[0]}) " if through else "")
            + "would reach others, not aggregated"
        )
        field = (*step.common.at, "task", "kwargs")
        where = places.mention(document, field + reference.at, reference, min(2, len(reference.path)))
        return Problem(message, "cross-site", document.name, where, HINT)
