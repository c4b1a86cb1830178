"""Which steps and outputs are bound to mix cohorts, or will as soon as somebody does not answer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from v6flow.core import places
from v6flow.core.leaks import followed
from v6flow.core.naming import depth_first, resolve
from v6flow.core.problem import Problem
from v6flow.core.steps import LocalStep, TaskStep
from v6flow.core.steps.base import NOT_CARRYING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from v6flow.core.expressions import Reference, Template
    from v6flow.core.model import Workflow
    from v6flow.core.problem import Path

REASON = "or say mixed_cohorts: <reason>"


@dataclass(frozen=True, slots=True)
class _Cohort:
    """Who answers a step if all do: the names in its list, None for all there are; and the step that may lose some."""

    names: frozenset[str] | None
    step: str


@dataclass(frozen=True, slots=True)
class _Use:
    """A reference to a step that carries cohorts, and the place of the value that it stands in."""

    step: str
    reference: Reference
    at: Path
    cohorts: frozenset[_Cohort]


def problems(workflow: Workflow, order: Iterable[str]) -> Iterator[Problem]:
    """A warning for each step and each output that would mix cohorts; `order` is that of the steps."""
    mixing = _Mixing(workflow)
    for name in depth_first(order):
        step = workflow.steps.get(name)
        if isinstance(step, LocalStep):
            yield from mixing.compute(step)
        elif isinstance(step, TaskStep):
            yield from mixing.ask(step)
    for output in workflow.outputs.values():
        uses = mixing.uses(output.value, output.at, "")
        if output.mixed_cohorts is None:
            yield from mixing.different(uses, f"output {output.name}")


class _Mixing:
    """Knows the cohorts that the value of each step which was looked at carries, and which mixtures are accepted."""

    def __init__(self, workflow: Workflow) -> None:
        self._workflow = workflow
        self._carried: dict[str, frozenset[_Cohort]] = {}
        self._accepted: dict[str, set[frozenset[str]]] = {}

    def compute(self, step: LocalStep) -> Iterator[Problem]:
        """Note what a local step carries, and tell what it mixes."""
        uses: list[_Use] = []
        for key, template in (("command", step.command), ("value", step.value), ("kwargs", step.kwargs)):
            if template is not None:
                uses += self.uses(template, (*step.common.at, "local", key), step.common.parent)
        self._carried[step.common.name] = self._together(uses)
        yield from self._told(step, uses)

    def ask(self, step: TaskStep) -> Iterator[Problem]:
        """Note what the answers to a task step carry, and tell what they mix."""
        name = step.common.name
        uses = self.uses(step.kwargs, (*step.common.at, "task", "kwargs"), step.common.parent)
        own = self._own(step)
        self._carried[name] = self._together(uses, own)
        if step.common.mixed_cohorts is not None:
            yield from self._told(step, uses)
            return
        found = [*self.different(uses, f"step {name}")]
        yield from found or self._second_pass(step, uses, own)

    def uses(self, template: Template, at: Path, where: str) -> list[_Use]:
        """What a value in the step `where` uses that carries cohorts; of rounds and items nothing is said."""
        found = []
        for reference in () if template.literal else template.references:
            if reference.root == "steps" and len(reference.path) > 1 and reference.path[1] not in NOT_CARRYING:
                name = resolve(self._workflow.steps, where, str(reference.path[0])) or ""
                if cohorts := self._carried.get(name):
                    found.append(_Use(name, reference, at, cohorts))
        return found

    def different(self, uses: Sequence[_Use], what: str) -> Iterator[Problem]:
        """A warning where values are used together that are of different organizations however many answer."""
        seen: dict[frozenset[str], str] = {}
        accepted = [self._accepted.get(use.step, set()) for use in uses]
        for use in uses:
            for cohort in sorted(use.cohorts, key=str):
                if cohort.names is None:
                    continue
                seen.setdefault(cohort.names, cohort.step)
                if len(seen) > 1 and not any(seen.keys() <= mixture for mixture in accepted):
                    told = "; ".join(f"{step} asks {', '.join(sorted(names))}" for names, step in seen.items())
                    hint = f"use answers of the same organizations, {REASON}"
                    yield self._problem(use, f"{what} would mix answers of different cohorts: {told}", hint)
                    return

    def _together(self, uses: Iterable[_Use], own: frozenset[_Cohort] = frozenset()) -> frozenset[_Cohort]:
        """The cohorts of all, one of each list of organizations: of a step that may lose some if there is one."""
        found: dict[frozenset[str] | None, _Cohort] = {}
        for cohort in sorted(own.union(*(use.cohorts for use in uses)), key=str):
            if cohort.names not in found or _may_lose(self._workflow.steps[cohort.step]):
                found[cohort.names] = cohort
        return frozenset(found.values())

    def _told(self, step: LocalStep | TaskStep, uses: list[_Use]) -> Iterator[Problem]:
        if step.common.mixed_cohorts is None:
            yield from self.different(uses, f"step {step.common.name}")
        else:
            carried = self._carried[step.common.name]
            self._accepted[step.common.name] = {each.names for each in carried if each.names is not None}

    def _own(self, step: TaskStep) -> frozenset[_Cohort]:
        """The cohort of those who answer; of a central function's, a study's or a computed list nothing is known."""
        if step.central is not None and step.central.source is not False:
            return frozenset()
        if step.study is not None:
            return frozenset()
        if "organizations" not in step.settings:
            return frozenset({_Cohort(None, step.common.name)})
        template = step.settings["organizations"][1]
        if template.literal and isinstance(template.source, list):
            return frozenset({_Cohort(frozenset(map(str, template.source)), step.common.name)})
        other = followed(self._workflow, template, step.common.parent)
        return self._own(other) if other is not None and other is not step else frozenset()

    def _second_pass(self, step: TaskStep, uses: list[_Use], own: frozenset[_Cohort]) -> Iterator[Problem]:
        """A warning where a step asks anew all those of whom not all need have answered what it sends."""
        mine = next(iter(own), None)
        if mine is None:
            return
        for use in uses:
            for cohort in sorted(use.cohorts, key=str):
                first = self._workflow.steps[cohort.step]
                if cohort.names is not None and mine.names is not None and cohort.names != mine.names:
                    told = f"{cohort.step} asks {', '.join(sorted(cohort.names))}"
                    message = (
                        f"step {step.common.name} asks {', '.join(sorted(mine.names))}, and is sent what "
                        f"other organizations answered: {told}"
                    )
                elif cohort.names == mine.names and mine.step == step.common.name and _may_lose(first):
                    message = (
                        f"step {step.common.name} asks {'all' if mine.names is None else 'the same list'} again, "
                        f"though not all need have answered {cohort.step}: its answers would mix cohorts"
                    )
                else:
                    continue
                hint = f'write organizations: "{{{{ steps.{_short(cohort.step)}.responded }}}}", {REASON}'
                yield self._problem(use, message, hint)
                return

    def _problem(self, use: _Use, message: str, hint: str) -> Problem:
        document = self._workflow.document
        reference = use.reference
        where = places.mention(document, use.at + reference.at, reference, min(2, len(reference.path)))
        return Problem(message, "cohorts-mix", document.name, where, hint, "warning")


def _short(name: str) -> str:
    return name.rpartition(".")[2]


def _may_lose(step: object) -> bool:
    """Whether a task step may complete though somebody has not answered."""
    if not isinstance(step, TaskStep) or "quorum" not in step.settings:
        return False
    quorum = step.settings["quorum"][1].source
    return (quorum.get("min", "all") if isinstance(quorum, dict) else quorum) not in ("all", "100%")
