"""What a step is about to ask, or to compute: of whom, with which input."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from v6flow.core.execution import cohorts, judge, reuse, scope
from v6flow.core.execution.rendering import Unfit, mapping
from v6flow.core.expressions import Template
from v6flow.core.kinds import RepeatPlan
from v6flow.core.kinds.local import dashed
from v6flow.core.kinds.organizations import OrganizationError, check_required, parse_organizations
from v6flow.core.planning import ids

if TYPE_CHECKING:
    from collections.abc import Mapping

    from v6flow.core.execution.rendering import Renderer
    from v6flow.core.execution.state import RunState
    from v6flow.core.json import Json
    from v6flow.core.kinds import LocalPlan, TaskPlan
    from v6flow.core.planning.plan import Plan


@dataclass(slots=True)
class Prepared:
    """What a step sends, and whom it needs: can be computed again as long as the step runs."""

    kwargs: Mapping[str, Json]  # of a task: those of each organization
    uses: scope.Uses
    needed: int = 0
    command: tuple[str, ...] | None = None
    key: reuse.Key | None = None  # under which its result is reused, if it may be
    notes: tuple[str, ...] = ()  # what a person should know of it


class Preparation:
    """Prepares the steps of a run, by its plan and its state; all raise Lacking and Unfit."""

    def __init__(self, plan: Plan, state: RunState, renderer: Renderer, basis: reuse.Basis | None) -> None:
        self._plan = plan
        self._state = state
        self._renderer = renderer
        self._basis = basis

    def organizations(self, name: str, step: TaskPlan) -> tuple[str, ...]:
        """Whom a task step asks."""
        if not isinstance(step.organizations, Template):
            names: Json = list(step.organizations)
        else:
            names = self._renderer.render(step.organizations, scope.Uses(), ids.prefix(name))
        if step.single and isinstance(names, list) and len(names) != 1:
            raise Unfit("organizations", f"this step asks one organization, not {len(names)}")
        try:
            asked = parse_organizations(names, step.members, step.study)
        except OrganizationError as error:
            raise Unfit("organizations", str(error), error.hint) from error
        before = self._round_before(name)
        return asked if before is None else self._as_before(name, asked, *before)

    def task(self, name: str, step: TaskPlan, asked: tuple[str, ...], *, check: bool) -> Prepared:
        """What a task step sends to those it asks; `check`: see whether that would mix cohorts."""
        uses = scope.Uses()
        prefix = ids.prefix(name)
        minimum = step.quorum.minimum
        before = self._round_before(name)
        try:
            needed = step.quorum.needed(
                self._renderer.render(minimum, uses, prefix) if isinstance(minimum, Template) else minimum, len(asked)
            )
            if before is not None and before[0] == "fixed":
                needed = len(asked)  # those who answered in the first round, and all of them
            check_required(step.quorum, asked)
        except ValueError as error:
            raise Unfit("quorum", str(error)) from error
        uses = scope.Uses()
        kwargs: dict[str, Json] = {}
        each_its_own = any(reference.root == "organization" for reference in step.kwargs.references)
        shared: Json = None
        for each in asked:
            if each_its_own or not kwargs:
                shared = self._renderer.render(step.kwargs, uses, prefix, organization=each)
            kwargs[each] = shared
        if check and step.common.mixed_cohorts is None:
            self._renderer.mixture(step, uses)
            if not step.central and not any(uses.accepted()):
                mixed = cohorts.unreachable(uses.compared(), asked, needed, step.quorum.required)
                if mixed:
                    raise Unfit("cohorts", mixed, judge.MIXED_HINT)
        key = None
        if step.cache is not None and self._basis is not None:
            key = reuse.of_task(self._plan, step, asked, kwargs, self._basis)
        return Prepared(kwargs, uses, max(needed, 1), key=key)

    def local(self, name: str, step: LocalPlan) -> Prepared:
        """What a function or a command is given."""
        uses = scope.Uses()
        prefix = ids.prefix(name)
        kwargs = mapping(self._renderer.render(step.kwargs, uses, prefix))
        command: tuple[str, ...] | None = None
        notes: tuple[str, ...] = ()
        if step.command is not None:
            command = _command(self._renderer.render(step.command, uses, prefix))
            notes = tuple(
                f"step {name}: word {index + 1} of its command begins with `-` and comes from a step: {command[0]} may "
                "read it as an option (where the program takes `--`, write it before)"
                for index in dashed(step.command)
                if command[index].startswith("-")
            )
        self._renderer.mixture(step, uses)
        key = None
        if step.cache is not None and self._basis is not None:
            key = reuse.of_local(step, command, kwargs, self._basis)
        return Prepared(kwargs, uses, command=command, key=key, notes=notes)

    def _round_before(self, name: str) -> tuple[str, tuple[str, ...]] | None:
        """The policy of the innermost repeat step that has had a round, and who answered this step in that round."""
        for inner in ids.outward(ids.prefix(name))[:-1]:
            path, number = ids.around(inner)
            step = self._plan.step(path)
            if not isinstance(step, RepeatPlan) or step.cohort == "any" or number == 1:
                continue
            earlier = 1 if step.cohort == "fixed" else number - 1
            then = self._state.step(ids.inside(path, earlier) + name[len(inner) :])
            if then.status == "completed":
                return step.cohort, tuple(then.answered)
        return None

    def _as_before(self, name: str, asked: tuple[str, ...], cohort: str, before: tuple[str, ...]) -> tuple[str, ...]:
        """Whom to ask in a later round. Raises Unfit if those who must be asked are not all among those meant."""
        lost = [each for each in before if each not in asked]
        if cohort == "fixed" and lost:
            message = f"{', '.join(lost)} answered in the first round, and would not be asked in this one"
            raise Unfit("cohorts", message, "cohort: shrink goes on with those who answered last; cohort: any with all")
        left = tuple(each for each in asked if each in before)
        if not left:
            raise Unfit("cohorts", f"nobody is left of those who answered {ids.short(name)} in the round before")
        return left


def _command(value: Json) -> tuple[str, ...]:
    """A rendered command: numbers as text; anything else that is not text is refused."""
    words: list[str] = []
    for word in value if isinstance(value, list) else []:
        if isinstance(word, bool) or not isinstance(word, (str, int, float)):
            raise Unfit("expression", f"a word of a command is text or a number, not {word!r}", "use | json or | join")
        words.append(word if isinstance(word, str) else repr(word))
    return tuple(words)
