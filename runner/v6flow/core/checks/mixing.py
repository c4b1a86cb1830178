"""Which steps and outputs are bound to mix cohorts, or will as soon as somebody does not answer."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import Struct
from msgspec.structs import replace

from v6flow.core.checks.cross_site import followed
from v6flow.core.kinds import STEP_KINDS
from v6flow.core.language import places
from v6flow.core.language.naming import levels, outward, resolve
from v6flow.core.language.problem import Problem

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from v6flow.core.directory import Directory
    from v6flow.core.expressions import Reference, Template
    from v6flow.core.kinds.base import StepKind
    from v6flow.core.kinds.task import TaskStep
    from v6flow.core.language.model import Step, Workflow
    from v6flow.core.language.problem import Path

REASON = "or say mixed_cohorts: <reason>"


class _Cohort(Struct, frozen=True):
    """Who answers a step if all do, and the step that may lose some.

    They are the names in its list, or all that there are in `study`; if that is None, too, all of the federation.
    `earlier`: they answered in an earlier iteration of a loop, and so they all answer in this one.
    """

    names: frozenset[str] | None
    step: str
    study: str | int | None = None
    earlier: bool = False

    @property
    def whom(self) -> frozenset[str] | str | int | None:
        """Equal for cohorts that are surely the same if all answer."""
        return self.study if self.names is None else self.names


class _Use(Struct, frozen=True):
    """A reference to a step that carries cohorts, and the place of the value that it is in."""

    step: str
    reference: Reference
    at: Path
    cohorts: frozenset[_Cohort]


def problems(workflow: Workflow, order: Iterable[str], directory: Directory | None = None) -> Iterable[Problem]:
    """A warning for each step and each output that would mix cohorts; `order` is that of the steps.

    Whom a step asks that names nobody, or a study, is taken from the directory of a federation if it is there.
    """
    mixing = _Mixing(workflow, order, directory)
    mixing.follow("")
    for output in workflow.outputs.values():
        uses = mixing.uses(output.value, output.at, "")
        if output.mixed_cohorts is None:
            mixing.tell(f"output {output.name}", mixing.different(uses, f"output {output.name}"))
    return mixing.problems.values()


class _Mixing:
    """Knows the cohorts that the value of each step which was looked at carries, and which mixtures are accepted.

    `problems` has the first warning of each step and output.
    """

    def __init__(self, workflow: Workflow, order: Iterable[str], directory: Directory | None) -> None:
        self.problems: dict[str, Problem] = {}
        self._workflow = workflow
        self._levels = levels(order)
        self._directory = directory
        self._carried: dict[str, frozenset[_Cohort]] = {}
        self._inside: dict[str, frozenset[_Cohort]] = {}  # of a repeat step what its state carries, or its items
        self._accepted: dict[str, set[frozenset[str]]] = {}

    def tell(self, of: str, found: Iterable[Problem]) -> None:
        """Keep the first problem of a step or output."""
        for problem in found:
            self.problems.setdefault(of, problem)
            return

    def follow(self, outer: str) -> None:
        """Look at the steps that are nested in one, in their order; "" for those that are in none."""
        for name in self._levels.get(outer, ()):
            if name in self._workflow.steps:
                step = self._workflow.steps[name]
                STEP_KINDS[step.kind].cohorts(step, self)

    def carry(self, step: Step, uses: Sequence[_Use], *, again: bool = False) -> None:
        """Note that a step carries the cohorts of all that it uses, and warn if they do not go together.

        `again`: it is the state after an iteration, and no longer that of an earlier one.
        """
        name, carried = step.common.name, self._together(uses)
        self._carried[name] = frozenset(replace(each, earlier=False) for each in carried) if again else carried
        if step.common.mixed_cohorts is None:
            self.tell(name, self.different(uses, f"step {name}"))
        else:
            self.accept(step)

    def enter(self, name: str, *, earlier: bool = False) -> frozenset[_Cohort]:
        """Let nested steps use what a step carries; returns that. `earlier`: answers to its nested steps are older."""
        carried = self._carried[name]
        older = frozenset(replace(each, earlier=each.step.startswith(f"{name}.")) for each in carried)
        self._inside[name] = older if earlier else carried
        return carried

    def carried(self, name: str) -> frozenset[_Cohort]:
        """What a step carries."""
        return self._carried[name]

    def has_problem(self, name: str) -> bool:
        """Whether a warning was noted for a step."""
        return name in self.problems

    def accept(self, step: Step) -> None:
        """Note that what a step carries may be combined later."""
        carried = self._carried[step.common.name]
        self._accepted[step.common.name] = {each.names for each in carried if each.names is not None}

    def ask(self, step: TaskStep) -> None:
        """Note what the answers to a task step carry, and warn of what they mix."""
        name = step.common.name
        uses = self.uses(step.kwargs, (*step.common.at, "task", "kwargs"), step.common.parent)
        own = self._own(step)
        self._carried[name] = self._together(uses, own)
        if step.common.mixed_cohorts is not None:
            self.accept(step)
            return
        found = [*self.different(uses, f"step {name}")]
        self.tell(name, found or self._second_pass(step, uses, own))

    def uses(self, template: Template, at: Path, where: str) -> list[_Use]:
        """What a value in the step `where` uses that carries cohorts."""
        found = []
        for reference in () if template.literal else template.references:
            name = self._source(reference, where)
            known = self._inside if reference.root in ("loop", "each") else self._carried
            if name is not None and (cohorts := known.get(name)):
                found.append(_Use(name, reference, at, cohorts))
        return found

    def _source(self, reference: Reference, where: str) -> str | None:
        """The step whose value, state or item a reference in the step `where` names, if that carries cohorts."""
        root, path = reference.root, reference.path
        if root == "steps" and len(path) > 1:
            name = resolve(self._workflow.steps, where, str(path[0]))
            return name if name is not None and path[1] not in self._kind(name).not_carrying else None
        if root not in ("loop", "each") or not path:
            return None
        around = [name for name in outward(where) if self._kind(name).iteration == root]
        if root == "loop" and path[0] == "state":
            return around[0] if around else None
        if root == "loop" and path[1:2] != ("state",):
            return None
        return next((name for name in around if self._workflow.steps[name].alias == path[0]), None)

    def _kind(self, name: str) -> StepKind:
        return STEP_KINDS[self._workflow.steps[name].kind]

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
        found: dict[frozenset[str] | str | int | None, _Cohort] = {}
        for cohort in sorted(own.union(*(use.cohorts for use in uses)), key=str):
            if cohort.whom not in found or self._may_lose(cohort):
                found[cohort.whom] = cohort
        return frozenset(found.values())

    def _own(self, step: TaskStep) -> frozenset[_Cohort]:
        """The cohort of those who answer; of a central function's and a computed list nothing is known."""
        if step.central is not None and step.central.source is not False:
            return frozenset()
        if "organizations" in step.settings:
            template = step.settings["organizations"][1]
            if template.literal and isinstance(template.source, list):
                return frozenset({_Cohort(frozenset(map(str, template.source)), step.common.name)})
            other = followed(self._workflow, template, step.common.parent)
            return self._own(other) if other is not None and other is not step else frozenset()
        if step.study is not None and not step.study.literal:
            return frozenset()
        source = step.study.source if step.study is not None else None
        study = source if isinstance(source, (str, int)) else None
        return frozenset({_Cohort(self._all(study), step.common.name, study)})

    def _all(self, study: str | int | None) -> frozenset[str] | None:
        """Whom a step asks that names nobody: all of the study or the federation, as far as that is known."""
        if self._directory is None:
            return None
        named = self._directory.defaults.get("organizations")
        known = self._directory.organizations if study is None else self._directory.studies.get(study, ())
        return frozenset(map(str, named)) if isinstance(named, list) else frozenset(known) or None

    def _second_pass(self, step: TaskStep, uses: list[_Use], own: frozenset[_Cohort]) -> Iterator[Problem]:
        """A warning where a step asks again all those of whom not all need have answered what it sends."""
        mine = next(iter(own), None)
        if mine is None:
            return
        for use in uses:
            for cohort in sorted(use.cohorts, key=str):
                if cohort.names is not None and mine.names is not None and cohort.names != mine.names:
                    told = f"{cohort.step} asks {', '.join(sorted(cohort.names))}"
                    message = (
                        f"step {step.common.name} asks {', '.join(sorted(mine.names))}, and is sent what "
                        f"other organizations answered: {told}"
                    )
                elif cohort.whom == mine.whom and mine.step == step.common.name and self._may_lose(cohort):
                    message = (
                        f"step {step.common.name} asks {self._spell(step)} again, "
                        f"though not all need have answered {cohort.step}: its answers would mix cohorts"
                    )
                else:
                    continue
                seen = _visible(cohort.step, step.common.parent)
                hint = f'write organizations: "{{{{ steps.{seen}.responded }}}}", {REASON}'
                yield self._problem(use, message, hint)
                return

    def _may_lose(self, cohort: _Cohort) -> bool:
        return not cohort.earlier and may_be_fewer(self._workflow.steps[cohort.step])

    @staticmethod
    def _spell(step: TaskStep) -> str:
        if "organizations" in step.settings:
            return "the same list"
        return "all" if step.study is None else f"all of the study {step.study.source}"

    def _problem(self, use: _Use, message: str, hint: str) -> Problem:
        document = self._workflow.document
        reference = use.reference
        where = places.mention(document, use.at + reference.at, reference, min(2, len(reference.path)))
        return Problem(message, "cohorts-mix", document.name, where, hint, "warning")


def _visible(name: str, where: str) -> str:
    """The name by which those in the step `where` see a step, or the one that it is nested in."""
    while (parent := name.rpartition(".")[0]) and parent != where and not where.startswith(f"{parent}."):
        name = parent
    return name.rpartition(".")[2]


def may_be_fewer(step: Step) -> bool:
    """Whether a step may complete though somebody that it asks has not answered."""
    settings = STEP_KINDS[step.kind].settings(step)
    if "quorum" not in settings:
        return False
    quorum = settings["quorum"][1].source
    return (quorum.get("min", "all") if isinstance(quorum, dict) else quorum) not in ("all", "100%")
